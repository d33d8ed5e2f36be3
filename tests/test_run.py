"""One run in a folder: its files, and what it leaves when the disk is full, the folder is gone or Ctrl-C comes."""

import csv
import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from tiny import tiny_data
from tiny_run import KEPT, content, tiny_run, tiny_run_settings, without_figure

from an_ref import files
from an_ref.files import WriteError
from an_ref.parallel import BLAS_THREADS
from an_ref.report.run_curve import draw_run
from an_ref.training import Evaluation, TrainingDiverged, evaluate, run, train
from an_ref.training.checkpoint import load_checkpoint
from an_ref.training.run import Run
from an_ref.training.settings import EpochRecord, fingerprints, limited


@pytest.fixture
def no_figure(monkeypatch):
    without_figure(monkeypatch)


def after(epoch, action):
    """An on_epoch that does something after that epoch."""
    return lambda number, record: action() if number == epoch else None


def raising(error):
    def action():
        raise error

    return action


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    done, heard = tiny_run(folder), []
    done.go_on(on_epoch=lambda *epoch: heard.append(epoch))
    return folder, done, heard


def test_a_run_leaves_its_four_files(finished):
    folder, done, heard = finished
    assert set(content(folder)) == {*KEPT, "curve.png"}
    assert heard == list(enumerate(done.history, start=1))
    assert matplotlib.image.imread(folder / "curve.png").shape[1] == 896  # 5.6 inches


def test_the_log_has_one_line_for_each_epoch(finished):
    folder, done, _ = finished
    header, *rows = csv.reader((folder / "log.csv").read_text().splitlines())
    assert header == ["epoch", "lr", "train_loss", "test_loss", "test_accuracy"]
    assert [tuple(map(float, row)) for row in rows] == [(i, *record) for i, record in enumerate(done.history, start=1)]


def test_a_run_is_the_training_that_train_does(finished):
    _, done, _ = finished
    settings = done.settings
    losses = train(settings.build_model(3), tiny_data(), settings.recipe, rng=settings.batch_generator())
    assert losses == [record.train_loss for record in done.history]


def test_the_number_of_blas_threads_does_not_matter(tmp_path, finished):
    code = "import sys; sys.path[:0] = sys.argv[2:]; from tiny_run import tiny_run; tiny_run(sys.argv[1]).go_on()"
    environment = os.environ | dict.fromkeys(BLAS_THREADS, "2")
    tests = Path(__file__).resolve().parent
    command = [sys.executable, "-c", code, str(tmp_path), str(tests), str(tests.parent)]
    subprocess.run(command, env=environment, check=True)
    assert content(tmp_path) == content(finished[0])


def test_last_is_tested_as_the_log_says(finished):
    folder, done, _ = finished
    checkpoint, data = load_checkpoint(folder / "last.npz"), tiny_data()
    scale = checkpoint.part("input")
    found = evaluate(checkpoint.build_model(), data.test_images, data.test_labels, scale["mean"], scale["std"])
    assert (found.loss, found.accuracy) == done.history[-1][2:]


@pytest.mark.usefixtures("no_figure")
@pytest.mark.parametrize(
    ("accuracies", "best"), [((0.3, 0.6, 0.5, 0.6), 2), ((0.0, 0.0, 0.0, 0.0), 1), ((0.1, 0.2, 0.3, 0.4), 4)]
)
def test_best_is_the_first_epoch_with_the_highest_accuracy(tmp_path, monkeypatch, accuracies, best):
    order = iter(accuracies)
    monkeypatch.setattr(run, "evaluate", lambda *_: Evaluation(1.0, np.arange(10) < 10 * next(order)))
    tiny_run(tmp_path).go_on()
    assert load_checkpoint(tmp_path / "best.npz").about.epoch == best
    assert load_checkpoint(tmp_path / "last.npz").about.epoch == 4


@pytest.mark.usefixtures("no_figure")
@pytest.mark.parametrize("norm", ["none", "bn", "sn", "se", "an", "an-gn"])
def test_a_run_resumed_after_every_epoch_ends_with_the_same_bytes(tmp_path, norm):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    changes = {"norm": norm, "no_decay": ()}
    for folder in (whole, parts):
        folder.mkdir()
    tiny_run(whole, **changes).go_on()
    for epoch in (1, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            tiny_run(parts, **changes).go_on(on_epoch=after(epoch, raising(KeyboardInterrupt)))
        assert load_checkpoint(parts / "last.npz").about.epoch == epoch
    tiny_run(parts, **changes).go_on()
    assert content(parts) == content(whole)


@pytest.mark.usefixtures("no_figure")
def test_a_resumed_run_repairs_what_the_kill_left(tmp_path, finished):
    folder, *_ = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "log.csv").write_text("epoch,lr\n1,")
    for name in (*KEPT, "curve.png"):
        (tmp_path / f".{name}.aside").write_bytes(b"half")
    (tmp_path / ".mine.aside").write_bytes(b"not of the run")
    tiny_run(tmp_path).go_on()
    expected = content(folder) | {".mine.aside": b"not of the run"}
    assert content(tmp_path) == expected


@pytest.mark.usefixtures("no_figure")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full, as Linux has it")
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path):
    """The file aside of the second epoch is, through a link, a real full device."""
    kept = {}

    def fill():
        kept.update(content(tmp_path))
        (tmp_path / ".last.npz.aside").symlink_to("/dev/full")

    with pytest.raises(WriteError, match=f"^cannot write {tmp_path / 'last.npz'}: no space left on device$"):
        tiny_run(tmp_path).go_on(on_epoch=after(1, fill))
    assert content(tmp_path)["last.npz"] == kept["last.npz"]
    assert set(content(tmp_path)) == set(KEPT)
    assert load_checkpoint(tmp_path / "last.npz").about.epoch == 1
    assert Path("/dev/full").exists()


class FullDisk(io.FileIO):
    """Takes a hundred bytes and then has no space left."""

    def write(self, data):
        super().write(data[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.usefixtures("no_figure")
@pytest.mark.parametrize("name", KEPT)
def test_a_disk_that_fills_up_in_the_middle_of_a_file(tmp_path, monkeypatch, finished, name):
    usual = Path.open

    def open_(path, mode="r", *rest, **more):
        full = mode == "wb" and path.name == f".{name}.aside" and (tmp_path / "last.npz").exists()
        return FullDisk(path, "wb") if full else usual(path, mode, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", open_)
        with pytest.raises(WriteError, match=f"cannot write .*{name}: no space left"):
            tiny_run(tmp_path).go_on()
    assert set(content(tmp_path)) == set(KEPT)
    load_checkpoint(tmp_path / "last.npz")
    tiny_run(tmp_path).go_on()  # there is space again
    assert all(content(tmp_path)[kept] == content(finished[0])[kept] for kept in KEPT)


@pytest.mark.usefixtures("no_figure")
def test_a_folder_that_is_lost(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(WriteError, match=f"cannot write {out / '[a-z]*.npz'}: no such file or directory"):
        tiny_run(out).go_on(on_epoch=after(1, lambda: shutil.rmtree(out)))
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_figure")
def test_ctrl_c_inside_a_write_leaves_the_file_before_it(tmp_path, monkeypatch):
    usual = files.os.fsync

    def interrupted(handle):
        if (tmp_path / ".last.npz.aside").exists() and (tmp_path / "last.npz").exists():
            raise KeyboardInterrupt
        usual(handle)

    monkeypatch.setattr(files.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tiny_run(tmp_path).go_on()
    assert set(content(tmp_path)) == set(KEPT)
    assert load_checkpoint(tmp_path / "last.npz").about.epoch == 1


@pytest.mark.skipif(sys.platform == "win32", reason="folders are not put on the disk by themselves there")
def test_a_file_and_its_folder_are_put_on_the_disk_before_and_after_the_renaming(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(files.os, "fsync", lambda handle: order.append(os.fstat(handle).st_ino))
    usual = os.replace
    monkeypatch.setattr(files.os, "replace", lambda *paths: order.append("replace") or usual(*paths))
    files.replace_file(tmp_path / "a", b"new")
    assert order == [(tmp_path / "a").stat().st_ino, "replace", tmp_path.stat().st_ino]
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.usefixtures("no_figure")
def test_a_running_statistic_that_is_not_finite_stops_before_anything_is_kept(tmp_path, monkeypatch):
    once = tiny_run(tmp_path, norm="bn")
    monkeypatch.setattr(
        once._training, "run_epoch", lambda *_: once._training.model.state["1.running_var"].fill(np.inf)
    )
    with pytest.raises(TrainingDiverged, match=r"running statistic running_var of layer 1 \(BatchNorm\); train with"):
        once.go_on()
    assert set(content(tmp_path)) == {"log.csv"}


def test_fingerprints_tell_images_labels_and_splits_apart():
    data = tiny_data()
    found = fingerprints(data)
    assert found == fingerprints(tiny_data())
    images, labels = data.train_images.copy(), data.train_labels.copy()
    images[0, 0, 0, 0] ^= 1
    labels[0] += 1
    for other in (data._replace(train_images=images), data._replace(train_labels=labels), limited(data, 23)):
        assert fingerprints(other)["train"] != found["train"]
        assert fingerprints(other)["test"] == found["test"]


def test_a_limit_takes_the_first_training_images():
    data = tiny_data()
    assert limited(data, None) is data
    few = limited(data, 5)
    np.testing.assert_array_equal(few.train_images, data.train_images[:5])
    np.testing.assert_array_equal(few.train_labels, data.train_labels[:5])
    assert few.test_images is data.test_images


@pytest.mark.parametrize("epochs", [0, 1, 2, 50])
def test_the_figure_of_any_number_of_epochs(epochs):
    history = [EpochRecord(0.1, 2.0 / (i + 1), 2.2 / (i + 1), 1 - 0.9 / (i + 1)) for i in range(epochs)]
    picture = draw_run(history, tiny_run_settings(epochs=max(epochs, 1)))
    assert matplotlib.image.imread(io.BytesIO(picture)).shape[1] == 896
    if epochs:
        assert picture != draw_run(history[:-1], tiny_run_settings(epochs=max(epochs, 1)))


def test_a_long_run_draws_on_the_way(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Run, "_draw", lambda self: drawn.append(len(self.history)))
    monkeypatch.setattr(run, "BETWEEN_FIGURES", 0.0)
    tiny_run(tmp_path).go_on()
    assert drawn == [1, 2, 3, 4, 4]

"""an-ref train and an-ref evaluate: options, errors in one line, progress, stopping and going on."""

import io
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tiny import tiny_data
from tiny_run import KEPT, content, tiny_run, without_figure
from typer.testing import CliRunner

from an_ref import cli
from an_ref.cli import train as train_module
from an_ref.cli.train import run_training
from an_ref.cli.train_options import Options
from an_ref.data import load_emoji
from an_ref.training import TrainingDiverged
from an_ref.training.checkpoint import load_checkpoint
from an_ref.training.run import Run
from an_ref.training.terminal import RunProgress

ROOT = Path(__file__).resolve().parent.parent
QUICK = ["--model", "small_cnn", "--epochs", "2", "--limit", "64", "--batch-size", "32"]


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def error(result, code=2):
    """The one line that a failed command prints."""
    assert result.exit_code == code, result.output
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("an-ref: ")
    return result.stderr


def few():
    """The embedded set with 40 test images, so that a test takes no time."""
    data = load_emoji()
    return data._replace(test_images=data.test_images[:40], test_labels=data.test_labels[:40])


@pytest.fixture(autouse=True, scope="module")
def _small_tests():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("an_ref.data.load_emoji", few)
        yield


@pytest.fixture
def no_training(monkeypatch):
    """A wrong option must be found before any work."""
    monkeypatch.setattr(train_module, "run_training", lambda run: pytest.fail("training began"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of the command that is done."""
    out = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        without_figure(patch)
        result = run("train", *QUICK, "--norm", "bn", "--out", out)
    assert result.exit_code == 0, result.output
    return out, result.output


def test_help_has_every_option_and_says_who_chose_the_best_epoch():
    result = run("train", "--help")
    for name in (*Options._fields, "out", "resume"):
        assert f"--{name.replace('_', '-')}" in result.output
    assert "The test images" in result.output
    assert "flatters the net" in run("evaluate", "--help").output


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "cifar"], "unknown image set 'cifar': did you mean 'cifar10'? Choose from emoji"),
        (["--data", "folder"], "for a folder of images say which one, with --data-dir"),
        (["--data-dir", "x"], "leave --data-dir out"),
        (["--data", "cifar10", "--data-dir", "nowhere"], "nowhere"),
        (["--model", "resnet21"], "unknown model 'resnet21': did you mean 'resnet20'?"),
        (["--norm", "bm"], "unknown norm 'bm': did you mean 'bn'?"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--batch-size", "0"], "--batch-size must be from 1 to 1506"),
        (["--batch-size", "1507"], "--batch-size must be from 1 to 1506, the number of training images, got 1507"),
        (["--limit", "100"], "--batch-size must be from 1 to 100, the number of training images, got 128"),
        (["--batch-size", "1"], "--batch-size must be at least 2 for norm 'an', whose attention"),
        (["--limit", "0"], "--limit must be at least 1, got 0"),
        (["--limit", "1507"], "--limit must be from 1 to 1506, the number of training images, got 1507"),
        (["--lr", "0"], "--lr must be above 0 and finite, got 0"),
        (["--label-smoothing", "1"], "--label-smoothing must be from 0 to below 1, got 1"),
        (["--mixup", "-1"], "--mixup must be finite and not negative, got -1"),
        (["--mixup", "nan"], "--mixup must be finite and not negative, got nan"),
    ],
)
def test_a_wrong_option_is_one_line_before_any_work(tmp_path, options, words):
    assert words in error(run("train", "--out", tmp_path, *options))
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_training")
def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert f"cannot write into --out {tmp_path / 'file'}" in error(run("train", "--out", tmp_path / "file"))


def planned(monkeypatch, *options):
    seen = []
    monkeypatch.setattr(train_module, "run_training", lambda run: seen.append(run) or 0)
    result = run("train", *options)
    assert result.exit_code == 0, result.output
    return seen[0]


def test_defaults_are_the_papers_recipe(tmp_path, monkeypatch):
    s = planned(monkeypatch, "--out", tmp_path).settings
    assert (s.data, s.model, s.norm, s.seed, s.limit) == ("emoji", "resnet20", "an", 0, None)
    r = s.recipe
    assert (r.epochs, r.batch_size, r.lr, r.momentum, r.weight_decay) == (30, 128, 0.1, 0.9, 1e-4)
    assert (r.warmup_epochs, r.label_smoothing, r.mixup) == (1, 0, 0)
    assert r.no_decay == ("attn_beta", "attn_gamma", "beta", "bias", "gamma")


def test_options_reach_the_run(tmp_path, monkeypatch):
    options = "--data emoji --model small_cnn --norm gn --epochs 48 --batch-size 32 --seed 5 --limit 100"
    more = "--label-smoothing 0.1 --mixup 0.2"
    made = planned(monkeypatch, *options.split(), *more.split(), "--out", tmp_path / "new" / "folder")
    s, r = made.settings, made.settings.recipe
    assert (s.model, s.norm, s.seed, s.limit, len(made.data.train_labels)) == ("small_cnn", "gn", 5, 100, 100)
    assert (r.epochs, r.batch_size, r.lr, r.warmup_epochs) == (48, 32, 0.025, 2)
    assert (r.label_smoothing, r.mixup) == (0.1, 0.2)
    assert made.out == tmp_path / "new" / "folder"
    expected = f"an-ref train {options} {more} --device cpu --resume".replace("--seed", "--lr 0.025 --seed")
    assert Options.of(s).command("--resume") == expected


def test_plain_lines_one_for_each_epoch(trained):
    out, output = trained
    lines = output.splitlines()
    assert lines[0] == (
        "small_cnn with bn on emoji; 64 training and 40 test images; 2 epochs, batches of 32, lr 0.025, seed 0"
    )
    figures = r"loss \d\.\d{4}  test loss \d+\.\d{4}  test accuracy 0\.\d{4} .{4}  [\d,]+ images/s  0:00:\d\d left"
    for epoch in (1, 2):
        assert re.fullmatch(f"  epoch {epoch} of 2  {figures}", lines[epoch]), lines[epoch]
    history = load_checkpoint(out / "last.npz").about.history
    assert f"Test accuracy {history[-1].test_accuracy:.4f} after the last epoch ({out / 'last.npz'})" in output
    assert "the test images chose it, so it flatters the net" in output
    assert "\x1b" not in output


def test_a_bar_on_a_terminal_and_a_line_for_each_epoch(tmp_path, monkeypatch):
    without_figure(monkeypatch)
    shown = io.StringIO()
    tiny = tiny_run(tmp_path)
    with RunProgress(Console(file=shown, force_terminal=True, width=120), tiny) as progress:
        tiny.go_on(progress.show_batch, progress.show_epoch)
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown.getvalue())
    assert "━" in text
    assert re.search(r"epoch \d of 4 ━+ loss \d\.\d{4}  [\d,]+ images/s  \d:\d\d:\d\d left", text)
    assert len(re.findall(r"test accuracy", text)) == 4


def test_a_second_run_in_the_folder_is_refused(trained):
    out, _ = trained
    before = content(out)
    message = error(run("train", *QUICK, "--out", out))
    assert f"--out {out} already holds last.npz; give --resume to continue that run, or another folder" in message
    assert content(out) == before


@pytest.mark.parametrize(
    ("option", "now", "then"),
    [
        ("data", "cifar10", "emoji"),
        ("model", "resnet20", "small_cnn"),
        ("norm", "gn", "bn"),
        ("epochs", "3", "2"),
        ("batch-size", "16", "32"),
        ("lr", "0.5", "0.025"),
        ("seed", "1", "0"),
        ("limit", "65", "64"),
        ("label-smoothing", "0.1", "0.0"),
        ("mixup", "0.2", "0.0"),
    ],
)
def test_other_settings_than_those_of_the_run(trained, option, now, then):
    out, _ = trained
    before = content(out)
    message = error(run("train", "--resume", "--out", out, f"--{option}", now))
    assert f"--{option} is {now}, but the run in {out / 'last.npz'} has {then}; leave --{option} out" in message
    assert content(out) == before


def test_resuming_with_the_same_settings_or_none_of_a_run_that_is_done(trained, monkeypatch):
    without_figure(monkeypatch)
    out, _ = trained
    before = content(out)
    for options in ([], [*QUICK, "--norm", "bn", "--lr", "0.025"]):
        result = run("train", "--resume", "--out", out, *options)
        assert result.exit_code == 0, result.output
        assert "All epochs are done." in result.output
        assert content(out) == before


def test_a_checkpoint_that_is_damaged_is_one_line_and_stays(tmp_path, trained):
    (tmp_path / "last.npz").write_bytes((trained[0] / "last.npz").read_bytes()[:-100])
    before = content(tmp_path)
    message = error(run("train", "--resume", "--out", tmp_path))
    assert f"{tmp_path / 'last.npz'} is not a checkpoint, or one that was cut short" in message
    assert "give another folder, or remove the file to start again" in message
    assert content(tmp_path) == before


def test_other_images_than_those_of_the_run(trained, monkeypatch):
    out, _ = trained
    data = few()
    other = data._replace(train_images=255 - data.train_images)
    monkeypatch.setattr("an_ref.data.load_emoji", lambda: other)
    assert "take the same --data-dir, unchanged" in error(run("train", "--resume", "--out", out))


def test_ctrl_c_says_how_to_go_on_and_that_works(tmp_path, trained, monkeypatch):
    """Stopped before the first epoch, then after it; the printed command is then run twice."""
    without_figure(monkeypatch)
    usual, out = Run.go_on, tmp_path / "an out"

    def interrupt(epochs):
        def stop(epoch, record):
            raise KeyboardInterrupt

        def go_on(self, on_batch, on_epoch):
            usual(self, stop if epochs == 0 else None, stop)

        monkeypatch.setattr(Run, "go_on", go_on)

    interrupt(0)
    message = error(run("train", *QUICK, "--norm", "bn", "--out", out), 130)
    start, _, command = message.strip().partition("an-ref train ")
    assert start == "an-ref: interrupted; no epoch was kept; to start again: "
    interrupt(1)
    message = error(run("train", *shlex.split(command)), 130)
    start, _, command = message.strip().partition("an-ref train ")
    assert start == "an-ref: interrupted; what was kept is whole; to continue: "
    monkeypatch.setattr(Run, "go_on", usual)
    result = run("train", *shlex.split(command))
    assert result.exit_code == 0, result.output
    assert "Continuing after epoch 1." in result.output
    assert content(out) == content(trained[0])


@pytest.mark.parametrize("lost", [False, True])
def test_a_full_disk_or_a_lost_folder_is_one_line(tmp_path, monkeypatch, lost):
    without_figure(monkeypatch)
    out, usual = tmp_path / "out", Path.open

    def open_(path, mode="r", *rest, **more):
        if mode == "wb" and (out / "last.npz").exists():
            if not lost:
                raise OSError(28, "No space left on device")
            shutil.rmtree(out)
        return usual(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", open_)
    message = error(run("train", *QUICK, "--out", out), 1)
    if lost:
        assert f"cannot write {out / 'log.csv'}: no such file or directory" in message
        assert "no epoch was kept; to start again: an-ref train" in message
        return
    assert f"cannot write {out / 'log.csv'}: no space left on device; when that is mended, what was kept" in message
    assert message.endswith(f"--out {out} --resume\n")
    assert load_checkpoint(out / "last.npz").about.epoch == 1
    assert set(content(out)) == set(KEPT)


def test_divergence_is_one_line(tmp_path, monkeypatch):
    message = error(run("train", *QUICK, "--norm", "none", "--lr", "1e30", "--out", tmp_path), 1)
    assert re.search(
        r"layer [\w.]+ \(\w+\), in epoch \d of 2, step \d of 2; train with a smaller learning rate", message
    )


def test_evaluate_tells_accuracy_loss_and_each_class(trained):
    out, _ = trained
    history = load_checkpoint(out / "last.npz").about.history
    result = run("evaluate", out / "last.npz")
    assert result.exit_code == 0, result.output
    first, second, *rest = result.output.splitlines()
    assert first == "small_cnn with bn, trained on emoji, after epoch 2 of 2"
    assert second == (
        f"40 test images of emoji: accuracy {history[-1].test_accuracy:.4f}, loss {history[-1].test_loss:.4f}"
    )
    labels, rows = few().test_labels, [line.split() for line in rest[2:11]]
    counts = [int(row[-3]) for row in rows]
    assert counts == np.bincount(labels, minlength=9)[:9].tolist()
    hits = [int(row[-2]) for row in rows]
    assert sum(hits) == round(40 * history[-1].test_accuracy)
    for row, hit, count in zip(rows, hits, counts, strict=True):
        assert row[-1] == f"{hit / count:.4f}"
    assert "flatters" not in result.output


def test_evaluate_says_that_the_test_images_chose_best(trained):
    assert "These test images chose best.npz among the epochs" in run("evaluate", trained[0] / "best.npz").output


def test_evaluate_on_other_images(trained, monkeypatch):
    out, _ = trained
    data = few()
    monkeypatch.setattr("an_ref.data.load_emoji", lambda: data._replace(test_images=255 - data.test_images))
    assert "These are not the test images of the training run." in run("evaluate", out / "best.npz").output
    monkeypatch.setattr("an_ref.data.load_emoji", tiny_data)
    message = error(run("evaluate", out / "best.npz"))
    assert "tells 9 classes apart (Activities, Animals & Nature, Flags, ...), tiny has 3 (red, green, blue" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.npz"], "nothing.npz cannot be read: no such file or directory"),
        (["best.npz", "--data", "mnist"], "mnist"),
        (["best.npz", "--data", "folder"], "with --data-dir"),
    ],
)
def test_evaluate_with_something_wrong(trained, arguments, words):
    path, *options = arguments
    assert words in error(run("evaluate", trained[0] / path, *options))


def test_evaluate_finds_the_folder_that_the_run_was_trained_on(tmp_path, trained, monkeypatch):
    """The checkpoint knows --data-dir; another one can be given."""
    arrays = dict(np.load(trained[0] / "last.npz", allow_pickle=False))
    about = json.loads(str(arrays["about"]))
    about["settings"] |= {"data": "folder", "data_dir": "pictures"}
    np.savez(tmp_path / "last.npz", **arrays | {"about": np.array(json.dumps(about))})
    asked = []
    monkeypatch.setattr("an_ref.data.load_folder", lambda path: asked.append(str(path)) or few())
    run("evaluate", tmp_path / "last.npz")
    run("evaluate", tmp_path / "last.npz", "--data-dir", "elsewhere")
    assert asked == ["pictures", "elsewhere"]


def test_evaluate_stops_at_logits_that_are_not_finite(trained, monkeypatch):
    def diverge(*_):
        raise TrainingDiverged("the logits of the test images are not finite")

    monkeypatch.setattr("an_ref.training.evaluate", diverge)
    assert "the logits of the test images" in error(run("evaluate", trained[0] / "last.npz"), 1)


def test_run_training_returns_0(tmp_path, monkeypatch, capsys):
    without_figure(monkeypatch)
    assert run_training(tiny_run(tmp_path)) == 0
    assert "epoch 4 of 4" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be interrupted alone on Windows")
def test_a_real_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "an_ref", "train", *QUICK, "--epochs", "1000", "--out", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            heading, line = process.stdout.readline(), process.stdout.readline()
            process.send_signal(signal.SIGINT)
            output, complaint = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, complaint
    assert heading.startswith("small_cnn with an on emoji; 64 training and 400 test images; 1000 epochs")
    assert line.startswith("  epoch    1 of 1000  loss ")
    assert "Traceback" not in output
    assert complaint.count("\n") == 1
    assert complaint.startswith("an-ref: interrupted; what was kept is whole; to continue: an-ref train ")
    load_checkpoint(tmp_path / "last.npz")

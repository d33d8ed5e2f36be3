"""an-ref study: options, errors in one line, progress, Ctrl-C and going on."""

import io
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from tiny import tiny_data
from typer.testing import CliRunner

from an_ref import cli
from an_ref.cli import study as study_command
from an_ref.parallel import Event
from an_ref.studies import STUDIES, Case, Study, prepare, run_study, study
from an_ref.studies.record import StudySettings, read_record
from an_ref.studies.terminal import StudyProgress

ROOT = Path(__file__).resolve().parent.parent
BN, AN = Case("bn", batch_size=8), Case("an", batch_size=8)
QUICK = ["study", "placement", "--seeds", "2", "--epochs", "1"]


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def error(result, code=2):
    """The one line that a failed command prints."""
    assert result.exit_code == code, result.output
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("an-ref: ")
    return result.stderr


@pytest.fixture
def tiny(monkeypatch):
    """A grid of two cases on a tiny set, run without processes; the list that comes back has the events to come.

    An event in it takes the place of the next run's end; KeyboardInterrupt is raised.
    """
    instead = []

    def run_here(work, jobs, *, workers):
        for job in jobs:
            yield Event(job, "started")
            if instead and instead[0] is not None:
                if instead[0] is KeyboardInterrupt:
                    raise KeyboardInterrupt
                yield Event(job, "failed", instead.pop(0))
            else:
                yield Event(job, "progress", (1, 0.5))
                yield Event(job, "done", work(job, lambda value: None))
                del instead[:1]

    monkeypatch.setattr(study, "run_parallel", run_here)
    monkeypatch.setattr("an_ref.data.load_emoji", tiny_data)
    monkeypatch.setitem(STUDIES, "placement", Study("Where?", (BN, AN), ({"norm": "bn"},)))
    monkeypatch.setattr("an_ref.studies.figures.draw_study", lambda record: b"a figure")
    return instead


def test_help_has_every_study_and_every_option():
    output = run("study", "--help").output
    for name in STUDIES:
        assert f"{name}:" in output
    for option in ("data", "data-dir", "limit", "seeds", "epochs", "model", "out"):
        assert f"--{option} " in output
    assert {(s.seeds, s.epochs) for s in STUDIES.values()} == {(10, 30)}  # what the help says
    assert re.search(r"seeds 0, 1, 2, \.\.\.\W+default: \(10\)", output.replace("\n", " "))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["batchsize"], "unknown study 'batchsize': did you mean 'batch-size'? Choose from batch-size, ablation"),
        (["depth", "--data", "cifar"], "unknown image set 'cifar': did you mean 'cifar10'?"),
        (["depth", "--data", "folder"], "for a folder of images say which one, with --data-dir"),
        (["depth", "--data", "cifar10", "--data-dir", "nowhere"], "nowhere"),
        (["depth", "--model", "resnet21"], "unknown model 'resnet21': did you mean 'resnet20'?"),
        (["depth", "--model", "resnet20"], "the grid of depth does not fit resnet20"),
        (["depth", "--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["depth", "--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["depth", "--limit", "0"], "--limit must be at least 1, got 0"),
        (["depth", "--limit", "1507"], "--limit must be from 1 to 1506, the number of training images, got 1507"),
        (["batch-size", "--limit", "127"], "has batches of 128, and there are only 127 training images; take more"),
    ],
)
def test_a_wrong_option_is_one_line_before_any_work(tmp_path, monkeypatch, arguments, words):
    monkeypatch.setattr(study_command, "run", lambda *_: pytest.fail("a study began"))
    assert words in error(run("study", *arguments, "--out", tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(study_command, "run", lambda *_: pytest.fail("a study began"))
    (tmp_path / "file").write_text("in the way")
    assert f"cannot write into --out {tmp_path / 'file'}" in error(run(*QUICK, "--out", tmp_path / "file"))


@pytest.mark.usefixtures("tiny")
def test_a_study_shows_each_run_and_the_tables_and_leaves_record_and_figure(tmp_path):
    result = run(*QUICK, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[:2] == [
        "Where?",
        "Images: tiny, 24 to train on and 12 to test with, 3 classes; always guessing the largest class: 33.3 %",
    ]
    ended = [
        line for line in lines if re.fullmatch(r"  (bn|an), batch 8, seed \d  test acc.* 0\.\d{3} +\d\.\d s", line)
    ]
    assert len(ended) == 4
    assert "among all 1" in result.output
    assert lines[-1] == f"Record: {tmp_path / 'placement.json'}"
    assert {path.name for path in tmp_path.iterdir()} == {"placement.json", "placement.png"}
    record = read_record(tmp_path / "placement.json")
    assert record["command"].startswith("an-ref study placement --data emoji --model small_cnn --epochs 1 --seeds 2")
    again = run(*QUICK, "--out", tmp_path)
    assert "Continuing: 4 runs done, 0 left." in again.output
    assert read_record(tmp_path / "placement.json") == record
    assert "was made with epochs = 1, and now it is 2" in error(run(*QUICK, "--epochs", "2", "--out", tmp_path))


def test_ctrl_c_keeps_the_runs_that_ended(tmp_path, tiny):
    tiny[:] = [None, KeyboardInterrupt]
    result = run(*QUICK, "--out", tmp_path)
    assert "interrupted; the runs that ended are in" in error(result, 130)
    assert len(read_record(tmp_path / "placement.json")["cases"][0]["runs"]) == 1
    tiny.clear()
    again = run(*QUICK, "--out", tmp_path)
    assert again.exit_code == 0, again.output
    assert "Continuing: 1 run done, 3 left." in again.output


def test_a_failed_run_is_said_and_the_exit_code_is_1(tmp_path, tiny):
    tiny[:] = ["its process ended"]
    result = run(*QUICK, "--out", tmp_path)
    assert result.exit_code == 1
    assert "seed 0  failed, to be tried again at the next start: its process ended" in result.output


def test_a_full_disk_is_one_line(tmp_path, monkeypatch, tiny):
    usual, count = Path.open, []

    def full(path, mode="r", *rest, **more):
        count.append(mode)
        if mode == "wb" and count.count("wb") == 3:
            raise OSError(28, "No space left on device")
        return usual(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", full)
    message = error(run(*QUICK, "--out", tmp_path), 1)
    assert f"cannot write {tmp_path / 'placement.json'}: no space left on device" in message
    assert len(read_record(tmp_path / "placement.json")["cases"][0]["runs"]) == 1


@pytest.mark.usefixtures("tiny")
def test_bars_and_the_remaining_time_on_a_terminal(tmp_path):
    shown = io.StringIO()
    settings = StudySettings("placement", "emoji", None, "small_cnn", epochs=1, seeds=2, limit=None)
    record, data = prepare(settings, tiny_data(), tmp_path)
    with StudyProgress(Console(file=shown, force_terminal=True, width=120), record) as progress:
        run_study(record, data, tmp_path, on_event=lambda event: (progress.show(event), progress._progress.refresh()))
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown.getvalue())
    assert re.search(r"all runs +[━╸╺ ]+ +2/4 +\d:\d\d:\d\d left", text)
    assert re.search(r"an, batch 8, seed 1 +[━╸╺ ]+ +1/1 +epochs  loss 0\.500", text)


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be interrupted alone on Windows")
def test_a_real_ctrl_c(tmp_path):
    options = ["--limit", "128", "--seeds", "50", "--epochs", "1", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "an_ref", "study", "placement", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline() for _ in range(5)]  # four of the heading, and a run
            process.send_signal(signal.SIGINT)
            output, complaint = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, complaint
    assert "seed 0  test accuracy" in lines[-1]
    assert "Traceback" not in output + complaint
    assert complaint.startswith("an-ref: interrupted; the runs that ended are in ")
    kept = sum(len(entry["runs"]) for entry in read_record(tmp_path / "placement.json")["cases"])
    assert 1 <= kept < 200

"""A run that is killed, at whatever moment, continues and ends with the same bits as one that was not."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_run import KEPT, content, tiny_run, without_figure

from an_ref.training.checkpoint import load_checkpoint

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")

TESTS = Path(__file__).resolve().parent
WRITES = 9  # or more: the log at the start, then last.npz and the log after each of 4 epochs

# A process that trains. argv: folder; which write to die in, or -1; where in it; which byte.
SCRIPT = """
import os, signal, sys, time
sys.path[:0] = [{tests!r}, {root!r}]
import pathlib
from an_ref import files
from an_ref.training.run import Run
from tiny_run import tiny_run

folder, number, where, share = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
Run._draw = lambda self: None
writes = -1


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Dying:
    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        global writes
        writes += 1
        if writes == number and where == "write":
            self.file.write(content[: int(share * len(content))])
            self.file.flush()
            die()
        return self.file.write(content)


def around(function, name):
    def wrapped(*arguments):
        if writes == number and where == f"before {{name}}":
            die()
        function(*arguments)
        if writes == number and where == f"after {{name}}":
            die()
    return wrapped


usual = pathlib.Path.open
pathlib.Path.open = lambda self, mode="r", *rest, **more: (
    Dying(usual(self, mode, *rest, **more)) if mode == "wb" else usual(self, mode, *rest, **more)
)
os.fsync, os.replace = around(os.fsync, "fsync"), around(os.replace, "replace")
run = tiny_run(folder)
print("training", flush=True)
run.go_on()
print("done", flush=True)
time.sleep(60)  # there is something to kill, also after the end
"""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        without_figure(patch)
        tiny_run(folder).go_on()
    return folder


def start(folder, number=-1, where="", share=0.0):
    code = SCRIPT.format(tests=str(TESTS), root=str(TESTS.parent))
    arguments = [str(folder), str(number), where, str(share)]
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


def check_resumed(folder, uninterrupted, monkeypatch):
    """Resume in this process, and compare every file that was kept."""
    without_figure(monkeypatch)
    tiny_run(folder).go_on()
    expected = content(uninterrupted)
    assert set(content(folder)) == set(expected) == set(KEPT)
    for name in ("last.npz", "best.npz"):
        ours, theirs = (load_checkpoint(where / name).arrays for where in (folder, uninterrupted))
        for key, array in theirs.items():
            np.testing.assert_array_equal(ours[key], array, strict=True)
    assert content(folder) == expected


def moments():
    """Twelve moments inside the writing of a file, drawn once and for all: which write, where in it, which byte."""
    rng = np.random.default_rng(0)
    places = ["write"] * 6 + ["before fsync", "after fsync", "before replace", "before replace"] + ["after replace"] * 2
    return [(int(rng.integers(WRITES)), place, float(rng.random())) for place in places]


@pytest.mark.parametrize(("number", "where", "share"), moments())
def test_killed_inside_a_write(tmp_path, uninterrupted, monkeypatch, number, where, share):
    with start(tmp_path, number, where, share) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert output == "training\n"
    half = [path for path in tmp_path.iterdir() if path.name not in KEPT]
    assert len(half) == (where != "after replace")  # what was aside is still there
    check_resumed(tmp_path, uninterrupted, monkeypatch)


@pytest.mark.parametrize("part", range(8))
def test_killed_at_a_random_time(tmp_path, uninterrupted, monkeypatch, part):
    """Another moment each time: in the eighths of about half a second, the time that the run takes."""
    wait = (part + np.random.default_rng().random()) / 8 * 0.5
    with start(tmp_path) as process:
        assert process.stdout.readline() == "training\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(wait)
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    print(f"killed after {wait:.3f} s, with {sorted(content(tmp_path))}")
    check_resumed(tmp_path, uninterrupted, monkeypatch)


def test_a_run_killed_again_and_again_still_ends_with_the_same_bits(tmp_path, uninterrupted, monkeypatch):
    for epoch in (1, 2, 3):
        with start(tmp_path, 3, "before replace") as process:  # before it come a log, and one or two checkpoints
            process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        assert load_checkpoint(tmp_path / "last.npz").about.epoch == epoch
    check_resumed(tmp_path, uninterrupted, monkeypatch)

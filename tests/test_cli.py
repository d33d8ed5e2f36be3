"""The command an-ref: its options, its errors in one line, and Ctrl-C."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from tiny import tiny_data, tiny_settings
from typer.testing import CliRunner

import an_ref
from an_ref import cli, nn
from an_ref.cli import compare
from an_ref.cli.options import NEED_TWO, check_batch_size
from an_ref.gradcheck import check_gradients

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"matplotlib", "jinja2"}


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def quick_check(monkeypatch):
    """One real check instead of all of them, which take seconds."""
    x = np.random.default_rng(0).standard_normal((3, 4))
    report = check_gradients(an_ref.relu, an_ref.relu_backward, (x,))
    monkeypatch.setattr("an_ref.terminal.check_all", lambda: iter([("relu", report)]))
    return report


@pytest.fixture
def no_work(monkeypatch):
    """A wrong option must be found before any work: whoever starts some fails."""

    def refuse(*_, **__):
        pytest.fail("work was done before the options were checked")

    monkeypatch.setattr(compare, "run_comparison", refuse)


def test_version():
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"an-ref {an_ref.__version__}\n")


def test_the_command_is_there_as_a_module_too():
    done = subprocess.run(
        [sys.executable, "-m", "an_ref", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"an-ref {an_ref.__version__}\n"


def test_help_lists_every_option_with_its_default():
    result = run("compare", "--help")
    assert result.exit_code == 0
    for words in ("--norms", "none,bn,gn,sn,se,an", "--epochs", "--batch-size", "--seeds", "--lr", "--device", "--out"):
        assert words in result.output
    assert result.output.count("default:") == 8


def test_help_needs_no_heavy_import():
    code = "import an_ref.cli, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & HEAVY


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--norms", "bn,bm"], "unknown norm 'bm': did you mean 'bn'? Choose from none, bn, ln"),
        (["--norms", "AN"], "unknown norm 'AN': did you mean 'an'?"),
        (["--norms", "an_gn"], "did you mean 'an-gn'?"),
        (["--norms", " , "], "--norms names nothing; choose from none, bn"),
        (
            ["--model", "resnet-20"],
            "unknown model 'resnet-20': did you mean 'resnet20'? Choose from small_cnn",
        ),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--batch-size", "0"], "--batch-size must be from 1 to 1506"),
        (["--batch-size", "1507"], "--batch-size must be from 1 to 1506"),
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["--lr", "0"], "--lr must be above 0 and finite, got 0"),
        (["--lr", "nan"], "--lr must be above 0 and finite, got nan"),
        (["--lr=-0.1"], "--lr must be above 0 and finite, got -0.1"),
        (["--batch-size", "1", "--norms", "bn,an"], "--batch-size must be at least 2 for norm 'an'"),
    ],
)
def test_a_wrong_option_is_one_line_before_any_work(tmp_path, options, words):
    result = run("compare", "--out", tmp_path, *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("an-ref: ")
    assert words in result.stderr


@pytest.mark.parametrize("norm", nn.NORMS)
def test_batches_of_one_are_refused_for_just_the_norms_that_cannot_take_them(norm):
    model, x = nn.small_cnn(norm=norm, classes=3), np.random.default_rng(0).random((1, 3, 16, 16), np.float32)
    if norm in NEED_TWO:
        with pytest.raises(ValueError, match="batch"):
            model.forward(x)
        with pytest.raises(typer.Exit):
            check_batch_size(1, 10, (norm,))
    else:
        assert np.isfinite(model.forward(x)).all()
        check_batch_size(1, 10, (norm,))


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("name", ["file", "file/inside"])
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    result = run("compare", "--out", tmp_path / name)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"an-ref: cannot write into --out {tmp_path / name}: ")
    assert result.stderr.count("\n") == 1


def test_options_reach_the_comparison(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(compare, "run_comparison", lambda *arguments: seen.append(arguments) or 7)
    options = ["--norms", "an, bn,an", "--model", "resnet20", "--epochs", "4", "--batch-size", "32", "--seeds", "2"]
    result = run("compare", *options, "--lr", "0.2", "--out", tmp_path / "new" / "folder")
    assert result.exit_code == 7
    ((settings, data, out),) = seen
    assert settings[:6] == ("resnet20", ("an", "bn"), (0, 1), 4, 32, 0.2)
    assert len(data.train_labels) == 1506
    assert out.is_dir()


def test_compare_checks_trains_and_leaves_a_report(tmp_path, capsys, quick_check):
    assert compare.run_comparison(tiny_settings(), tiny_data(), tmp_path) == 0
    output = capsys.readouterr().out
    assert output.index("relu") < output.index("none  seed 0  test accuracy")
    assert "an-ref" not in output.splitlines()[-1]
    assert output.splitlines()[-1] == f"Report: {tmp_path / 'report.html'}"
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"details.json", "figures", "report.html", "results.json"}


def test_a_wrong_gradient_stops_the_comparison(tmp_path, capsys, monkeypatch):
    def twice(dy, cache):
        return 2 * an_ref.relu_backward(dy, cache)

    x = np.random.default_rng(0).standard_normal((3, 4))
    wrong = check_gradients(an_ref.relu, twice, (x,))
    monkeypatch.setattr("an_ref.terminal.check_all", lambda: iter([("relu", wrong)]))
    assert compare.run_comparison(tiny_settings(), tiny_data(), tmp_path) == 1
    assert "WRONG" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_check_says_which_op_is_wrong_and_exits_with_1(monkeypatch, quick_check):
    finding = an_ref.gradcheck.Finding(0, "x", "dx is wrong here")
    wrong = replace(quick_check, findings=(finding,))
    monkeypatch.setattr("an_ref.terminal.check_all", lambda: iter([("good", quick_check), ("bad", wrong)]))
    result = run("check")
    assert result.exit_code == 1
    good, bad, *rest = result.output.splitlines()
    assert good.split() == ["good", f"{quick_check.max_error:.1e}", "ok"]
    assert bad.split()[-1] == "WRONG"
    assert any("dx is wrong here" in line for line in rest)


def test_check_is_content_with_this_library():
    result = run("check")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert all(line.endswith("ok") for line in lines)
    for name in ("batch_norm", "switchable_norm", "squeeze_excite", "conv2d", "attentive_norm, batch"):
        assert any(line.strip().startswith(name) for line in lines)


def test_a_failed_run_shows_in_the_exit_code(tmp_path, capsys, quick_check):
    assert compare.run_comparison(tiny_settings(lr=1e18), tiny_data(), tmp_path) == 1
    assert "none  seed 0  failed: the loss is" in capsys.readouterr().out


def test_ctrl_c_is_one_line(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("an_ref.terminal.check_all", interrupt)
    result = run("check")
    assert (result.exit_code, result.stderr) == (130, "an-ref: interrupted\n")


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "results.json")

    monkeypatch.setattr(compare, "run_comparison", full)
    result = run("compare", "--out", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith("an-ref: ")
    assert result.stderr.count("\n") == 1


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from tiny import tiny_data, tiny_settings
from an_ref.cli import compare
if __name__ == "__main__":
    settings = tiny_settings(norms=("none", "bn"), seeds=tuple(range(100)))
    sys.exit(compare.run_comparison(settings, tiny_data(), Path(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a process group cannot be interrupted alone on Windows")
def test_ctrl_c_keeps_the_finished_runs(tmp_path):
    """As in a terminal, the signal reaches the command and all its workers."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: (tmp_path / "results.json").exists(), seconds=120)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 130, output
        assert "Traceback" not in output
        assert "KeyboardInterrupt" not in output
        results = json.loads((tmp_path / "results.json").read_text())
        finished = sum(len(entry["seeds"]) for entry in results["results"].values())
        assert results["interrupted"]
        assert 1 <= finished < 200
        assert f"Interrupted: {finished} of 200 runs had finished." in output
        assert "was interrupted" in (tmp_path / "report.html").read_text(encoding="utf-8")
        wait_for(lambda: not group_exists(process.pid), seconds=20)  # no worker is left behind
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def group_exists(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True

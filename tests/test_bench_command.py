"""an-ref bench: options, errors in one line, what it leaves, Ctrl-C."""

import json
import re
import sys

import pytest
from typer.testing import CliRunner

from an_ref import cli
from an_ref.bench import SECTIONS, TINY
from an_ref.bench.plan import FULL, QUICK


def run(*arguments):
    return CliRunner().invoke(cli.app, ["bench", *map(str, arguments)])


def error(result, code=2):
    """The one line that a failed command prints."""
    assert result.exit_code == code, result.output
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("an-ref: ")
    return result.stderr


@pytest.fixture
def no_torch(monkeypatch):
    for module in ("contestants", "record"):
        monkeypatch.setattr(f"an_ref.bench.{module}.has_torch", lambda: False)


def test_help_has_every_section_and_every_option():
    output = run("--help").output
    for name in SECTIONS:
        assert f"{name}: " in output
    for option in ("quick", "device", "out", "rounds", "only"):
        assert f"--{option} " in output
    assert "--tiny" not in output
    assert f"default: ({FULL.rounds}, quick: {QUICK.rounds})" in re.sub(r"[\s│]+", " ", output)
    assert ",".join(SECTIONS) in re.sub(r"[\s│]+", "", output)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "norm"], "unknown section 'norm': did you mean 'norms'? Choose from norms, convolutions"),
        (["--device", "cuda"], "unknown device 'cuda': did you mean"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (
            ["--device", "gpu", "--only", "norms,convolutions"],
            "--only convolutions: with --device gpu only norms, steps are measured",
        ),
    ],
)
def test_a_wrong_option_is_one_line(arguments, words, tmp_path):
    assert words in error(run(*arguments, "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_gpu_where_there_is_none_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    line = error(run("--tiny", "--device", "gpu", "--out", tmp_path / "out"))
    assert "--device gpu: no GPU: CuPy is not installed; pip install 'an-ref[gpu]'" in line
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot write into --out" in error(run("--tiny", "--out", tmp_path / "file"))


def test_a_run_leaves_the_record_and_its_figures(tmp_path, no_torch):
    result = run("--tiny", "--only", "convolutions,cost", "--rounds", 1, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "pip install torch" in result.output
    assert re.search(r"Threads: \d+ for every contestant; rounds: 1", result.output)
    record = json.loads((tmp_path / "bench.json").read_text())
    assert record["complete"]
    assert record["command"] == "an-ref bench --tiny --device cpu --rounds 1 --only convolutions,cost"
    assert {row["section"] for row in record["rows"]} == {"convolutions"}
    assert set(record["cost"]) == {*TINY.cost, "an over bn"}
    for lines in (lines for vary, lines in record["cost"].items() if vary in TINY.cost):
        for line in lines:
            assert len(line["sizes"]) == len(line["seconds"]) == len(line["memory"]) == 2
            assert min(line["seconds"]) > 0
    for name in ("bench.png", "cost.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_ctrl_c_keeps_what_was_measured(tmp_path, no_torch, monkeypatch):
    def stop_at_the_second(case, seed, library, right=[]):  # noqa: B006
        if right:
            raise KeyboardInterrupt
        right.append(case)
        return {}

    monkeypatch.setattr("an_ref.bench.record.expected_norm", stop_at_the_second)
    result = run("--tiny", "--only", "norms", "--out", tmp_path)
    assert f"interrupted; what was measured is in {tmp_path / 'bench.json'}" in error(result, 130)
    record = json.loads((tmp_path / "bench.json").read_text())
    assert record["interrupted"]
    assert not record["complete"]
    assert {row["name"] for row in record["rows"]} == {"bn"}

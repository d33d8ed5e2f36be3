"""docs/checker.md shows what its code and its commands print, up to the digits, and what the source says."""

import contextlib
import io
import linecache
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from an_ref import cli
from an_ref.gradcheck import check, measure, safety, second_order

PAGE = Path(__file__).resolve().parent.parent / "docs" / "checker.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
CONSOLE = [text for language, text in BLOCKS if language == "console"]


def masked(text):
    """Rounding differs between machines."""
    return re.sub(r"\d+\.\d+(e[+-]\d+)?", "#", text).rstrip()


def test_the_reports_are_what_the_code_prints():
    names, printed, compared = {}, "", 0
    for number, (language, text) in enumerate(BLOCKS):
        if language == "python":
            file = f"{PAGE.name}, block {number}"
            linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # where inspect looks
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(text, file, "exec"), names)
            printed = out.getvalue()
        elif language == "output":
            assert masked(printed) == masked(text)
            compared += 1
    assert compared >= 5


@pytest.mark.parametrize("shown", CONSOLE, ids=range(len(CONSOLE)))
def test_the_commands_print_what_stands_below_them(shown, tmp_path, monkeypatch):
    code = next(text for language, text in BLOCKS if language == "python")
    assert code.startswith("# my_layer.py\n")
    monkeypatch.chdir(tmp_path)
    Path("my_layer.py").write_text(code, encoding="utf-8")
    first, printed = shown.split("\n", 1)
    program, *arguments = shlex.split(first.removeprefix("$ "))
    assert program == "an-ref"
    assert masked(CliRunner().invoke(cli.app, arguments).output) == masked(printed)


def test_the_calls_that_are_not_complex_safe_are_all_listed():
    rows = [row for row in TEXT.splitlines() if row.startswith("| `")]
    for call, instead in safety.UNSAFE.items():
        assert any(f"`{call}`" in row and instead in row for row in rows), call


TOLERANCE = measure.TOLERANCE | {
    "adjoint": measure.TOLERANCE["complex"],
    "second_order": second_order.TOLERANCE["complex"],
}


def test_the_numbers_are_those_of_the_source():
    for method in check.METHODS:
        (row,) = [row for row in TEXT.splitlines() if row.startswith(f'| `"{method}"`')]
        tolerance = TOLERANCE[method]
        assert f" {tolerance:.0e} ".replace("e-0", "e-") in row
    for number, words in (
        (measure.FULL_SIZE, "Up to 4000 entries"),
        (measure.DETAIL_SIZE, "more than 20,000 entries"),
        (measure.NOISE, "30 times what rounding does"),
        (round(1 / measure.BLIND), "cancels by a factor of 10,000"),
    ):
        assert str(number) in words.replace(",", "")
        assert words in TEXT.replace("\n", " ")
    for dtype, tolerance in measure.LOW_PRECISION.items():
        assert f"{dtype} " in TEXT
        assert f" {tolerance:.0e}".replace("e-0", "e-") in TEXT

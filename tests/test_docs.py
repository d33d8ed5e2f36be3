"""The pages in docs/ tell the truth: their Python blocks run, print what stands below them, and their tests pass."""

import contextlib
import io
import re
from pathlib import Path

import pytest
from hypothesis import Phase

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks(page):
    """Return the blocks of a page as (language, text); "python no-run" is a language of its own."""
    return [(match[1].strip(), match[2]) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def _run(code, names):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "docs", "exec"), names)
    return out.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_blocks_run_in_order_and_print_the_text_below_them(page):
    names, printed = {"__name__": page.stem}, ""
    for language, text in _blocks(page):
        if language == "python":
            printed = _run(text, names)
        elif language == "text":
            assert printed == text
    for name in [name for name in names if name.startswith("test_")]:
        names[name]()


def test_the_ten_lines_find_the_wrong_backward():
    layer, test, wrong, *_ = (text for language, text in _blocks(DOCS / "property-tests.md") if language == "python")
    assert len([line for line in test.splitlines() if line.strip()]) == 10
    test = test.replace("rms_norm_backward", "wrong_backward")
    test = test.replace("deadline=None", "deadline=None, phases=[Phase.generate], database=None")
    names = {"__name__": "property-tests", "Phase": Phase}
    _run(layer + wrong + test, names)
    with pytest.raises(AssertionError, match="dx"):
        names["test_rms_norm"]()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_local_links_exist(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (DOCS / target).exists(), target

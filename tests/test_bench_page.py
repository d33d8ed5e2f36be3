"""docs/speed.md: every table on the page is what docs/speed/bench.json makes it; without one it says so."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from an_ref.bench import TINY, Case
from an_ref.bench.contestants import TIMED
from an_ref.bench.figures import draw_cost, draw_ratios
from an_ref.bench.page import FIGURES, MARKED, NOT_YET, fill_page
from an_ref.bench.record import read_record, rows_of, start_record, write_record
from an_ref.bench.tables import MAKERS, facts, tables
from an_ref.bench.terminal import show_tables

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = {  # page -> the tables on it; its record is in the folder of the same name
    "speed": set(MAKERS),
    "gpu": {*TIMED["gpu"], "missing"},
}
both_pages = pytest.mark.parametrize("name", PAGES)


@pytest.fixture
def record():
    """A record with a little of everything, made from invented times."""
    case, step = Case("norm", "an", (4, 16, 8, 8)), Case("step", "bn", (128, 3, 32, 32))
    parts = {"forward": [0.001, 0.002], "backward": [0.003, 0.004], "both": [0.004, 0.006]}
    twice = {part: [2 * s for s in seconds] for part, seconds in parts.items()}
    made = start_record(TINY, "an-ref bench")
    made["rows"] = rows_of("norms", case, {"an_ref": parts, "PyTorch, tuned": twice})
    made["rows"] += rows_of("steps", step, {"an_ref": {"step": [0.25]}})
    made["rows"][-1] |= {"memory": 400_000_000, "process_memory": 430_000_000}
    line = {"sizes": [1, 2], "seconds": [1.0, 2.0], "memory": [3, 6], "time_exponent": 1.0, "memory_exponent": None}
    made["cost"] = {"N": [{"norm": "bn", **line}], "an over bn": {"shape": [4, 16], "ratio": [1.1, 1.0, 1.2]}}
    errors = {"y": 1e-7, "dx": None, "dgamma": 2e-7, "dbeta": 3e-7}
    made["accuracy"] = [{"norm": "bn", "offset": 1e3, "contestant": "an_ref", "errors": errors}]
    reason = {"contestant": "torch.compile", "reason": "no compiler"}
    made["missing"] = [reason | {"case": "bn"}, reason | {"case": "an"}]
    return made


def text_of(name):
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


@both_pages
def test_the_page_is_what_the_record_makes_it(name):
    """If not: python scripts/make_speed_page.py, and read the text again."""
    assert fill_page(text_of(name), DOCS / name) == text_of(name)


@both_pages
def test_every_table_is_on_the_page(name):
    assert {found[2] for found in MARKED.finditer(text_of(name))} == {*PAGES[name], "facts", "figures"}


@both_pages
def test_the_committed_record_is_whole_and_names_no_folder_of_a_machine(name):
    path = DOCS / name / "bench.json"
    if not path.exists():
        assert NOT_YET in text_of(name)
        return
    record = read_record(path)
    assert record["complete"]
    assert record["device"] == ("gpu" if name == "gpu" else "cpu")
    assert not re.search(r"(?<![\w])/(?:tmp|home|root|work|Users)\b|\b[A-Z]:\\", path.read_text(encoding="utf-8"))
    assert FIGURES.keys() == {"bench.png", "cost.png"}
    for file in [file for file, part in (("bench.png", "rows"), ("cost.png", "cost")) if record[part]]:
        assert (path.parent / file).read_bytes().startswith(b"\x89PNG")


def test_the_tables_show_the_record(record):
    shown = {name: table.rows for name, table in tables(record).items()}
    assert shown["norms"] == [
        ("an, 4x16x8x8", "an_ref", "1.5", "3.5", "5", "0.50 (0.50-0.50)"),
        ("an, 4x16x8x8", "PyTorch, tuned", "3", "7", "10", "1.00 (1.00-1.00)"),
    ]
    assert shown["steps"] == [("bn, 128x3x32x32", "an_ref", "512", "400", "430", "1.00 (1.00-1.00)")]
    assert shown["cost"] == [
        ("N", "bn", "1 to 2", "1.00", ""),
        ("an over bn at 4x16", "", "", "1.10 (1.00-1.20)", ""),
    ]
    assert shown["accuracy"] == [("bn", "1000", "an_ref", "1.0e-07", "not finite", "3.0e-07")]
    assert shown["missing"] == [("torch.compile", "2 cases", "no compiler")]


def test_a_narrow_terminal_shows_every_number_whole(record):
    console = Console(file=io.StringIO(), width=80)
    show_tables(console, record)
    shown = console.file.getvalue()
    for table in tables(record).values():
        words = {word for row in table.rows for cell in row for word in cell.split() if word[0].isdigit()}
        assert words
        assert words <= set(shown.split())


def test_a_page_is_filled_from_the_record_and_a_changed_number_is_noticed(record, tmp_path):
    empty = "".join(f"<!-- begin {name} -->\nold\n<!-- end {name} -->\n" for name in (*MAKERS, "facts", "figures"))
    assert fill_page(empty, tmp_path).count(NOT_YET) == len(MAKERS) + 2
    write_record(record, tmp_path)
    page = fill_page(empty, tmp_path)
    assert "old" not in page
    assert "| an, 4x16x8x8 | an_ref | 1.5 | 3.5 | 5 | 0.50 (0.50-0.50) |" in page
    assert all(fact in page for fact in facts(record))
    assert fill_page(page, tmp_path) == page
    record["rows"][0]["seconds"] = [9.0]
    write_record(record, tmp_path)
    assert fill_page(page, tmp_path) != page


def test_the_figures_are_drawn_and_nothing_is_drawn_of_nothing(record):
    assert draw_ratios(record).startswith(b"\x89PNG")
    assert draw_cost(record).startswith(b"\x89PNG")
    nothing = json.loads(json.dumps(start_record(TINY, "an-ref bench")))
    assert draw_ratios(nothing) is None
    assert draw_cost(nothing) is None
    assert not tables(nothing)

"""docs/studies.md: every number on the page is one of its records', and the records are whole."""

import re
import shutil
from pathlib import Path

import pytest

from an_ref.studies import STUDIES
from an_ref.studies.page import MARKED, fill_page
from an_ref.studies.record import case_of, missing_runs, read_record

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "studies.md"
RECORDS = sorted((DOCS / "studies").glob("*.json"))


def test_the_page_is_what_the_records_make_it():
    """If not: python scripts/make_studies_page.py, and read the text again."""
    text = PAGE.read_text(encoding="utf-8")
    assert fill_page(text, DOCS / "studies") == text


def test_every_record_and_every_study_is_on_the_page_with_its_figure():
    names = {found[2] for found in MARKED.finditer(PAGE.read_text(encoding="utf-8"))}
    assert {name for name in names if not name.startswith("published")} == {path.stem for path in RECORDS}
    assert {read_record(path)["study"] for path in RECORDS} == set(STUDIES)
    for path in RECORDS:
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_each_figure_with_a_decimal_point_in_the_text_stands_in_a_table():
    text = PAGE.read_text(encoding="utf-8")
    known = set(re.findall(r"\d+\.\d+", " ".join(found[3] for found in MARKED.finditer(text)))) | {"0.05"}
    by_hand = re.sub(r"\]\([^)]*\)|```.*?```", "", MARKED.sub("", text), flags=re.DOTALL)
    said = re.findall(r"\d+\.\d+", by_hand)
    assert said
    assert set(said) <= known


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_is_whole_of_the_declared_grid_and_names_no_folder_of_a_machine(path):
    record = read_record(path)
    assert record["complete"]
    assert not missing_runs(record)
    assert tuple(case_of(entry) for entry in record["cases"]) == STUDIES[record["study"]].cases
    for key in ("machine", "versions", "command", "date"):
        assert record[key]
    assert not re.search(r"(?<![\w])/(?:tmp|home|root|work|Users)\b|\b[A-Z]:\\", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_changed_number_is_noticed(tmp_path, path):
    shutil.copytree(DOCS / "studies", tmp_path / "studies")
    text = PAGE.read_text(encoding="utf-8")
    assert fill_page(text, tmp_path / "studies") == text
    changed = re.sub(r'"test_accuracy": 0\.\d+', '"test_accuracy": 0.0', path.read_text(encoding="utf-8"), count=1)
    (tmp_path / "studies" / path.name).write_text(changed, encoding="utf-8")
    assert fill_page(text, tmp_path / "studies") != text

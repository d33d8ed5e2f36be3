"""Make the tables and figures of docs/studies.md anew from docs/studies/*.json: python scripts/make_studies_page.py

The text between the tables is written by hand: read it again when the numbers have changed.
"""

from __future__ import annotations

from pathlib import Path

from an_ref.studies.figures import draw_study
from an_ref.studies.page import fill_page
from an_ref.studies.record import read_record

DOCS = Path(__file__).resolve().parent.parent / "docs"


def main() -> None:
    """Draw every figure and fill the page."""
    for path in sorted((DOCS / "studies").glob("*.json")):
        path.with_suffix(".png").write_bytes(draw_study(read_record(path)))
    page = DOCS / "studies.md"
    page.write_text(fill_page(page.read_text(encoding="utf-8"), DOCS / "studies"), encoding="utf-8")
    print(f"wrote {page.name} and its figures")


if __name__ == "__main__":
    main()

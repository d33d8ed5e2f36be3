"""Make the tables and figures of docs/speed.md and docs/gpu.md anew: python scripts/make_speed_page.py

They come from docs/speed/bench.json and docs/gpu/bench.json, where `an-ref bench --out` has put them. The text
between the tables is written by hand: read it again when the numbers have changed.
"""

from __future__ import annotations

from pathlib import Path

from an_ref.bench.figures import draw_cost, draw_ratios
from an_ref.bench.page import fill_page
from an_ref.bench.record import read_record

DOCS = Path(__file__).resolve().parent.parent / "docs"


def main() -> None:
    """Draw the figures and fill the pages."""
    for folder in (DOCS / "speed", DOCS / "gpu"):
        page = folder.with_suffix(".md")
        if (folder / "bench.json").exists():
            record = read_record(folder / "bench.json")
            for name, picture in (("bench.png", draw_ratios(record)), ("cost.png", draw_cost(record))):
                if picture is not None:
                    (folder / name).write_bytes(picture)
        page.write_text(fill_page(page.read_text(encoding="utf-8"), folder), encoding="utf-8")
        print(f"wrote {page.name} and its figures")


if __name__ == "__main__":
    main()

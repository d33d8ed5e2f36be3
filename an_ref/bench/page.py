"""The parts of docs/speed.md that are made from docs/speed/bench.json: everything between a pair of markers.

<!-- begin norms -->        the table of that name, "facts", or "figures"
<!-- end norms -->
"""

from __future__ import annotations

import re
from pathlib import Path

from .record import Record, read_record
from .tables import Table, facts, tables

MARKED = re.compile(r"(<!-- begin ([\w -]+) -->\n)(.*?)(<!-- end \2 -->\n)", re.DOTALL)
NOT_YET = "*Not yet measured.*\n"
NOBODY = "Nobody: all contestants ran, and agreed.\n"
FIGURES = {"bench.png": "time of each contestant over the reference", "cost.png": "time and memory as work grows"}


def fill_page(text: str, folder: Path) -> str:
    """Return the page with what stands between its markers made anew from bench.json in `folder`, if it is there."""
    path = folder / "bench.json"
    record = read_record(path) if path.exists() else None
    return MARKED.sub(lambda found: f"{found[1]}{_content(found[2], record, folder)}{found[4]}", text)


def _content(name: str, record: Record | None, folder: Path) -> str:
    if record is None:
        return NOT_YET
    if name == "facts":
        lines = "".join(f"- {fact}\n" for fact in facts(record))
        return f"```sh\n{record['command']}\n```\n\n{lines}- Record: [bench.json]({folder.name}/bench.json)\n"
    if name == "figures":
        shown = [f"![{what}]({folder.name}/{file})\n" for file, what in FIGURES.items() if (folder / file).exists()]
        return "\n".join(shown) or NOT_YET
    table = tables(record).get(name)
    if table is None:
        return NOBODY if name == "missing" else NOT_YET
    return markdown(table)


def markdown(table: Table) -> str:
    """Return a table in Markdown under its title in bold."""
    rows = [table.heads, ("---",) * len(table.heads), *table.rows]
    return f"**{table.title}**\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)

"""The parts of docs/studies.md that are made from the records: everything between a pair of markers.

<!-- begin depth -->        the record docs/studies/depth.json: command, facts, tables, figure
<!-- end depth -->
<!-- begin published depth -->    the published figures that stand beside a study
<!-- end published depth -->
"""

from __future__ import annotations

import re
from pathlib import Path

from .published import published_table
from .record import Record, read_record
from .tables import Table, facts, result_tables

MARKED = re.compile(r"(<!-- begin ([\w -]+) -->\n)(.*?)(<!-- end \2 -->\n)", re.DOTALL)


def fill_page(text: str, folder: Path) -> str:
    """Return the page with what stands between its markers made anew from the records in `folder`."""
    return MARKED.sub(lambda found: f"{found[1]}{_content(found[2], folder)}{found[4]}", text)


def _content(name: str, folder: Path) -> str:
    first, _, study = name.partition(" ")
    if first != "published":
        return record_block(read_record(folder / f"{name}.json"), f"{folder.name}/{name}")
    table = published_table(study)
    if table is None:
        raise ValueError(f"no figures are published beside {study!r}; take the markers out of the page")
    return markdown(table)


def record_block(record: Record, path: str) -> str:
    """Return what the page shows of a record; `path` is that of its .json and .png, without the ending."""
    accuracies, comparisons = (markdown(table) for table in result_tables(record))
    lines = "".join(f"- {fact}\n" for fact in facts(record))
    figure = f"![{record['study']}: figure of the results]({path}.png)\n"
    command = f"```sh\n{record['command']}\n```\n"
    lines += f"- Record: [{path}.json]({path}.json)\n"
    return "\n".join([command, lines, figure, accuracies, comparisons])


def markdown(table: Table) -> str:
    """Return a table in Markdown under its title in bold."""
    rows = [table.heads, ("---",) * len(table.heads), *table.rows]
    return f"**{table.title}**\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)

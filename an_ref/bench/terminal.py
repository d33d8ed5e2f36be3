"""What `an-ref bench` shows at its end: the tables."""

from __future__ import annotations

from typing import Any

import rich.table
from rich.console import Console
from rich.text import Text

from .tables import Table, tables


def show_tables(console: Console, record: dict[str, Any]) -> None:
    """Show the tables of what has been measured."""
    for table in tables(record).values():
        console.print()
        console.print(_shown(table))


def _shown(table: Table) -> rich.table.Table:
    """Return the table for a terminal, which is narrow: a case has a line of its own above its contestants."""
    grouped = table.heads[:2] == ("case", "contestant")
    shown = rich.table.Table(title=table.title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in table.heads[grouped:]:
        shown.add_column(head, overflow="fold", min_width=11 if head.startswith("over ") else None)
    before = None
    for row in table.rows:
        if grouped and row[0] != before:
            shown.add_row(Text(row[0], style="bold"))
            before = row[0]
        shown.add_row(*(Text(cell) for cell in row[grouped:]))
    return shown

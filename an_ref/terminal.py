"""What the command shows while it works: gradient checks line by line, progress with remaining time, the table."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from .gradcheck import Report
from .gradcheck.suite import check_all, check_layers
from .parallel import Event
from .report import Summary, verdict
from .results import Settings


def show_check(console: Console) -> list[tuple[str, Report]]:
    """Check every op and every layer of the package and show it; return the reports."""
    return show_reports(console, itertools.chain(check_all(), check_layers()))


def show_reports(console: Console, checks: Iterable[tuple[str, Report]]) -> list[tuple[str, Report]]:
    """Show one line for each check as it is done, with its worst error, then whole what has something to say."""
    reports = []
    for name, report in checks:
        line = f"  {name:<34} {report.max_error:8.1e}  {'ok' if report.ok else 'WRONG'}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        reports.append((name, report))
    for _, report in reports:
        if not report.ok or report.blind or report.notes:
            console.print(f"\n{report}", highlight=False, markup=False, soft_wrap=True)
    return reports


class TrainingProgress:
    """Bars with the remaining time: one for everything, one for each net in training. Use it as a context manager."""

    def __init__(self, console: Console, settings: Settings) -> None:
        self._epochs = settings.epochs
        self._progress = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            transient=True,
            speed_estimate_period=120,
        )
        runs = len(settings.norms) * len(settings.seeds)
        self._total = self._progress.add_task(f"[bold]{runs} nets", total=runs * settings.epochs)
        self._bars: dict[Any, TaskID] = {}

    def __enter__(self) -> TrainingProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        """Show what happened to a run; a finished or failed one leaves a line."""
        name = f"{event.job.norm:<5} seed {event.job.seed}"
        if event.kind == "started":
            self._bars[event.job] = self._progress.add_task(name, total=self._epochs)
        elif event.kind == "progress":
            epoch, loss = event.value
            self._progress.update(self._bars[event.job], completed=epoch, description=f"{name}  loss {loss:.3f}")
            self._progress.advance(self._total)
        else:
            bar = self._bars.pop(event.job)
            missing = self._epochs - self._progress.tasks[self._progress.task_ids.index(bar)].completed
            self._progress.advance(self._total, missing)  # what a failed run will not do is not left either
            self._progress.remove_task(bar)
            self._progress.console.print(f"  {name}  {_outcome(event)}", highlight=False, markup=False, soft_wrap=True)


def _outcome(event: Event) -> str:
    if event.kind == "failed":
        return f"failed: {event.value}"
    return f"test accuracy {event.value.test_accuracy:.3f}  {event.value.seconds:5.1f} s"


def results_table(summaries: list[Summary]) -> Table:
    """Return one row for each norm: accuracy, paired difference to BN with its verdict, seconds, parameters."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("norm", style="bold")
    for heading in ("test accuracy", "95 % interval", "minus bn", "verdict", "seconds", "parameters"):
        table.add_column(heading, justify="right")
    for s in summaries:
        if s.accuracy is None:
            table.add_row(s.norm, "no run finished")
            continue
        mean, low, high = s.accuracy
        table.add_row(
            s.norm,
            f"{mean:.3f}",
            "one seed" if low is None else f"{low:.3f} to {high:.3f}",
            "" if s.difference is None else f"{s.difference.mean:+.3f}",
            verdict(s.difference),
            f"{s.seconds:.1f}",
            f"{s.parameters:,}",
        )
    return table

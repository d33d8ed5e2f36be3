"""What `an-ref study` shows: a heading, bars with the remaining time, a line for each run, the tables."""

from __future__ import annotations

import time
from datetime import timedelta

import rich.table
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from ..parallel import Event
from .grid import STUDIES
from .record import Record, missing_runs
from .study import Job
from .tables import describe, facts, result_tables


class StudyProgress:
    """Bars with the remaining time: one for all runs, one for each net in training. Use it as a context manager."""

    def __init__(self, console: Console, record: Record) -> None:
        self._record = record
        self._epochs = record["settings"]["epochs"]
        self._progress = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        done = sum(len(entry["runs"]) for entry in record["cases"])
        runs = done + len(missing_runs(record))
        self._all = self._progress.add_task("[bold]all runs", total=runs, completed=done, state="")
        self._bars: dict[Job, TaskID] = {}
        self._started: dict[Job, float] = {}

    def __enter__(self) -> StudyProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        """Show what happened to a run; one that ended leaves a line."""
        job = event.job
        name = f"{describe(job.case, self._record['study'])}, seed {job.seed}"
        if event.kind == "started":
            self._bars[job] = self._progress.add_task(name, total=self._epochs, state="epochs")
            self._started[job] = time.monotonic()
        elif event.kind == "progress":
            epoch, loss = event.value
            self._progress.update(self._bars[job], completed=epoch, state=f"epochs  loss {loss:.3f}")
        else:
            self._progress.remove_task(self._bars.pop(job))
            del self._started[job]
            self._progress.advance(self._all)
            line = f"  {name}  {_outcome(event)}"
            self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)
        now = time.monotonic()
        left = remaining(self._record, {job: now - start for job, start in self._started.items()})
        self._progress.update(self._all, state="" if left is None else f"{timedelta(seconds=round(left))} left")


def remaining(record: Record, active: dict[Job, float]) -> float | None:
    """Return the seconds that are left, or None before the first run has ended.

    A run is expected to take what the others of its case took, or if there is none yet, the mean of all; `active`
    has the seconds that each run in training has taken so far.
    """
    took = [[run["seconds"] for run in entry["runs"]] for entry in record["cases"]]
    everything = [seconds for of_case in took for seconds in of_case]
    if not everything:
        return None
    mean = sum(everything) / len(everything)
    expected = [sum(of_case) / len(of_case) if of_case else mean for of_case in took]
    todo = sum(expected[index] for index, _ in missing_runs(record))
    spent = sum(min(seconds, expected[job.place]) for job, seconds in active.items())
    return (todo - spent) / record["machine"]["workers"]


def _outcome(event: Event) -> str:
    if event.kind == "failed":
        return f"failed, to be tried again at the next start: {event.value}"
    if event.value.diverged is not None:
        return f"diverged: {event.value.diverged}"
    return f"test accuracy {event.value.test_accuracy:.3f}  {event.value.seconds:5.1f} s"


def heading(record: Record) -> str:
    """Say what is asked, of which nets, and how much is done already."""
    done = sum(len(entry["runs"]) for entry in record["cases"])
    state = f"\nContinuing: {done} run{'s' * (done > 1)} done, {len(missing_runs(record))} left." if done else ""
    s, cases = record["settings"], len(record["cases"])
    plan = f"Runs: {cases * s['seeds']}: {cases} cases, {s['seeds']} seed{'s' * (s['seeds'] > 1)}"
    lines = [STUDIES[record["study"]].question, *facts(record)[:2], plan]
    return "\n".join(lines) + state


def show_results(console: Console, record: Record) -> None:
    """Show the tables of what has been run so far."""
    for table in result_tables(record):
        shown = rich.table.Table(
            title=table.title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0)
        )
        for i, head in enumerate(table.heads):
            shown.add_column(head, style="bold" if i == 0 else None)
        for row in table.rows:
            shown.add_row(*row)
        console.print()
        console.print(shown)

"""What `an-ref train` and `an-ref evaluate` show: progress, a line for each epoch, a table of the classes."""

from __future__ import annotations

import time
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from ..data import Dataset
from .run import Run
from .settings import EpochRecord


class RunProgress:
    """A heading, a line for each epoch and, on a terminal, a bar with the remaining time. Use it as a context manager.

    The speed counts training images and the time of training; the remaining time includes the tests.
    """

    def __init__(self, console: Console, run: Run) -> None:
        self._console, self._run = console, run
        self._images = len(run.data.train_labels)
        self._epochs = run.settings.recipe.epochs
        self._done = self._done_before = len(run.history)
        self._start = self._epoch_start = time.monotonic()
        self._speed = 0.0
        self._bar = Progress(
            TextColumn("  epoch {task.fields[epoch]} of {task.fields[epochs]}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[state]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=self._images, epoch=self._done + 1, epochs=self._epochs, state="")

    def __enter__(self) -> RunProgress:
        self._console.print(heading(self._run), highlight=False, markup=False, soft_wrap=True)
        if self._done < self._epochs:
            self._bar.start()
        self._start = self._epoch_start = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show_batch(self, seen: int, loss: float) -> None:
        """Show how far the epoch is."""
        self._speed = seen / max(time.monotonic() - self._epoch_start, 1e-9)
        state = f"loss {loss:.4f}  {self._speed:,.0f} images/s  {self._left(self._done + seen / self._images)} left"
        self._bar.update(self._task, completed=seen, state=state)

    def show_epoch(self, epoch: int, record: EpochRecord) -> None:
        """Leave a line for a finished epoch."""
        self._done = epoch
        best = record.test_accuracy > max((r.test_accuracy for r in self._run.history[: epoch - 1]), default=-1.0)
        self._bar.console.print(
            f"  epoch {epoch:>{len(str(self._epochs))}} of {self._epochs}  loss {record.train_loss:.4f}  "
            f"test loss {record.test_loss:.4f}  test accuracy {record.test_accuracy:.4f} {'best' if best else '    '}  "
            f"{self._speed:,.0f} images/s  {self._left(epoch)} left",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        self._bar.update(self._task, completed=0, epoch=min(epoch + 1, self._epochs))
        self._epoch_start = time.monotonic()

    def _left(self, done: float) -> str:
        """The remaining time, from what this process has done so far."""
        here = time.monotonic() - self._start
        return str(timedelta(seconds=round(here / (done - self._done_before) * (self._epochs - done))))


def heading(run: Run) -> str:
    """Say what is trained, and from where it goes on."""
    s, r = run.settings, run.settings.recipe
    parts = [
        f"{s.model} with {s.norm} on {run.data.name}",
        f"{len(run.data.train_labels):,} training and {len(run.data.test_labels):,} test images",
        f"{r.epochs} epoch{'s' * (r.epochs > 1)}, batches of {r.batch_size}, lr {r.lr:g}, seed {s.seed}",
        f"label smoothing {r.label_smoothing:g}" if r.label_smoothing else "",
        f"mixup {r.mixup:g}" if r.mixup else "",
        "on the GPU" if s.device == "gpu" else "",
    ]
    done = len(run.history)
    state = "\nAll epochs are done." if done == r.epochs else f"\nContinuing after epoch {done}." if done else ""
    return "; ".join(part for part in parts if part) + state


def run_summary(run: Run) -> str:
    """Say how a finished run ended, and where its files are."""
    best = int(np.argmax([record.test_accuracy for record in run.history]))
    return (
        f"\nTest accuracy {run.history[-1].test_accuracy:.4f} after the last epoch ({run.out / 'last.npz'}).\n"
        f"The best, {run.history[best].test_accuracy:.4f}, was after epoch {best + 1} ({run.out / 'best.npz'}); "
        f"the test images chose it, so it flatters the net.\n"
        f"By epoch: {run.out / 'log.csv'}, {run.out / 'curve.png'}"
    )


def class_table(data: Dataset, correct: NDArray[np.bool_]) -> Table:
    """Return one row for each class: its test images, how many were named correctly, and their share."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("class", style="bold")
    for title in ("images", "correct", "accuracy"):
        table.add_column(title, justify="right")
    images = np.bincount(data.test_labels, minlength=len(data.classes))
    right = np.bincount(data.test_labels[correct], minlength=len(data.classes))
    for name, count, hits in zip(data.classes, images, right, strict=True):
        table.add_row(escape(name), f"{count:,}", f"{hits:,}", f"{hits / count:.4f}" if count else "no image")
    return table

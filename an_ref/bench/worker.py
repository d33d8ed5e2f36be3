"""What a contestant's process does: wait on its pipe, do what is asked, answer, wait again.

    ("make", case)             build the task of a case        -> None
    ("answer", seed)           what it computes                -> name -> array, or None
    ("turn", seed, budget)     fresh inputs, one warm-up, then runs until `budget` seconds are over
                                                               -> part -> median seconds of a run
    ("memory", seed)           some runs                       -> bytes held at the peak above those held before them,
                                                                  and those held at the peak by the whole process

A task has fresh(seed), run() -> part -> seconds, and answer(). It times itself: on a CPU with perf_counter, on a GPU
with events. An exception is answered by its reason in one line.
"""

from __future__ import annotations

import signal
import time
import warnings
from contextlib import suppress
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from ..memory import keep_memory
from ..threads import set_threads
from .contestants import Contestant
from .memory import forget_peak, peak_bytes
from .plan import Case

AT_MOST = 200  # runs in a turn
STEADY = 5  # runs after which the peak of memory hardly grows any more


class Task(Protocol):
    """The work of one case by one contestant."""

    def fresh(self, seed: int) -> None:
        """Draw new inputs."""

    def run(self) -> dict[str, float]:
        """Do it once, and return the seconds of each part."""

    def answer(self) -> dict[str, Any] | None:
        """Return what it computes from the present inputs as NumPy arrays, or None if there is nothing to compare."""


class Worker:
    """The task at hand, and what can be asked of it."""

    def __init__(self, contestant: Contestant, threads: int) -> None:
        self._contestant, self._threads = contestant, threads
        self._task: Any = None

    def make(self, case: Case) -> None:
        """Build the task of `case`; the one before is let go first."""
        self._task = None
        module, _, name = self._contestant.make.partition(":")
        self._task = getattr(import_module(module), name)(case, threads=self._threads, **self._contestant.options)

    def answer(self, seed: int) -> dict[str, Any] | None:
        """Return what the task computes for `seed`."""
        self._task.fresh(seed)
        return self._task.answer()

    def turn(self, seed: int, budget: float) -> dict[str, float]:
        """Return the median seconds of each part."""
        self._task.fresh(seed)
        self._task.run()
        end = time.perf_counter() + budget
        runs: list[dict[str, float]] = []
        while not runs or (time.perf_counter() < end and len(runs) < AT_MOST):
            runs.append(self._task.run())
        return {part: float(np.median([run[part] for run in runs])) for part in runs[0]}

    def memory(self, seed: int) -> tuple[int, int]:
        """Return how many bytes the runs take at their peak above what was held before them, and the peak itself."""
        self._task.fresh(seed)
        before = forget_peak()
        for _ in range(STEADY):
            self._task.run()
        return max(peak_bytes() - before, 0), peak_bytes()


def serve(connection: Any) -> None:
    """Answer until the other end of the pipe is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent decides
    warnings.simplefilter("ignore")
    with suppress(ConnectionError, EOFError):
        contestant, threads = connection.recv()
        if contestant.keeps_memory:
            keep_memory()
        set_threads(threads)
        worker = Worker(contestant, threads)
        while True:
            ask, *arguments = connection.recv()
            try:
                message = "ok", getattr(worker, ask)(*arguments)
            except Exception as error:
                message = "failed", one_line(error)
            connection.send(message)


def one_line(error: Exception) -> str:
    """Return the kind of an exception and the first line of what it says, not too long."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:150]}" if lines else type(error).__name__

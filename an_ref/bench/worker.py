"""What a contestant's process does: wait on its pipe, do what is asked, answer, wait again.

    ("make", case)             build the task of a case        -> None
    ("answer", seed)           what it computes                -> name -> array, or None
    ("turn", seed, budget)     fresh inputs, one warm-up, then runs until `budget` seconds are over
                                                               -> part -> median seconds of a run
    ("memory", seed)           some runs                       -> bytes held at the peak above those held before them,
                                                                  and those held at the peak by the whole process

A task has fresh(seed), run() -> part -> seconds, answer(), rest() and a device, whose clock it times itself by. After
each answer it rests: inputs and free memory are given back, since on a GPU the next one needs them. An exception is
answered by its reason in one line.
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
from .devices import Cpu
from .inputs import sample
from .plan import Case

AT_MOST = 200  # runs in a turn
STEADY = 5  # runs after which the peak of memory hardly grows any more


class Task(Protocol):
    """The work of one case by one contestant."""

    device: Cpu

    def fresh(self, seed: int) -> None:
        """Draw new inputs."""

    def run(self) -> dict[str, float]:
        """Do it once, and return the seconds of each part."""

    def answer(self) -> dict[str, Any] | None:
        """Return what it computes from the present inputs as NumPy arrays, or None if there is nothing to compare."""

    def rest(self) -> None:
        """Let the inputs go, and give memory back."""


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
        """Return what the task computes for `seed`; of very large arrays a sample."""
        self._task.fresh(seed)
        found = self._task.answer()
        return found and {name: sample(array) for name, array in found.items()}

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
        device = self._task.device
        before = device.forget_peak()
        for _ in range(STEADY):
            self._task.run()
        return max(device.peak_bytes() - before, 0), device.peak_bytes()

    def rest(self) -> None:
        """Let the task rest until it is asked again."""
        if self._task is not None:
            self._task.rest()

    def reply(self, ask: str, *arguments: Any) -> tuple[str, Any]:
        """Return ("ok", what was asked for) or ("failed", the reason); the memory that it took is given back then."""
        message = self._try(ask, *arguments)
        rested = self._try("rest")  # only now: an exception keeps the arrays of the frames that it passed
        return rested if rested[0] == "failed" and message[0] == "ok" else message

    def _try(self, ask: str, *arguments: Any) -> tuple[str, Any]:
        try:
            return "ok", getattr(self, ask)(*arguments)
        except Exception as error:
            return "failed", one_line(error)


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
            connection.send(worker.reply(*connection.recv()))


def one_line(error: Exception) -> str:
    """Return the kind of an exception and the first line of what it says, not too long."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:150]}" if lines else type(error).__name__

"""Contestants in processes of their own, in turns: while one works, the others wait on their pipes.

Two pools of threads in one process spoil each other's times, and a machine gets slower and faster over minutes. So each
contestant has a process, each round has a turn of each, and the order is rotated: whoever comes after a heavy one, or
into a slow moment, is another one each time.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ..parallel import interrupts_held, math_threads
from ..validation import Array
from .contestants import Contestant
from .inputs import errors
from .plan import Case
from .worker import serve

REST = 0.02  # seconds between turns: threads that spin after their work fall asleep
TOLERANCE = 1e-4  # of max |expected|: a hundred times the float32 rounding that was seen at the large shapes
SEED = 1000  # of the first round; the check of the answers has the seed before it

Note = Callable[[str, str, str], None]  # contestant, case, why it is missing
Answer = dict[str, Array]


class Failed(Exception):
    """A contestant could not do what it was asked, and waits for the next thing."""


class Died(Exception):
    """A contestant's process has ended."""


class Player:
    """A contestant in its process."""

    def __init__(self, contestant: Contestant, threads: int) -> None:
        self.name = contestant.name
        context = multiprocessing.get_context("spawn")
        self._connection, other_end = context.Pipe()
        self._process = context.Process(target=serve, args=(other_end,), daemon=True)
        with math_threads(threads), interrupts_held():
            self._process.start()
        other_end.close()  # the child's end is now the only one: if the child ends, the pipe does too
        with suppress(ConnectionError):
            self._connection.send((contestant, threads))

    def ask(self, *message: Any) -> Any:
        """Return the answer. Raises Failed with the reason, or Died."""
        try:
            self._connection.send(message)
            kind, value = self._connection.recv()
        except (ConnectionError, EOFError):
            self._process.join()
            raise Died(f"its process ended with exit code {self._process.exitcode}") from None
        if kind == "failed":
            raise Failed(value)
        return value

    def end(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()
        self._connection.close()


@contextmanager
def players(contestants: Sequence[Contestant], threads: int) -> Iterator[list[Player]]:
    """Start the contestants, and end them all at the end; whoever dies meanwhile is taken out of the list."""
    group: list[Player] = []
    started = []
    try:
        for contestant in contestants:
            started.append(Player(contestant, threads))
            group.append(started[-1])
        yield group
    finally:
        for player in started:
            player.end()


def ask_each(group: list[Player], among: Sequence[Player], case: Case, note: Note, *message: Any) -> dict[Player, Any]:
    """Ask each of `among` in turn, and return the answers of those that had one.

    Of the others it is noted why they are missing; one whose process ended leaves the group.
    """
    answers = {}
    for player in among:
        try:
            answers[player] = player.ask(*message)
        except (Failed, Died) as error:
            note(player.name, case.title, str(error))
            if isinstance(error, Died):
                group.remove(player)
        time.sleep(REST)
    return answers


def play(
    group: list[Player], case: Case, *, rounds: int, budget: float, expected: Answer | None, note: Note
) -> dict[str, dict[str, list[float]]]:
    """Return contestant -> part -> the median seconds of each round, of one case.

    Before anything is timed, each contestant's answer is held against `expected`; one that disagrees is not timed.
    """
    ready = list(ask_each(group, list(group), case, note, "make", case))
    if expected is not None:
        ready = [player for player in ready if _agrees(group, player, case, expected, note)]
    seconds: dict[str, dict[str, list[float]]] = {player.name: {} for player in ready}
    for turn in range(rounds):
        order = rotated(ready, turn)
        times = ask_each(group, order, case, note, "turn", SEED + turn, budget)
        ready = [player for player in ready if player in times]
        for player, found in times.items():
            for part, value in found.items():
                seconds[player.name].setdefault(part, []).append(value)
    return {name: found for name, found in seconds.items() if found}


def rotated(group: Sequence[Player], turn: int) -> list[Player]:
    """Return the order of a round: each round begins with the next one."""
    first = turn % len(group) if group else 0
    return [*group[first:], *group[:first]]


def _agrees(group: list[Player], player: Player, case: Case, expected: Answer, note: Note) -> bool:
    found = ask_each(group, [player], case, note, "answer", SEED - 1)
    if player not in found:
        return False
    if found[player] is None:
        return True
    wrong = {name: error for name, error in errors(found[player], expected).items() if not error <= TOLERANCE}
    for name, error in wrong.items():
        note(player.name, case.title, f"not timed: {name} is off by {error:.2g} of its largest value")
    return not wrong

"""How time and peak memory grow with the work: bn and an of an_ref against N, C, H*W, K and depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .contestants import cost_contestant
from .plan import Case, Plan
from .ratios import exponent, paired_ratio, spread_of
from .turns import SEED, Note, ask_each, play, players


def measure_cost(plan: Plan, threads: int, note: Note) -> Iterator[tuple[str, Any]]:
    """Yield what varies and what was found for it; the last is "an over bn" at the big shape.

    All sizes are timed in turns in one process, so that a slow moment does not bend one end of the line. Each peak of
    memory is that of a process of its own.
    """
    for vary, cases in plan.cost.items():
        seconds = in_turns(cases, plan, threads, note)
        memory = {case: _peak(case, threads, note) for case in cases}
        lines = []
        for norm in dict.fromkeys(case.name for case in cases):
            own = [case for case in cases if case.name == norm and seconds.get(case)]
            sizes = [size_of(vary, case) for case in own]
            times, peaks = [spread_of(seconds[case]).median for case in own], [memory[case] for case in own]
            lines.append(
                {
                    "norm": norm,
                    "sizes": sizes,
                    "seconds": times,
                    "memory": peaks,
                    "time_exponent": exponent(sizes, times),
                    "memory_exponent": exponent(sizes, peaks),
                }
            )
        yield vary, lines
    bn, an = (Case("norm", norm, plan.big) for norm in ("bn", "an"))
    seconds = in_turns((bn, an), plan, threads, note)
    ratio = paired_ratio(seconds.get(an, []), seconds.get(bn, []))
    yield "an over bn", {"shape": list(plan.big), "ratio": None if ratio is None else list(ratio)}


def in_turns(cases: tuple[Case, ...], plan: Plan, threads: int, note: Note) -> dict[Case, list[float]]:
    """Return the seconds of forward and backward in each round, each round going through all cases."""
    seconds: dict[Case, list[float]] = {case: [] for case in cases}
    with players([cost_contestant(cases[0])], threads) as group:
        for turn in range(plan.rounds):
            for case in cases[turn % len(cases) :] + cases[: turn % len(cases)]:
                found = play(group, case, rounds=1, budget=plan.budget / 2, expected=None, note=note)
                for parts in found.values():
                    seconds[case] += parts.get("both", parts.get("step", []))
    return seconds


def size_of(vary: str, case: Case) -> int:
    """Return the size that varies."""
    n, c, h, w = case.shape
    return {"N": n, "C": c, "H*W": h * w, "K": case.mixtures, "depth": 6 * case.blocks + 2}[vary]


def _peak(case: Case, threads: int, note: Note) -> int:
    with players([cost_contestant(case)], threads) as group:
        if not ask_each(group, list(group), case, note, "make", case):
            return 0
        return next(iter(ask_each(group, list(group), case, note, "memory", SEED).values()), (0, 0))[0]

"""The same result each time: op and op_backward called again, after a write to y, and after a call on other input."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..validation import Array
from .probes import Forward, Probe, RaisedError, blame, gap, listing, overlap, reachable, repeated
from .report import Finding


def not_repeatable(probe: Probe, first: Forward, second: Forward) -> list[Finding]:
    """Two forwards on the same arrays must give the same y."""
    if repeated(first.y_value, second.y_value):
        return []
    message = (
        f"op must give the same y each time, but a second call on the same arrays gives another "
        f"(by up to {gap(first.y_value, second.y_value):.2g}); {_cause(probe.op, probe.hyper)}"
    )
    return [Finding(None, "y", message)]


def _cause(function: Any, hyper: dict[str, Any]) -> str:
    """Return words on where other results may come from."""
    advice = "draw outside and pass the numbers as an array"
    for name, value in hyper.items():
        if isinstance(value, (np.random.Generator, np.random.RandomState)):
            return f"the likely cause is the random generator {name}, which moves on with each call: {advice}"
    if _draws(function):
        return f"the likely cause is a random generator: {advice}"
    return (
        f"likely causes are a random generator ({advice}), something that each call changes, and memory from np.empty "
        f"that is not filled"
    )


def _draws(function: Any) -> bool:
    """Whether a function, or one that it calls by name, uses names that sound like random numbers."""
    return any("random" in name or "rng" in name or "generator" in name for name in _names_in(function))


def _names_in(function: Any, depth: int = 2) -> set[str]:
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    if code is None:
        return set()
    called = [function.__globals__.get(name) for name in code.co_names] if depth else []
    return {*code.co_names, *code.co_freevars}.union(*(_names_in(other, depth - 1) for other in called))


def differing(expected: list[Array], again: list[Array] | RaisedError) -> list[int]:
    """Return which gradients are not the same as before: all if op_backward raised or their number changed."""
    if isinstance(again, RaisedError) or len(expected) != len(again):
        return list(range(len(expected))) or [0]
    return [i for i, (a, b) in enumerate(zip(expected, again, strict=True)) if not repeated(a, b)]


def overwrite(run: Forward) -> None:
    """Write NaN over y, where that cannot reach an input."""
    writable = isinstance(run.y, np.ndarray) and run.y.flags.writeable and run.y.dtype.kind in "fc"
    if writable and not any(overlap(run.y, array) for array in run.inputs.values()):
        run.y[...] = np.nan


def consumed(probe: Probe, expected: list[Array], again: list[Array] | RaisedError, *, random: bool) -> list[Finding]:
    """Two backwards on one cache must give the same; `again` is what the second gave, after a write to y."""
    fresh = probe.forward()
    first = probe.gradients(probe.dy, fresh.cache)
    expected = first if random else expected
    alone = _attempt(probe, fresh.cache)
    start = "op_backward must work twice on one cache, but the second"
    if isinstance(alone, RaisedError):
        message = f"{start} call raises {alone}: the first consumed the cache; leave it as it is"
        return [Finding(None, "cache", message)]
    changed = differing(expected, alone)
    if not changed:
        return []
    why = _why_other(probe, expected, alone if isinstance(again, RaisedError) else again, changed[0])
    return [blame(probe, changed, "cache", f"{start} {listing(probe, changed)} is not the first: {why}")]


def _why_other(probe: Probe, first: list[Array], second: list[Array], i: int) -> str:
    if i < len(second) and repeated(2 * first[i], second[i]):
        return "it is twice the first, so a sum is kept between calls; start from zeros in each call"
    if _draws(probe.op_backward):
        return "it seems to draw random numbers; let the forward put what it drew into the cache"
    return "the first call consumed or changed something; leave the cache as it is and keep nothing between calls"


def harmed_by_y(probe: Probe, expected: list[Array], again: list[Array] | RaisedError) -> list[Finding]:
    """Return the finding for a cache that a write to y has harmed; `again` is what backward gave then."""
    fresh = probe.forward()
    path = next((p for p, array in reachable(fresh.cache).items() if overlap(array, fresh.y)), None)
    what = (
        f"raises {again}"
        if isinstance(again, RaisedError)
        else f"gives another {listing(probe, differing(expected, again))}"
    )
    why = f"{path} shares memory with y" if path else "it reads y"
    message = f"the cache must outlive a later write to y, but after one op_backward {what}: {why}; keep a copy of y"
    return [Finding(None, "cache", message)]


def shared_state(probe: Probe, run: Forward, expected: list[Array]) -> list[Finding]:
    """A forward on other input between forward and backward must change nothing."""
    before = {path: array.copy() for path, array in reachable(run.cache).items()}
    try:
        probe.forward(lambda name, a: a.ravel()[::-1].reshape(a.shape).copy())
    except RaisedError:
        return []  # with its entries reversed, an array may be no legal input
    if not repeated(np.asarray(run.y), run.y_value):
        message = "each y must be a new array, but a later call of op writes into it; allocate y in each call"
        return [Finding(None, "y", message)]
    after = reachable(run.cache)
    path = next((p for p in before if p in after and not repeated(before[p], after[p])), None)
    where = (
        f"that call overwrote {path}, memory that calls share; allocate it in each call"
        if path
        else "something is kept outside the cache (a global, an attribute); put it into the cache"
    )
    start = "op_backward must depend on dy and its own cache alone, but after another call of op"
    again = _attempt(probe, run.cache)
    if isinstance(again, RaisedError):
        return [Finding(None, "cache", f"{start} it raises {again}: {where}")]
    changed = differing(expected, again)
    if changed:
        return [blame(probe, changed, "cache", f"{start} it gives another {listing(probe, changed)}: {where}")]
    return [Finding(None, "cache", f"{start} its cache is another: {where}")] if path else []


def _attempt(probe: Probe, cache: Any) -> list[Array] | RaisedError:
    try:
        return probe.gradients(probe.dy, cache)
    except RaisedError as error:
        return error

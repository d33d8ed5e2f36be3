"""Other cotangents and other memory layouts: is the backward linear in dy, and are all strides accepted?"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..validation import Array
from .derivatives import with_digits
from .probes import (
    Probe,
    RaisedError,
    blame,
    gap,
    joined,
    largest,
    loose,
    repeated,
    same,
    shaken,
    smallest,
    unit,
)
from .report import Finding

FACTOR = 8.0  # the second cotangent is this much larger than dy: a backward that clips shows it
FALLS = 1e-3  # what is left of a float32 rounding error in float64, at most
NOISE = 16.0  # a difference below this many times what rounding does is no difference

Results = list[Array]


# --- linear in dy ----------------------------------------------------------------------------------------------------
def linear(probe: Probe, cache: Any, at_dy: Results) -> list[Finding]:
    """backward(0) = 0 and backward(v - 2 dy) = backward(v) - 2 backward(dy), for each gradient."""
    dy = probe.dy
    v = np.asarray(FACTOR * np.random.default_rng(19).standard_normal(dy.shape)).astype(dy.dtype)
    both = np.asarray(v - 2 * dy)
    try:
        at_zero, at_v, at_both = (probe.gradients(u, cache) for u in (np.zeros_like(dy), v, both))
    except RaisedError as error:
        return [Finding(None, "dy", f"op_backward raises {error}, for another dy of the same shape and dtype")]
    noise = functools.cache(lambda: _noise(probe, cache, [(dy, at_dy), (v, at_v), (both, at_both)]))
    found = []
    for i, (zero, g, gv, gb) in enumerate(zip(at_zero, at_dy, at_v, at_both, strict=False)):
        message = _not_zero(zero, g, gv, largest(g, gv, gb))
        at = (g, gv, gb)
        if not message and _bent(at, i, noise) and not _straight_in_double(probe, i, (dy, v, both), at):
            message = f"linear in dy, but {_how_bent(probe, cache, i, g)}"
        if message:
            found.append(blame(probe, [i], "dy", f"{probe.gradient_name(i)} must be {message}"))
    return found


def _not_zero(zero: Array, g: Array, gv: Array, scale: float) -> str:
    """Return words on a gradient that is not zero where dy is."""
    if largest(zero) > 0 and np.array_equal(zero, g) and np.array_equal(zero, gv):
        return (
            "linear in dy, but it is the same for every dy: op_backward ignores dy; multiply by dy, also behind a "
            "loss, whose dy is usually 1"
        )
    if gap(zero, np.zeros_like(g)) <= unit(g) * scale and not (~np.isfinite(zero) & np.isfinite(g)).any():
        return ""
    size = f"up to {largest(zero):.2g}" if np.isfinite(zero).all() else "not finite"
    return (
        f"0 where dy is 0, but it is {size}; look for a term without dy (weight decay, say) or a division by the size "
        f"of dy"
    )


def _bent(at: tuple[Array, Array, Array], i: int, noise: Callable[[], list[float]]) -> bool:
    """Whether gradient i misses backward(v - 2 dy) = backward(v) - 2 backward(dy) by more than rounding does."""
    g, gv, gb = at
    distance = _bend(*at)
    if distance <= max(loose(g) * largest(g, gv, gb), FACTOR * smallest(g)):
        return False
    return distance > NOISE * noise()[i]


def _bend(g: Array, gv: Array, gb: Array) -> float:
    """Return the largest entry of backward(v) - 2 backward(dy) - backward(v - 2 dy)."""
    wide = np.complex128 if g.dtype.kind == "c" else np.float64
    return gap(gv.astype(wide) - 2 * g.astype(wide), gb.astype(wide))


def _straight_in_double(
    probe: Probe, i: int, cotangents: tuple[Array, Array, Array], at: tuple[Array, Array, Array]
) -> bool:
    """Whether gradient i of low precision is linear in dy when all is computed in float64: then it was rounding."""
    if all(a.dtype not in (np.float16, np.float32) for a in probe.arrays):
        return False
    wide = dataclasses.replace(probe, arrays=with_digits(probe.arrays, np.float64), dy=probe.dy.astype(np.float64))
    cache = wide.forward().cache
    g, gv, gb = (wide.gradients(u.astype(np.float64), cache)[i] for u in cotangents)
    return _bend(g, gv, gb) <= FALLS * _bend(*at)


def _noise(probe: Probe, cache: Any, runs: list[tuple[Array, Results]]) -> list[float]:
    """Return how far each gradient moves when dy moves by about its rounding."""
    moves = [
        [gap(a, b) for a, b in zip(results, probe.gradients(shaken(u, k), cache), strict=False)]
        for u, results in runs
        for k in probe.shakes
    ]
    return [max(column) for column in zip(*moves, strict=True)]


def _how_bent(probe: Probe, cache: Any, i: int, g: Array) -> str:
    """Return words on how gradient i depends on dy, by what becomes of it with 2 dy and -dy."""
    twice, minus = (probe.gradients(factor * probe.dy, cache)[i] for factor in (2, -1))
    if repeated(twice, g):
        return "2 dy gives the same as dy; is only the sign or the direction of dy used?"
    if repeated(minus, g):
        return "-dy gives the same as dy; is np.abs(dy) or dy ** 2 used?"
    if repeated(minus, -g) and not repeated(twice, 2 * g):
        return "2 dy does not give twice as much; is dy clipped, rounded or raised to a power?"
    return (
        "the sum of two dy does not give the sum of their gradients; use dy only in sums and in products without dy, "
        "and do not round to a shorter dtype"
    )


# --- any strides -----------------------------------------------------------------------------------------------------
def _fortran(array: Array) -> Array:
    return array.copy(order="F")


def _channels_last(array: Array) -> Array:
    return array.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2) if array.ndim == 4 else array.copy()


def _backwards(array: Array) -> Array:
    """Return the same values at negative strides and with gaps, filled with what should not be read."""
    if array.ndim == 0:
        return array.copy()
    wide = np.empty([2 * n for n in array.shape], array.dtype)
    wide.fill(np.nan if array.dtype.kind in "fc" else np.iinfo(array.dtype).max if array.dtype.kind in "iu" else 1)
    result: Array = wide[(slice(None, None, -2),) * array.ndim]
    result[...] = array
    return result


Layout = Callable[[Array], Array]
WORDS: dict[Layout, str] = {
    _fortran: "in Fortran order",
    _backwards: "at negative strides with gaps",
    _channels_last: "in channels-last memory",
}
# For the arrays and for dy. They differ, because code that assumes the same strides of both would pass otherwise.
MIXES: list[tuple[Layout, Layout]] = [(_fortran, _channels_last), (_backwards, _backwards), (_channels_last, _fortran)]


def strides(probe: Probe, expected: list[Array]) -> list[Finding]:
    """The same values in other memory layouts must give the same y and gradients, `expected`."""
    troubles: dict[str, list[tuple[str, str]]] = {}
    for of_arrays, of_dy in MIXES:
        layouts = dict.fromkeys(probe.names, of_arrays) | {"dy": of_dy}
        if not _trouble(probe, expected, layouts):
            continue
        for name, layout in layouts.items():
            trouble = _trouble(probe, expected, {name: layout})
            if trouble:
                troubles.setdefault(name, []).append((WORDS[layout], trouble))
    return [_strideblame(probe, name, found) for name, found in troubles.items()]


def _trouble(probe: Probe, expected: list[Array], layouts: dict[str, Layout]) -> str:
    """Return words on what goes wrong when the named arrays come in these layouts, "" if nothing does."""
    try:
        results = probe.results(lambda name, a: layouts[name](a) if name in layouts else a.copy())
    except RaisedError as error:
        return f"{error.side} raises {error}"
    names = ["y", *(probe.gradient_name(i) for i in range(len(expected) - 1))]
    other = []
    for k, (a, b) in enumerate(zip(expected, results, strict=False)):
        if same(a, b, loose(a, b)):
            continue
        if not np.array_equal(np.isfinite(a), np.isfinite(b)) or gap(a, b) > NOISE * probe.noise[k]:
            other.append(names[k])
    return f"{joined(other)} {'is' if len(other) == 1 else 'are'} wrong" if other else ""


def _strideblame(probe: Probe, name: str, troubles: list[tuple[str, str]]) -> Finding:
    (words, trouble), also = troubles[0], [words for words, _ in troubles[1:]]
    message = (
        f"any strides must be accepted, but with {name} {words} {trouble}"
        f"{f' (the same {joined(also)})' if also else ''}; do not rely on the memory order of an array, or begin with "
        f"{name} = np.ascontiguousarray({name})"
    )
    return Finding(probe.names.index(name) if name in probe.names else None, name, message)

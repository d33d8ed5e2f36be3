"""The second order: the gradient of <dy, y> is itself a function of the arrays, and its derivative is symmetric.

    f(a) = <dy, op(a)>        op_backward gives grad f        H = d grad f / da        H_ij = H_ji (Schwarz)

op_backward is complex-stepped, so each product H v costs one forward and one backward. <u, H v> = <v, H u> is asked for
random directions u of one argument and v of another, or of the same. Gradients that pass it are the gradients of some
function; that this is op's is what the first order shows.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..validation import Array
from .derivatives import directional, listed, with_digits
from .measure import FALLS
from .report import Finding
from .safety import complex_fault

TOLERANCE = {"complex": 1e-6, "central": 1e-5}


class SecondOrder(NamedTuple):
    """What came out.

    fault   why differences were used; None if they were not
    seen    whether any H v was not zero
    """

    errors: dict[str, float]
    findings: list[Finding]
    fault: str | None
    method: str
    seen: bool


def second_order(
    op: Callable[..., Any],
    op_backward: Callable[..., Any],
    arrays: Sequence[Array],
    hyper: dict[str, Any],
    dy: Array,
    names: Sequence[str],
    indices: Sequence[int],
) -> SecondOrder:
    """Compare <u, H v> with <v, H u> for every pair of the arguments `indices`."""
    arrays = with_digits(arrays, np.float64)
    y = np.asarray(op(*(a.copy() for a in arrays), **hyper)[0])
    gradients = {i: _gradient_op(op, op_backward, dy, i) for i in indices}
    rng = np.random.default_rng(26)
    pairs = [
        _Pair(gradients, hyper, i, j, rng.standard_normal(arrays[i].shape), rng.standard_normal(arrays[j].shape))
        for i in indices
        for j in indices
        if j >= i
    ]
    scales = [_floor(y, dy, arrays[p.i], arrays[p.j]) for p in pairs]
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            exact = _compare("complex", pairs, scales, arrays, names)
        except Exception:  # whatever a backward does with complex numbers: complex_fault finds words for it
            exact = None
    if exact and exact.seen and not exact.findings:
        return exact
    faults = (complex_fault(gradients[i], arrays, indices, hyper, "backward") for i in indices)
    fault = next((f for f in faults if f), None)
    if exact and not fault:
        return exact
    return _compare("central", pairs, scales, arrays, names)._replace(fault=fault)


def _compare(
    method: str, pairs: Sequence[_Pair], scales: Sequence[float], arrays: Sequence[Array], names: Sequence[str]
) -> SecondOrder:
    errors: dict[str, float] = {names[p.i]: 0.0 for p in pairs}
    compared = [pair.compare(method, arrays) for pair in pairs]
    distances = [c.distance(scale) for c, scale in zip(compared, scales, strict=True)]
    findings = []
    for pair, c, scale, error in zip(pairs, compared, scales, distances, strict=True):
        for k in (pair.i, pair.j):
            errors[names[k]] = max(errors[names[k]], error)
        # Held against the largest error: that of one pair may be small by luck.
        if not error <= TOLERANCE[method] and not pair.is_rounding(method, arrays, scale, max(distances)):
            findings.append(_finding(pair, names, c))
    return SecondOrder(errors, findings, None, method, any(c.size > 0 for c in compared))


class _Compared(NamedTuple):
    """<u, H v> and <v, H u>, and the size of the summed terms."""

    uHv: Any
    vHu: Any
    size: Any

    def distance(self, scale: float) -> float:
        """Return how far both are apart, over the size of the terms or `scale`."""
        return float(abs(self.uHv - self.vHu) / max(self.size, scale))


class _Pair(NamedTuple):
    """A direction u of argument i and a direction v of argument j."""

    gradients: dict[int, Callable[..., Any]]
    hyper: dict[str, Any]
    i: int
    j: int
    u: Array
    v: Array

    def compare(self, method: str, arrays: Sequence[Array]) -> _Compared:
        p = self
        one = p.u * directional(method, p.gradients[p.i], arrays, p.j, p.v, p.hyper)
        other = p.v * directional(method, p.gradients[p.j], arrays, p.i, p.u, p.hyper)
        return _Compared(one.sum(), other.sum(), np.abs(one).sum() + np.abs(other).sum())

    def is_rounding(self, method: str, arrays: Sequence[Array], scale: float, error: float) -> bool:
        """A rounding error falls when all is computed with more digits (which there are not on Windows)."""
        try:
            left = self.compare(method, with_digits(arrays, np.longdouble)).distance(scale)
            return left <= max(TOLERANCE[method], FALLS * error)
        except Exception:  # an op of the user's may know no such numbers
            return False


def _floor(y: Array, dy: Array, *arguments: Array) -> float:
    """A second derivative that is zero comes out as rounding: compare it with the size of y per unit of both."""
    sizes = [max(1.0, float(np.abs(a).max())) for a in arguments]
    return max(0.01 * float(np.abs(dy * y).max()) / float(np.prod(sizes)), np.finfo(np.float64).tiny)


def _gradient_op(op: Callable[..., Any], op_backward: Callable[..., Any], dy: Array, index: int) -> Callable[..., Any]:
    """Return the gradient of one argument as an op of its own: a function of the arrays."""

    @functools.wraps(op_backward)  # so that a call in it that is not complex-safe is found
    def gradient_of(*arrays: Array, **hyper: Any) -> tuple[Array, None]:
        _, cache = op(*arrays, **hyper)
        return np.asarray(listed(op_backward(dy, cache))[index]), None

    return gradient_of


def _finding(pair: _Pair, names: Sequence[str], c: _Compared) -> Finding:
    i, j = pair.i, pair.j
    a, b = names[i], names[j]
    both = f"how d{a} changes with {b} and how d{b} changes with {a}" if i != j else f"how d{a} changes with {a}"
    message = (
        f"d{a}{f' and d{b}' if i != j else ''} cannot be the gradient of any function: {both} must be symmetric, but "
        f"<u, H v> = {c.uHv:.6g} and <v, H u> = {c.vHu:.6g} for random u and v; "
        f"check the first order to see which is wrong"
    )
    return Finding(i if i == j else None, a if i == j else f"{a}, {b}", message)

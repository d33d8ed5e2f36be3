"""Measure one gradient: analytic against numeric, with an error that rounding alone cannot raise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..validation import Array
from . import derivatives
from .safety import complex_fault

FULL_SIZE = 4000  # arguments with at most this many entries are checked entry by entry, larger ones along directions
DETAIL_SIZE = 20_000  # up to here a wrong gradient is then computed entry by entry, to say what is wrong
DIRECTIONS = 4
BLIND = 1e-4
TOLERANCE = {"complex": 1e-10, "central": 1e-6, "five_point": 1e-8}
LOW_PRECISION = {np.dtype(np.float16): 2e-2, np.dtype(np.float32): 2e-5}
FALLS = 0.02  # what is left of a rounding error with 11 or more binary digits more, at most
NOISE = 30  # an error below this many times what rounding the inputs changes is no error


class Problem(NamedTuple):
    """What is checked: y = op(*arrays, **hyper), the cotangent, and the method for the derivatives."""

    op: Callable[..., Any]
    op_backward: Callable[..., Any]
    arrays: tuple[Array, ...]
    hyper: dict[str, Any]
    y: Array
    dy: Array
    method: str
    adjoint: bool  # along random directions, whatever the size

    def along_directions(self, index: int) -> bool:
        """Whether this argument is checked along random directions and not entry by entry."""
        return self.adjoint or self.arrays[index].size > FULL_SIZE

    @property
    def exact(self) -> tuple[Array, ...]:
        """The arrays in double precision or more, for the derivatives."""
        return derivatives.with_digits(self.arrays, np.float64)

    def with_digits(self, dtype: Any) -> Problem:
        """The same problem with arrays and dy of `dtype`, or of their own where that has more digits."""
        (dy,) = derivatives.with_digits([self.dy], dtype)
        return self._replace(arrays=derivatives.with_digits(self.arrays, dtype), dy=dy)


@dataclass(frozen=True)
class Measured:
    """One argument: its gradient, the derivative (None if it was checked along directions), and what they say."""

    index: int
    name: str
    analytic: Array
    numeric: Array | None
    error: float
    blind: bool
    wrong: bool
    rounding: bool  # the error is large, but rounding explains it


def measure(problem: Problem, index: int, name: str, analytic: Array, rng: np.random.Generator) -> Measured:
    """Compare one gradient, of the right shape, with the derivative."""
    tolerance = max(TOLERANCE[problem.method], LOW_PRECISION.get(analytic.dtype, 0.0))
    compare = _along_directions if problem.along_directions(index) else _entry_by_entry
    distance, scale, blind, numeric = compare(problem, index, analytic, rng)
    error = distance / (scale or 1.0)
    wrong = (
        not error <= tolerance
        and not distance <= np.finfo(analytic.dtype).tiny
        and not distance <= NOISE * _noise(problem, index, analytic, numeric)
        and not _is_rounding(problem, index, distance)
        and not _agrees_by_other_means(problem, index, name, analytic, numeric, tolerance * scale)
    )
    if wrong and numeric is None and analytic.size <= DETAIL_SIZE:
        numeric, _ = derivatives.gradient(problem.method, problem.op, problem.exact, index, problem.dy, problem.hyper)
    return Measured(index, name, analytic, numeric, float(error), blind, wrong, error > tolerance and not wrong)


def _agrees_by_other_means(
    problem: Problem, index: int, name: str, analytic: Array, numeric: Array | None, allowed: float
) -> bool:
    """A kink nearer than the step spoils a difference, but not the complex step, nor all differences of smaller step.

    The complex step takes one side of a kink, as op_backward does. A wrong gradient agrees with none.
    """
    p = problem
    if p.method == "complex":
        return False
    if not complex_fault(p.op, p.exact, [index], p.hyper):
        return not measure(p._replace(method="complex"), index, name, analytic, np.random.default_rng(24)).wrong
    if numeric is None:
        return False
    distance = np.abs(analytic - numeric)
    for factor in (1e-3, 1e-6):
        step = factor * derivatives.STEPS[p.method]
        other, _ = derivatives.gradient(p.method, p.op, p.exact, index, p.dy, p.hyper, step)
        distance = np.minimum(distance, np.abs(analytic - other))
    return bool(distance.max() <= max(allowed, 1e-5 * float(np.abs(numeric).max())))


def _is_rounding(problem: Problem, index: int, distance: float) -> bool:
    """A rounding error falls when all is computed with more digits, and a wrong term does not."""
    low = any(a.dtype in LOW_PRECISION for a in problem.arrays)
    p = problem.with_digits(np.float64 if low else np.longdouble)
    if p.dy.dtype == problem.dy.dtype and not low:  # longdouble is double, as on Windows
        return False
    compare = _along_directions if problem.along_directions(index) else _entry_by_entry
    try:
        _, cache = p.op(*(a.copy() for a in p.arrays), **p.hyper)
        left, *_ = compare(p, index, _gradient(p, index, p.dy, cache), np.random.default_rng(25))
    except Exception:  # an op of the user's may know no such numbers
        return False
    return left <= FALLS * distance


def _floor(problem: Problem, index: int) -> float:
    """A derivative that is zero comes out as rounding, not as zero: compare it with the size of y per unit of x."""
    size = max(1.0, float(np.abs(problem.arrays[index]).max()))
    return 0.01 * float(np.abs(problem.dy * problem.y).max()) / size


def _entry_by_entry(
    problem: Problem, index: int, analytic: Array, rng: np.random.Generator
) -> tuple[float, float, bool, Array]:
    """Return the largest error, the scale, whether the cotangent is blind, and the numeric gradient."""
    p = problem
    numeric, terms = derivatives.gradient(p.method, p.op, p.exact, index, p.dy, p.hyper)
    floor, largest = _floor(p, index), float(terms.max())
    blind = largest > 1e-6 * floor and float(np.abs(numeric).max()) < BLIND * largest
    return float(np.abs(analytic - numeric).max()), max(float(np.abs(numeric).max()), largest, floor), blind, numeric


def _along_directions(
    problem: Problem, index: int, analytic: Array, rng: np.random.Generator
) -> tuple[float, float, bool, None]:
    """The adjoint test <dy, J u> = <J^T dy, u> for a few random u; the same as above but without a numeric gradient."""
    p, worst, scale, seen = problem, 0.0, _floor(problem, index), 0.0
    for _ in range(DIRECTIONS):
        u = rng.standard_normal(analytic.shape)
        forward = p.dy * derivatives.directional(p.method, p.op, p.exact, index, u, p.hyper)
        backward = analytic * u
        distance = float(np.abs(backward.sum() - forward.sum()))
        worst = distance if not distance <= worst else worst
        # Random signs make the sum of n terms about as large as the root of the sum of their squares.
        size = float(np.sqrt((forward**2).sum()) + np.sqrt((backward**2).sum()))
        scale = max(scale, size)
        seen = max(seen, abs(float(forward.sum())) / (size or 1.0))
    return worst, scale, seen < BLIND, None


def _noise(problem: Problem, index: int, analytic: Array, numeric: Array | None) -> float:
    """Return how far analytic and numeric gradient move when the inputs and dy move by their own rounding.

    Near a constant map, behind a large offset, or where large terms cancel, a right gradient has few right digits.
    """
    p, rng = problem, np.random.default_rng(21)
    with np.errstate(all="ignore"):  # such a move may leave the root of a negative number
        found = [_size(_moved_gradient(p, index, rng) - analytic, numeric) for _ in range(12)]
    noise = sorted(np.nan_to_num(found))[-2]  # one draw may fall on the other side of a kink
    if numeric is not None:
        shifted = p._replace(arrays=tuple(_rounded(a, rng) for a in p.arrays))
        again, _ = derivatives.gradient(p.method, p.op, shifted.exact, index, p.dy, p.hyper)
        noise += float(np.abs(again - numeric).max())
        if p.method != "complex":  # two step sizes tell the truncation error
            twice, _ = derivatives.gradient(
                p.method, p.op, p.exact, index, p.dy, p.hyper, 2 * derivatives.STEPS[p.method]
            )
            noise += float(np.abs(twice - numeric).max())
    else:
        shifted = p._replace(arrays=tuple(_rounded(a, rng) for a in p.arrays))
        u = rng.standard_normal(analytic.shape)
        pair = [
            (p.dy * derivatives.directional(p.method, p.op, q.exact, index, u, p.hyper)).sum() for q in (p, shifted)
        ]
        noise += float(np.abs(pair[0] - pair[1]))
    return noise


def _size(change: Array, numeric: Array | None) -> float:
    size = np.abs(change)
    return float(size.max() if numeric is not None else np.sqrt((size**2).sum()))


def _moved_gradient(problem: Problem, index: int, rng: np.random.Generator) -> Array:
    """Return the gradient for inputs and dy that are changed in their last digits."""
    y, cache = problem.op(*(_rounded(a, rng) for a in problem.arrays), **problem.hyper)
    return _gradient(problem, index, _rounded(problem.dy.astype(np.asarray(y).dtype), rng), cache)


def _gradient(problem: Problem, index: int, dy: Array, cache: Any) -> Array:
    return np.asarray(derivatives.listed(problem.op_backward(dy, cache))[index])


def _rounded(array: Array, rng: np.random.Generator) -> Array:
    if array.dtype.kind not in "fc":
        return array.copy()
    change = np.finfo(array.dtype).eps * rng.choice([-2.0, -1.0, 1.0, 2.0], array.shape)
    return (array * (1 + change)).astype(array.dtype)

"""How exact each numerical derivative is at each step size, measured on the op itself.

    central       truncation h^2 f''' / 6 against rounding eps / h: slopes 2 and -1 in a log-log plot
    five_point    truncation h^4 f''''' / 30 against rounding eps / h: slopes 4 and -1
    complex       truncation h^2 f''' / 6 and nothing subtracted: flat at the bottom, however small h

Source: Squire & Trapp 1998, SIAM Review 40.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..validation import Array
from . import derivatives

ORDERS = {"central": 2, "five_point": 4}
LARGE = 100_000  # arguments with more entries than this get one step for each power of ten, others two
SMALLEST_ERROR = 1e-17  # stands for an error of exactly 0, which has no logarithm


class StepCurve(NamedTuple):
    """The error of <dy, J u> along one random direction u, by method and step size.

    steps      h relative to the size of the argument, ascending
    errors     for each method |<dy, J u> - reference| / scale at each step; "complex" only if the op passes it through
    direction  u, shaped like the argument
    reference  <dy, J u>: the complex step at 1e-20, or else the five-point value that moves least from step to step
    scale      sum of |dy * J u|
    """

    steps: Array
    errors: dict[str, Array]
    direction: Array
    reference: float
    scale: float

    def error(self, gradient: Array) -> float:
        """The error of a gradient along the same direction: |<gradient, u> - reference| / scale."""
        return float(np.abs((gradient * self.direction).sum() - self.reference)) / self.scale


def step_curve(
    op: Callable[..., Any],
    arrays: Sequence[Array],
    index: int,
    dy: Array,
    hyper: dict[str, Any],
    *,
    complex_safe: bool = True,
) -> StepCurve:
    """Measure the error of the derivatives of sum(dy * op(*arrays, **hyper)) in arrays[index] against the step size.

    One random direction, in double precision; 100 to 200 forwards. complex_safe: op passes complex numbers through.
    """
    exact = tuple(a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays)
    direction = np.asarray(np.random.default_rng(17).standard_normal(exact[index].shape))
    size = max(1.0, float(np.abs(exact[index]).max())) / float(np.abs(direction).max())
    steps = 10.0 ** np.arange(-14, -0.4, 1.0 if direction.size > LARGE else 0.5)

    def along(method: str, step: float | None = None) -> Array:
        with np.errstate(all="ignore"):
            return dy * derivatives.directional(method, op, exact, index, direction, hyper, step)

    values = {method: np.array([along(method, h).sum() for h in steps]) for method in ORDERS}
    if complex_safe:
        values["complex"] = np.array([along("complex", h * size).sum() for h in steps])
        terms = along("complex")
    else:
        calm = _calmest(values["five_point"])
        terms = along("five_point", float(steps[calm]))
        values["five_point"][calm] = np.nan  # compared with itself
    reference, scale = float(terms.sum()), float(np.abs(terms).sum()) or 1.0
    errors = {method: _clipped(np.abs(v - reference) / scale) for method, v in values.items()}
    return StepCurve(steps, errors, direction, reference, scale)


def _calmest(values: Array) -> int:
    """Return where neighbouring values differ least."""
    moves = np.abs(np.diff(values))
    return int(np.argmin(np.where(np.isfinite(moves), moves, np.inf)))


def _clipped(errors: Array) -> Array:
    return np.asarray(np.maximum(errors, SMALLEST_ERROR))


def optimum(steps: Array, errors: Array) -> tuple[float, float]:
    """Return the step with the smallest error, and that error.

    A single point can be small by luck, so each is judged by the median of its own and its neighbours' errors.
    """
    padded = np.pad(np.where(np.isfinite(errors), errors, np.inf), 1, mode="edge")
    best = int(np.argmin(np.median([padded[:-2], padded[1:-1], padded[2:]], axis=0)))
    return float(steps[best]), float(errors[best])

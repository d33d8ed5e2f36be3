"""Numerical derivatives of an op: complex step, central difference, five-point formula.

For a real-analytic f, f(x + ih) = f(x) + ih f'(x) - h^2 f''(x) / 2 - ..., so f'(x) = Im f(x + ih) / h up to an error
of order h^2. Nothing is subtracted, so h can be 1e-20 and the derivative is exact to rounding. Differences subtract two
close numbers: their best step balances rounding (eps / h) against truncation (h^2 or h^4).

    central     (f(x + h) - f(x - h)) / 2h                                       h = eps^(1/3), error about eps^(2/3)
    five_point  (-f(x + 2h) + 8 f(x + h) - 8 f(x - h) + f(x - 2h)) / 12h         h = eps^(1/5), error about eps^(4/5)

Source: Squire & Trapp 1998, "Using complex variables to estimate derivatives of real functions", SIAM Review 40.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..validation import Array

Op = Callable[..., Any]
STEPS = {"complex": 1e-20, "central": 6e-6, "five_point": 7e-4}
WEIGHTS = {
    "central": ((1, 0.5), (-1, -0.5)),
    "five_point": ((1, 2 / 3), (-1, -2 / 3), (2, -1 / 12), (-2, 1 / 12)),
}


def directional(
    method: str,
    op: Op,
    arrays: Sequence[Array],
    index: int,
    direction: Array,
    hyper: dict[str, Any],
    step: float | None = None,
) -> Array:
    """Return J u: the derivative of y along `direction` u in argument `index`, shaped like y.

    `step` is relative to the size of the argument for the differences, absolute for the complex step.
    """
    if method == "complex":
        h = step or STEPS[method]
        return np.asarray(_forward(op, arrays, index, 1j * h * direction, hyper)).imag / h
    size = max(1.0, np.abs(arrays[index]).max()) / (np.abs(direction).max() or 1.0)
    h = (step or STEPS[method]) * size
    terms = [w * _forward(op, arrays, index, k * h * direction, hyper) for k, w in WEIGHTS[method]]
    return np.asarray(sum(terms) / h)


def gradient(
    method: str,
    op: Op,
    arrays: Sequence[Array],
    index: int,
    dy: Array,
    hyper: dict[str, Any],
    step: float | None = None,
) -> tuple[Array, Array]:
    """Return J^T dy for argument `index`, and for each entry the sum of the absolute terms, sum_i |dy_i J_ij|.

    One derivative along a unit vector for each entry of the argument.
    """
    shape, real = arrays[index].shape, np.promote_types(arrays[index].real.dtype, np.float64)
    numeric, terms, unit = np.zeros(shape, real), np.zeros(shape, real), np.zeros(shape, real)
    for entry in np.ndindex(unit.shape):
        unit[entry] = 1.0
        product = dy * directional(method, op, arrays, index, unit, hyper, step)
        numeric[entry], terms[entry] = product.sum(), np.abs(product).sum()
        unit[entry] = 0.0
    return numeric, terms


def listed(returned: Any) -> list[Any]:
    """Return what op_backward returned as a list: a single gradient may come bare."""
    return list(returned) if isinstance(returned, (tuple, list)) else [returned]


def with_digits(arrays: Sequence[Array], dtype: Any) -> tuple[Array, ...]:
    """Return real arrays in `dtype`, or in their own where that has more digits; all others as they are."""
    return tuple(a.astype(np.promote_types(a.dtype, dtype)) if a.dtype.kind == "f" else a for a in arrays)


def _forward(op: Op, arrays: Sequence[Array], index: int, change: Array, hyper: dict[str, Any]) -> Any:
    moved = [a.copy() for a in arrays]  # a forward that writes to its input must not spoil the next one
    moved[index] = arrays[index] + change
    return op(*moved, **hyper)[0]

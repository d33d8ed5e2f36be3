"""Numerical derivatives of an op: the complex step, for single entries and along directions.

For a real-analytic f, f(x + ih) = f(x) + ih f'(x) - h^2 f''(x) / 2 - ..., so f'(x) = Im f(x + ih) / h up to an error
of order h^2. Nothing is subtracted, so h can be 1e-20 and the derivative is exact to rounding.

Source: Squire & Trapp 1998, "Using complex variables to estimate derivatives of real functions", SIAM Review 40.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..validation import Array

STEP = 1e-20


def complex_step(
    op: Callable[..., Any], arrays: Sequence[Array], index: int, direction: Array, hyper: dict[str, Any]
) -> Array:
    """Return J u: the derivative of y along `direction` u in argument `index`, shaped like y."""
    moved = list(arrays)
    moved[index] = arrays[index] + 1j * STEP * direction
    y, _ = op(*moved, **hyper)
    return np.asarray(y).imag / STEP


def gradient(
    op: Callable[..., Any], arrays: Sequence[Array], index: int, dy: Array, hyper: dict[str, Any]
) -> tuple[Array, Array]:
    """Return J^T dy for argument `index`, and for each entry the sum of the absolute terms, sum_i |dy_i J_ij|.

    One forward pass for each entry of the argument.
    """
    numeric = np.zeros(arrays[index].shape)
    terms = np.zeros(arrays[index].shape)
    unit = np.zeros(arrays[index].shape)
    for entry in np.ndindex(unit.shape):
        unit[entry] = 1.0
        product = dy * complex_step(op, arrays, index, unit, hyper)
        numeric[entry], terms[entry] = product.sum(), np.abs(product).sum()
        unit[entry] = 0.0
    return numeric, terms

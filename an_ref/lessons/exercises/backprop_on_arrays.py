"""The code exercises of notebook 2, "Backpropagation on arrays": a weighted centre and vectors of length 1."""

from __future__ import annotations

import numpy as np

from ...validation import Array
from ..exercise import Exercise


def weighted_center(x: Array, w: Array) -> tuple[Array, tuple[Array, Array]]:
    """Return y = x - sum_n w[n] x[n], the rows of x less their weighted sum.

    x: (N, D), w: (N,); y: (N, D). The cache is (x, w).
    """
    return x - w @ x, (x, w)


def weighted_center_backward(dy: Array, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return dx and dw of weighted_center."""
    x, w = cache
    dm = -dy.sum(axis=0)  # (D,)
    return dy + w[:, None] * dm, x @ dm


def _center_is_constant(dy: Array, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    return dy.copy(), weighted_center_backward(dy, cache)[1]


def _center_added(dy: Array, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    x, w = cache
    dm = dy.sum(axis=0)
    return dy + w[:, None] * dm, x @ dm


def _center_mean(dy: Array, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    x, w = cache
    dm = -dy.mean(axis=0)
    return dy + w[:, None] * dm, x @ dm


def unit(x: Array) -> tuple[Array, tuple[Array, Array]]:
    """Return y = x / r with r = sqrt(sum_d x^2), each row scaled to length 1.

    x: (N, D); y: (N, D). The cache is (x, r), r: (N, 1).
    """
    r = np.sqrt((x * x).sum(axis=1, keepdims=True))  # (N, 1)
    return x / r, (x, r)


def unit_backward(dy: Array, cache: tuple[Array, Array]) -> Array:
    """Return dx of unit."""
    x, r = cache
    y = x / r
    return (dy - y * (y * dy).sum(axis=1, keepdims=True)) / r


def _length_is_constant(dy: Array, cache: tuple[Array, Array]) -> Array:
    return dy / cache[1]


def _length_added(dy: Array, cache: tuple[Array, Array]) -> Array:
    return 2 * _length_is_constant(dy, cache) - unit_backward(dy, cache)


def _length_not_summed(dy: Array, cache: tuple[Array, Array]) -> Array:
    x, r = cache
    return (dy - x / r * (x / r * dy)) / r


EXERCISES = {
    "weighted_center": Exercise(
        op=weighted_center,
        solution=weighted_center_backward,
        arrays=lambda rng: (rng.standard_normal((4, 3)), rng.standard_normal(4)),
        hints=(
            (_center_is_constant, "the second path is missing: x also moves the weighted sum, and that moves every y"),
            (_center_added, "the weighted sum is taken off, so its gradient has a minus sign"),
            (_center_mean, "the sum was broadcast to all rows, so its gradient is a sum over the rows, no mean"),
        ),
    ),
    "unit": Exercise(
        op=unit,
        solution=unit_backward,
        arrays=lambda rng: (rng.standard_normal((4, 5)),),
        hints=(
            (_length_is_constant, "the length r was held constant: x moves it, and that moves every entry of y"),
            (_length_added, "the path through r has the wrong sign: a longer x makes y = x / r smaller"),
            (_length_not_summed, "r is broadcast over its row, so dr is a sum over axis 1; that sum is missing"),
        ),
    ),
}

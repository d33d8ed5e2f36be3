"""The code exercise of notebook 3, "Can you trust a gradient?": the backward of a cosine."""

from __future__ import annotations

import numpy as np

from ...validation import Array
from ..exercise import Exercise

Cache = tuple[Array, Array, Array, Array]


def cosine(x: Array, w: Array) -> tuple[Array, Cache]:
    """Return the cosine between each row of x and w: c[n] = x[n] . w / (|x[n]| |w|).

    x: (N, D), w: (D,); c: (N,). The cache is (y, r, v, s): y = x / r with r = |x[n]|, (N, 1), and v = w / s, s = |w|.
    """
    r = np.sqrt((x * x).sum(axis=1, keepdims=True))  # (N, 1)
    s = np.sqrt((w * w).sum())  # ()
    y, v = x / r, w / s  # (N, D), (D,)
    return (y * v).sum(axis=1), (y, r, v, s)


def cosine_backward(dc: Array, cache: Cache) -> tuple[Array, Array]:
    """Return dx and dw of cosine."""
    y, r, v, s = cache
    dc = dc[:, None]  # (N, 1)
    c = (y * v).sum(axis=1, keepdims=True)  # (N, 1)
    return dc * (v - c * y) / r, (dc * (y - c * v)).sum(axis=0) / s


def _no_second_path(dc: Array, cache: Cache) -> tuple[Array, Array]:
    y, r, v, s = cache
    dc = dc[:, None]
    return dc * v / r, (dc * y).sum(axis=0) / s


def _no_length(dc: Array, cache: Cache) -> tuple[Array, Array]:
    _, r, _, s = cache
    dx, dw = cosine_backward(dc, cache)
    return dx * r, dw * s


def _mean_over_samples(dc: Array, cache: Cache) -> tuple[Array, Array]:
    dx, dw = cosine_backward(dc, cache)
    return dx, dw / len(dc)


def _plus(dc: Array, cache: Cache) -> tuple[Array, Array]:
    y, r, v, s = cache
    dc = dc[:, None]
    c = (y * v).sum(axis=1, keepdims=True)
    return dc * (v + c * y) / r, (dc * (y + c * v)).sum(axis=0) / s


EXERCISES = {
    "cosine": Exercise(
        op=cosine,
        solution=cosine_backward,
        arrays=lambda rng: (rng.standard_normal((4, 6)), rng.standard_normal(6)),
        hints=(
            (_no_second_path, "the length in the denominator was held constant; it moves with the vector, too"),
            (
                _no_length,
                "the division by the length is missing: the gradient of a unit vector is divided by |x| or |w|",
            ),
            (
                _mean_over_samples,
                "the mean over the samples was taken; every sample uses the same w, so the N are added",
            ),
            (
                _plus,
                "the second term has the wrong sign: moving along a vector does not turn it, so that part is taken off",
            ),
        ),
    ),
}

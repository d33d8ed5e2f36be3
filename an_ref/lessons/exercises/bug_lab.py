"""Exercise of the bug lab: divisive normalization, each channel divided by a length of itself and its left neighbours.

The idea is that of local response normalization (Krizhevsky et al. 2012, section 3.3). The window is one-sided here, so
that a window which is not turned round on the way back shows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...validation import Array
from ..exercise import Exercise

Cache = tuple[Any, ...]


def shift(t: Array, k: int) -> Array:
    """Return t (N, C) moved by k channels to the right (to the left if k < 0); zeros come in from outside."""
    moved = np.zeros_like(t)
    if k >= 0:
        moved[:, k:] = t[:, : t.shape[1] - k]
    else:
        moved[:, :k] = t[:, -k:]
    return moved


def divisive_norm(x: Array, w: Array) -> tuple[Array, Cache]:
    """Return y = x / sqrt(s) with s[n, c] = 1 + sum_k w[k] x[n, c - k]^2; x (N, C), w (K,), entries outside are 0."""
    s = 1 + sum(w[k] * shift(x * x, k) for k in range(len(w)))  # (N, C)
    return x / np.sqrt(s), (x, s, w)


def divisive_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Array]:
    """Return dx = dy / sqrt(s) + 2 x sum_k w[k] shift(ds, -k) with ds = -dy x s^(-3/2) / 2, and dw."""
    x, s, w = cache
    return _backward(dy, x, s, w, -0.5 * dy * x * s**-1.5)


def _backward(dy: Array, x: Array, s: Array, w: Array, ds: Array, turn: int = -1, two: int = 2) -> tuple[Array, Array]:
    back = sum(w[k] * shift(ds, turn * k) for k in range(len(w)))
    dw = np.array([(ds * shift(x * x, -turn * k)).sum() for k in range(len(w))])
    return dy / np.sqrt(s) + two * x * back, dw


def _constant(dy: Array, cache: Cache) -> tuple[Array, Array]:
    _, s, w = cache
    return dy / np.sqrt(s), np.zeros_like(w)


def _own_channel(dy: Array, cache: Cache) -> tuple[Array, Array]:
    x, s, w = cache
    ds = -0.5 * dy * x * s**-1.5
    return dy / np.sqrt(s) + 2 * x * w[0] * ds, np.array([(ds * x * x).sum()] * len(w))


def _not_turned(dy: Array, cache: Cache) -> tuple[Array, Array]:
    x, s, w = cache
    return _backward(dy, x, s, w, -0.5 * dy * x * s**-1.5, turn=1)


def _sign(dy: Array, cache: Cache) -> tuple[Array, Array]:
    x, s, w = cache
    return _backward(dy, x, s, w, 0.5 * dy * x * s**-1.5)


def _power(dy: Array, cache: Cache) -> tuple[Array, Array]:
    x, s, w = cache
    return _backward(dy, x, s, w, -0.5 * dy * x * s**-0.5)


def _no_half(dy: Array, cache: Cache) -> tuple[Array, Array]:
    x, s, w = cache
    return _backward(dy, x, s, w, -dy * x * s**-1.5)


def _no_two(dy: Array, cache: Cache) -> tuple[Array, Array]:
    x, s, w = cache
    return _backward(dy, x, s, w, -0.5 * dy * x * s**-1.5, two=1)


HINTS = (
    (_constant, "s was held constant, but it is made from x and w. Follow ds back through the sum over k"),
    (
        _own_channel,
        "only the channel itself was followed. x[c] also stands in s[c + 1], s[c + 2], ..., and w[k] meets x[c - k]",
    ),
    (
        _not_turned,
        "the shift goes the wrong way: forward x[c] moves to the right, into s[c + k], so ds comes back to the left "
        "(and dw[k] meets x moved as in the forward)",
    ),
    (_sign, "the part through s has the wrong sign: a larger s makes y smaller"),
    (_power, "the power of s is wrong: the derivative of s^(-1/2) is -s^(-3/2) / 2"),
    (_no_half, "the 1/2 of the square root is missing in ds"),
    (_no_two, "the 2 of the square is missing"),
)


EXERCISES = {
    "divisive_norm": Exercise(
        op=divisive_norm,
        solution=divisive_norm_backward,
        arrays=lambda rng: (rng.standard_normal((4, 6)), 0.2 + rng.random(3)),
        hints=HINTS,
    ),
}

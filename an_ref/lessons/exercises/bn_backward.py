"""The code exercises of notebook 4, BN backward."""

from __future__ import annotations

import numpy as np

from ...validation import Array
from ..exercise import Exercise

OVER = (0, 2, 3)  # the axes of one channel's values


# --- BN on images ----------------------------------------------------------------------------------------------------
def batch_norm(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> tuple[Array, tuple[Array, ...]]:
    """BN on (N, C, H, W); the cache is xhat (N, C, H, W), rstd and gamma (1, C, 1, 1)."""
    scale, shift = gamma.reshape(1, -1, 1, 1), beta.reshape(1, -1, 1, 1)
    d = x - x.mean(OVER, keepdims=True)
    rstd = ((d * d).mean(OVER, keepdims=True) + eps) ** -0.5
    xhat = d * rstd
    return scale * xhat + shift, (xhat, rstd, scale)


def batch_norm_backward(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return dx, dgamma, dbeta: dx = rstd (g - mean(g) - xhat mean(g xhat)) with g = gamma dy."""
    xhat, rstd, gamma = cache
    g = gamma * dy
    along_ones = g.mean(OVER, keepdims=True)
    along_xhat = (g * xhat).mean(OVER, keepdims=True)
    return rstd * (g - along_ones - xhat * along_xhat), (dy * xhat).sum(OVER), dy.sum(OVER)


def _terms(dy: Array, cache: tuple[Array, ...], axes: tuple[int, ...] = OVER) -> tuple[Array, ...]:
    """What the wrong answers below are put together from: rstd, g, mean(g), xhat, mean(g xhat)."""
    xhat, rstd, gamma = cache
    g = gamma * dy
    return rstd, g, g.mean(axes, keepdims=True), xhat, (g * xhat).mean(axes, keepdims=True)


def _samples_only(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    rstd, g, mean, xhat, along = _terms(dy, cache, (0,))
    return rstd * (g - mean - xhat * along), (dy * xhat).mean((0, 2, 3)), dy.mean((0, 2, 3))


def _each_image(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    rstd, g, mean, xhat, along = _terms(dy, cache, (2, 3))
    return (rstd * (g - mean - xhat * along),)


def _direct_only(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    rstd, g, *_ = _terms(dy, cache)
    return (rstd * g,)


def _no_variance(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    rstd, g, mean, *_ = _terms(dy, cache)
    return (rstd * (g - mean),)


def _no_mean(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    rstd, g, _, xhat, along = _terms(dy, cache)
    return (rstd * (g - xhat * along),)


def _no_xhat_in_front(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    rstd, g, mean, _, along = _terms(dy, cache)
    return (rstd * (g - mean - along),)


def _no_gamma(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    xhat, rstd, gamma = cache
    return batch_norm_backward(dy, (xhat, rstd, np.ones_like(gamma)))[0], (gamma * dy * xhat).sum(OVER)


def _no_rstd(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    _, g, mean, xhat, along = _terms(dy, cache)
    return (g - mean - xhat * along,)


def _sums(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    rstd, g, mean, xhat, along = _terms(dy, cache)
    count = dy.size // dy.shape[1]
    return (rstd * (g - count * mean - xhat * count * along),)


_HINTS = (
    (_samples_only, "the averages belong over (N, H, W) of each channel: axes (0, 2, 3); for dgamma and dbeta, sums"),
    (_each_image, "these averages are over one image, as in instance normalization; BN averages over N too"),
    (_direct_only, "this treats mu and rstd as constants: right in evaluation, not in training"),
    (_no_variance, "the path through the variance is missing: - xhat mean(g xhat)"),
    (_no_mean, "the path through the mean is missing: - mean(g)"),
    (_no_xhat_in_front, "the third term is a vector: xhat stands once inside the mean and once in front of it"),
    (_no_gamma, "gamma belongs into dx, by g = gamma dy, and not into dgamma = sum(dy xhat)"),
    (_no_rstd, "the factor rstd in front is missing"),
    (_sums, "mean(g) and mean(g xhat) are averages, not sums: 1/n comes from the means in mu and var"),
)


# --- L1-BN: the mean deviation in place of the standard deviation ----------------------------------------------------
def l1_norm(x: Array) -> tuple[Array, tuple[Array, Array]]:
    """Return y = d / s with d = x - mean(x), s = mean |d| over axis 0 of x (n, C); the cache is y (n, C), s (C,)."""
    d = x - x.mean(0)
    s = np.where(d.real < 0, -d, d).mean(0)
    y = d / s
    return y, (y.copy(), s)


def l1_norm_backward(dy: Array, cache: tuple[Array, Array]) -> Array:
    """Return dx = (dy - mean(dy) - (t - mean(t)) mean(dy y)) / s with t the sign of y."""
    y, s = cache
    t = np.where(y.real < 0, -1.0, 1.0)
    return (dy - dy.mean(0) - (t - t.mean(0)) * (dy * y).mean(0)) / s


def _l1_as_batch_norm(dy: Array, cache: tuple[Array, Array]) -> Array:
    y, s = cache
    return (dy - dy.mean(0) - y * (dy * y).mean(0)) / s


def _l1_not_centred(dy: Array, cache: tuple[Array, Array]) -> Array:
    y, s = cache
    return (dy - dy.mean(0) - np.where(y.real < 0, -1.0, 1.0) * (dy * y).mean(0)) / s


def _l1_constant_scale(dy: Array, cache: tuple[Array, Array]) -> Array:
    return (dy - dy.mean(0)) / cache[1]


def _l1_constant_mean(dy: Array, cache: tuple[Array, Array]) -> Array:
    y, s = cache
    return (dy - np.where(y.real < 0, -1.0, 1.0) * (dy * y).mean(0)) / s


_L1_HINTS = (
    (_l1_as_batch_norm, "this is BN's third term: its y is the derivative of a square, that of |d| is the sign of d"),
    (_l1_not_centred, "the sign does not sum to zero, so the mean has to be taken off it too: dx must sum to zero"),
    (_l1_constant_scale, "this treats s as a constant: the path through s is missing"),
    (_l1_constant_mean, "this treats the mean as a constant: dx must sum to zero over each channel"),
)

EXERCISES = {
    "batch_norm_backward": Exercise(
        op=batch_norm,
        solution=batch_norm_backward,
        arrays=lambda rng: (rng.standard_normal((4, 3, 5, 2)) + 1, rng.normal(1, 0.5, 3), rng.standard_normal(3)),
        hints=_HINTS,
    ),
    "l1_norm_backward": Exercise(
        op=l1_norm,
        solution=l1_norm_backward,
        arrays=lambda rng: (3 * rng.standard_normal((9, 4)) + 1,),
        hints=_L1_HINTS,
    ),
}

"""The code exercises of notebook 5, BN at test time."""

from __future__ import annotations

import numpy as np

from ...validation import Array
from ..exercise import Exercise

OVER = (0, 2, 3)  # the axes of one channel's values
EPS = 1e-5


def _column(p: Array) -> Array:
    return p.reshape(1, -1, 1, 1)  # (1, C, 1, 1)


# --- evaluation: mean and variance are stored ------------------------------------------------------------------------
def batch_norm_eval(
    x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array
) -> tuple[Array, tuple[Array, ...]]:
    """BN with stored statistics on (N, C, H, W); the cache is xhat (N, C, H, W), rstd and gamma (1, C, 1, 1)."""
    rstd = (_column(running_var) + EPS) ** -0.5
    xhat = (x - _column(running_mean)) * rstd
    return _column(gamma) * xhat + _column(beta), (xhat, rstd, _column(gamma))


def batch_norm_eval_backward(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return dx = gamma rstd dy, dgamma = sum(dy xhat), dbeta = sum(dy)."""
    xhat, rstd, gamma = cache
    return gamma * rstd * dy, (dy * xhat).sum(OVER), dy.sum(OVER)


# --- half of it: the batch's mean, the stored variance ---------------------------------------------------------------
def half_eval(x: Array, gamma: Array, beta: Array, running_var: Array) -> tuple[Array, tuple[Array, ...]]:
    """BN with the batch's mean and a stored variance; the cache is as in batch_norm_eval."""
    rstd = (_column(running_var) + EPS) ** -0.5
    xhat = (x - x.mean(OVER, keepdims=True)) * rstd
    return _column(gamma) * xhat + _column(beta), (xhat, rstd, _column(gamma))


def half_eval_backward(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return dx = rstd (g - mean(g)) with g = gamma dy; then dgamma = sum(dy xhat), dbeta = sum(dy)."""
    xhat, rstd, gamma = cache
    g = gamma * dy
    return rstd * (g - g.mean(OVER, keepdims=True)), (dy * xhat).sum(OVER), dy.sum(OVER)


# --- usual mistakes --------------------------------------------------------------------------------------------------
def _training(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    xhat, rstd, gamma = cache
    g = gamma * dy
    return (rstd * (g - g.mean(OVER, keepdims=True) - xhat * (g * xhat).mean(OVER, keepdims=True)),)


def _no_rstd(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    return (cache[2] * dy,)


def _no_gamma(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    xhat, rstd, gamma = cache
    return rstd * dy, (gamma * dy * xhat).sum(OVER)


def _averages(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
    return batch_norm_eval_backward(dy, cache)[0], (dy * cache[0]).mean(OVER), dy.mean(OVER)


_COMMON = (
    (_training, "this is the backward of training; a stored variance does not move with x, so it has no path to x"),
    (_no_rstd, "the factor rstd is missing: xhat moves by rstd when x moves by 1"),
    (_no_gamma, "gamma belongs into dx, and not into dgamma = sum(dy xhat)"),
    (_averages, "gamma and beta are used by all values of a channel: sums, not averages"),
)


def _arrays(rng: np.random.Generator) -> tuple[Array, ...]:
    x, gamma, beta = rng.standard_normal((4, 3, 5, 2)) + 1, rng.normal(1, 0.5, 3), rng.standard_normal(3)
    return x, gamma, beta, rng.standard_normal(3), rng.uniform(0.5, 3, 3)


def _half_arrays(rng: np.random.Generator) -> tuple[Array, ...]:
    x, gamma, beta, _, running_var = _arrays(rng)
    return x, gamma, beta, running_var


EXERCISES = {
    "batch_norm_eval_backward": Exercise(
        op=batch_norm_eval,
        solution=batch_norm_eval_backward,
        arrays=_arrays,
        hints=(*_COMMON, (half_eval_backward, "the stored mean does not move with x either: there is no - mean(g)")),
    ),
    "half_eval_backward": Exercise(
        op=half_eval,
        solution=half_eval_backward,
        arrays=_half_arrays,
        hints=((batch_norm_eval_backward, "the mean is the batch's here, so it moves with x: - mean(g)"), *_COMMON),
    ),
}

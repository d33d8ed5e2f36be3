"""Exercises of notebook 6: two more averaging norms, RMSNorm and the LN of a Transformer."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...validation import Array
from ..exercise import Exercise

Cache = tuple[Any, ...]


# --- RMSNorm ---------------------------------------------------------------------------------------------------------
def rms_norm(x: Array, gamma: Array, *, eps: float = 1e-5) -> tuple[Array, Cache]:
    """RMSNorm: y = gamma x / sqrt(P(x^2) + eps), P over the last axis; x (N, C), gamma (C,).

    Source: arXiv 1910.07467.
    """
    r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + eps)  # (N, 1)
    return gamma * x * r, (x, r, gamma)


def rms_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Array]:
    """Return dx = r (g - x r^2 P(g x)) with g = gamma dy, and dgamma."""
    x, r, gamma = cache
    g = gamma * dy
    dx = r * (g - x * r**2 * (g * x).mean(-1, keepdims=True))
    return dx, (dy * x * r).sum(0)


def _rms_constant(dy: Array, cache: Cache) -> tuple[Array, Array]:
    x, r, gamma = cache
    return r * gamma * dy, (dy * x * r).sum(0)


def _rms_centred(dy: Array, cache: Cache) -> tuple[Array, Array]:
    x, r, gamma = cache
    g = gamma * dy
    dx = r * (g - g.mean(-1, keepdims=True) - x * r**2 * (g * x).mean(-1, keepdims=True))
    return dx, (dy * x * r).sum(-1)


def _rms_summed(dy: Array, cache: Cache) -> tuple[Array, Array]:
    x, r, gamma = cache
    g = gamma * dy
    return r * (g - x * r**2 * (g * x).sum(-1, keepdims=True)), (dy * x).sum(0)


def _rms_gamma_outside(dy: Array, cache: Cache) -> tuple[Array, Array]:
    x, r, gamma = cache
    return gamma * r * (dy - x * r**2 * (dy * x).mean(-1, keepdims=True)), (dy * x * r).mean(0)


def _rms_first_power(dy: Array, cache: Cache) -> tuple[Array, Array]:
    x, r, gamma = cache
    g = gamma * dy
    return r * (g - x * r * (g * x).mean(-1, keepdims=True)), (gamma * dy * x * r).sum(0)


RMS_HINTS = (
    (_rms_constant, "r is made from x too; you treated it as a constant. Follow dr back through P(x^2)"),
    (_rms_centred, "RMSNorm subtracts no mean, so no P(g) comes back (and dgamma sums over the samples, not channels)"),
    (
        _rms_summed,
        "P is a mean: divide by the number of entries of the cell (and y has the factor r, so dgamma has it)",
    ),
    (
        _rms_gamma_outside,
        "gamma differs from channel to channel, so it cannot leave P (and dgamma is a sum, not a mean)",
    ),
    (_rms_first_power, "the power of r is wrong: ds = -r^3 / 2 dr for s = P(x^2) (and dgamma has no gamma in it)"),
)


# --- the LN of a Transformer -----------------------------------------------------------------------------------------
def token_layer_norm(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> tuple[Array, Cache]:
    """Return LN of tokens: x (B, T, D), mean and variance over D for each token; gamma, beta (D,). arXiv 1607.06450."""
    mu = x.mean(-1, keepdims=True)  # (B, T, 1)
    rstd = 1 / np.sqrt(((x - mu) ** 2).mean(-1, keepdims=True) + eps)
    xhat = (x - mu) * rstd
    return gamma * xhat + beta, (xhat, rstd, gamma)


def token_layer_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
    """Return dx, dgamma, dbeta: P is the mean over D."""
    xhat = cache[0]
    return _token_dx(dy, cache, (-1,)), (dy * xhat).sum((0, 1)), dy.sum((0, 1))


def _token_dx(dy: Array, cache: Cache, axes: tuple[int, ...]) -> Array:
    xhat, rstd, gamma = cache
    g = gamma * dy
    return rstd * (g - g.mean(axes, keepdims=True) - xhat * (g * xhat).mean(axes, keepdims=True))


def _token_image_axes(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
    return _token_dx(dy, cache, (1, 2)), (dy * cache[0]).mean((0, 1)), dy.mean((0, 1))


def _token_gamma_outside(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
    xhat, rstd, gamma = cache
    return gamma * _token_dx(dy, (xhat, rstd, 1.0), (-1,)), (dy * xhat).sum((0, 1)) * gamma, dy.sum((0, 1)) * gamma


def _token_no_gamma(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
    xhat, rstd, _ = cache
    return _token_dx(dy, (xhat, rstd, 1.0), (-1,)), (dy * xhat).sum(1), dy.sum(1)


TOKEN_HINTS = (
    (_token_image_axes, "a token has a mean of its own: average over D alone, not over T (and dgamma, dbeta are sums)"),
    (
        _token_gamma_outside,
        "gamma differs along D, inside the cell, so it cannot leave P (and dgamma, dbeta lack gamma)",
    ),
    (_token_no_gamma, "gamma is missing: P works on g = gamma dy (and dgamma, dbeta sum over B and T)"),
)


def _rms_arrays(rng: np.random.Generator) -> tuple[Array, ...]:
    return rng.standard_normal((4, 6)) + 0.5, rng.standard_normal(6)


def _token_arrays(rng: np.random.Generator) -> tuple[Array, ...]:
    return rng.standard_normal((3, 4, 6)) + 0.5, rng.standard_normal(6), rng.standard_normal(6)


EXERCISES = {
    "rms_norm": Exercise(rms_norm, rms_norm_backward, _rms_arrays, hints=RMS_HINTS),
    "token_layer_norm": Exercise(token_layer_norm, token_layer_norm_backward, _token_arrays, hints=TOKEN_HINTS),
}

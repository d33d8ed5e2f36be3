"""Exercises of the notebook on small batches: BN whose statistics are part batch and part stored, and batch renorm."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...validation import Array
from ..exercise import Exercise

AXES = (0, 2, 3)


# --- BN with statistics that are mixed with stored constants ---------------------------------------------------------
def mixed_norm(
    x: Array, gamma: Array, beta: Array, *, w: float, m0: float, v0: float, eps: float = 1e-5
) -> tuple[Array, Any]:
    """y = gamma (x - mu') / sqrt(var' + eps) + beta, mu' = w mu + (1 - w) m0, var' = w var + (1 - w) v0.

    x (N, C, H, W); gamma, beta (C,); mu and var are the batch's, over (N, H, W); w, m0 and v0 are constants, the same
    for all channels. The cache is (x, mu, xhat, rstd, gamma, w): mu and rstd (1, C, 1, 1), xhat = (x - mu') rstd.
    """
    mu = x.mean(AXES, keepdims=True)  # (1, C, 1, 1)
    centred = x - mu
    var = (centred * centred).mean(AXES, keepdims=True)
    rstd = 1 / np.sqrt(w * var + (1 - w) * v0 + eps)
    xhat = (x - (w * mu + (1 - w) * m0)) * rstd
    return _wide(gamma) * xhat + _wide(beta), (x, mu, xhat, rstd, gamma, w)


def mixed_norm_backward(
    dy: Array, cache: Any, *, mean: float | None = None, variance: float | None = None, centre: str = "mu"
) -> tuple[Array, ...]:
    """Return dx, dgamma, dbeta; the keywords make the usual mistakes: other factors of the two paths, or centre."""
    x, mu, xhat, rstd, gamma, w = cache
    g = _wide(gamma) * dy
    dmu = -(w if mean is None else mean) * (rstd * g).mean(AXES, keepdims=True)  # (1, C, 1, 1)
    dvar = -(w if variance is None else variance) * rstd**2 * (g * xhat).mean(AXES, keepdims=True)
    around = x - mu if centre == "mu" else xhat / rstd
    return rstd * g + dmu + dvar * around, (dy * xhat).sum(AXES), dy.sum(AXES)


def _mixed_norm_arrays(rng: np.random.Generator) -> tuple[Array, ...]:
    normal = rng.standard_normal
    return 1.5 * normal((2, 3, 2, 4)) + 0.5, 1 + normal(3), normal(3)


# --- batch renormalization -------------------------------------------------------------------------------------------
def batch_renorm(
    x: Array, gamma: Array, beta: Array, *, r: tuple[float, ...], d: tuple[float, ...], eps: float = 1e-5
) -> tuple[Array, Any]:
    """y = gamma (xhat r + d) + beta, xhat as in BN; r[c] and d[c] are constants for the gradient. Source: 1702.03275.

    x (N, C, H, W); gamma, beta (C,). The cache is (xhat, rstd, gamma, r, d): rstd (1, C, 1, 1); r, d (C,).
    """
    centred = x - x.mean(AXES, keepdims=True)
    rstd = 1 / np.sqrt((centred * centred).mean(AXES, keepdims=True) + eps)  # (1, C, 1, 1)
    xhat = centred * rstd
    scale, shift = np.array(r), np.array(d)
    y = _wide(gamma) * (xhat * _wide(scale) + _wide(shift)) + _wide(beta)
    return y, (xhat, rstd, gamma, scale, shift)


def batch_renorm_backward(
    dy: Array, cache: Any, *, r_in_dx: bool = True, parameters: str = "renormalized", batch: float = 1.0
) -> tuple[Array, ...]:
    """Return dx, dgamma, dbeta; the keywords make the usual mistakes."""
    xhat, rstd, gamma, r, d = cache
    g = _wide(gamma * r if r_in_dx else gamma) * dy
    through_batch = g.mean(AXES, keepdims=True) + xhat * (g * xhat).mean(AXES, keepdims=True)
    z = xhat * _wide(r) + _wide(d) if parameters == "renormalized" else xhat
    return rstd * (g - batch * through_batch), (dy * z).sum(AXES), dy.sum(AXES)


def _batch_renorm_arrays(rng: np.random.Generator) -> tuple[Array, ...]:
    normal = rng.standard_normal
    return 1.5 * normal((2, 3, 2, 4)) + 0.5, 1 + normal(3), normal(3)


def _wide(vector: Array) -> Array:
    return vector[:, None, None]  # (C,) -> (C, 1, 1)


def _but(backward: Any, **wrong: Any) -> Any:
    return lambda dy, cache: backward(dy, cache, **wrong)


EXERCISES = {
    "mixed_norm": Exercise(
        mixed_norm,
        mixed_norm_backward,
        _mixed_norm_arrays,
        hyper={"w": 0.3, "m0": 0.8, "v0": 1.6},
        hints=(
            (
                _but(mixed_norm_backward, mean=1.0, variance=1.0),
                "this is BN's backward; only the share w of each statistic comes from the batch, so both paths through "
                "the batch carry the factor w",
            ),
            (
                _but(mixed_norm_backward, mean=1.0, variance=1.0, centre="xhat"),
                "this is BN's formula with the mixed xhat; the two paths through the batch lack the factor w, and the "
                "derivative of var is 2 (x - mu) / n, around the mean of the batch, not around mu'",
            ),
            (
                _but(mixed_norm_backward, mean=0.0, variance=0.0),
                "this is the backward of BN at test time; the share w of mu' and var' is still made from x",
            ),
            (
                _but(mixed_norm_backward, centre="xhat"),
                "the derivative of var is 2 (x - mu) / n, around the mean of the batch; xhat is centred around mu'",
            ),
            (
                _but(mixed_norm_backward, variance=1.0),
                "the path through the variance lacks the factor w",
            ),
            (
                _but(mixed_norm_backward, mean=1.0),
                "the path through the mean lacks the factor w",
            ),
        ),
    ),
    "batch_renorm": Exercise(
        batch_renorm,
        batch_renorm_backward,
        _batch_renorm_arrays,
        hyper={"r": (0.6, 1.3, 2.0), "d": (0.4, -0.7, 0.2)},
        hints=(
            (
                _but(batch_renorm_backward, r_in_dx=False),
                "this is BN's dx; y holds xhat times r, so dxhat is gamma r dy",
            ),
            (
                _but(batch_renorm_backward, batch=0.0),
                "the paths through the batch mean and variance are missing: r and d are constants, xhat is not",
            ),
            (
                _but(batch_renorm_backward, parameters="plain"),
                "gamma multiplies xhat r + d, not xhat alone",
            ),
        ),
    ),
}

"""Exercises of the notebook on attentive normalization: another variant, and a gate made from contrast."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...validation import Array
from ..exercise import Exercise


# --- AN on layer statistics, with the mean as descriptor, a linear map with bias, and softmax ------------------------
def layer_softmax_an(
    x: Array, gamma: Array, beta: Array, weight: Array, bias: Array, *, eps: float = 1e-5
) -> tuple[Array, Any]:
    """AN: y = Gamma xhat + B over (C, H, W); Gamma = lambda gamma, B = lambda beta, lambda = softmax(m weight + bias).

    x (N, C, H, W); gamma, beta (K, C); weight (C, K); bias (K,). The cache is (xhat, rstd, m, lambda_, gamma, beta,
    weight).
    """
    m = x.mean((2, 3))  # (N, C)
    z = m @ weight + bias  # (N, K)
    e = np.exp(z - z.real.max(1, keepdims=True))
    lambda_ = e / e.sum(1, keepdims=True)
    centred = x - x.mean((1, 2, 3), keepdims=True)
    rstd = 1 / np.sqrt((centred * centred).mean((1, 2, 3), keepdims=True) + eps)  # (N, 1, 1, 1)
    xhat = centred * rstd
    y = (lambda_ @ gamma)[:, :, None, None] * xhat + (lambda_ @ beta)[:, :, None, None]
    return y, (xhat, rstd, m, lambda_, gamma, beta, weight)


def layer_softmax_an_backward(
    dy: Array,
    cache: Any,
    *,
    axes: tuple[int, ...] = (1, 2, 3),
    shift: float = 1.0,
    slope: str = "softmax",
    second: float = 1.0,
    mean: bool = True,
) -> tuple[Array, ...]:
    """Return dx, dgamma, dbeta, dweight, dbias; the keywords make the usual mistakes."""
    xhat, rstd, m, lambda_, gamma, beta, weight = cache
    M = xhat[0, 0].size
    dG, dB = (dy * xhat).sum((2, 3)), dy.sum((2, 3))  # (N, C)
    dlambda = dG @ gamma.T + shift * dB @ beta.T  # (N, K)
    if slope == "softmax":
        dz = lambda_ * (dlambda - (lambda_ * dlambda).sum(1, keepdims=True))
    else:
        dz = dlambda * lambda_ * (1 - lambda_) if slope == "sigmoid" else dlambda / 6
    dm = dz @ weight.T  # (N, C)
    g = (lambda_ @ gamma)[:, :, None, None] * dy
    dx = rstd * (g - g.mean(axes, keepdims=True) - xhat * (g * xhat).mean(axes, keepdims=True))
    dx = dx + second * dm[:, :, None, None] / (M if mean else 1)
    return dx, lambda_.T @ dG, lambda_.T @ dB, m.T @ dz, dz.sum(0)


def _layer_softmax_an_arrays(rng: np.random.Generator) -> tuple[Array, ...]:
    normal = rng.standard_normal
    return normal((4, 3, 2, 5)) + 0.5, 1 + normal((2, 3)), normal((2, 3)), normal((3, 2)), normal(2)


# --- a gate made from contrast ---------------------------------------------------------------------------------------
def contrast_gate(x: Array, w: Array, *, eps: float = 1e-5) -> tuple[Array, Any]:
    """y[n,c,i] = s[n,c] x[n,c,i], s = sigmoid(w[c] sigma[n,c]), sigma = sqrt(v + eps), v the biased variance of a map.

    x (N, C, H, W); w (C,). The cache is (x, m, sigma, s, w).
    """
    m = x.mean((2, 3))  # (N, C)
    centred = x - m[:, :, None, None]
    sigma = np.sqrt((centred * centred).mean((2, 3)) + eps)  # (N, C)
    s = 1 / (1 + np.exp(-w * sigma))
    return s[:, :, None, None] * x, (x, m, sigma, s, w)


def contrast_gate_backward(
    dy: Array, cache: Any, *, slope: bool = True, second: float = 1.0, half: float = 1.0, centred: bool = True
) -> tuple[Array, Array]:
    """Return dx, dw; the keywords make the usual mistakes."""
    x, m, sigma, s, w = cache
    M = x[0, 0].size
    ds = (dy * x).sum((2, 3))  # (N, C)
    dlogit = ds * s * (1 - s) if slope else ds
    dv = half * w * dlogit / (2 * sigma)
    around = m[:, :, None, None] if centred else 0.0
    dx = s[:, :, None, None] * dy + second * dv[:, :, None, None] * 2 * (x - around) / M
    return dx, (dlogit * sigma).sum(0)


def _contrast_gate_arrays(rng: np.random.Generator) -> tuple[Array, ...]:
    return rng.standard_normal((3, 4, 2, 5)) + 0.5, rng.standard_normal(4)


def _but(backward: Any, **wrong: Any) -> Any:
    return lambda dy, cache: backward(dy, cache, **wrong)


EXERCISES = {
    "layer_softmax_an": Exercise(
        layer_softmax_an,
        layer_softmax_an_backward,
        _layer_softmax_an_arrays,
        hints=(
            (
                _but(layer_softmax_an_backward, second=0.0),
                "the path through lambda is missing: lambda is made from x, so dlambda goes on through softmax, the "
                "linear map and the mean of the map, and is added to dx",
            ),
            (
                _but(layer_softmax_an_backward, axes=(0, 2, 3)),
                "the two means of the path through xhat are taken over (N, H, W), as in BN; the statistics here are "
                "over (C, H, W)",
            ),
            (
                _but(layer_softmax_an_backward, shift=0.0),
                "dlambda lacks the part through B = lambda beta; add dB beta^T",
            ),
            (
                _but(layer_softmax_an_backward, slope="hsigmoid"),
                "the slope 1/6 belongs to hsigmoid; lambda is a softmax here: dz = lambda (dlambda - sum_j lambda_j "
                "dlambda_j), the sum over the K weights of a sample",
            ),
            (
                _but(layer_softmax_an_backward, slope="sigmoid"),
                "lambda (1 - lambda) is a softmax's derivative of each weight with respect to its own logit; but each "
                "logit changes all K weights: dz = lambda (dlambda - sum_j lambda_j dlambda_j)",
            ),
            (
                _but(layer_softmax_an_backward, mean=False),
                "dm must be divided by M: each of the M positions of a map has a share of 1/M in its mean",
            ),
        ),
    ),
    "contrast_gate": Exercise(
        contrast_gate,
        contrast_gate_backward,
        _contrast_gate_arrays,
        hints=(
            (
                _but(contrast_gate_backward, second=0.0),
                "the gate is taken for a constant; s is made from x, so a second path goes through sigma",
            ),
            (
                _but(contrast_gate_backward, slope=False),
                "the derivative of the sigmoid, s (1 - s), is missing",
            ),
            (
                _but(contrast_gate_backward, centred=False),
                "the derivative of v is 2 (x - m) / M; here x stands without its mean taken off",
            ),
            (
                _but(contrast_gate_backward, half=2.0),
                "the derivative of sqrt(v + eps) is 1 / (2 sigma); here the 2 is missing",
            ),
        ),
    ),
}

"""Exercises of the notebook on honest comparisons: t over seeds and images, and the correlation of two nets."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...validation import Array
from ..exercise import Exercise


# --- t over two sources of chance -----------------------------------------------------------------------------------
def two_way_t(delta: Array) -> tuple[Array, Any]:
    """t[k] = m / sqrt(q), the mean difference over its standard error for other seeds and other images.

        m = mean of delta[k];  v[s] = mean_i delta[k,s,i] - m;  w[i] = mean_s delta[k,s,i] - m
        q = sum_s v[s]^2 / (S (S - 1)) + sum_i w[i]^2 / (n (n - 1))

    delta (K, S, n), K comparisons. The cache is (m, v, w, q), of shapes (K,), (K, S), (K, n), (K,).
    """
    S, n = delta.shape[1:]
    m = delta.mean((1, 2))  # (K,)
    v = delta.mean(2) - m[:, None]  # (K, S)
    w = delta.mean(1) - m[:, None]  # (K, n)
    q = (v * v).sum(1) / (S * (S - 1)) + (w * w).sum(1) / (n * (n - 1))  # (K,)
    return m / np.sqrt(q), (m, v, w, q)


def two_way_t_backward(
    dt: Array, cache: Any, *, seeds: bool = True, images: bool = True, inner: bool = True, sign: float = -1.0
) -> Array:
    """Return ddelta; the keywords make the usual mistakes."""
    m, v, w, q = cache
    S, n = v.shape[1], w.shape[1]
    dm = dt / np.sqrt(q)  # (K,)
    dq = sign * dt * m * q**-1.5 / 2  # (K,)
    dv = 2 * v * dq[:, None] / (S * (S - 1)) / (n if inner else 1)  # (K, S), already for each delta
    dw = 2 * w * dq[:, None] / (n * (n - 1)) / (S if inner else 1)  # (K, n)
    ddelta = np.zeros((len(m), S, n)) + (dm / (S * n))[:, None, None]
    if seeds:
        ddelta = ddelta + dv[:, :, None]
    if images:
        ddelta = ddelta + dw[:, None, :]
    return ddelta


def _two_way_t_arrays(rng: np.random.Generator) -> tuple[Array, ...]:
    normal = rng.standard_normal
    return (1 + normal((2, 3, 1)) + normal((2, 1, 5)) + normal((2, 3, 5)),)


# --- what pairing is worth ------------------------------------------------------------------------------------------
def correlation(a: Array, b: Array) -> tuple[Array, Any]:
    """rho[k] = sum_i u v, with u = (a - mean(a)) / |a - mean(a)| over the images i, and v the same for b.

    a, b (n, K): a score for each image from two nets, K pairs of nets. The cache is (u, v, norm_a, norm_b), norm_a and
    norm_b of shape (K,).
    """
    a, b = a - a.mean(0), b - b.mean(0)  # (n, K)
    norm_a, norm_b = np.sqrt((a * a).sum(0)), np.sqrt((b * b).sum(0))  # (K,)
    u, v = a / norm_a, b / norm_b
    return (u * v).sum(0), (u, v, norm_a, norm_b)


def correlation_backward(
    drho: Array, cache: Any, *, second: float = 1.0, norms: bool = True, swapped: bool = False
) -> tuple[Array, Array]:
    """Return da, db; the keywords make the usual mistakes."""
    u, v, norm_a, norm_b = cache
    rho = (u * v).sum(0)  # (K,)
    if swapped:
        norm_a, norm_b = norm_b, norm_a
    if not norms:
        norm_a = norm_b = np.ones_like(norm_a)
    return drho * (v - second * rho * u) / norm_a, drho * (u - second * rho * v) / norm_b


def _correlation_arrays(rng: np.random.Generator) -> tuple[Array, ...]:
    a = rng.standard_normal((6, 3)) + 2
    return a, 0.5 * a + rng.standard_normal((6, 3))


def _but(backward: Any, **wrong: Any) -> Any:
    return lambda dy, cache: backward(dy, cache, **wrong)


EXERCISES = {
    "two_way_t": Exercise(
        two_way_t,
        two_way_t_backward,
        _two_way_t_arrays,
        hints=(
            (
                _but(two_way_t_backward, seeds=False, images=False),
                "the standard error is taken for a constant; q is made from delta, through v and through w",
            ),
            (
                _but(two_way_t_backward, seeds=False),
                "the path through the seed means v is missing; each v[s] goes back to the n images of that seed",
            ),
            (
                _but(two_way_t_backward, images=False),
                "the path through the image means w is missing; each w[i] goes back to the S seeds of that image",
            ),
            (
                _but(two_way_t_backward, inner=False),
                "v[s] is a mean over n images and w[i] one over S seeds: each delta gets 1/n of dv and 1/S of dw",
            ),
            (
                _but(two_way_t_backward, sign=1.0),
                "t = m q^(-1/2), so dq = -m dt q^(-3/2) / 2: a larger standard error makes t smaller",
            ),
        ),
    ),
    "correlation": Exercise(
        correlation,
        correlation_backward,
        _correlation_arrays,
        hints=(
            (
                _but(correlation_backward, second=0.0),
                "the path through the norm is missing: a longer a - mean(a) makes u shorter, which takes rho u off",
            ),
            (
                _but(correlation_backward, norms=False),
                "the division by the norm is missing: u = (a - mean(a)) / norm_a, so da is du / norm_a and more",
            ),
            (
                _but(correlation_backward, swapped=True),
                "da is divided by norm_b, and db by norm_a; each must be divided by its own norm",
            ),
        ),
    ),
}

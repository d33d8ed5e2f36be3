"""AN's attention weights lambda = activation(transform(descriptor(x))), one K-vector for each sample.

Each stage is a pair of functions, chosen by name. The default is the published one: mean over standard deviation, a
linear map without bias and a normalization of the logits, hard sigmoid. Source: Li, Sun & Wu 2020, arXiv 1908.01259,
section 3, and the authors' published configurations.

    descriptor  (x, m, v) -> h (N, C)            backward: dh -> dm, dv, gradient of the peaks or None
    transform   (h, *arrays, eps) -> z (N, K)    backward: dz -> dh, *darrays
    activation  z -> lambda (N, K)               backward: dlambda -> dz
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .activations import (
    ReluCache,
    hsigmoid,
    hsigmoid_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softmax,
    softmax_backward,
)
from .linear import LinearCache, linear, linear_backward
from .recalibrate import recalibrate, recalibrate_backward, standardize, standardize_backward
from .statistics import Statistics, statistics_backward
from .sweeps import peaks, positions
from .validation import Array

Pair = tuple[Callable[..., Any], Callable[..., Any]]
DESCRIPTOR_EPS = 1e-3  # published beside mean_over_std, not the eps of the norm


# --- descriptors -----------------------------------------------------------------------------------------------------
def mean(x: Array, m: Array, v: Array) -> tuple[Array, None]:
    """Descriptor h = m."""
    return m, None


def mean_backward(dh: Array, cache: None) -> tuple[Array, Any, None]:
    """Return dm = dh, and nothing else."""
    return dh, 0.0, None


def mean_max(x: Array, m: Array, v: Array) -> tuple[Array, Array]:
    """Descriptor h = m + max_i x: the mean of each map plus its maximum (the first one on ties)."""
    peak, where = peaks(x, m.dtype)
    return m + peak, where


def mean_max_backward(dh: Array, where: Array) -> tuple[Array, Any, tuple[Array, Array]]:
    """Return dm = dh, and dh once more for the place of each maximum."""
    return dh, 0.0, (dh, where)


class MeanOverStdCache(NamedTuple):
    """What the backward of mean_over_std needs: the table m, r = (v_unbiased + 1e-3)^-1/2, and M / (M - 1)."""

    m: Array
    r: Array
    unbias: float


def mean_over_std(x: Array, m: Array, v: Array) -> tuple[Array, MeanOverStdCache]:
    """Descriptor h = m * (v_unbiased + 1e-3)^-1/2, with v_unbiased = v * M / (M - 1)."""
    M = positions(x)
    r = 1 / np.sqrt(v * (M / (M - 1)) + DESCRIPTOR_EPS)
    return m * r, MeanOverStdCache(m, r, M / (M - 1))


def mean_over_std_backward(dh: Array, cache: MeanOverStdCache) -> tuple[Array, Array, None]:
    """Return dm = dh * r and dv = dh * m * (-1/2) r^3 * M / (M - 1)."""
    m, r, unbias = cache
    return dh * r, dh * m * (-0.5 * unbias) * r**3, None


DESCRIPTORS: dict[str, Pair] = {
    "mean": (mean, mean_backward),
    "mean_max": (mean_max, mean_max_backward),
    "mean_over_std": (mean_over_std, mean_over_std_backward),
}


# --- transforms ------------------------------------------------------------------------------------------------------
def affine_logits(h: Array, weight: Array, bias: Array, *, eps: float) -> tuple[Array, LinearCache]:
    """Transform "linear": z = h @ attn_weight + attn_bias."""
    return linear(h, weight, bias)


def affine_logits_backward(dz: Array, cache: LinearCache) -> tuple[Array, ...]:
    """Return dh, dattn_weight, dattn_bias."""
    return linear_backward(dz, cache)


class LogitsNormCache(NamedTuple):
    """What the backward of linear_norm needs; `statistics` are those of the K logits."""

    linear: LinearCache
    logits: Array
    statistics: Statistics
    rstd: Array
    b0: Array
    gamma: Array


def linear_norm(
    h: Array,
    weight: Array,
    gamma: Array,
    beta: Array,
    *,
    statistics: Callable[[Array], Statistics],
    eps: float,
) -> tuple[Array, LogitsNormCache]:
    """Transform "linear_norm": z = attn_gamma * (logits - mu) * rstd + attn_beta, logits = h @ attn_weight.

    The logits are a table already: maps of one position. So m is the table itself, v = 0, and the result is b.
    """
    logits, linear_cache = linear(h, weight)  # (N, K)
    s = statistics(logits)
    rstd, b0 = standardize(logits, s, eps)
    _, z = recalibrate(rstd, b0, gamma, beta)
    return z, LogitsNormCache(linear_cache, logits, s, rstd, b0, gamma)


def linear_norm_backward(dz: Array, cache: LogitsNormCache) -> tuple[Array, Array, Array, Array]:
    """Return dh, dattn_weight, dattn_gamma, dattn_beta.

    Each logit is its own map, so dlogits = dm + rstd * db0: the shift b0 is all that there is.
    """
    _, db0, dG, dB = recalibrate_backward(np.zeros_like(dz), dz, cache.rstd, cache.b0, cache.gamma)
    dmu, dvar = standardize_backward(np.zeros_like(db0), db0, cache.logits, cache.statistics, cache.rstd)
    dm, *_ = statistics_backward(dmu, dvar, cache.statistics)
    dh, dweight = linear_backward(dm + cache.rstd * db0, cache.linear)
    return dh, dweight, dG.sum(axis=0), dB.sum(axis=0)


class MlpCache(NamedTuple):
    """The caches of the two linear maps and of the ReLU between them."""

    first: LinearCache
    kink: ReluCache
    second: LinearCache


def mlp(h: Array, w1: Array, b1: Array, w2: Array, b2: Array, *, eps: float) -> tuple[Array, MlpCache]:
    """Transform "mlp": z = relu(h @ attn_w1 + attn_b1) @ attn_w2 + attn_b2, with 2K hidden units."""
    hidden, first = linear(h, w1, b1)  # (N, 2K)
    active, kink = relu(hidden)
    z, second = linear(active, w2, b2)
    return z, MlpCache(first, kink, second)


def mlp_backward(dz: Array, cache: MlpCache) -> tuple[Array, ...]:
    """Return dh, dattn_w1, dattn_b1, dattn_w2, dattn_b2."""
    first, kink, second = cache
    dactive, dw2, db2 = linear_backward(dz, second)
    dh, dw1, db1 = linear_backward(relu_backward(dactive, kink), first)
    return dh, dw1, db1, dw2, db2


# The arrays of each transform and their axes: C channels, K mixtures, H = 2K hidden units.
TRANSFORM_ARRAYS: dict[str, dict[str, str]] = {
    "linear": {"attn_weight": "CK", "attn_bias": "K"},
    "linear_norm": {"attn_weight": "CK", "attn_gamma": "K", "attn_beta": "K"},
    "mlp": {"attn_w1": "CH", "attn_b1": "H", "attn_w2": "HK", "attn_b2": "K"},
}

ACTIVATIONS: dict[str, Pair] = {
    "hsigmoid": (hsigmoid, hsigmoid_backward),
    "sigmoid": (sigmoid, sigmoid_backward),
    "softmax": (softmax, softmax_backward),
}

"""Exercises of notebook 7: the law of total variance, and RMS statistics, both in tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...validation import Array
from ..exercise import Exercise

Cache = tuple[Any, ...]


# --- the law of total variance ---------------------------------------------------------------------------------------
def total_variance(m: Array, v: Array) -> tuple[Array, Cache]:
    """BN's variance of each channel from the tables: var = P(v + d^2), d = m - P m, P over samples; (N, C) each."""
    d = m - m.mean(0)  # (N, C)
    var = np.broadcast_to((v + d * d).mean(0), m.shape)
    return var.copy(), (d,)


def total_variance_backward(dvar: Array, cache: Cache) -> tuple[Array, Array]:
    """Return dm = 2 d P dvar and dv = P dvar."""
    (d,) = cache
    dv = np.broadcast_to(dvar.mean(0), d.shape).copy()
    return 2 * d * dv, dv


def _total_no_pool(dvar: Array, cache: Cache) -> tuple[Array, Array]:
    return 2 * cache[0] * dvar, dvar.copy()


def _total_summed(dvar: Array, cache: Cache) -> tuple[Array, Array]:
    dv = np.broadcast_to(dvar.sum(0), dvar.shape)
    return 2 * cache[0] * dv, dv.copy()


def _total_no_means(dvar: Array, cache: Cache) -> tuple[Array, Array]:
    return np.zeros_like(dvar), np.broadcast_to(dvar.mean(1, keepdims=True), dvar.shape).copy()


def _total_pooled_late(dvar: Array, cache: Cache) -> tuple[Array, Array]:
    d = cache[0]
    return np.broadcast_to((2 * d * dvar).mean(0), d.shape).copy(), dvar / len(dvar)


TOTAL_HINTS = (
    (_total_no_pool, "the backward of P is P: average dvar over the samples first"),
    (_total_summed, "P is a mean, also backward: divide the sum by the number of samples"),
    (_total_no_means, "the means differ between samples, and that is part of the variance (and P is over samples)"),
    (_total_pooled_late, "pool dvar first; the factor 2 d is of each sample and stays outside P"),
)


# --- RMS statistics in tables ----------------------------------------------------------------------------------------
def table_rms_norm(x: Array, gamma: Array, *, eps: float = 1e-5) -> tuple[Array, Cache]:
    """y = gamma x rstd, rstd = (P(v + m^2) + eps)^(-1/2), P over the channels of a sample; x (N, C, M), gamma (C,)."""
    m = x.mean(2)  # (N, C)
    v = ((x - m[..., None]) ** 2).mean(2)
    rstd = 1 / np.sqrt((v + m * m).mean(1, keepdims=True) + eps)  # (N, 1)
    a = gamma * rstd
    y = a[..., None] * (x - m[..., None]) + (a * m)[..., None]
    return y, (x, m, rstd, gamma)


def table_rms_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Array]:
    """Return dx and dgamma: the sums of dy, then tables, then one combination."""
    return _table_rms(dy, cache)


def _table_rms(dy: Array, cache: Cache, *, spread: float = 1, level: float = 1, outside: bool = False) -> Any:
    """The backward; spread and level scale what comes back through v and through m, outside leaves gamma out of P."""
    x, m, rstd, gamma = cache
    M = x.shape[2]
    xc = x - m[..., None]
    da, db = (dy * xc).sum(2), dy.sum(2)  # (N, C)
    dG = da + m * db
    drstd = dG.mean(1, keepdims=True) * gamma if outside else (gamma * dG).mean(1, keepdims=True)
    dms = -0.5 * rstd**3 * drstd  # P of the gradient of the mean square
    dm, dv = 2 * m * dms * level, dms * spread
    dx = (gamma * rstd)[..., None] * dy + dm[..., None] / M + 2 / M * dv[..., None] * xc
    return dx, (rstd * dG).sum(0)


def _rms_no_means(dy: Array, cache: Cache) -> Any:
    x, m, rstd, _ = cache
    return _table_rms(dy, cache, level=0)[0], (rstd * (dy * (x - m[..., None])).sum(2)).sum(0)


def _rms_no_variances(dy: Array, cache: Cache) -> Any:
    return _table_rms(dy, cache, spread=0)[0], (dy * cache[0]).sum((0, 2))


def _rms_constant(dy: Array, cache: Cache) -> Any:
    x, _, rstd, gamma = cache
    return (gamma * rstd)[..., None] * dy, (rstd[..., None] * dy * x).mean((0, 2))


def _rms_gamma_outside(dy: Array, cache: Cache) -> Any:
    dx, dgamma = _table_rms(dy, cache, outside=True)
    return dx, cache[3] * dgamma


RMS_HINTS = (
    (_rms_no_means, "the mean square of a map is v + m^2: m needs a gradient too (and b = a m has gamma in it)"),
    (_rms_no_variances, "the mean square of a map is v + m^2: v needs a gradient too (and y has the factor rstd)"),
    (_rms_constant, "rstd is made from x; you treated it as a constant (and dgamma is a sum)"),
    (_rms_gamma_outside, "gamma differs inside the cell: pool gamma times the gradient of G (and dgamma has no gamma)"),
)


def _tables(rng: np.random.Generator) -> tuple[Array, ...]:
    return rng.standard_normal((4, 3)), rng.uniform(0.5, 2, (4, 3))


def _maps(rng: np.random.Generator) -> tuple[Array, ...]:
    return rng.standard_normal((3, 4, 5)) + 0.5, rng.standard_normal(4)


EXERCISES = {
    "total_variance": Exercise(total_variance, total_variance_backward, _tables, hints=TOTAL_HINTS),
    "table_rms_norm": Exercise(table_rms_norm, table_rms_norm_backward, _maps, hints=RMS_HINTS),
}

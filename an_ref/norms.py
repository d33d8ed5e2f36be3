"""Batch, layer, instance, group and switchable normalization, forward and backward by hand.

All of them are y = a (x - m) + b with N x C tables: moments of each map, pooled into the layer's statistics (the only
step in which the five differ), standardized, recalibrated by gamma and beta. `_normalize` and `_normalize_backward` are
the whole computation; the public functions name the statistics.

x is (N, C, ...): (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W), with M positions per map. gamma and beta are (C,).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .recalibrate import recalibrate, recalibrate_backward, standardize, standardize_backward
from .statistics import (
    Statistics,
    over_batch,
    over_group,
    over_instance,
    over_layer,
    pool,
    single,
    statistics_backward,
    switchable,
)
from .sweeps import combine, gradient_sums, moments, positions, scale_shift
from .validation import (
    Array,
    cast_all,
    check_array,
    check_eps,
    check_feature_map,
    check_groups,
    check_parameter,
    check_parameters,
    check_upstream,
    dtypes,
)


class NormCache(NamedTuple):
    """What the backward of a norm needs: x and N x C tables. `b` is the mean over each map of y."""

    x: Array
    gamma: Array
    m: Array
    v: Array
    mu: Array
    var: Array
    rstd: Array
    b0: Array
    a: Array
    b: Array
    statistics: Statistics
    dtypes: tuple[np.dtype[Any], ...]


def _normalize(
    x: Array,
    gamma: Array,
    beta: Array,
    statistics: Callable[[Array, Array], Statistics],
    eps: float,
    *others: Array,
) -> tuple[Array, NormCache]:
    """Forward of every norm; `others` are the arrays that `statistics` uses, first those that have a gradient."""
    out, work = dtypes(x, gamma, beta, *others)
    gamma_, beta_ = gamma.astype(work, copy=False), beta.astype(work, copy=False)
    m, v = moments(x, work)
    s = statistics(m, v)
    rstd, b0 = standardize(m, s, eps)
    a, b = recalibrate(rstd, b0, gamma_, beta_)
    y = scale_shift(x, a, m, b, out)
    return y, NormCache(x, gamma_, m, v, s.mu, s.var, rstd, b0, a, b, s, tuple(p.dtype for p in (gamma, beta, *others)))


def _normalize_backward(op: str, dy: Array, cache: NormCache) -> tuple[Array, ...]:
    """Backward of every norm: dx, dgamma, dbeta, and for a mixture the gradients of its logits."""
    check_upstream(op, dy, cache.x.shape, cache.x)
    x, gamma, m, _, _, _, rstd, b0, a, _, s, like = cache
    da, db = gradient_sums(dy, x, m)
    da0, db0, dG, dB = recalibrate_backward(da, db, rstd, b0, gamma)
    dmu, dvar = standardize_backward(da0, db0, m, s, rstd)
    dm, dv, *dlogits = statistics_backward(dmu, dvar, s)
    dx = combine(dy, x, a, m, dm, dv)
    return dx, *cast_all((dG.sum(axis=0), dB.sum(axis=0), *dlogits), like)


def _check(op: str, x: Any, gamma: Any, beta: Any, eps: Any) -> float:
    check_feature_map(op, x)
    check_parameters(op, {"gamma": "C", "beta": "C"}, (gamma, beta), {"C": x.shape[1]}, x)
    return check_eps(op, eps)


def check_batch(op: str, x: Array) -> None:
    """Raise ValueError if batch statistics have one value per channel: the variance would always be zero."""
    if x.shape[0] * positions(x) == 1:
        raise ValueError(
            f"{op}: one value per channel in training, got x of shape {x.shape}; its variance is zero, so pass "
            f"more samples or positions, or evaluate with running statistics"
        )


# --- batch normalization ---------------------------------------------------------------------------------------------
def batch_norm(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> tuple[Array, NormCache]:
    """Batch normalization in training: mean and variance of each channel over the batch and all positions.

        y = gamma * (x - mu) / sqrt(var + eps) + beta        mu, var: averages over (N, H, W)

    x: (N, C, ...); gamma, beta: (C,); eps >= 0. Returns y, shaped like x, and a cache (mu, var, rstd, ... N x C).
    The variance is the biased one. Raises TypeError or ValueError for wrong types, shapes and eps, and for one value
    per channel (N * M = 1).

    Source: Ioffe & Szegedy 2015, arXiv 1502.03167, algorithm 1.
    """
    eps = _check("batch_norm", x, gamma, beta, eps)
    check_batch("batch_norm", x)
    return _normalize(x, gamma, beta, lambda m, v: single(pool(m, v, over_batch)), eps)


def batch_norm_backward(dy: Array, cache: NormCache) -> tuple[Array, ...]:
    """Return dx, dgamma, dbeta of batch_norm.

        dx = gamma * rstd * (dy - mean(dy) - xhat * mean(dy * xhat))        means over (N, H, W)
        dgamma = sum(dy * xhat)        dbeta = sum(dy)

    Raises TypeError or ValueError if dy is not an array with the shape of y. Source: arXiv 1502.03167, section 3.
    """
    return _normalize_backward("batch_norm_backward", dy, cache)


class BatchNormEvalCache(NamedTuple):
    """What the backward of batch_norm_eval needs: x, the centre mu and the scale a as N x C tables."""

    x: Array
    mu: Array
    var: Array
    rstd: Array
    a: Array
    dtypes: tuple[np.dtype[Any], ...]


def batch_norm_eval(
    x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, *, eps: float = 1e-5
) -> tuple[Array, BatchNormEvalCache]:
    """Batch normalization with stored statistics: an affine map of each channel.

        y = gamma * (x - running_mean) / sqrt(running_var + eps) + beta

    x: (N, C, ...); all others: (C,). The running statistics are constants and get no gradient. The centre of
    y = a (x - m) + b is the running mean here, so no moments are needed. Raises as batch_norm does, but any N * M is
    accepted.

    Source: Ioffe & Szegedy 2015, arXiv 1502.03167, algorithm 2.
    """
    op = "batch_norm_eval"
    eps = _check(op, x, gamma, beta, eps)
    running = {"running_mean": "C", "running_var": "C"}
    check_parameters(op, running, (running_mean, running_var), {"C": x.shape[1]}, x)
    out, work = dtypes(x, gamma, beta, running_mean, running_var)
    table = x.shape[:2]
    mu, var = (np.broadcast_to(t.astype(work), table) for t in (running_mean, running_var))
    rstd = 1 / np.sqrt(var + eps)
    a = gamma.astype(work, copy=False) * rstd
    y = scale_shift(x, a, mu, np.broadcast_to(beta, table), out)
    return y, BatchNormEvalCache(x, mu, var, rstd, a, (gamma.dtype, beta.dtype))


def batch_norm_eval_backward(dy: Array, cache: BatchNormEvalCache) -> tuple[Array, ...]:
    """Return dx = gamma * rstd * dy, dgamma = sum(dy * xhat), dbeta = sum(dy) of batch_norm_eval.

    Raises TypeError or ValueError if dy is not an array with the shape of y.
    """
    check_upstream("batch_norm_eval_backward", dy, cache.x.shape, cache.x)
    da, db = gradient_sums(dy, cache.x, cache.mu)
    dx = combine(dy, cache.x, cache.a, cache.mu, np.zeros_like(db))
    return dx, *cast_all(((cache.rstd * da).sum(axis=0), db.sum(axis=0)), cache.dtypes)


# --- layer, instance and group normalization -------------------------------------------------------------------------
def layer_norm(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> tuple[Array, NormCache]:
    """Layer normalization: mean and variance of each sample over all channels and positions.

        y = gamma * (x - mu) / sqrt(var + eps) + beta        mu, var: averages over (C, H, W)

    x: (N, C, ...); gamma, beta: (C,), one value per channel, as the papers on images have it. PyTorch's LayerNorm has
    other shapes: there gamma and beta have the shape of all normalized axes, (C, H, W) here. For (N, C) input they are
    the same. Raises TypeError or ValueError for wrong types, shapes and eps.

    Source: Ba, Kiros & Hinton 2016, arXiv 1607.06450, section 3.
    """
    eps = _check("layer_norm", x, gamma, beta, eps)
    return _normalize(x, gamma, beta, lambda m, v: single(pool(m, v, over_layer)), eps)


def layer_norm_backward(dy: Array, cache: NormCache) -> tuple[Array, ...]:
    """Return dx, dgamma, dbeta of layer_norm.

    dx = rstd * (g - mean(g) - xhat * mean(g * xhat)) with g = gamma * dy and means over (C, H, W). Raises TypeError or
    ValueError if dy is not an array with the shape of y.
    """
    return _normalize_backward("layer_norm_backward", dy, cache)


def instance_norm(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> tuple[Array, NormCache]:
    """Instance normalization: mean and variance of each map.

        y = gamma * (x - mu) / sqrt(var + eps) + beta        mu, var: averages over (H, W)

    x: (N, C, ...); gamma, beta: (C,). With one position per map (M = 1) the variance is zero and y = beta. Raises
    TypeError or ValueError for wrong types, shapes and eps.

    Source: Ulyanov, Vedaldi & Lempitsky 2016, arXiv 1607.08022, section 2.
    """
    eps = _check("instance_norm", x, gamma, beta, eps)
    return _normalize(x, gamma, beta, lambda m, v: single(pool(m, v, over_instance)), eps)


def instance_norm_backward(dy: Array, cache: NormCache) -> tuple[Array, ...]:
    """Return dx, dgamma, dbeta of instance_norm.

    dx = gamma * rstd * (dy - mean(dy) - xhat * mean(dy * xhat)), means over (H, W). Raises TypeError or ValueError if
    dy is not an array with the shape of y.
    """
    return _normalize_backward("instance_norm_backward", dy, cache)


def group_norm(x: Array, gamma: Array, beta: Array, *, groups: int, eps: float = 1e-5) -> tuple[Array, NormCache]:
    """Group normalization: mean and variance of each group of C / groups neighbouring channels of a sample.

        y = gamma * (x - mu) / sqrt(var + eps) + beta        mu, var: averages over (C / groups, H, W)

    x: (N, C, ...); gamma, beta: (C,); groups divides C. One group is layer normalization, C groups are instance
    normalization. Raises TypeError or ValueError for wrong types, shapes, eps and groups.

    Source: Wu & He 2018, arXiv 1803.08494, section 3.
    """
    eps = _check("group_norm", x, gamma, beta, eps)
    average = over_group(check_groups("group_norm", x.shape[1], groups))
    return _normalize(x, gamma, beta, lambda m, v: single(pool(m, v, average)), eps)


def group_norm_backward(dy: Array, cache: NormCache) -> tuple[Array, ...]:
    """Return dx, dgamma, dbeta of group_norm.

    dx = rstd * (g - mean(g) - xhat * mean(g * xhat)) with g = gamma * dy and means over (C / groups, H, W). Raises
    TypeError or ValueError if dy is not an array with the shape of y.
    """
    return _normalize_backward("group_norm_backward", dy, cache)


# --- switchable normalization ----------------------------------------------------------------------------------------
def switchable_norm(
    x: Array, gamma: Array, beta: Array, mean_logits: Array, var_logits: Array, *, eps: float = 1e-5
) -> tuple[Array, NormCache]:
    """Switchable normalization in training: a learned mixture of instance, layer and batch statistics.

        mu = sum_k w_k mu_k,  var = sum_k w'_k var_k        w = softmax(mean_logits), w' = softmax(var_logits)
        y = gamma * (x - mu) / sqrt(var + eps) + beta       k in (in, ln, bn), or (in, ln)

    x: (N, C, ...); gamma, beta: (C,); mean_logits, var_logits: (3,) in the order in, ln, bn, or (2,): in, ln.
    All variances are biased, as in the paper (its published code mixes the unbiased IN variance). Raises TypeError or
    ValueError for wrong types, shapes and eps.

    Source: Luo et al. 2019, arXiv 1806.10779, section 2.
    """
    eps = _check("switchable_norm", x, gamma, beta, eps)
    check_logits("switchable_norm", mean_logits, var_logits, beside=x)
    statistics = partial(switchable, mean_logits=mean_logits, var_logits=var_logits)
    return _normalize(x, gamma, beta, statistics, eps, mean_logits, var_logits)


def switchable_norm_backward(dy: Array, cache: NormCache) -> tuple[Array, ...]:
    """Return dx, dgamma, dbeta, dmean_logits, dvar_logits of switchable_norm.

    Through each part k flow dmu_k = w_k dmu and dvar_k = w'_k dvar; and the logits get
    w_k * sum(dmu * (mu_k - mu)) and w'_k * sum(dvar * (var_k - var)). Raises TypeError or ValueError if dy is not an
    array with the shape of y.
    """
    return _normalize_backward("switchable_norm_backward", dy, cache)


def switchable_norm_eval(
    x: Array,
    gamma: Array,
    beta: Array,
    mean_logits: Array,
    var_logits: Array,
    running_mean: Array,
    running_var: Array,
    *,
    eps: float = 1e-5,
) -> tuple[Array, NormCache]:
    """Switchable normalization with stored statistics in the place of the batch's.

    As switchable_norm, but mu_bn = running_mean and var_bn = running_var, (C,) each, are constants without gradient.
    With two logits (in, ln) there is no batch part: the running statistics are checked and not used.

    Source: Luo et al. 2019, arXiv 1806.10779, section 2 ("inference").
    """
    op = "switchable_norm_eval"
    eps = _check(op, x, gamma, beta, eps)
    check_logits(op, mean_logits, var_logits, beside=x)
    running = (running_mean, running_var)
    check_parameters(op, {"running_mean": "C", "running_var": "C"}, running, {"C": x.shape[1]}, x)
    statistics = partial(switchable, mean_logits=mean_logits, var_logits=var_logits, running=running)
    return _normalize(x, gamma, beta, statistics, eps, mean_logits, var_logits, *running)


def switchable_norm_eval_backward(dy: Array, cache: NormCache) -> tuple[Array, ...]:
    """Return dx, dgamma, dbeta, dmean_logits, dvar_logits of switchable_norm_eval.

    Raises TypeError or ValueError if dy is not an array with the shape of y.
    """
    return _normalize_backward("switchable_norm_eval_backward", dy, cache)


def check_logits(op: str, mean_logits: Any, var_logits: Any, *, beside: Array) -> None:
    """Raise unless both are arrays of shape (3,) (in, ln, bn), or both of shape (2,) (in, ln), where `beside` is."""
    for name, logits in (("mean_logits", mean_logits), ("var_logits", var_logits)):
        check_array(op, name, logits, beside)
        if logits.shape not in ((2,), (3,)):
            raise ValueError(
                f"{op}: {name} must have shape (3,) for (in, ln, bn) or (2,) for (in, ln), got {logits.shape}; "
                f"pass one logit for each part"
            )
    check_parameter(op, "var_logits", var_logits, mean_logits.shape, "of mean_logits", beside)

"""Attentive Normalization, forward and backward by hand.

A normalization whose affine map is a mixture of K learned ones, weighted for each sample by attention to the features:
feature normalization and channel attention in one layer. The default is the published one on batch statistics. The
variants (five statistics, three descriptors, three transforms, three activations) come by choosing functions; the two
functions that compute, `_forward` and `_backward`, are the same for all. variants.py chooses and checks.

A different paper of 2020, on image generation, is also called "Attentive Normalization" (Wang et al.). Not this one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .attention import LogitsNormCache
from .norms import check_batch
from .recalibrate import (
    mixture,
    mixture_backward,
    recalibrate,
    recalibrate_backward,
    standardize,
    standardize_backward,
)
from .statistics import Statistics, statistics_backward
from .sweeps import combine, gradient_sums, moments, scale_shift
from .validation import Array, cast_all, check_eps, check_parameters, check_upstream, dtypes
from .variants import OVER_BATCH, Plan, check_arrays, check_variant, choose, parameter_count, pick_running, running_axes


class AttentiveNormCache(NamedTuple):
    """What the backward of attentive_norm needs: x and tables. `b` is the mean over each map of y."""

    x: Array
    gamma: Array
    beta: Array
    m: Array
    v: Array
    mu: Array
    var: Array
    rstd: Array
    b0: Array
    lambda_: Array
    G: Array
    a: Array
    b: Array
    statistics: Statistics
    described: Any
    transformed: Any
    activated: Any
    plan: Plan
    dtypes: tuple[np.dtype[Any], ...]

    @property
    def logits_norm(self) -> Any:
        """For linear_norm, the cache of the normalization of the logits; otherwise None."""
        return self.transformed if isinstance(self.transformed, LogitsNormCache) else None


def attentive_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    *arrays: Array,
    standardize: str = "batch",
    groups: int | None = None,
    descriptor: str = "mean_over_std",
    transform: str = "linear_norm",
    activation: str = "hsigmoid",
    eps: float = 1e-5,
) -> tuple[Array, AttentiveNormCache]:
    """Attentive Normalization in training: K affine maps, mixed for each sample by its own weights lambda.

        y[n,c,i] = sum_k lambda[n,k] * (gamma[k,c] * xhat[n,c,i] + beta[k,c]),   xhat = (x - mu) / sqrt(var + eps)
        lambda = activation(transform(descriptor(x)))                            (N, K)

    x: (N, C, ...); gamma, beta: (K, C). `arrays` are those of the transform, then for standardize="switchable"
    mean_logits and var_logits ((3,) for in, ln, bn, or (2,) for in, ln):

        transform "linear":       attn_weight (C, K), attn_bias (K,)
        transform "linear_norm":  attn_weight (C, K), attn_gamma (K,), attn_beta (K,)
        transform "mlp":          attn_w1 (C, 2K), attn_b1 (2K,), attn_w2 (2K, K), attn_b2 (K,)

    standardize: "batch", "group" (with groups), "layer", "instance" or "switchable": mu and var of xhat.
    descriptor: "mean", "mean_max" (mean plus maximum of each map) or "mean_over_std" (M > 1; unbiased variance, 1e-3
    added to it). transform "linear_norm" normalizes the logits over the batch (N > 1) for "batch" and "switchable",
    else over the K logits of each sample; its eps is this eps. activation: "hsigmoid", "sigmoid" or "softmax".
    Raises TypeError or ValueError for wrong types, shapes, names, groups and eps.

    Source: Li, Sun & Wu 2020, arXiv 1908.01259, section 3.
    """
    op = "attentive_norm"
    check_variant(op, x, standardize, groups, descriptor, transform, activation)
    check_arrays(op, x, gamma, beta, arrays, standardize, transform)
    if standardize == "batch":
        check_batch(op, x)
    if transform == "linear_norm" and standardize in OVER_BATCH and len(x) == 1:
        raise ValueError(
            f"{op}: with one sample the logits cannot be normalized over the batch; pass at least 2 samples, "
            f'choose transform="linear", or evaluate with running statistics'
        )
    plan = choose(standardize, groups, descriptor, transform, activation)
    return _forward(x, gamma, beta, arrays, plan, check_eps(op, eps))


def attentive_norm_backward(dy: Array, cache: AttentiveNormCache) -> tuple[Array, ...]:
    """Return dx, dgamma, dbeta, the gradients of the transform's arrays, and dmean_logits, dvar_logits if given.

    The gradient takes two paths. One goes through xhat, as in every norm. The other goes through lambda:

        dlambda = dG gamma^T + dB beta^T,   dgamma = lambda^T dG,   dbeta = lambda^T dB
        dG[n,c] = sum_i dy * xhat,          dB[n,c] = sum_i dy

    and from dlambda back through activation, transform and descriptor to the moments of x. Raises TypeError or
    ValueError if dy is not an array with the shape of y.
    """
    return _backward("attentive_norm_backward", dy, cache)


def attentive_norm_eval(
    x: Array,
    gamma: Array,
    beta: Array,
    *arrays: Array,
    standardize: str = "batch",
    groups: int | None = None,
    descriptor: str = "mean_over_std",
    transform: str = "linear_norm",
    activation: str = "hsigmoid",
    eps: float = 1e-5,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    attn_running_mean: Array | None = None,
    attn_running_var: Array | None = None,
) -> tuple[Array, AttentiveNormCache]:
    """Attentive Normalization with stored statistics in the place of the batch's.

    As attentive_norm, with running_mean, running_var, (C,), for standardize "batch" and for "switchable" with three
    logits, and attn_running_mean, attn_running_var, (K,), for transform "linear_norm" beside "batch" and "switchable".
    They are constants without gradient, passed by name, or after the other arrays in this order. What a variant does
    not need is None. Raises as attentive_norm does, but a single sample is accepted.

    Source: Li, Sun & Wu 2020, arXiv 1908.01259, section 3.
    """
    op = "attentive_norm_eval"
    check_variant(op, x, standardize, groups, descriptor, transform, activation)
    count = parameter_count(standardize, transform)
    arrays, after = arrays[:count], arrays[count:]
    sizes = check_arrays(op, x, gamma, beta, arrays, standardize, transform)
    named = {
        "running_mean": running_mean,
        "running_var": running_var,
        "attn_running_mean": attn_running_mean,
        "attn_running_var": attn_running_var,
    }
    needed = running_axes(standardize, transform, arrays)
    stored = pick_running(op, needed, after, named)
    check_parameters(op, needed, stored, sizes, x)
    of_x = stored[:2] if "running_mean" in needed else ()
    of_logits = stored[-2:] if "attn_running_mean" in needed else ()
    plan = choose(standardize, groups, descriptor, transform, activation, of_x, of_logits)
    return _forward(x, gamma, beta, arrays, plan, check_eps(op, eps), *stored)


def attentive_norm_eval_backward(dy: Array, cache: AttentiveNormCache) -> tuple[Array, ...]:
    """Return the gradients of attentive_norm_eval, in the order of attentive_norm_backward.

    Raises TypeError or ValueError if dy is not an array with the shape of y.
    """
    return _backward("attentive_norm_eval_backward", dy, cache)


# --- the computation, the same for all variants ----------------------------------------------------------------------
def _forward(
    x: Array, gamma: Array, beta: Array, arrays: tuple[Array, ...], plan: Plan, eps: float, *stored: Array
) -> tuple[Array, AttentiveNormCache]:
    like = (gamma, beta, *arrays)
    out, work = dtypes(x, *like, *stored)
    gamma, beta, *rest = (p.astype(work, copy=False) for p in like)
    attn, logits = rest[: plan.arrays], rest[plan.arrays :]

    m, v = moments(x, work)
    h, described = plan.descriptor[0](x, m, v)  # (N, C)
    z, transformed = plan.transform[0](h, *attn, eps=eps)  # (N, K)
    lambda_, activated = plan.activation[0](z)  # (N, K)
    G, B = mixture(lambda_, gamma, beta)  # (N, C)
    s = plan.statistics(m, v, *logits)
    rstd, b0 = standardize(m, s, eps)
    a, b = recalibrate(rstd, b0, G, B)
    y = scale_shift(x, a, m, b, out)

    cache = AttentiveNormCache(
        x, gamma, beta, m, v, s.mu, s.var, rstd, b0, lambda_, G, a, b, s, described, transformed, activated,
        plan, tuple(p.dtype for p in like),
    )  # fmt: skip
    return y, cache


def _backward(op: str, dy: Array, cache: AttentiveNormCache) -> tuple[Array, ...]:
    check_upstream(op, dy, cache.x.shape, cache.x)
    x, gamma, beta, m, _, _, _, rstd, b0, lambda_, G, a, _, s, *_ = cache
    plan = cache.plan

    da, db = gradient_sums(dy, x, m)
    da0, db0, dG, dB = recalibrate_backward(da, db, rstd, b0, G)
    dlambda, dgamma, dbeta = mixture_backward(dG, dB, lambda_, gamma, beta)
    dz = plan.activation[1](dlambda, cache.activated)
    dh, *dattn = plan.transform[1](dz, cache.transformed)
    dm, dv, peak = plan.descriptor[1](dh, cache.described)
    dmu, dvar = standardize_backward(da0, db0, m, s, rstd)
    dm_norm, dv_norm, *dlogits = statistics_backward(dmu, dvar, s)
    dx = combine(dy, x, a, m, dm + dm_norm, dv + dv_norm, peak)

    return dx, *cast_all((dgamma, dbeta, *dattn, *dlogits), cache.dtypes)

"""The textbook form: the formulas as the papers print them, slow and plain.

It shares no code with the rest of the package, so each is a check of the other. Names and contract are those of an_ref:
y, cache = op(x, ...), and op_backward(dy, cache) returns the gradients in the order of the arrays. Inputs are not
checked here. Images are (N, C, H, W), or any (N, C, ...); sums over positions are written over all axes from 2 on.

Read it first. The table form in norms.py is a refactoring of what stands here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Cache = tuple[Any, ...]


# --- one formula, four index sets ------------------------------------------------------------------------------------
def _normalize(x: Array, gamma: Array, beta: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Cache]:
    mu = x.mean(axes, keepdims=True)
    var = ((x - mu) ** 2).mean(axes, keepdims=True)
    rstd = 1 / np.sqrt(var + eps)
    xhat = (x - mu) * rstd
    return gamma * xhat + beta, (xhat, rstd, gamma, axes)


def _normalize_backward(dy: Array, cache: Cache) -> Array:
    xhat, rstd, gamma, axes = cache
    dxhat = gamma * dy
    along_ones = dxhat.mean(axes, keepdims=True)
    along_xhat = (dxhat * xhat).mean(axes, keepdims=True)
    return rstd * (dxhat - along_ones - xhat * along_xhat)


def _per_channel(p: Array, x: Array) -> Array:
    return p.reshape(1, -1, *[1] * (x.ndim - 2))  # (1, C, 1, 1)


def _positions(x: Array) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


def _affine_gradients(dy: Array, xhat: Array) -> tuple[Array, Array]:
    axes = (0, *_positions(dy))
    return (dy * xhat).sum(axes), dy.sum(axes)


def batch_norm(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> tuple[Array, Cache]:
    """BN: y = gamma * (x - mu) / sqrt(var + eps) + beta over (N, H, W). Source: arXiv 1502.03167, algorithm 1."""
    return _normalize(x, _per_channel(gamma, x), _per_channel(beta, x), (0, *_positions(x)), eps)


def batch_norm_backward(dy: Array, cache: Cache) -> tuple[Array, ...]:
    """BN: dx = gamma * rstd * (dy - mean(dy) - xhat * mean(dy * xhat)), dgamma, dbeta."""
    return _normalize_backward(dy, cache), *_affine_gradients(dy, cache[0])


def layer_norm(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> tuple[Array, Cache]:
    """LN: the same formula over (C, H, W). Source: arXiv 1607.06450, section 3."""
    return _normalize(x, _per_channel(gamma, x), _per_channel(beta, x), (1, *_positions(x)), eps)


layer_norm_backward = batch_norm_backward


def instance_norm(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> tuple[Array, Cache]:
    """IN: the same formula over (H, W). Source: arXiv 1607.08022, section 2."""
    return _normalize(x, _per_channel(gamma, x), _per_channel(beta, x), _positions(x), eps)


instance_norm_backward = batch_norm_backward


def group_norm(x: Array, gamma: Array, beta: Array, *, groups: int, eps: float = 1e-5) -> tuple[Array, Cache]:
    """GN: x seen as (N, groups, C / groups, H, W), the same formula over its axes 2, 3, 4. Source: arXiv 1803.08494."""
    N, C = x.shape[:2]
    split = x.reshape(N, groups, C // groups, *x.shape[2:])
    parameter = (1, groups, C // groups, *[1] * (x.ndim - 2))
    axes = tuple(range(2, split.ndim))
    y, cache = _normalize(split, gamma.reshape(parameter), beta.reshape(parameter), axes, eps)
    return y.reshape(x.shape), cache


def group_norm_backward(dy: Array, cache: Cache) -> tuple[Array, ...]:
    """GN: the same backward on (N, groups, C / groups, H, W)."""
    xhat = cache[0]
    dx = _normalize_backward(dy.reshape(xhat.shape), cache)
    return dx.reshape(dy.shape), *_affine_gradients(dy, xhat.reshape(dy.shape))


# --- switchable normalization ----------------------------------------------------------------------------------------
def switchable_norm(
    x: Array, gamma: Array, beta: Array, mean_logits: Array, var_logits: Array, *, eps: float = 1e-5
) -> tuple[Array, Cache]:
    """SN: mu = sum_k w_k mu_k, var = sum_k w'_k var_k, k in (in, ln, bn) or (in, ln). Source: arXiv 1806.10779."""
    spatial = _positions(x)
    index_sets = [spatial, (1, *spatial), (0, *spatial)][: len(mean_logits)]
    w, w_ = softmax(mean_logits), softmax(var_logits)
    means = [x.mean(axes, keepdims=True) for axes in index_sets]
    variances = [((x - mu) ** 2).mean(axes, keepdims=True) for mu, axes in zip(means, index_sets, strict=True)]
    mu = sum(w[k] * mean for k, mean in enumerate(means))
    var = sum(w_[k] * variance for k, variance in enumerate(variances))
    rstd = 1 / np.sqrt(var + eps)
    xhat = (x - mu) * rstd
    y = _per_channel(gamma, x) * xhat + _per_channel(beta, x)
    return y, (x, xhat, rstd, _per_channel(gamma, x), w, w_, means, variances, index_sets)


def switchable_norm_backward(dy: Array, cache: Cache) -> tuple[Array, ...]:
    """SN: dx is rstd * dxhat, plus what comes back through each mean and each variance; then dgamma, dbeta, dlogits."""
    x, xhat, rstd, gamma, w, w_, means, variances, index_sets = cache
    spatial = _positions(x)
    dxhat = gamma * dy
    dmu = -(dxhat * rstd).sum(spatial, keepdims=True)  # (N, C, 1, 1)
    dvar = -0.5 * (dxhat * xhat * rstd**2).sum(spatial, keepdims=True)
    dx = dxhat * rstd
    for k, axes in enumerate(index_sets):
        cell = x.size // means[k].size  # the number of values in one mean
        cells = tuple(a for a in axes if a < 2)
        dmean = (w[k] * dmu).sum(cells, keepdims=True)
        dvariance = (w_[k] * dvar).sum(cells, keepdims=True)
        dx = dx + dmean / cell + dvariance * 2 * (x - means[k]) / cell
    dw = np.stack([(dmu * mean).sum() for mean in means])
    dw_ = np.stack([(dvar * variance).sum() for variance in variances])
    return dx, *_affine_gradients(dy, xhat), w * (dw - (w * dw).sum()), w_ * (dw_ - (w_ * dw_).sum())


# --- squeeze-and-excitation ------------------------------------------------------------------------------------------
def squeeze_excite(x: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> tuple[Array, Cache]:
    """SE: s = sigmoid(relu(mean(x) w1 + b1) w2 + b2), y = s x. Source: arXiv 1709.01507, eq. 2 to 4."""
    m = x.mean(_positions(x)) if x.ndim > 2 else x
    hidden = m @ w1 + b1
    active = np.where(hidden.real > 0, hidden, 0)
    s = sigmoid(active @ w2 + b2)
    return _per_map(s, x) * x, (x, m, hidden, active, s, w1, w2)


def squeeze_excite_backward(dy: Array, cache: Cache) -> tuple[Array, ...]:
    """SE: dx = s dy + dm / M, with dm = relu'(hidden) (ds s (1 - s) w2^T) w1^T; then dw1, db1, dw2, db2."""
    x, m, hidden, active, s, w1, w2 = cache
    M = x[0, 0].size
    ds = (dy * x).sum(_positions(x)) if x.ndim > 2 else dy * x
    dlogits = ds * s * (1 - s)
    dhidden = np.where(hidden.real > 0, dlogits @ w2.T, 0)
    dm = dhidden @ w1.T
    dx = _per_map(s, x) * dy + _per_map(dm, x) / M
    return dx, m.T @ dhidden, dhidden.sum(0), active.T @ dlogits, dlogits.sum(0)


# --- attentive normalization -----------------------------------------------------------------------------------------
def attentive_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    attn_weight: Array,
    attn_gamma: Array,
    attn_beta: Array,
    *,
    eps: float = 1e-5,
) -> tuple[Array, Cache]:
    """AN on batch statistics, the published default: y = sum_k lambda_k (gamma_k xhat + beta_k).

    lambda = hsigmoid(BN(h attn_weight)), h = mean / sqrt(unbiased variance + 1e-3) of each map. Source: arXiv
    1908.01259, section 3.
    """
    one, zero = np.ones_like(x, shape=1), np.zeros_like(x, shape=1)
    xhat, norm_cache = _normalize(x, one, zero, (0, *_positions(x)), eps)
    mean = x.mean(_positions(x))  # (N, C)
    M = x[0, 0].size
    var = ((x - _per_map(mean, x)) ** 2).sum(_positions(x)) / (M - 1)
    std = np.sqrt(var + 1e-3)
    h = mean / std
    z, logits_cache = _normalize(h @ attn_weight, attn_gamma, attn_beta, (0,), eps)  # (N, K)
    lambda_ = hsigmoid(z)
    y = np.zeros_like(xhat)
    for k in range(len(gamma)):
        weight = lambda_[:, k].reshape(-1, *[1] * (x.ndim - 1))  # (N, 1, 1, 1)
        y = y + weight * (_per_channel(gamma[k], x) * xhat + _per_channel(beta[k], x))
    return y, (x, xhat, norm_cache, mean, std, h, z, lambda_, logits_cache, gamma, beta, attn_weight)


def attentive_norm_backward(dy: Array, cache: Cache) -> tuple[Array, ...]:
    """AN: dx through xhat, and through lambda, hsigmoid, BN of the logits, mean and deviation; then all parameters."""
    x, xhat, norm_cache, mean, std, h, z, lambda_, logits_cache, gamma, beta, attn_weight = cache
    dxhat, dgamma, dbeta, dlambda = np.zeros_like(xhat * dy), [], [], []
    over_maps = (0, *_positions(x))
    for k in range(len(gamma)):
        weight = lambda_[:, k].reshape(-1, *[1] * (x.ndim - 1))
        branch = _per_channel(gamma[k], x) * xhat + _per_channel(beta[k], x)
        dlambda.append((dy * branch).sum((1, *_positions(x))))  # (N,)
        dgamma.append((dy * weight * xhat).sum(over_maps))
        dbeta.append((dy * weight).sum(over_maps))
        dxhat = dxhat + dy * weight * _per_channel(gamma[k], x)
    dz = np.where((z.real > -3) & (z.real < 3), np.stack(dlambda, axis=1) / 6, 0)
    dattn_gamma, dattn_beta = (dz * logits_cache[0]).sum(0), dz.sum(0)
    dlogits = _normalize_backward(dz, logits_cache)
    dh = dlogits @ attn_weight.T
    dmean, dvar = dh / std, -0.5 * dh * mean / std**3
    M = x[0, 0].size
    through_lambda = _per_map(dmean, x) / M + _per_map(dvar, x) * 2 * (x - _per_map(mean, x)) / (M - 1)
    dx = _normalize_backward(dxhat, norm_cache) + through_lambda
    return dx, np.stack(dgamma), np.stack(dbeta), h.T @ dlogits, dattn_gamma, dattn_beta


# --- the small ops that they need ------------------------------------------------------------------------------------
def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z))."""
    return 1 / (1 + np.exp(-z))


def hsigmoid(z: Array) -> Array:
    """Return min(max(z + 3, 0), 6) / 6, compared on the real part."""
    return np.where(z.real <= -3, 0, np.where(z.real >= 3, 1, (z + 3) / 6))


def softmax(z: Array) -> Array:
    """Return exp(z) / sum(exp(z)), shifted by the largest real part so that exp does not overflow."""
    e = np.exp(z - z.real.max())
    return e / e.sum()


def _per_map(table: Array, x: Array) -> Array:
    return table.reshape(*table.shape, *[1] * (x.ndim - 2))  # (N, C, 1, 1)

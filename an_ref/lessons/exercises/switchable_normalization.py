"""The code exercises of notebook 8: SN, and batch-instance normalization, which mixes outputs, not statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...validation import Array
from ..exercise import Exercise

Cache = tuple[Any, ...]
MAP, SAMPLE, CHANNEL = (2, 3), (1, 2, 3), (0, 2, 3)  # the axes of IN, LN and BN
PARTS = (MAP, SAMPLE, CHANNEL)


def _column(p: Array) -> Array:
    return p.reshape(1, -1, 1, 1)  # (1, C, 1, 1)


def _softmax(logits: Array) -> Array:
    e = np.exp(logits - logits.real.max())
    return e / e.sum()


def _mean(t: Array, axes: tuple[int, ...]) -> Array:
    return t.mean(axes, keepdims=True)


# --- switchable normalization ----------------------------------------------------------------------------------------
def switchable_norm(
    x: Array, gamma: Array, beta: Array, mean_logits: Array, var_logits: Array, *, eps: float = 1e-5
) -> tuple[Array, Cache]:
    """SN of (N, C, H, W) with the parts in, ln, bn; the cache is x, xhat, rstd, gamma, w, w_. Source: arXiv 1806.10779.

    rstd is (N, C, 1, 1), gamma (1, C, 1, 1), w and w_ are the weights of the means and of the variances, (3,).
    """
    w, w_ = _softmax(mean_logits), _softmax(var_logits)
    mu: Any = sum(w[k] * _mean(x, axes) for k, axes in enumerate(PARTS))
    var: Any = sum(w_[k] * _mean((x - _mean(x, axes)) ** 2, axes) for k, axes in enumerate(PARTS))
    rstd = (var + eps) ** -0.5  # (N, C, 1, 1)
    xhat = (x - mu) * rstd
    return _column(gamma) * xhat + _column(beta), (x, xhat, rstd, _column(gamma), w, w_)


def switchable_norm_backward(dy: Array, cache: Cache) -> tuple[Array, ...]:
    """Return dx, dgamma, dbeta, dmean_logits, dvar_logits."""
    _, xhat, rstd, gamma, _, _ = cache
    u = rstd * gamma * dy
    q = rstd * xhat * u
    return _dx(u, q, cache), (dy * xhat).sum(CHANNEL), dy.sum(CHANNEL), *_logits(u, q, cache)


def _dx(u: Array, q: Array, cache: Cache) -> Array:
    x, _, _, _, w, w_ = cache
    dx = u
    for k, axes in enumerate(PARTS):
        dx = dx - w[k] * _mean(u, axes) - w_[k] * (x - _mean(x, axes)) * _mean(q, axes)
    return dx


def _weights(u: Array, q: Array, x: Array) -> tuple[Array, Array]:
    """Return the gradients of w and w_."""
    means = [_mean(x, axes) for axes in PARTS]
    variances = [_mean((x - mu) ** 2, axes) for mu, axes in zip(means, PARTS, strict=True)]
    return np.array([-(u * mu).sum() for mu in means]), np.array([-0.5 * (q * var).sum() for var in variances])


def _logits(u: Array, q: Array, cache: Cache) -> tuple[Array, Array]:
    x, *_, w, w_ = cache
    dw, dw_ = _weights(u, q, x)
    return w * (dw - (w * dw).sum()), w_ * (dw_ - (w_ * dw_).sum())


# Each usual mistake is in one gradient, the others are right.
def _own(dy: Array, cache: Cache) -> tuple[Array, Array]:
    _, xhat, rstd, gamma, _, _ = cache
    u = rstd * gamma * dy
    return u, rstd * xhat * u


def _replaced(dy: Array, cache: Cache, wrong: dict[int, Array]) -> tuple[Array, ...]:
    right = switchable_norm_backward(dy, cache)
    return tuple(wrong.get(index, gradient) for index, gradient in enumerate(right))


def _around_mixed_mean(dy: Array, cache: Cache) -> tuple[Array, ...]:
    _, xhat, rstd, _, w, w_ = cache
    u, q = _own(dy, cache)
    mixed = ((w[k] * _mean(u, axes) + w_[k] * xhat / rstd * _mean(q, axes)) for k, axes in enumerate(PARTS))
    return _replaced(dy, cache, {0: u - sum(mixed)})


def _rstd_outside(dy: Array, cache: Cache) -> tuple[Array, ...]:
    x, xhat, rstd, gamma, w, w_ = cache
    dx = g = gamma * dy
    for k, axes in enumerate(PARTS):
        dx = dx - w[k] * _mean(g, axes) - w_[k] * rstd * (x - _mean(x, axes)) * _mean(g * xhat, axes)
    return _replaced(dy, cache, {0: rstd * dx})


def _constants(dy: Array, cache: Cache) -> tuple[Array, ...]:
    return _replaced(dy, cache, {0: _own(dy, cache)[0]})


def _one_set_of_weights(dy: Array, cache: Cache) -> tuple[Array, ...]:
    *others, w, _ = cache
    return _replaced(dy, cache, {0: _dx(*_own(dy, cache), (*others, w, w))})


def _channels_centred(dy: Array, cache: Cache) -> tuple[Array, ...]:
    dx = switchable_norm_backward(dy, cache)[0]
    return _replaced(dy, cache, {0: dx - _mean(dx, CHANNEL)})


def _softmax_missing(dy: Array, cache: Cache) -> tuple[Array, ...]:
    dw, dw_ = _weights(*_own(dy, cache), cache[0])
    return _replaced(dy, cache, {3: dw, 4: dw_})


def _softmax_diagonal(dy: Array, cache: Cache) -> tuple[Array, ...]:
    *_, w, w_ = cache
    dw, dw_ = _weights(*_own(dy, cache), cache[0])
    return _replaced(dy, cache, {3: w * (1 - w) * dw, 4: w_ * (1 - w_) * dw_})


def _logits_swapped(dy: Array, cache: Cache) -> tuple[Array, ...]:
    dmean_logits, dvar_logits = switchable_norm_backward(dy, cache)[3:]
    return _replaced(dy, cache, {3: dvar_logits, 4: dmean_logits})


def _half_missing(dy: Array, cache: Cache) -> tuple[Array, ...]:
    return _replaced(dy, cache, {4: 2 * switchable_norm_backward(dy, cache)[4]})


SN_HINTS = (
    (_around_mixed_mean, "in the path through var_k the deviation is x - mu_k, from that part's own mean, not from mu"),
    (_rstd_outside, "rstd differs from map to map, so it cannot leave the average over a sample or a channel"),
    (_constants, "this treats all six statistics as constants; each of them is made from x"),
    (_one_set_of_weights, "the variances have weights of their own, w_, and these are those of the means"),
    (_channels_centred, "the mean of each channel was taken off at the end; nothing makes that sum zero in SN"),
    (_softmax_missing, "this is the gradient of the weights; the softmax is still to come"),
    (_softmax_diagonal, "w (1 - w) is the diagonal of the softmax's derivative; each logit moves all three weights"),
    (_logits_swapped, "the gradients of the two logits stand in each other's place"),
    (_half_missing, "the derivative of (var + eps) ** -0.5 has a factor 1/2"),
)


# --- batch-instance normalization ------------------------------------------------------------------------------------
def batch_instance_norm(x: Array, rho: Array, *, eps: float = 1e-5) -> tuple[Array, Cache]:
    """Return y = rho xhat_bn + (1 - rho) xhat_in, rho (C,), x (N, C, H, W). Source: arXiv 1805.07925, eq. 3.

    The cache is xhat and rstd of BN, xhat and rstd of IN, and rho as (1, C, 1, 1).
    """
    cache: list[Any] = []
    for axes in (CHANNEL, MAP):
        d = x - _mean(x, axes)
        rstd = (_mean(d * d, axes) + eps) ** -0.5
        cache += [d * rstd, rstd]
    r = _column(rho)
    return r * cache[0] + (1 - r) * cache[2], (*cache, r)


def batch_instance_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Array]:
    """Return dx and drho: both norms' backwards, each from its share of dy."""
    batch, rstd_batch, instance, rstd_instance, r = cache
    dx = _one_norm(r * dy, batch, rstd_batch, CHANNEL) + _one_norm((1 - r) * dy, instance, rstd_instance, MAP)
    return dx, (dy * (batch - instance)).sum(CHANNEL)


def _one_norm(g: Array, xhat: Array, rstd: Array, axes: tuple[int, ...]) -> Array:
    return rstd * (g - _mean(g, axes) - xhat * _mean(g * xhat, axes))


def _same_share(dy: Array, cache: Cache) -> tuple[Array, Array]:
    batch, rstd_batch, instance, rstd_instance, _ = cache
    dx = _one_norm(dy, batch, rstd_batch, CHANNEL) + _one_norm(dy, instance, rstd_instance, MAP)
    return dx, batch_instance_norm_backward(dy, cache)[1]


def _mixed_at_the_end(dy: Array, cache: Cache) -> tuple[Array, Array]:
    batch, rstd_batch, instance, rstd_instance, r = cache
    xhat = r * batch + (1 - r) * instance
    dx = r * _one_norm(dy, xhat, rstd_batch, CHANNEL) + (1 - r) * _one_norm(dy, xhat, rstd_instance, MAP)
    return dx, batch_instance_norm_backward(dy, cache)[1]


def _one_share(dy: Array, cache: Cache) -> tuple[Array, Array]:
    dx, _ = batch_instance_norm_backward(dy, cache)
    return dx, (dy * cache[0]).sum(CHANNEL)


BIN_HINTS = (
    (_same_share, "each norm gets its share of dy, rho dy and (1 - rho) dy; here both got all of it"),
    (_mixed_at_the_end, "each norm's backward needs its own xhat, not the mixed one"),
    (_one_share, "rho stands in y twice, the second time with a minus: 1 - rho"),
)


def _sn_arrays(rng: np.random.Generator) -> tuple[Array, ...]:
    x = rng.standard_normal((3, 4, 2, 5)) * rng.uniform(0.5, 2, (3, 4, 1, 1)) + rng.standard_normal((3, 4, 1, 1))
    return x, rng.normal(1, 0.5, 4), rng.standard_normal(4), rng.standard_normal(3), rng.standard_normal(3)


def _bin_arrays(rng: np.random.Generator) -> tuple[Array, ...]:
    return _sn_arrays(rng)[0], rng.uniform(0.2, 0.8, 4)


EXERCISES = {
    "switchable_norm_backward": Exercise(switchable_norm, switchable_norm_backward, _sn_arrays, hints=SN_HINTS),
    "batch_instance_norm_backward": Exercise(
        batch_instance_norm, batch_instance_norm_backward, _bin_arrays, hints=BIN_HINTS
    ),
}

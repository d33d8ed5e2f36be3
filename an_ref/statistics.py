"""Which mean and variance: from the tables m, v of each map to the tables mu, var of the layer.

Pooling is one linear operator P on N x C tables: replace each entry by the average over its cell. The normalizers
differ in the cells alone: batch (all samples of a channel), layer (all channels of a sample), group, instance (each
entry by itself). P is symmetric and idempotent, so it is its own backward.

    mu  = P m
    var = P (v + d^2),  d = m - mu            (law of total variance)
    dv  = P dvar,       dm = P dmu + 2 d * P dvar

Switchable normalization mixes several such parts; running statistics are constants, a part whose P is zero.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .activations import softmax
from .validation import Array

Average = Callable[[Array], Array]


def over_batch(table: Array) -> Array:
    """P of batch statistics: average over the samples of each channel."""
    return np.broadcast_to(table.mean(axis=0, keepdims=True), table.shape)


def over_layer(table: Array) -> Array:
    """P of layer statistics: average over the channels of each sample."""
    return np.broadcast_to(table.mean(axis=1, keepdims=True), table.shape)


def over_instance(table: Array) -> Array:
    """P of instance statistics: each entry is its own cell."""
    return table


def over_group(groups: int) -> Average:
    """Return P of group statistics: average over the C / groups channels of each group of a sample."""

    def average(table: Array) -> Array:
        cells = table.reshape(len(table), groups, -1)  # (N, groups, C / groups)
        return np.broadcast_to(cells.mean(axis=2, keepdims=True), cells.shape).reshape(table.shape)

    return average


def over_nothing(table: Array) -> Array:
    """P of constants (running statistics): no gradient comes back."""
    return np.zeros_like(table)


class Part(NamedTuple):
    """One mean and variance, N x C tables, with what its backward needs."""

    mu: Array
    var: Array
    d: Array
    average: Average


class Statistics(NamedTuple):
    """The mean and variance that a layer standardizes with, and the parts they were mixed from."""

    mu: Array
    var: Array
    parts: tuple[Part, ...]
    weights: tuple[Array, Array] | None = None

    @property
    def batch(self) -> tuple[Array, Array] | None:
        """The batch's mean and biased variance, (C,) each, if a part averages over the batch."""
        for part in self.parts:
            if part.average is over_batch:
                return part.mu[0], part.var[0]
        return None


def pool(m: Array, v: Array, average: Average) -> Part:
    """Return the part mu = P m, var = P (v + d^2), d = m - mu."""
    mu = average(m)
    d = m - mu
    return Part(mu, average(v + d * d), d, average)


def constant(running: tuple[Array, ...], m: Array) -> Part:
    """Return the part made of running statistics (mean, variance), (C,) each, for the table m."""
    mu, var = (np.broadcast_to(t.astype(m.dtype), m.shape) for t in running)
    return Part(mu, var, np.zeros_like(m), over_nothing)


def single(part: Part) -> Statistics:
    """Return the statistics that consist of one part: BN, LN, IN, GN, or running statistics."""
    return Statistics(part.mu, part.var, (part,))


def mix(parts: tuple[Part, ...], mean_logits: Array, var_logits: Array) -> Statistics:
    """Return SN's mixture: mu = sum_k w_k mu_k, var = sum_k w'_k var_k, w = softmax(mean_logits), w' of var_logits.

    Source: Luo et al. 2019, arXiv 1806.10779, section 2.
    """
    w, w_ = softmax(mean_logits)[0], softmax(var_logits)[0]
    mu = _total([w[k] * part.mu for k, part in enumerate(parts)])
    var = _total([w_[k] * part.var for k, part in enumerate(parts)])
    return Statistics(mu, var, parts, (w, w_))


def switchable(
    m: Array, v: Array, mean_logits: Array, var_logits: Array, *, running: tuple[Array, ...] = ()
) -> Statistics:
    """Return SN's statistics: parts in, ln, and with three logits bn (the running statistics if given)."""
    parts = [pool(m, v, over_instance), pool(m, v, over_layer)]
    if len(mean_logits) == 3:
        parts.append(constant(running, m) if running else pool(m, v, over_batch))
    return mix(tuple(parts), mean_logits.astype(m.dtype, copy=False), var_logits.astype(m.dtype, copy=False))


def statistics_backward(dmu: Array, dvar: Array, s: Statistics) -> tuple[Array, ...]:
    """Return dm, dv, and for a mixture dmean_logits and dvar_logits.

    The softmax's backward, w_k (dw_k - sum_j w_j dw_j) with dw_k = sum(dmu * mu_k), is w_k sum(dmu * (mu_k - mu)): a
    sum of small differences, where dw_k itself would carry the whole mean. The same holds for the variances.
    """
    if s.weights is None:
        return _part_backward(dmu, dvar, s.parts[0])
    w, w_ = s.weights
    gradients = [_part_backward(w[k] * dmu, w_[k] * dvar, part) for k, part in enumerate(s.parts)]
    dm, dv = (_total(terms) for terms in zip(*gradients, strict=True))
    dmean_logits = w * np.stack([(dmu * (part.mu - s.mu)).sum() for part in s.parts])
    dvar_logits = w_ * np.stack([(dvar * (part.var - s.var)).sum() for part in s.parts])
    return dm, dv, dmean_logits, dvar_logits


def _total(terms: Sequence[Array]) -> Array:
    return functools.reduce(np.add, terms)


def _part_backward(dmu: Array, dvar: Array, part: Part) -> tuple[Array, Array]:
    dv = part.average(dvar)
    return part.average(dmu) + 2 * part.d * dv, dv

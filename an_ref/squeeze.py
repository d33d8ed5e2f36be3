"""Squeeze-and-excitation, forward and backward by hand: a gate for each channel of each sample."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .activations import relu, relu_backward, sigmoid, sigmoid_backward
from .linear import linear, linear_backward
from .recalibrate import recalibrate, recalibrate_backward
from .sweeps import combine, gradient_sums, means, scale_shift
from .validation import (
    Array,
    cast_all,
    check_array,
    check_feature_map,
    check_not_empty,
    check_parameter,
    check_parameters,
    check_upstream,
    dtypes,
)


class SqueezeExciteCache(NamedTuple):
    """What the backward of squeeze_excite needs; `m` is the squeeze and `s` the gate, both N x C."""

    x: Array
    m: Array
    s: Array
    first: Any
    kink: Any
    second: Any
    gate: Any
    dtypes: tuple[np.dtype[Any], ...]


def squeeze_excite(
    x: Array, w1: Array, b1: Array, w2: Array, b2: Array, *, squeeze: Array | None = None
) -> tuple[Array, SqueezeExciteCache]:
    """Squeeze-and-excitation: scale each channel of each sample by a gate made from all channel means.

        m = mean of x over (H, W)        s = sigmoid(relu(m @ w1 + b1) @ w2 + b2)        y[n,c,i] = s[n,c] * x[n,c,i]

    x: (N, C, ...); w1: (C, R), b1: (R,), w2: (R, C), b2: (C,) with R = C / r hidden units; s is in (0, 1).
    squeeze: the table m, (N, C), if it is known already: a norm right before has it as `cache.b`, which saves a sweep.
    It must be the mean of x. The gradient is the same with it and without: dx goes through the gate too.
    Raises TypeError or ValueError for wrong types and shapes.

    Source: Hu, Shen & Sun 2018, arXiv 1709.01507, equations 2 to 4 (there without biases).
    """
    op = "squeeze_excite"
    check_feature_map(op, x)
    sizes = {"N": x.shape[0], "C": x.shape[1], "R": _hidden(op, w1)}
    check_parameters(op, {"w1": "CR", "b1": "R", "w2": "RC", "b2": "C"}, (w1, b1, w2, b2), sizes, x)
    if squeeze is not None:
        check_parameter(op, "squeeze", squeeze, x.shape[:2], "(N, C)", x)
    arrays = (w1, b1, w2, b2)
    is_complex = squeeze is not None and squeeze.dtype.kind == "c"
    out, work = dtypes(x, *arrays, *((squeeze,) if is_complex else ()))  # a table in double does not make y double
    w1, b1, w2, b2 = (p.astype(work, copy=False) for p in arrays)
    m = means(x, work) if squeeze is None else squeeze.astype(work)
    hidden, first = linear(m, w1, b1)  # (N, R)
    active, kink = relu(hidden)
    logits, second = linear(active, w2, b2)  # (N, C)
    s, gate = sigmoid(logits)
    a, b = recalibrate(np.ones_like(m), m, s, np.zeros_like(m))
    y = scale_shift(x, a, m, b, out)
    return y, SqueezeExciteCache(x, m, s, first, kink, second, gate, tuple(p.dtype for p in arrays))


def squeeze_excite_backward(dy: Array, cache: SqueezeExciteCache) -> tuple[Array, ...]:
    """Return dx, dw1, db1, dw2, db2 of squeeze_excite.

        ds = sum_i dy * x        dx = s * dy + dm / M

    where dm is ds sent back through sigmoid, w2, relu and w1. Raises TypeError or ValueError if dy is not an array with
    the shape of y.
    """
    check_upstream("squeeze_excite_backward", dy, cache.x.shape, cache.x)
    x, m, s, first, kink, second, gate, like = cache
    da, db = gradient_sums(dy, x, m)
    *_, ds, _ = recalibrate_backward(da, db, np.ones_like(m), m, s)
    dactive, dw2, db2 = linear_backward(sigmoid_backward(ds, gate), second)
    dm, dw1, db1 = linear_backward(relu_backward(dactive, kink), first)
    dx = combine(dy, x, s, m, dm)
    return dx, *cast_all((dw1, db1, dw2, db2), like)


def _hidden(op: str, w1: Any) -> int:
    check_array(op, "w1", w1)
    if w1.ndim != 2:
        raise ValueError(f"{op}: w1 must have shape (C, R), got {w1.shape}; pass one column per hidden unit")
    check_not_empty(op, "w1", w1)
    return int(w1.shape[1])

"""The only code that walks feature maps: two sweeps forward, two sweeps backward.

A feature map x has shape (N, C, ...); its M positions per map are one axis here: x[n, c, i]. Everything else in the
normalization layers is arithmetic on N x C tables. Each sweep works on blocks of samples that stay in the cache of a
core, so that a full-size temporary is never made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .validation import Array

BLOCK_BYTES = 1 << 20  # about the size of a core's L2 cache


def positions(x: Array) -> int:
    """Return M, the number of positions of one map: the product of all axes after N and C (1 for (N, C) input)."""
    return int(np.prod(x.shape[2:]))


def moments(x: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Sweep 1 forward: mean m[n,c] and biased, centred variance v[n,c] of each map.

        m = sum_i x / M        v = sum_i (x - m)^2 / M

    The sums are computed in `dtype`. Centring first is what keeps float32 exact enough when the mean is large.
    """
    x = _flat(x)
    m, v = np.empty(x.shape[:2], dtype), np.empty(x.shape[:2], dtype)
    count = x.shape[2]
    for s in _blocks(x):
        block = x[s].astype(dtype, copy=False)
        m[s] = _sum(block) / count
        centred = block - m[s, :, None]
        v[s] = _sum(centred * centred) / count
    return m, v


def means(x: Array, dtype: np.dtype[Any]) -> Array:
    """Return the mean m[n,c] of each map, for what needs no variance."""
    x = _flat(x)
    m = np.empty(x.shape[:2], dtype)
    for s in _blocks(x):
        m[s] = _sum(x[s].astype(dtype, copy=False)) / x.shape[2]
    return m


def peaks(x: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Return the maximum of each map and its position i, both N x C: the first one on ties, by the real part."""
    x = _flat(x)
    where = np.argmax(x.real, axis=2)
    return np.take_along_axis(x, where[..., None], 2)[..., 0].astype(dtype), where


def scale_shift(x: Array, a: Array, m: Array, b: Array, dtype: np.dtype[Any]) -> Array:
    """Sweep 2 forward: y[n,c,i] = a[n,c] * (x[n,c,i] - m[n,c]) + b[n,c], rounded to `dtype` at the end."""
    shape, x = x.shape, _flat(x)
    y = np.empty_like(x, dtype)
    for s in _blocks(x):
        t = x[s] - m[s, :, None]
        t *= a[s, :, None]
        np.add(t, b[s, :, None], out=y[s], casting="same_kind")
    return y.reshape(shape)


def gradient_sums(dy: Array, x: Array, m: Array) -> tuple[Array, Array]:
    """Sweep 1 backward: the gradients of the tables a and b.

    da[n,c] = sum_i dy * (x - m)        db[n,c] = sum_i dy
    """
    dy, x = _flat(dy), _flat(x)
    dtype = np.result_type(dy.dtype, m.dtype)
    da, db = np.empty(m.shape, dtype), np.empty(m.shape, dtype)
    for s in _blocks(x):
        up = dy[s].astype(dtype, copy=False)
        db[s] = _sum(up)
        da[s] = _sum(up * (x[s] - m[s, :, None]))
    return da, db


def combine(
    dy: Array,
    x: Array,
    a: Array,
    m: Array,
    dm: Array,
    dv: Array | None = None,
    peak: tuple[Array, Array] | None = None,
) -> Array:
    """Sweep 2 backward: the gradient of x from the gradients of y and of the tables m and v.

        dx = a * dy + dm / M + (2 / M) * dv * (x - m)

    `dv` may be None (nothing depends on the variance). `peak` = (gradient, position) adds the gradient of each map's
    maximum at its place. The result has the dtype of x, or stays complex.
    """
    shape, x, dy = x.shape, _flat(x), _flat(dy)
    count = x.shape[2]
    dtype = np.result_type(dy.dtype, a.dtype, dm.dtype)
    dx = np.empty_like(x, dtype if dtype.kind == "c" else x.dtype)
    for s in _blocks(x):
        t = (dy[s] * a[s, :, None]).astype(dtype, copy=False)
        if dv is not None:
            t = t + (2 / count * dv[s, :, None]) * (x[s] - m[s, :, None])
        if peak is not None:
            gradient, where = peak[0][s, :, None], peak[1][s, :, None]
            np.put_along_axis(t, where, np.take_along_axis(t, where, 2) + gradient, 2)
        np.add(t, dm[s, :, None] / count, out=dx[s], casting="same_kind")
    return dx.reshape(shape)


def _flat(x: Array) -> Array:
    """Return x as (N, C, M): a view where the strides allow it, channels-last memory included."""
    return x.reshape(*x.shape[:2], -1)


def _blocks(x: Array) -> Iterator[slice]:
    """Yield slices of samples whose part of x is about BLOCK_BYTES large."""
    step = max(1, BLOCK_BYTES // (x.shape[1] * x.shape[2] * x.itemsize))
    return (slice(i, i + step) for i in range(0, len(x), step))


def _sum(block: Array) -> Array:
    """Return the sum over the last axis: a matrix product with ones, several times as fast as .sum(-1)."""
    return np.matmul(block, np.ones(block.shape[2], block.dtype))

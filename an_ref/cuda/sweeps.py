"""The sweeps over feature maps on a GPU: signatures and results as in an_ref/sweeps.py, which explains them.

Each function launches one kernel, of the same name. scale_shift, gradient_sums and combine can take a ReLU into their
sweep, and scale_shift a residual sum before it. x and dy may have any strides; what comes back is contiguous.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..validation import Array
from . import plain
from .launch import contiguous, has_kernels, launch, work_dtype


def moments(x: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Sweep 1 forward: mean and biased, centred variance of each map, N x C."""
    if not has_kernels(x, dtype=dtype):
        return plain.moments(x, dtype)
    work = work_dtype(dtype)
    m, v = (_table(x) for _ in "mv")
    launch("moments", (x.dtype, work), *_size(x), contiguous(x), m, v)
    return m, v


def means(x: Array, dtype: np.dtype[Any]) -> Array:
    """Return the mean of each map, N x C."""
    if not has_kernels(x, dtype=dtype):
        return plain.means(x, dtype)
    work = work_dtype(dtype)
    m = _table(x)
    launch("moments", (x.dtype, work), *_size(x), contiguous(x), m, None)
    return m


def peaks(x: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Return the maximum of each map and its position, N x C: the first one on ties."""
    if not has_kernels(x, dtype=dtype):
        return plain.peaks(x, dtype)
    work = work_dtype(dtype)
    peak, where = _table(x, work), _table(x, np.int64)
    launch("peaks", (x.dtype, work), *_size(x), contiguous(x), peak, where)
    return peak.astype(dtype, copy=False), where


def scale_shift(
    x: Array,
    a: Array,
    m: Array,
    b: Array,
    dtype: np.dtype[Any],
    *,
    residual: Array | None = None,
    relu: bool = False,
) -> Array:
    """Sweep 2 forward: y = a (x - m) + b, plus `residual`, which has y's shape; with `relu` then max(y, 0)."""
    if not has_kernels(x, a, m, b, residual, dtype=dtype):
        return plain.scale_shift(x, a, m, b, dtype, residual=residual, relu=relu)
    work, y = work_dtype(x.dtype, dtype), np.empty(x.shape, dtype, like=x)
    tables = (contiguous(table, np.float64) for table in (a, m, b))
    more = None if residual is None else contiguous(residual, dtype)
    launch("scale_shift", (x.dtype, work, dtype), *_size(x), contiguous(x), *tables, more, relu, y)
    return y


def gradient_sums(
    dy: Array, x: Array, m: Array, *, y: Array | None = None, masked: Array | None = None
) -> tuple[Array, Array]:
    """Sweep 1 backward: da = sum_i dy (x - m) and db = sum_i dy of each map, N x C.

    y: the result of a ReLU that scale_shift did; dy counts only where y > 0. `masked`, empty, shaped like dy and
    contiguous, then receives this masked dy: it is the gradient of a residual branch.
    """
    if not has_kernels(dy, x, m, y, masked, dtype=dy.dtype):
        return plain.gradient_sums(dy, x, m, y=y, masked=masked)
    work = work_dtype(dy.dtype, x.dtype)
    da, db = (_table(x) for _ in "ab")
    maps = contiguous(dy), contiguous(x), contiguous(m, np.float64), _signs(y, dy.dtype), masked
    launch("gradient_sums", (dy.dtype, x.dtype, work), *_size(x), *maps, da, db)
    return da, db


def combine(
    dy: Array,
    x: Array,
    a: Array,
    m: Array,
    dm: Array,
    dv: Array | None = None,
    peak: tuple[Array, Array] | None = None,
    *,
    y: Array | None = None,
) -> Array:
    """Sweep 2 backward: dx = a dy + dm / M + (2 / M) dv (x - m), and the gradient of each map's maximum at its place.

    y: as for gradient_sums; dy counts only where y > 0.
    """
    dpeak, where = peak or (None, None)
    if not has_kernels(dy, x, a, m, dm, dv, dpeak, y, dtype=x.dtype):
        return plain.combine(dy, x, a, m, dm, dv, peak, y=y)
    tables = a, m, dm, dv, dpeak
    work = work_dtype(dy.dtype, x.dtype)
    ready = (None if table is None else contiguous(table, np.float64) for table in tables)
    place = None if where is None else contiguous(where, np.int64)
    dx = np.empty(x.shape, x.dtype, like=x)
    maps = contiguous(dy), contiguous(x), _signs(y, dy.dtype)
    launch("combine", (dy.dtype, x.dtype, work), *_size(x), *maps, *ready, place, dx)
    return dx


def _size(x: Array) -> tuple[int, int]:
    """Return how many maps there are, N C, and their length M."""
    return x.shape[0] * x.shape[1], math.prod(x.shape[2:])


def _table(x: Array, dtype: DTypeLike = np.float64) -> Array:
    return np.empty(x.shape[:2], dtype, like=x)


def _signs(y: Array | None, dtype: np.dtype[Any]) -> Array | None:
    """Return y in the dtype of dy, as the kernels want it. The sign is all they need, and it survives rounding to 0."""
    if y is None or y.dtype == dtype:
        return None if y is None else contiguous(y)
    return contiguous(~(y <= 0), dtype)

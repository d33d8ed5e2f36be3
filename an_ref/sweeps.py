"""The only code that walks feature maps: two sweeps forward, two sweeps backward.

A feature map x has shape (N, C, ...); its M positions per map are one axis here: x[n, c, i]. Everything else in the
normalization layers is arithmetic on N x C tables. Each sweep works on blocks of samples that stay in the cache of a
core, so that a full-size temporary is never made, and blocks are done side by side by threads. A CuPy array goes to the
CUDA kernels of an_ref.cuda, which has functions of the same names.

Maps are walked in their own precision, float32 at least. Tables are float64 (complex128): they are thousands of times
smaller, so it costs nothing, and it is what keeps float32 exact when the mean is far larger than the deviation. Such a
mean m is not a float32. So a map is centred at m_, m rounded to float32, which loses nothing, and what is left over,
m_ - m, is put into another table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from .backend import is_cupy, kernels
from .threads import blocks, scratch, spread
from .validation import Array

ROW = 512  # numbers: NumPy's loops are fast along rows of this length, and slow along 16 channels
LONG = 512  # numbers: shorter rows are done sooner through NumPy's buffers, longer ones without


def positions(x: Array) -> int:
    """Return M, the number of positions of one map: the product of all axes after N and C (1 for (N, C) input)."""
    return math.prod(x.shape[2:])


def moments(x: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Sweep 1 forward: mean m[n,c] and biased, centred variance v[n,c] of each map.

        m = sum_i x / M        v = sum_i (x - m)^2 / M

    The maps are summed in `dtype`. The first mean, m_, has the rounding error of a long sum. The centred map x - m_ is
    small, and its mean e is what m_ lacks: m = m_ + e, v = sum_i (x - m_)^2 / M - e^2.

    Source: Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", equation 1.7.
    """
    if is_cupy(x):
        return kernels().moments(x, dtype)
    rows, count = _layout(x), positions(x)
    x = rows.view(x)
    m, v = (np.empty(rows.shape[:2], np.promote_types(dtype, np.float64)) for _ in "mv")

    def sweep(s: slice) -> None:
        block = x[s].astype(dtype, copy=False)
        m_ = rows.total(block) / dtype.type(count)
        centred = np.subtract(block, rows.beside(m_), out=scratch(block.shape, dtype))
        e = rows.total(centred).astype(m.dtype) / count
        m[s] = m_ + e
        v[s] = rows.dot(centred, centred) / count - e * e
        v[s][v[s].real < 0] = 0  # of a constant map, whose two squares are equal but for rounding

    rows.spread(sweep, blocks(x))
    return m, v


def means(x: Array, dtype: np.dtype[Any]) -> Array:
    """Return the mean m[n,c] of each map, for what needs no variance."""
    if is_cupy(x):
        return kernels().means(x, dtype)
    rows, count = _layout(x), positions(x)
    x = rows.view(x)
    sums = rows.spread(lambda s: rows.total(x[s].astype(dtype, copy=False)), blocks(x))
    return np.concatenate(sums).astype(np.promote_types(dtype, np.float64)) / count


def peaks(x: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Return the maximum of each map and its position i, both N x C: the first one on ties, by the real part."""
    if is_cupy(x):
        return kernels().peaks(x, dtype)
    x = x.reshape(*x.shape[:2], -1)
    where = np.argmax(x.real, axis=2)
    return np.take_along_axis(x, where[..., None], 2)[..., 0].astype(dtype), where


def scale_shift(x: Array, a: Array, m: Array, b: Array, dtype: np.dtype[Any]) -> Array:
    """Sweep 2 forward: y[n,c,i] = a[n,c] * (x[n,c,i] - m[n,c]) + b[n,c], rounded to `dtype` at the end."""
    if is_cupy(x):
        return kernels().scale_shift(x, a, m, b, dtype)
    rows, work = _layout(x), _walked(a, m, b, maps=(x.dtype, dtype))
    m_ = m.astype(work)
    a, b = a.astype(work), (b + a * (m_ - m)).astype(work)
    x_, (y, y_) = rows.view(x), rows.empty(dtype)

    def sweep(s: slice) -> None:
        t = np.subtract(x_[s], rows.beside(m_[s]), out=y_[s] if dtype == work else None, dtype=work)
        t *= rows.beside(a[s])
        np.add(t, rows.beside(b[s]), out=y_[s], casting="same_kind")

    rows.spread(sweep, blocks(x_))
    return y


def gradient_sums(dy: Array, x: Array, m: Array) -> tuple[Array, Array]:
    """Sweep 1 backward: the gradients of the tables a and b.

    da[n,c] = sum_i dy * (x - m)        db[n,c] = sum_i dy
    """
    if is_cupy(x):
        return kernels().gradient_sums(dy, x, m)
    rows, work = _layout(x, dy), _walked(m, maps=(x.dtype, dy.dtype))
    x, dy, m_ = rows.view(x), rows.view(dy), m.astype(work)
    da, db = (np.empty(m.shape, np.result_type(m, work)) for _ in "ab")

    def sweep(s: slice) -> None:
        up = dy[s].astype(work, copy=False)
        db[s] = rows.total(up)
        centred = np.subtract(x[s], rows.beside(m_[s]), out=scratch(up.shape, work))
        da[s] = rows.dot(up, centred)

    rows.spread(sweep, blocks(x))
    return da + (m_ - m) * db, db


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
    if is_cupy(x):
        return kernels().combine(dy, x, a, m, dm, dv, peak)
    rows, count = _layout(x, dy, plain=peak is not None), positions(x)
    work = _walked(a, m, dm, *(() if dv is None else (dv,)), maps=(x.dtype, dy.dtype))
    x_, dy_, (dx, dx_) = rows.view(x), rows.view(dy), rows.empty(work if work.kind == "c" else x.dtype)
    m_, a, each, slope = m.astype(work), a.astype(work), dm / count, None
    if dv is not None:
        each = each + 2 / count * dv * (m_ - m)
        slope = (2 / count * dv).astype(work)
    each = each.astype(work)

    def sweep(s: slice) -> None:
        t = np.multiply(dy_[s], rows.beside(a[s]), out=dx_[s] if dx.dtype == work else None, dtype=work)
        if slope is not None:
            centred = np.subtract(x_[s], rows.beside(m_[s]), out=scratch(t.shape, work))
            centred *= rows.beside(slope[s])
            t += centred
        if peak is not None:
            gradient, where = peak[0][s, :, None], peak[1][s, :, None]
            np.put_along_axis(t, where, np.take_along_axis(t, where, 2) + gradient, 2)
        np.add(t, rows.beside(each[s]), out=dx_[s], casting="same_kind")

    rows.spread(sweep, blocks(x_))
    return dx


def _walked(*tables: Array, maps: tuple[Any, ...]) -> np.dtype[Any]:
    """Return the dtype in which maps are walked: their own, float32 at least, complex if one of the tables is."""
    dtype = np.result_type(*maps, np.float32)
    return np.result_type(dtype, np.complex64) if any(t.dtype.kind == "c" for t in tables) else dtype


class Layout(NamedTuple):
    """How maps are laid out for NumPy's loops: as (N, C, M), or channels-last as (N, M / k, k C), k positions a row."""

    shape: tuple[int, ...]
    k: int  # 0: (N, C, M)

    @property
    def row(self) -> int:
        """How many numbers lie in a row, the last axis of a view."""
        return self.k * self.shape[1] or math.prod(self.shape[2:])

    def empty(self, dtype: Any) -> tuple[Array, Array]:
        """Return new maps, in their shape and in this layout: two views of the same memory."""
        N, C, *rest = self.shape
        y = np.moveaxis(np.empty((N, *rest, C), dtype), -1, 1) if self.k else np.empty(self.shape, dtype)
        return y, self.view(y)

    def view(self, x: Array) -> Array:
        """Return the maps x in this layout."""
        N, C, *_ = self.shape
        x = x.reshape(N, C, -1)
        return x.swapaxes(1, 2).reshape(N, -1, self.k * C) if self.k else x

    def beside(self, table: Array) -> Array:
        """Return a table (n, C) in a shape that goes with n samples of this layout."""
        return np.tile(table, self.k)[:, None, :] if self.k else table[:, :, None]

    def spread(self, sweep: Callable[[slice], Any], slices: Iterable[slice]) -> list[Any]:
        """Do the sweep for all slices, side by side where there are enough of them.

        Where a table stands beside rows below the size of NumPy's buffers, 8192 numbers, NumPy copies both through
        them. That takes longer than the arithmetic, so for long rows the buffers are made small, which turns it off.
        """
        before = np.setbufsize(LONG) if self.row >= LONG else np.getbufsize()
        try:
            return spread(sweep, slices)
        finally:
            np.setbufsize(before)

    def total(self, block: Array) -> Array:
        """Return the sum over each map, (n, C): a matrix product with ones, several times as fast as .sum."""
        if not self.k:
            return np.matmul(block, np.ones(block.shape[2], block.dtype))
        of_rows = np.matmul(np.ones(block.shape[1], block.dtype), block)  # (n, k C)
        return np.matmul(np.ones(self.k, block.dtype), of_rows.reshape(len(block), self.k, -1))

    def dot(self, p: Array, q: Array) -> Array:
        """Return the sum of p * q over each map, (n, C); q is overwritten."""
        if self.k or p.strides[2] != p.itemsize or q.strides[2] != q.itemsize:
            return self.total(np.multiply(p, q, out=q))
        return np.matmul(p[:, :, None, :], q[:, :, :, None])[:, :, 0, 0]


def _layout(*maps: Array, plain: bool = False) -> Layout:
    """Return the layout in which all `maps`, of one shape, are walked along their memory."""
    shape = maps[0].shape
    last = all(np.moveaxis(x, 1, -1).flags.c_contiguous and not x.flags.c_contiguous for x in maps)
    return Layout(shape, math.gcd(positions(maps[0]), max(1, ROW // shape[1])) if last and not plain else 0)

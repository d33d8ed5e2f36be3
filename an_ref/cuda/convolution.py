"""Convolution on a GPU: two kernels lay out the columns, and cuBLAS multiplies. Maps stay (N, C, H, W) in memory.

Columns hold each number of x once for each place of the kernel, 9 times for 3 x 3. They are made for blocks of samples,
so that they take no more than COLUMN_BYTES. Shapes in the comments: G groups, Cg = C/G and Og = O/G channels in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..validation import Array
from ..windows import Pair
from . import plain
from .launch import contiguous, has_kernels, launch

COLUMN_BYTES = 1 << 28


def conv2d(x: Array, weight: Array, stride: Pair, padding: Pair, groups: int, dtype: np.dtype[Any]) -> Array:
    """Return the convolution of x (N, C, H, W) with weight (O, C/groups, kh, kw), without bias, in `dtype`.

    It is W @ columns: (O, Cg kh kw) @ (Cg kh kw, N h w) for each group.
    """
    kernel = weight.shape[2:]
    places = _places(x.shape[2:], kernel, stride, padding)
    matrix = _grouped(weight.reshape(len(weight), -1), groups).astype(dtype, copy=False)  # (G, Og, Cg kh kw)
    parts = []
    for part in (x[block] for block in _blocks(x, kernel, places, dtype)):
        product = _product(matrix, _grouped(columns(part, kernel, stride, padding, places, dtype), groups))
        parts.append(_to_maps(product, len(part), places))
    return _join(parts)


def conv2d_backward(
    dy: Array, x: Array, weight: Array, stride: Pair, padding: Pair, groups: int, dtype: np.dtype[Any]
) -> tuple[Array, Array]:
    """Return dx in the dtype of x, and dweight in `dtype`, in which both are computed.

    dcolumns = W^T @ dy, and dx sums dcolumns up where columns took from x; dW = dy @ columns^T.
    """
    kernel, places = weight.shape[2:], dy.shape[2:]
    matrix = _grouped(weight.reshape(len(weight), -1), groups).astype(dtype, copy=False)
    parts, dmatrix = [], np.zeros(matrix.shape, dtype, like=x)
    for block in _blocks(x, kernel, places, dtype):
        rows = _grouped(_to_rows(dy[block], dtype), groups)  # (G, Og, n h w)
        cols = _grouped(columns(x[block], kernel, stride, padding, places, dtype), groups)
        dmatrix = dmatrix + _product(rows, cols.swapaxes(1, 2))
        dcolumns = _product(matrix.swapaxes(1, 2), rows).reshape(-1, rows.shape[2])  # (C kh kw, n h w)
        parts.append(fold(dcolumns, x[block].shape, kernel, stride, padding, places, x.dtype))
    return _join(parts), dmatrix.reshape(weight.shape)


def columns(x: Array, kernel: Pair, stride: Pair, padding: Pair, places: Pair, dtype: np.dtype[Any]) -> Array:
    """(N, C, H, W) -> (C kh kw, N h w): the windows of x side by side, `places` = (h, w) of them in each sample."""
    if not has_kernels(x, dtype=dtype) or np.dtype(dtype).itemsize < 4:
        return plain.columns(x, kernel, stride, padding, places, dtype)
    (samples, channels, *size), (h, w) = x.shape, places
    result = np.empty((channels * kernel[0] * kernel[1], samples * h * w), dtype, like=x)
    pieces = result.size // (h * w)
    numbers = samples, channels, *size, *kernel, *stride, *padding, w
    launch("columns", (x.dtype, dtype), pieces, h * w, contiguous(x), result, *numbers)
    return result


def fold(
    dcolumns: Array, shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair, places: Pair, dtype: Any
) -> Array:
    """(C kh kw, N h w) -> dx of `shape` (N, C, H, W): the way back of columns, which sums what has one origin."""
    if not has_kernels(dcolumns, dtype=dtype) or dcolumns.itemsize < 4:
        return plain.fold(dcolumns, shape, kernel, stride, padding, places, dtype)
    samples, channels, height, width = shape
    dx = np.empty(shape, dtype, like=dcolumns)
    numbers = samples, channels, width, *kernel, *stride, *padding, *places
    arrays = contiguous(dcolumns), dx
    launch("fold", (dcolumns.dtype, dtype), samples * channels, height * width, *arrays, *numbers, file="columns")
    return dx


def _places(size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
    h, w = ((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True))
    return h, w


def _blocks(x: Array, kernel: Pair, places: Pair, dtype: np.dtype[Any]) -> Iterator[slice]:
    """Yield slices of samples whose columns take about COLUMN_BYTES."""
    one = x.shape[1] * kernel[0] * kernel[1] * places[0] * places[1] * np.dtype(dtype).itemsize
    step = max(1, COLUMN_BYTES // one)
    return (slice(i, i + step) for i in range(0, len(x), step))


def _grouped(rows: Array, groups: int) -> Array:
    """(O or C kh kw, ...) -> (G, Og or Cg kh kw, ...): the rows of each group."""
    return rows.reshape(groups, -1, rows.shape[1])


def _product(p: Array, q: Array) -> Array:
    """Return p @ q for each group. One plain product takes transposed arrays as they are; a stack would copy them."""
    return (p[0] @ q[0])[None] if len(p) == 1 else p @ q


def _to_maps(product: Array, samples: int, places: Pair) -> Array:
    """(G, Og, n h w) -> (n, O, h, w), contiguous, as the sweeps walk it."""
    return contiguous(product.reshape(-1, samples, *places).swapaxes(0, 1))


def _to_rows(dy: Array, dtype: np.dtype[Any]) -> Array:
    """(n, O, h, w) -> (O, n h w)."""
    return contiguous(dy.swapaxes(0, 1), dtype).reshape(dy.shape[1], -1)


def _join(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)

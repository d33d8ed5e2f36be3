"""Two-dimensional convolution (cross-correlation, as in every deep-learning library) and its gradients.

All work happens in channels-last memory, (N, H, W, C), on blocks of samples that stay in the cache. The
*columns* of a block are its windows laid side by side, one row for each place of the output: with them the
convolution is one matrix product. For CuPy arrays an_ref.cuda does the work. Shapes in the comments: G groups,
Cg = C/G and Og = O/G channels in each, h x w places of the output.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .backend import is_cupy, kernels
from .threads import spread
from .validation import (
    Array,
    cast,
    check_array,
    check_feature_map,
    check_groups,
    check_not_empty,
    check_parameter,
    check_upstream,
    dtypes,
)
from .windows import Pair, Room, check_pair, count_windows, crop, pad, windows

BLOCK_BYTES = 2 << 20  # of columns; anything from 0.5 to 4 MB is equally fast
RUNS = 16  # more threads than these are of no use; the gradient of the weights is kept this many times


class Conv2dCache(NamedTuple):
    """What conv2d keeps for its backward: its arguments (bias is None where there was none), no columns."""

    x: Array
    weight: Array
    bias: Array | None
    stride: Pair
    padding: Pair
    groups: int


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    groups: int = 1,
) -> tuple[Array, Conv2dCache]:
    """Two-dimensional convolution with zero padding.

        y[n,o,i,j] = bias[o] + sum_{c,a,b} weight[o,c,a,b] x[n, g Cg + c, s i + a - p, t j + b - q]

    with stride (s, t), padding (p, q), x = 0 outside the map, and g the group of o: the first O/groups output
    channels see the first C/groups input channels, and so on. groups = C gives the depthwise convolution.

    x is (N, C, H, W), weight (O, C/groups, kh, kw), bias (O,) or None; stride (from 1) and padding (from 0)
    are integers or pairs (h, w). y is (N, O, floor((H + 2p - kh)/s) + 1, floor((W + 2q - kw)/t) + 1), a view
    of channels-last memory.

    Returns (y, cache). Raises TypeError if an array does not hold floating-point or complex numbers or a
    number is not an integer; ValueError if an array is empty, a shape does not fit, groups does not divide C
    and O, a number is too small, or the kernel is larger than the padded input. Source: LeCun et al. 1998,
    "Gradient-based learning applied to document recognition"; sizes: Dumoulin & Visin, arXiv 1603.07285;
    groups: Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks".
    """
    groups = _check_arrays(x, weight, bias, groups)
    stride = check_pair("conv2d", "stride", stride, minimum=1)
    padding = check_pair("conv2d", "padding", padding, minimum=0)
    cache = Conv2dCache(x, weight, bias, stride, padding, groups)
    places = count_windows("conv2d", x.shape[2:], weight.shape[2:], stride, padding)
    out, work = dtypes(x, weight) if bias is None else dtypes(x, weight, bias)
    if is_cupy(x):
        y = kernels().conv2d(x, weight, stride, padding, groups, work)
        return cast(y if bias is None else y + bias[:, None, None], out), cache
    y = np.empty((len(x), *places, len(weight)), work)
    (_depthwise if _is_depthwise(cache) else _convolve)(x.transpose(0, 2, 3, 1), cache, y)
    if bias is not None:
        y += bias
    return cast(y, out).transpose(0, 3, 1, 2), cache


def conv2d_backward(dy: Array, cache: Conv2dCache) -> tuple[Array, ...]:
    """Return (dx, dweight, dbias), or (dx, dweight) where conv2d had no bias.

        dx[n,c,u,v] = sum_{o,a,b,i,j} weight[o,c,a,b] dy[n,o,i,j]    over s i + a - p = u and t j + b - q = v
        dweight[o,c,a,b] = sum_{n,i,j} dy[n,o,i,j] x[n, c, s i + a - p, t j + b - q]
        dbias[o] = sum_{n,i,j} dy[n,o,i,j]

    in the letters of conv2d, here with one group. dy has the shape of y. Raises TypeError or ValueError if it
    does not. Source: Dumoulin & Visin, arXiv 1603.07285, section 4: dx is a transposed convolution.
    """
    x, weight, bias, stride, padding, groups = cache
    kernel = weight.shape[2:]
    places = count_windows("conv2d_backward", x.shape[2:], kernel, stride, padding)
    check_upstream("conv2d_backward", dy, (len(x), len(weight), *places), x)
    _, work = dtypes(dy, x, weight)
    if is_cupy(x):
        dx, dweight = kernels().conv2d_backward(dy, x, weight, stride, padding, groups, work)
        dx, dweight = cast(dx, x.dtype), cast(dweight, weight.dtype)
    else:
        dx, dweight = _backward(dy, cache, work)
    if bias is None:
        return dx, dweight
    return dx, dweight, cast(dy.sum(axis=(2, 3), dtype=dtypes(dy)[1]).sum(axis=0), bias.dtype)


def _backward(dy: Array, cache: Conv2dCache, work: Any) -> tuple[Array, Array]:
    """Return dx and dweight, by the way that suits the convolution."""
    x, weight, _, stride, padding, _ = cache
    kernel = weight.shape[2:]
    if _is_depthwise(cache):
        gradients = _depthwise_backward
    elif stride == (1, 1) and padding[0] < kernel[0] and padding[1] < kernel[1]:
        gradients = _backward_by_gathering
    else:
        gradients = _backward_by_scattering
    dx, dweight = gradients(dy.transpose(0, 2, 3, 1), x.transpose(0, 2, 3, 1), cache, work)
    return cast(dx, x.dtype).transpose(0, 3, 1, 2), cast(dweight, weight.dtype)


def _convolve(x: Array, cache: Conv2dCache, y: Array) -> None:
    """Write the convolution to y: for each block of samples one product of columns and weights."""
    weight, stride, padding, groups = cache.weight, cache.stride, cache.padding, cache.groups
    matrix = _matrix(_split(weight, groups), y.dtype)  # (G, kh kw Cg, Og)

    def convolve(blocks: list[slice]) -> None:
        room = Room(y.dtype)
        for block in blocks:
            view = windows(room.pad(x[block], padding), weight.shape[2:], stride, groups)
            np.matmul(room.columns(view), matrix, out=_rows(y[block], groups))

    spread(convolve, _runs(y, matrix[..., 0].size))


def _backward_by_gathering(dy: Array, x: Array, cache: Conv2dCache, work: Any) -> tuple[Array, Array]:
    """Return dx and dweight at stride 1, where dx is the convolution of dy with the flipped weights.

    Window (u, v) of the padded dy holds each dy[i,j] that x[u,v] had a part in. So the columns of dy, made
    once, give dx by a product with the weights, and dweight by a product with x.
    """
    weight, padding, groups = cache.weight, cache.padding, cache.groups
    kernel = weight.shape[2:]
    margin = kernel[0] - 1 - padding[0], kernel[1] - 1 - padding[1]
    flipped = _split(weight, groups)[..., ::-1, ::-1].swapaxes(1, 2)  # (G, Cg, Og, kh, kw)
    matrix = _matrix(flipped, work)  # (G, kh kw Og, Cg)
    dx = np.empty(x.shape, work)

    def gather(blocks: list[slice]) -> Array:
        room, dmatrix = Room(work), np.zeros_like(matrix)
        for block in blocks:
            columns = room.columns(windows(room.pad(dy[block], margin), kernel, (1, 1), groups))  # of dy
            np.matmul(columns, matrix, out=_rows(dx[block], groups))
            dmatrix += columns.swapaxes(1, 2) @ _rows(x[block], groups)
        return dmatrix

    dmatrix = functools.reduce(np.add, spread(gather, _runs(dx, matrix[..., 0].size)))
    dflipped = _unmatrix(dmatrix, flipped.shape)
    return dx, dflipped.swapaxes(1, 2)[..., ::-1, ::-1].reshape(weight.shape)


def _backward_by_scattering(dy: Array, x: Array, cache: Conv2dCache, work: Any) -> tuple[Array, Array]:
    """Return dx and dweight for any stride: dx sums the columns' gradient, place by place of the kernel."""
    weight, stride, padding, groups = cache.weight, cache.stride, cache.padding, cache.groups
    kernel = weight.shape[2:]
    split = _split(weight, groups)
    matrix = _matrix(split, work)  # (G, kh kw Cg, Og)
    dx = np.empty(x.shape, work)

    def scatter(blocks: list[slice]) -> Array:
        room, dmatrix = Room(work), np.zeros_like(matrix)
        for block in blocks:
            rows = _rows(dy[block], groups)  # (G, places, Og)
            padded = room.pad(x[block], padding)
            view = windows(padded, kernel, stride, groups)  # (G, N, h, w, kh, kw, Cg)
            dmatrix += room.columns(view).swapaxes(1, 2) @ rows
            dcolumns = (rows @ matrix.swapaxes(1, 2)).reshape(view.shape)
            dpadded = np.zeros_like(padded)
            dview = windows(dpadded, kernel, stride, groups)
            for a, b in np.ndindex(*kernel):
                dview[..., a, b, :] += dcolumns[..., a, b, :]
            dx[block] = crop(dpadded, padding)
        return dmatrix

    dmatrix = functools.reduce(np.add, spread(scatter, _runs(dy, matrix[..., 0].size)))
    return dx, _unmatrix(dmatrix, split.shape).reshape(weight.shape)


def _depthwise(x: Array, cache: Conv2dCache, y: Array) -> None:
    """Write the convolution with one input channel in each group to y, place by place of the kernel."""
    weight, stride, padding = cache.weight, cache.stride, cache.padding
    kernel, taps = weight.shape[2:], _taps(weight, cache.groups, y.dtype)  # (kh, kw, m, C), m = O/C

    def convolve(block: slice) -> None:
        view = windows(pad(x[block], padding, y.dtype), kernel, stride)[0]  # (N, h, w, kh, kw, C)
        total = np.zeros((*view.shape[:3], *taps.shape[2:]), y.dtype)  # (N, h, w, m, C)
        for a, b, k in np.ndindex(*taps.shape[:3]):
            total[..., k, :] += view[..., a, b, :] * taps[a, b, k]
        y[block] = total.swapaxes(3, 4).reshape(y[block].shape)

    spread(convolve, _blocks(y, taps.size))


def _depthwise_backward(dy: Array, x: Array, cache: Conv2dCache, work: Any) -> tuple[Array, Array]:
    """Return dx and dweight of a depthwise convolution, for any stride."""
    weight, stride, padding, groups = cache.weight, cache.stride, cache.padding, cache.groups
    kernel, taps = weight.shape[2:], _taps(weight, groups, work)  # (kh, kw, m, C)
    dx = np.empty(x.shape, work)

    def scatter(block: slice) -> Array:
        padded, dtaps = pad(x[block], padding, work), np.empty_like(taps)
        view = windows(padded, kernel, stride)[0]  # (N, h, w, kh, kw, C)
        dpadded = np.zeros_like(padded)
        dview = windows(dpadded, kernel, stride)[0]
        dtotal = dy[block].reshape(*view.shape[:3], groups, -1).swapaxes(3, 4)  # (N, h, w, m, C)
        dtotal = np.ascontiguousarray(dtotal, work)
        ones = np.ones(dtotal[..., 0, 0].size, work)
        for a, b, k in np.ndindex(*taps.shape[:3]):
            dview[..., a, b, :] += dtotal[..., k, :] * taps[a, b, k]
            dtaps[a, b, k] = ones @ (dtotal[..., k, :] * view[..., a, b, :]).reshape(ones.size, -1)
        dx[block] = crop(dpadded, padding)
        return dtaps

    dtaps = functools.reduce(np.add, spread(scatter, _blocks(dy, taps.size)))
    return dx, dtaps.transpose(3, 2, 0, 1).reshape(weight.shape)


def _is_depthwise(cache: Conv2dCache) -> bool:
    return cache.groups > 1 and cache.weight.shape[1] == 1


def _blocks(places: Array, width: int) -> Iterator[slice]:
    """Cut the samples of `places` (N, h, w, ...) into blocks with BLOCK_BYTES of columns, `width` numbers a row."""
    one = places.shape[1] * places.shape[2] * width * places.itemsize
    step = max(1, BLOCK_BYTES // one)
    for start in range(0, len(places), step):
        yield slice(start, start + step)


def _runs(places: Array, width: int) -> list[list[slice]]:
    """Deal the blocks into at most RUNS runs of neighbours; a run shares room and a sum, and one thread does it."""
    blocks = list(_blocks(places, width))
    length = -(-len(blocks) // RUNS)
    return [blocks[i : i + length] for i in range(0, len(blocks), length)]


def _rows(block: Array, groups: int) -> Array:
    """(N, h, w, channels) -> (G, places, channels/G)."""
    return block.reshape(-1, groups, block.shape[3] // groups).swapaxes(0, 1)


def _split(weight: Array, groups: int) -> Array:
    """(O, Cg, kh, kw) -> (G, Og, Cg, kh, kw)."""
    return weight.reshape(groups, -1, *weight.shape[1:])


def _matrix(weight: Array, work: Any) -> Array:
    """(G, out, in, kh, kw) -> (G, kh kw in, out), which columns (G, places, kh kw in) are multiplied with."""
    groups, outputs = weight.shape[:2]
    return weight.transpose(0, 3, 4, 2, 1).reshape(groups, -1, outputs).astype(work, copy=False)


def _unmatrix(matrix: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of _matrix: (G, kh kw in, out) -> (G, out, in, kh, kw), which is `shape`."""
    groups, outputs, inputs, height, width = shape
    return matrix.reshape(groups, height, width, inputs, outputs).transpose(0, 4, 3, 1, 2)


def _taps(weight: Array, groups: int, work: Any) -> Array:
    """(O, 1, kh, kw) -> (kh, kw, m, C): channel m c + k of y is channel c of x seen through taps[..., k, c]."""
    split = weight.reshape(groups, -1, *weight.shape[2:])  # (C, m, kh, kw)
    return np.ascontiguousarray(split.transpose(2, 3, 1, 0), work)


def _check_arrays(x: Array, weight: Array, bias: Array | None, groups: Any) -> int:
    """Return `groups` as an int; raise unless the shapes of the three arrays fit it and each other."""
    check_feature_map("conv2d", x, ndim=4, layout="(N, C, H, W)")
    check_array("conv2d", "weight", weight, x)
    if weight.ndim != 4:
        raise ValueError(
            f"conv2d: weight must have 4 axes (out, in/groups, kh, kw), got shape {weight.shape}; reshape it"
        )
    check_not_empty("conv2d", "weight", weight)
    number = check_groups("conv2d", x.shape[1], groups)
    check_groups("conv2d", len(weight), groups, what="output channels")
    if weight.shape[1] * number != x.shape[1]:
        raise ValueError(
            f"conv2d: weight must have in/groups = {x.shape[1] // number} channels on its second axis (x has "
            f"{x.shape[1]}, groups = {number}), got shape {weight.shape}; change weight or groups"
        )
    if bias is not None:
        check_parameter("conv2d", "bias", bias, (len(weight),), "(out,)", x)
    return number

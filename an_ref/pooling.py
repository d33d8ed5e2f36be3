"""Maximum, average and global average pooling, and their gradients.

All work happens in channels-last memory, (N, H, W, C), one place of the window at a time: h x w windows along H and W.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .validation import Array, cast, check_feature_map, check_upstream, dtypes
from .windows import Pair, check_pair, count_windows, crop, pad, windows


class Geometry(NamedTuple):
    """The shape and dtype of x, and where its windows lie: h x w places, each an (h, w) pair."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    size: Pair
    stride: Pair
    padding: Pair
    places: Pair
    like: Array  # without entries, on x's device


class MaxPool2dCache(NamedTuple):
    """What max_pool2d keeps for its backward: `where` in its window each y is, counted a kw + b, shaped as y."""

    where: Array
    geometry: Geometry


class AvgPool2dCache(NamedTuple):
    """What avg_pool2d keeps for its backward."""

    geometry: Geometry


class GlobalAvgPool2dCache(NamedTuple):
    """What global_avg_pool2d keeps for its backward: x's shape and dtype, and an array without entries beside x."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    like: Array


def max_pool2d(
    x: Array, *, size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0
) -> tuple[Array, MaxPool2dCache]:
    """Maximum of each window: y[n,c,i,j] = max_{a,b} x[n, c, s i + a - p, t j + b - q].

    a and b run over a window of `size` (kh, kw); stride (s, t) is `size` unless given; with padding (p, q) the map is
    surrounded by -inf. Each is an integer or a pair (h, w). x is (N, C, H, W), y (N, C, floor((H + 2p - kh)/s) + 1,
    floor((W + 2q - kw)/t) + 1), a view of channels-last memory. Among equal maxima the first in row-major order counts.
    NaN is larger than any number. Complex numbers are compared by their real part.

    Returns (y, cache). Raises TypeError if x does not hold floating-point or complex numbers or a number is not an
    integer; ValueError if x is not (N, C, H, W) or is empty, a number is too small, padding is more than half of size,
    or no window fits. Source: Ranzato et al., "Unsupervised learning of invariant feature hierarchies with applications
    to object recognition", CVPR 2007; sizes: Dumoulin & Visin, arXiv 1603.07285.
    """
    geometry = _geometry("max_pool2d", x, size, stride, padding)
    view = _windows(x, geometry, x.dtype, -np.inf)
    y = np.empty((*view.shape[:3], x.shape[1]), x.dtype, like=x)  # (N, h, w, C)
    y[...] = -np.inf
    where = _first_places(y, geometry)
    for place, (a, b) in enumerate(np.ndindex(*geometry.size)):
        entry = view[..., a, b, :]
        larger = ~((entry.real <= y.real) | np.isnan(y.real))
        # Places come in rising order, so the last one that was larger is the largest.
        np.maximum(where, larger * where.dtype.type(place), out=where)
        if x.dtype.kind == "c":
            np.copyto(y, entry, where=larger)
        else:
            np.maximum(y, entry, out=y)
    return y.transpose(0, 3, 1, 2), MaxPool2dCache(where.transpose(0, 3, 1, 2), geometry)


def max_pool2d_backward(dy: Array, cache: MaxPool2dCache) -> Array:
    """Return dx: the sum of dy over the windows in which x is the (first) maximum.

    dy has the shape of y. Raises TypeError or ValueError if it does not.
    """
    check_upstream("max_pool2d_backward", dy, cache.where.shape, cache.where)
    where = cache.where.transpose(0, 2, 3, 1)
    dy = dy.transpose(0, 2, 3, 1)
    return _collect(dy, cache.geometry, lambda place: dy * (where == place))


def avg_pool2d(
    x: Array, *, size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0
) -> tuple[Array, AvgPool2dCache]:
    """Average of each window: y[n,c,i,j] = sum_{a,b} x[n, c, s i + a - p, t j + b - q] / (kh kw).

    Windows, arguments, shapes and errors are those of max_pool2d, but the map is surrounded by zeros, and these count:
    the divisor is kh kw at the border too (as PyTorch does by default). Returns (y, cache).
    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition" (without its coefficients).
    """
    geometry = _geometry("avg_pool2d", x, size, stride, padding)
    out, work = dtypes(x)
    view = _windows(x, geometry, work, 0)
    y = np.zeros((*view.shape[:3], x.shape[1]), work, like=x)  # (N, h, w, C)
    for a, b in np.ndindex(*geometry.size):
        y += view[..., a, b, :]
    y /= geometry.size[0] * geometry.size[1]
    return cast(y, out).transpose(0, 3, 1, 2), AvgPool2dCache(geometry)


def avg_pool2d_backward(dy: Array, cache: AvgPool2dCache) -> Array:
    """Return dx: the sum of dy / (kh kw) over the windows that x is in.

    dy has the shape of y. Raises TypeError or ValueError if it does not.
    """
    geometry = cache.geometry
    check_upstream("avg_pool2d_backward", dy, (*geometry.shape[:2], *geometry.places), geometry.like)
    _, work = dtypes(dy)
    share = dy.transpose(0, 2, 3, 1).astype(work, copy=False) / (geometry.size[0] * geometry.size[1])
    return _collect(share, geometry, lambda place: share)


def global_avg_pool2d(x: Array) -> tuple[Array, GlobalAvgPool2dCache]:
    """Mean of each map: y[n,c] = sum_{i,j} x[n,c,i,j] / (H W).

    x is (N, C, H, W), y (N, C). Returns (y, cache). Raises TypeError if x does not hold floating-point or complex
    numbers, ValueError if it is not (N, C, H, W) or is empty.
    Source: Lin, Chen & Yan, "Network in network", arXiv 1312.4400, section 3.2.
    """
    check_feature_map("global_avg_pool2d", x, ndim=4, layout="(N, C, H, W)")
    out, work = dtypes(x)
    return cast(x.mean(axis=(2, 3), dtype=work), out), GlobalAvgPool2dCache(x.shape, x.dtype, np.empty(0, like=x))


def global_avg_pool2d_backward(dy: Array, cache: GlobalAvgPool2dCache) -> Array:
    """Return dx[n,c,i,j] = dy[n,c] / (H W), a view of channels-last memory.

    dy is (N, C). Raises TypeError or ValueError if it is not.
    """
    n, channels, height, width = cache.shape
    check_upstream("global_avg_pool2d_backward", dy, (n, channels), cache.like)
    _, work = dtypes(dy)
    share = cast(dy.astype(work, copy=False) / (height * width), cache.dtype)
    return np.repeat(share[:, None], height * width, axis=1).reshape(n, height, width, channels).transpose(0, 3, 1, 2)


def _geometry(op: str, x: Array, size: Any, stride: Any, padding: Any) -> Geometry:
    """Make pairs of size, stride and padding and count the windows; raise if x or one of them is wrong."""
    check_feature_map(op, x, ndim=4, layout="(N, C, H, W)")
    size = check_pair(op, "size", size, minimum=1)
    stride = size if stride is None else check_pair(op, "stride", stride, minimum=1)
    padding = check_pair(op, "padding", padding, minimum=0)
    if 2 * padding[0] > size[0] or 2 * padding[1] > size[1]:
        raise ValueError(
            f"{op}: padding must be at most half of size, so that no window lies outside the map, got padding "
            f"{padding} with size {size}; choose at most {(size[0] // 2, size[1] // 2)}"
        )
    places = count_windows(op, x.shape[2:], size, stride, padding)
    return Geometry(x.shape, x.dtype, size, stride, padding, places, np.empty(0, like=x))


def _windows(x: Array, geometry: Geometry, dtype: DTypeLike, value: float) -> Array:
    """All windows of x, with `value` outside the map: (N, h, w, kh, kw, C)."""
    padded = pad(x.transpose(0, 2, 3, 1), geometry.padding, dtype, value)
    view: Array = windows(padded, geometry.size, geometry.stride)[0]
    return view


def _first_places(y: Array, geometry: Geometry) -> Array:
    """For each of y, (N, h, w, C), the first place of its window that is not padding."""
    size, stride, padding, places = geometry[2:6]
    rows = np.maximum(0, padding[0] - stride[0] * np.arange(places[0], like=y))
    columns = np.maximum(0, padding[1] - stride[1] * np.arange(places[1], like=y))
    where = np.empty_like(y, np.min_scalar_type(size[0] * size[1] - 1))
    where[...] = (rows[:, None] * size[1] + columns)[:, :, None]
    return where


def _collect(dy: Array, geometry: Geometry, part: Callable[[int], Array]) -> Array:
    """Return dx, to which each window adds part(place), (N, h, w, C), at each of its places."""
    n, channels, height, width = geometry.shape
    (top, left), size = geometry.padding, geometry.size
    dpadded = np.zeros((n, height + 2 * top, width + 2 * left, channels), dtypes(dy)[1], like=dy)
    dview = windows(dpadded, size, geometry.stride)[0]
    for place, (a, b) in enumerate(np.ndindex(*size)):
        dview[..., a, b, :] += part(place)
    return cast(crop(dpadded, geometry.padding), geometry.dtype).transpose(0, 3, 1, 2)

"""The same functions in array code, for arrays and dtypes without kernels: complex numbers, above all.

A GPU then makes many passes over the maps where a kernel makes one. The complex step of a gradient check needs the
result, not the speed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..validation import Array, cast
from ..windows import Pair


def moments(x: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """m = sum_i x / M and v = sum_i (x - m)^2 / M."""
    m = means(x, dtype)
    centred = _flat(x) - m[:, :, None]
    return m, (centred * centred).sum(axis=2) / centred.shape[2]


def means(x: Array, dtype: np.dtype[Any]) -> Array:
    """m = sum_i x / M, in double as all tables."""
    x = _flat(x)
    return x.astype(np.result_type(dtype, np.float64), copy=False).sum(axis=2) / x.shape[2]


def peaks(x: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """The maximum of each map by its real part, and where it is: the first one on ties."""
    x = _flat(x)
    where = x.real.argmax(axis=2)
    return np.take_along_axis(x, where[:, :, None], 2)[:, :, 0].astype(dtype), where


def scale_shift(
    x: Array, a: Array, m: Array, b: Array, dtype: np.dtype[Any], *, residual: Array | None = None, relu: bool = False
) -> Array:
    """y = a (x - m) + b, plus the residual, then max(y, 0)."""
    y = a[:, :, None] * (_flat(x) - m[:, :, None]) + b[:, :, None]
    if residual is not None:
        y = y + _flat(residual)
    if relu:
        y = y * ~(y.real <= 0)
    return y.astype(dtype, copy=False).reshape(x.shape)


def gradient_sums(
    dy: Array, x: Array, m: Array, *, y: Array | None = None, masked: Array | None = None
) -> tuple[Array, Array]:
    """da = sum_i dy (x - m) and db = sum_i dy."""
    up = _masked(dy, y)
    if masked is not None:
        masked[...] = up.reshape(dy.shape)
    up = up.astype(np.result_type(dy.dtype, np.float64), copy=False)
    return (up * (_flat(x) - m[:, :, None])).sum(axis=2), up.sum(axis=2)


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
    """dx = a dy + dm / M + (2 / M) dv (x - m), and the gradient of the maximum at its place."""
    maps = _flat(x)
    count = maps.shape[2]
    dx = a[:, :, None] * _masked(dy, y) + (dm / count)[:, :, None]
    if dv is not None:
        dx = dx + (2 / count * dv)[:, :, None] * (maps - m[:, :, None])
    if peak is not None:
        gradient, where = peak
        dx = dx + gradient[:, :, None] * (np.arange(count, like=where) == where[:, :, None])
    return cast(dx, x.dtype).reshape(x.shape)


def softmax_cross_entropy(logits: Array, labels: Array, smoothing: float, dtype: DTypeLike) -> tuple[Array, Array]:
    """The mean loss and p = softmax(logits); NaN where a label is no class."""
    z = logits.astype(np.result_type(np.float32, dtype), copy=False)
    z = z - z.real.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))  # (N, K)
    at_label = _at(labels, z.shape[1])
    losses = -np.where(at_label, log_p, 0).sum(axis=1)
    losses = np.where(at_label.any(axis=1), losses, np.nan)
    loss = losses.mean()
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * log_p.mean()
    return loss.astype(dtype), np.exp(log_p)


def softmax_cross_entropy_backward(dy: Array, p: Array, labels: Array, smoothing: float, dtype: DTypeLike) -> Array:
    """dlogits = dy (p - q) / N; at the label, minus the sum of the others in its row."""
    samples, classes = p.shape
    at_label = _at(labels, classes)
    excess = (p - smoothing / classes) * ~at_label
    excess = excess - at_label * excess.sum(axis=1, keepdims=True)
    return cast(excess * (dy / samples), dtype)


def columns(x: Array, kernel: Pair, stride: Pair, padding: Pair, places: Pair, dtype: np.dtype[Any]) -> Array:
    """(N, C, H, W) -> (C kh kw, N h w): the windows of x side by side, 0 outside the map."""
    samples, channels, height, width = x.shape
    (top, left), shape = padding, (channels, *kernel, samples, *places)
    padded = np.zeros((samples, channels, height + 2 * top, width + 2 * left), dtype, like=x)
    padded[:, :, top : top + height, left : left + width] = x
    result = np.empty(shape, dtype, like=x)
    for a, b in np.ndindex(*kernel):
        result[:, a, b] = _window(padded, a, b, stride, places).swapaxes(0, 1)
    return result.reshape(math.prod(shape[:3]), -1)


def fold(
    dcolumns: Array, shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair, places: Pair, dtype: Any
) -> Array:
    """(C kh kw, N h w) -> (N, C, H, W): each place of x sums the gradients of the columns that it was copied to."""
    samples, channels, height, width = shape
    top, left = padding
    each = dcolumns.reshape(channels, *kernel, samples, *places)
    padded = np.zeros((samples, channels, height + 2 * top, width + 2 * left), dcolumns.dtype, like=dcolumns)
    for a, b in np.ndindex(*kernel):
        window = _window(padded, a, b, stride, places)
        window += each[:, a, b].swapaxes(0, 1)
    return cast(padded[:, :, top : top + height, left : left + width], dtype)


def _window(padded: Array, a: int, b: int, stride: Pair, places: Pair) -> Array:
    """Return the view (N, C, h, w) of what is at place (a, b) of all windows."""
    end_a, end_b = a + stride[0] * places[0], b + stride[1] * places[1]
    return padded[:, :, a : end_a : stride[0], b : end_b : stride[1]]


def _at(labels: Array, classes: int) -> Array:
    """Return the places of the labels, (N, K) of bool."""
    return np.arange(classes, like=labels) == labels[:, None]


def _flat(x: Array) -> Array:
    """(N, C, ...) -> (N, C, M)."""
    return x.reshape(*x.shape[:2], -1)


def _masked(dy: Array, y: Array | None) -> Array:
    """Return dy as (N, C, M), 0 where y <= 0."""
    return _flat(dy) if y is None else _flat(dy) * ~(_flat(y).real <= 0)

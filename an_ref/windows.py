"""Where the windows of a convolution or a pooling lie: sizes, padding, and a view of all windows at once.

With kernel k, stride s and padding p, window i covers the entries i*s - p to i*s - p + k - 1 of an axis of
length n, and there are floor((n + 2p - k) / s) + 1 windows. Source: Dumoulin & Visin, "A guide to convolution
arithmetic for deep learning", arXiv 1603.07285, relationship 6.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .backend import as_strided
from .validation import Array, check_integer

Pair = tuple[int, int]


def check_pair(op: str, name: str, value: Any, *, minimum: int) -> Pair:
    """Return `value`, an integer or a pair (h, w) of them, as a pair; raise TypeError or ValueError otherwise."""
    if not isinstance(value, (tuple, list)):
        return (check_integer(op, name, value, minimum=minimum),) * 2
    if len(value) != 2:
        raise ValueError(f"{op}: {name} must be an integer or a pair (h, w), got {value!r}; pass two integers")
    return check_integer(op, name, value[0], minimum=minimum), check_integer(op, name, value[1], minimum=minimum)


def count_windows(op: str, size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
    """Return how many windows there are along H and W; raise ValueError if not even one fits."""
    padded = size[0] + 2 * padding[0], size[1] + 2 * padding[1]
    if kernel[0] > padded[0] or kernel[1] > padded[1]:
        raise ValueError(
            f"{op}: a kernel of {kernel} does not fit into the padded input of {padded} (input {size}, padding "
            f"{padding}); use a smaller kernel or more padding"
        )
    return (padded[0] - kernel[0]) // stride[0] + 1, (padded[1] - kernel[1]) // stride[1] + 1


def pad(x: Array, padding: Pair, dtype: DTypeLike, value: float = 0) -> Array:
    """Return x (N, H, W, C), contiguous, with `padding` rows and columns of `value` on each side.

    This is x itself where there is nothing to pad, convert or copy: never write to it.
    """
    (n, height, width, channels), (top, left) = x.shape, padding
    if top == left == 0:
        return np.ascontiguousarray(x, dtype, like=x)
    padded = np.empty((n, height + 2 * top, width + 2 * left, channels), dtype, like=x)
    padded[...] = value
    crop(padded, padding)[...] = x
    return padded


def crop(padded: Array, padding: Pair) -> Array:
    """Return the view of a padded (N, H, W, C) array without its padding."""
    (top, left), (_, height, width, _) = padding, padded.shape
    return padded[:, top : height - top, left : width - left]


def windows(padded: Array, kernel: Pair, stride: Pair, groups: int = 1) -> Array:
    """Return all windows of a padded array (N, H, W, C): a view (groups, N, rows, columns, kh, kw, C/groups).

    Windows overlap in memory. Entries at one place of the kernel, view[..., i, j, :], do not: they may be added to.
    """
    n, height, width, channels = padded.shape
    rows, columns = (height - kernel[0]) // stride[0] + 1, (width - kernel[1]) // stride[1] + 1
    of_n, of_h, of_w, of_c = padded.strides
    members = channels // groups
    return as_strided(
        padded,
        (groups, n, rows, columns, *kernel, members),
        (members * of_c, of_n, stride[0] * of_h, stride[1] * of_w, of_h, of_w, of_c),
    )


class Room:
    """Room for one block that the next block uses again: what is made in it never leaves the op."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._padded = self._columns = np.empty(0, dtype)

    def pad(self, x: Array, padding: Pair) -> Array:
        """As windows.pad, with zeros. The border stays as it is from one block to the next."""
        n = len(x)
        if padding == (0, 0):
            return np.ascontiguousarray(x, self.dtype)
        if self._padded.size == 0:
            self._padded = pad(x, padding, self.dtype)
        else:
            crop(self._padded[:n], padding)[...] = x
        return self._padded[:n]

    def columns(self, view: Array) -> Array:
        """(G, N, h, w, kh, kw, Cg) -> (G, places, kh kw Cg): a view for 1x1, else a copy in this room."""
        shape = view.shape[0], math.prod(view.shape[1:4]), math.prod(view.shape[4:])
        if view.shape[4:6] == (1, 1):
            return view.reshape(shape)
        if self._columns.size == 0:
            self._columns = np.empty(view.size, self.dtype)
        columns = self._columns[: view.size]
        columns.reshape(view.shape)[...] = view
        return columns.reshape(shape)

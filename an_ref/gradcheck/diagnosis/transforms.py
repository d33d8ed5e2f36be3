"""Gradients are linear in dy, so a mistake with dy is another dy: what the right backward makes of that.

Each transformation of dy, and each rearrangement of channels by groups, comes with words for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import an_ref

from ...validation import Array
from .known import Known


def from_other_dy(known: Known, dy: Array, index: int) -> Iterator[tuple[str, Array]]:
    """Yield (words, gradient of argument `index`) for what the right backward makes of another dy."""
    backward: Callable[..., Any] = getattr(an_ref, f"{known.name}_backward")
    for words, other in other_dy(dy):
        gradients = backward(other, known.cache)
        yield words, (gradients if isinstance(gradients, tuple) else (gradients,))[index]


def other_dy(dy: Array) -> Iterator[tuple[str, Array]]:
    """Yield (words, dy) for dy that is ignored, masked, averaged, or rearranged."""
    yield "is made from ones: dy is ignored, the upstream gradient is missing", np.ones_like(dy)
    yield "is made from |dy|: the sign of dy is lost", np.abs(dy)
    yield "is made from dy^2", dy**2
    if dy.ndim < 2:
        return
    for axis, name in ((0, "sample"), (1, "channel")):
        for i in range(min(dy.shape[axis], 8)):
            mask = np.zeros((dy.shape[axis], *[1] * (dy.ndim - 1 - axis)))
            mask[i] = 1
            yield f"is made from one {name} alone, number {i}", dy * mask
            yield f"is wrong: one {name} is left out, number {i}", dy * (1 - mask)
    if dy.ndim > 2:
        for i in (0, -1):
            flat = dy.reshape(*dy.shape[:2], -1)
            alone = np.zeros_like(flat)
            alone[..., i] = flat[..., i]
            words = f"is made from one position alone, the {'first' if i == 0 else 'last'}"
            yield f"{words}: the sum over the axes H, W is missing", alone.reshape(dy.shape)
    for number in range(1, dy.ndim):
        for axes in itertools.combinations(range(dy.ndim), number):
            yield f"is made from dy averaged over the axes {axes}", dy.mean(axes, keepdims=True) + 0 * dy
    yield from rearranged(dy, 1, "dy")


def rearranged(values: Array, axis: int, name: str) -> Iterator[tuple[str, Array]]:
    """Yield `values` with the entries of an axis reversed, shifted, or rearranged by groups."""
    length = values.shape[axis]
    orders = {
        f"is permuted: {name} is reversed along axis {axis}": np.arange(length)[::-1],
        f"is permuted: {name} is shifted along axis {axis}": np.roll(np.arange(length), 1),
        f"is permuted: {name} is shifted back along axis {axis}": np.roll(np.arange(length), -1),
    }
    for groups in range(2, length):
        if length % groups == 0:
            grouped = np.arange(length).reshape(groups, -1)
            orders[f"is permuted: the groups of {name} are in reversed order"] = grouped[::-1].ravel()
            orders[f"is permuted: the channels of {name} are interleaved between groups"] = grouped.T.ravel()
            orders[f"is permuted: the channels of {name} are taken by modulo, not by group"] = np.argsort(
                grouped.T.ravel(), kind="stable"
            )
    for words, order in orders.items():
        yield words, np.take(values, order, axis)


def low_precision(g: Array, n: Array) -> str | None:
    """Return words if a float64 gradient is right to some digits alone."""
    if g.dtype != np.float64:
        return None
    distance, scale = np.abs(g - n).max(), np.abs(n).max()
    for kind, relative in ((np.float16, 4e-3), (np.float32, 1e-6)):
        name = np.dtype(kind).name
        with np.errstate(over="ignore"):
            rounded = bool((g.astype(kind).astype(np.float64) == g).all())
        if distance <= relative * scale and rounded:
            return f"is computed in {name}: each value is a {name} number"
    if distance <= 2e-3 * scale:
        digits = int(-np.log10(distance / scale))
        return f"agrees to {digits} digits: eps is in another place, or a part is computed in float16 or float32"
    return None

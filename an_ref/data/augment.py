"""Batches in random order, and random shifts and flips of their images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..validation import check_integer


def batches(count: int, batch_size: int, *, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Yield index arrays of up to `batch_size` that hold each of 0 .. count - 1 once, in random order.

    The last batch is shorter if it must be. It never has a single index when it can be avoided: one left over joins the
    batch before it, because batch statistics of one sample say nothing. Raises TypeError or ValueError if a number is
    not a positive integer, or rng not a generator.
    """
    count = check_integer("batches", "count", count)
    batch_size = check_integer("batches", "batch_size", batch_size)
    check_generator("batches", rng)
    order = rng.permutation(count)
    starts = list(range(0, count, batch_size))
    if batch_size > 1 and len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return iter(np.split(order, starts[1:]))


def pad_crop_flip(
    images: NDArray[Any], *, rng: np.random.Generator, padding: int = 4, flip: bool = True
) -> NDArray[Any]:
    """Return each image shifted by up to `padding` pixels in both directions, and half of them mirrored.

    images: (N, C, H, W), of any dtype. What a shift uncovers is filled with the nearest pixel of the border, so that a
    white background stays white, before or after the pixels are scaled. (The usual CIFAR recipe fills with zeros of
    scaled images, which is grey.) The input is not modified. Raises ValueError if images are not (N, C, H, W),
    TypeError or ValueError if padding is not an integer from 0 on.

    Source: He et al. 2016, arXiv 1512.03385, section 4.2 (pad by 4, crop, flip).
    """
    check_generator("pad_crop_flip", rng)
    padding = check_integer("pad_crop_flip", "padding", padding, minimum=0)
    if not isinstance(images, np.ndarray) or images.ndim != 4:
        shape = getattr(images, "shape", type(images).__name__)
        raise ValueError(f"pad_crop_flip: images must be an array (N, C, H, W), got {shape}; reshape it")
    count, _, height, width = images.shape
    margin = (padding, padding)
    padded = np.pad(images, ((0, 0), (0, 0), margin, margin), mode="edge")
    crops = sliding_window_view(padded, (height, width), axis=(2, 3))  # (N, C, 2p + 1, 2p + 1, H, W), a view
    top, left = rng.integers(0, 2 * padding + 1, (2, count))
    moved = crops[np.arange(count), :, top, left]  # (N, C, H, W), a copy
    if flip:
        mirrored = rng.random(count) < 0.5
        moved[mirrored] = moved[mirrored, :, :, ::-1]
    return moved


def check_generator(op: str, rng: Any) -> None:
    """Raise TypeError unless `rng` is a generator: a seed would give the same numbers at every call."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"{op}: rng must be a numpy.random.Generator, got {type(rng).__name__}; "
            f"make one with numpy.random.default_rng(seed)"
        )

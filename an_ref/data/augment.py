"""Batches in random order, and what is done to their images: random shifts and flips, and mixing in pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..backend import beside
from ..validation import check_array, check_integer, check_number


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


def mixup(
    x: NDArray[Any], labels: NDArray[Any], *, alpha: float, rng: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], float]:
    """Return a batch mixed with itself in another order: (x, labels_a, labels_b, weight).

    x[n] becomes weight * x[n] + (1 - weight) * x[p[n]], with p a random permutation of the batch and one weight for all
    of it, drawn from Beta(alpha, alpha). labels_a are the labels, labels_b the labels[p], and the loss to minimize is

        weight * cross_entropy(logits, labels_a) + (1 - weight) * cross_entropy(logits, labels_b)

    which is the cross entropy with the mixed targets of the paper. x: (N, ...), floating point; its dtype is kept.
    labels: (N,), on the CPU; x may be on a GPU. weight is in [0, 1], and near 0 or 1 when alpha is small; the paper has
    alpha = 1 on CIFAR and 0.2 on ImageNet. The inputs are not modified. Raises TypeError or ValueError if x or labels
    do not fit, if alpha is not a positive finite number, or rng not a generator.

    Source: Zhang et al. 2018, arXiv 1710.09412, sections 1 and 2 (one weight for a batch, as in figure 1a).
    """
    check_array("mixup", "x", x)
    check_number("mixup", "alpha", alpha)
    check_generator("mixup", rng)
    if not (np.isfinite(alpha) and alpha > 0):
        raise ValueError(f"mixup: alpha must be positive and finite, got {alpha}; without mixup do not call it")
    if not isinstance(labels, np.ndarray) or x.ndim == 0 or labels.shape != x.shape[:1]:
        shape = getattr(labels, "shape", type(labels).__name__)
        raise ValueError(f"mixup: labels must be an array with one label for each of x, {x.shape[:1]}, got {shape}")
    weight = float(rng.beta(alpha, alpha))
    order = rng.permutation(len(x))
    return weight * x + (1 - weight) * x[beside(x, order)], labels.copy(), labels[order], weight


def check_generator(op: str, rng: Any) -> None:
    """Raise TypeError unless `rng` is a generator: a seed would give the same numbers at every call."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"{op}: rng must be a numpy.random.Generator, got {type(rng).__name__}; "
            f"make one with numpy.random.default_rng(seed)"
        )

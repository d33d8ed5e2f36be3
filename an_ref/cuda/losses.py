"""The loss of a classifier on a GPU: what an_ref/losses.py computes, in one kernel each way."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from ..validation import Array
from . import plain
from .launch import contiguous, has_kernels, launch, work_dtype


def softmax_cross_entropy(logits: Array, labels: Array, smoothing: float, dtype: DTypeLike) -> tuple[Array, Array]:
    """Return the mean loss, an array of shape () in `dtype`, and p = softmax(logits), (N, K).

    The loss is NaN where a label is not from 0 to K - 1: to raise an error, the CPU would have to wait for the GPU.
    """
    if not has_kernels(logits, dtype=dtype):
        return plain.softmax_cross_entropy(logits, labels, smoothing, dtype)
    work = work_dtype(dtype)
    p, losses = (np.empty(shape, work, like=logits) for shape in (logits.shape, logits.shape[:1]))
    arrays = contiguous(logits), contiguous(labels, np.int64), work.type(smoothing), losses, p
    launch("cross_entropy", (logits.dtype, work), *logits.shape, *arrays)
    return losses.mean().astype(dtype), p


def softmax_cross_entropy_backward(
    dy: Array | complex, p: Array, labels: Array, smoothing: float, dtype: DTypeLike
) -> Array:
    """Return dlogits = dy (p - q) / N, rounded to `dtype`; dy is a number, or an array of shape () beside p."""
    if isinstance(dy, (int, float, complex, np.number)):
        dy = np.asarray(dy, np.result_type(p.dtype, 1j if isinstance(dy, complex) else 1.0), like=p)
    if not has_kernels(dy, p, dtype=dtype):
        return plain.softmax_cross_entropy_backward(dy, p, labels, smoothing, dtype)
    work, dlogits = work_dtype(dy.dtype, p.dtype), np.empty(p.shape, dtype, like=p)
    arrays = dy.astype(work), contiguous(p, work), contiguous(labels, np.int64), work.type(smoothing), dlogits
    launch("cross_entropy_backward", (work, dtype), *p.shape, *arrays, file="cross_entropy")
    return dlogits

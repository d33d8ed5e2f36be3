"""The loss of a classifier and its gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .backend import check_same_device, is_array, is_cupy, kernels
from .validation import Array, cast, check_array, check_fraction, check_not_empty, check_upstream, dtypes


class SoftmaxCrossEntropyCache(NamedTuple):
    """What softmax_cross_entropy keeps for its backward: p = softmax(logits), and the dtype of the logits."""

    p: Array
    labels: Array
    label_smoothing: float
    dtype: np.dtype[Any]


def softmax_cross_entropy(
    logits: Array, labels: Array, *, label_smoothing: float = 0.0
) -> tuple[Array, SoftmaxCrossEntropyCache]:
    """Mean cross-entropy between softmax(logits) and the labels.

        p[n,k] = exp(logits[n,k]) / sum_j exp(logits[n,j])
        q[n,k] = (1 - s) [k = labels[n]] + s / K
        loss = -(1/N) sum_{n,k} q[n,k] log p[n,k]

    logits is (N, K), labels an integer array (N,) with values from 0 to K - 1, and s = label_smoothing is in [0, 1).
    The largest real part of each row is taken off first, so exp cannot overflow.

    Returns (loss, cache), loss an array of shape (). Raises TypeError if logits does not hold floating-point or complex
    numbers, labels does not hold integers or s is not a number; ValueError if a shape does not fit, logits is empty, a
    label is outside its range or s is outside [0, 1). On a GPU a label outside its range makes the loss NaN instead:
    to look at the labels, the CPU would have to wait for them. Source of the smoothing: Szegedy et al. 2016, arXiv
    1512.00567, section 7.
    """
    _check(logits, labels)
    check_fraction("softmax_cross_entropy", "label_smoothing", label_smoothing)
    out, work = dtypes(logits)
    if is_cupy(logits):
        loss, p = kernels().softmax_cross_entropy(logits, labels, label_smoothing, out)
        return loss, SoftmaxCrossEntropyCache(p, labels, label_smoothing, logits.dtype)
    z = logits.astype(work, copy=False)
    z = z - z.real.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))  # (N, K)
    loss = -log_p[np.arange(len(labels)), labels].mean()
    if label_smoothing:  # not at 0, where log p = -inf of another class would make 0 * -inf
        loss = (1 - label_smoothing) * loss - label_smoothing * log_p.mean()
    return np.asarray(loss, out), SoftmaxCrossEntropyCache(np.exp(log_p), labels, label_smoothing, logits.dtype)


def softmax_cross_entropy_backward(dy: Array | complex, cache: SoftmaxCrossEntropyCache) -> Array:
    """Return dlogits[n,k] = dy (p[n,k] - q[n,k]) / N.

    dy, the gradient at the loss, is a number or an array of shape (); 1 gives the gradient of the loss itself. Raises
    TypeError or ValueError if it is neither.
    """
    if isinstance(dy, (int, float, complex, np.number)) and not isinstance(dy, bool):
        dy = np.asarray(dy * 1.0)[()]  # a number goes to a GPU with the kernel
    else:
        check_upstream("softmax_cross_entropy_backward", dy, (), cache.p)
    if is_cupy(cache.p):
        dlogits: Array = kernels().softmax_cross_entropy_backward(
            dy, cache.p, cache.labels, cache.label_smoothing, cache.dtype
        )
        return dlogits
    n, classes = cache.p.shape
    excess = cache.p - cache.label_smoothing / classes  # p - q, but at the labels
    # Each row of p - q sums to 0. At the label this is more exact than p - q itself, where p is almost 1.
    excess[np.arange(n), cache.labels] = 0
    excess[np.arange(n), cache.labels] = -excess.sum(axis=1)
    return cast(excess * (dy / n), cache.dtype)


def _check(logits: Array, labels: Array) -> None:
    op = "softmax_cross_entropy"
    check_array(op, "logits", logits)
    if logits.ndim != 2:
        raise ValueError(f"{op}: logits must have 2 axes (N, K), got shape {logits.shape}; reshape it to (N, K)")
    check_not_empty(op, "logits", logits)
    if not is_array(labels) or labels.dtype.kind not in "iu":
        got = f"dtype {labels.dtype}" if is_array(labels) else type(labels).__name__
        raise TypeError(f"{op}: labels must be a NumPy array of integers, got {got}; pass one class number per sample")
    check_same_device(op, "labels", labels, logits, than="logits")
    if labels.shape != logits.shape[:1]:
        raise ValueError(
            f"{op}: labels must have shape (N,) = {logits.shape[:1]}, got {labels.shape}; pass one class number "
            f"per sample"
        )
    if is_cupy(labels):
        return
    wrong = np.flatnonzero((labels < 0) | (labels >= logits.shape[1]))
    if wrong.size:
        raise ValueError(
            f"{op}: labels[{wrong[0]}] = {labels[wrong[0]]} is not a class of {logits.shape[1]} logits; "
            f"number the classes from 0 to {logits.shape[1] - 1}"
        )

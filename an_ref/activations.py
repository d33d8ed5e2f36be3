"""Activations and their gradients: relu, relu6, sigmoid, hsigmoid and softmax.

All but softmax work on each entry alone. Where a function has a kink, complex numbers take the branch of
their real part. No cache shares memory with y.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .backend import is_cupy
from .threads import blocks, spread
from .validation import Array, cast, check_array, check_integer, check_not_empty, check_upstream, dtypes


class ReluCache(NamedTuple):
    """What relu keeps for its backward."""

    x: Array


class Relu6Cache(NamedTuple):
    """What relu6 keeps for its backward."""

    x: Array


class SigmoidCache(NamedTuple):
    """What sigmoid keeps for its backward."""

    x: Array


class HsigmoidCache(NamedTuple):
    """What hsigmoid keeps for its backward."""

    x: Array


class SoftmaxCache(NamedTuple):
    """What softmax keeps for its backward: a private copy of y, the axis and x's dtype."""

    weights: Array
    axis: int
    dtype: np.dtype[Any]


def relu(x: Array) -> tuple[Array, ReluCache]:
    """Rectified linear unit, y = max(x, 0), for x of any shape; NaN stays NaN.

    Returns (y, cache). Raises TypeError if x is not an array of floating-point or complex numbers, ValueError
    if it is empty. Source: Nair & Hinton, "Rectified linear units improve restricted Boltzmann machines",
    ICML 2010.
    """
    _check("relu", x)
    return _relu(x), ReluCache(x)


def relu_in_place(x: Array) -> tuple[Array, ReluCache]:
    """As relu, but y takes the place of x, for a caller that alone holds x.

    y is positive where x was, so it serves the backward as well. It must not be written to before that.
    """
    _check("relu", x)
    y = _relu(x, None if x.dtype.kind == "c" else x)
    return y, ReluCache(y)


def relu_backward(dy: Array, cache: ReluCache) -> Array:
    """Return dx = dy where x > 0 and 0 elsewhere: the derivative at exactly 0 is 0.

    dy has the shape of y. Raises TypeError or ValueError if it does not.
    """
    x = cache.x
    check_upstream("relu_backward", dy, x.shape, x)
    return _relu_backward(dy, cache.x)


def relu_backward_in_place(dy: Array, cache: ReluCache) -> Array:
    """As relu_backward, but dx takes the place of dy where it has the same dtype, for a caller that alone holds dy."""
    check_upstream("relu_backward", dy, cache.x.shape, cache.x)
    return _relu_backward(dy, cache.x, dy if dy.dtype == cache.x.dtype else None)


def relu6(x: Array) -> tuple[Array, Relu6Cache]:
    """Rectified linear unit with a ceiling, y = min(max(x, 0), 6), for x of any shape; NaN stays NaN.

    Returns (y, cache). Raises TypeError if x is not an array of floating-point or complex numbers, ValueError
    if it is empty. Source: Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010; in MobileNetV2:
    Sandler et al. 2018, arXiv 1801.04381, section 3.3.
    """
    _check("relu6", x)
    is_complex = x.dtype.kind == "c"
    y = np.where(x.real <= 0, 0, np.where(x.real >= 6, 6, x)) if is_complex else np.clip(x, 0, 6)
    return np.asarray(y, x.dtype, like=x), Relu6Cache(x)


def relu6_backward(dy: Array, cache: Relu6Cache) -> Array:
    """Return dx = dy where 0 < x < 6 and 0 elsewhere: the derivative at exactly 0 and 6 is 0.

    dy has the shape of y. Raises TypeError or ValueError if it does not.
    """
    x = cache.x
    check_upstream("relu6_backward", dy, x.shape, x)
    flat = (x.real <= 0) | (x.real >= 6)
    return cast(np.asarray(dy * ~flat, like=x), x.dtype)


def sigmoid(x: Array) -> tuple[Array, SigmoidCache]:
    """Logistic function, y = 1 / (1 + exp(-x)), for x of any shape.

    With z = exp(-|x|), y = 1 / (1 + z) for x >= 0 and z / (1 + z) for x < 0: nothing overflows, and y keeps
    its relative accuracy however small it is. Returns (y, cache). Raises TypeError if x is not an array of
    floating-point or complex numbers, ValueError if it is empty. Source: as the gate of
    Squeeze-and-Excitation, Hu et al. 2018, arXiv 1709.01507, equation 3.
    """
    _check("sigmoid", x)
    out, work = dtypes(x)
    z = _decay(x.astype(work, copy=False))
    y = np.where(x.real < 0, z, 1) / (1 + z)
    return np.asarray(y, out, like=x), SigmoidCache(x)


def sigmoid_backward(dy: Array, cache: SigmoidCache) -> Array:
    """Return dx = dy z / (1 + z)^2 with z = exp(-|x|).

    This is dy y (1 - y) without the cancellation in 1 - y. dy has the shape of y. Raises TypeError or
    ValueError if it does not.
    """
    x = cache.x
    check_upstream("sigmoid_backward", dy, x.shape, x)
    _, work = dtypes(dy, x)
    z = _decay(x.astype(work, copy=False))
    return cast(np.asarray(dy * (z / (1 + z) ** 2), like=x), x.dtype)


def hsigmoid(x: Array) -> tuple[Array, HsigmoidCache]:
    """Hard sigmoid, y = min(max(x + 3, 0), 6) / 6, for x of any shape; NaN stays NaN.

    Returns (y, cache). Raises TypeError if x is not an array of floating-point or complex numbers, ValueError
    if it is empty. Source: Howard et al. 2019, "Searching for MobileNetV3", arXiv 1905.02244, section 5.2.
    """
    _check("hsigmoid", x)
    out, work = dtypes(x)
    x_work = x.astype(work, copy=False)
    y = np.where(x.real <= -3, 0, np.where(x.real >= 3, 1, (x_work + 3) / 6))
    return np.asarray(y, out, like=x), HsigmoidCache(x)


def hsigmoid_backward(dy: Array, cache: HsigmoidCache) -> Array:
    """Return dx = dy / 6 where -3 < x < 3 and 0 elsewhere: the derivative at exactly -3 and 3 is 0.

    dy has the shape of y. Raises TypeError or ValueError if it does not.
    """
    x = cache.x
    check_upstream("hsigmoid_backward", dy, x.shape, x)
    _, work = dtypes(dy, x)
    flat = (x.real <= -3) | (x.real >= 3)
    return cast(np.where(flat, 0, dy.astype(work, copy=False) / 6), x.dtype)


def softmax(x: Array, axis: int = -1) -> tuple[Array, SoftmaxCache]:
    """Softmax along one axis, y_k = exp(x_k) / sum_j exp(x_j), for x of any shape with at least one axis.

    The largest real part along the axis is taken off x first: y stays the same and exp cannot overflow.
    Returns (y, cache). Raises TypeError if x is not an array of floating-point or complex numbers or axis is
    not an integer, ValueError if x is empty or has no such axis. Source: Bridle, "Probabilistic
    interpretation of feedforward classification network outputs, with relationships to statistical pattern
    recognition", 1990.
    """
    _check("softmax", x)
    axis = _check_axis("softmax", axis, x.ndim)
    out, work = dtypes(x)
    x_work = x.astype(work, copy=False)
    z = np.exp(x_work - x_work.real.max(axis=axis, keepdims=True))
    weights = z / z.sum(axis=axis, keepdims=True)
    return weights.astype(out), SoftmaxCache(weights, axis, x.dtype)


def softmax_backward(dy: Array, cache: SoftmaxCache) -> Array:
    """Return dx_k = y_k (dy_k - sum_j y_j dy_j), the sum along the softmax's axis.

    dy has the shape of y. Raises TypeError or ValueError if it does not.
    """
    y, axis = cache.weights, cache.axis
    check_upstream("softmax_backward", dy, y.shape, y)
    _, work = dtypes(dy, y)
    # A constant added to dy changes nothing. Without the dy of the largest y, nothing cancels where y is almost 1.
    top = y.real.argmax(axis=axis, keepdims=True)
    centred = dy.astype(work, copy=False) - np.take_along_axis(dy, top, axis)
    dx = y * (centred - (y * centred).sum(axis=axis, keepdims=True))
    return cast(dx, cache.dtype)


def _relu(x: Array, y: Array | None = None) -> Array:
    """Return max(x, 0), in `y` if it is given."""
    if x.dtype.kind == "c":
        return np.asarray(np.where(x.real <= 0, 0, x), x.dtype, like=x)
    y = np.empty_like(x) if y is None else y
    if is_cupy(x) or x.ndim == 0:
        return np.maximum(x, 0, out=y)
    zeros = np.zeros_like(x[next(blocks(x))])  # beside an array of zeros, maximum is 3 times as fast as beside a 0
    spread(lambda s: np.maximum(x[s], zeros[: len(x[s])], out=y[s]), blocks(x))
    return y


def _relu_backward(dy: Array, x: Array, dx: Array | None = None) -> Array:
    """Return dy where x > 0, else 0, in `dx` if it is given. Where x is NaN, dy passes."""
    if dx is None:
        dx = np.empty_like(x, dtype=dy.dtype if dy.dtype.kind == "c" and x.dtype.kind != "c" else x.dtype)

    def work(s: Any) -> None:
        # A product is 10 times faster than numpy.where on signs in random order.
        np.multiply(dy[s], ~(x[s].real <= 0), out=dx[s])

    if is_cupy(x) or x.ndim == 0:
        work(...)
    else:
        spread(work, blocks(x))
    return dx


def _decay(x: Array) -> Array:
    """exp(-|x|), with the sign taken from the real part."""
    return np.asarray(np.exp(np.where(x.real < 0, x, -x)), like=x)


def _check(op: str, x: Any) -> None:
    check_array(op, "x", x)
    check_not_empty(op, "x", x)


def _check_axis(op: str, axis: Any, ndim: int) -> int:
    if ndim == 0:
        raise ValueError(f"{op}: x has no axis to work along, got shape (); reshape it to (1, K)")
    number = check_integer(op, "axis", axis, minimum=-ndim)
    if number >= ndim:
        raise ValueError(f"{op}: axis must be below {ndim}, got {number}; choose from {-ndim} to {ndim - 1}")
    return number

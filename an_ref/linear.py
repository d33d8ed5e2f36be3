"""The fully connected layer and its gradients."""

from __future__ import annotations

from typing import NamedTuple

from .validation import (
    Array,
    cast,
    check_array,
    check_feature_map,
    check_not_empty,
    check_parameter,
    check_upstream,
    dtypes,
)


class LinearCache(NamedTuple):
    """What linear keeps for its backward: its arguments (bias is None where there was none)."""

    x: Array
    weight: Array
    bias: Array | None


def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, LinearCache]:
    """Fully connected layer, y = x @ weight + bias.

    x is (N, in), weight (in, out), bias (out,) or None; y is (N, out). Returns (y, cache). Raises TypeError
    if one of them is not an array of floating-point or complex numbers, ValueError if x is empty or a shape
    does not fit. Source: Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors",
    Nature 1986.
    """
    _check(x, weight, bias)
    out, work = dtypes(x, weight) if bias is None else dtypes(x, weight, bias)
    y = x.astype(work, copy=False) @ weight.astype(work, copy=False)
    if bias is not None:
        y += bias
    return cast(y, out), LinearCache(x, weight, bias)


def linear_backward(dy: Array, cache: LinearCache) -> tuple[Array, ...]:
    """Return (dx, dweight, dbias), or (dx, dweight) where linear had no bias.

        dx = dy @ weight^T        (N, in)
        dweight = x^T @ dy        (in, out)
        dbias = sum_n dy          (out,)

    dy is (N, out). Raises TypeError or ValueError if it is not.
    """
    x, weight, bias = cache
    check_upstream("linear_backward", dy, (x.shape[0], weight.shape[1]), x)
    _, work = dtypes(dy)
    dy = dy.astype(work, copy=False)
    dx = cast(dy @ weight.T, x.dtype)
    dweight = cast(x.T @ dy, weight.dtype)
    if bias is None:
        return dx, dweight
    return dx, dweight, cast(dy.sum(axis=0), bias.dtype)


def _check(x: Array, weight: Array, bias: Array | None) -> None:
    check_feature_map("linear", x, ndim=2, layout="(N, in)")
    check_array("linear", "weight", weight, x)
    if weight.ndim != 2 or weight.shape[0] != x.shape[1]:
        raise ValueError(
            f"linear: weight must have shape (in, out) with in = {x.shape[1]}, the columns of x, "
            f"got {weight.shape}; pass one of shape ({x.shape[1]}, out)"
        )
    check_not_empty("linear", "weight", weight)
    if bias is not None:
        check_parameter("linear", "bias", bias, (weight.shape[1],), "(out,)", x)

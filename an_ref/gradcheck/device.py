"""Ops on CuPy arrays, seen from the host: the checker works in NumPy, and op runs where its arrays live."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..validation import Array

Pair = tuple[Callable[..., Any], Callable[..., Any]]


def is_cupy(array: Any) -> bool:
    """Whether an array is CuPy's; CuPy need not be installed to ask."""
    return type(array).__module__.partition(".")[0] == "cupy"


def on_host(op: Callable[..., Any], op_backward: Callable[..., Any], arrays: Sequence[Any]) -> tuple[Pair, list[Array]]:
    """Return a pair that takes and returns NumPy arrays and runs `op` and `op_backward` on the device; and the arrays.

    Each call copies its arrays to the device and its results back. What op writes into its inputs there is written into
    the NumPy arrays too, so that it is seen. The cache stays on the device.
    """
    cupy = importlib.import_module("cupy")

    @functools.wraps(op)
    def host_op(*values: Array, **hyper: Any) -> Any:
        inputs = [cupy.asarray(value) for value in values]
        result = op(*inputs, **hyper)
        for value, there in zip(values, inputs, strict=True):
            now = there.get()
            if not np.array_equal(now, value, equal_nan=value.dtype.kind in "fc"):
                value[...] = now
        return (_down(result[0]), *result[1:]) if isinstance(result, tuple) else result

    @functools.wraps(op_backward)
    def host_backward(dy: Array, cache: Any) -> Any:
        there = cupy.asarray(dy)
        result = op_backward(there, cache)
        if not np.array_equal(there.get(), dy, equal_nan=True):
            dy[...] = there.get()
        return tuple(_down(g) for g in result) if isinstance(result, (tuple, list)) else _down(result)

    return (host_op, host_backward), [_down(array) for array in arrays]


def _down(array: Any) -> Any:
    return array.get() if is_cupy(array) else array

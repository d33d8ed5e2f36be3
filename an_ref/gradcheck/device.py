"""Ops on CuPy arrays, seen from the host: the checker works in NumPy, and op runs where its arrays live."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend import to_host
from ..validation import Array

Pair = tuple[Callable[..., Any], Callable[..., Any]]


def on_host(
    op: Callable[..., Any], op_backward: Callable[..., Any], arrays: Sequence[Any]
) -> tuple[Pair, tuple[Array, ...]]:
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
        return (to_host(result[0]), *result[1:]) if isinstance(result, tuple) else result

    @functools.wraps(op_backward)
    def host_backward(dy: Array, cache: Any) -> Any:
        there = cupy.asarray(dy)
        result = op_backward(there, cache)
        if not np.array_equal(there.get(), dy, equal_nan=True):
            dy[...] = there.get()
        return tuple(to_host(g) for g in result) if isinstance(result, (tuple, list)) else to_host(result)

    return (host_op, host_backward), tuple(to_host(array) for array in arrays)

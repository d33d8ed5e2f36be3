"""Checks of what a caller passes, and the dtype rules, shared by every op.

Each message begins with the op's name and says what was expected, what came and what to do. An array of a wrong type or
dtype is a TypeError, one of a wrong shape or a number outside its range is a ValueError.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .backend import check_same_device, is_array

Array = NDArray[Any]


def check_array(op: str, name: str, value: Any, beside: Any = None) -> None:
    """Raise TypeError unless `value` is an array of floating-point or complex numbers, on the device of `beside`.

    NumPy's and CuPy's arrays are accepted. Without `beside`, the op's x, either device is right.
    """
    if not is_array(value):
        raise TypeError(
            f"{op}: {name} must be a NumPy array, got {type(value).__name__}; "
            f"convert it with numpy.asarray({name}, dtype=numpy.float32)"
        )
    if value.dtype.kind not in "fc":
        raise TypeError(
            f"{op}: {name} must hold floating-point or complex numbers, got dtype {value.dtype}; "
            f"convert it with {name}.astype(numpy.float32)"
        )
    if beside is not None:
        check_same_device(op, name, value, beside)


def check_feature_map(op: str, x: Any, *, ndim: int | None = None, layout: str = "(N, C, ...)") -> None:
    """Raise unless `x` is a feature map with at least the axes N and C (exactly `ndim` axes if given), none empty."""
    check_array(op, "x", x)
    if x.ndim < 2 or (ndim is not None and x.ndim != ndim):
        axes = f"{ndim} axes" if ndim is not None else "at least 2 axes"
        raise ValueError(f"{op}: x must have {axes} {layout}, got shape {x.shape}; reshape it to {layout}")
    check_not_empty(op, "x", x)


def check_not_empty(op: str, name: str, value: Array) -> None:
    """Raise ValueError if an axis of `value` has length 0."""
    if value.size == 0:
        raise ValueError(
            f"{op}: {name} is empty, got shape {value.shape}; every axis must have at least one entry, "
            f"so leave empty batches out"
        )


def check_parameter(op: str, name: str, value: Any, shape: tuple[int, ...], axes: str, beside: Any = None) -> None:
    """Raise unless `value` is an array of exactly `shape`, where `beside` is; `axes` names the axes: "(C,)"."""
    check_array(op, name, value, beside)
    if value.shape != shape:
        hint = f"reshape it to {shape}" if value.size == int(np.prod(shape)) else f"pass one of shape {shape}"
        raise ValueError(f"{op}: {name} must have shape {axes} = {shape}, got {value.shape}; {hint}")


def check_parameters(
    op: str, axes: dict[str, str], arrays: Sequence[Any], sizes: dict[str, int], beside: Any = None
) -> None:
    """Check each array against its axes: `axes` maps names to letters, `sizes` maps letters to lengths."""
    for (name, letters), array in zip(axes.items(), arrays, strict=True):
        shape = tuple(sizes[letter] for letter in letters)
        check_parameter(op, name, array, shape, f"({', '.join(letters)}{',' * (len(letters) == 1)})", beside)


def check_upstream(op: str, dy: Any, shape: tuple[int, ...], beside: Any = None) -> None:
    """Raise unless `dy`, the gradient of the loss with respect to y, is an array with y's shape, where the cache is.

    `beside` is an array of the cache.
    """
    check_array(op, "dy", dy, beside)
    if dy.shape != shape:
        raise ValueError(
            f"{op}: dy must have the shape of y, {shape}, got {dy.shape}; pass the gradient at this op's y"
        )


def check_eps(op: str, eps: Any) -> float:
    """Return `eps` as a float; raise unless it is a finite number that is not negative."""
    check_number(op, "eps", eps)
    if not (np.isfinite(eps) and eps >= 0):
        raise ValueError(f"{op}: eps must be finite and not negative, got {eps}; the usual value is 1e-5")
    return float(eps)


def check_number(op: str, name: str, value: Any) -> None:
    """Raise TypeError unless `value` is a real number (a bool is not one)."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{op}: {name} must be a number, got {value!r}; pass a float")


def check_fraction(op: str, name: str, value: Any) -> None:
    """Raise unless `value` is a number in [0, 1)."""
    check_number(op, name, value)
    if not 0 <= value < 1:
        raise ValueError(f"{op}: {name} must be in [0, 1), got {value}; choose a number from 0 up to, not including, 1")


def check_integer(op: str, name: str, value: Any, *, minimum: int = 1) -> int:
    """Return `value` as an int; raise TypeError if it is not an integer, ValueError if it is below `minimum`."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{op}: {name} must be an integer, got {value!r}; pass a whole number, at least {minimum}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{op}: {name} must be an integer, got {value!r}; pass a whole number, at least {minimum}"
        ) from None
    if number < minimum:
        raise ValueError(f"{op}: {name} must be at least {minimum}, got {number}; pass a larger whole number")
    return number


def check_groups(op: str, channels: int, groups: Any, *, what: str = "channels") -> int:
    """Return `groups` as an int; raise unless it is a whole number that divides `channels`."""
    number = check_integer(op, "groups", groups)
    if channels % number:
        choices = ", ".join(str(d) for d in range(1, channels + 1) if channels % d == 0)
        raise ValueError(f"{op}: {channels} {what} do not divide into {number} groups; choose from {choices}")
    return number


def check_choice(op: str, name: str, value: Any, choices: Iterable[str]) -> None:
    """Raise ValueError unless `value` is one of `choices`; the message names the nearest right one."""
    known = list(choices)
    if value in known:
        return
    near = difflib.get_close_matches(str(value), known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"{op}: unknown {name} {value!r}; {hint}choose from {', '.join(map(repr, known))}")


def check_count(op: str, arrays: Sequence[Any], names: Sequence[str], *, after: str) -> None:
    """Raise TypeError unless as many arrays came as there are `names`."""
    if len(arrays) != len(names):
        expected = f"{len(names)} ({', '.join(names)})" if names else "none"
        raise TypeError(
            f"{op}: expected {expected} after {after}, got {len(arrays)} arrays; pass exactly these, in order"
        )


def dtypes(*arrays: Array) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Return (dtype of y, dtype to compute in): numpy.result_type of the arrays, with float16 computed in float32."""
    out = np.result_type(*(a.dtype for a in arrays))
    return out, np.promote_types(out, np.float32)


def cast(result: Array, dtype: DTypeLike) -> Array:
    """Round `result` to `dtype`, but never drop an imaginary part: a complex result stays complex."""
    if result.dtype.kind == "c" and np.dtype(dtype).kind != "c":
        return result
    return result.astype(dtype, copy=False)


def cast_all(results: Iterable[Array], like: Iterable[DTypeLike]) -> tuple[Array, ...]:
    """Round each gradient to the dtype of its own array, in order; complex results stay complex."""
    return tuple(cast(result, dtype) for result, dtype in zip(results, like, strict=False))

"""check_gradients and check_layer: hold a hand-written backward against the derivative of its forward."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..validation import Array, check_choice
from . import derivatives
from .report import Finding, Report

FULL_SIZE = 4000  # arguments with at most this many entries are checked entry by entry, larger ones along directions
DIRECTIONS = 4
BLIND = 1e-4
TOLERANCE = {np.dtype(np.float16): 2e-2, np.dtype(np.float32): 2e-4}  # of a gradient computed in this dtype
TOLERANCE_DOUBLE = 1e-10


def check_gradients(
    op: Callable[..., Any],
    op_backward: Callable[..., Any],
    arrays: Sequence[Array],
    *,
    hyper: dict[str, Any] | None = None,
    method: str = "complex",
    cotangent: Array | None = None,
    rng: int | np.random.Generator = 0,
) -> Report:
    """Check that op_backward returns the gradients of op, for any op under the contract of this package.

        y, cache = op(*arrays, **hyper)        gradients = op_backward(dy, cache)        gradient_j = sum_i dy_i J_ij

    op: takes the arrays, differentiable ones first, and returns y and a cache. op_backward: takes dy and the cache and
    returns one gradient for each differentiable array, in order (a single one may come bare).
    method: "complex" (the complex step; op must pass complex128 through). cotangent: the dy to use, shaped like y; by
    default it is drawn from `rng`, which is what makes the check see every term.
    Returns a Report with .ok, .max_error, .blind and .findings. Raises ValueError for an unknown method or a cotangent
    of a wrong shape, and TypeError if an argument is not an array.

    Source: Squire & Trapp 1998, SIAM Review 40 (complex step).
    """
    check_choice("check_gradients", "method", method, ("complex",))
    arrays = tuple(arrays)
    for index, array in enumerate(arrays):
        if not isinstance(array, np.ndarray):
            raise TypeError(f"check_gradients: arrays[{index}] must be a NumPy array, got {type(array).__name__}")
    return _check(getattr(op, "__name__", "op"), _names(op), op, op_backward, arrays, hyper or {}, cotangent, rng)


def check_layer(
    layer: Any, x: Array, *, train: bool = True, cotangent: Array | None = None, rng: int | np.random.Generator = 0
) -> Report:
    """Check the gradients of a layer of an_ref.nn with respect to x and each of its parameters.

    Arrays are put into layer.params for each evaluation; parameters and state are what they were afterwards. Returns a
    Report whose names are "x" and the keys of layer.params. Raises as check_gradients does.
    """
    keys, params, state = list(layer.params), dict(layer.params), dict(layer.state)

    def forward(x: Array, *values: Array) -> tuple[Array, tuple[Array, ...]]:
        for key, value in zip(keys, values, strict=True):
            layer.params[key] = value
        y = layer.forward(x, train=train)
        _restore(layer.state, state)
        return y, (x, *values)

    def backward(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
        forward(*cache)
        return layer.backward(dy), *(layer.grads[key] for key in keys)

    try:
        arrays = (x, *(params[key] for key in keys))
        return _check(type(layer).__name__, ["x", *keys], forward, backward, arrays, {}, cotangent, rng)
    finally:
        _restore(layer.params, params)


def _check(
    title: str,
    names: Sequence[str],
    op: Callable[..., Any],
    op_backward: Callable[..., Any],
    arrays: tuple[Array, ...],
    hyper: dict[str, Any],
    cotangent: Array | None,
    rng: int | np.random.Generator,
) -> Report:
    generator = _generator(rng)
    y, cache = op(*arrays, **hyper)
    dy = _cotangent(np.asarray(y), cotangent, generator)
    returned = op_backward(dy.astype(np.asarray(y).dtype), cache)
    gradients = returned if isinstance(returned, tuple) else (returned,)
    exact = tuple(a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays)

    errors, blind, findings = {}, [], []
    for index, analytic in enumerate(gradients):
        name = names[index]
        # A derivative that is zero comes out as rounding, not as zero: compare it with the size of y per unit of x.
        floor = np.abs(dy * y).sum() / max(1.0, np.abs(arrays[index]).max())
        errors[name], numeric, unseen = _compare(op, exact, index, analytic, dy, hyper, generator, floor)
        blind += [name] * unseen
        if not errors[name] <= TOLERANCE.get(np.asarray(analytic).dtype, TOLERANCE_DOUBLE):
            findings.append(_finding(index, name, analytic, numeric))
    return Report(title, "complex step", errors, tuple(blind), tuple(findings))


def _generator(rng: int | np.random.Generator) -> np.random.Generator:
    # A seed gets a stream of its own: with the stream of default_rng(seed), a user who draws x from the same seed
    # would get dy = x, to which a norm is blind.
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng([rng, *b"cotangent"])


def _restore(mapping: Any, values: dict[str, Array]) -> None:
    for key, value in values.items():
        mapping[key] = value


def _cotangent(y: Array, cotangent: Array | None, generator: np.random.Generator) -> Array:
    if cotangent is None:
        return np.asarray(generator.standard_normal(y.shape))
    if np.shape(cotangent) != y.shape:
        raise ValueError(f"check_gradients: cotangent must have the shape of y, {y.shape}, got {np.shape(cotangent)}")
    return np.asarray(cotangent)


def _names(op: Callable[..., Any]) -> list[str]:
    """Return a name for each argument of op; those behind a * get numbers."""
    names: list[str] = []
    for parameter in inspect.signature(op).parameters.values():
        behind_star = parameter.kind is parameter.VAR_POSITIONAL
        names += [f"{parameter.name}[{i}]" for i in range(20)] if behind_star else [parameter.name]
    return names


def _compare(
    op: Callable[..., Any],
    arrays: tuple[Array, ...],
    index: int,
    analytic: Array,
    dy: Array,
    hyper: dict[str, Any],
    generator: np.random.Generator,
    floor: float,
) -> tuple[float, Array | None, bool]:
    """Return the error of one gradient, the numeric gradient (None for a large argument), and whether dy is blind."""
    if np.shape(analytic) != arrays[index].shape:
        return np.inf, None, False
    if analytic.size <= FULL_SIZE:
        numeric, terms = derivatives.gradient(op, arrays, index, dy, hyper)
        scale = max(np.abs(numeric).max(), terms.max(), floor)
        error = np.abs(analytic - numeric).max() / (scale or 1.0)
        return float(error), numeric, bool(np.abs(numeric).max() < BLIND * terms.max())
    errors, seen = [], []
    for _ in range(DIRECTIONS):
        u = generator.standard_normal(analytic.shape)
        terms = dy * derivatives.complex_step(op, arrays, index, u, hyper)
        scale = max(np.abs(terms).sum(), np.abs(analytic * u).sum(), floor)
        errors.append(np.abs((analytic * u).sum() - terms.sum()) / (scale or 1.0))
        seen.append(np.abs(terms.sum()) / np.sqrt((terms**2).sum() or 1.0))
    return float(max(errors)), None, bool(max(seen) < BLIND)


def _finding(index: int, name: str, analytic: Array, numeric: Array | None) -> Finding:
    if numeric is None:
        return Finding(index, name, f"d{name} is wrong here", analytic)
    where = tuple(int(i) for i in np.unravel_index(np.argmax(np.abs(analytic - numeric)), numeric.shape))
    message = (
        f"d{name} is wrong here: most at {list(where)}, where op_backward says {analytic[where]:.6g} "
        f"and the derivative is {numeric[where]:.6g}"
    )
    return Finding(index, name, message, analytic, numeric, where)

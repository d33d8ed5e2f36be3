"""What every pair (op, op_backward) must fulfil, checked from outside. `arrays` are the differentiable arguments.

`op` is called as op(*arrays) and must return (y, cache); bind hyperparameters with a lambda or functools.partial.
The cotangent is always random.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest

STEP = 1e-20
TOLERANCE = 1e-12


def gradients_of(backward: Callable[..., Any], dy: Any, cache: Any) -> tuple[np.ndarray, ...]:
    """The gradients as a tuple, also where a single one comes bare."""
    result = backward(dy, cache)
    return result if isinstance(result, tuple) else (result,)


def check_complex_step(op: Callable[..., Any], backward: Callable[..., Any], arrays: Any, seed: int = 0) -> None:
    """Compare each gradient with the derivative by complex step of sum(v y), entry by entry, for a random v."""
    y, cache = op(*arrays)
    v = np.asarray(np.random.default_rng(seed).standard_normal(y.shape))
    gradients = gradients_of(backward, v, cache)
    assert len(gradients) == len(arrays)
    for which, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
        assert gradient.shape == array.shape
        numeric, scale = np.empty(array.shape), np.empty(array.shape)
        for index in np.ndindex(*array.shape):
            moved = array.astype(complex)
            moved[index] += 1j * STEP
            terms = v * op(*arrays[:which], moved, *arrays[which + 1 :])[0].imag / STEP
            numeric[index], scale[index] = terms.sum(), np.abs(terms).sum()
        worst = np.abs(gradient - numeric).max()
        assert worst <= TOLERANCE * scale.max(), f"argument {which}: error {worst}, terms of {scale.max()}"


def check_adjoint(op: Callable[..., Any], backward: Callable[..., Any], arrays: Any, seed: int = 0) -> None:
    """Compare <v, J u> with <J^T v, u> for random v and random u in all arguments at once."""
    rng = np.random.default_rng(seed)
    y, cache = op(*arrays)
    v = np.asarray(rng.standard_normal(y.shape))
    us = [rng.standard_normal(array.shape) for array in arrays]
    moved = [array + 1j * STEP * u for array, u in zip(arrays, us, strict=True)]
    forward = v * op(*moved)[0].imag / STEP
    products = [g * u for g, u in zip(gradients_of(backward, v, cache), us, strict=True)]
    scale = np.abs(forward).sum() + sum(np.abs(p).sum() for p in products)
    assert abs(forward.sum() - sum(p.sum() for p in products)) <= TOLERANCE * scale


def check_purity(op: Callable[..., Any], backward: Callable[..., Any], arrays: Any, seed: int = 0) -> None:
    """Inputs stay as they are, nothing returned shares memory with them, and the cache survives all that follows."""
    before = [array.copy() for array in arrays]
    y, cache = op(*arrays)
    np.testing.assert_array_equal(y, op(*arrays)[0])
    dy = np.asarray(np.random.default_rng(seed).standard_normal(y.shape)).astype(y.dtype)
    dy_before = dy.copy()
    first = gradients_of(backward, dy, cache)
    kept = [g.copy() for g in first]
    y[...] = np.nan
    for gradient in first:
        assert not any(np.shares_memory(gradient, other) for other in (*arrays, dy, y))
        gradient[...] = np.nan
    assert not any(np.shares_memory(y, array) for array in arrays)
    for again, gradient in zip(gradients_of(backward, dy, cache), kept, strict=True):
        np.testing.assert_array_equal(again, gradient)
    for array, copy in zip((*arrays, dy), (*before, dy_before), strict=True):
        np.testing.assert_array_equal(array, copy)
    for gradient in gradients_of(backward, np.zeros_like(dy), cache):
        assert not gradient.any()


def check_dtypes(op: Callable[..., Any], backward: Callable[..., Any], arrays: Any) -> None:
    """y has the result_type of the arrays, each gradient its own array's dtype, all close to float64's values."""
    rng = np.random.default_rng(0)
    for types in _combinations(len(arrays)):
        given = tuple(array.astype(t) for array, t in zip(arrays, types, strict=True))
        exact = tuple(array.astype(np.float64) for array in given)
        y, cache = op(*given)
        assert isinstance(y, np.ndarray)
        assert y.dtype == np.result_type(*types), types
        dy = np.asarray(rng.standard_normal(y.shape)).astype(y.dtype)
        gradients = gradients_of(backward, dy, cache)
        assert [g.dtype for g in gradients] == [np.dtype(t) for t in types]
        y64, cache64 = op(*exact)
        _assert_near(y, y64, y.dtype)
        for gradient, g64 in zip(gradients, gradients_of(backward, dy.astype(np.float64), cache64), strict=True):
            _assert_near(gradient, g64, gradient.dtype)


def check_float16_is_rounded_float32(op: Callable[..., Any], backward: Callable[..., Any], arrays: Any) -> None:
    """float16 is computed in float32 and rounded once, at the end: the same bits."""
    half = tuple(array.astype(np.float16) for array in arrays)
    y16, cache16 = op(*half)
    y32, cache32 = op(*(array.astype(np.float32) for array in half))
    np.testing.assert_array_equal(y16, y32.astype(np.float16))
    dy = np.asarray(np.random.default_rng(0).standard_normal(y16.shape)).astype(np.float16)
    pairs = zip(
        gradients_of(backward, dy, cache16), gradients_of(backward, dy.astype(np.float32), cache32), strict=True
    )
    for g16, g32 in pairs:
        np.testing.assert_array_equal(g16, g32.astype(np.float16))


def check_complex_cotangent(op: Callable[..., Any], backward: Callable[..., Any], arrays: Any) -> None:
    """Backward is linear over the complex numbers: a complex dy gives complex gradients, none of them conjugated."""
    rng = np.random.default_rng(0)
    y, cache = op(*arrays)
    real, imaginary = (np.asarray(rng.standard_normal(y.shape)) for _ in range(2))
    both = np.asarray(real + 1j * imaginary)
    parts = zip(gradients_of(backward, real, cache), gradients_of(backward, imaginary, cache), strict=True)
    for gradient, (of_re, of_im) in zip(gradients_of(backward, both, cache), parts, strict=True):
        assert gradient.dtype == np.complex128
        np.testing.assert_allclose(gradient, of_re + 1j * of_im, rtol=1e-12, atol=1e-12)


def check_strides(op: Callable[..., Any], backward: Callable[..., Any], arrays: Any) -> None:
    """Any memory layout of any argument, and of dy, gives the same values."""
    y, cache = op(*arrays)
    dy = np.asarray(np.random.default_rng(0).standard_normal(y.shape))
    expected = gradients_of(backward, dy, cache)
    for which, array in enumerate(arrays):
        for odd in odd_layouts(array):
            y2, cache2 = op(*arrays[:which], odd, *arrays[which + 1 :])
            np.testing.assert_allclose(y2, y, rtol=1e-12, atol=1e-12)
            for gradient, g in zip(gradients_of(backward, dy, cache2), expected, strict=True):
                np.testing.assert_allclose(gradient, g, rtol=1e-12, atol=1e-12)
    for odd in odd_layouts(dy):
        for gradient, g in zip(gradients_of(backward, odd, cache), expected, strict=True):
            np.testing.assert_allclose(gradient, g, rtol=1e-12, atol=1e-12)


def check_upstream_errors(op: Callable[..., Any], backward: Callable[..., Any], arrays: Any, name: str) -> None:
    """Backward refuses a dy that is no array, holds integers, or has another shape than y."""
    y, cache = op(*arrays)
    with refused(TypeError, f"{name}_backward: dy must be a NumPy array, got str"):
        backward("dy", cache)
    with refused(TypeError, f"{name}_backward: dy must hold floating-point or complex numbers, got dtype int64"):
        backward(np.ones(y.shape, np.int64), cache)
    for shape in ((*y.shape, 1), (1,), (*y.shape[:-1], 77)):
        with refused(ValueError, f"{name}_backward: dy must have the shape of y, {y.shape}, got {shape}"):
            backward(np.ones(shape), cache)


def refused(kind: type[Exception], text: str) -> AbstractContextManager[Any]:
    """Expect an error of this kind whose message begins with `text`."""
    return pytest.raises(kind, match="^" + re.escape(text))


def odd_layouts(array: np.ndarray) -> Iterator[np.ndarray]:
    """The same values with other strides: Fortran order, negative, with gaps, with the last axis first."""
    if array.ndim == 0:
        return
    yield np.asfortranarray(array)
    everywhere = (slice(None, None, -1),) * array.ndim
    yield np.ascontiguousarray(array[everywhere])[everywhere]
    wide = np.full([2 * n + 1 for n in array.shape], np.nan, array.dtype)
    gaps = wide[tuple(slice(1, 2 * n, 2) for n in array.shape)]
    gaps[...] = array
    yield gaps
    if array.ndim > 1:
        yield np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -1, 0)), 0, -1)


def _combinations(count: int) -> Iterator[tuple[Any, ...]]:
    """All arguments of one dtype, then each alone wider or narrower than the others."""
    for t in (np.float16, np.float32, np.float64):
        yield (t,) * count
    for which in range(count if count > 1 else 0):
        for one in (np.float16, np.float64):
            yield (np.float32,) * which + (one,) + (np.float32,) * (count - which - 1)


def _assert_near(result: np.ndarray, exact: np.ndarray, dtype: Any) -> None:
    eps = max(float(np.finfo(dtype).eps), float(np.finfo(np.float32).eps))
    np.testing.assert_allclose(result.astype(np.float64), exact, rtol=0, atol=64 * eps * max(1, np.abs(exact).max()))

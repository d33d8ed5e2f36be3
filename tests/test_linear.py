"""linear: y = x @ weight + bias."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from op_checks import (
    check_adjoint,
    check_complex_cotangent,
    check_complex_step,
    check_dtypes,
    check_float16_is_rounded_float32,
    check_purity,
    check_strides,
    check_upstream_errors,
    refused,
)

from an_ref.linear import linear, linear_backward


def make(n: int = 4, inputs: int = 3, outputs: int = 5, bias: bool = True, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    arrays = rng.standard_normal((n, inputs)), rng.standard_normal((inputs, outputs)), rng.standard_normal(outputs)
    return arrays if bias else arrays[:2]


@given(
    n=st.integers(1, 5),
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 5),
    bias=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_gradients(n, inputs, outputs, bias, seed):
    arrays = make(n, inputs, outputs, bias, seed)
    check_complex_step(linear, linear_backward, arrays, seed)
    check_adjoint(linear, linear_backward, arrays, seed)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("imaginary", [0, 1j])
def test_values_by_loops(bias, imaginary):
    arrays = tuple(a + imaginary * b for a, b in zip(make(seed=1), make(seed=2), strict=True))
    x, weight, b = arrays
    y, _ = linear(x, weight, b) if bias else linear(x, weight)
    for n in range(4):
        for o in range(5):
            expected = sum(x[n, i] * weight[i, o] for i in range(3)) + (b[o] if bias else 0)
            assert abs(y[n, o] - expected) < 1e-14


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "check",
    [
        check_purity,
        check_dtypes,
        check_float16_is_rounded_float32,
        check_strides,
        check_complex_cotangent,
    ],
)
def test_contract(check, bias):
    check(linear, linear_backward, make(bias=bias))


def test_cache_holds_the_arguments():
    x, weight, bias = make()
    cache = linear(x, weight, bias)[1]
    assert cache.x is x
    assert cache.weight is weight
    assert cache.bias is bias


def test_errors():
    x, weight, bias = make()
    check_upstream_errors(linear, linear_backward, (x, weight, bias), "linear")
    with refused(TypeError, "linear: x must be a NumPy array, got list"):
        linear(x.tolist(), weight)
    with refused(TypeError, "linear: x must hold floating-point or complex numbers, got dtype int64"):
        linear(np.ones((4, 3), np.int64), weight)
    with refused(TypeError, "linear: weight must hold floating-point or complex numbers, got dtype bool"):
        linear(x, np.ones((3, 5), bool))
    with refused(TypeError, "linear: bias must be a NumPy array, got float"):
        linear(x, weight, 0.0)
    with refused(ValueError, "linear: x must have 2 axes (N, in), got shape (4, 3, 1, 1)"):
        linear(x[:, :, None, None], weight)
    with refused(ValueError, "linear: x is empty, got shape (0, 3)"):
        linear(x[:0], weight)
    for wrong in (weight.T, weight[:, 0], weight[None]):
        expected = f"linear: weight must have shape (in, out) with in = 3, the columns of x, got {wrong.shape}"
        with refused(ValueError, expected):
            linear(x, wrong)
    with refused(ValueError, "linear: weight is empty, got shape (3, 0)"):
        linear(x, weight[:, :0])
    with refused(ValueError, "linear: bias must have shape (out,) = (5,), got (3,)"):
        linear(x, weight, bias[:3])

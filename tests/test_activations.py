"""relu, relu6, sigmoid, hsigmoid and softmax."""

from __future__ import annotations

import math
from functools import partial

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

from an_ref.activations import (
    hsigmoid,
    hsigmoid_backward,
    relu,
    relu6,
    relu6_backward,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softmax,
    softmax_backward,
)

PAIRS = {
    "relu": (relu, relu_backward),
    "relu6": (relu6, relu6_backward),
    "sigmoid": (sigmoid, sigmoid_backward),
    "hsigmoid": (hsigmoid, hsigmoid_backward),
    "softmax": (softmax, softmax_backward),
}
each = pytest.mark.parametrize("name", PAIRS)
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
seeds = st.integers(0, 2**32 - 1)


def draw(shape, seed=0, scale=4.0):
    return scale * np.asarray(np.random.default_rng(seed).uniform(-1, 1, shape))


@each
@given(shape=shapes, seed=seeds, scale=st.sampled_from([1e-3, 1.0, 5.0]))
def test_gradients(name, shape, seed, scale):
    x = draw(shape, seed, scale)
    check_complex_step(*PAIRS[name], (x,), seed)
    check_adjoint(*PAIRS[name], (x,), seed)


@each
@pytest.mark.parametrize(
    "check",
    [check_purity, check_dtypes, check_float16_is_rounded_float32, check_strides, check_complex_cotangent],
)
def test_contract(name, check):
    check(*PAIRS[name], (draw((3, 4, 2)),))


@pytest.mark.parametrize("name", ["relu", "relu6", "sigmoid", "hsigmoid"])
def test_no_axes(name):
    op, backward = PAIRS[name]
    y, cache = op(np.array(0.5, np.float32))
    dx = backward(np.array(2.0, np.float32), cache)
    for result in (y, dx):
        assert isinstance(result, np.ndarray)
        assert result.shape == ()
        assert result.dtype == np.float32


@each
def test_errors(name):
    op, backward = PAIRS[name]
    check_upstream_errors(op, backward, (draw((2, 3)),), name)
    with refused(TypeError, f"{name}: x must be a NumPy array, got float"):
        op(1.0)
    with refused(TypeError, f"{name}: x must hold floating-point or complex numbers, got dtype int64"):
        op(np.ones((2, 3), np.int64))
    with refused(ValueError, f"{name}: x is empty, got shape (2, 0)"):
        op(np.ones((2, 0)))


def test_relu_values():
    x = np.array([-np.inf, -2.0, -0.0, 0.0, 1e-300, 3.0, np.inf])
    for given_x in (x, x.astype(complex)):
        y, cache = relu(given_x)
        np.testing.assert_array_equal(y, [0, 0, 0, 0, 1e-300, 3, np.inf])
        np.testing.assert_array_equal(relu_backward(np.full(7, 5.0), cache), [0, 0, 0, 0, 5, 5, 5])


def test_relu6_values():
    x = np.array([-np.inf, -2.0, -0.0, 0.0, 1e-300, 3.0, 6.0, 7.0, np.inf])
    for given_x in (x, x.astype(complex)):
        y, cache = relu6(given_x)
        np.testing.assert_array_equal(y, [0, 0, 0, 0, 1e-300, 3, 6, 6, 6])
        np.testing.assert_array_equal(relu6_backward(np.full(9, 5.0), cache), [0, 0, 0, 0, 5, 5, 0, 0, 0])


@pytest.mark.parametrize("name", ["relu", "relu6", "sigmoid", "hsigmoid"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex128])
def test_nan_passes(name, dtype):
    op, backward = PAIRS[name]
    with np.errstate(invalid="ignore"):  # NumPy warns where it divides complex NaN
        y, cache = op(np.array([np.nan, 1.0], dtype))
        dx = backward(np.ones(2, dtype), cache)
    np.testing.assert_array_equal(np.isnan(y), [True, False])
    assert dx[0] != 0


def test_complex_numbers_take_the_branch_of_the_real_part():
    x = np.array([-4 + 9j, -1 + 9j, 0 + 9j, 1 - 9j, 4 - 9j])
    np.testing.assert_array_equal(relu6(2 * x)[0], [0, 0, 0, 2 - 18j, 6])
    np.testing.assert_array_equal(relu(x)[0], [0, 0, 0, 1 - 9j, 4 - 9j])
    np.testing.assert_allclose(hsigmoid(x)[0], [0, (2 + 9j) / 6, (3 + 9j) / 6, (4 - 9j) / 6, 1], rtol=1e-15)
    np.testing.assert_allclose(sigmoid(x)[0], 1 / (1 + np.exp(-x)), rtol=1e-14)


@given(x=st.floats(-700, 700))
def test_sigmoid_keeps_its_relative_accuracy(x):
    y, cache = sigmoid(np.array([x]))
    expected = 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
    np.testing.assert_allclose(y, expected, rtol=1e-15)
    slope = math.exp(-abs(x)) / (1 + math.exp(-abs(x))) ** 2
    np.testing.assert_allclose(sigmoid_backward(np.ones(1), cache), slope, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex128])
def test_sigmoid_of_huge_numbers_without_warnings(dtype):
    x = np.array([-np.inf, -6e4, 6e4, np.inf], dtype)
    y, cache = sigmoid(x)
    np.testing.assert_array_equal(y, [0, 0, 1, 1])
    np.testing.assert_array_equal(sigmoid_backward(np.ones(4, dtype), cache), [0, 0, 0, 0])


@given(shape=shapes, seed=seeds)
def test_sigmoid_of_minus_x(shape, seed):
    x = draw(shape, seed)
    np.testing.assert_allclose(sigmoid(x)[0] + sigmoid(-x)[0], 1, rtol=1e-15)


def test_hsigmoid_values():
    x = np.array([-np.inf, -4.0, -3.0, -1.5, 0.0, 1.5, 3.0, 4.0, np.inf])
    y, cache = hsigmoid(x)
    np.testing.assert_array_equal(y, [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1])
    np.testing.assert_array_equal(hsigmoid_backward(np.full(9, 6.0), cache), [0, 0, 0, 1, 1, 1, 0, 0, 0])


def test_kinks_of_complex_numbers():
    """The complex step sees the same side of a kink as the backward, also exactly on it."""
    x = np.array([-3.0, 0.0, 3.0])
    check_complex_step(hsigmoid, hsigmoid_backward, (x,))
    check_complex_step(relu, relu_backward, (x,))
    check_complex_step(relu6, relu6_backward, (x + 3,))


@given(shape=shapes, seed=seeds, data=st.data())
def test_softmax_along_any_axis(shape, seed, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = draw(shape, seed)
    op = partial(softmax, axis=axis)
    exps = np.exp(x)
    np.testing.assert_allclose(op(x)[0], exps / exps.sum(axis=axis, keepdims=True), rtol=1e-13)
    check_complex_step(op, softmax_backward, (x,), seed)


@given(seed=seeds, shift=st.floats(-1e4, 1e4))
def test_softmax_does_not_see_a_shift(seed, shift):
    x = draw((3, 4), seed)
    y, cache = softmax(x + shift)
    np.testing.assert_allclose(y, softmax(x)[0], rtol=1e-10)
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-14)
    dx = softmax_backward(draw((3, 4), seed + 1), cache)
    np.testing.assert_allclose(dx.sum(axis=-1), 0, atol=1e-14)


@given(gap=st.floats(0, 600), v=st.tuples(st.floats(-1, 1), st.floats(-1, 1)))
def test_softmax_gradient_keeps_its_relative_accuracy(gap, v):
    """Also where one weight is almost 1: of two entries, dx = +- y_1 y_2 (dy_1 - dy_2)."""
    _, cache = softmax(np.array([gap, 0.0]))
    expected = (v[0] - v[1]) * math.exp(-gap) / (1 + math.exp(-gap)) ** 2
    dx = softmax_backward(np.array(v), cache)
    np.testing.assert_allclose(dx, [expected, -expected], rtol=1e-14)


def test_softmax_of_infinite_logits():
    """A logit of -inf has the weight 0 and no gradient: this is how logits are masked."""
    y, cache = softmax(np.array([[0.0, -np.inf, 0.0], [1e4, -1e4, 1e4]]))
    np.testing.assert_array_equal(y, [[0.5, 0, 0.5], [0.5, 0, 0.5]])
    np.testing.assert_array_equal(softmax_backward(np.array([[1.0, 5.0, 3.0]] * 2), cache), [[-0.5, 0, 0.5]] * 2)


def test_softmax_errors():
    x = draw((2, 3))
    with refused(ValueError, "softmax: axis must be below 2, got 2; choose from -2 to 1"):
        softmax(x, axis=2)
    with refused(ValueError, "softmax: axis must be at least -2, got -3"):
        softmax(x, axis=-3)
    with refused(TypeError, "softmax: axis must be an integer, got None"):
        softmax(x, axis=None)
    with refused(ValueError, "softmax: x has no axis to work along, got shape ()"):
        softmax(np.array(1.0))

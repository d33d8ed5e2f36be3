"""Maximum, average and global average pooling."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings
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

from an_ref.pooling import (
    avg_pool2d,
    avg_pool2d_backward,
    global_avg_pool2d,
    global_avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)

seeds = st.integers(0, 2**32 - 1)


def naive(x, reduce, value, size, stride, padding):
    """The pooling by its definition: one window at a time."""
    (kh, kw), (s, t), (p, q) = size, stride, padding
    n, channels, height, width = x.shape
    padded = np.full((n, channels, height + 2 * p, width + 2 * q), value, x.dtype)
    padded[:, :, p : p + height, q : q + width] = x
    y = np.empty((n, channels, (height + 2 * p - kh) // s + 1, (width + 2 * q - kw) // t + 1), x.dtype)
    for m, c, i, j in np.ndindex(*y.shape):
        y[m, c, i, j] = reduce(padded[m, c, s * i : s * i + kh, t * j : t * j + kw])
    return y


def draw(shape=(2, 3, 5, 4), seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@st.composite
def cases(draw_one, largest=3):
    """A shape (N, C, H, W) and hyperparameters that fit it."""
    small = st.integers(1, 3)
    size = draw_one(st.tuples(*[st.integers(1, largest)] * 2))
    padding = tuple(draw_one(st.integers(0, k // 2)) for k in size)
    height, width = (draw_one(st.integers(max(1, k - 2 * p), 6)) for k, p in zip(size, padding, strict=True))
    shape = (draw_one(small), draw_one(small), height, width)
    return shape, {"size": size, "stride": draw_one(st.tuples(small, small)), "padding": padding}


@given(case=cases(), seed=seeds)
def test_values_by_loops(case, seed):
    shape, hyper = case
    x = draw(shape, seed)
    np.testing.assert_array_equal(max_pool2d(x, **hyper)[0], naive(x, np.max, -np.inf, **hyper))
    np.testing.assert_allclose(avg_pool2d(x, **hyper)[0], naive(x, np.mean, 0, **hyper), rtol=0, atol=1e-14)
    np.testing.assert_allclose(global_avg_pool2d(x)[0], naive(x, np.mean, 0, shape[2:], (1, 1), (0, 0))[:, :, 0, 0])


@settings(max_examples=50)
@given(case=cases(), seed=seeds)
def test_gradients(case, seed):
    shape, hyper = case
    x = draw(shape, seed)
    for op, backward in (
        (partial(max_pool2d, **hyper), max_pool2d_backward),
        (partial(avg_pool2d, **hyper), avg_pool2d_backward),
        (global_avg_pool2d, global_avg_pool2d_backward),
    ):
        check_complex_step(op, backward, (x,), seed)
        check_adjoint(op, backward, (x,), seed)


PAIRS = {
    "max": (partial(max_pool2d, size=2), max_pool2d_backward),
    "max, size 1": (partial(max_pool2d, size=1), max_pool2d_backward),
    "max, overlapping": (partial(max_pool2d, size=3, stride=1, padding=1), max_pool2d_backward),
    "max, strided": (partial(max_pool2d, size=3, stride=2, padding=(0, 1)), max_pool2d_backward),
    "avg": (partial(avg_pool2d, size=2), avg_pool2d_backward),
    "avg, size 1": (partial(avg_pool2d, size=1), avg_pool2d_backward),
    "avg, overlapping": (partial(avg_pool2d, size=3, stride=2, padding=1), avg_pool2d_backward),
    "global": (global_avg_pool2d, global_avg_pool2d_backward),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(
    "check",
    [check_purity, check_dtypes, check_float16_is_rounded_float32, check_strides, check_complex_cotangent],
)
def test_contract(name, check):
    check(*PAIRS[name], (draw(),))


def test_stride_is_size_unless_given():
    x = draw((1, 1, 6, 6))
    for op in (max_pool2d, avg_pool2d):
        np.testing.assert_array_equal(op(x, size=(3, 2))[0], op(x, size=(3, 2), stride=(3, 2))[0])
        np.testing.assert_array_equal(op(x, size=2, padding=1)[0], op(x, size=(2, 2), stride=[2, 2], padding=(1, 1))[0])


def test_first_maximum_gets_the_gradient():
    x = np.zeros((1, 1, 3, 3))
    _, cache = max_pool2d(x, size=2, stride=1)
    dy = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    np.testing.assert_array_equal(max_pool2d_backward(dy, cache)[0, 0], [[1, 2, 0], [3, 4, 0], [0, 0, 0]])


def test_first_maximum_of_complex_numbers_is_by_the_real_part():
    x = np.array([[1 + 1j, 2 + 2j], [2 + 9j, 0 + 99j]])[None, None]
    y, cache = max_pool2d(x, size=2)
    assert y.item() == 2 + 2j
    np.testing.assert_array_equal(max_pool2d_backward(np.ones((1, 1, 1, 1)), cache)[0, 0], [[0, 1], [0, 0]])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.complex128])
def test_first_nan_wins(dtype):
    x = np.array([[1, np.nan], [np.nan, np.inf]], dtype)[None, None]
    y, cache = max_pool2d(x, size=2)
    assert np.isnan(y.item())
    np.testing.assert_array_equal(max_pool2d_backward(np.ones((1, 1, 1, 1)), cache)[0, 0], [[0, 1], [0, 0]])


def test_window_of_minus_infinity_keeps_its_gradient_in_the_map():
    """Where all entries are -inf, as the padding is, the first that is not padding counts."""
    x = np.full((1, 1, 3, 3), -np.inf)
    y, cache = max_pool2d(x, size=3, stride=2, padding=1)
    np.testing.assert_array_equal(y, -np.inf)
    dy = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    np.testing.assert_array_equal(max_pool2d_backward(dy, cache)[0, 0], [[1, 2, 0], [3, 4, 0], [0, 0, 0]])


@example(case=((1, 1, 5, 5), {"size": (5, 5), "stride": (1, 2), "padding": (2, 2)}), seed=0)
@example(case=((1, 1, 5, 5), {"size": (5, 5), "stride": (2, 1), "padding": (2, 2)}), seed=0)
@given(case=cases(largest=5), seed=seeds)
def test_equal_entries_lose_no_gradient_to_the_padding(case, seed):
    """A map of -inf, as its padding is, hands dy to the same entries as a map of zeros: none is padding."""
    shape, hyper = case
    y, zeros = max_pool2d(np.zeros(shape), **hyper)
    _, infinities = max_pool2d(np.full(shape, -np.inf), **hyper)
    dy = draw(y.shape, seed)
    dx = max_pool2d_backward(dy, infinities)
    np.testing.assert_array_equal(dx, max_pool2d_backward(dy, zeros))
    np.testing.assert_allclose(dx.sum(), dy.sum(), rtol=0, atol=1e-12)


def test_where_holds_places_of_large_windows():
    """300 places do not fit into one byte, 256 do."""
    assert max_pool2d(np.zeros((1, 1, 16, 16)), size=16)[1].where.dtype == np.uint8
    x = np.zeros((1, 1, 15, 20))
    x[0, 0, 14, 18] = 1
    _, cache = max_pool2d(x, size=(15, 20))
    assert cache.where.dtype == np.uint16
    assert cache.where.item() == 14 * 20 + 18
    np.testing.assert_array_equal(max_pool2d_backward(np.ones((1, 1, 1, 1)), cache), x)


def test_padding_counts_in_the_average():
    y, _ = avg_pool2d(np.ones((1, 1, 2, 2)), size=2, padding=1)
    np.testing.assert_array_equal(y, 0.25)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_errors_of_windows(name):
    op = {"max_pool2d": max_pool2d, "avg_pool2d": avg_pool2d}[name]
    x = draw((1, 2, 4, 5))
    with refused(TypeError, f"{name}: size must be an integer, got 2.0"):
        op(x, size=2.0)
    with refused(ValueError, f"{name}: size must be at least 1, got 0"):
        op(x, size=(0, 1))
    with refused(ValueError, f"{name}: stride must be at least 1, got 0"):
        op(x, size=2, stride=0)
    with refused(ValueError, f"{name}: stride must be an integer or a pair (h, w), got (1,)"):
        op(x, size=2, stride=(1,))
    with refused(ValueError, f"{name}: padding must be at least 0, got -1"):
        op(x, size=2, padding=-1)
    with refused(ValueError, f"{name}: padding must be at most half of size"):
        op(x, size=3, padding=(1, 2))
    with refused(ValueError, f"{name}: padding must be at most half of size"):
        op(x, size=3, padding=(2, 1))
    with refused(ValueError, f"{name}: a kernel of (5, 5) does not fit into the padded input of (4, 5) (input (4, 5)"):
        op(x, size=5)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "global_avg_pool2d"])
def test_errors(name):
    op, backward = {
        "max_pool2d": PAIRS["max"],
        "avg_pool2d": PAIRS["avg"],
        "global_avg_pool2d": PAIRS["global"],
    }[name]
    check_upstream_errors(op, backward, (draw(),), name)
    with refused(TypeError, f"{name}: x must be a NumPy array, got list"):
        op(draw().tolist())
    with refused(TypeError, f"{name}: x must hold floating-point or complex numbers, got dtype bool"):
        op(np.ones((1, 1, 4, 4), bool))
    with refused(ValueError, f"{name}: x must have 4 axes (N, C, H, W), got shape (2, 3)"):
        op(np.ones((2, 3)))
    with refused(ValueError, f"{name}: x is empty, got shape (2, 3, 0, 4)"):
        op(np.ones((2, 3, 0, 4)))

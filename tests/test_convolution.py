"""conv2d against four nested loops, and its gradients."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
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

from an_ref import convolution
from an_ref.convolution import conv2d, conv2d_backward


def naive(x, weight, bias, stride, padding, groups):
    """The convolution by its definition: one output at a time."""
    (s, t), (p, q) = stride, padding
    n, channels, height, width = x.shape
    outputs, members, kh, kw = weight.shape
    padded = np.zeros((n, channels, height + 2 * p, width + 2 * q), x.dtype)
    padded[:, :, p : p + height, q : q + width] = x
    y = np.empty((n, outputs, (height + 2 * p - kh) // s + 1, (width + 2 * q - kw) // t + 1), np.result_type(x, weight))
    for m, o, i, j in np.ndindex(*y.shape):
        first = o // (outputs // groups) * members
        window = padded[m, first : first + members, s * i : s * i + kh, t * j : t * j + kw]
        y[m, o, i, j] = (window * weight[o]).sum() + (0 if bias is None else bias[o])
    return y


def make(n=2, groups=1, members=2, outputs=2, size=(4, 5), kernel=(3, 3), bias=True, seed=0):
    """x, weight and maybe bias; `members` input and `outputs` output channels in each group."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, groups * members, *size))
    weight = rng.standard_normal((groups * outputs, members, *kernel))
    return (x, weight, rng.standard_normal(groups * outputs)) if bias else (x, weight)


@st.composite
def cases(draw):
    """Arrays and hyperparameters that fit each other."""
    small = st.integers(1, 3)
    kernel = draw(st.tuples(small, small))
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    size = tuple(draw(st.integers(max(1, k - 2 * p), 5)) for k, p in zip(kernel, padding, strict=True))
    groups, bias = draw(small), draw(st.booleans())
    arrays = make(draw(small), groups, draw(small), draw(small), size, kernel, bias, draw(st.integers(0, 2**32 - 1)))
    return arrays, {"stride": draw(st.tuples(small, small)), "padding": padding, "groups": groups}


@given(case=cases())
def test_values_by_loops(case):
    arrays, hyper = case
    expected = naive(*arrays[:2], arrays[2] if len(arrays) == 3 else None, **hyper)
    y, _ = conv2d(*arrays, **hyper)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)


@given(case=cases(), seed=st.integers(0, 2**32 - 1))
def test_adjoint(case, seed):
    arrays, hyper = case
    check_adjoint(partial(conv2d, **hyper), conv2d_backward, arrays, seed)


@settings(max_examples=30)
@given(case=cases(), seed=st.integers(0, 2**32 - 1))
def test_complex_step(case, seed):
    arrays, hyper = case
    check_complex_step(partial(conv2d, **hyper), conv2d_backward, arrays, seed)


# One case for each way through the code.
WAYS = {
    "dense": (make(), {"padding": 1}),
    "dense, strided": (make(), {"stride": 2, "padding": 1}),
    "dense, padding as high as the kernel": (make(kernel=(1, 3)), {"padding": (1, 0)}),
    "dense, padding as wide as the kernel": (make(kernel=(3, 1)), {"padding": (0, 1)}),
    "1x1": (make(kernel=(1, 1)), {}),
    "1x1, strided": (make(kernel=(1, 1), bias=False), {"stride": 2}),
    "grouped": (make(groups=2, members=3), {"padding": 1, "groups": 2}),
    "grouped, strided": (make(groups=3, outputs=1, bias=False), {"stride": (2, 1), "groups": 3}),
    "depthwise": (make(groups=3, members=1, outputs=1), {"padding": 1, "groups": 3}),
    "depthwise, multiplied, strided": (make(groups=3, members=1, bias=False), {"stride": 2, "padding": 1, "groups": 3}),
}
ways = pytest.mark.parametrize("way", WAYS)


@ways
def test_gradients_of_each_way(way):
    arrays, hyper = WAYS[way]
    check_complex_step(partial(conv2d, **hyper), conv2d_backward, arrays)


@ways
@pytest.mark.parametrize(
    "check",
    [check_purity, check_dtypes, check_float16_is_rounded_float32, check_strides, check_complex_cotangent],
)
def test_contract(way, check):
    arrays, hyper = WAYS[way]
    check(partial(conv2d, **hyper), conv2d_backward, arrays)


@ways
def test_complex_numbers_by_loops(way):
    arrays, hyper = WAYS[way]
    rng = np.random.default_rng(1)
    x, weight, *bias = (a + 1j * rng.standard_normal(a.shape) for a in arrays)
    stride, padding = hyper.get("stride", 1), hyper.get("padding", 0)
    pairs = [v if isinstance(v, tuple) else (v, v) for v in (stride, padding)]
    expected = naive(x, weight, bias[0] if bias else None, *pairs, hyper.get("groups", 1))
    np.testing.assert_allclose(conv2d(x, weight, *bias, **hyper)[0], expected, rtol=0, atol=1e-12)


@ways
def test_many_blocks_give_the_same(way, monkeypatch):
    """Seven samples in blocks of three (the last is short) give what one block gives."""
    arrays, hyper = WAYS[way]
    x = np.random.default_rng(2).standard_normal((7, *arrays[0].shape[1:]))
    arrays = (x, *arrays[1:])
    y, cache = conv2d(*arrays, **hyper)
    dy = np.random.default_rng(3).standard_normal(y.shape)
    whole = conv2d_backward(dy, cache)
    cuts = []
    monkeypatch.setattr(convolution, "_blocks", lambda places, width: (cuts.append(1), *_cut(len(places)))[1:])
    np.testing.assert_allclose(conv2d(*arrays, **hyper)[0], y, rtol=0, atol=1e-12)
    for gradient, g in zip(conv2d_backward(dy, cache), whole, strict=True):
        np.testing.assert_allclose(gradient, g, rtol=0, atol=1e-12)
    assert len(cuts) == 2


def _cut(n):
    return [slice(start, start + 3) for start in range(0, n, 3)]


@pytest.mark.parametrize("padding", [0, 1, 2, (2, 0)])
def test_stride_1_scatters_nothing(padding, monkeypatch):
    """Gathering takes half the time, and is what training uses."""
    arrays = make(groups=2)
    y, cache = conv2d(*arrays, padding=padding, groups=2)
    monkeypatch.delattr(convolution, "_backward_by_scattering")
    conv2d_backward(y, cache)


def test_blocks_cover_all_samples_once(monkeypatch):
    places = np.zeros((7, 4, 10, 1))
    for columns, expected in ((1, 7), (2 * 4 * 10 * 9 * 8, 4), (10**9, 1)):
        monkeypatch.setattr(convolution, "BLOCK_BYTES", columns)
        blocks = list(convolution._blocks(places, 9))
        assert len(blocks) == expected
        assert [n for block in blocks for n in range(7)[block]] == list(range(7))


def test_result_is_a_view_of_channels_last_memory():
    y, cache = conv2d(*make(outputs=4), padding=1)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    dx = conv2d_backward(y, cache)[0]
    assert dx.transpose(0, 2, 3, 1).flags.c_contiguous


def test_cache_holds_the_arguments_and_no_columns():
    x, weight, bias = make()
    cache = conv2d(x, weight, bias, stride=2, padding=(1, 0))[1]
    assert cache.x is x
    assert cache.weight is weight
    assert cache.bias is bias
    assert cache[3:] == ((2, 2), (1, 0), 1)


def test_integers_and_pairs_mean_the_same():
    arrays = make(groups=2)
    y = conv2d(*arrays, stride=2, padding=1, groups=2)[0]
    for stride, padding in product((2, np.int64(2), (2, 2), [2, 2]), (1, (1, 1))):
        np.testing.assert_array_equal(conv2d(*arrays, stride=stride, padding=padding, groups=2)[0], y)


def test_one_nan_reaches_only_its_windows():
    x, weight = make(n=1, bias=False)
    x[0, 0, 0, 0] = np.nan
    y, _ = conv2d(x, weight, padding=1)
    assert np.isnan(y[0, :, :2, :2]).all()
    assert np.isnan(y).sum() == 2 * 2 * 2


def test_errors_of_arrays():
    x, weight, bias = make(size=(4, 5), members=4, outputs=6)
    check_upstream_errors(conv2d, conv2d_backward, (x, weight, bias), "conv2d")
    with refused(TypeError, "conv2d: x must be a NumPy array, got list"):
        conv2d(x.tolist(), weight)
    with refused(TypeError, "conv2d: x must hold floating-point or complex numbers, got dtype uint8"):
        conv2d(np.ones((1, 4, 4, 4), np.uint8), weight)
    with refused(TypeError, "conv2d: weight must be a NumPy array, got NoneType"):
        conv2d(x, None)
    with refused(TypeError, "conv2d: bias must hold floating-point or complex numbers, got dtype int64"):
        conv2d(x, weight, np.zeros(6, np.int64))
    with refused(ValueError, "conv2d: x must have 4 axes (N, C, H, W), got shape (4, 4, 5)"):
        conv2d(x[0], weight)
    with refused(ValueError, "conv2d: x is empty, got shape (0, 4, 4, 5)"):
        conv2d(x[:0], weight)
    with refused(ValueError, "conv2d: weight must have 4 axes (out, in/groups, kh, kw), got shape (6, 4, 3)"):
        conv2d(x, weight[..., 0])
    with refused(ValueError, "conv2d: weight is empty, got shape (6, 4, 3, 0)"):
        conv2d(x, weight[..., :0])
    with refused(ValueError, "conv2d: weight must have in/groups = 4 channels on its second axis"):
        conv2d(x, weight[:, :3])
    with refused(ValueError, "conv2d: weight must have in/groups = 2 channels on its second axis"):
        conv2d(x, weight, groups=2)
    with refused(ValueError, "conv2d: bias must have shape (out,) = (6,), got (4,)"):
        conv2d(x, weight, np.zeros(4))


def test_errors_of_hyperparameters():
    x, weight = make(size=(4, 5), members=4, outputs=6, bias=False)
    with refused(ValueError, "conv2d: 4 channels do not divide into 3 groups; choose from 1, 2, 4"):
        conv2d(x, weight, groups=3)
    with refused(ValueError, "conv2d: 6 output channels do not divide into 4 groups; choose from 1, 2, 3, 6"):
        conv2d(x, weight[:, :1], groups=4)
    with refused(ValueError, "conv2d: groups must be at least 1, got 0"):
        conv2d(x, weight, groups=0)
    with refused(TypeError, "conv2d: groups must be an integer, got 2.0"):
        conv2d(x, weight, groups=2.0)
    with refused(ValueError, "conv2d: stride must be at least 1, got 0"):
        conv2d(x, weight, stride=(1, 0))
    with refused(TypeError, "conv2d: stride must be an integer, got 1.5"):
        conv2d(x, weight, stride=1.5)
    with refused(TypeError, "conv2d: stride must be an integer, got True"):
        conv2d(x, weight, stride=True)
    with refused(ValueError, "conv2d: padding must be at least 0, got -1"):
        conv2d(x, weight, padding=-1)
    with refused(ValueError, "conv2d: padding must be an integer or a pair (h, w), got (1, 1, 1)"):
        conv2d(x, weight, padding=(1, 1, 1))
    with refused(TypeError, "conv2d: padding must be an integer, got 'same'"):
        conv2d(x, weight, padding="same")
    big = np.ones((6, 4, 7, 3))
    with refused(ValueError, "conv2d: a kernel of (7, 3) does not fit into the padded input of (6, 5) (input (4, 5)"):
        conv2d(x, big, padding=(1, 0))

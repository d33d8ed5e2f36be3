"""Whole ops, the loss and the convolution on CUDA kernels, run on the CPU, against NumPy. See cuda_shim.py.

The loss and the convolution must be within c * eps * sum |terms| of NumPy's in float64, c = 16, as in
test_cuda_sweeps.py. In whole ops the sums inside are larger than what comes out, so there eps stands beside the largest
number of an array, with c = 2^12.
"""

import cuda_shim
import guard
import numpy as np
import pytest
from cuda_shim import check_bound
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_backend import OPS

import an_ref
from an_ref import convolution, cuda, losses
from an_ref.cuda import launch
from tests.cases import as_tuple

pytestmark = cuda_shim.needs_shim
few = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
C_SUM, C_OP = 16, 2**12
F2, F4, F8 = np.float16, np.float32, np.float64


@pytest.fixture(autouse=True)
def _on_the_shim(monkeypatch):
    cuda_shim.install(monkeypatch)


@few
@given(st.integers(0, 2**32 - 1), st.sampled_from([(1, 1), (3, 10), (40, 3), (2, 1025)]), st.sampled_from([F2, F4, F8]))
def test_softmax_cross_entropy(seed, shape, dtype):
    rng = np.random.default_rng(seed)
    logits = (5 * rng.standard_normal(shape)).astype(dtype)
    labels = rng.integers(0, shape[1], shape[0]).astype(rng.choice([np.int8, np.int64]) if shape[1] < 99 else int)
    smoothing, dy = rng.choice([0, 0.1]), rng.standard_normal()
    exact, cache = losses.softmax_cross_entropy(logits.astype(F8), labels, label_smoothing=smoothing)
    loss, p = cuda.softmax_cross_entropy(logits, labels, smoothing, logits.dtype)
    work, size = np.result_type(dtype, F4), np.abs(logits).max().astype(F8) + np.log(shape[1])
    assert p.dtype == work
    assert loss.dtype == dtype
    assert loss.shape == ()
    check_bound(np.asarray(loss), exact, size, work, C_SUM)
    check_bound(p, cache.p, cache.p * size, work, C_SUM)
    dlogits = cuda.softmax_cross_entropy_backward(dy, cache.p.astype(work), labels, smoothing, logits.dtype)
    assert dlogits.dtype == dtype
    exact = losses.softmax_cross_entropy_backward(dy, cache)
    check_bound(dlogits, exact, abs(dy) * (cache.p + 1) / len(logits), work, C_SUM)


def test_a_label_that_is_no_class_makes_the_loss_nan():
    logits = np.zeros((3, 4))
    for wrong in (-1, 4, 10**12):
        loss, p = cuda.softmax_cross_entropy(logits, np.array([0, wrong, 3]), 0.0, logits.dtype)
        assert np.isnan(loss)
        cuda.softmax_cross_entropy_backward(1.0, p, np.array([0, wrong, 3]), 0.0, logits.dtype)  # stays in its arrays


@st.composite
def convolutions(draw):
    """Draw x, weight and the hyperparameters of a convolution."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups, members, outputs = draw(st.sampled_from([(1, 3, 2), (2, 1, 3), (3, 2, 1), (4, 1, 1)]))
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (2, 5), (4, 1)]))
    stride, padding = draw(st.sampled_from([(1, 1), (2, 2), (1, 3)])), draw(st.sampled_from([(0, 0), (1, 1), (3, 2)]))
    size = kernel[0] + draw(st.integers(0, 6)), kernel[1] + draw(st.integers(0, 6))
    x = rng.standard_normal((draw(st.integers(1, 3)), groups * members, *size))
    weight = rng.standard_normal((groups * outputs, members, *kernel))
    dtype = draw(st.sampled_from([F2, F4, F8]))
    return x.astype(dtype), weight.astype(dtype), {"stride": stride, "padding": padding, "groups": groups}, rng


@few
@given(convolutions(), st.booleans())
def test_conv2d(drawn, one_sample_at_a_time):
    x, weight, hyper, rng = drawn
    work = np.dtype(np.result_type(x, F4))
    wide, wide_weight = x.astype(F8), weight.astype(F8)
    exact, cache = convolution.conv2d(wide, wide_weight, **hyper)
    terms, of_terms = convolution.conv2d(np.abs(wide), np.abs(wide_weight), **hyper)
    with pytest.MonkeyPatch.context() as patch:
        if one_sample_at_a_time:
            patch.setattr(cuda.convolution, "COLUMN_BYTES", 1)
        y = cuda.conv2d(x, weight, *hyper.values(), work)
        dy = rng.standard_normal(y.shape).astype(x.dtype)
        dx, dweight = cuda.conv2d_backward(dy, x, weight, *hyper.values(), work)
    assert y.flags.c_contiguous
    assert (y.dtype, dx.dtype, dweight.dtype) == (work, x.dtype, work)
    check_bound(y, exact, terms, work, C_SUM)
    exact = convolution.conv2d_backward(dy.astype(F8), cache)
    terms = convolution.conv2d_backward(np.abs(dy).astype(F8), of_terms)
    for result, right, size in zip((dx, dweight), exact, terms, strict=True):
        check_bound(result, right, size, work, C_SUM)


@pytest.fixture
def ran(monkeypatch):
    """Guards stand for CuPy's arrays; the kernels that ran."""
    return cuda_shim.install_under_guards(monkeypatch)


SWEEPS = ["moments", "scale_shift", "gradient_sums", "combine"]
LAUNCHES = {
    "batch_norm": SWEEPS,
    "batch_norm_eval": SWEEPS[1:],
    "group_norm": SWEEPS,
    "switchable_norm": SWEEPS,
    "squeeze_excite": SWEEPS,
    "attentive_norm": SWEEPS,
    "attentive_norm group-mean_max-mlp-softmax": ["moments", "peaks", *SWEEPS[1:]],
    "attentive_norm_eval switchable-mean-linear-sigmoid": SWEEPS,
    "conv2d": ["columns", "columns", "fold"],
    "conv2d with strides": ["columns", "columns", "fold"],
    "conv2d depthwise": ["columns", "columns", "fold"],
    "smoothed": ["cross_entropy", "cross_entropy_backward"],
}


@pytest.mark.parametrize("dtype", [F4, F8])
@pytest.mark.parametrize("title", LAUNCHES)
def test_an_op_on_kernels(ran, title, dtype):
    """From the op down to the kernels, as on a GPU: each launches those that are listed, and agrees with NumPy."""
    name, arrays, hyper = OPS[title]
    arrays = [array.astype(dtype) for array in arrays]
    op, op_backward = getattr(an_ref, name), getattr(an_ref, f"{name}_backward")
    y, cache = op(*arrays, **hyper)
    dy = np.asarray(np.random.default_rng(1).standard_normal(y.shape)).astype(dtype)
    with guard.no_moves():
        found, cache_there = op(*guard.guards(arrays), **guard.guards(hyper))
        gradients = op_backward(guard.guards(dy), cache_there)
    assert ran == LAUNCHES[title]
    tolerance = C_OP * np.finfo(dtype).eps
    for result, exact in zip(
        guard.values((found, *as_tuple(gradients))), (y, *as_tuple(op_backward(dy, cache))), strict=True
    ):
        assert result.dtype == exact.dtype
        np.testing.assert_allclose(result, exact, rtol=0, atol=tolerance * max(1, np.abs(exact).max()))


def test_what_no_kernel_can_do_is_done_by_array_code(ran, monkeypatch):
    """Complex numbers, and maps too long for the kernels' counters: here, those of more than 4 positions."""
    x, tables = np.random.default_rng(0).standard_normal((2, 3, 5)), np.ones((2, 3))
    monkeypatch.setattr(launch, "LONGEST", 5)
    for maps_ in (x, x[:, :, :4] * 1j):
        m, v = cuda.moments(guard.guards(maps_), maps_.dtype)
        np.testing.assert_allclose(guard.values(m), maps_.mean(axis=2), rtol=1e-14)
        y = cuda.scale_shift(guard.guards(maps_), m, m, v, maps_.dtype)
        dx = cuda.combine(guard.guards(maps_), y, *guard.guards((tables, tables, tables)))
        assert (y.shape, dx.shape) == (maps_.shape, maps_.shape)
    assert ran == []
    cuda.moments(guard.guards(x[:, :, :4]), x.dtype)
    assert ran == ["moments"]

"""Gradients, dtypes, strides and purity of the normalization and attention ops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from an_ref import batch_norm, batch_norm_eval, check_gradients
from tests.cases import NORMS, VARIANTS, adjoint_error, case, feature_maps, ops

EPS = {np.float16: 2e-3, np.float32: 1e-5, np.float64: 1e-12}


def _x(rng, shape=(3, 4, 2, 3)):
    return rng.standard_normal(shape) + 0.5


@pytest.mark.parametrize("name", NORMS)
@given(drawn=feature_maps())
@settings(max_examples=40)
def test_gradients_match_the_complex_step_along_random_directions(name, drawn):
    """Means up to 30 deviations away cost a digit; AN's mean over deviation is as large, and costs another."""
    x, rng = drawn
    arrays, hyper = case(name, x, rng)
    assert adjoint_error(name, arrays, hyper, rng) < (1e-10 if name.startswith("attentive") else 1e-11)


@pytest.mark.parametrize("name", ["layer_norm", "group_norm", "instance_norm", "squeeze_excite", "batch_norm_eval"])
@given(drawn=feature_maps(min_samples=1, min_positions=1))
@settings(max_examples=25)
def test_gradients_of_single_samples_and_single_positions(name, drawn):
    """Where the variance is zero, rstd = eps^-1/2 multiplies the rounding of x: hence 1e-9."""
    x, rng = drawn
    arrays, hyper = case(name, x, rng)
    assert adjoint_error(name, arrays, hyper, rng) < 1e-9


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join(v.values()))
@pytest.mark.parametrize("name", ["attentive_norm", "attentive_norm_eval"])
def test_every_entry_of_every_gradient_of_all_135_combinations(name, variant):
    rng = np.random.default_rng([*b"".join(v.encode() for v in variant.values())])
    arrays, hyper = case(name, _x(rng, (3, 4, 2, 2)), rng, **variant)
    report = check_gradients(*ops(name), arrays, hyper=hyper)
    assert report.ok, report
    assert report.max_error < 1e-12


@given(drawn=feature_maps(), variant=st.sampled_from(VARIANTS))
@settings(max_examples=150)
def test_gradients_of_attentive_variants_on_drawn_shapes(drawn, variant):
    x, rng = drawn
    arrays, hyper = case("attentive_norm", x, rng, **variant)
    assert adjoint_error("attentive_norm", arrays, hyper, rng) < 1e-10


@pytest.mark.parametrize("logits", [2, 3])
@pytest.mark.parametrize("name", ["switchable_norm", "switchable_norm_eval"])
def test_switchable_norm_takes_two_and_three_parts(name, logits):
    rng = np.random.default_rng(logits)
    arrays, _ = case(name, _x(rng), rng)
    arrays = (*arrays[:3], rng.standard_normal(logits), rng.standard_normal(logits), *arrays[5:])
    assert check_gradients(*ops(name), arrays).max_error < 1e-14


@pytest.mark.parametrize("eps", [0.0, 1e-5, 0.1, 10])
@pytest.mark.parametrize("name", [n for n in NORMS if n != "squeeze_excite"])
def test_eps_is_inside_the_square_root_in_forward_and_backward(name, eps):
    rng = np.random.default_rng(7)
    arrays, hyper = case(name, _x(rng), rng)
    assert check_gradients(*ops(name), arrays, hyper={**hyper, "eps": eps}).max_error < 1e-13


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_in_are_dtypes_out_and_values_agree_with_float64(name, dtype):
    rng = np.random.default_rng(1)
    arrays, hyper = case(name, _x(rng), rng)
    low = [a.astype(dtype) for a in arrays]
    op, op_backward = ops(name)
    y, cache = op(*low, **hyper)
    y64, cache64 = op(*(a.astype(np.float64) for a in low), **hyper)
    dy = rng.standard_normal(y.shape).astype(dtype)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, y64, atol=EPS[dtype] * np.abs(y64).max())
    gradients, gradients64 = op_backward(dy, cache), op_backward(dy.astype(np.float64), cache64)
    for a, g, g64 in zip(low, gradients, gradients64, strict=False):
        assert g.dtype == a.dtype
        np.testing.assert_allclose(g, g64, atol=20 * EPS[dtype] * max(np.abs(g64).max(), 1))


@pytest.mark.parametrize("name", NORMS)
def test_mixed_dtypes_promote_y_and_keep_each_gradient_its_own(name):
    rng = np.random.default_rng(2)
    arrays, hyper = case(name, _x(rng).astype(np.float32), rng)
    mixed = [a.astype((np.float32, np.float64, np.float16)[i % 3]) for i, a in enumerate(arrays)]
    op, op_backward = ops(name)
    y, cache = op(*mixed, **hyper)
    assert y.dtype == np.float64
    for a, g in zip(mixed, op_backward(y, cache), strict=False):
        assert g.dtype == a.dtype


@pytest.mark.parametrize("name", NORMS)
def test_complex_from_any_argument_passes_through_forward_and_backward(name):
    rng = np.random.default_rng(3)
    arrays, hyper = case(name, _x(rng), rng)
    op, op_backward = ops(name)
    real, _ = op(*arrays, **hyper)
    v = rng.standard_normal(real.shape)
    for i, a in enumerate(arrays):
        tilted = [*arrays[:i], a + 1e-20j * rng.standard_normal(a.shape), *arrays[i + 1 :]]
        y, cache = op(*tilted, **hyper)
        assert y.dtype == np.complex128
        np.testing.assert_allclose(y.real, real, rtol=1e-12, atol=1e-12)
        if i != 2 or name.startswith(("squeeze", "attentive")):  # no other gradient depends on beta
            assert any(np.iscomplexobj(g) and g.imag.any() for g in op_backward(v, cache))


@pytest.mark.parametrize("name", NORMS)
def test_the_backward_itself_can_be_complex_stepped(name):
    """The derivative of <J^T v, u> along w in x is the same as that along u of <J^T v, w>: the Hessian is symmetric."""
    rng = np.random.default_rng(4)
    arrays, hyper = case(name, _x(rng), rng)
    op, op_backward = ops(name)
    v = rng.standard_normal(op(*arrays, **hyper)[0].shape)
    u, w = rng.standard_normal((2, *arrays[0].shape))

    def second(along, against):
        _, cache = op(arrays[0] + 1e-20j * along, *arrays[1:], **hyper)
        return (op_backward(v, cache)[0].imag / 1e-20 * against).sum()

    np.testing.assert_allclose(second(u, w), second(w, u), rtol=1e-9, atol=1e-12)


LAYOUTS = {
    "channels-last": lambda a: np.ascontiguousarray(np.moveaxis(a, 1, -1)).transpose(0, 3, 1, 2),
    "fortran": np.asfortranarray,
    "negative": lambda a: a[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1],
    "gaps": lambda a: np.repeat(np.repeat(a, 2, axis=1), 3, axis=3)[:, ::2, :, ::3],
    "batch-inside": lambda a: np.ascontiguousarray(a.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NORMS)
def test_any_strides_give_the_same_result(name, layout):
    rng = np.random.default_rng(5)
    arrays, hyper = case(name, _x(rng), rng)
    op, op_backward = ops(name)
    y, cache = op(*arrays, **hyper)
    dy = rng.standard_normal(y.shape)
    odd_y, odd_cache = op(LAYOUTS[layout](arrays[0]), *arrays[1:], **hyper)
    np.testing.assert_allclose(odd_y, y, rtol=1e-12, atol=1e-13)
    for g, odd in zip(op_backward(dy, cache), op_backward(LAYOUTS[layout](dy), odd_cache), strict=True):
        np.testing.assert_allclose(odd, g, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", NORMS)
def test_purity(name):
    rng = np.random.default_rng(6)
    arrays, hyper = case(name, _x(rng), rng)
    before = [a.copy() for a in arrays]
    op, op_backward = ops(name)
    y, cache = op(*arrays, **hyper)
    dy = rng.standard_normal(y.shape)
    gradients = op_backward(dy, cache)
    np.testing.assert_array_equal(op(*arrays, **hyper)[0], y)
    assert not any(np.shares_memory(y, a) for a in arrays)
    y[...] = np.nan
    for g, again in zip(gradients, op_backward(dy, cache), strict=True):
        np.testing.assert_array_equal(g, again)
        assert not any(np.shares_memory(g, a) for a in (*arrays, dy))
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)
    zero = op_backward(np.zeros_like(dy), cache)
    assert not any(g.any() for g in zero)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", NORMS)
def test_nan_and_inf_propagate_and_stay_in_their_cell(name, bad):
    rng = np.random.default_rng(8)
    x = _x(rng)
    x[1, 0, 0, 0] = bad
    arrays, hyper = case(name, x, rng)
    with np.errstate(all="ignore"):
        y, _ = ops(name)[0](*arrays, **hyper)
    assert not np.isfinite(y[1, 0]).all()
    if name in ("layer_norm", "instance_norm", "group_norm", "batch_norm_eval", "squeeze_excite"):
        assert np.isfinite(y[[0, 2]]).all()


def test_a_large_mean_does_not_destroy_float32():
    rng = np.random.default_rng(9)
    x = (1000 + rng.standard_normal((8, 4, 16, 16))).astype(np.float32)
    one, zero = np.ones(4, np.float32), np.zeros(4, np.float32)
    y, _ = batch_norm(x, one, zero)
    exact, _ = batch_norm(x.astype(np.float64), one.astype(np.float64), zero.astype(np.float64))
    assert np.abs(y - exact).max() < 2e-4


@pytest.mark.parametrize("name", NORMS)
def test_the_backward_is_linear_over_complex_dy(name):
    rng = np.random.default_rng(10)
    arrays, hyper = case(name, _x(rng), rng)
    op, op_backward = ops(name)
    y, cache = op(*arrays, **hyper)
    real, imaginary = rng.standard_normal((2, *y.shape))
    parts = zip(op_backward(real, cache), op_backward(imaginary, cache), strict=True)
    for g, (of_real, of_imaginary) in zip(op_backward(real + 1j * imaginary, cache), parts, strict=True):
        np.testing.assert_allclose(g, of_real + 1j * of_imaginary, rtol=1e-12, atol=1e-12)


def test_the_cache_of_batch_norm_eval_holds_the_running_statistics_as_tables():
    rng = np.random.default_rng(11)
    (x, gamma, beta, mean, var), _ = case("batch_norm_eval", _x(rng), rng)
    _, cache = batch_norm_eval(x, gamma, beta, mean, var, eps=0.1)
    for table, row in ((cache.mu, mean), (cache.var, var), (cache.rstd, (var + 0.1) ** -0.5)):
        np.testing.assert_allclose(table, np.tile(row, (len(x), 1)), rtol=1e-14)

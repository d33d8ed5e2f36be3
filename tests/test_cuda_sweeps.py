"""The CUDA kernels of the sweeps, run on the CPU, against NumPy: the same source that a GPU gets. See cuda_shim.py.

Every result must be within c * eps * sum |terms| of NumPy's in float64. eps is that of the dtype the kernel computes
in, the terms are those of the sum that the result is, and c covers the order in which they are added: with 32 threads a
thread adds up to 33 numbers, in rounding errors of random sign, and the block folds 32 sums in 5 steps.
"""

from collections import namedtuple

import cuda_shim
import numpy as np
import pytest
from cuda_shim import check_bound
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from an_ref import cuda, sweeps

pytestmark = cuda_shim.needs_shim
few = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
C_SUM, C_MAP = 16, 4  # c for sums over a map, and for what is computed of each number alone
F2, F4, F8 = np.float16, np.float32, np.float64


@pytest.fixture(autouse=True)
def _on_the_shim(monkeypatch):
    cuda_shim.install(monkeypatch)


Maps = namedtuple("Maps", "x dy y residual tables rng")


@st.composite
def maps(draw, dtypes=(F2, F4, F8)):
    """Draw maps of a dtype each, in any memory layout, and a maker of tables."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 3)), draw(st.sampled_from([1, 3, 17]))
    shape += draw(st.sampled_from([(), (1,), (3,), (2, 4), (31,), (33,), (8, 8), (11, 93), (1025,)]))
    one = draw(st.sampled_from(dtypes))
    kinds = draw(st.sampled_from([(one, one), (F4, F8), (F2, F4), (F8, F4)]))
    offset = draw(st.sampled_from([0, 0, 1e4]))
    x, dy, y, residual = rng.standard_normal((4, *shape))
    layout = draw(st.sampled_from([_same, _channels_last, _backwards]))
    x, dy = layout((x + offset).astype(kinds[0])), layout(dy.astype(kinds[1]))
    wide = np.dtype(draw(st.sampled_from([F4, F8])))
    return Maps(x, dy, y, residual, lambda: rng.standard_normal(shape[:2]).astype(wide), rng)


def _same(x):
    return x


def _channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def _backwards(x):
    return x[::-1, ..., ::-1].copy()[::-1, ..., ::-1]


def _wide(*arrays):
    """Return the arrays in float64."""
    return [array.astype(np.float64) for array in arrays]


def _beside(table, x):
    """Return a table (N, C) in a shape that goes with x."""
    return table.reshape(*table.shape, *(1,) * (x.ndim - 2))


def _total(x):
    return x.reshape(*x.shape[:2], -1).sum(axis=2)


@few
@given(maps())
def test_moments(drawn):
    x = drawn.x
    work = np.dtype(np.result_type(x.dtype, F4))
    exact_m, exact_v = sweeps.moments(x.astype(F8), np.dtype(F8))
    (wide,), M = _wide(x), sweeps.positions(x)
    size = _total(np.abs(wide)) / M
    m, v = cuda.moments(x, work)
    assert m.dtype == v.dtype == F8
    # The first mean has an error of a few eps of `size`; what it lacks is made from the centred map, which is small.
    error = C_SUM * np.finfo(work).eps * size
    check_bound(m, exact_m, np.sqrt(exact_v) + error, work, C_SUM)
    check_bound(v, exact_v, exact_v + error**2, work, C_SUM)
    check_bound(cuda.means(x, work), exact_m, size, work, C_SUM)


def test_moments_keep_their_digits_behind_an_offset():
    """Mean / standard deviation = 1e4 in float32: sum(x^2) / M - m^2 would lose all digits, and be negative here."""
    rng = np.random.default_rng(0)
    x = (1e4 + rng.standard_normal((4, 3, 1025))).astype(F4)
    exact = x.astype(F8).var(axis=2)
    _, v = cuda.moments(x, np.dtype(F4))
    _, of_cpu = sweeps.moments(x, np.dtype(F4))
    np.testing.assert_allclose(v, exact, rtol=1e-6)
    np.testing.assert_allclose(of_cpu, exact, rtol=1e-6)


@few
@given(maps(), st.booleans())
def test_peaks(drawn, ties):
    x = np.round(drawn.x) if ties else drawn.x
    work = np.dtype(np.result_type(x.dtype, F4))
    for result, exact in zip(cuda.peaks(x, work), sweeps.peaks(x, work), strict=True):
        assert result.dtype == exact.dtype
        np.testing.assert_array_equal(result, exact)


def test_peaks_are_at_the_first_nan():
    x = np.random.default_rng(0).standard_normal((2, 3, 70))
    x[0, 0, [40, 7, 69]] = x[1, 2, 0] = np.nan
    for result, exact in zip(cuda.peaks(x, x.dtype), sweeps.peaks(x, x.dtype), strict=True):
        np.testing.assert_array_equal(result, exact)


@few
@given(maps(), st.booleans(), st.booleans(), st.sampled_from([F2, F4, F8]))
def test_scale_shift(drawn, relu, with_residual, dtype):
    x, (a, m, b) = drawn.x, (drawn.tables() for _ in "amb")
    residual = drawn.residual.astype(dtype) if with_residual else None
    work = np.result_type(x, dtype, F4)
    y = cuda.scale_shift(x, a, m, b, np.dtype(dtype), residual=residual, relu=relu)
    exact = sweeps.scale_shift(*_wide(x, a, m, b), np.dtype(F8))
    wide, a, m, b = _wide(x, *(_beside(table, x) for table in (a, m, b)))
    terms = np.abs(a) * (np.abs(wide) + np.abs(m)) + np.abs(b)
    if with_residual:
        exact, terms = exact + residual, terms + np.abs(residual)
    assert y.dtype == dtype
    check_bound(y, np.maximum(exact, 0) if relu else exact, terms, work, C_MAP)


def test_relu_in_a_sweep_keeps_nan():
    one = np.ones((1, 1))
    x = np.array([[[np.nan, -1.0, 2.0]]])
    y = cuda.scale_shift(x, one, 0 * one, 0 * one, x.dtype, relu=True)
    np.testing.assert_array_equal(y, [[[np.nan, 0, 2]]])
    _, db = cuda.gradient_sums(np.ones_like(x), x, one, y=y)
    assert db == 2  # where y is NaN, dy passes, as in relu_backward


@few
@given(maps(), st.booleans())
def test_gradient_sums(drawn, relu):
    x, dy, m = drawn.x, drawn.dy, drawn.tables()
    y = drawn.y.astype(drawn.rng.choice([F2, dy.dtype])) if relu else None
    masked = np.empty(dy.shape, dy.dtype) if relu else None
    work = np.result_type(x, dy, F4)
    da, db = cuda.gradient_sums(dy, x, m, y=y, masked=masked)
    assert da.dtype == db.dtype == F8
    up, wide, m = _wide(dy if y is None else dy * (y > 0), x, m)
    exact_a, exact_b = sweeps.gradient_sums(up, wide, m)
    check_bound(da, exact_a, _total(np.abs(up * (wide - _beside(m, x)))), work, C_SUM)
    check_bound(db, exact_b, _total(np.abs(up)), work, C_SUM)
    if relu:
        np.testing.assert_array_equal(masked, up)


@few
@given(maps(), st.booleans(), st.booleans(), st.booleans())
def test_combine(drawn, with_dv, with_peak, relu):
    x, dy, (a, m, dm, dv, dpeak) = drawn.x, drawn.dy, (drawn.tables() for _ in range(5))
    M = sweeps.positions(x)
    where = drawn.rng.integers(0, M, x.shape[:2])
    y = drawn.y.astype(dy.dtype) if relu else None
    work = np.result_type(x, dy, F4)
    more = (dv if with_dv else None), ((dpeak, where) if with_peak else None)
    dx = cuda.combine(dy, x, a, m, dm, *more, y=y)
    assert dx.dtype == x.dtype
    up, wide, a, m, dm, dv, dpeak = _wide(dy if y is None else dy * (y > 0), x, a, m, dm, dv, dpeak)
    more = (dv if with_dv else None), ((dpeak, where) if with_peak else None)
    exact = sweeps.combine(up, wide, a, m, dm, *more)
    a, m, dm, dv, dpeak = (np.abs(_beside(table, x)) for table in (a, m, dm, dv, dpeak))
    terms = a * np.abs(up) + dm / M + with_dv * 2 / M * dv * (np.abs(wide) + m) + with_peak * dpeak
    check_bound(dx, exact, terms, work, C_MAP)

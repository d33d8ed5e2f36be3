"""The sweeps over feature maps: formulas, blocks, dtypes."""

from types import SimpleNamespace

import numpy as np
import pytest

from an_ref import sweeps, threads

N, C, M = 5, 3, 8  # maps of 2 x 4


@pytest.fixture(autouse=True)
def _two_samples_in_a_block(monkeypatch):
    monkeypatch.setattr(threads, "BLOCK_BYTES", 2 * C * M * 8 + 8)


def _draw(seed=0):
    """Return dy and x, (N, C, 2, 4), and four tables, (N, C)."""
    rng = np.random.default_rng(seed)
    return *rng.standard_normal((2, N, C, 2, 4)), *rng.standard_normal((4, N, C))


def test_blocks_hold_as_many_samples_as_fit_and_at_least_one(monkeypatch):
    x = np.zeros((N, C, M))
    assert list(threads.blocks(x)) == [slice(0, 2), slice(2, 4), slice(4, 6)]
    assert list(threads.blocks(x.astype(np.float32))) == [slice(0, 4), slice(4, 8)]
    monkeypatch.setattr(threads, "BLOCK_BYTES", 1)
    assert list(threads.blocks(x)) == [slice(n, n + 1) for n in range(N)]


def test_moments_and_means_are_those_of_numpy():
    _, x, *_ = _draw()
    m, v = sweeps.moments(x, x.dtype)
    np.testing.assert_allclose(m, x.mean((2, 3)), rtol=1e-14)
    np.testing.assert_allclose(v, x.var((2, 3)), rtol=1e-14)
    np.testing.assert_allclose(sweeps.means(x, x.dtype), m, rtol=1e-14)


@pytest.mark.parametrize("ratio", [0, 1, 1e3, 1e5])
def test_moments_of_float32_keep_their_digits_when_the_mean_is_large(ratio):
    x = (np.random.default_rng(1).standard_normal((N, C, 20, 20)) + ratio).astype(np.float32)
    exact = x.astype(np.float64)
    m, v = sweeps.moments(x, x.dtype)
    np.testing.assert_allclose(m, exact.mean((2, 3)), rtol=1e-6 / max(ratio, 1), atol=1e-6)
    np.testing.assert_allclose(v, exact.var((2, 3)), rtol=1e-6)


def test_the_variance_of_a_constant_map_is_zero_and_never_below():
    values = np.random.default_rng(2).uniform(-1e4, 1e4, (200, 1, 1, 1)).astype(np.float32)
    m, v = sweeps.moments(np.broadcast_to(values, (200, 1, 7, 5)), values.dtype)
    np.testing.assert_allclose(m, values[:, :, 0, 0], rtol=1e-7)
    assert v.min() >= 0
    assert v.max() < 1e-9


def test_a_variance_that_rounding_makes_negative_is_zero(monkeypatch):
    _, x, *_ = _draw()
    dot = sweeps.Layout.dot
    monkeypatch.setattr(sweeps.Layout, "dot", lambda self, p, q: np.where(np.arange(C) == 1, -1e-9, dot(self, p, q)))
    _, v = sweeps.moments(x, x.dtype)
    np.testing.assert_array_equal(v[:, 1], 0)
    np.testing.assert_allclose(v[:, ::2], x.var((2, 3))[:, ::2], rtol=1e-14)


def test_a_complex_variance_may_have_no_real_part():
    x = np.array([1 + 1j, -1 - 1j]).reshape(1, 1, 2)
    np.testing.assert_array_equal(sweeps.moments(x, x.dtype)[1], [[2j]])


def test_moments_are_summed_in_the_dtype_that_is_asked_for_and_tables_are_in_double():
    x = np.full((N, C, 2, 4), 60000, np.float16)  # the sum of two of them is no float16
    for table in (*sweeps.moments(x, np.dtype(np.float32)), sweeps.means(x, np.dtype(np.float32))):
        assert table.dtype == np.float64
        assert set(table.flat) <= {0, 60000}
    assert {table.dtype for table in sweeps.moments(x + 0j, np.dtype(np.complex64))} == {np.dtype(np.complex128)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_a_sum_has_the_dtype_of_its_block(dtype):
    """Ones of a wider dtype would make a wide copy of the block."""
    block = np.full((2, C, M), 3, dtype)
    for layout in (sweeps.Layout(block.shape, 0), sweeps.Layout(block.shape, 4)):
        total = layout.total(layout.view(block))
        assert total.dtype == dtype
        np.testing.assert_array_equal(total, np.full((2, C), 3 * M))


def test_peaks_are_the_first_maxima_of_the_real_part():
    x = np.zeros((2, 1, 2, 2), complex)
    x[0, 0] = [[1 + 5j, 2 + 1j], [2 + 3j, -4]]
    peak, where = sweeps.peaks(x, x.dtype)
    np.testing.assert_array_equal(peak, [[2 + 1j], [0]])
    np.testing.assert_array_equal(where, [[1], [0]])
    assert sweeps.peaks(x.real.astype(np.float16), np.dtype(np.float32))[0].dtype == np.float32


def test_scale_shift_is_rounded_once_at_the_end():
    _, x, a, m, b, _ = _draw()
    y = a[..., None, None] * (x - m[..., None, None]) + b[..., None, None]
    np.testing.assert_array_equal(sweeps.scale_shift(x, a, m, b, x.dtype), y)
    low, a, m, b = x.astype(np.float16), a.astype(np.float32), m.astype(np.float32), b.astype(np.float32)
    y = a[..., None, None] * (low - m[..., None, None]) + b[..., None, None]
    np.testing.assert_array_equal(sweeps.scale_shift(low, a, m, b, low.dtype), y.astype(np.float16))


@pytest.mark.parametrize("complex_one", range(3))
def test_scale_shift_drops_no_imaginary_part_of_a_table(complex_one):
    _, x, *tables = _draw()
    tables[complex_one] = tables[complex_one] * (1 + 2j)
    a, m, b = tables[:3]
    y = a[..., None, None] * (x - m[..., None, None]) + b[..., None, None]
    np.testing.assert_allclose(sweeps.scale_shift(x, a, m, b, np.dtype(complex)), y, rtol=1e-12)
    with pytest.raises(TypeError, match="same_kind"):
        sweeps.scale_shift(x, a, m, b, x.dtype)


@pytest.mark.parametrize("mean", [1e4 / 3, -1e6 / 3])  # no float32
def test_a_centre_that_is_no_float32_loses_nothing(mean):
    dy, x, a, m, b, dv = _draw()
    x, m, dy = (x + mean).astype(np.float32), m + mean, dy.astype(np.float32)
    exact = x.astype(np.float64) - m[..., None, None]
    y = a[..., None, None] * exact + b[..., None, None]
    np.testing.assert_allclose(sweeps.scale_shift(x, a, m, b, x.dtype), y, rtol=1e-6, atol=1e-6)
    da, _ = sweeps.gradient_sums(dy, x, m)
    np.testing.assert_allclose(da, (dy * exact).sum((2, 3)), rtol=1e-6, atol=1e-6)
    dx = a[..., None, None] * dy + b[..., None, None] / M + 2 / M * dv[..., None, None] * exact
    np.testing.assert_allclose(sweeps.combine(dy, x, a, m, b, dv), dx, rtol=1e-6, atol=1e-6)


def test_gradient_sums():
    dy, x, m, *_ = _draw()
    da, db = sweeps.gradient_sums(dy, x, m)
    np.testing.assert_allclose(da, (dy * (x - m[..., None, None])).sum((2, 3)), rtol=1e-12)
    np.testing.assert_allclose(db, dy.sum((2, 3)), rtol=1e-12)


@pytest.mark.parametrize(
    ("of_dy", "of_tables", "expected"),
    [("f2", "f4", "f4"), ("f4", "f4", "f4"), ("f8", "f4", "f8"), ("f4", "f8", "f8"), ("c16", "f8", "c16")],
)
def test_gradient_sums_have_the_wider_dtype_of_dy_and_the_tables(of_dy, of_tables, expected):
    dy, x, m, *_ = _draw()
    for table in sweeps.gradient_sums(dy.astype(of_dy), x.astype("f4"), m.astype(of_tables)):
        assert table.dtype == expected


def test_gradient_sums_add_up_float16_in_the_dtype_of_the_tables():
    dy, x = (np.full((N, C, 2, 4), value, np.float16) for value in (60000, 1))
    _, db = sweeps.gradient_sums(dy, x, np.zeros((N, C), np.float32))
    np.testing.assert_array_equal(db, np.float32(M * 60000))


def test_combine():
    dy, x, a, m, dm, dv = _draw()
    without_dv = a[..., None, None] * dy + dm[..., None, None] / M
    np.testing.assert_allclose(sweeps.combine(dy, x, a, m, dm), without_dv, rtol=1e-12)
    dx = without_dv + 2 / M * dv[..., None, None] * (x - m[..., None, None])
    np.testing.assert_allclose(sweeps.combine(dy, x, a, m, dm, dv), dx, rtol=1e-12)


@pytest.mark.parametrize("factor", [1, 1 + 2j])
def test_combine_adds_the_gradient_of_each_maximum_at_its_place(factor):
    dy, x, a, m, dm, dpeak = _draw()
    where = np.arange(N * C).reshape(N, C) % M
    there = np.arange(M).reshape(2, 4) == where[..., None, None]
    dm, dpeak = factor * dm, factor * dpeak
    dx = sweeps.combine(dy, x, a, m, dm) + dpeak[..., None, None] * there
    np.testing.assert_allclose(sweeps.combine(dy, x, a, m, dm, peak=(dpeak, where)), dx, rtol=1e-12)


def test_combine_computes_in_the_dtype_of_the_tables_and_rounds_at_the_end():
    """A gradient in float16 is rounded once: after the share of the maximum has been added."""
    dy, x, a, m, dm, dpeak = (array.astype(np.float32) for array in _draw())
    dx = a[..., None, None] * dy + dm[..., None, None] / M
    np.testing.assert_array_equal(sweeps.combine(dy, x, a, m, dm), dx)
    where = np.zeros((N, C), int)
    dx[..., 0, 0] = a * dy[..., 0, 0] + dpeak + dm / M
    half = sweeps.combine(dy, x.astype(np.float16), a, m, dm, peak=(dpeak, where))
    np.testing.assert_array_equal(half, dx.astype(np.float16))


def test_combine_has_the_dtype_of_x_or_is_complex():
    dy, x, a, m, dm, dv = _draw()
    assert sweeps.combine(dy, x.astype(np.float32), a, m, dm).dtype == np.float32
    for i in range(5):
        arrays = [dy, a, m, dm, dv]
        arrays[i] = arrays[i] * (1 + 2j)
        dy_, a_, m_, dm_, dv_ = (array if array.ndim == 4 else array[..., None, None] for array in arrays)
        dx = a_ * dy_ + dm_ / M + 2 / M * dv_ * (x - m_)
        got = sweeps.combine(arrays[0], x, *arrays[1:])
        np.testing.assert_allclose(got, dx, rtol=1e-12)
    low = sweeps.combine(dy.astype(np.float32), x.astype(np.float32), a * 1j, m, dm)
    assert low.dtype == np.complex64  # the precision of the maps


def test_numpys_buffers_are_given_back_also_after_an_error(monkeypatch):
    _, x, *_ = _draw()
    before = np.getbufsize()
    seen = []

    def fail(self, block):
        seen.append(np.getbufsize())
        raise MemoryError

    monkeypatch.setattr(sweeps, "LONG", 16)
    sweeps.moments(x, x.dtype)
    assert np.getbufsize() == before
    monkeypatch.setattr(sweeps.Layout, "total", fail)
    with pytest.raises(MemoryError):
        sweeps.means(np.zeros((2, 3, 16)), np.dtype(float))
    assert seen == [16]
    assert np.getbufsize() == before


class OnGpu:
    """An array of CuPy's, as far as it is asked."""

    __module__ = "cupy"


@pytest.mark.parametrize(
    ("name", "count"),
    [("moments", 2), ("means", 2), ("peaks", 2), ("scale_shift", 5), ("gradient_sums", 3), ("combine", 7)],
)
def test_arrays_of_a_gpu_go_to_the_function_of_the_same_name_there(monkeypatch, name, count):
    arguments, got = tuple(OnGpu() for _ in range(count)), []

    def kernel(*passed):
        got.extend(passed)
        return "result"

    monkeypatch.setattr(sweeps, "kernels", lambda: SimpleNamespace(**{name: kernel}))
    assert getattr(sweeps, name)(*arguments) == "result"
    assert got == list(arguments)

"""How the sweeps lay maps out: channels-last or not, the same values in each, and nothing of full size beside them."""

import tracemalloc

import numpy as np
import pytest

from an_ref import sweeps, threads
from tests.cases import as_tuple

SHAPES = [(5, 3, 2, 4), (3, 64, 6, 10), (3, 64, 3, 5), (4, 600, 2, 2), (3, 5, 7), (2, 3, 2, 3, 5)]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """Then all scratch memory is the memory of this thread."""
    monkeypatch.setattr(threads._Shared, "count", 1)


def last(x):
    """Return x with its channels beside each other in memory, in the same shape."""
    return np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)


def is_last(x):
    return np.moveaxis(x, 1, -1).flags.c_contiguous and not x.flags.c_contiguous


def draw(shape, dtype=np.float64):
    """Return dy and x, and six tables of shape (N, C)."""
    rng = np.random.default_rng(0)
    return *rng.standard_normal((2, *shape)).astype(dtype), *rng.standard_normal((6, *shape[:2])).astype(dtype)


def spread_out(table, x):
    return table.reshape(*table.shape, *[1] * (x.ndim - 2))


# --- which layout ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("shape", "k"),
    [
        ((5, 3, 2, 4), 2),  # 170 positions would fill a row; they must divide 8
        ((3, 64, 6, 10), 4),
        ((3, 64, 3, 5), 1),
        ((3, 64, 32, 32), 8),
        ((2, 300, 2, 2), 1),
        ((2, 600, 2, 2), 1),  # one position is more than a row
        ((3, 5, 7), 1),
        ((2, 8, 4, 4), 16),  # all of a sample fits into a row
        ((3, 5, 1), 0),  # one position: both layouts are the same
        ((3, 1, 4, 4), 0),
        ((3, 5), 0),
    ],
)
def test_channels_last_maps_are_walked_in_whole_positions(shape, k):
    layout = sweeps._layout(last(draw(shape)[0]))
    assert layout == (shape, k)
    if k:
        assert layout.view(last(draw(shape)[0])).shape == (shape[0], np.prod(shape[2:]) // k, k * shape[1])


def test_all_other_maps_are_walked_as_they_stand():
    dy, x, *_ = draw((5, 3, 4, 6))
    others = [(x,), (last(x), dy), (x, last(dy)), (x[..., ::2],), (last(x)[..., ::2],), (x.swapaxes(2, 3),)]
    assert [sweeps._layout(*maps).k for maps in others] == [0] * len(others)
    assert sweeps._layout(last(x), last(dy), plain=True).k == 0
    assert sweeps._layout(last(x), last(dy)).k == 2


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_comes_out_lies_in_memory_as_what_came_in(dtype):
    dy, x, a, m, b, dv, *_ = draw((5, 3, 4, 6), dtype)
    for y in (sweeps.scale_shift(last(x), a, m, b, x.dtype), sweeps.combine(last(dy), last(x), a, m, b, dv)):
        assert is_last(y)
        assert y.dtype == dtype
    for y in (
        sweeps.scale_shift(x, a, m, b, x.dtype),
        sweeps.scale_shift(last(x)[..., ::2], a, m, b, x.dtype),
        sweeps.combine(dy, x, a, m, b, dv),
        sweeps.combine(last(dy), x, a, m, b, dv),
        sweeps.combine(dy, last(x), a, m, b, dv),
    ):
        assert y.flags.c_contiguous
        assert y.dtype == dtype


@pytest.mark.parametrize(("M", "inside"), [(15, None), (16, 16), (17, 16)])
def test_numpys_buffers_are_small_for_long_rows_alone(monkeypatch, M, inside):
    before, seen = np.getbufsize(), []
    monkeypatch.setattr(sweeps, "LONG", 16)
    monkeypatch.setattr(sweeps.Layout, "total", lambda *_: seen.append(np.getbufsize()) or np.zeros((2, 3)))
    sweeps.means(np.zeros((2, 3, M)), np.dtype(float))
    assert seen == [inside or before]
    assert np.getbufsize() == before


# --- the values ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("of_dy", [last, np.ascontiguousarray])
@pytest.mark.parametrize("of_x", [last, np.ascontiguousarray])
def test_every_sweep_gives_the_same_in_each_layout(shape, of_dy, of_x, monkeypatch):
    dy, x, a, m, b, dv, dm, dpeak = draw(shape)
    monkeypatch.setattr(threads, "BLOCK_BYTES", 2 * x[0].nbytes)
    count, centred = sweeps.positions(x), x - spread_out(m, x)
    axes = tuple(range(2, x.ndim))

    mean, v = sweeps.moments(of_x(x), x.dtype)
    np.testing.assert_allclose(mean, x.mean(axes), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(v, x.var(axes), rtol=1e-12)
    np.testing.assert_allclose(sweeps.means(of_x(x), x.dtype), mean, rtol=1e-12, atol=1e-14)

    y = spread_out(a, x) * centred + spread_out(b, x)
    np.testing.assert_allclose(sweeps.scale_shift(of_x(x), a, m, b, x.dtype), y, rtol=1e-12, atol=1e-14)

    da, db = sweeps.gradient_sums(of_dy(dy), of_x(x), m)
    np.testing.assert_allclose(da, (dy * centred).sum(axes), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(db, dy.sum(axes), rtol=1e-11, atol=1e-13)

    dx = spread_out(a, x) * dy + spread_out(dm, x) / count
    np.testing.assert_allclose(sweeps.combine(of_dy(dy), of_x(x), a, m, dm), dx, rtol=1e-12, atol=1e-14)
    where = np.arange(dm.size).reshape(dm.shape) % count
    there = (np.arange(count) == where[..., None]).reshape(x.shape)
    dx += 2 / count * spread_out(dv, x) * centred + spread_out(dpeak, x) * there
    got = sweeps.combine(of_dy(dy), of_x(x), a, m, dm, dv, (dpeak, where))
    np.testing.assert_allclose(got, dx, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("step_p", "step_q", "summed"), [(1, 1, 0), (2, 1, 1), (1, 2, 1), (2, 2, 1)])
def test_products_are_summed_by_one_matrix_product_where_both_lie_along_their_rows(monkeypatch, step_p, step_q, summed):
    """It is slow along other strides; there p * q is written over q, and then summed."""
    rng = np.random.default_rng(0)
    p, q = (rng.standard_normal((2, 3, 8 * step))[..., ::step] for step in (step_p, step_q))
    expected, product, total, calls = (p * q).sum(2), p * q, sweeps.Layout.total, []
    monkeypatch.setattr(sweeps.Layout, "total", lambda self, block: calls.append(block) or total(self, block))
    np.testing.assert_allclose(sweeps.Layout(p.shape, 0).dot(p, q), expected, rtol=1e-12)
    assert len(calls) == summed
    assert np.array_equal(q, product) == bool(summed)


# --- memory ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("of_dy", [last, np.ascontiguousarray])
@pytest.mark.parametrize("of_x", [last, np.ascontiguousarray])
def test_beside_its_result_a_sweep_makes_nothing_as_large_as_a_block(of_dy, of_x, monkeypatch):
    dy, x, a, m, b, dv, *_ = draw((8, 16, 64, 64), np.float32)
    dy, x, block = of_dy(dy), of_x(x), 2 * x[0].nbytes
    monkeypatch.setattr(threads, "BLOCK_BYTES", block)
    for sweep in (
        lambda: sweeps.moments(x, x.dtype),
        lambda: sweeps.means(x, x.dtype),
        lambda: sweeps.scale_shift(x, a, m, b, x.dtype),
        lambda: sweeps.gradient_sums(dy, x, m),
        lambda: sweeps.combine(dy, x, a, m, b),
        lambda: sweeps.combine(dy, x, a, m, b, dv),
    ):
        sweep()  # scratch memory is made once
        result, peak = traced(sweep)
        assert peak - sum(array.nbytes for array in as_tuple(result)) < block / 4


def traced(work):
    """Return what work() returns, and the most bytes that it held at a time."""
    tracemalloc.start()
    try:
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

"""Pooling, mixing and running statistics on tables, each by its formula."""

import numpy as np
import pytest

from an_ref import statistics as s

N, C = 4, 6
AVERAGES = {
    "batch": (s.over_batch, lambda t: np.tile(t.mean(0), (N, 1))),
    "layer": (s.over_layer, lambda t: np.tile(t.mean(1)[:, None], (1, C))),
    "instance": (s.over_instance, lambda t: t),
    "group": (s.over_group(3), lambda t: np.repeat((t[:, ::2] + t[:, 1::2]) / 2, 2, axis=1)),
    "nothing": (s.over_nothing, lambda t: 0 * t),
}


def _tables(count=1):
    return np.random.default_rng(0).standard_normal((count, N, C))


@pytest.mark.parametrize("name", AVERAGES)
def test_each_average_is_symmetric_idempotent_and_what_it_says(name):
    average, formula = AVERAGES[name]
    t, u = _tables(2)
    np.testing.assert_allclose(average(t), formula(t), rtol=1e-14)
    np.testing.assert_allclose(average(average(t)), average(t), rtol=1e-14)
    np.testing.assert_allclose((average(t) * u).sum(), (t * average(u)).sum(), rtol=1e-12)


def test_a_part_of_running_statistics_consists_of_tables_and_gives_no_gradient():
    m, dmu, dvar = _tables(3).astype(np.float32)
    mean, var = np.arange(C, dtype=np.float64), 1.0 + np.arange(C)
    part = s.constant((mean, var), m)
    for table, row in ((part.mu, mean), (part.var, var), (part.d, np.zeros(C))):
        assert table.dtype == np.float32
        np.testing.assert_array_equal(table, np.tile(row, (N, 1)))
    for gradient in s.statistics_backward(dmu, dvar, s.single(part)):
        assert not gradient.any()


def test_only_statistics_with_a_part_over_the_batch_have_a_batch():
    m, v = _tables(2)
    v = v**2
    batch, layer = s.pool(m, v, s.over_batch), s.pool(m, v, s.over_layer)
    logits = np.zeros(2)
    for found in (s.single(batch), s.mix((batch, layer), logits, logits), s.mix((layer, batch), logits, logits)):
        mean, var = found.batch
        np.testing.assert_allclose(mean, m.mean(0), rtol=1e-12)
        np.testing.assert_allclose(var, v.mean(0) + m.var(0), rtol=1e-12)
    assert s.single(layer).batch is None

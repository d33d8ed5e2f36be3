"""Purity: right pairs raise no finding; modified inputs and caches raise one, in the right words."""

from dataclasses import dataclass

import numpy as np
import pytest
from impure import Cache, expect_one, find, inputs, squash, squash_backward

import an_ref
from an_ref import variants
from an_ref.gradcheck import suite
from an_ref.gradcheck.purity import purity_findings
from an_ref.variants import array_names


# --- no false alarm --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_every_op_of_the_package_is_pure(dtype):
    rng = np.random.default_rng(0)
    for name, arrays, hyper in (*suite._norm_cases(rng), *suite._other_cases(rng)):
        arrays = tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays)
        op, op_backward = getattr(an_ref, name), getattr(an_ref, f"{name}_backward")
        assert find(op, op_backward, arrays, **hyper) == [], name


@pytest.mark.parametrize("standardize", variants.STATISTICS)
@pytest.mark.parametrize("name", ["attentive_norm", "attentive_norm_eval"])
def test_every_variant_of_attentive_norm_is_pure(name, standardize):
    op, op_backward = getattr(an_ref, name), getattr(an_ref, f"{name}_backward")
    cases = list(suite.attentive_cases(np.random.default_rng(1), standardize, name.endswith("eval")))
    assert len(cases) == 27
    for arrays, hyper in cases:
        names = ["x", "gamma", "beta", *array_names(hyper), "a", "b", "c", "d"]
        assert find(op, op_backward, arrays, names, **hyper) == [], hyper


@pytest.mark.parametrize("value", [0.5, 9999.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_gradients_that_are_rounding_alone_are_no_finding(dtype, value):
    for shape in ((1, 1), (2, 1, 1), (1, 3), (4, 2, 1, 1), (2, 3, 2, 2)):
        gamma, beta = np.random.default_rng(5).random((2, shape[1])).astype(dtype)
        arrays = (np.full(shape, value, dtype), gamma, beta)
        assert find(an_ref.instance_norm, an_ref.instance_norm_backward, arrays) == []
        assert find(an_ref.layer_norm, an_ref.layer_norm_backward, arrays) == []


def test_a_right_pair_needs_six_forwards_and_nine_backwards():
    calls = []

    def op(x, gamma, beta):
        calls.append("forward")
        return squash(x, gamma, beta)

    def op_backward(dy, cache):
        calls.append("backward")
        return squash_backward(dy, cache)

    dy = np.random.default_rng(4).standard_normal((5, 3))
    assert purity_findings(op, op_backward, inputs(), {}, dy, ["x", "gamma", "beta"]) == []
    assert (calls.count("forward"), calls.count("backward")) == (6, 9)


def test_holding_x_a_list_and_fewer_gradients_than_arrays_are_allowed():
    def with_running_mean(x, running_mean):
        return (x - running_mean) ** 2, {"x": x, "running_mean": running_mean}

    def as_list(dy, cache):
        return [2 * dy * (cache["x"] - cache["running_mean"])]

    assert find(with_running_mean, as_list, inputs()[:2]) == []


# --- inputs, dy and the cache are modified ---------------------------------------------------------------------------
def test_forward_modifies_an_input():
    def op(x, gamma, beta):
        gamma /= 2
        return squash(x, gamma, beta)

    findings = find(op, squash_backward)
    expect_one(findings, "gamma", "op must not modify its inputs", "changes gamma (3 of 3 entries, the first at [0])")
    assert findings[0].index == 1


def test_forward_works_in_place():
    def op(x):
        mask = x > 0
        x *= mask
        return x, mask

    expect_one(find(op, lambda dy, mask: dy * mask, inputs()[:1]), "x", "changes x and returns it as y")


def test_forward_updates_running_statistics_in_place():
    def op(x, running_mean):
        running_mean += 0.1 * (x.mean(0) - running_mean)
        return 3 * x, None

    expect_one(find(op, lambda dy, cache: 3 * dy, inputs()[:2]), "running_mean", "changes running_mean")


def test_forward_modifies_an_array_among_the_keywords():
    def op(x, *, running_mean):
        running_mean *= 0.9
        return 3 * x, None

    findings = find(op, lambda dy, cache: 3 * dy, inputs()[:1], running_mean=np.ones(3))
    expect_one(findings, "running_mean", "changes running_mean")
    assert findings[0].index is None


def test_backward_modifies_an_input_that_the_cache_holds():
    def op_backward(dy, cache):
        gradients = squash_backward(dy, cache)
        cache.x[...] = 0
        return gradients

    expect_one(find(squash, op_backward), "x", "op_backward must not modify x, but it does (15 of 15 entries")


def test_backward_works_in_place_on_dy():
    def op_backward(dy, cache):
        dy *= 1 - cache * cache
        return dy

    findings = find(lambda x: (np.tanh(x), np.tanh(x)), op_backward, inputs()[:1], ["x"])
    expect_one(findings, "dy", "op_backward must not modify dy", "returns it as dx")


def test_backward_modifies_dy():
    def op_backward(dy, cache):
        dy *= 2
        return squash_backward(dy / 2, cache)

    expect_one(find(squash, op_backward), "dy", "op_backward must not modify dy, but it does (15 of 15")


@dataclass
class Box:
    tables: dict


@pytest.mark.parametrize(
    ("path", "pack"),
    [
        ("cache.t", lambda t: Cache(None, t, None)),
        ("cache[0]['t']", lambda t: ({"t": t},)),
        ("cache.tables['all'][1]", lambda t: Box({"all": [3, t]})),
        ("cache.t", lambda t: lambda: t),
    ],
)
def test_backward_modifies_an_array_deep_in_the_cache(path, pack):
    kept = {}

    def op(x):
        t = np.tanh(x)
        cache = pack(t)
        kept[id(cache)] = (cache, t)
        return t.copy(), cache

    def op_backward(dy, cache):
        t = kept[id(cache)][1]
        t *= -t
        t += 1
        return dy * t

    expect_one(find(op, op_backward, inputs()[:1]), "cache", f"must not modify the cache, but it changes {path} (15 of")


def test_two_caches_at_once():
    def op_backward(dy, cache):
        cache[0][...] = 0
        cache[1][...] = 0
        return 3 * dy

    findings = find(lambda x: (3 * x, [1 + x, 1 - x]), op_backward, inputs()[:1], ["x"])
    expect_one(findings, "cache", "changes cache[0] (15 of 15 entries, the first at [0, 0]) and 1 more")

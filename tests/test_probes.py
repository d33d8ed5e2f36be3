"""What purity.py builds on: looking into caches, comparing, sharing memory; and that odd caches do no harm."""

import functools

import numpy as np
import pytest
from impure import Slots, expect_one, find, inputs

from an_ref.gradcheck.probes import (
    RaisedError,
    first_difference,
    gap,
    joined,
    numbers,
    overlap,
    reachable,
    repeated,
    same,
    shaken,
)

A, B = np.arange(3.0), np.arange(4.0)


class OneSlot:
    __slots__ = "held"

    def __init__(self, held):
        self.held = held


class Layer:
    def __init__(self):
        self.gamma = A

    def backward(self, dy):
        return dy


def test_arrays_are_found_wherever_they_are():
    assert reachable(A) == {"cache": A}
    assert list(reachable([1, (A, "text"), {"b": B}])) == ["cache[1][0]", "cache[2]['b']"]
    assert list(reachable(Slots([A]))) == ["cache.held[0]"]
    assert list(reachable(OneSlot(A))) == ["cache.held"]
    assert list(reachable(Layer().backward)) == ["cache.gamma"]
    assert list(reachable(functools.partial(np.add, A, out=B))) == ["cache[0]", "cache['out']"]
    for nothing in (None, 3, "text", np, np.ndarray, Layer):
        assert reachable(nothing) == {}


def test_a_cache_may_hold_itself_and_be_deep():
    cycle = {"x": A}
    cycle["cache"] = cycle
    assert list(reachable(cycle)) == ["cache['x']"]
    deep = A
    for _ in range(50):
        deep = [deep]
    assert reachable(deep) == {}
    assert list(reachable([[[[[A]]]]])) == ["cache[0][0][0][0][0]"]


def test_differences():
    assert first_difference(A, A.copy()) is None
    assert first_difference(np.array([1, np.nan]), np.array([1, np.nan])) is None
    assert first_difference(np.array([[1, 2], [3, 4]]), np.array([[1, 2], [5, 6]])) == ((1, 0), 2)
    assert first_difference(A, B) == ((), 3)
    assert gap(A, B) == np.inf
    assert gap(np.array([1 + 1j, np.inf]), np.array([1 - 2j, 0])) == 3
    assert not same(A, B, 1)


def test_sameness_is_relative_but_not_below_what_a_dtype_can_hold():
    big = np.array([1e6, 1.0])
    assert same(big, big + 1e-3, 1e-8)
    assert not same(big, big + 1e-1, 1e-8)
    assert not same(big, np.array([1e6, np.nan]), 1.0)
    tiny = np.array([6e-8], np.float16)
    assert repeated(tiny, 2 * tiny)
    assert not repeated(tiny.astype(np.float32), 2 * tiny.astype(np.float32))
    assert not repeated(np.array([1, 2]), np.array([1, 3]))


def test_shaken_arrays_move_by_their_rounding():
    x = np.full(100, 1.0, np.float32)
    moved = np.abs(shaken(x, 0) - x)
    assert 0 < moved.max() < 1e-6
    assert not np.array_equal(shaken(x, 0), shaken(x, 1))
    np.testing.assert_array_equal(shaken(np.arange(3), 0), np.arange(3))


def test_small_things():
    assert [joined(list(words)) for words in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
    assert numbers([[1, 2], [3]]).shape == (0,)
    assert numbers("text").shape == (0,)
    assert numbers(2.5) == 2.5
    assert overlap(A, A[1:])
    assert not overlap(A[:1], A[1:])
    assert not overlap(A, None)
    assert str(RaisedError("op", ValueError())) == "ValueError"
    assert str(RaisedError("op", ValueError("one\n  two"))) == "ValueError: one two"


@pytest.mark.parametrize("result", [np.ones(2), (np.ones(2),), (np.ones(2), None, None), None])
def test_an_op_that_returns_no_pair(result):
    from an_ref.gradcheck.purity import purity_findings

    findings = purity_findings(lambda x: result, lambda dy, cache: dy, (np.ones(2),), {}, np.ones(2), ["x"])
    expect_one(findings, "op", "must return the pair (y, cache), got")


def test_masks_complex_arrays_and_read_only_results_are_welcome():
    x, mask = inputs()[0], np.arange(15).reshape(5, 3) % 2 == 0

    def masked(x, mask):
        return x * mask, mask

    assert find(masked, lambda dy, mask: dy * mask, (x, mask)) == []
    assert find(lambda x: (x * x, x), lambda dy, x: 2 * x * dy, (x + 1j * x[::-1],), ["x"]) == []

    def mean(x):
        return np.broadcast_to(x.mean(), x.shape), x.size

    def mean_backward(dy, size):
        return np.broadcast_to(dy.sum() / size, dy.shape)

    assert find(mean, mean_backward, (x,)) == []

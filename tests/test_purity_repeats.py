"""Purity: what gives other results later raises one finding: caches that break, state, random numbers."""

import functools

import numpy as np
from impure import Cache, expect_one, find, inputs, squash, squash_backward


def test_cache_shares_memory_with_y():
    def op(x):
        y = np.tanh(x)
        return y, {"y": y}

    findings = find(op, lambda dy, cache: dy * (1 - cache["y"] ** 2), inputs()[:1])
    expect_one(findings, "cache", "must outlive a later write to y", "another dx: cache['y'] shares memory with y")


def test_forward_draws_from_the_global_generator():
    def op(x):
        mask = np.random.random(x.shape) > 0.5  # noqa: NPY002
        return x * mask, mask

    findings = find(op, lambda dy, mask: dy * mask, inputs()[:1])
    expect_one(findings, "y", "same y each time", "likely cause is a random generator")


def test_forward_draws_from_a_generator_among_the_keywords():
    def op(x, *, source):
        mask = source.random(x.shape) > 0.5
        return x * mask, mask

    findings = find(op, lambda dy, mask: dy * mask, inputs()[:1], source=np.random.default_rng(0))
    expect_one(findings, "y", "the random generator source")


def test_forward_counts_its_calls():
    steps = []

    def op(x):
        steps.append(1)
        return x * len(steps), len(steps)

    expect_one(find(op, lambda dy, n: dy * n, inputs()[:1]), "y", "something that each call changes")


def test_backward_consumes_the_cache():
    def op_backward(dy, cache):
        return squash_backward(dy, [cache.pop(0) for _ in range(3)])

    def op(x, gamma, beta):
        y, cache = squash(x, gamma, beta)
        return y, list(cache)

    expect_one(find(op, op_backward), "cache", "second call raises IndexError", "consumed the cache")


def test_backward_adds_to_a_sum():
    sums = np.zeros(3)

    def op_backward(dy, cache):
        dx, dgamma, dbeta = squash_backward(dy, cache)
        sums.__iadd__(dgamma)
        return dx, sums.copy(), dbeta

    findings = find(squash, op_backward)
    expect_one(findings, "gamma", "second dgamma is not the first", "twice the first", "start from zeros")
    assert findings[0].index == 1


def test_backward_draws_random_numbers():
    def op_backward(dy, cache):
        return dy * 3 + np.random.default_rng().standard_normal(dy.shape)

    findings = find(lambda x: (3 * x, None), op_backward, inputs()[:1], ["x"])
    expect_one(findings, "x", "second dx is not the first", "draw random numbers")


def test_state_outside_the_cache():
    last = {}

    def op(x, gamma, beta):
        y, last["cache"] = squash(x, gamma, beta)
        return y, None

    findings = find(op, lambda dy, cache: squash_backward(dy, last["cache"]))
    expect_one(findings, "cache", "after another call of op it gives another dx and dgamma", "kept outside the cache")


def test_a_buffer_that_calls_share():
    buffer = np.empty((5, 3))

    def op(x):
        np.tanh(x, out=buffer)
        return buffer.copy(), Cache(None, buffer, None)

    findings = find(op, lambda dy, cache: dy * (1 - cache.t**2), inputs()[:1])
    expect_one(findings, "x", "after another call of op it gives another dx", "overwrote cache.t")


def test_each_y_is_the_same_array():
    buffer = np.empty((5, 3))

    def op(x):
        return np.multiply(x, 3, out=buffer), None

    expect_one(find(op, lambda dy, cache: dy * 3, inputs()[:1]), "y", "a later call of op writes into it")


def test_each_gradient_is_the_same_array():
    buffer = np.empty((5, 3))

    def op_backward(dy, cache):
        return np.multiply(dy, 3, out=buffer)

    findings = find(lambda x: (3 * x, None), op_backward, inputs()[:1], ["x"])
    expect_one(findings, "x", "dx must be a new array, but a later call writes into it")


def test_random_numbers_are_found_in_a_function_that_op_calls():
    findings = find(functools.partial(_dropout), lambda dy, mask: dy * mask, inputs()[:1], ["x"])
    expect_one(findings, "y", "the likely cause is a random generator: draw outside")


def _dropout(x):
    mask = _mask(x.shape)
    return x * mask, mask


def _mask(shape):
    return np.random.default_rng().standard_normal(shape)


def test_a_random_forward_whose_cache_is_its_y():
    def op(x):
        y = np.tanh(x) + 1e-3 * np.random.default_rng().standard_normal(x.shape)
        return y, y

    findings = find(op, lambda dy, y: dy * (1 - y * y), inputs()[:1])
    assert [finding.name for finding in findings] == ["y", "cache"]


def test_backward_refuses_after_a_write_to_y():
    held = []

    def op(x):
        held.append(3 * x)
        return held[-1], len(held) - 1

    def op_backward(dy, i):
        if np.isnan(held[i]).any():
            raise ValueError("y has changed")
        return 3 * dy

    expect_one(find(op, op_backward, inputs()[:1]), "cache", "op_backward raises ValueError: y has changed: it reads y")


def test_backward_refuses_after_another_forward():
    calls = []

    def op(x):
        calls.append(x)
        return 3 * x, len(calls)

    def op_backward(dy, number):
        if number != len(calls) and len(calls) > 2 and not np.array_equal(calls[-1], calls[-2]):
            raise RuntimeError("graph freed")
        return 3 * dy

    expect_one(
        find(op, op_backward, inputs()[:1]), "cache", "after another call of op it raises RuntimeError: graph freed"
    )


def test_another_forward_overwrites_what_backward_does_not_need():
    buffer = np.empty((5, 3))

    def op(x):
        np.multiply(x, 2, out=buffer)
        return 3 * x, {"twice": buffer}

    findings = find(op, lambda dy, cache: 3 * dy, inputs()[:1])
    expect_one(findings, "cache", "after another call of op its cache is another", "overwrote cache['twice']")


def test_a_second_backward_of_another_shape():
    calls = []

    def op_backward(dy, cache):
        calls.append(1)
        return 3 * dy if len(calls) == 1 else 3 * dy[None]

    findings = find(lambda x: (3 * x, None), op_backward, inputs()[:1], ["x"])
    expect_one(findings, "x", "the second dx is not the first", "keep nothing between calls")

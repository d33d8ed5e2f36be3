"""Purity: gradients that are not linear in dy, of a wrong form, shared, or dependent on strides; and errors."""

import numpy as np
import pytest
from impure import Slots, expect_one, find, inputs, squash, squash_backward

from an_ref.gradcheck.purity import purity_findings


# --- not linear in dy ------------------------------------------------------------------------------------------------
def test_a_loss_that_ignores_dy():
    def op(logits):
        return np.asarray((logits**2).sum()), logits

    findings = find(op, lambda dy, logits: 2 * logits, inputs()[:1])
    expect_one(findings, "logits", "the same for every dy", "ignores dy", "a loss, whose dy is usually 1")


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (np.sign, "only the sign or the direction of dy"),
        (np.abs, "np.abs(dy) or dy ** 2"),
        (lambda dy: np.clip(dy, -3, 3), "clipped, rounded"),
        (lambda dy: np.clip(dy, -1, 1), "clipped, rounded"),
        (lambda dy: dy**3, "raised to a power"),
        (lambda dy: np.maximum(dy, 0), "sum of two dy"),
        (lambda dy: dy / max(1, np.sqrt((dy**2).sum())), "only the sign or the direction"),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_a_gradient_that_is_not_linear_in_dy(use, words, dtype):
    def op_backward(dy, cache):
        return squash_backward(use(dy), cache)[0], *squash_backward(dy, cache)[1:]

    findings = find(squash, op_backward, inputs(dtype))
    expect_one(findings, "x", "dx must be linear in dy, but", words)
    assert findings[0].index == 0


def test_weight_decay_inside_the_backward():
    def op_backward(dy, cache):
        dx, dgamma, dbeta = squash_backward(dy, cache)
        return dx, dgamma + 1e-4 * cache.gamma, dbeta

    expect_one(find(squash, op_backward), "gamma", "dgamma must be 0 where dy is 0", "weight decay")


def test_a_division_by_the_size_of_dy():
    def op_backward(dy, cache):
        return dy * dy / np.sqrt((dy * dy).sum())

    findings = find(lambda x: (x.copy(), None), op_backward, inputs()[:1], ["x"])
    expect_one(findings, "x", "0 where dy is 0, but it is not finite", "division by the size of dy")


# --- gradients of a wrong form ---------------------------------------------------------------------------------------
def returning(change):
    return lambda dy, cache: change(*squash_backward(dy, cache))


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (lambda dx, dg, db: (dx.T.copy(), dg, db), "x", "(5, 3), got (3, 5); it would fit after .T"),
        (lambda dx, dg, db: (dx, dg[None], db), "gamma", "(3,), got (1, 3); it would fit after .reshape(3)"),
        (lambda dx, dg, db: (dx, dg, dx + db), "beta", "(3,), got (5, 3); it would fit after .sum(axis=0)"),
        (lambda dx, dg, db: (dx.sum(1), dg, db), "x", "(5, 3), got (5,); look at the axes"),
        (lambda dx, dg, db: (dx.sum(0), dg, db), "x", "would broadcast to it, so perhaps a sum is too much"),
        (lambda dx, dg, db: (dx, dg.astype(np.float32), db), "gamma", "float64, got float32; end with dgamma.astype"),
        (lambda dx, dg, db: (dx, dg, db, 0 * db), "op_backward", "4 gradients for 3 arrays; return one"),
        (lambda dx, dg, db: (), "op_backward", "returns no gradient"),
        (lambda dx, dg, db: None, "x", "dx must be an array of shape (5, 3), got None"),
        (lambda dx, dg, db: (dx, None, db), "gamma", "dgamma must be an array of shape (3,), got None"),
        (lambda dx, dg, db: (dx, dg, {}), "beta", "got dict without numbers"),
        (lambda dx, dg, db: (dx, dg / 0, db), "gamma", "not finite though all inputs are: 3 of 3 entries"),
    ],
)  # fmt: skip
def test_a_gradient_of_a_wrong_form(change, name, words):
    expect_one(find(squash, returning(change)), name, words)


@pytest.mark.parametrize(
    ("got", "wanted", "words"),
    [
        ((4, 2, 3, 5), (2,), ".sum(axis=(0, 2, 3)): sum over what was broadcast"),
        ((4, 2, 3, 5), (1, 2, 1, 1), ".sum(axis=(0, 2, 3)) and .reshape(1, 2, 1, 1)"),
        ((2, 2, 3), (2,), ".sum(axis=(0, 2))"),
        ((2, 3, 4), (4, 2, 3), ".transpose(2, 0, 1)"),
        ((12,), (3, 4), ".reshape(3, 4)"),
    ],
)
def test_what_would_make_a_shape_fit(got, wanted, words):
    x = np.zeros(wanted)
    findings = find(lambda x: (3 * x, None), lambda dy, cache: np.zeros(got), (x,), ["x"])
    expect_one(findings, "x", f"got {got}", words)


def test_a_float64_gradient_of_a_float32_array():
    def op_backward(dy, cache):
        dx, dgamma, dbeta = squash_backward(dy, cache)
        return dx, dgamma.astype(np.float64), dbeta

    expect_one(find(squash, op_backward, inputs(np.float32)), "gamma", "the dtype of gamma, float32, got float64")


def test_a_gradient_for_labels():
    def op(logits, labels):
        return logits[np.arange(len(labels)), labels], (logits.shape, labels)

    def op_backward(dy, cache):
        dlogits = np.zeros(cache[0])
        dlogits[np.arange(len(dy)), cache[1]] = dy
        return dlogits, np.zeros(len(dy))

    labels = np.array([0, 2, 1, 1, 0])
    findings = find(op, op_backward, (inputs()[0], labels))
    expect_one(findings, "labels", "labels holds int64, which has no gradient", "in order: dlogits")


def test_nan_that_comes_from_nan_is_no_finding():
    x, gamma, beta = inputs()
    x[0, 0] = np.nan
    assert find(squash, squash_backward, (x, gamma, beta)) == []


# --- shared memory ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("op", "op_backward", "name", "words"),
    [
        (lambda x: (x, None), lambda dy, cache: dy.copy(), "y", "y must be a new array, but it shares memory with x"),
        (lambda x: (x.reshape(3, 5), None), lambda dy, cache: dy.reshape(5, 3).copy(), "y", "shares memory with x"),
        (lambda x: (x.copy(), None), lambda dy, cache: dy, "x", "dx must be a new array, but it shares memory with dy"),
    ],
)
def test_results_that_share_memory_with_inputs(op, op_backward, name, words):
    expect_one(find(op, op_backward, inputs()[:1], ["x"]), name, words)


def test_a_gradient_that_shares_memory_with_the_cache():
    def op(x):
        return 3 * x, Slots([0 * x])

    findings = find(op, lambda dy, cache: cache.held[0], inputs()[:1], ["x"])
    expect_one(findings, "x", "dx must be a new array, but it shares memory with cache.held[0]; return a copy")


def test_gradients_that_share_memory_with_each_other():
    def op(x, a, b):
        return x + a + b, None

    def op_backward(dy, cache):
        da = dy.sum(0)
        return dy.copy(), da, da

    expect_one(find(op, op_backward), "b", "db must be a new array, but it shares memory with da")


# --- strides ---------------------------------------------------------------------------------------------------------
def test_a_forward_in_memory_order():
    def op(x):
        return np.cumsum(x.ravel(order="K")).reshape(x.shape), None

    def op_backward(dy, cache):
        return np.cumsum(dy.ravel()[::-1])[::-1].reshape(dy.shape).copy()

    findings = find(op, op_backward, inputs()[:1])
    expect_one(findings, "x", "with x in Fortran order y is wrong", "np.ascontiguousarray(x)")


def test_a_backward_that_writes_into_a_copy():
    def op_backward(dy, cache):
        dx = np.zeros_like(dy)
        dx.reshape(-1)[...] = 3 * dy.reshape(-1)
        return dx

    findings = find(lambda x: (3 * x, None), op_backward, inputs()[:1], ["x"])
    expect_one(findings, "dy", "with dy in Fortran order dx is wrong")


def test_an_op_that_refuses_some_strides():
    def op(x, gamma, beta):
        if any(stride < 0 for stride in gamma.strides):
            raise ValueError("at least one stride\nis negative")
        return squash(x, gamma, beta)

    findings = find(op, squash_backward)
    expect_one(findings, "gamma", "with gamma at negative strides", "op raises ValueError: at least one stride is")


def test_channels_last():
    def op(x):
        flat = np.lib.stride_tricks.as_strided(x, (x.size,), (x.itemsize,)) if x.strides[1] == x.itemsize else x.ravel()
        return 3 * flat.reshape(x.shape), None

    x = np.random.default_rng(6).standard_normal((2, 3, 4, 5))
    findings = find(op, lambda dy, cache: 3 * dy, (x,))
    expect_one(findings, "x", "with x in channels-last memory y is wrong")


# --- errors ----------------------------------------------------------------------------------------------------------
def test_exceptions_become_findings():
    def fails(*_):
        raise KeyError("xhat")

    dy = np.ones((5, 3))
    names = ["x", "gamma", "beta"]
    expect_one(purity_findings(fails, squash_backward, inputs(), {}, dy, names), "op", "op raises KeyError: 'xhat'")
    expect_one(purity_findings(squash, fails, inputs(), {}, dy, names), "op_backward", "op_backward raises KeyError")
    expect_one(
        purity_findings(lambda x, gamma, beta: x, fails, inputs(), {}, dy, names),
        "op",
        "must return the pair (y, cache), got ndarray",
    )


def test_findings_come_in_the_order_of_their_importance():
    def op(x, gamma, beta):
        gamma += 1
        return squash(x, gamma, beta)

    def op_backward(dy, cache):
        dx, dgamma, _ = squash_backward(dy, cache)
        return dx * np.sign(dy), dgamma[None], dgamma

    messages = [finding.message for finding in find(op, op_backward)]
    words = ["shape of gamma", "changes gamma", "dx must be linear", "dbeta must be a new array"]
    assert len(messages) == len(words)
    for message, word in zip(messages, words, strict=True):
        assert word in message


def test_an_op_that_works_only_once():
    calls = []

    def op(x):
        calls.append(1)
        if len(calls) > 2:
            raise RuntimeError("already used")
        return x, None

    findings = find(op, lambda dy, cache: dy[0].copy(), inputs()[:1])
    assert "got (3,)" in findings[0].message
    assert (
        findings[1].message == "op raises RuntimeError: already used in a later call, after it has worked in the first"
    )


def test_nan_in_y_too_is_told():
    with np.errstate(all="ignore"):
        findings = find(lambda x: (x / 0, None), lambda dy, cache: dy / 0, inputs()[:1], ["x"])
    expect_one(findings, "x", "dx is not finite though all inputs are, and so is y")


def test_several_layouts_in_one_finding():
    def op(x):
        y = np.cumsum(x.ravel(order="K")).reshape(x.shape)
        return y, y.copy()

    def op_backward(dy, y):
        return np.cumsum(dy.ravel()[::-1])[::-1].reshape(dy.shape) + 0 * y

    x = np.random.default_rng(6).standard_normal((2, 3, 4, 5))
    words = "in Fortran order y is wrong (the same in channels-last memory)"
    expect_one(find(op, op_backward, (x,)), "x", words)


def test_layouts_beside_integers():
    def op(x, labels):
        y = x.reshape(-1, order="A")[labels]
        return y, (x.shape, labels)

    def op_backward(dy, cache):
        dx = np.zeros(cache[0])
        np.add.at(dx.reshape(-1), cache[1], dy)
        return dx

    expect_one(find(op, op_backward, (inputs()[0], np.array([3, 7, 1]))), "x", "with x in Fortran order y is wrong")


def test_y_and_a_gradient_are_wrong():
    def op(x):
        order = np.argsort(x.ravel(order="K"), kind="stable")
        return 3 * x.ravel(order="K").reshape(x.shape), order

    def op_backward(dy, order):
        return 3 * dy * (1 + order.reshape(dy.shape))

    expect_one(find(op, op_backward, inputs()[:1]), "x", "with x in Fortran order y and dx are wrong")

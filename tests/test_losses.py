"""softmax_cross_entropy: the mean loss, with label smoothing."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from op_checks import (
    check_adjoint,
    check_complex_cotangent,
    check_complex_step,
    check_dtypes,
    check_float16_is_rounded_float32,
    check_purity,
    check_strides,
    check_upstream_errors,
    refused,
)

from an_ref.losses import softmax_cross_entropy, softmax_cross_entropy_backward

seeds = st.integers(0, 2**32 - 1)
smoothings = st.sampled_from([0.0, 0.1, 0.9])


def draw(n=4, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-3, 3, (n, classes)), rng.integers(0, classes, n)


def naive(logits, labels, smoothing):
    """The loss by its definition, one term at a time."""
    total = 0.0
    n, classes = logits.shape
    for i in range(n):
        exps = [math.exp(z) for z in logits[i]]
        for k in range(classes):
            q = (1 - smoothing) * (k == labels[i]) + smoothing / classes
            total -= q * math.log(exps[k] / sum(exps))
    return total / n


@given(n=st.integers(1, 5), classes=st.integers(1, 5), seed=seeds, smoothing=smoothings)
def test_values_and_gradients(n, classes, seed, smoothing):
    logits, labels = draw(n, classes, seed)
    op = partial(softmax_cross_entropy, labels=labels, label_smoothing=smoothing)
    loss, _ = op(logits)
    assert isinstance(loss, np.ndarray)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, naive(logits, labels, smoothing), rtol=1e-13, atol=1e-14)
    if classes > 1:  # with one class the loss is 0 whatever the logits are
        check_complex_step(op, softmax_cross_entropy_backward, (logits,), seed)
        check_adjoint(op, softmax_cross_entropy_backward, (logits,), seed)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    "check",
    [check_purity, check_dtypes, check_float16_is_rounded_float32, check_strides, check_complex_cotangent],
)
def test_contract(check, smoothing):
    logits, labels = draw()
    op = partial(softmax_cross_entropy, labels=labels, label_smoothing=smoothing)
    check(op, softmax_cross_entropy_backward, (logits,))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, np.int64])
def test_labels_of_any_integer_type(dtype):
    logits, labels = draw()
    expected, _ = softmax_cross_entropy(logits, labels)
    given_labels = labels.astype(dtype)
    loss, cache = softmax_cross_entropy(logits, given_labels)
    softmax_cross_entropy_backward(1.0, cache)
    assert loss == expected
    np.testing.assert_array_equal(given_labels, labels)


@pytest.mark.parametrize("one", [1, 1.0, np.float32(1), np.int64(1), np.array(1.0), np.array(1, np.float16)])
def test_upstream_is_a_number_or_an_array_without_axes(one):
    logits, labels = draw()
    for t in (np.float32, np.float64):
        _, cache = softmax_cross_entropy(logits.astype(t), labels, label_smoothing=0.1)
        dlogits = softmax_cross_entropy_backward(one, cache)
        assert dlogits.dtype == t
        np.testing.assert_allclose(dlogits, softmax_cross_entropy_backward(np.array(1.0), cache), rtol=1e-6)
        np.testing.assert_allclose(softmax_cross_entropy_backward(3 * one, cache), 3 * dlogits, rtol=1e-6)


def test_upstream_may_be_complex():
    logits, labels = draw()
    _, cache = softmax_cross_entropy(logits, labels)
    dlogits = softmax_cross_entropy_backward(1.0, cache)
    np.testing.assert_allclose(softmax_cross_entropy_backward(2 + 3j, cache), (2 + 3j) * dlogits)


@given(seed=seeds, shift=st.floats(-1e4, 1e4), smoothing=smoothings)
def test_shift_changes_nothing_and_gradients_of_a_sample_cancel(seed, shift, smoothing):
    logits, labels = draw(seed=seed)
    loss, cache = softmax_cross_entropy(logits + shift, labels, label_smoothing=smoothing)
    np.testing.assert_allclose(loss, softmax_cross_entropy(logits, labels, label_smoothing=smoothing)[0], rtol=1e-10)
    np.testing.assert_allclose(softmax_cross_entropy_backward(1.0, cache).sum(axis=1), 0, atol=1e-15)


@given(gap=st.floats(0, 600))
def test_gradient_keeps_its_relative_accuracy(gap):
    """Also where the right class is almost certain: of two classes, p - q = -+ 1 / (1 + exp(gap))."""
    _, cache = softmax_cross_entropy(np.array([[gap, 0.0]]), np.array([0]))
    expected = math.exp(-gap) / (1 + math.exp(-gap))
    np.testing.assert_allclose(softmax_cross_entropy_backward(1.0, cache), [[-expected, expected]], rtol=1e-13)


def test_huge_logits():
    """Neither exp overflows nor log meets 0; a masked class (-inf) costs nothing without smoothing."""
    logits = np.array([[1e4, -1e4, 0.0], [0.0, 1e4, -np.inf]])
    labels = np.array([1, 1])
    loss, cache = softmax_cross_entropy(logits, labels)
    assert loss == 1e4
    np.testing.assert_array_equal(softmax_cross_entropy_backward(2.0, cache), [[1, -1, 0], [0, 0, 0]])


def test_equal_logits_cost_log_of_the_number_of_classes():
    for smoothing in (0.0, 0.3):
        loss, _ = softmax_cross_entropy(np.zeros((3, 7)), np.array([0, 3, 6]), label_smoothing=smoothing)
        np.testing.assert_allclose(loss, math.log(7), rtol=1e-15)


def test_errors():
    logits, labels = draw()
    op = partial(softmax_cross_entropy, labels=labels)
    check_upstream_errors(op, softmax_cross_entropy_backward, (logits,), "softmax_cross_entropy")
    with refused(TypeError, "softmax_cross_entropy_backward: dy must be a NumPy array, got bool"):
        softmax_cross_entropy_backward(True, op(logits)[1])
    with refused(TypeError, "softmax_cross_entropy: logits must be a NumPy array, got list"):
        op(logits.tolist())
    with refused(ValueError, "softmax_cross_entropy: logits must have 2 axes (N, K), got shape (4, 5, 1)"):
        op(logits[..., None])
    with refused(ValueError, "softmax_cross_entropy: logits is empty, got shape (0, 5)"):
        op(logits[:0])
    with refused(ValueError, "softmax_cross_entropy: label_smoothing must be in [0, 1), got 1.0"):
        op(logits, label_smoothing=1.0)
    with refused(ValueError, "softmax_cross_entropy: label_smoothing must be in [0, 1), got -0.1"):
        op(logits, label_smoothing=-0.1)
    with refused(TypeError, "softmax_cross_entropy: label_smoothing must be a number, got '0.1'"):
        op(logits, label_smoothing="0.1")


def test_errors_of_labels():
    logits, labels = draw()
    op = partial(softmax_cross_entropy, logits)
    with refused(TypeError, "softmax_cross_entropy: labels must be a NumPy array of integers, got list"):
        op([0, 1, 2, 3])
    with refused(TypeError, "softmax_cross_entropy: labels must be a NumPy array of integers, got dtype float64"):
        op(labels.astype(float))
    with refused(TypeError, "softmax_cross_entropy: labels must be a NumPy array of integers, got dtype bool"):
        op(labels > 2)
    with refused(ValueError, "softmax_cross_entropy: labels must have shape (N,) = (4,), got (3,)"):
        op(labels[:3])
    with refused(ValueError, "softmax_cross_entropy: labels must have shape (N,) = (4,), got (4, 1)"):
        op(labels[:, None])
    with refused(ValueError, "softmax_cross_entropy: labels[2] = 5 is not a class of 5 logits; number the classes"):
        op(np.array([0, 4, 5, 9]))
    with refused(ValueError, "softmax_cross_entropy: labels[1] = -1 is not a class of 5 logits"):
        op(np.array([0, -1, 5, 9]))

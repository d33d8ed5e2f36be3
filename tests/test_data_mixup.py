"""Mixup: the mixed images and their two labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from an_ref import softmax_cross_entropy
from an_ref.data import mixup

X = np.random.default_rng(0).standard_normal((6, 2, 3, 3)).astype(np.float32)
LABELS = np.arange(6)


@given(st.integers(0, 999), st.sampled_from([0.2, 1.0, 8.0]), st.sampled_from([np.float16, np.float32, np.float64]))
def test_each_image_is_mixed_with_the_one_whose_label_comes_second(seed, alpha, dtype):
    x = X.astype(dtype)
    before = x.copy()
    mixed, first, second, weight = mixup(x, LABELS, alpha=alpha, rng=np.random.default_rng(seed))
    assert mixed.dtype == dtype
    assert type(weight) is float
    assert 0 <= weight <= 1
    np.testing.assert_array_equal(first, LABELS)
    assert sorted(second) == list(LABELS)
    tolerance = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(mixed, weight * before[first] + (1 - weight) * before[second], atol=5 * tolerance)
    np.testing.assert_array_equal(x, before)
    assert not any(np.shares_memory(a, b) for a, b in ((mixed, x), (first, LABELS), (second, LABELS)))


def test_weights_follow_the_beta_distribution():
    rng = np.random.default_rng(0)
    for alpha in (0.2, 1.0, 4.0):
        weights = np.array([mixup(X, LABELS, alpha=alpha, rng=rng)[3] for _ in range(3000)])
        assert abs(weights.mean() - 0.5) < 0.03
        assert abs(weights.var() / (0.25 / (2 * alpha + 1)) - 1) < 0.1


def test_partners_change_from_batch_to_batch():
    rng = np.random.default_rng(0)
    partners = np.array([mixup(X, LABELS, alpha=1, rng=rng)[2] for _ in range(600)])
    shares = np.stack([np.bincount(column, minlength=6) for column in partners.T]) / 600
    assert abs(shares - 1 / 6).max() < 0.07


def test_the_loss_in_the_docstring_is_the_cross_entropy_with_mixed_targets():
    logits = np.random.default_rng(1).standard_normal((6, 6))
    _, first, second, weight = mixup(X, LABELS, alpha=1, rng=np.random.default_rng(2))
    losses = [softmax_cross_entropy(logits, labels)[0] for labels in (first, second)]
    targets = weight * np.eye(6)[first] + (1 - weight) * np.eye(6)[second]
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -(targets * log_probabilities).sum(axis=1).mean()
    np.testing.assert_allclose(weight * losses[0] + (1 - weight) * losses[1], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": X.astype(np.uint8)}, TypeError, "x must hold floating-point or complex numbers, got dtype uint8"),
        ({"x": [1.0]}, TypeError, "x must be a NumPy array, got list"),
        ({"x": np.float32(1) + np.zeros(())}, TypeError, "x must be"),
        ({"x": np.zeros(())}, ValueError, "one label for each of x"),
        ({"labels": LABELS[:5]}, ValueError, r"one label for each of x, \(6,\), got \(5,\)"),
        ({"labels": list(LABELS)}, ValueError, r"\(6,\), got list"),
        ({"labels": np.eye(6)}, ValueError, r"got \(6, 6\)"),
        ({"alpha": 0}, ValueError, "alpha must be positive and finite, got 0"),
        ({"alpha": -1.0}, ValueError, "alpha must be positive and finite, got -1.0"),
        ({"alpha": np.inf}, ValueError, "alpha must be positive and finite, got inf"),
        ({"alpha": np.nan}, ValueError, "alpha must be positive and finite, got nan"),
        ({"alpha": "1"}, TypeError, "alpha must be a number, got '1'"),
        ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator, got int"),
    ],
)
def test_errors(change, error, message):
    arguments = {"x": X, "labels": LABELS, "alpha": 0.2, "rng": np.random.default_rng(0)} | change
    with pytest.raises(error, match=f"mixup: .*{message}"):
        mixup(arguments.pop("x"), arguments.pop("labels"), **arguments)

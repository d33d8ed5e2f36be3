"""Intervals: against tables, by hand, and by how often they hold the truth in simulated experiments."""

import numpy as np
import pytest

from an_ref.report.intervals import Interval, mean_over_seeds, paired_difference, t_quantile


@pytest.mark.parametrize(
    ("df", "level", "expected"),
    [
        (1, 0.95, 12.7062047),
        (2, 0.95, 4.3026527),
        (2, 0.99, 9.9248432),
        (2.5, 0.95, 3.5746548),
        (9, 0.90, 1.8331129),
        (100, 0.95, 1.9839715),
        (1e6, 0.95, 1.9599664),
    ],
)
def test_t_quantile_agrees_with_tables(df, level, expected):
    assert t_quantile(df, level) == pytest.approx(expected, rel=2e-6)


def test_mean_over_seeds_by_hand():
    interval = mean_over_seeds([0.5, 0.6, 0.7])
    half = 4.3026527 * 0.1 / np.sqrt(3)
    np.testing.assert_allclose(interval, (0.6, 0.6 - half, 0.6 + half), rtol=1e-6)


def test_mean_over_seeds_stays_a_share():
    assert mean_over_seeds([0.1, 0.9])[1:] == (0.0, 1.0)


def test_one_seed_has_no_interval():
    assert mean_over_seeds([0.5]) == (0.5, None, None)
    assert mean_over_seeds([0.5]).verdict == "cannot tell"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.01, 0.2, "above"), (-0.2, -0.01, "below"), (-0.1, 0.1, "cannot tell"), (0.0, 0.1, "cannot tell")],
)
def test_verdict(low, high, expected):
    assert Interval((low + high) / 2, low, high).verdict == expected


def test_paired_difference_by_hand():
    correct = np.array([[1, 1, 0, 1], [1, 0, 1, 1]])
    reference = np.array([[0, 1, 0, 0], [1, 0, 0, 0]])
    d = np.array([[1, 0, 0, 1], [0, 0, 1, 1]])
    seeds, images = d.mean(axis=1).var(ddof=1) / 2, d.mean(axis=0).var(ddof=1) / 4
    df = (seeds + images) ** 2 / (seeds**2 / 1 + images**2 / 3)
    half = t_quantile(df) * np.sqrt(seeds + images)
    np.testing.assert_allclose(paired_difference(correct, reference), (0.5, 0.5 - half, 0.5 + half), rtol=1e-12)


def test_paired_difference_turns_its_sign_with_its_arguments():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, (2, 3, 50))
    there, back = paired_difference(a, b), paired_difference(b, a)
    np.testing.assert_allclose(there, (-back[0], -back[2], -back[1]), rtol=1e-12)


def test_equal_answers_differ_by_nothing():
    answers = np.random.default_rng(0).integers(0, 2, (3, 50))
    assert paired_difference(answers, answers) == (0, 0, 0)


def test_one_seed_accounts_for_the_images_only():
    d = np.array([[1, 0, 0, 0, 1, 0, 0, -1]])
    half = t_quantile(7) * d.std(ddof=1) / np.sqrt(8)
    np.testing.assert_allclose(paired_difference(d, np.zeros_like(d)), (1 / 8, 1 / 8 - half, 1 / 8 + half), rtol=1e-9)


def test_one_seed_and_one_image_have_no_interval():
    assert paired_difference([[1]], [[0]]) == (1, None, None)


def simulate(rng, seeds, *, by_seed, by_image, gain=0.0, images=400):
    """Answers of two norms to the same images: whether skill beats difficulty, as seeds and images would vary it."""
    difficulty = rng.normal(0, 1, images)
    answers = []
    for advantage in (gain, 0.0):
        skill = rng.normal(0, by_seed, seeds)[:, None] + rng.normal(0, by_image, images) + advantage + 0.3
        answers.append(skill + rng.normal(0, 0.7, (seeds, images)) > difficulty)
    return answers


# 0.91 is 0.95 less four standard errors of 500 trials (0.0097 each).
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(("by_seed", "by_image"), [(0.0, 0.0), (0.05, 0.3), (0.1, 0.3), (0.02, 0.7)])
def test_the_interval_holds_the_truth_as_often_as_it_says(seeds, by_seed, by_image):
    rng = np.random.default_rng(3)
    held = naive = 0
    for _ in range(500):
        a, b = simulate(rng, seeds, by_seed=by_seed, by_image=by_image)
        interval = paired_difference(a, b)
        held += interval.low <= 0 <= interval.high
        d = a.astype(float) - b
        naive += abs(d.mean()) < 1.96 * d.std() / np.sqrt(d.size)  # as if all answers were independent
    assert held / 500 > 0.91
    if by_image > 0.2:
        assert naive / 500 < 0.91  # so the simulation can tell a wrong interval


def test_the_interval_is_narrow_enough_to_be_of_use():
    rng = np.random.default_rng(4)
    verdicts = [paired_difference(*simulate(rng, 3, by_seed=0.03, by_image=0.2, gain=0.5)).verdict for _ in range(200)]
    assert verdicts.count("above") > 180

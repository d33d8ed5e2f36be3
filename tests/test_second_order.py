"""method="second_order": the derivative of right gradients is symmetric, that of wrong ones mostly is not."""

import numpy as np

import an_ref
from an_ref import check_gradients
from an_ref.bugs import BUGS
from an_ref.gradcheck.suite import all_cases

CASES = list(all_cases(np.random.default_rng(0)))


def test_the_second_derivative_of_every_op_is_symmetric():
    for case in CASES:
        ops = (getattr(an_ref, case[0]), getattr(an_ref, f"{case[0]}_backward"))
        report = check_gradients(*ops, case[1], hyper=case[2], method="second_order")
        assert report.ok, report
        assert report.max_error < 1e-12, report


def test_symmetry_alone_sees_most_planted_bugs():
    gradient_bugs = [bug for bug in BUGS if bug.kind == "gradient"]
    seen = 0
    for bug in gradient_bugs:
        c = bug.apply()
        report = check_gradients(c.op, c.op_backward, c.arrays, hyper=c.hyper, method="second_order")
        seen += any("<u, H v>" in finding.message for finding in report.findings)
    assert (seen, len(gradient_bugs)) == (194, 219)  # docs/checker.md says so


def _cube(x, a):
    return a * x**3, (x, a)


def _asymmetric(dy, cache):
    x, a = cache
    return 3 * a * x**2 * dy, (x**3 * dy)[::-1]


def test_the_finding_names_both_arguments_and_both_numbers():
    x, a = np.random.default_rng(0).standard_normal((2, 5))
    (finding,) = check_gradients(_cube, _asymmetric, (x, a), method="second_order").findings
    assert finding.index is None
    assert "dx and da cannot be the gradient of any function" in finding.message


def test_what_symmetry_cannot_see():
    """Twice the gradient of f is the gradient of 2 f: the first order sees it, this does not."""
    x = np.random.default_rng(1).standard_normal(5)
    arrays = (x,), {"method": "second_order"}

    def square(x):
        return x**2, x

    def twice(dy, x):
        return 4 * x * dy

    assert check_gradients(square, twice, arrays[0], **arrays[1]).ok
    assert not check_gradients(square, twice, arrays[0]).ok


def test_a_backward_that_is_not_complex_safe_is_named_and_differences_are_used():
    def norm(x, a):
        return a * np.sqrt((x * x).sum()), (x, a)

    def norm_backward(dy, cache):
        x, a = cache
        return dy * a * x / np.sqrt((x * x).sum()), dy * np.linalg.norm(x)

    arrays = np.random.default_rng(2).standard_normal(5), np.array(1.5)
    report = check_gradients(norm, norm_backward, arrays, method="second_order")
    assert report.ok, report
    assert "second order, central differences" in report.method
    assert "the backward is not complex-safe" in report.notes[0]
    assert "np.linalg.norm(x) is the cause" in report.notes[0]


def test_a_backward_that_drops_the_imaginary_part_everywhere_does_not_pass_as_all_zeros():
    x, a = np.random.default_rng(3).standard_normal((2, 5))
    report = check_gradients(
        _cube, lambda dy, c: _asymmetric(dy.real, [v.real for v in c]), (x, a), method="second_order"
    )
    assert "central differences" in report.method
    assert not report.ok


def test_a_rounding_error_that_is_small_by_luck_raises_no_alarm():
    """Behind an offset, one pair's error may be far below the others'; with more digits it then falls by little."""
    rng = np.random.default_rng(6)
    for seed in range(20):
        x = 1e4 + rng.standard_normal((2, 3, 2))
        arrays = [x, *(rng.standard_normal(shape) for shape in ((3, 3), (3, 3), (3, 3), 3, 3, 2, 2))]
        hyper = {"standardize": "switchable", "descriptor": "mean_max", "activation": "sigmoid"}
        ops = an_ref.attentive_norm, an_ref.attentive_norm_backward
        report = check_gradients(*ops, arrays, hyper=hyper, method="second_order", rng=seed)
        assert report.ok, report

"""The gradient checker: right gradients pass, wrong ones do not, and it says where."""

import numpy as np
import pytest

import an_ref
from an_ref import check_gradients, check_layer, nn
from an_ref.gradcheck.suite import check_all
from tests.cases import case, ops


def _arrays(seed=0, shape=(3, 4, 2, 3)):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape), rng.standard_normal(shape[1]), rng.standard_normal(shape[1])


def test_every_op_of_the_package_is_below_1e_12():
    reports = dict(check_all())
    assert len(reports) >= 28
    for name, report in reports.items():
        assert report.ok, report
        assert report.max_error < 1e-12, (name, report)
        assert report.blind == (), (name, report)


def test_the_suite_covers_every_public_op():
    checked = {report.op for _, report in check_all()}
    assert checked == {name.removesuffix("_backward") for name in an_ref.__all__ if name.endswith("_backward")}


def _without_third_term(dy, cache):
    dx, dgamma, dbeta = an_ref.batch_norm_backward(dy, cache)
    xhat = (cache.x - cache.mu[..., None, None]) * cache.rstd[..., None, None]
    missing = cache.a[..., None, None] * xhat * (dy * xhat).mean((0, 2, 3), keepdims=True)
    return dx + missing, dgamma, dbeta


def test_a_missing_term_is_found_in_the_right_argument():
    report = check_gradients(an_ref.batch_norm, _without_third_term, _arrays())
    assert not report.ok
    assert [finding.name for finding in report.findings] == ["x"]
    finding = report.findings[0]
    assert finding.index == 0
    assert finding.analytic[finding.where] != pytest.approx(finding.numeric[finding.where])
    assert "the term -rstd * xhat * mean(gamma * dy * xhat), the path through the variance, is missing" in str(report)
    assert report.errors["gamma"] < 1e-14


def test_a_missing_term_is_found_along_directions_on_large_input():
    report = check_gradients(an_ref.batch_norm, _without_third_term, _arrays(shape=(8, 16, 8, 8)))
    assert [finding.name for finding in report.findings] == ["x"]
    assert (
        check_gradients(an_ref.batch_norm, an_ref.batch_norm_backward, _arrays(shape=(8, 16, 8, 8))).max_error < 1e-13
    )


def test_blindness_is_measured():
    arrays = _arrays()
    ones, (y, _) = np.ones_like(arrays[0]), an_ref.batch_norm(*arrays)
    bn = an_ref.batch_norm, an_ref.batch_norm_backward
    assert check_gradients(*bn, arrays, cotangent=ones).blind == ("x", "gamma")
    assert "x" in check_gradients(*bn, (arrays[0], np.ones(4), np.zeros(4)), cotangent=y).blind
    assert check_gradients(*bn, arrays).blind == ()
    ln = an_ref.layer_norm, an_ref.layer_norm_backward
    assert "x" not in check_gradients(*ln, arrays, cotangent=ones).blind


def test_a_seed_that_the_user_used_for_x_does_not_make_the_check_blind():
    x = np.random.default_rng(0).standard_normal((3, 4, 2, 3))
    arrays = (x, np.ones(4), np.zeros(4))
    assert check_gradients(an_ref.batch_norm, an_ref.batch_norm_backward, arrays, rng=0).blind == ()


def test_float32_gradients_are_held_to_float32():
    arrays = tuple(a.astype(np.float32) for a in _arrays())
    assert check_gradients(an_ref.batch_norm, an_ref.batch_norm_backward, arrays).ok
    assert not check_gradients(an_ref.batch_norm, _without_third_term, arrays).ok


def test_a_gradient_of_a_wrong_shape_or_nan_is_found():
    def transposed(dy, cache):
        dx, dgamma, dbeta = an_ref.batch_norm_backward(dy, cache)
        return dx, dgamma[:, None], np.full_like(dbeta, np.nan)

    report = check_gradients(an_ref.batch_norm, transposed, _arrays())
    assert [finding.name for finding in report.findings] == ["gamma", "beta"]


def test_user_errors_are_clear():
    op, op_backward = an_ref.batch_norm, an_ref.batch_norm_backward
    with pytest.raises(ValueError, match=r"did you mean 'complex'"):
        check_gradients(op, op_backward, _arrays(), method="complexx")
    with pytest.raises(ValueError, match=r"cotangent must have the shape of y, \(3, 4, 2, 3\), got \(2,\)"):
        check_gradients(op, op_backward, _arrays(), cotangent=np.ones(2))
    with pytest.raises(TypeError, match=r"arrays\[1\] must be a NumPy array, got list"):
        check_gradients(op, op_backward, (_arrays()[0], [1.0], [2.0]))


def test_check_layer_restores_parameters_and_state():
    layer = nn.AttentiveNorm(4, mixtures=3, rng=0)
    params = {key: value.copy() for key, value in layer.params.items()}
    state = {key: value.copy() for key, value in layer.state.items()}
    x = np.random.default_rng(1).standard_normal((3, 4, 2, 3))
    report = check_layer(layer, x)
    assert report.ok, report
    assert list(report.errors) == ["x", *params]
    for mapping, before in ((layer.params, params), (layer.state, state)):
        for key, value in before.items():
            np.testing.assert_array_equal(mapping[key], value)


def test_check_layer_finds_a_wrong_layer():
    class Wrong(nn.BatchNorm):
        def backward(self, dy):
            dx = super().backward(dy)
            self.grads["gamma"] = 2 * self.grads["gamma"]
            return dx

    x = np.random.default_rng(2).standard_normal((3, 4, 2, 3))
    report = check_layer(Wrong(4, dtype=np.float64), x)
    assert [finding.name for finding in report.findings] == ["gamma"]


@pytest.mark.parametrize("constant", [True, False], ids=["constant-gamma", "random-gamma"])
@pytest.mark.parametrize("name", ["batch_norm", "instance_norm", "layer_norm", "group_norm", "switchable_norm"])
def test_which_norms_are_blind_to_x_for_ones(name, constant):
    rng = np.random.default_rng(5)
    x = 3 + rng.standard_normal((4, 6, 3, 5))
    gamma, beta = (np.full(6, 1.7), np.zeros(6)) if constant else rng.standard_normal((2, 6))
    logits = (rng.standard_normal(3), rng.standard_normal(3)) if name == "switchable_norm" else ()
    hyper = {"groups": 3} if name == "group_norm" else {}
    op, op_backward = ops(name)
    report = check_gradients(op, op_backward, (x, gamma, beta, *logits), hyper=hyper, cotangent=np.ones_like(x))
    blind = name in ("batch_norm", "instance_norm") or (constant and name in ("layer_norm", "group_norm"))
    assert ("x" in report.blind) == blind
    assert report.ok, report


def test_attentive_norm_is_not_blind_to_x_for_ones():
    rng = np.random.default_rng(6)
    arrays, hyper = case("attentive_norm", rng.standard_normal((4, 6, 3, 5)), rng)
    assert check_gradients(*ops("attentive_norm"), arrays, hyper=hyper, cotangent=np.ones((4, 6, 3, 5))).blind == ()


def test_a_forward_that_is_not_complex_safe_is_named_and_checked_by_differences():
    def l2(x):
        y = x / np.linalg.norm(x)
        return y, (x, y.copy())

    def l2_backward(dy, cache):
        x, y = cache
        return (dy - y * (y * dy).sum()) / np.linalg.norm(x)

    x = np.random.default_rng(7).standard_normal((3, 4))
    report = check_gradients(l2, l2_backward, (x,))
    assert report.ok, report
    assert report.max_error < 1e-7
    assert "np.linalg.norm(x) is the cause" in report.notes[0]
    assert "central differences" in report.method
    assert not check_gradients(l2, lambda dy, cache: dy / np.linalg.norm(cache[0]), (x,)).ok


@pytest.mark.parametrize(("method", "below"), [("central", 1e-7), ("five_point", 1e-9), ("adjoint", 1e-13)])
def test_the_other_methods_agree_and_find_the_same(method, below):
    arrays = _arrays()
    right = check_gradients(an_ref.batch_norm, an_ref.batch_norm_backward, arrays, method=method)
    assert right.ok, right
    assert right.max_error < below
    assert not check_gradients(an_ref.batch_norm, _without_third_term, arrays, method=method).ok


def test_cancellation_raises_no_false_alarm():
    """With two positions per map, xhat is +-1 and dx is what eps leaves of large terms."""
    for seed in (363, 457, 733):
        rng = np.random.default_rng(seed)
        x = 10 * (30 + rng.standard_normal((3, 1, 2)))
        arrays = (x, rng.standard_normal(1), rng.standard_normal(1))
        assert check_gradients(an_ref.instance_norm, an_ref.instance_norm_backward, arrays, rng=seed).ok


def test_a_forgotten_gradient_is_found_and_running_statistics_are_not():
    def scale(x, a):
        return a * x, (x, a)

    x, a = np.random.default_rng(8).standard_normal((2, 3, 4))
    report = check_gradients(scale, lambda dy, cache: cache[1] * dy, (x, a))
    assert [finding.name for finding in report.findings] == ["a"]
    assert "the number of gradients is 1" in report.findings[0].message


def test_a_forward_without_a_cache_is_one_clear_line():
    with pytest.raises(TypeError, match=r"must return the pair \(y, cache\), got ndarray"):
        check_gradients(lambda x: 2 * x, lambda dy, cache: 2 * dy, (np.ones(3),))


def _float32(rng, *shapes):
    return tuple(rng.standard_normal(shape).astype(np.float32) for shape in shapes)


@pytest.mark.parametrize("method", ["complex", "adjoint"])
@pytest.mark.parametrize("offset", [0, 1e4])
def test_a_zero_gradient_that_is_rounding_raises_no_false_alarm(method, offset):
    """With one value in each map the derivative of instance_norm is zero, and float32 leaves rounding instead."""
    for seed in range(40):
        x, gamma, beta = _float32(np.random.default_rng(seed), (2, 3, 1), 3, 3)
        arrays = (x + np.float32(offset), gamma, beta)
        report = check_gradients(an_ref.instance_norm, an_ref.instance_norm_backward, arrays, method=method, rng=seed)
        assert report.ok, report


def test_a_saturated_softmax_raises_no_false_alarm():
    for gap in (18, 21.5, 25, 32):
        logits = np.array([[0, gap], [gap + 1, 0], [0.0, gap]])
        arrays = (logits, np.array([1, 0, 1]))
        assert check_gradients(an_ref.softmax_cross_entropy, an_ref.softmax_cross_entropy_backward, arrays).ok


def test_linearity_is_not_judged_by_float32_rounding_alone():
    """One value in each map, tiny: what is left of dx is rounding, and rounding is not linear."""
    for seed in range(40):
        x, gamma, beta, *logits = _float32(np.random.default_rng(seed), (3, 1, 1), 1, 1, 2, 2)
        arrays = (x * np.float32(1e-6), gamma, beta, *logits)
        ops = an_ref.textbook.switchable_norm, an_ref.textbook.switchable_norm_backward
        report = check_gradients(*ops, arrays, method="central", rng=seed)
        assert report.ok, report


def test_an_error_that_only_rounding_explains_is_noted():
    x, gamma, beta = _float32(np.random.default_rng(3), (2, 3, 1), 3, 3)
    report = check_gradients(an_ref.instance_norm, an_ref.instance_norm_backward, (x + np.float32(1e4), gamma, beta))
    assert report.max_error > 1e-4
    assert "the error of dx is no larger than rounding explains" in report.notes[0]
    assert not check_gradients(an_ref.batch_norm, an_ref.batch_norm_backward, _arrays()).notes


def _uncentred(x, gamma, beta):
    """E[x^2] - E[x]^2 loses all digits in float32 behind an offset."""
    mu, rms = x.mean(0), (x * x).mean(0)
    rstd = 1 / np.sqrt(rms - mu * mu + x.dtype.type(1e-3))
    xhat = (x - mu) * rstd
    return gamma * xhat + beta, (xhat, gamma, rstd)


def _uncentred_backward(dy, cache):
    xhat, gamma, rstd = cache
    g = gamma * dy
    return rstd * (g - g.mean(0) - xhat * (g * xhat).mean(0)), (dy * xhat).sum(0), dy.sum(0)


def test_a_formula_that_loses_all_digits_in_float32_is_noted():
    x, gamma, beta = _float32(np.random.default_rng(4), (50, 3), 3, 3)
    assert not check_gradients(_uncentred, _uncentred_backward, (x, gamma, beta)).notes
    report = check_gradients(_uncentred, _uncentred_backward, (x + np.float32(1000), gamma, beta))
    assert report.max_error > 0.01
    assert "the error of dx, dgamma is no larger than rounding explains" in report.notes[0]
    centred = check_gradients(an_ref.batch_norm, an_ref.batch_norm_backward, (x + np.float32(1000), gamma, beta))
    assert centred.max_error < 1e-3


def test_an_error_is_not_called_one_of_positive_x_where_all_x_are_positive():
    def softer(x):
        return np.log(1 + np.exp(x)) * x.sum(), x

    x = np.random.default_rng(5).random((4, 3)) + 0.5
    report = check_gradients(softer, lambda dy, x: dy * x**2, (x,))
    assert "alone" not in report.findings[0].message


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "group_norm"])
def test_a_variance_centred_at_the_means_of_the_maps_is_told_from_a_wrong_path_through_the_mean(name):
    """dm = P dmu + 2 d P dvar without its second part: dx is wrong by one number for each map."""
    op, op_backward = ops(name)

    def lacking(dy, cache):
        (part,) = cache.statistics.parts
        parts = (part._replace(d=np.zeros_like(part.d)),)
        return op_backward(dy, cache._replace(statistics=cache.statistics._replace(parts=parts)))

    rng = np.random.default_rng(0)
    arrays, hyper = case(name, rng.standard_normal((3, 4, 2, 3)), rng)
    (finding,) = check_gradients(op, lacking, arrays, hyper=hyper).findings
    assert "lacks 2 * (m - mu) * mean(dvar)" in finding.message

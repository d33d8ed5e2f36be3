"""Report.plot: what it measures and what it draws."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import an_ref
from an_ref import check_gradients
from an_ref.gradcheck import Finding, Report
from an_ref.gradcheck.curve import optimum, step_curve
from an_ref.gradcheck.plot import _tiled


def arrays(shape=(3, 4, 2, 5)):
    rng = np.random.default_rng(0)
    return rng.standard_normal(shape), rng.standard_normal(shape[1]), rng.standard_normal(shape[1])


def wrong_in_one_channel(dy, cache):
    dx, dgamma, dbeta = an_ref.batch_norm_backward(dy, cache)
    dx[:, 2] *= 1.5
    return dx, dgamma, dbeta


def batch_norm_report(op_backward, shape=(3, 4, 2, 5)):
    return check_gradients(an_ref.batch_norm, op_backward, arrays(shape))


def curve_of_batch_norm(**options):
    dy = np.random.default_rng(1).standard_normal((3, 4, 2, 5))
    _, cache = an_ref.batch_norm(*arrays())
    dx = an_ref.batch_norm_backward(dy, cache)[0]
    return step_curve(an_ref.batch_norm, arrays(), 0, dy, {}, **options), dx


def slope(curve, method, low, high):
    chosen = (curve.steps > low) & (curve.steps < high)
    return np.polyfit(np.log10(curve.steps[chosen]), np.log10(curve.errors[method][chosen]), 1)[0]


def test_differences_have_their_slopes_and_the_complex_step_is_flat():
    curve, _ = curve_of_batch_norm()
    assert slope(curve, "central", 3e-5, 3e-2) == pytest.approx(2, abs=0.1)
    assert slope(curve, "five_point", 3e-3, 3e-2) == pytest.approx(4, abs=0.2)
    for method in ("central", "five_point"):
        assert slope(curve, method, 1e-15, 1e-7) == pytest.approx(-1, abs=0.3)
    assert curve.errors["complex"][curve.steps < 1e-8].max() < 1e-15


def test_the_best_steps_are_where_theory_puts_them():
    curve, _ = curve_of_batch_norm()
    step, error = optimum(curve.steps, curve.errors["central"])
    assert 1e-7 < step < 1e-4
    assert 1e-14 < error < 1e-10
    step, error = optimum(curve.steps, curve.errors["five_point"])
    assert 1e-5 < step < 1e-2
    assert error < 1e-12


def test_one_lucky_point_is_not_the_optimum():
    steps, errors = 10.0 ** np.arange(-7, 0), np.array([1e-2, 1e-17, 1e-2, 1e-6, 1e-9, 1e-8, np.nan])
    assert optimum(steps, errors) == (steps[4], 1e-9)


@pytest.mark.parametrize("safe", [True, False])
def test_the_error_of_a_gradient_along_the_direction_of_the_curve(safe):
    curve, dx = curve_of_batch_norm(complex_safe=safe)
    assert ("complex" in curve.errors) == safe
    assert curve.error(dx) < (1e-15 if safe else 1e-11)
    assert curve.error(1.01 * dx) == pytest.approx(abs(0.01 * curve.reference) / curve.scale, rel=1e-6)


@pytest.mark.parametrize("shape", [(), (7,), (90,), (3, 4), (2, 3, 5), (2, 3, 4, 5), (2, 3, 2, 2, 3), (2, 3, 1, 1)])
def test_tiles_hold_every_entry_once(shape):
    values = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    picture, rows, columns = _tiled(values)
    np.testing.assert_array_equal(picture[rows, columns], values)
    assert np.isfinite(picture).sum() == values.size


def test_the_worst_argument_is_drawn_with_its_error():
    figure = batch_norm_report(wrong_in_one_channel).plot()
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert "batch_norm: dx is wrong, error" in figure.get_suptitle()
    where, against, steps = figure.axes[:3]
    picture = np.asarray(where.images[0].get_array().filled(np.nan))
    row, column = np.unravel_index(np.nanargmax(picture), picture.shape)
    assert [line.get_xydata().tolist() for line in where.lines] == [[[column, row]]] * 2
    tile = column // (picture.shape[1] / 4)
    assert tile == 2
    assert len(against.lines[1].get_xdata()) == 120
    labels = [text.get_text() for text in steps.get_legend().get_texts()]
    assert labels[0] == "complex step"
    assert labels[1].startswith("central difference, best h 3e-6")
    assert labels[3] == "op_backward"
    assert {text.get_text() for text in steps.texts} == {"slope 2", "slope 4"}


def test_a_right_argument_is_called_right():
    figure = batch_norm_report(an_ref.batch_norm_backward).plot()
    assert "is right, error" in figure.get_suptitle()
    assert figure.axes[0].get_title(loc="left").endswith("rounding alone")


def test_entries_that_are_not_finite_are_told():
    def with_nan(dy, cache):
        return np.where(cache.x > 1, np.nan, an_ref.relu_backward(dy, cache))

    x = np.array([[0.5, 2.0, -1.0], [1.5, -0.5, 0.1]])
    figure = check_gradients(an_ref.relu, with_nan, (x,)).plot()
    assert "2 of 6 entries are not finite" in figure.axes[0].get_title(loc="left")
    assert figure._repr_png_()


def test_a_large_argument_has_no_map_but_a_curve():
    figure = batch_norm_report(an_ref.batch_norm_backward, (5, 16, 8, 8)).plot()
    for axes in figure.axes[:2]:
        assert "x has 5,120 entries" in axes.texts[0].get_text().replace("\n", " ")
    assert len(figure.axes[2].lines) >= 4


def test_nothing_to_compare_is_said():
    figure = Report("f", "complex step", {}, (), (Finding(0, "x", "dx must have the shape of x"),)).plot()
    assert figure.get_suptitle() == "f: no gradient could be compared"
    assert figure.axes[0].texts[0].get_text() == "dx must have the shape of x"

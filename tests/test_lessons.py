"""The shared toolkit of the notebooks: questions, the grader, graphs that are run and drawn, and every exercise."""

import subprocess
import sys

import numpy as np
import pytest

from an_ref import check_gradients
from an_ref.lessons import Node, draw_cells, draw_graph, grade, quiz, run_graph
from an_ref.lessons.exercise import Exercise
from an_ref.lessons.exercises import find, load, modules
from an_ref.lessons.grade import judge

ALL = [(module, name, exercise) for module in modules() for name, exercise in load(module).items()]
EACH = pytest.mark.parametrize("exercise", [e for _, _, e in ALL], ids=[f"{m}-{n}" for m, n, _ in ALL])


# --- quiz ------------------------------------------------------------------------------------------------------------
def test_a_quiz_is_html_without_script_and_text_without_answers():
    asked = quiz("Is $a<b$ or `a>b`?", [("yes & no", True, "both"), ("neither", False, "think of NaN")])
    page = asked._repr_html_()
    assert page.count("<details>") == page.count("</details>") == 2
    assert "script" not in page
    assert "$a&lt;b$" in page
    assert "<code>a&gt;b</code>" in page
    assert "yes &amp; no" in page
    assert page.index("Right.") < page.index("both") < page.index("Not so.") < page.index("think of NaN")
    assert repr(asked) == "Predict. Is $a<b$ or `a>b`?\n  a) yes & no\n  b) neither"


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([("a", True, "b")], "two to eight"),
        ([("a", False, "b"), ("c", False, "d")], "exactly one"),
        ([("a", True, "b"), ("c", True, "d")], "exactly one"),
        ([("a", True, "b"), ("c", False, " ")], "lacks one"),
    ],
)
def test_a_quiz_needs_one_right_choice_and_reasons(choices, message):
    with pytest.raises(ValueError, match=message):
        quiz("?", choices)


# --- graphs ----------------------------------------------------------------------------------------------------------
def square_graph():
    """Y = (x - mean(x)) ** 2 * x, with x used three times."""
    return [
        Node("mu", ("x",), lambda x: x.mean(0), lambda dmu, mu, x: np.broadcast_to(dmu / len(x), x.shape)),
        Node("d", ("x", "mu"), lambda x, mu: x - mu, lambda dd, d, x, mu: (dd, -dd.sum(0))),
        Node("s", ("d",), lambda d: d * d, lambda ds, s, d: 2 * d * ds),
        Node("unused", ("x",), lambda x: 2 * x, lambda du, u, x: 2 * du),
        Node("y", ("s", "x"), lambda s, x: s * x, lambda dy, y, s, x: (dy * x, dy * s)),
    ]


def test_a_graph_gives_the_gradients_of_its_forward():
    def op(x):
        return run_graph(square_graph(), {"x": x})[0]["y"], x

    def op_backward(dy, x):
        return run_graph(square_graph(), {"x": x}, dy)[1]["x"]

    report = check_gradients(op, op_backward, (np.random.default_rng(0).standard_normal((5, 3)),))
    assert report.ok, str(report)


def test_a_graph_runs_only_forward_without_dy_and_leaves_out_what_has_no_gradient():
    x = np.arange(6.0).reshape(3, 2)
    values, grads = run_graph(square_graph(), {"x": x})
    assert set(values) == {"x", "mu", "d", "s", "unused", "y"}
    assert grads == {}
    assert set(run_graph(square_graph(), {"x": x}, np.ones((3, 2)))[1]) == {"x", "mu", "d", "s", "y"}


def test_a_graph_says_what_is_wrong_with_it():
    x = np.ones((3, 2))
    with pytest.raises(ValueError, match="y takes z, which no earlier node makes"):
        run_graph([Node("y", ("z",), lambda z: z, lambda dy, y, z: dy)], {"x": x})
    with pytest.raises(ValueError, match=r"dx with the shape of x, \(3, 2\), got \(2,\)"):
        run_graph([Node("y", ("x",), lambda x: x.sum(0), lambda dy, y, x: dy)], {"x": x}, np.ones(2))
    with pytest.raises(ValueError, match="must return 1 gradients, got 2"):
        run_graph([Node("y", ("x",), lambda x: x, lambda dy, y, x: (dy, dy))], {"x": x}, x)


def test_the_drawing_has_a_box_for_each_value_and_an_arrow_for_each_input():
    def parts(figure):
        texts = [text.get_text() for text in figure.axes[0].texts]
        return sorted(text for text in texts if text), texts.count("")

    assert parts(draw_graph(square_graph())) == (["d", "mu", "s", "x", "y"], 6)
    assert parts(draw_graph(square_graph(), "d")) == (["d", "mu", "x"], 3)
    assert draw_graph(square_graph())._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="no node is named 'z'"):
        draw_graph(square_graph(), "z")


def test_arrows_point_right_and_boxes_do_not_touch():
    figure = draw_graph(square_graph())
    figure.draw_without_rendering()
    arrows = [text for text in figure.axes[0].texts if not text.get_text()]
    assert all(arrow.xy[0] > arrow.xyann[0] for arrow in arrows)
    boxes = [text.get_bbox_patch().get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


# --- cells -----------------------------------------------------------------------------------------------------------
def test_maps_with_the_same_label_share_a_colour_and_a_letter():
    axes = draw_cells([["left", "left", 3, 3], [7, 7, "r", "r"]], "groups").axes[0]
    assert "".join(text.get_text() for text in axes.texts) == "AABBCCDD"
    colours = [patch.get_facecolor() for patch in axes.patches]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert len(set(colours)) == 4
    assert len(draw_cells({"BN": [[0, 1]] * 2, "LN": [[0, 0], [1, 1]]}).axes) == 2


# --- the grader ------------------------------------------------------------------------------------------------------
def _op(x, g):
    return x * g, (x, g)


def _right(dy, cache):
    x, g = cache
    return dy * g, (dy * x).sum(0)


def _no_sum(dy, cache):
    return dy * cache[1], dy * cache[0]


def _mean(dy, cache):
    return dy * cache[1], (dy * cache[0]).mean(0)


SCALE = Exercise(
    _op,
    _right,
    lambda rng: (rng.standard_normal((3, 4)), rng.standard_normal(4)),
    hints=((_no_sum, "g was broadcast, so sum over n"), (_mean, "a sum, not a mean")),
)


def _stops(dy, cache):
    return dy / len(cache[5])


def _changes_the_cache(dy, cache):
    cache[0][...] = 0
    return _mean(dy, cache)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_right, "right, every gradient"),
        (lambda dy, cache: (cache[1] * dy, np.einsum("nc,nc->c", cache[0], dy)), "right, every gradient"),
        (lambda dy, cache: None, "not yet"),
        (lambda dy, cache: (..., ...), "not yet"),
        (_no_sum, "dg: g was broadcast, so sum over n"),
        (_mean, "dg: a sum, not a mean"),
        (lambda dy, cache: (dy, _mean(dy, cache)[1]), "dg: a sum, not a mean"),
        (lambda dy, cache: (dy, _mean(dy, cache)[1]), "dx lacks the factor g"),
        (lambda dy, cache: (_right(dy, cache)[0], 5 * _right(dy, cache)[1]), "by the factor 5"),
        (lambda dy, cache: dy * cache[1], "dg is missing"),
        (_stops, "at `return dy / len(cache[5])`, IndexError"),
        (lambda dy: dy, "positional argument"),
        (lambda dy, cache: ("a", "b"), "must be an array"),
        (_changes_the_cache, "wrong"),
        ("text", "expected your function"),
    ],
)
def test_the_verdict_says_what_is_wrong(answer, words):
    verdict = judge(SCALE, answer)
    assert words in verdict.text
    assert verdict.right == words.startswith("right")


def test_an_answer_that_is_not_implemented_is_not_yet_there():
    def answer(dy, cache):
        raise NotImplementedError

    assert judge(SCALE, answer).text.startswith("not yet")


def test_an_unknown_exercise_is_named_with_its_nearest():
    with pytest.raises(ValueError, match="there is no exercise 'no such one'"):
        grade("no such one", _right)


def test_the_toolkit_does_not_need_ipython():
    code = "import sys, an_ref.lessons as l; repr(l.quiz('a', [('b', True, 'c'), ('d', False, 'e')])); "
    code += "sys.exit('IPython' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- every exercise --------------------------------------------------------------------------------------------------
def test_each_exercise_has_a_name_of_its_own_and_is_found_by_it():
    names = [name for _, name, _ in ALL]
    assert len(names) == len(set(names))
    assert all(find(name) is exercise for _, name, exercise in ALL)


@EACH
def test_the_solution_passes_and_nothing_else_is_blind(exercise):
    verdict = judge(exercise, exercise.solution)
    assert verdict.right, verdict.text
    arrays = exercise.arrays(np.random.default_rng(0))
    assert not check_gradients(exercise.op, exercise.solution, arrays, hyper=dict(exercise.hyper)).blind


@EACH
def test_a_blank_answer_zeros_and_dy_itself_fail(exercise):
    def gradients(dy, cache):
        returned = exercise.solution(dy, cache)
        return returned if isinstance(returned, tuple) else (returned,)

    assert judge(exercise, lambda dy, cache: None).text.startswith("not yet")
    assert not judge(exercise, lambda dy, cache: tuple(0 * g for g in gradients(dy, cache))).right
    assert not judge(exercise, lambda dy, cache: dy.copy()).right
    assert not judge(exercise, lambda dy, cache: tuple(dy.copy() for _ in gradients(dy, cache))).right


@EACH
def test_each_usual_mistake_gets_its_own_message(exercise):
    assert len({message for _, message in exercise.hints}) == len(exercise.hints)
    for wrong, message in exercise.hints:
        verdict = judge(exercise, wrong)
        assert not verdict.right
        assert message in verdict.text, (message, verdict.text)

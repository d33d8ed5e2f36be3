"""an_ref against the installed PyTorch: the committed cases again, and cases of drawn shapes."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import cases, run_an_ref
from .cases import CASES, Case, Shape

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed; for live parity: pip install -e '.[test,parity]'"
)

from . import run_torch  # noqa: E402

pytestmark = pytest.mark.parity

sizes = st.integers(1, 5)
notes = st.integers(0, 2**32 - 1).map("seed={}".format)  # the name of a case is its seed


def compare(case: Case, tolerance: float) -> None:
    wrong = run_an_ref.disagreements(run_an_ref.results(case), run_torch.results(case), tolerance)
    assert not wrong, f"{case.name}, PyTorch {run_torch.version()}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    compare(case, case.tolerance)


def test_hsigmoid_is_hardsigmoid_up_to_its_rounded_sixth() -> None:
    x = torch.linspace(-4, 4, 17, dtype=torch.float64, requires_grad=True)  # -3 and 3 among them
    pytorchs, ours = torch.nn.functional.hardsigmoid(x), run_torch.hsigmoid(x)
    torch.testing.assert_close(pytorchs, ours, rtol=1e-15, atol=0)
    dy = torch.linspace(1, 2, 17, dtype=torch.float64)
    dx = [torch.autograd.grad(y, x, dy)[0] for y in (pytorchs, ours)]
    torch.testing.assert_close(*dx, rtol=1e-7, atol=0)


@st.composite
def norms(draw: st.DrawFn) -> Case:
    """Any norm on any rank, with at least four values in each statistic: two or three leave dx near zero."""
    op = draw(st.sampled_from(["batch_norm", "batch_norm_eval", "layer_norm", "instance_norm", "group_norm"]))
    groups, per_group, n = draw(sizes), draw(sizes), draw(sizes)
    inner: Shape = tuple(draw(st.lists(sizes, max_size=3)))
    m = math.prod(inner)
    counts = {
        "batch_norm": n * m,
        "layer_norm": groups * per_group * m,
        "instance_norm": m,
        "group_norm": per_group * m,
    }
    if op in counts and counts[op] < 4:
        inner = (*inner[:2], 4)
    hyper: dict[str, Any] = {"eps": draw(st.sampled_from([1e-5, 1e-3, 1.0]))}
    if op == "group_norm":
        hyper["groups"] = groups
    return cases.norm(op, (n, groups * per_group, *inner), note=draw(notes), **hyper)


@st.composite
def batch_norm_layers(draw: st.DrawFn) -> Case:
    shape = (draw(st.integers(4, 7)), draw(sizes), *draw(st.lists(sizes, max_size=3)))
    decay = draw(st.sampled_from([0.0, 0.5, 0.9, 0.999]))
    return cases.running_statistics(shape, note=draw(notes), decay=decay)


@st.composite
def convolutions(draw: st.DrawFn) -> Case:
    groups, inside, outside = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding, kernel = draw(st.integers(0, 3)), (draw(sizes), draw(sizes))
    image = tuple(max(1, k - 2 * padding) + draw(st.integers(0, 6)) for k in kernel)
    return cases.convolution(
        (draw(st.integers(1, 3)), groups * inside, *image),
        (groups * outside, inside, *kernel),
        bias=draw(st.booleans()),
        note=draw(notes),
        stride=draw(st.integers(1, 4)),
        padding=padding,
        groups=groups,
    )


@st.composite
def poolings(draw: st.DrawFn) -> Case:
    """PyTorch takes a padding of at most half the window."""
    op = draw(st.sampled_from(["max_pool2d", "avg_pool2d"]))
    size = draw(sizes)
    padding = draw(st.integers(0, size // 2))
    image = tuple(max(1, size - 2 * padding) + draw(st.integers(0, 6)) for _ in "hw")
    values = draw(st.sampled_from(["", "ties", "negative"]))
    hyper = {"size": size, "padding": padding}
    if draw(st.booleans()):
        hyper["stride"] = draw(st.integers(1, 6))
    return cases.pooling(op, (draw(sizes), draw(sizes), *image), values=values, note=draw(notes), **hyper)


@st.composite
def small_ops(draw: st.DrawFn) -> Case:
    """linear, softmax over a drawn axis, global average pooling and the loss."""
    shape, note = tuple(draw(st.lists(sizes, min_size=4, max_size=4))), draw(notes)
    scale, smoothing = draw(st.sampled_from([1.0, 3.0])), draw(st.sampled_from([0.0, 0.05, 0.5]))
    return draw(
        st.sampled_from(
            [
                cases.linear(shape[:2], shape[2], bias=draw(st.booleans()), note=note),
                cases.elementwise("softmax", shape, scale=scale, note=note, axis=draw(st.integers(-4, 3))),
                cases.global_average(shape, note=note),
                cases.loss((shape[0], shape[1] + 1), scale=scale, note=note, label_smoothing=smoothing),
            ]
        )
    )


@given(case=st.one_of(norms(), batch_norm_layers(), convolutions(), poolings(), small_ops()))
@settings(max_examples=300, deadline=None)
def test_drawn_case(case: Case) -> None:
    compare(case, tolerance=1e-10)  # by chance, the terms of a drawn gradient may cancel to a small one

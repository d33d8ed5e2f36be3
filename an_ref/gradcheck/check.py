"""check_gradients and check_layer: hold a hand-written backward against the derivative of its forward."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..backend import check_same_device, is_array, is_cupy
from ..validation import Array, check_choice
from ..variants import array_names
from . import derivatives
from .curve import step_curve
from .device import Pair, on_host
from .diagnosis import explain, scene
from .measure import Measured, Problem, measure
from .purity import purity_findings
from .report import Finding, Report
from .safety import complex_fault
from .second_order import second_order

CONSTANTS = ("running", "label", "target", "mask", "mean", "var", "std")  # in names of arrays without a gradient
METHODS = ("complex", "central", "five_point", "adjoint", "second_order")
VERBS = ("is ", "has ", "lacks ")  # a diagnosis begins with one of these, or with its own subject
WORDS = {"complex": "complex step", "central": "central differences", "five_point": "five-point differences"}


def check_gradients(
    op: Callable[..., Any],
    op_backward: Callable[..., Any],
    arrays: Sequence[Array],
    *,
    hyper: dict[str, Any] | None = None,
    method: str = "complex",
    cotangent: Array | None = None,
    rng: int | np.random.Generator = 0,
) -> Report:
    """Check that op_backward returns the gradients of op, for any op under the contract of this package.

        y, cache = op(*arrays, **hyper)        gradients = op_backward(dy, cache)        gradient_j = sum_i dy_i J_ij

    op: takes the arrays, differentiable ones first, and returns y and a cache. op_backward: takes dy and the cache and
    returns one gradient for each differentiable array, in order (a single one may come bare).
    method: "complex" (the complex step; exact to about 1e-15), "central" or "five_point" differences, "adjoint":
    <dy, J u> = <J^T dy, u> along a few random directions u, one complex forward for each; or "second_order": the
    derivative H of the gradients of <dy, y>, by complex-stepping op_backward, must be symmetric. Arguments with more
    than 4000 entries are always checked along directions. A forward that does not pass complex numbers through is
    noticed; then central differences are used, and a note says so. cotangent: the dy to use, shaped like y; by default
    it is drawn from `rng`, which is what makes the check see every term.
    Arrays may be CuPy's: op then runs on the GPU, and the checker in NumPy. Derivatives are computed in double
    precision; a float32 gradient is held to what float32 can give.
    Returns a Report with .ok, .max_error, .blind and .findings. Raises ValueError for an unknown method or a cotangent
    of a wrong shape, and TypeError if an argument is not an array.

    Source: Squire & Trapp 1998, SIAM Review 40 (complex step).
    """
    check_choice("check_gradients", "method", method, METHODS)
    arrays = tuple(arrays)
    for index, array in enumerate(arrays):
        if not is_array(array):
            raise TypeError(f"check_gradients: arrays[{index}] must be a NumPy array, got {type(array).__name__}")
    if any(is_cupy(array) for array in arrays):
        (op, op_backward), arrays = on_host(op, op_backward, arrays)
    title, names = getattr(op, "__name__", type(op).__name__), _names(op, hyper or {}, len(arrays))
    return _check(title, names, op, op_backward, arrays, hyper or {}, method, cotangent, rng)


def check_layer(
    layer: Any,
    x: Array,
    *,
    train: bool = True,
    method: str = "complex",
    cotangent: Array | None = None,
    rng: int | np.random.Generator = 0,
) -> Report:
    """Check the gradients of a layer of an_ref.nn with respect to x and each of its parameters.

    Arrays are put into layer.params for each evaluation; parameters and state are what they were afterwards. A layer on
    a GPU, with x there, runs there, and the checker in NumPy. Returns a Report whose names are "x" and the keys of
    layer.params. Raises as check_gradients does.
    """
    check_choice("check_layer", "method", method, METHODS)
    keys, params, state = list(layer.params), dict(layer.params), dict(layer.state)
    for key, array in params.items():
        check_same_device("check_layer", key, array, x)

    def forward(x: Array, *values: Array) -> tuple[Array, tuple[Array, ...]]:
        for key, value in zip(keys, values, strict=True):
            layer.params[key] = value
        y = layer.forward(x, train=train)
        _restore(layer.state, state)
        return y, (x, *values)

    def backward(dy: Array, cache: tuple[Array, ...]) -> tuple[Array, ...]:
        forward(*cache)
        return layer.backward(dy), *(layer.grads[key] for key in keys)

    try:
        pair: Pair = forward, backward
        arrays = (x, *(params[key] for key in keys))
        if is_cupy(x):
            pair, arrays = on_host(*pair, arrays)
        return _check(type(layer).__name__, ["x", *keys], *pair, arrays, {}, method, cotangent, rng)
    finally:
        _restore(layer.params, params)
        _restore(layer.state, state)


def _check(
    title: str,
    names: Sequence[str],
    op: Callable[..., Any],
    op_backward: Callable[..., Any],
    arrays: tuple[Array, ...],
    hyper: dict[str, Any],
    method: str,
    cotangent: Array | None,
    rng: int | np.random.Generator,
) -> Report:
    generator = _generator(rng)
    arrays = tuple(a.copy() for a in arrays)
    y, cache = _pair(title, op(*(a.copy() for a in arrays), **hyper))
    y = np.array(y)  # a copy: op_backward may write to y, or y be a view of x
    dy = _cotangent(y, cotangent, generator)
    returned = op_backward(dy.astype(y.dtype), cache)
    gradients = derivatives.listed(returned)
    comparable = [
        index
        for index, (gradient, array) in enumerate(zip(gradients, arrays, strict=False))
        if np.shape(gradient) == array.shape and array.dtype.kind in "fc" and gradient is not None
    ]
    problem = Problem(op, op_backward, arrays, hyper, y, dy, method, method == "adjoint")
    order = _second_order if method == "second_order" else _first_order
    report = order(title, names, problem, {i: np.array(gradients[i]) for i in comparable}, generator)
    wrong = (*report.findings, *_forgotten(names, len(gradients), problem))
    blamed = {finding.index for finding in wrong}
    purity = purity_findings(op, op_backward, arrays, hyper, dy, names)
    findings = _sorted([*wrong, *(f for f in purity if f.index is None or f.index not in blamed)])
    return replace(report, findings=findings)


def _first_order(
    title: str, names: Sequence[str], problem: Problem, gradients: dict[int, Array], rng: np.random.Generator
) -> Report:
    """Hold each gradient against the derivative of the forward."""
    p = problem
    derivative = "complex" if p.adjoint else p.method
    fault = complex_fault(p.op, p.arrays, list(gradients), p.hyper) if derivative == "complex" else None
    derivative = "central" if fault else derivative
    p = p._replace(method=derivative)
    measured = [measure(p, i, names[i], gradient, rng) for i, gradient in gradients.items()]
    return Report(
        title,
        WORDS[derivative] + (", adjoint test" if p.adjoint else ""),
        {m.name: m.error for m in measured},
        tuple(m.name for m in measured if m.blind),
        _findings([m for m in measured if m.wrong], p, names),
        _notes(fault, measured),
        tuple(measured),
        lambda name: step_curve(p.op, p.arrays, names.index(name), p.dy, p.hyper, complex_safe=fault is None),
    )


def _second_order(
    title: str, names: Sequence[str], problem: Problem, gradients: dict[int, Array], rng: np.random.Generator
) -> Report:
    """Ask whether the derivative of the gradients is symmetric."""
    p = problem
    found = second_order(p.op, p.op_backward, p.arrays, p.hyper, p.dy, names, list(gradients))
    words = f"second order, {WORDS[found.method]} of the backward"
    return Report(title, words, found.errors, (), tuple(found.findings), _notes(found.fault, []))


def _notes(fault: str | None, measured: list[Measured]) -> tuple[str, ...]:
    notes = [f"{fault}; central differences were used, which are less exact"] if fault else []
    rounded = ", ".join(f"d{m.name}" for m in measured if m.rounding)
    if rounded:
        notes.append(
            f"the error of {rounded} is no larger than rounding explains on these inputs, where few digits are right; "
            f"inputs of size 1 in float64 show more of them"
        )
    return tuple(notes)


def _pair(title: str, result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        came = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
        raise TypeError(f"check_gradients: {title} must return the pair (y, cache), got {came}; return y, cache")
    return result


def _forgotten(names: Sequence[str], count: int, problem: Problem) -> list[Finding]:
    """Arrays that y depends on, without a gradient; labels and running statistics have none on purpose."""
    found = []
    for index in range(count, len(problem.arrays)):
        name, array = names[index], problem.arrays[index]
        on_purpose = any(word in name for word in CONSTANTS) and "logits" not in name
        if array.dtype.kind not in "fc" or on_purpose:
            continue
        u = np.random.default_rng(22).standard_normal(array.shape)
        if np.any(derivatives.directional("central", problem.op, problem.exact, index, u, problem.hyper)):
            message = (
                f"d{name} is missing: the number of gradients is {count}, but y depends on {name} too; return its "
                f"gradient, or if it is a constant pass it as a keyword in hyper"
            )
            found.append(Finding(index, name, message))
    return found


def _generator(rng: int | np.random.Generator) -> np.random.Generator:
    # A seed gets a stream of its own: with the stream of default_rng(seed), a user who draws x from the same seed
    # would get dy = x, to which a norm is blind.
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng([rng, *b"cotangent"])


def _restore(mapping: Any, values: dict[str, Array]) -> None:
    for key, value in values.items():
        mapping[key] = value


def _cotangent(y: Array, cotangent: Array | None, generator: np.random.Generator) -> Array:
    if cotangent is None:
        return np.asarray(generator.standard_normal(y.shape))
    if np.shape(cotangent) != y.shape:
        raise ValueError(f"check_gradients: cotangent must have the shape of y, {y.shape}, got {np.shape(cotangent)}")
    return np.asarray(cotangent)


def _names(op: Callable[..., Any], hyper: dict[str, Any], count: int) -> list[str]:
    """Return a name for each argument of op; those behind a * get numbers, but attentive_norm's have names."""
    names: list[str] = []
    try:
        parameters = list(inspect.signature(op).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            known = array_names(hyper) if getattr(op, "__name__", "").startswith("attentive_norm") else []
            names += known + [f"{parameter.name}[{i}]" for i in range(len(known), count)]
        elif parameter.kind is not parameter.VAR_KEYWORD:
            names.append(parameter.name)
    return names + [f"arrays[{i}]" for i in range(len(names), count)]


def _findings(wrong: list[Measured], problem: Problem, names: Sequence[str]) -> tuple[Finding, ...]:
    if not wrong:
        return ()
    with np.errstate(all="ignore"):  # a hypothesis may divide by a zero of the parameters
        seen = scene(problem, names)
        return tuple(_finding(m, explain(m, seen)) for m in wrong)


def _sorted(findings: list[Finding]) -> tuple[Finding, ...]:
    """Those of an argument by its position, then the others."""
    last = max((f.index for f in findings if f.index is not None), default=0) + 1
    return tuple(sorted(findings, key=lambda f: last if f.index is None else f.index))


def _finding(m: Measured, words: str | None) -> Finding:
    said = words or "is wrong; none of the known mistakes fits"
    if m.numeric is None:
        return Finding(m.index, m.name, f"d{m.name} {said}; the argument is large: check a smaller one", m.analytic)
    distance = np.abs(m.analytic - m.numeric)
    where = tuple(int(i) for i in np.unravel_index(np.argmax(distance), distance.shape))
    values = f"op_backward says {m.analytic[where]:.6g} and the derivative is {m.numeric[where]:.6g}"
    says = f"most at {list(where)}, where {values}"
    joint = ": " if words and not words.startswith(VERBS) else " "
    return Finding(m.index, m.name, f"d{m.name}{joint}{said} ({says})", m.analytic, m.numeric, where)

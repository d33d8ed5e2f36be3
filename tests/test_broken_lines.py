"""A proof that the gradient tests can fail: each arithmetic step behind attentive_norm_backward is broken in turn.

Every operation of every line is replaced (a term or factor dropped, a sign or a constant changed), and the gradient
check must find each of these faults.
"""

import __future__

import ast
import inspect
import textwrap

import numpy as np
import pytest

from an_ref import activations, attention, attentive, check_gradients, recalibrate, statistics, sweeps
from tests.cases import case, ops

FUNCTIONS = [
    attentive._backward,
    sweeps.gradient_sums,
    sweeps.combine,
    recalibrate.recalibrate_backward,
    recalibrate.mixture_backward,
    recalibrate.standardize_backward,
    statistics.statistics_backward,
    statistics._part_backward,
    attention.mean_over_std_backward,
    attention.linear_norm_backward,
    activations.hsigmoid_backward,
]
# What an operation is replaced by: another one, or one of its two sides alone.
OTHER = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}


def _mutants(function):
    """Yield (what was changed, code object) for each way to break one operation of a function."""
    body = textwrap.dedent(inspect.getsource(function))
    for index, place in enumerate(_places(ast.parse(body))):
        for way, replacement in enumerate(_replacements(place)):
            tree = ast.parse(body)
            target = list(_places(tree))[index]
            _Swap(target, list(_replacements(target))[way]).visit(tree)
            namespace = {}
            code = compile(
                ast.fix_missing_locations(tree), "<broken>", "exec", flags=__future__.annotations.compiler_flag
            )
            exec(code, dict(function.__globals__), namespace)
            yield f"{ast.unparse(place)} -> {ast.unparse(replacement)}", namespace[function.__name__].__code__


def _places(tree):
    for statement in tree.body[0].body:
        for node in ast.walk(statement):
            operation = isinstance(node, ast.BinOp) and type(node.op) in (*OTHER, ast.MatMult)
            negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
            stage = isinstance(node, ast.Call) and ast.unparse(node.func).startswith("plan.")
            if operation or negative or stage:
                yield node


def _replacements(node):
    if isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Call):
        yield node.args[0]
    else:
        if type(node.op) in OTHER:
            yield ast.BinOp(node.left, OTHER[type(node.op)](), node.right)
        yield node.left
        if not isinstance(node.left, ast.Constant):
            yield node.right


class _Swap(ast.NodeTransformer):
    def __init__(self, old, new):
        self.old, self.new = old, new

    def visit(self, node):
        return self.new if node is self.old else super().visit(node)


def _check():
    """Gradient-check the default path on batch and on switchable statistics, and once with the maximum."""
    for names in ({}, {"standardize": "switchable"}, {"descriptor": "mean_max"}):
        rng = np.random.default_rng(0)
        arrays, hyper = case("attentive_norm", 1 + rng.standard_normal((3, 4, 2, 3)), rng, **names)
        report = check_gradients(*ops("attentive_norm"), arrays, hyper=hyper)
        assert report.ok, report
    _check_digits()


def _check_digits():
    """In float32 with a large mean, which is no float32, the gradients are those of the same numbers in float64."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 4, 2, 3)) + 1e5 / 3
    arrays, hyper = case("attentive_norm", x, rng)
    arrays, dy = [array.astype(np.float32) for array in arrays], rng.standard_normal(x.shape).astype(np.float32)
    op, op_backward = ops("attentive_norm")
    got = op_backward(dy, op(*arrays, **hyper)[1])
    exact = op_backward(dy.astype(np.float64), op(*(array.astype(np.float64) for array in arrays), **hyper)[1])
    for gradient, reference in zip(got, exact, strict=True):
        np.testing.assert_allclose(gradient, reference, rtol=1e-5, atol=1e-5 * np.abs(reference).max())


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_every_broken_operation_turns_the_gradient_check_red(function):
    _check()
    original, survivors, count = function.__code__, [], 0
    try:
        for label, code in _mutants(function):
            function.__code__ = code
            count += 1
            try:
                with np.errstate(all="ignore"):
                    _check()
                survivors.append(label)
            except Exception:
                continue
    finally:
        function.__code__ = original
    assert count > 0
    assert not survivors

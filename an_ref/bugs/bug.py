"""A planted bug: one small change to right code, and how to run what comes out."""

from __future__ import annotations

import ast
import importlib
import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..gradcheck import Report, check_gradients
from ..validation import Array
from .tracking import check_tracking

Inputs = Callable[[np.random.Generator], tuple[tuple[Array, ...], dict[str, Any]]]


class Case(NamedTuple):
    """A pair to check, with arrays and keywords to call it on; for running statistics, a layer class without a pair."""

    op: Callable[..., Any]
    op_backward: Callable[..., Any]
    arrays: tuple[Array, ...]
    hyper: dict[str, Any]


@dataclass(frozen=True)
class Form:
    """Right code in which bugs are planted: the functions `name` and `name`_backward of the module `source`.

    op: the public op whose formula it is. inputs: draws arrays and keywords. body: the function in which a change is
    made where the bug names no other, `name`_backward by default.
    """

    op: str
    source: str
    name: str
    inputs: Inputs
    body: str = ""

    def case(self, module: types.ModuleType | None = None) -> Case:
        """Return the pair of `module` (of the right code by default) with inputs that are the same at every call."""
        module = module or importlib.import_module(self.source)
        arrays, hyper = self.inputs(np.random.default_rng(7))
        op = getattr(module, self.name)
        return Case(op, getattr(module, f"{self.name}_backward", op), arrays, hyper)


@dataclass(frozen=True)
class Bug:
    """A wrong line that somebody may write: in `function` of the form's source, `before` is replaced by `after`.

    name: unique. sentence: what the code does wrong. blames: the arguments whose gradient is wrong (for running
    statistics, what the layer gets wrong). term: what a right diagnosis mentions. incident: where this happened in
    public, "" if we know of none. kind: "gradient" (the backward does not fit the forward), "purity" (the numbers are
    right at first, but a side effect, a shape or a dtype is wrong) or "running" (running statistics, evaluation).
    """

    name: str
    sentence: str
    form: Form
    blames: tuple[str, ...]
    term: str
    before: str
    after: str
    function: str = ""
    incident: str = ""
    kind: str = "gradient"

    @property
    def op(self) -> str:
        """The public op whose formula is broken."""
        return self.form.op

    def apply(self) -> Case:
        """Return the broken pair with inputs for it: small, random, in float64, with axes of different lengths."""
        source = importlib.import_module(self.form.source)
        function = self.function or self.form.body or f"{self.form.name}_backward"
        module = types.ModuleType(source.__name__)
        module.__package__ = source.__package__
        exec(compile(self._text(source, function), f"<{self.name}>", "exec"), module.__dict__)
        return self.form.case(module)

    def intact(self) -> Case:
        """Return the same pair without the bug, with the same inputs."""
        return self.form.case()

    def check(self) -> Report:
        """Run the check that must find it: check_gradients, or for running statistics the hand formula."""
        case = self.apply()
        if self.kind == "running":
            return check_tracking(case.op, *case.arrays, **case.hyper)
        return check_gradients(case.op, case.op_backward, case.arrays, hyper=case.hyper)

    def _text(self, source: types.ModuleType, function: str) -> str:
        """Return the source with the change made. Raises RuntimeError unless `before` stands in it exactly once."""
        text = inspect.getsource(source)
        first, last = _span(text, function)
        lines = text.splitlines(keepends=True)
        body = "".join(lines[first:last])
        count = body.count(self.before)
        if count != 1:
            raise RuntimeError(
                f"{self.name}: expected {self.before!r} once in {source.__name__}.{function}, found it {count} times; "
                f"the source has changed, so change the bug too"
            )
        return "".join(lines[:first]) + body.replace(self.before, self.after) + "".join(lines[last:])


def _span(text: str, function: str) -> tuple[int, int]:
    """Return the first line (from 0) and the end of a function, or of a method named Class.method."""
    body: list[ast.stmt] = ast.parse(text).body
    for name in function.split("."):
        found = [n for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name == name]
        if not found:
            raise RuntimeError(f"there is no function {function} in the source; name one of those in it")
        body = found[0].body
    return found[0].lineno - 1, found[0].end_lineno or len(text)

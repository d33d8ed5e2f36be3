"""Guess inputs for an op from the names of its parameters, and write the code that gives them by hand."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..validation import Array

SHAPES = ((4, 6, 3, 5), (4, 6))  # of the first argument: images, or else vectors
PER_CHANNEL = ("gamma", "beta", "scale", "shift", "bias")  # (C,) each
RUNNING = ("running_mean", "running_var")  # (C,) each; left out where they are optional: they may switch to evaluation
GROUPS = {"groups": 3, "num_groups": 3}  # a divisor of C; the usual default of 32 is none
OTHER = {"eps": 1e-5}


class Guess(NamedTuple):
    """Arrays by name and keywords for an op, and the names for which there is no guess."""

    arrays: dict[str, Array]
    hyper: dict[str, Any]
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        given = [f"{name} {array.shape}" for name, array in self.arrays.items()]
        return ", ".join(given + [f"{name} = {value}" for name, value in self.hyper.items()])


def guess_inputs(op: Callable[..., Any], shape: tuple[int, ...]) -> Guess:
    """Guess inputs for `op` with a first argument of this shape, whatever its name; C is its second size.

    Optional parameters are left out, but for gamma, beta and their like, and for the number of groups.
    """
    rng = np.random.default_rng(0)
    arrays: dict[str, Array] = {}
    hyper: dict[str, Any] = {}
    unknown = []
    for name, parameter in _parameters(op).items():
        optional = parameter.default is not parameter.empty or parameter.kind is parameter.VAR_KEYWORD
        by_name = parameter.kind is parameter.KEYWORD_ONLY
        if not arrays and not by_name and parameter.kind is not parameter.VAR_POSITIONAL:
            arrays[name] = rng.standard_normal(shape)
        elif name in GROUPS or (name in OTHER and not optional):
            hyper[name] = (GROUPS | OTHER)[name]
        elif not by_name and (name in PER_CHANNEL or (name in RUNNING and not optional)):
            values = rng.standard_normal(shape[1])
            arrays[name] = values**2 + 0.5 if name.endswith("var") else values
        elif not optional:
            unknown.append(name)
    return Guess(arrays, hyper, tuple(unknown))


def positional_names(op: Callable[..., Any], count: int) -> list[str]:
    """Return names for the first `count` positional arguments of `op`."""
    parameters = [(name, parameter.kind) for name, parameter in _parameters(op).items()]
    named = [name for name, kind in parameters if kind <= inspect.Parameter.POSITIONAL_OR_KEYWORD]
    return [*named[:count], *(f"arrays[{i}]" for i in range(len(named), count))]


def _parameters(op: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(op).parameters)
    except (TypeError, ValueError):  # a builtin or a ufunc: its first argument is all that one can say
        return {"x": inspect.Parameter("x", inspect.Parameter.POSITIONAL_ONLY)}


def example_code(name: str, guess: Guess) -> str:
    """Return two lines that define NAME_example with arrays for all arguments; those without a guess get (2, 3)."""
    shapes = {key: array.shape for key, array in guess.arrays.items()} | dict.fromkeys(guess.unknown, (2, 3))
    arrays = ", ".join(
        f"rng.random({shape}) + 0.5" if key.endswith("var") else f"rng.standard_normal({shape})"
        for key, shape in shapes.items()
    )
    returned = f"({arrays},), {guess.hyper}" if guess.hyper else f"{arrays},"
    return (
        f"def {name}_example(rng=np.random.default_rng(0)):\n"
        f"    return {returned}  # {', '.join(shapes)}: put in shapes that fit"
    )

"""The code exercises, one file for each notebook; a file has EXERCISES, a dict from names to exercises."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from ..exercise import Exercise


def load(module: str) -> dict[str, Exercise]:
    """Return the exercises of one file, by its name without the ending."""
    exercises: dict[str, Exercise] = importlib.import_module(f"{__name__}.{module}").EXERCISES
    return exercises


def modules() -> list[str]:
    """Return the names of all files with exercises."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Exercise:
    """Return the exercise of this name; raises ValueError, with the nearest name, if there is none."""
    known = {}
    for module in modules():
        known.update(load(module))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0)
        hint = f"; the nearest name is {near[0]!r}" if near else ""
        raise ValueError(f"grade: there is no exercise {name!r}{hint}")
    return known[name]

"""Grade a reader's backward: right, not yet there, or what is wrong with it, in words."""

from __future__ import annotations

import textwrap
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..gradcheck import Report, check_gradients
from ..gradcheck.derivatives import listed
from ..validation import Array
from .exercise import Exercise
from .exercises import find

TOLERANCE = 1e-8  # relative; how near an answer must be to a usual mistake to be called that mistake
WIDTH = 100


class Verdict(NamedTuple):
    """Whether an answer is right, and what to tell the reader."""

    right: bool
    text: str


def grade(name: str, answer: Callable[[Array, Any], Any]) -> None:
    """Check the reader's backward for the exercise `name`, and print the verdict.

    answer: a function of dy and the cache of the exercise's forward that returns the gradients, in the order of the
    forward's arrays. One that returns None or ... is not yet written. Nothing is raised, whatever the answer does; an
    unknown `name` raises ValueError, with the nearest one.
    """
    lines = judge(find(name), answer).text.splitlines()
    print("\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in [f"{name}: {lines[0]}", *lines[1:]]))


def judge(exercise: Exercise, answer: Any) -> Verdict:
    """Return the verdict on an answer.

    A wrong gradient that equals a usual mistake of the exercise gets that mistake's message, and any other one the
    checker's diagnosis.
    """
    if not callable(answer):
        return Verdict(False, f"wrong\n- expected your function of dy and the cache, got {type(answer).__name__}")
    arrays = exercise.arrays(np.random.default_rng(0))
    y, cache = _forward(exercise, arrays)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    try:
        gradients = listed(answer(dy.copy(), cache))
        if all(gradient is None or gradient is ... for gradient in gradients):
            return Verdict(False, "not yet: your function returns nothing so far; write it and run this cell again")
        report = check_gradients(exercise.op, answer, arrays, hyper=dict(exercise.hyper), cotangent=dy)
    except NotImplementedError:
        return Verdict(False, "not yet: your function is not written so far; write it and run this cell again")
    except Exception as error:
        return Verdict(False, f"wrong\n- your function stops{_line(answer, error)}, {type(error).__name__}: {error}")
    if report.ok:
        return Verdict(True, f"right, every gradient agrees with the complex step, worst error {report.max_error:.0e}")
    _, cache = _forward(exercise, arrays)
    return Verdict(False, "\n".join(["wrong", *(f"- {m}" for m in _messages(exercise, report, gradients, cache, dy))]))


def _forward(exercise: Exercise, arrays: tuple[Array, ...]) -> tuple[Array, Any]:
    """Y and a cache of its own: an answer may write to the cache, which may hold x itself."""
    return exercise.op(*(array.copy() for array in arrays), **exercise.hyper)


def _line(answer: Any, error: Exception) -> str:
    """Where in the reader's code it stopped."""
    file = getattr(getattr(answer, "__code__", None), "co_filename", None)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file and frame.line]
    return f" at `{own[-1].line}`" if own else ""


def _messages(exercise: Exercise, report: Report, gradients: list[Any], cache: Any, dy: Array) -> list[str]:
    """Each finding in words; where it is a usual mistake, in the words of the exercise."""
    right = listed(exercise.solution(dy.copy(), cache))
    mistakes = [(listed(wrong(dy.copy(), cache)), hint) for wrong, hint in exercise.hints]
    messages = []
    for finding in report.findings:
        message, index = finding.message, finding.index
        if index is not None and index < len(gradients):
            for wrong, hint in mistakes:
                usual = index < len(wrong) and _near(wrong[index], gradients[index])
                if usual and not _near(wrong[index], right[index]):
                    message = f"d{finding.name}: {hint}"
                    break
        messages.append(message)
    return list(dict.fromkeys(messages))


def _near(a: Any, b: Any) -> bool:
    if np.shape(a) != np.shape(b) or np.asarray(b).dtype.kind not in "fc":
        return False
    return bool(np.max(np.abs(a - b), initial=0) <= TOLERANCE * np.max(np.abs(b), initial=0))

"""A multiple-choice question in plain HTML: a click on a choice opens its answer, without JavaScript."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

Choice = tuple[str, bool, str]


@dataclass(frozen=True)
class Quiz:
    """A question and its choices, each with its text, whether it is right, and why.

    A notebook shows it as HTML, a terminal as text without the answers; `quiz.choices` has them.
    """

    question: str
    choices: tuple[Choice, ...]

    def _repr_html_(self) -> str:
        parts = [f"<p><strong>Predict.</strong> {_html(self.question)}</p>"]
        for letter, (text, right, why) in zip("abcdefgh", self.choices, strict=False):
            verdict = "Right." if right else "Not so."
            parts.append(
                f"<details><summary>{letter}) {_html(text)}</summary>"
                f"<blockquote><strong>{verdict}</strong> {_html(why)}</blockquote></details>"
            )
        return "\n".join(parts)

    def __repr__(self) -> str:
        letters = zip("abcdefgh", self.choices, strict=False)
        return "\n".join([f"Predict. {self.question}", *(f"  {letter}) {text}" for letter, (text, *_) in letters)])


def quiz(question: str, choices: Sequence[Choice]) -> Quiz:
    """Ask the reader to predict; make it the last line of a cell.

    choices: (text, right, why) for each; `why` explains the answer, or the misconception that leads to this choice.
    Mathematics between dollar signs and code between backticks are shown as such. Raises ValueError unless there are
    two to eight choices, one of them right, and a reason for each.
    """
    if not 2 <= len(choices) <= 8:
        raise ValueError(f"quiz: expected two to eight choices, got {len(choices)}")
    right = sum(bool(right) for _, right, _ in choices)
    if right != 1:
        raise ValueError(f"quiz: exactly one choice must be right, got {right}; write it as (text, True, why)")
    for text, _, why in choices:
        if not (text.strip() and why.strip()):
            raise ValueError(f"quiz: every choice needs a text and a reason, but the choice {text!r} lacks one")
    return Quiz(question, tuple(choices))


def _html(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))

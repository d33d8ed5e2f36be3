"""Drawings that answer the pointer and the keyboard: index sets, and batch normalization of three values as a circle.

Plain SVG and JavaScript inside the cell's output, nothing from elsewhere. Where scripts do not run, a text stands in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np

from ..norms import batch_norm, batch_norm_backward

NORMS = {"BN": "BN", "LN": "LN", "IN": "IN", "GN": "GN, 2 groups"}
X, DY = (4.4, 1.0, 0.3), (0.2, -0.7, 3.0)


@dataclass(frozen=True)
class Explorer:
    """A drawing to be explored: a notebook shows it as HTML, a terminal as its text."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def explore_cells() -> Explorer:
    """Show which values of a feature map share a mean and a variance; make it the last line of a cell.

    The map has N = 2 samples, C = 4 channels and M = 4 positions. Choose BN, LN, IN or GN (2 groups) and point at, tap
    or focus a value x[n, c, i]: the values that share its statistics are marked, and their indices and count printed.
    """
    text = (
        "For 2 samples n, 4 channels c and 4 positions i, the mean and the variance of x[n, c, i] are over\n"
        "BN: its channel c in both samples, 2 × 1 × 4 = 8 values;\n"
        "LN: its sample n, 1 × 4 × 4 = 16 values;\n"
        "IN: its sample n and channel c, 1 × 1 × 4 = 4 values;\n"
        "GN with 2 groups: its sample n and the two channels of its group, 1 × 2 × 4 = 8 values."
    )
    return _explorer("cells.html.j2", text, norms=NORMS)


def explore_circle() -> Explorer:
    """Show batch normalization of three values as a circle; make it the last line of a cell.

    N = 3, C = 1, gamma = 1, beta = 0, eps = 0. y sums to zero and has the length sqrt(3): it lies on a circle in the
    plane of the vectors that sum to zero. Drag x or dy, or move them with the arrow keys:

        dx = rstd (dy - mean(dy) - y mean(dy y))

    is tangent to the circle, for the part of dy along (1, 1, 1) and the part along y are taken off. The picture and its
    numbers follow.
    """
    x, dy = np.array(X)[:, None], np.array(DY)[:, None]  # (3, 1)
    y, cache = batch_norm(x, np.ones(1), np.zeros(1), eps=0.0)
    dx = batch_norm_backward(dy, cache)[0]
    shown = [f"({', '.join(f'{value:.2f}' for value in array.ravel())})" for array in (x, dy, y, dx)]
    text = (
        "BN of three values, x = {}, with dy = {}, gives\ny = {} and dx = {}.\n"
        "y sums to 0 and has the length √3: it lies on a circle.\n"
        "dx sums to 0 and dx · y = 0: it is tangent to the circle at y."
    ).format(*shown)
    return _explorer("circle.html.j2", text, x=list(X), dy=list(DY))


def _explorer(template: str, text: str, **values: Any) -> Explorer:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("an_ref.lessons"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return Explorer(environment.get_template(template).render(still=text, **values), text)

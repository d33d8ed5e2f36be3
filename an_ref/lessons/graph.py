"""A computation graph as a list of nodes: the list that is run is the list that is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ..gradcheck.plot import ReportFigure
from ..report.style import INK, drawing
from ..validation import Array


class Node(NamedTuple):
    """One step of a computation.

    name      of its value
    inputs    the names of the values that it takes: of earlier nodes, or of what is put in
    forward   value = forward(*inputs)
    backward  the gradients of its inputs, backward(dvalue, value, *inputs): a tuple, or the bare gradient of one input
    """

    name: str
    inputs: tuple[str, ...]
    forward: Callable[..., Any]
    backward: Callable[..., Any]


def run_graph(
    nodes: Sequence[Node], values: Mapping[str, Any], dy: Array | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the nodes in order, and backward if dy, the gradient of the last node's value, is given.

    values: what is put in, by name. Returns (values, grads), two dicts by name: all values, and the gradients of all
    values that the last one depends on. A value that is used twice gets the sum of its gradients. Raises ValueError if
    a node takes a value that is not there yet, or gives a gradient that is not shaped like its input.
    """
    found = dict(values)
    for node in nodes:
        missing = [name for name in node.inputs if name not in found]
        if missing:
            raise ValueError(f"run_graph: {node.name} takes {missing[0]}, which no earlier node makes")
        found[node.name] = node.forward(*(found[name] for name in node.inputs))
    if dy is None:
        return found, {}
    grads = {nodes[-1].name: dy}
    for node in reversed(nodes):
        if node.name not in grads:
            continue
        returned = node.backward(grads[node.name], found[node.name], *(found[name] for name in node.inputs))
        gradients = returned if isinstance(returned, tuple) else (returned,)
        if len(gradients) != len(node.inputs):
            raise ValueError(
                f"run_graph: the backward of {node.name} must return {len(node.inputs)} gradients, got {len(gradients)}"
            )
        for name, gradient in zip(node.inputs, gradients, strict=True):
            if np.shape(gradient) != np.shape(found[name]):
                raise ValueError(
                    f"run_graph: the backward of {node.name} must return d{name} with the shape of {name}, "
                    f"{np.shape(found[name])}, got {np.shape(gradient)}"
                )
            grads[name] = grads[name] + gradient if name in grads else gradient
    return found, grads


def draw_graph(nodes: Sequence[Node], output: str | None = None) -> Figure:
    """Draw the nodes as boxes and their inputs as arrows, from left to right; what is put in has round corners.

    output: draw only what this value depends on; by default the last node.
    """
    kept = _ancestors(nodes, output or nodes[-1].name)
    columns, edges = _layout(kept)
    places = {name: (x, y - (len(column) - 1) / 2) for x, column in enumerate(columns) for y, name in enumerate(column)}
    made = {node.name for node in kept}
    tall = max(len(column) for column in columns)
    with drawing():
        figure = ReportFigure(figsize=(7, min(5.0, 0.5 + 0.55 * tall)))
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(tall / 2 + 0.1, -tall / 2 - 0.1))
        axes.set_axis_off()
        boxes = {}
        for name, place in places.items():
            if isinstance(name, str):
                shape = "square,pad=0.35" if name in made else "round,pad=0.35,rounding_size=0.9"
                box = {"boxstyle": shape, "facecolor": "#dbe9f6" if name in made else "white", "edgecolor": INK}
                boxes[name] = axes.text(*place, name, ha="center", va="center", fontsize=9, bbox=box, zorder=2)
        for path in edges:
            points = [places[step] for step in path]
            axes.plot(*zip(*points[:-1], strict=True), color=INK, linewidth=1, zorder=1, solid_joinstyle="round")
            arrow = {"arrowstyle": "->", "color": INK, "shrinkA": 0, "shrinkB": 1, "lw": 1}
            arrow["patchB"] = boxes[path[-1]].get_bbox_patch()  # the arrow stops where the box begins
            if len(path) == 2:
                arrow["patchA"] = boxes[path[0]].get_bbox_patch()
            axes.annotate("", points[-1], points[-2], zorder=3, arrowprops=arrow)  # above the box that it points to
    return figure


def _ancestors(nodes: Sequence[Node], output: str) -> list[Node]:
    needed, kept = {output}, []
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
            kept.append(node)
    if not kept:
        raise ValueError(f"draw_graph: no node is named {output!r}; choose from {', '.join(n.name for n in nodes)}")
    return kept[::-1]


def _layout(nodes: Sequence[Node]) -> tuple[list[list[Any]], list[list[Any]]]:
    """Return columns of places, and for each edge the places that it passes.

    A node stands one column right of its last input, an input of the graph one column left of its first use. An edge
    over several columns passes a free place, a tuple, in each of those between. Each column is sorted by where its
    neighbours stand, to and fro, so that fewer arrows cross.
    """
    column: dict[str, int] = {}
    for node in nodes:
        column[node.name] = 1 + max((column.get(name, 0) for name in node.inputs), default=0)
    for node in reversed(nodes):
        for name in node.inputs:
            if not any(other.name == name for other in nodes):
                column[name] = min(column.get(name, len(nodes)), column[node.name] - 1)
    columns: list[list[Any]] = [[] for _ in range(max(column.values()) + 1)]
    for name, x in column.items():
        columns[x].append(name)
    edges = []
    for node in nodes:
        for name in dict.fromkeys(node.inputs):
            between = [(name, node.name, x) for x in range(column[name] + 1, column[node.name])]
            for place in between:
                columns[place[2]].append(place)
            edges.append([name, *between, node.name])
    steps = [pair for path in edges for pair in pairwise(path)]
    for sweep in range(8):
        forth = sweep % 2 == 0
        for x in range(1, len(columns)) if forth else range(len(columns) - 2, -1, -1):
            columns[x] = _sorted(columns[x], _rows(columns[x - 1] if forth else columns[x + 1]), steps)
    return columns, edges


def _sorted(column: list[Any], rows: dict[Any, float], steps: list[tuple[Any, Any]]) -> list[Any]:
    """Sort a column by the mean row of each place's neighbours in the column beside it."""
    own = _rows(column)

    def row(place: Any) -> float:
        near = [rows[other] for step in steps if place in step for other in step if other in rows]
        return float(np.mean(near)) if near else own[place]

    return sorted(column, key=row)


def _rows(column: list[Any]) -> dict[Any, float]:
    return {place: y - (len(column) - 1) / 2 for y, place in enumerate(column)}

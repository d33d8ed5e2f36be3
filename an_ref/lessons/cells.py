"""Draw which maps of a batch share their statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..gradcheck.plot import ReportFigure
from ..report.style import INK, drawing
from ..validation import Array

# Okabe and Ito's palette, lightened; the letters tell the cells apart in print without colours.
FILLS = ("#8ecbf0", "#f3c56b", "#7fd0b5", "#e7b3cf", "#f2a679", "#f5ee9e", "#7fb3d9", "#d0d0d0")


def draw_cells(
    partition: Array | Sequence[Sequence[Any]] | dict[str, Any],
    title: str = "",
    *,
    samples: Sequence[str] = (),
    channels: Sequence[str] = (),
) -> Figure:
    """Draw an N x C table as squares; squares with the same label share a colour and a letter.

    partition: N rows of C labels of any kind (the cell that each map belongs to), or a dict from titles to such tables,
    drawn side by side. samples, channels: what stands beside the rows and above the columns; n = 0, 1, ... and
    c = 0, 1, ... by default. Letters are given in the order in which the labels appear.
    """
    tables = partition if isinstance(partition, dict) else {"": partition}
    grids = {name: np.asarray(table) for name, table in tables.items()}
    rows, columns = next(iter(grids.values())).shape
    width = 7 if len(grids) > 1 else min(7, 0.8 + 0.55 * columns)
    with drawing():
        figure = ReportFigure(
            figsize=(width, width / len(grids) / (columns + 0.6) * (rows + 1.5)), layout="constrained"
        )
        all_axes = figure.subplots(1, len(grids), squeeze=False)[0]
        for index, (axes, (name, grid)) in enumerate(zip(all_axes, grids.items(), strict=True)):
            left = samples or [f"n = {n}" for n in range(rows)]
            _draw(axes, grid, name, [] if index else left, channels or [str(c) for c in range(columns)])
        if title:
            figure.suptitle(title, fontsize=11)
    return figure


def _draw(axes: Axes, grid: Array, title: str, samples: Sequence[str], channels: Sequence[str]) -> None:
    labels = list(dict.fromkeys(grid.ravel().tolist()))
    for (n, c), label in np.ndenumerate(grid):
        index = labels.index(label)
        letter = chr(ord("A") + index) if index < 26 else str(index)
        axes.add_patch(Rectangle((c, n), 1, 1, facecolor=FILLS[index % len(FILLS)], edgecolor=INK, linewidth=1))
        axes.text(c + 0.5, n + 0.5, letter, ha="center", va="center", color=INK, fontsize=10)
    axes.set(xlim=(-0.02, grid.shape[1] + 0.02), ylim=(grid.shape[0] + 0.02, -0.02), aspect="equal")
    axes.set_xticks(np.arange(grid.shape[1]) + 0.5, channels, fontsize=8)
    axes.set_yticks(np.arange(len(samples)) + 0.5, samples, fontsize=8)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.grid(False)
    axes.set_title(title, fontsize=10, loc="center")

"""The figures of a bench: the ratios of every contestant, and how the cost grows."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ..report.style import COLOURS, GREY, drawing, new_figure, save_png
from .contestants import COMPILED, CUPY, DEFAULT, EAGER, FLOOR, LAST, TUNED
from .tables import on_which

# Okabe and Ito's palette; told apart by the shape too, so that a print in grey loses nothing.
LOOKS = {
    "an_ref": ("o", "#d55e00"),
    "an_ref, memory not kept": ("s", "#e69f00"),
    "an_ref, default layout": ("s", "#e69f00"),
    "textbook": ("D", "#8c8c8c"),
    CUPY: ("D", "#8c8c8c"),
    TUNED: ("^", "#0072b2"),
    EAGER: ("^", "#0072b2"),
    LAST: ("^", "#0072b2"),
    DEFAULT: ("v", "#56b4e9"),
    "PyTorch, as it comes": ("v", "#56b4e9"),
    "PyTorch, default layout, as it comes": ("P", "#cc79a7"),
    COMPILED: ("P", "#009e73"),
    FLOOR: ("X", "#23272e"),
}
TITLES = {"norms": "Norms", "convolutions": "Convolutions", "steps": "Step of resnet20"}


def draw_ratios(record: dict[str, Any]) -> bytes | None:
    """Return a PNG with a panel for each section: each contestant's time over the first reference, with quartiles.

    Above stands the GPU, if it was one, with versions and day.
    """
    rows = [row for row in record["rows"] if row["part"] in ("both", "step") and row["ratios"]]
    if not rows:
        return None
    sections = {section: [row for row in rows if row["section"] == section] for section in TITLES}
    sections = {section: own for section, own in sections.items() if own}
    heights = [2.2 + 0.3 * len({row["case"] for row in own}) for own in sections.values()]
    with drawing():
        which = on_which(record)
        figure = new_figure(sum(heights) + (0.6 if which else 0.2))
        if which:
            figure.suptitle(which.replace(", ", "\n", 1), fontsize=8)
        grid = figure.subplots(len(sections), squeeze=False, height_ratios=heights)
        for axes, (section, own) in zip(grid[:, 0], sections.items(), strict=True):
            _ratios(axes, section, own)
        return _png(figure)


def _ratios(axes: Axes, section: str, rows: list[dict[str, Any]]) -> None:
    cases = list(dict.fromkeys(row["case"] for row in rows))
    for name in dict.fromkeys(row["contestant"] for row in rows):
        own = [row for row in rows if row["contestant"] == name]
        spreads = [next(iter(row["ratios"].values())) for row in own]
        marker, colour = LOOKS.get(name, (".", GREY))
        axes.errorbar(
            [median for median, _, _ in spreads],
            [cases.index(row["case"]) for row in own],
            xerr=[[m - low for m, low, _ in spreads], [high - m for m, _, high in spreads]],
            fmt=marker,
            color=colour,
            markersize=5,
            linewidth=1,
            label=name,
            zorder=4 if name == "an_ref" else 3,
        )
    axes.axvline(1, color=GREY, linewidth=1)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    _plain(axes.xaxis, (1, 2, 5) if high < 100 * low else (1,))
    axes.set_yticks(range(len(cases)), cases, fontsize=8)
    axes.set_ylim(len(cases) - 0.4, -0.6)
    axes.grid(axis="x")
    reference = next(iter(rows[0]["ratios"]))
    axes.set_title(f"{TITLES[section]}:\ntime over that of {reference}", fontsize=9.5)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.5, 0), borderaxespad=3, ncols=2, fontsize=8)


def draw_cost(record: dict[str, Any]) -> bytes | None:
    """Return a PNG of log-log panels: time above, peak memory below, against what grows."""
    grown = {vary: lines for vary, lines in record["cost"].items() if vary != "an over bn"}
    if not grown:
        return None
    with drawing():
        figure = Figure(figsize=(2.2 * len(grown), 5))
        grid = figure.subplots(2, len(grown), squeeze=False, sharey="row")
        for column, (vary, lines) in enumerate(grown.items()):
            for row, (key, unit, scale) in enumerate((("seconds", "ms", 1e3), ("memory", "MB", 1e-6))):
                _panel(grid[row, column], vary, lines, key, scale)
                if column == 0:
                    grid[row, 0].set_ylabel("time, ms" if unit == "ms" else "peak memory, MB")
        return _png(figure)


def _panel(axes: Axes, vary: str, lines: list[dict[str, Any]], key: str, scale: float) -> None:
    for entry in lines:
        p = entry["time_exponent" if key == "seconds" else "memory_exponent"]
        label = entry["norm"] if p is None else f"{entry['norm']}: size^{round(p, 2) + 0:.2f}"
        marker = "o" if entry["norm"] == "bn" else "D"
        known = [(size, value * scale) for size, value in zip(entry["sizes"], entry[key], strict=True) if value > 0]
        axes.plot(
            [size for size, _ in known],
            [value for _, value in known],
            marker=marker,
            markersize=4,
            color=COLOURS[entry["norm"]],
            label=label,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    sizes = lines[0]["sizes"]
    axes.set_xticks(sizes, [str(size) for size in sizes], fontsize=8)
    axes.xaxis.minorticks_off()
    _plain(axes.yaxis, (1, 2, 5))
    axes.set_xlabel(vary)
    axes.legend(fontsize=7.5)


def _plain(axis: Axis, digits: tuple[int, ...]) -> None:
    """Write numbers that begin with `digits`, such as 0.5, and not powers of ten, on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=digits))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(labelsize=8)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    save_png(figure, buffer)
    return buffer.getvalue()

"""The figure of each study, beside the published figures where there are some."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from ..report.style import COLOURS, GREY, INK, drawing, new_figure, rows_of_norms, save_png
from .grid import Case
from .published import BY_IMAGES_PER_GPU, BY_PLACEMENT, IMAGES_PER_GPU
from .record import Record
from .summary import CaseSummary, Comparison, compare_cases, summarize_cases
from .tables import describe, net_name

DASHES = (0, (4, 3))
DIVERGED = -5.0  # where the crosses of diverged runs begin, below an accuracy of 0


def draw_study(record: Record) -> bytes:
    """Return the study's figure as a PNG; it shows the runs that have ended."""
    draw = {"batch-size": _draw_batch_size, "depth": _draw_depth, "placement": _draw_placement}
    with drawing():
        buffer = io.BytesIO()
        save_png(draw.get(record["study"], _draw_ablation)(record), buffer)
    return buffer.getvalue()


def _title(record: Record) -> str:
    return f"here: {record['settings']['model']} on {record['dataset']}"


def _draw_batch_size(record: Record) -> Figure:
    summaries = summarize_cases(record)
    figure = new_figure(6.4)
    ours, published = figure.subplots(2, 1)
    for norm in dict.fromkeys(s.case.norm for s in summaries):
        _line(ours, [s for s in summaries if s.case.norm == norm], "batch_size", COLOURS[norm], norm)
    for norm, accuracies in BY_IMAGES_PER_GPU.items():
        known = [(x, y) for x, y in zip(IMAGES_PER_GPU, accuracies, strict=True) if y is not None]
        published.plot(*zip(*known, strict=True), "o-", color=COLOURS[norm], ms=4, label=norm)
    _powers_of_two(ours, sorted({s.case.batch_size for s in summaries}))
    _powers_of_two(published, sorted(IMAGES_PER_GPU))
    ours.set_title(_title(record))
    ours.set(xlabel="images in a batch", ylabel="test accuracy, %")
    published.set_title("published: ResNet-50 on ImageNet-1K (bn at 1 does not converge)")
    published.set(xlabel="images on each GPU", ylabel="top-1 accuracy, %")
    _legend(figure, ours)
    return figure


def _draw_depth(record: Record) -> Figure:
    summaries = summarize_cases(record)
    scales = sorted({s.case.weight_scale for s in summaries})
    figure = new_figure(3.6)
    panels = figure.subplots(1, len(scales), sharex=True, sharey=True, squeeze=False)[0]
    nets = list(dict.fromkeys(net_name(s.case) for s in summaries))
    for scale, axes in zip(scales, panels, strict=True):
        for i, net in enumerate(nets):
            chosen = [s for s in summaries if s.case.weight_scale == scale and net_name(s.case) == net]
            norm = chosen[0].case.norm
            style = DASHES if chosen[0].case.zero_start else "-"
            _line(axes, chosen, "blocks", COLOURS[norm], net, style=style)
            diverged = [s.case.blocks for s in chosen if s.diverged]
            axes.plot(diverged, [DIVERGED - 2.5 * i] * len(diverged), "x", color=COLOURS[norm], ms=6, mew=1.8)
        axes.axhline(100 * record["chance"], color=GREY, linestyle=":", linewidth=1)
        axes.axhline(0, color=GREY, linewidth=0.8)
        _powers_of_two(axes, sorted({s.case.blocks for s in summaries}))
        axes.set_title(f"weights x {scale:g}")
        axes.set_xlabel("blocks a stage")
    panels[0].set_ylabel("test accuracy, %")
    best = 100 * max([accuracy for s in summaries for accuracy in s.accuracies.values()], default=0.8)
    panels[0].set_ylim(DIVERGED - 3 * len(nets), best + 5)
    ticks = [tick for tick in range(0, 101, 20) if tick < best + 5]
    panels[0].set_yticks([DIVERGED - 2, *ticks], ["diverged", *map(str, ticks)])
    _legend(figure, panels[0])
    return figure


def _legend(figure: Figure, axes: Axes) -> None:
    """Name the lines of `axes` above all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), fontsize=9)


def _line(
    axes: Axes,
    chosen: Sequence[CaseSummary],
    field: str,
    colour: str,
    label: str,
    style: str | tuple[int, tuple[int, int]] = "-",
) -> None:
    """Draw the mean of each case as a line and each run as a dot; a case with a diverged run has no mean."""
    x = [getattr(s.case, field) for s in chosen]
    means = [np.nan if s.accuracy is None else 100 * s.accuracy.mean for s in chosen]
    axes.plot(x, means, linestyle=style, color=colour, linewidth=1.8, label=label)
    for at, s in zip(x, chosen, strict=True):
        axes.plot(
            [at] * len(s.accuracies), [100 * a for a in s.accuracies.values()], "o", color=colour, ms=3, alpha=0.6
        )


def _powers_of_two(axes: Axes, ticks: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([str(tick) for tick in ticks])
    axes.grid(axis="y")


def _draw_ablation(record: Record) -> Figure:
    """Show every case against the default AN: what changing one part of it costs."""
    shown = [c for c in compare_cases(record) if c.reference == Case("an")]
    figure = new_figure(0.36 * len(shown) + 1.2)
    _differences(figure.subplots(), shown, record, "an, the default")
    return figure


def _draw_placement(record: Record) -> Figure:
    shown = compare_cases(record)
    published = [
        (f"{net.partition(' ')[0]}, {place}", accuracy - places["BN"])
        for net, places in BY_PLACEMENT.items()
        for place, accuracy in places.items()
        if place != "BN"
    ]
    figure = new_figure(0.36 * (len(shown) + len(published)) + 2.3)
    ours, theirs = figure.subplots(2, 1, height_ratios=[len(shown) + 0.5, len(published) + 0.5])
    _differences(ours, shown, record, "bn")
    theirs.plot([d for _, d in published], range(len(published)), "D", color=COLOURS["an"], ms=6)
    theirs.axvline(0, color=COLOURS["bn"], linewidth=1.4)
    rows_of_norms(theirs, [name for name, _ in published])
    theirs.set_title("published: ImageNet-1K")
    theirs.set_xlabel("top-1 accuracy minus that of BN, percentage points")
    theirs.grid(axis="x")
    return figure


def _differences(axes: Axes, shown: Sequence[Comparison], record: Record, reference: str) -> None:
    """Draw each difference with its 95 % interval, and its seeds as dots; the verdict among all stands beside it."""
    for row, c in enumerate(shown):
        colour = COLOURS[c.case.norm]
        axes.plot([100 * d for d in c.by_seed], [row] * len(c.by_seed), "o", color=colour, ms=3.5, alpha=0.7)
        if c.difference is not None:
            mean, low, high = c.difference
            if low is not None and high is not None:
                axes.plot(
                    [100 * low, 100 * high], [row, row], color=colour, linewidth=7, alpha=0.3, solid_capstyle="butt"
                )
            axes.plot([100 * mean] * 2, [row - 0.27, row + 0.27], color=colour, linewidth=2)
        words = c.among_all or c.why_not
        colour = GREY if words == "cannot tell" else INK
        axes.annotate(words, (1.02, row), xycoords=("axes fraction", "data"), va="center", color=colour)
    axes.axvline(0, color=COLOURS[shown[0].reference.norm], linewidth=1.4)
    rows_of_norms(axes, [describe(c.case, record["study"]) for c in shown])
    axes.grid(axis="x")
    axes.set_title(_title(record))
    axes.set_xlabel(f"test accuracy minus that of {reference}, percentage points")

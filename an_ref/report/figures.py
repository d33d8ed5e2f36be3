"""The report's figures: the images, accuracy, paired differences, learning curves, cost."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..data import Dataset
from .style import COLOURS, GREY, INK, new_figure, rows_of_norms
from .summary import REFERENCE, Summary, verdict


def draw_images(data: Dataset, per_class: int = 10) -> Figure:
    """Show the first training images of every class, one class a row."""
    figure = new_figure(0.52 * len(data.classes) + 0.1)
    axes = figure.subplots(len(data.classes), 1, squeeze=False)[:, 0]
    for label, (name, panel) in enumerate(zip(data.classes, axes, strict=True)):
        images = data.train_images[data.train_labels == label][:per_class]  # (n, 3, 32, 32)
        strip = np.full((images.shape[2], per_class * images.shape[3], 3), 255, dtype=np.uint8)
        if len(images):
            row = np.concatenate(list(images.transpose(0, 2, 3, 1)), axis=1)
            strip[:, : row.shape[1]] = row
        panel.imshow(strip.repeat(3, axis=0).repeat(3, axis=1), interpolation="none")
        panel.set_xticks([])
        panel.set_yticks([strip.shape[0] * 1.5], [str(name)])
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
    return figure


def draw_accuracy(summaries: list[Summary], chance: float) -> Figure:
    """Show the test accuracy of every seed as a dot, the mean as a tick and the interval of the mean as a bar."""
    shown = [s for s in summaries if s.accuracy]
    figure = new_figure(0.38 * len(shown) + 0.9)
    axes = figure.subplots()
    for row, summary in enumerate(shown):
        assert summary.accuracy is not None
        _interval(axes, row, summary.accuracy.mean, summary.accuracy.low, summary.accuracy.high, COLOURS[summary.norm])
        axes.plot(summary.accuracies, [row] * len(summary.accuracies), "o", color=COLOURS[summary.norm], ms=5.5)
    axes.axvline(chance, color=GREY, linestyle=(0, (4, 3)), linewidth=1.2)
    axes.annotate(
        "always the largest class",
        (chance, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, 2),
        textcoords="offset points",
        color=GREY,
        fontsize=9,
    )
    rows_of_norms(axes, [s.norm for s in shown])
    axes.grid(axis="x")
    axes.set_xlabel("share of the test images named correctly")
    return figure


def draw_differences(summaries: list[Summary]) -> Figure:
    """Show each norm's paired difference to the reference with its interval and what it allows to say."""
    shown = [s for s in summaries if s.difference]
    figure = new_figure(0.38 * len(shown) + 0.9)
    axes = figure.subplots()
    for row, summary in enumerate(shown):
        assert summary.difference is not None
        mean, low, high = summary.difference
        _interval(axes, row, mean, low, high, COLOURS[summary.norm])
        axes.plot([mean], [row], "o", color=COLOURS[summary.norm], ms=6)
        axes.annotate(
            verdict(summary.difference),
            (1.02, row),
            xycoords=("axes fraction", "data"),
            va="center",
            color=GREY if verdict(summary.difference) == "cannot tell" else INK,
        )
    axes.axvline(0, color=COLOURS[REFERENCE], linewidth=1.4)
    rows_of_norms(axes, [s.norm for s in shown])
    axes.grid(axis="x")
    axes.set_xlabel(f"test accuracy minus that of {REFERENCE}")
    return figure


def draw_learning_curves(summaries: list[Summary]) -> Figure:
    """Show the training loss by epoch: the mean over the seeds thick, each seed thin."""
    shown = [s for s in summaries if s.train_loss.size]
    figure = new_figure(3.6)
    axes = figure.subplots()
    epochs = np.arange(1, shown[0].train_loss.shape[1] + 1)
    marker = "o" if len(epochs) == 1 else ""  # a single point makes no line
    for summary in shown:
        for losses in summary.train_loss:
            axes.plot(epochs, losses, color=COLOURS[summary.norm], linewidth=0.7, alpha=0.4)
        axes.plot(epochs, summary.train_loss.mean(axis=0), color=COLOURS[summary.norm], linewidth=2, marker=marker)
    low, high = axes.get_ylim()
    ends = np.array([s.train_loss[:, -1].mean() for s in shown])
    heights = _spread(ends, gap=(high - low) * 0.062)
    for summary, end, height in zip(shown, ends, heights, strict=True):
        colour = COLOURS[summary.norm]
        line = {"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 2}
        axes.annotate(
            summary.norm, (epochs[-1], end), xytext=(1.03, height), textcoords=axes.get_yaxis_transform(), va="center",
            color=colour, fontweight="bold", arrowprops=line,
        )  # fmt: skip
    axes.set_xlim(epochs[0] - 0.2, epochs[-1] + 0.1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    axes.set(xlabel="epoch", ylabel="training loss (cross-entropy)")
    return figure


def draw_cost(summaries: list[Summary]) -> Figure:
    """Show the wall time of a run and the number of parameters as bars with their values."""
    shown = [s for s in summaries if s.seconds is not None and s.parameters is not None]
    figure = new_figure(0.38 * len(shown) + 0.7)
    left, right = figure.subplots(1, 2, sharey=True)
    _bars(left, shown, [s.seconds or 0 for s in shown], "{:,.1f}", "seconds for a run")
    _bars(right, shown, [s.parameters or 0 for s in shown], "{:,.0f}", "parameters")
    return figure


def _interval(axes: Axes, row: int, mean: float, low: float | None, high: float | None, colour: str) -> None:
    if low is not None and high is not None:
        axes.plot([low, high], [row, row], color=colour, linewidth=7, alpha=0.3, solid_capstyle="butt")
    axes.plot([mean, mean], [row - 0.27, row + 0.27], color=colour, linewidth=2)


def _bars(axes: Axes, shown: list[Summary], values: list[float], form: str, title: str) -> None:
    bars = axes.barh(range(len(shown)), values, height=0.62, color=[COLOURS[s.norm] for s in shown])
    axes.bar_label(bars, [form.format(value) for value in values], padding=3)
    axes.set_title(title)
    axes.set_xlim(0, max(values) * 1.35)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    rows_of_norms(axes, [s.norm for s in shown])


def _spread(values: NDArray, gap: float) -> NDArray:
    """Return heights for labels near `values` that lie at least `gap` apart, in the same order."""
    order = np.argsort(values)
    heights = values[order].astype(np.float64)
    for _ in range(200):  # push neighbours apart, half a lack each; a few rounds settle it
        lack = np.maximum(gap - np.diff(heights), 0)
        if lack.max(initial=0) < gap / 100:
            break
        heights[:-1] -= lack / 2
        heights[1:] += lack / 2
    spread = np.empty_like(heights)
    spread[order] = heights
    return spread

"""Three views of the worst argument of a check: where the error is, analytic against numeric, error against step."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from ..report.style import GREY, INK, drawing
from ..validation import Array
from .curve import ORDERS, SMALLEST_ERROR, StepCurve, optimum
from .measure import Measured

if TYPE_CHECKING:
    from .report import Report

# Okabe and Ito's palette: told apart with every kind of colour vision. Each method has a marker of its own too.
STYLES = {
    "complex": ("#009e73", "^", "complex step"),
    "central": ("#0072b2", "o", "central difference"),
    "five_point": ("#e69f00", "s", "five-point difference"),
}
WORST = "#d55e00"
STRIP = 40  # longer one-dimensional arguments are shown as a block of rows


class ReportFigure(Figure):
    """A figure that a notebook shows by itself, without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=100, facecolor="white")
        return buffer.getvalue()


def plot_report(report: Report) -> Figure:
    """Draw the worst argument of a report in three panels; the figure belongs to no window.

    Left: |analytic - numeric| of each entry, maps as tiles. Middle: analytic against numeric, which lie on the diagonal
    where they agree. Right: the error of central, five-point and complex-step derivatives along a random direction
    against their step size, with slopes 2 and 4 and the best steps, and that of op_backward. An argument that was
    checked along directions has no entries to show in the first two.
    """
    with drawing():
        figure = ReportFigure(figsize=(13, 4.3), layout=ConstrainedLayoutEngine(wspace=0.06))
        where, against, steps = figure.subplots(1, 3)
        worst = _worst(report)
        if worst is None:
            figure.suptitle(f"{report.op}: no gradient could be compared", x=0.01, ha="left", fontweight="bold")
            _say(where, "; ".join(finding.message for finding in report.findings) or "It was given no array.", 130)
            against.set_axis_off()
            steps.set_axis_off()
            return figure
        verdict = "wrong" if worst.wrong else "right"
        title = f"{report.op}: d{worst.name} is {verdict}, error {worst.error:.1e} ({report.method})"
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
        _error_map(where, worst)
        _analytic_against_numeric(against, worst)
        _error_against_step(steps, worst, report.curve(worst.name))
    return figure


def _worst(report: Report) -> Measured | None:
    def badness(m: Measured) -> tuple[bool, float]:
        return m.wrong, np.inf if np.isnan(m.error) else m.error

    return max(report.measured, key=badness, default=None)


def _say(axes: Axes, text: str, width: int = 44) -> None:
    axes.set_axis_off()
    axes.text(0, 0.95, "\n".join(textwrap.wrap(text, width)), va="top", color=INK, transform=axes.transAxes)


def _no_entries(axes: Axes, m: Measured) -> None:
    _say(
        axes,
        f"{m.name} has {m.analytic.size:,} entries and was checked along random directions, so there is no derivative "
        f"for each entry to show. Check a smaller array to see one.",
    )


# --- where the error is ----------------------------------------------------------------------------------------------
def _error_map(axes: Axes, m: Measured) -> None:
    if m.numeric is None:
        axes.set_title("Where is the error?")
        _no_entries(axes, m)
        return
    error: Array = np.abs(m.analytic - m.numeric)
    finite = np.isfinite(error)
    low, high = _range(error[finite], float(np.abs(m.numeric).max(initial=0)) or 1.0, m.wrong)
    picture, rows, columns = _tiled(np.where(finite, np.maximum(error, low), 10 * high))
    colours = matplotlib.colormaps["cividis"].with_extremes(over=WORST)
    image = axes.imshow(picture, cmap=colours, norm=LogNorm(low, high), interpolation="none")
    axes.set_aspect("equal" if 1 / 4 < picture.shape[0] / picture.shape[1] < 4 else "auto")
    axes.figure.colorbar(image, ax=axes, label="|op_backward − derivative|", shrink=0.85)
    words = "rounding alone"
    if not finite.all():
        words = f"orange: {error.size - finite.sum()} of {error.size} entries are not finite"
    elif m.wrong:
        worst = np.unravel_index(int(np.argmax(error)), error.shape)
        words = f"most at {[int(i) for i in worst]} (ring)" if worst else "in the only entry"
        for colour, width in (("white", 3.5), (WORST, 1.8)):
            place = columns[worst], rows[worst]
            axes.plot(*place, "o", ms=13, mfc="none", mec=colour, mew=width, clip_on=False)
    axes.set_title(f"Where is the error?\n{words}")
    _label_tiles(axes, m, rows, columns)


def _range(errors: Array, scale: float, wrong: bool) -> tuple[float, float]:
    """Return the ends of the colour scale: those of the errors, but rounding alone shall look like nothing."""
    floor, high = SMALLEST_ERROR * scale, float(errors.max(initial=0))
    if not wrong or high <= 10 * floor:
        return floor, max(high, 1e-8 * scale)
    return max(floor, float(errors.min())), high


def _tiled(values: Array) -> tuple[Array, Array, Array]:
    """Return a picture of an array of any shape, and the row and column in it of each entry.

    (N, C, H, W) becomes N rows and C columns of tiles with gaps of NaN; more axes are joined with H; a long vector
    becomes a block of rows.
    """
    rows: Array
    columns: Array
    if values.ndim < 2:
        width = values.size if values.size <= STRIP else int(np.ceil(np.sqrt(2 * values.size)))
        rows, columns = np.divmod(np.arange(values.size).reshape(values.shape), width)
    elif values.ndim == 2:
        rows, columns = np.asarray(np.indices(values.shape))
    else:
        N, C, W = *values.shape[:2], values.shape[-1]
        H = values.size // (N * C * W)
        n, c, h, w = np.indices((N, C, H, W)).reshape(4, *values.shape)
        gap = max(1, round(max(H, W) / 12)) if H * W > 1 else 0
        rows, columns = n * (H + gap) + h, c * (W + gap) + w
    picture = np.full((int(rows.max()) + 1, int(columns.max()) + 1), np.nan)
    picture[rows, columns] = values
    return picture, rows, columns


def _label_tiles(axes: Axes, m: Measured, rows: Array, columns: Array) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if m.analytic.ndim < 2:
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        if m.analytic.ndim == 0:
            axes.set_xticks([])
        axes.set_xlabel("entry" if m.analytic.size <= STRIP else "entries, row by row")
        return
    names = ("sample", "channel") if m.name == "x" else ("first axis", "second axis")
    for axis, places, name in ((0, rows, names[0]), (1, columns, names[1])):
        length = m.analytic.shape[axis]
        shown = range(0, length, max(1, -(-length // 8)))
        centres = [float(places.take(i, axis).mean()) for i in shown]
        label = f"{name} (each tile is one map)" if axis == 1 and m.analytic.ndim > 2 else name
        (axes.set_yticks if axis == 0 else axes.set_xticks)(centres, [str(i) for i in shown])
        (axes.set_ylabel if axis == 0 else axes.set_xlabel)(label)


# --- analytic against numeric ----------------------------------------------------------------------------------------
def _analytic_against_numeric(axes: Axes, m: Measured) -> None:
    axes.set_title("Right entries lie on the line")
    if m.numeric is None:
        _no_entries(axes, m)
        return
    shown = np.isfinite(m.analytic) & np.isfinite(m.numeric)
    analytic, numeric = m.analytic[shown].ravel(), m.numeric[shown].ravel()
    if shown.sum() < shown.size:
        axes.set_title(f"Right entries lie on the line ({shown.size - shown.sum()} of {shown.size} are not finite)")
    if not analytic.size:
        return
    values = np.concatenate([analytic, numeric])
    margin = 0.06 * (float(np.ptp(values)) or 1.0)
    limits = float(values.min()) - margin, float(values.max()) + margin
    axes.plot(limits, limits, color=GREY, linewidth=1.2, zorder=1)
    axes.plot(numeric, analytic, "o", color="#0072b2", ms=4, alpha=0.6 if analytic.size > 100 else 0.9, mew=0)
    if m.wrong and shown.all():
        worst = int(np.argmax(np.abs(analytic - numeric)))
        axes.plot(numeric[worst], analytic[worst], "o", ms=11, mfc="none", mec=WORST, mew=1.8)
    axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel="derivative (numeric)", ylabel="op_backward (analytic)")
    axes.grid()


# --- error against step ----------------------------------------------------------------------------------------------
def _error_against_step(axes: Axes, m: Measured, curve: StepCurve) -> None:
    axes.set_title("How exact is the derivative at step h?")
    for method in [method for method in STYLES if method in curve.errors]:
        (colour, marker, label), errors = STYLES[method], curve.errors[method]
        if method in ORDERS:
            _slope(axes, curve.steps, errors, ORDERS[method])
            best, error = optimum(curve.steps, errors)
            axes.plot(best, error, "o", ms=11, mfc="none", mec=colour, mew=1.8)
            label += f", best h {best:.0e}".replace("e-0", "e-")
        axes.loglog(curve.steps, errors, marker=marker, ms=3.5, linewidth=1.3, color=colour, label=label)
    backward = max(curve.error(m.analytic), SMALLEST_ERROR)
    if np.isfinite(backward):
        axes.axhline(backward, color=WORST, linestyle=(0, (5, 3)), linewidth=1.5, label="op_backward")
    axes.set(xlabel=f"step h, relative to the size of {m.name}", ylabel="relative error", ylim=(3e-18, 1e7))
    axes.set_xticks(10.0 ** np.arange(-13, 0, 3))
    axes.set_yticks(10.0 ** np.arange(-16, 1, 4))
    axes.grid()
    axes.legend(loc="upper left", fontsize=9, labelspacing=0.3)  # above an error of 1 there is room for it


def _slope(axes: Axes, steps: Array, errors: Array, order: int) -> None:
    """Draw a line of slope `order` beside the part of the curve that has this slope, if it has one.

    Left of the curve for slope 2, right of it for slope 4: there nothing else is drawn.
    """
    logs = np.log10(errors)
    steep = np.flatnonzero(np.abs(np.diff(logs) / np.diff(np.log10(steps)) - order) < 0.25)
    if len(steep) < 2:
        return
    first, last = steep[0], steep[-1] + 1
    side = 1 if order == 4 else -1
    ends = steps[[first, last]] * 3.0**side
    heights = 10 ** logs[last] * (steps[[first, last]] / steps[last]) ** order
    axes.plot(ends, heights, color=GREY, linewidth=1.2, linestyle=(0, (2, 2)))
    place = [float(10 ** (0.65 * np.log10(v[0]) + 0.35 * np.log10(v[1]))) for v in (ends, heights)]
    axes.annotate(
        f"slope {order}", (place[0], place[1]), (6 * side, -2 * side), textcoords="offset points", fontsize=9,
        ha="left" if side > 0 else "right", va="center",
    )  # fmt: skip

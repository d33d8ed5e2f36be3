"""How the report looks: one colour and one description for each norm, and how a figure becomes PNG and SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette and, for AN on other statistics, Tol's "muted": told apart with every kind of colour vision.
COLOURS = {
    "none": "#8c8c8c",
    "bn": "#0072b2",
    "ln": "#cc79a7",
    "in": "#56b4e9",
    "gn": "#009e73",
    "sn": "#e69f00",
    "se": "#a58f00",
    "an": "#d55e00",
    "an-gn": "#117733",
    "an-ln": "#aa4499",
    "an-in": "#6a5acd",
    "an-sn": "#882255",
}

MEANINGS = {
    "none": "no normalization",
    "bn": "Batch Normalization: each channel, over all images of the batch",
    "ln": "Layer Normalization: each image, over all its channels",
    "in": "Instance Normalization: each channel of each image by itself",
    "gn": "Group Normalization: each image, over groups of channels",
    "sn": "Switchable Normalization: a learned mixture of instance, layer and batch statistics",
    "se": "BN, then Squeeze-and-Excitation: the image itself sets a gate between 0 and 1 for each channel",
    "an": "Attentive Normalization: BN whose scale and shift are mixed anew for each image",
    "an-gn": "Attentive Normalization on group statistics (the other norms are GN too)",
    "an-ln": "Attentive Normalization on layer statistics (the other norms are LN too)",
    "an-in": "Attentive Normalization on instance statistics (the other norms are IN too)",
    "an-sn": "Attentive Normalization on switchable statistics (the other norms are SN too)",
}

INK = "#23272e"  # replaced by the page's own text colour in the SVG, so that figures follow its dark mode
GREY = "#8a9099"  # readable on white and on black
WIDTH = 5.6  # inches: small enough that the letters stay readable on a phone

RC: dict[Any, Any] = {
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GREY,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw and save figures with the report's settings, whatever the user's own matplotlib settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def new_figure(height: float) -> Figure:
    """Return a figure of the report's width; it belongs to no window and to no global state."""
    return Figure(figsize=(WIDTH, height))


def rows_of_norms(axes: Axes, norms: list[str]) -> None:
    """Write one norm beside each row 0, 1, ..., the first at the top."""
    axes.set_yticks(range(len(norms)), norms)
    axes.set_ylim(len(norms) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def save_png(figure: Figure, file: Path | IO[bytes]) -> None:
    """Write `figure` to `file` on white."""
    figure.savefig(file, format="png", dpi=160, facecolor="white", metadata={"Software": None})


def to_svg(figure: Figure, name: str) -> str:
    """Return `figure` as an <svg> element to place in a page: no size, no background, ids that begin with `name`."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1, flags=re.DOTALL)
    svg = svg.replace("<svg ", '<svg aria-hidden="true" ', 1)
    return svg.replace(INK, "currentColor")

"""Draw docs/layers.png, the picture at the top of the README: python scripts/make_picture.py

Two samples (rows) of four channels (columns), one square for each map. Squares of one colour share a mean and variance.
Four channels, not three, because group normalization needs two groups of two to look different from its limits.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

COLORS = ["#4477AA", "#CC6677", "#DDCC77", "#228833", "#66CCEE", "#AA3377", "#EE8866", "#999999"]
COLORS += ["#BBBBEE", "#F4B6C0", "#1B2A6B", "#7B2D3A", "#8A7D1F", "#0B4D2B"]
OFFSET = {"instance": 0, "layer": 8, "batch": 10}  # so that the parts of a mixture have colours of their own
N, C = 2, 4
CELLS = {  # which cell (colour) each map belongs to
    "batch": [list(range(C)) for n in range(N)],
    "layer": [[n for c in range(C)] for n in range(N)],
    "instance": [[n * C + c for c in range(C)] for n in range(N)],
    "group": [[n * 2 + c // 2 for c in range(C)] for n in range(N)],
}
PANELS = [  # layer, statistics to draw, statistics in words, who sets the scale
    ("BN", ["batch"], "all samples\nof a channel", "the channel: γ[c]"),
    ("LN", ["layer"], "all channels\nof a sample", "the channel: γ[c]"),
    ("IN", ["instance"], "each map\nalone", "the channel: γ[c]"),
    ("GN", ["group"], "the channels of a\ngroup, one sample", "the channel: γ[c]"),
    ("SN", ["instance", "layer", "batch"], "a learned mix of\nIN, LN and BN", "the channel: γ[c]"),
    ("SE", [], "none: the features\nstay as they are", "the sample: s[n,c]"),
    ("AN", ["batch"], "as BN (or LN, IN,\nGN, SN)", "both: Σₖ λ[n,k] γ[k,c]"),
]


def draw_maps(ax: Axes, statistics: list[str]) -> None:
    """Draw N x C squares; each is split into one stripe for each of the statistics that are mixed."""
    for n in range(N):
        for c in range(C):
            x, y = c * 1.12, (N - 1 - n) * 1.12
            stripes = max(1, len(statistics))
            for k in range(stripes):
                offset = OFFSET[statistics[k]] if stripes > 1 else 0
                color = COLORS[CELLS[statistics[k]][n][c] + offset] if statistics else "white"
                ax.add_patch(Rectangle((x + k / stripes, y), 1 / stripes, 1, facecolor=color, linewidth=0))
            ax.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor="#333333", linewidth=1.2))
        ax.text(-0.2, (N - 1 - n) * 1.12 + 0.5, f"n={n}", ha="right", va="center", fontsize=9, color="#555555")
    for c in range(C):
        ax.text(c * 1.12 + 0.5, N * 1.12 + 0.02, f"c={c}", ha="center", va="bottom", fontsize=9, color="#555555")
    ax.set(xlim=(-1.0, C * 1.12 + 0.1), ylim=(-0.05, N * 1.12 + 0.4), aspect="equal")
    ax.axis("off")


def main() -> None:
    """Draw the picture."""
    plt.rcParams["font.family"] = "DejaVu Sans"
    figure, axes = plt.subplots(1, len(PANELS), figsize=(15.4, 3.3), dpi=130)
    figure.subplots_adjust(left=0.075, right=0.995, top=0.86, bottom=0.36, wspace=0.06)
    for ax, (name, statistics, shared, scale) in zip(axes, PANELS, strict=True):
        draw_maps(ax, statistics)
        ax.set_title(name, fontsize=17, fontweight="bold", pad=10)
        middle = ax.get_position().x0 + ax.get_position().width * 0.58
        figure.text(middle, 0.24, shared, ha="center", va="center", fontsize=10.5)
        figure.text(middle, 0.075, scale, ha="center", va="center", fontsize=10.5)
    label = {"ha": "left", "va": "center", "fontsize": 10.5, "fontweight": "bold", "color": "#333333"}
    figure.text(0.006, 0.62, "one square:\none map\nx[n, c, :, :]", **label)
    figure.text(0.006, 0.24, "mean and\nvariance from", **label)
    figure.text(0.006, 0.075, "who sets\nthe scale", **label)
    for height in (0.345, 0.15):
        figure.add_artist(plt.Line2D([0.006, 0.995], [height, height], color="#cccccc", linewidth=0.8))
    last = axes[-1].get_position()
    box = (last.x0 - 0.002, 0.01), last.width + 0.006, 0.98
    style = {"boxstyle": "round,pad=0,rounding_size=0.01", "facecolor": "#f4f1fa", "edgecolor": "#b7a6d9", "zorder": -1}
    figure.add_artist(FancyBboxPatch(*box, **style))
    target = Path(__file__).resolve().parent.parent / "docs" / "layers.png"
    figure.savefig(target, facecolor="white", metadata={"Software": None})
    print(f"wrote {target.name}")


if __name__ == "__main__":
    main()

"""The report's figures of what attention learned: AN's weights, SN's mixtures, SE's gates."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import COLOURS, INK, new_figure

SHOWN_LAYERS = 4


class Attention(NamedTuple):
    """What one norm's layers learned: `kind` is lambda, gates or mixture, `layers` as `an_ref.observation` has it."""

    kind: str
    norm: str
    seed: int  # of the net that is shown; mixtures are averaged over the seeds
    layers: dict[str, dict[str, Any]]

    @property
    def name(self) -> str:
        """The name of the figure and of its PNG file."""
        return f"{self.kind}_{self.norm}"


def find_attention(results: dict[str, Any], details: dict[str, Any]) -> list[Attention]:
    """Return everything there is to show, AN's weights first, then the mixtures, then the gates."""
    found = []
    for kind in ("lambda", "mixture", "gates"):
        for norm, entry in results["results"].items():
            observed = [attention[kind] for attention in details[norm]["attention"]]
            if observed and observed[0]:
                layers = _mean_mixtures(observed) if kind == "mixture" else observed[0]
                found.append(Attention(kind, norm, entry["seeds"][0], layers))
    return found


def draw_attention(found: list[Attention], results: dict[str, Any]) -> dict[str, tuple[Figure, str]]:
    """Return the figure and its description in words for each entry of `found`, by name."""
    drawn = {}
    for part in found:
        shares = ", ".join(
            f"{layer['where']} {layer['share']:.0%}" for layer in part.layers.values() if "share" in layer
        )
        if part.kind == "mixture":
            figure = draw_mixtures(part.layers)
            words = "; ".join(f"{layer['where']}: {_in_words(layer)}" for layer in part.layers.values())
            drawn[part.name] = figure, f"Shares of the statistics by layer. {words}."
        elif part.kind == "lambda":
            figure = draw_by_class(part.layers, results["classes"], what="mixtures", numbers=True)
            drawn[part.name] = figure, f"Weights by class; share of their variation that goes with the class: {shares}."
        else:
            figure = draw_by_class(part.layers, results["classes"], what="channels", numbers=False)
            drawn[part.name] = figure, f"Gates by class; share of their variation that goes with the class: {shares}."
    return drawn


def _mean_mixtures(observed: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return each layer's shares averaged over the seeds."""
    return {
        name: {
            "where": layer["where"],
            "parts": layer["parts"],
            **{kind: np.mean([o[name][kind] for o in observed], axis=0).tolist() for kind in ("mean", "variance")},
        }
        for name, layer in observed[0].items()
    }


def _in_words(layer: dict[str, Any]) -> str:
    return ", ".join(
        f"{kind} " + " ".join(f"{part} {share:.0%}" for part, share in zip(layer["parts"], layer[kind], strict=True))
        for kind in ("mean", "variance")
    )


def choose_layers(names: list[str]) -> list[str]:
    """Return at most four names, evenly spaced from the first to the last: more would make an endless figure."""
    if len(names) <= SHOWN_LAYERS:
        return names
    return [names[i] for i in np.linspace(0, len(names) - 1, SHOWN_LAYERS).round().astype(int)]


def draw_by_class(layers: dict[str, dict[str, Any]], classes: list[str], *, what: str, numbers: bool) -> Figure:
    """Show mean weights (or gates) of each class as rows of colours, one panel a layer.

    Columns are sorted by their mean over the classes, largest first; blue is above and red below that mean.
    """
    names = choose_layers(list(layers))
    figure = new_figure(len(names) * (0.24 * len(classes) + 0.55) + 0.75)
    tables = {}
    for name in names:
        table = np.array(layers[name]["by_class"])  # (classes, K)
        tables[name] = table[:, np.argsort(-table.mean(axis=0))]
    limit = max(float(np.abs(table - table.mean(axis=0)).max()) for table in tables.values()) or 1e-3
    panels = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for (name, table), axes in zip(tables.items(), panels, strict=True):
        apart = table - table.mean(axis=0)
        mesh = axes.pcolormesh(apart, cmap="RdBu", vmin=-limit, vmax=limit, edgecolors="face", linewidth=0.2)
        axes.set_title(f"{layers[name]['where']}: {layers[name]['share']:.0%} goes with the class".replace("%", " %"))
        axes.set_yticks(np.arange(len(classes)) + 0.5, classes)
        axes.set_xticks([])
        axes.invert_yaxis()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if numbers:
            _write_numbers(axes, table, np.abs(apart) > 0.6 * limit)
    axes.set_xlabel(what)
    bar = figure.colorbar(mesh, ax=list(panels), location="bottom", aspect=40, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label("above or below the mean of the column")
    return figure


def _write_numbers(axes: Axes, table: NDArray[Any], dark: NDArray[Any]) -> None:
    for (row, column), value in np.ndenumerate(table):
        ink = "white" if dark[row, column] else "#24282f"  # as the cell's colour, the same in dark mode
        axes.text(column + 0.5, row + 0.53, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=ink)


def draw_mixtures(layers: dict[str, dict[str, Any]]) -> Figure:
    """Show for every layer which share instance, layer and batch statistics have in the mean and in the variance."""
    parts = next(iter(layers.values()))["parts"]
    figure = new_figure(0.5 * len(layers) + 1.1)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, kind in ((left, "mean"), (right, "variance")):
        shares = np.array([layer[kind] for layer in layers.values()])  # (layers, parts)
        starts = np.cumsum(shares, axis=1) - shares
        for part, name in enumerate(parts):
            bars = axes.barh(range(len(layers)), shares[:, part], left=starts[:, part], height=0.7, color=COLOURS[name])
            words = [f"{share:.0%}" if share > 0.15 else "" for share in shares[:, part]]  # no room for more
            axes.bar_label(bars, words, label_type="center", color="white")
            bars.set_label(name)
        axes.set_title(f"of the {kind}")
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 1 / 3, 2 / 3, 1], ["", "1/3", "2/3", ""])
        axes.set_yticks(range(len(layers)), [layer["where"] for layer in layers.values()])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    left.invert_yaxis()
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(parts), labelcolor=INK)
    return figure

"""The report itself: one HTML file that needs nothing else, and its figures as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from matplotlib.figure import Figure

from ..data import Dataset
from ..files import replace_file
from . import figures
from .attention_figures import draw_attention, find_attention
from .style import COLOURS, MEANINGS, drawing, save_png, to_svg
from .summary import REFERENCE, Summary, summarize, verdict

COUNTS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve")


class Drawn(NamedTuple):
    """A figure in the page: the <svg> element and what it shows, for those who cannot see it."""

    svg: str
    alt: str


def write_report(out: Path, results: dict[str, Any], details: dict[str, Any], data: Dataset) -> Path:
    """Write `report.html` and `figures/*.png` into the folder `out` and return the page's path.

    `results` and `details` are as `an_ref.results` describes them, `data` the images that were used. Whatever is
    missing (norms, seeds, failed or interrupted runs) is left out and the page says so. At least one run must have
    finished: ValueError otherwise.
    """
    summaries = summarize(results, details)
    if not any(s.accuracy for s in summaries):
        raise ValueError("write_report: no run finished, so there is nothing to show; see `failed` in the results")
    attention = find_attention(results, details)
    with drawing():
        drawn = _finish({**_figures(summaries, results, data), **draw_attention(attention, results)}, out / "figures")
    page = _template().render(
        results=results,
        summaries=summaries,
        figures=drawn,
        colours=COLOURS,
        meanings=MEANINGS,
        reference=REFERENCE,
        verdict=verdict,
        title=f"{COUNTS[len(summaries)]} way{'s' * (len(summaries) != 1)} to normalize, one small net",
        lead=lead_sentence(summaries),
        finished=sum(len(s.seeds) for s in summaries),
        planned=len(summaries) * len(results["seeds"]),
        failed=[(s.norm, f["seed"], f["reason"]) for s in summaries for f in s.failed],
        many_seeds=any(len(s.seeds) > 1 for s in summaries),
        paired=any(s.difference for s in summaries),
        paired_seeds=max(len(s.paired_seeds) for s in summaries),
        comparisons=sum(s.difference is not None for s in summaries),
        no_pairs=_why_no_pairs(summaries),
        size="{} × {}".format(*data.train_images.shape[2:]),
        largest=results["classes"][int(np.bincount(data.test_labels).argmax())],
        attention=attention,
        chance_share=f"{(len(results['classes']) - 1) / max(results['test_images'] - 1, 1):.0%}".replace("%", " %"),
    )
    page = page.replace(" %", "\N{NO-BREAK SPACE}%")  # a number and its sign stay on one line
    replace_file(out / "report.html", page.encode())
    return out / "report.html"


def lead_sentence(summaries: list[Summary]) -> str:
    """Return what the comparison found, in words: who leads, and who differs from the reference."""
    finished = [s for s in summaries if s.accuracy]
    best = max(finished, key=lambda s: s.accuracy.mean if s.accuracy else 0)
    assert best.accuracy is not None
    share = f"{100 * best.accuracy.mean:.0f} %"
    if len(finished) == 1:
        return f"With {_spoken(best.norm)} the net names {share} of the test images correctly."
    sentences = [f"The net is right most often with {_spoken(best.norm)}: on {share} of the test images."]
    groups = {
        word: [_spoken(s.norm) for s in finished if s.difference and verdict(s.difference) == word]
        for word in ("better", "worse", "cannot tell")
    }
    if groups["better"]:
        sentences.append(f"Clearly better than {REFERENCE}: {_listed(groups['better'])}.")
    if groups["worse"]:
        sentences.append(f"Clearly worse than {REFERENCE}: {_listed(groups['worse'])}.")
    if len(groups["cannot tell"]) > 1 and not (groups["better"] or groups["worse"]):
        sentences.append(f"But no norm is clearly better or worse than {REFERENCE}: this experiment cannot tell.")
    elif groups["cannot tell"]:
        norms = _listed(groups["cannot tell"], "or")
        sentences.append(f"Whether {norms} is better or worse than {REFERENCE}, this experiment cannot tell.")
    return " ".join(sentences)


def _spoken(norm: str) -> str:
    """Return the norm as a sentence needs it: "clearly worse: none" would say the opposite."""
    return "no normalization" if norm == "none" else norm


def _why_no_pairs(summaries: list[Summary]) -> str:
    norms = {s.norm: s for s in summaries}
    if REFERENCE not in norms:
        return f"Not known: {REFERENCE} was not among the norms. Add it to --norms for a paired comparison."
    if len(norms) == 1:
        return f"Not known: {REFERENCE} ran alone. Add other norms to --norms."
    return f"Not known: no seed finished both with {REFERENCE} and with another norm."


def _figures(summaries: list[Summary], results: dict[str, Any], data: Dataset) -> dict[str, tuple[Figure, str]]:
    finished = [s for s in summaries if s.accuracy]
    means = ", ".join(f"{s.norm} {s.accuracy.mean:.3f}" for s in finished if s.accuracy)
    apart = ", ".join(f"{s.norm} {s.difference.mean:+.3f} ({verdict(s.difference)})" for s in summaries if s.difference)
    losses = ", ".join(f"{s.norm} {s.train_loss[:, -1].mean():.2f}" for s in finished)
    costs = ", ".join(f"{s.norm} {s.seconds:.1f} seconds, {s.parameters:,} parameters" for s in finished)
    drawn = {
        "images": (figures.draw_images(data), f"Images of the classes {_listed(results['classes'])}."),
        "accuracy": (figures.draw_accuracy(summaries, results["chance"]), f"Mean test accuracy: {means}."),
        "learning_curves": (figures.draw_learning_curves(summaries), f"Training loss in the last epoch: {losses}."),
        "cost": (figures.draw_cost(summaries), f"Cost of a run: {costs}."),
    }
    if apart:
        drawn["differences"] = (figures.draw_differences(summaries), f"Difference to {REFERENCE}: {apart}.")
    return drawn


def _finish(drawn: dict[str, tuple[Figure, str]], folder: Path) -> dict[str, Drawn]:
    """Save every figure as PNG and return the SVGs; PNGs of an earlier comparison are taken away first."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for name, (figure, _) in drawn.items():
        save_png(figure, folder / f"{name}.png")
    return {name: Drawn(to_svg(figure, name), alt) for name, (figure, alt) in drawn.items()}


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("an_ref.report", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("report.html.j2")


def _listed(words: list[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"

"""The results of a study as tables of strings, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

from .grid import STUDIES, Case
from .record import Record
from .summary import CaseSummary, Comparison, compare_cases, summarize_cases

AXES = {"batch-size": ("batch_size",), "depth": ("blocks", "weight_scale")}  # named for every case of the study
OPTIONS = tuple(field.name for field in fields(Case) if field.name not in ("norm", "zero_start"))
WORDS = {"batch_size": "batch {}", "mixtures": "K = {}", "blocks": "blocks {}", "weight_scale": "weights x {}"}


class Table(NamedTuple):
    """A title, the heads of the columns, and rows of as many strings."""

    title: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def result_tables(record: Record) -> list[Table]:
    """Return the tables of a study: the accuracies, then all comparisons."""
    study, summaries = record["study"], summarize_cases(record)
    if study == "batch-size":
        accuracies = _by_batch(summaries)
    elif study == "depth":
        accuracies = _by_depth(summaries)
    else:
        accuracies = _one_by_one(summaries, study)
    return [accuracies, _comparisons(compare_cases(record), study)]


def describe(case: Case, study: str) -> str:
    """Return the few words that tell a case from the others of its study."""
    usual, axes = Case(case.norm), AXES.get(study, ())
    changed = [name for name in OPTIONS if name in axes or getattr(case, name) != getattr(usual, name)]
    words = [WORDS.get(name, f"{name} {{}}").format(_short(getattr(case, name))) for name in changed]
    return ", ".join([net_name(case), *words])


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def net_name(case: Case) -> str:
    """Return the norm; without one, also whether the branches start at zero."""
    return f"{case.norm}, branches from zero" if case.norm == "none" and case.zero_start else case.norm


def percent(s: CaseSummary) -> str:
    """Return the mean accuracy in percent, or how many runs diverged, or that there is none."""
    if s.diverged:
        return f"{len(s.diverged)} of {s.runs} diverged"
    return f"{100 * s.accuracy.mean:.1f}" if s.accuracy else "no run"


def _one_by_one(summaries: list[CaseSummary], study: str) -> Table:
    heads = ("net", "accuracy", "95 % interval over seeds", "seconds a run", "parameters")
    rows = []
    for s in summaries:
        a = s.accuracy
        ends = "" if a is None or a.low is None or a.high is None else f"{100 * a.low:.1f} to {100 * a.high:.1f}"
        seconds = "" if s.seconds is None else f"{s.seconds:.1f}"
        rows.append((describe(s.case, study), percent(s), ends, seconds, f"{s.parameters:,}" if s.parameters else ""))
    return Table("Test accuracy in percent, mean over the seeds", heads, rows)


def _by_batch(summaries: list[CaseSummary]) -> Table:
    norms = list(dict.fromkeys(s.case.norm for s in summaries))
    cells = {(s.case.batch_size, s.case.norm): percent(s) for s in summaries}
    sizes = sorted({size for size, _ in cells}, reverse=True)
    rows = [(str(size), *(cells[size, norm] for norm in norms)) for size in sizes]
    return Table("Test accuracy in percent, mean over the seeds, by images in a batch", ("batch", *norms), rows)


def _by_depth(summaries: list[CaseSummary]) -> Table:
    cells = {(s.case.weight_scale, s.case.blocks, net_name(s.case)): percent(s) for s in summaries}
    nets = list(dict.fromkeys(net for _, _, net in cells))
    places = sorted({(scale, blocks) for scale, blocks, _ in cells})
    rows = [(f"{scale:g}", str(blocks), *(cells[scale, blocks, net] for net in nets)) for scale, blocks in places]
    title = "Test accuracy in percent, mean over the seeds, by first weights and blocks in each of the three stages"
    return Table(title, ("weights times", "blocks", *nets), rows)


def _comparisons(comparisons: Sequence[Comparison], study: str) -> Table:
    heads = ("net", "against", "difference", "95 % interval", "alone", f"among all {len(comparisons)}")
    rows = []
    for c in comparisons:
        cells = (c.why_not, "", "", "")
        if c.difference is not None:
            mean, low, high = (None if v is None else f"{100 * v:+.1f}" for v in c.difference)
            cells = (mean or "", f"{low} to {high}" if low else "", c.alone, c.among_all)
        against = net_name(c.reference) if study in AXES else describe(c.reference, study)
        rows.append((describe(c.case, study), against, *cells))
    return Table("Differences in percentage points, paired over seeds and test images", heads, rows)


def facts(record: Record) -> list[str]:
    """Return what the results rest on, in short lines: images, net, recipe, seeds, machine, versions, date."""
    s, machine, versions = record["settings"], record["machine"], record["versions"]
    system = machine["system"].partition("-")[0]
    study, took = STUDIES[record["study"]], [run["seconds"] for entry in record["cases"] for run in entry["runs"]]
    night = sum(took) / max(len(took), 1) * len(study.cases) * study.seeds * study.epochs / s["epochs"]
    return [
        f"Images: {record['dataset']}, {record['train_images']:,} to train on and {record['test_images']:,} to test "
        f"with, {len(record['classes'])} classes; always guessing the largest class: {100 * record['chance']:.1f} %",
        f"Net: {s['model']}, {s['epochs']} epoch{'s' * (s['epochs'] > 1)}, learning rate {64 * s['lr_per_image']:g} "
        f"for a batch of 64, in proportion to the batch",
        f"Runs: {len(took)} of {len(study.cases) * s['seeds']}: {len(study.cases)} cases, {s['seeds']} seeds; "
        f"{sum(took) / 60 / machine['workers']:.0f} minutes, so the default {study.seeds} seeds and {study.epochs} "
        f"epochs would take {night / 3600 / machine['workers']:.1f} hours",
        f"Machine: {machine['processor']}, {machine['workers']} processes at a time, {system}; "
        f"Python {versions['python']}, NumPy {versions['numpy']}, an_ref {versions['an_ref']}",
        f"Started: {record['date']}",
    ]

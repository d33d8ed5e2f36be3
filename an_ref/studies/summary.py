"""What the runs of a study allow to say: the accuracy of each case, and paired differences with their verdicts.

A table with many comparisons finds "better" somewhere by chance: of 20 differences that are truly zero, one is expected
to leave its 95 % interval. So each verdict is given twice: `alone`, as if it were the only comparison, and `among_all`,
with Bonferroni's correction: each of m comparisons has an interval at the level 1 - 0.05 / m, and the chance that any
of them is wrong is then at most 5 %. Bonferroni and not Holm, because its intervals and its verdicts say the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..report.intervals import Interval, mean_over_seeds, paired_difference
from ..report.summary import verdict
from ..results import unpack_correct
from .grid import STUDIES, Case
from .record import Record, case_of

LEVEL = 0.95


class CaseSummary(NamedTuple):
    """One case: the accuracies of the runs that did not diverge, how many did, and what a run costs.

    accuracy is None if any run diverged: a mean of the others would flatter the case.
    """

    case: Case
    accuracies: dict[int, float]  # by seed
    diverged: list[int]  # seeds
    accuracy: Interval | None
    seconds: float | None
    parameters: int | None

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return len(self.accuracies) + len(self.diverged)


class Comparison(NamedTuple):
    """A case against a reference, over the seeds that both have; `why_not` says why there is no difference.

    One seed gives a difference without an interval: it says nothing about how far seeds lie apart.
    """

    case: Case
    reference: Case
    by_seed: list[float]
    difference: Interval | None  # at 95 %
    alone: str
    among_all: str
    why_not: str


def summarize_cases(record: Record) -> list[CaseSummary]:
    """Return one summary for each case, in the order of the grid."""
    return [_summarize(entry) for entry in record["cases"]]


def _summarize(entry: Record) -> CaseSummary:
    accuracies = {run["seed"]: run["test_accuracy"] for run in entry["runs"] if "diverged" not in run}
    diverged = [run["seed"] for run in entry["runs"] if "diverged" in run]
    return CaseSummary(
        case=case_of(entry),
        accuracies=accuracies,
        diverged=diverged,
        accuracy=mean_over_seeds(list(accuracies.values())) if accuracies and not diverged else None,
        seconds=float(np.mean([run["seconds"] for run in entry["runs"]])) if entry["runs"] else None,
        parameters=entry["parameters"],
    )


def compare_cases(record: Record) -> list[Comparison]:
    """Return every comparison that the study declares, in the order of its references and then of the grid."""
    entries = {case_of(entry): entry for entry in record["cases"]}
    pairs: list[tuple[Case, Case]] = []
    for fields in STUDIES[record["study"]].references:
        for case in entries:
            reference = replace(case, **fields)
            if reference != case and (reference, case) not in pairs:
                pairs.append((case, reference))
    level = 1 - (1 - LEVEL) / len(pairs)
    return [_compare(entries[case], entries[other], record["test_images"], level) for case, other in pairs]


def _compare(entry: Record, reference: Record, images: int, level: float) -> Comparison:
    """Compare two cases; `level` is that of the corrected interval."""
    diverged = [
        f"{case_of(e).norm}: {count} of {len(e['runs'])} diverged"
        for e in (entry, reference)
        if (count := sum("diverged" in run for run in e["runs"]))
    ]
    ours, theirs = ({run["seed"]: run for run in e["runs"]} for e in (entry, reference))
    seeds = [seed for seed in ours if seed in theirs]
    cases = case_of(entry), case_of(reference)
    if diverged or not seeds:
        return Comparison(*cases, [], None, "", "", "; ".join(diverged) or "no run")
    correct, other = (
        np.stack([unpack_correct(runs[seed]["test_correct"], images) for seed in seeds]).astype(float)
        for runs in (ours, theirs)
    )
    interval = paired_difference(correct, other, LEVEL)
    corrected = paired_difference(correct, other, level)
    by_seed = (correct - other).mean(axis=1).tolist()
    if len(seeds) == 1:  # the interval would be that of other images alone
        return Comparison(*cases, by_seed, Interval(interval.mean, None, None), "one seed", "one seed", "")
    return Comparison(*cases, by_seed, interval, verdict(interval), verdict(corrected), "")

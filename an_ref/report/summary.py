"""What one norm achieved, ready to be shown: by the table in the terminal and by the report."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..results import unpack_correct
from .intervals import Interval, mean_over_seeds, paired_difference

REFERENCE = "bn"


class Summary(NamedTuple):
    """One norm's results. `accuracy` is None if no run finished; `difference` if there is nothing to pair it with."""

    norm: str
    seeds: list[int]  # those that finished
    accuracies: list[float]  # one per seed
    accuracy: Interval | None
    difference: Interval | None  # to the reference, paired by seed and image
    paired_seeds: list[int]
    seconds: float | None  # mean of a run
    parameters: int | None
    train_loss: NDArray  # (seeds, epochs)
    failed: list[dict[str, Any]]  # seed and reason


def summarize(results: dict[str, Any], details: dict[str, Any]) -> list[Summary]:
    """Return one `Summary` for each norm of `results`, in its order (see `an_ref.results` for the two formats)."""
    return [_summarize_norm(norm, results, details) for norm in results["results"]]


def _summarize_norm(norm: str, results: dict[str, Any], details: dict[str, Any]) -> Summary:
    found = results["results"][norm]
    difference, paired_seeds = None, list[int]()
    if norm != REFERENCE and REFERENCE in results["results"]:
        correct, reference = (_correct_by_seed(name, results, details) for name in (norm, REFERENCE))
        paired_seeds = [seed for seed in correct if seed in reference]
        if paired_seeds:
            difference = paired_difference(
                np.stack([correct[seed] for seed in paired_seeds]),
                np.stack([reference[seed] for seed in paired_seeds]),
            )
    return Summary(
        norm=norm,
        seeds=found["seeds"],
        accuracies=found["test_accuracy"],
        accuracy=mean_over_seeds(found["test_accuracy"]) if found["test_accuracy"] else None,
        difference=difference,
        paired_seeds=paired_seeds,
        seconds=float(np.mean(found["seconds"])) if found["seconds"] else None,
        parameters=found["parameters"],
        train_loss=np.array(found["train_loss"], dtype=np.float64),
        failed=found["failed"],
    )


def _correct_by_seed(norm: str, results: dict[str, Any], details: dict[str, Any]) -> dict[int, NDArray]:
    """Return seed -> (n,) zeros and ones, 1 where that net was right on that test image."""
    packed = details[norm]["test_correct"]
    seeds = results["results"][norm]["seeds"]
    return {seed: unpack_correct(text, results["test_images"]) for seed, text in zip(seeds, packed, strict=True)}


def verdict(difference: Interval | None) -> str:
    """Return what a paired difference of accuracies allows to say: "better", "worse" or "cannot tell"."""
    if difference is None:
        return ""
    return {"above": "better", "below": "worse"}.get(difference.verdict, difference.verdict)

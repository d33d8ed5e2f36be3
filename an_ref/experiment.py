"""Compare norms: the same net on the same batches from the same seeds, one run for each norm and seed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from .data import Dataset
from .nn import MODELS
from .observation import observe_attention
from .parallel import Event, run_parallel
from .results import Outcome, Settings, add_outcome, pack_correct, start_results, write_results
from .threads import usable_cores
from .training import Recipe, generators, pixel_scale, predict, to_input, train

GPU_WORKERS = 4  # processes that share a GPU and its memory


class Run(NamedTuple):
    """One net to train."""

    norm: str
    seed: int


def compare(
    settings: Settings, data: Dataset, out: Path, *, on_event: Callable[[Event], None] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train every norm with every seed in parallel, and return `results` and `details` (see `an_ref.results`).

    Both are written into the folder `out` after every run. One seed of every norm comes first, so that a comparison
    that is stopped early still compares. Ctrl-C ends the runs under way and keeps the finished ones: `interrupted` in
    the results is then true. A run that fails is entered with its reason, and the others go on. `on_event` hears of
    every start, epoch (its value is the epoch and the loss), end and failure; its job is a `Run`.
    """
    runs = [Run(norm, seed) for seed in settings.seeds for norm in settings.norms]
    workers = min(usable_cores(), len(runs), GPU_WORKERS if settings.device == "gpu" else len(runs))
    results, details = start_results(settings, data, workers=workers)
    try:
        with closing(run_parallel(partial(work, settings=settings, data=data), runs, workers=workers)) as events:
            for event in events:
                _enter(event, results, details, out)
                if on_event is not None:
                    on_event(event)
    except KeyboardInterrupt:
        results["interrupted"] = True
        if any(entry["seeds"] for entry in results["results"].values()):
            write_results(out, results, details)
    return results, details


def work(run: Run, report: Callable[[Any], None], *, settings: Settings, data: Dataset) -> Outcome:
    """Train and test one net. `report` is given (epoch, loss) after every epoch.

    The batches of a seed are the same for every norm (see `an_ref.training.generators`).
    """
    start = time.perf_counter()
    weights, order = generators(run.seed)
    model = MODELS[settings.model](norm=run.norm, classes=len(data.classes), rng=weights).to(settings.device)
    recipe = Recipe(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        warmup_epochs=1 if settings.epochs > 1 else 0,
    )
    losses = train(model, data, recipe, rng=order, on_epoch=lambda epoch, loss: report((epoch, loss)))
    x = to_input(data.test_images, *pixel_scale(data.train_images))
    correct = predict(model, x).argmax(axis=1) == data.test_labels
    return Outcome(
        test_accuracy=float(correct.mean()),
        train_loss=[round(loss, 5) for loss in losses],
        seconds=time.perf_counter() - start,
        parameters=sum(p.size for p in model.params.values()),
        test_correct=pack_correct(correct),
        attention=observe_attention(model, x, data.test_labels, len(data.classes)),
    )


def _enter(event: Event, results: dict[str, Any], details: dict[str, Any], out: Path) -> None:
    """Enter a finished or failed run into the results and write them."""
    norm, seed = event.job
    if event.kind == "done":
        add_outcome(results, details, norm, seed, event.value)
    elif event.kind == "failed":
        results["results"][norm]["failed"].append({"seed": seed, "reason": event.value})
    else:
        return
    write_results(out, results, details)

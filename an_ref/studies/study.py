"""Run a study: every case from every seed, one process a core, each run kept as soon as it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data import Dataset
from ..parallel import Event, run_parallel
from ..results import pack_correct
from ..threads import usable_cores
from ..training import (
    Recipe,
    TrainingDiverged,
    evaluate,
    generators,
    not_decayed,
    pixel_scale,
    train,
)
from ..training.settings import limited
from .grid import LR_PER_IMAGE, STUDIES, Case
from .net import build_net
from .record import (
    Outcome,
    Record,
    StudyError,
    StudySettings,
    add_run,
    missing_runs,
    resume_record,
    start_record,
    write_record,
)


class Job(NamedTuple):
    """One run of a study: `place` is that of `case` in the grid, from 0."""

    place: int
    case: Case
    seed: int


def prepare(settings: StudySettings, data: Dataset, out: Path) -> tuple[Record, Dataset]:
    """Return the record in the folder `out`, a new one or the one to go on with, and the images with the limit taken.

    Raises StudyError if `out` holds another study, if a net of the grid cannot be built, or if the images do not fill
    a batch.
    """
    data = limited(data, settings.limit)
    cases, images = STUDIES[settings.study].cases, len(data.train_labels)
    largest = max(case.batch_size for case in cases)
    if largest > images:
        raise StudyError(
            f"the grid of {settings.study} has batches of {largest}, and there are only {images} training images; "
            f"take more"
        )
    for case in cases:
        try:
            build_net(case, settings.model, len(data.classes), np.random.default_rng(0))
        except ValueError as error:
            raise StudyError(f"the grid of {settings.study} does not fit {settings.model}: {error}") from None
    record = start_record(settings, data, workers=usable_cores())
    return resume_record(out / f"{settings.study}.json", record), data


def run_study(record: Record, data: Dataset, out: Path, *, on_event: Callable[[Event], None] | None = None) -> None:
    """Do the runs that `record` lacks, and write it into the folder `out` after each.

    A run that diverged is a result. One that failed otherwise, for want of memory perhaps, is not entered: the next
    start tries it again. `on_event` hears of every start, epoch (its value is the epoch and the loss), end and failure;
    its job is a `Job`. Ctrl-C ends the runs under way and is passed on.
    """
    path = out / f"{record['study']}.json"
    write_record(path, record)
    cases = STUDIES[record["study"]].cases
    jobs = [Job(place, cases[place], seed) for place, seed in missing_runs(record)]
    settings = record["settings"]
    task = partial(work, model=settings["model"], epochs=settings["epochs"], data=data)
    with closing(run_parallel(task, jobs, workers=usable_cores())) as events:
        for event in events:
            if event.kind == "done":
                add_run(record, event.job.place, event.job.seed, event.value)
                write_record(path, record)
            if on_event is not None:
                on_event(event)


def work(job: Job, report: Callable[[Any], None], *, model: str, epochs: int, data: Dataset) -> Outcome:
    """Train and test one net with the recipe of `an-ref train`; only the last epoch's net is tested.

    The batches of a seed are the same for every case with that batch size (see `an_ref.training.generators`).
    """
    start = time.perf_counter()
    weights, order = generators(job.seed)
    net = build_net(job.case, model, len(data.classes), weights)
    recipe = Recipe(
        epochs=epochs,
        batch_size=job.case.batch_size,
        lr=LR_PER_IMAGE * job.case.batch_size,
        no_decay=not_decayed(net),
    )
    losses: list[float] = []

    def after_epoch(epoch: int, loss: float) -> None:
        losses.append(round(loss, 5))
        report((epoch, loss))

    accuracy = correct = diverged = None
    try:
        train(net, data, recipe, rng=order, on_epoch=after_epoch)
        found = evaluate(net, data.test_images, data.test_labels, *pixel_scale(data.train_images))
        accuracy, correct = found.accuracy, pack_correct(found.correct)
    except TrainingDiverged as error:
        diverged = str(error)
    parameters = sum(p.size for p in net.params.values())
    return Outcome(accuracy, losses, time.perf_counter() - start, parameters, correct, diverged)

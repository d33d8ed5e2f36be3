"""What a study leaves in OUT/NAME.json, and how a study that was stopped finds it again.

    study, settings   the name; data, model, epochs, seeds, limit, lr_per_image, and the sha256 of the images
    machine, versions, command, date      of the first start
    dataset, classes, train_images, test_images, chance    as `an_ref.results` has them
    complete          whether every case has a run for every seed
    cases             one for each `Case`, with its fields, parameters (how many numbers are learned) and runs

A run has seed, seconds, train_loss (one for each epoch), and test_accuracy with test_correct (see `pack_correct`), or,
if a number was not finite any more, diverged: where that first showed. A diverged run has no accuracy.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from ..data import Dataset
from ..files import remove_asides, replace_file
from ..results import describe_start
from ..training.settings import fingerprints
from .grid import LR_PER_IMAGE, STUDIES, Case

Record = dict[str, Any]


class StudyError(ValueError):
    """A study cannot go on: the message says what was found, and what to do."""


class StudySettings(NamedTuple):
    """What a study runs. data_dir is where the images lie; only its last part is kept in the record."""

    study: str
    data: str
    data_dir: Path | None
    model: str
    epochs: int
    seeds: int
    limit: int | None

    @property
    def command(self) -> str:
        """The command that repeats the study, whatever the defaults are by then."""
        given = {f"--{name.replace('_', '-')}": value for name, value in self._asdict().items() if name != "study"}
        given["--data-dir"] = self.data_dir and self.data_dir.name
        words = [word for option, value in given.items() if value is not None for word in (option, str(value))]
        return shlex.join(["an-ref", "study", self.study, *words])


class Outcome(NamedTuple):
    """What one run gives. test_accuracy and test_correct are None if it diverged, and diverged is None if not."""

    test_accuracy: float | None
    train_loss: list[float]
    seconds: float
    parameters: int
    test_correct: str | None
    diverged: str | None


def start_record(settings: StudySettings, data: Dataset, *, workers: int) -> Record:
    """Return the record of a study in which nothing has run yet; `data` has its limit taken."""
    return {
        "study": settings.study,
        "settings": {
            **{name: value for name, value in settings._asdict().items() if name not in ("study", "data_dir")},
            "lr_per_image": LR_PER_IMAGE,
            "images": fingerprints(data),
        },
        **describe_start(data, settings.command, workers=workers),
        "complete": False,
        "cases": [{**asdict(case), "parameters": None, "runs": []} for case in STUDIES[settings.study].cases],
    }


def resume_record(path: Path, fresh: Record) -> Record:
    """Return the record in `path` to go on with, or `fresh` where there is none.

    It may have been made with fewer seeds: runs do not depend on how many others there are. Raises StudyError if the
    file is no record of a study, or one of another study, other settings, versions or another grid.
    """
    remove_asides([path])
    if not path.exists():
        return fresh
    found = read_record(path)
    for part in ("study", "settings", "versions"):
        now, then = ({part: r[part]} if part == "study" else r[part] for r in (fresh, found))
        for key in now:
            if key == "seeds" and 1 <= then.get(key, 0) <= now[key]:
                continue
            if then.get(key) != now[key]:
                raise StudyError(
                    f"{path} was made with {key} = {_short(then.get(key))}, and now it is {_short(now[key])}; give the "
                    f"same to continue that study, or another --out"
                )
    if [case_of(entry) for entry in found["cases"]] != [case_of(entry) for entry in fresh["cases"]]:
        raise StudyError(f"{path} was made with another grid of {found['study']}; give another --out")
    found["settings"], found["command"] = fresh["settings"], fresh["command"]
    found["complete"] = not missing_runs(found)
    return found


def read_record(path: Path) -> Record:
    """Return the record in `path`. Raises StudyError if it is not one."""
    try:
        record: Record = json.loads(path.read_text(encoding="utf-8"))
        _touch(record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StudyError(
            f"{path} is not the record of a study ({error!s:.60}); remove it, or give another --out"
        ) from None
    return record


def _touch(record: Record) -> None:
    """Raise whatever Python raises where a part that is needed to go on is missing or of another kind."""
    str(record["study"]), dict(record["versions"]), int(record["settings"]["seeds"])
    for entry in record["cases"]:
        case_of(entry), entry["parameters"], [int(run["seed"]) for run in entry["runs"]]


def write_record(path: Path, record: Record) -> None:
    """Write the record; a reader finds the old file or the new one, never half of one."""
    replace_file(path, (json.dumps(record, indent=1) + "\n").encode())


def case_of(entry: Record) -> Case:
    """Return the case that an entry of `cases` describes."""
    return Case(**{name: value for name, value in entry.items() if name not in ("parameters", "runs")})


def missing_runs(record: Record) -> list[tuple[int, int]]:
    """Return (index of the case, seed) of every run that is not there, one seed of every case before the next seed."""
    done = [{run["seed"] for run in entry["runs"]} for entry in record["cases"]]
    return [(i, seed) for seed in range(record["settings"]["seeds"]) for i in range(len(done)) if seed not in done[i]]


def add_run(record: Record, index: int, seed: int, outcome: Outcome) -> None:
    """Enter a run that has ended, keeping the seeds in ascending order."""
    entry = record["cases"][index]
    entry["parameters"] = outcome.parameters
    kept = {name: value for name, value in outcome._asdict().items() if name != "parameters" and value is not None}
    kept["seconds"] = round(outcome.seconds, 2)
    entry["runs"] = sorted([*entry["runs"], {"seed": seed, **kept}], key=lambda run: run["seed"])
    record["complete"] = not missing_runs(record)


def _short(value: Any) -> str:
    return "another set" if isinstance(value, dict) else repr(value)

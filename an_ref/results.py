"""The two files that a comparison leaves: what they hold and how they are written.

`results.json` is for reading:

    dataset, model, epochs, batch_size, lr, weight_decay, device, seeds, machine, versions, command, date
    classes, test_images    the names of the classes; how many test images there are
    chance                  the share of the test set's largest class: what always guessing it would reach
    complete, interrupted   whether every run finished; whether Ctrl-C ended the comparison
    results                 norm -> seeds (those that finished), and with one entry for each of them: test_accuracy,
                            train_loss (a list, one mean per epoch), seconds (wall time of the run on one core);
                            parameters (how many numbers are learned); failed (a list of seed and reason)

`details.json` is what the report needs besides: norm -> test_correct and attention, one entry for each finished seed
(`pack_correct` and `an_ref.observation` say what they hold).
"""

from __future__ import annotations

import json
import platform
import shlex
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import __version__
from .data import Dataset
from .files import replace_file
from .threads import usable_cores


class Settings(NamedTuple):
    """What a comparison runs: every norm with every seed, all else the same."""

    model: str
    norms: tuple[str, ...]
    seeds: tuple[int, ...]
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    device: str = "cpu"

    @property
    def command(self) -> str:
        """The command that repeats the comparison, whatever the defaults are by then."""
        options = {
            "--norms": ",".join(self.norms),
            "--model": self.model,
            "--epochs": str(self.epochs),
            "--batch-size": str(self.batch_size),
            "--seeds": str(len(self.seeds)),
            "--lr": str(self.lr),
            "--device": self.device,
        }
        return shlex.join(["an-ref", "compare", *(word for pair in options.items() for word in pair)])


class Outcome(NamedTuple):
    """What one finished run gives."""

    test_accuracy: float
    train_loss: list[float]  # one per epoch
    seconds: float
    parameters: int
    test_correct: str
    attention: dict[str, Any]


def start_results(settings: Settings, data: Dataset, *, workers: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return `results` and `details` of a comparison in which nothing has run yet."""
    results = {
        "model": settings.model,
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "lr": settings.lr,
        "weight_decay": settings.weight_decay,
        "device": settings.device,
        "seeds": list(settings.seeds),
        **describe_start(data, settings.command, workers=workers),
        "complete": False,
        "interrupted": False,
        "results": {
            norm: {
                "seeds": [],
                "test_accuracy": [],
                "train_loss": [],
                "seconds": [],
                "parameters": None,
                "failed": [],
            }
            for norm in settings.norms
        },
    }
    return results, {norm: {"test_correct": [], "attention": []} for norm in settings.norms}


def add_outcome(results: dict[str, Any], details: dict[str, Any], norm: str, seed: int, outcome: Outcome) -> None:
    """Enter one finished run, keeping the seeds in ascending order whichever run ended first."""
    found = results["results"][norm]
    at = sum(other < seed for other in found["seeds"])
    found["seeds"].insert(at, seed)
    found["test_accuracy"].insert(at, outcome.test_accuracy)
    found["train_loss"].insert(at, outcome.train_loss)
    found["seconds"].insert(at, round(outcome.seconds, 2))
    found["parameters"] = outcome.parameters
    details[norm]["test_correct"].insert(at, outcome.test_correct)
    details[norm]["attention"].insert(at, outcome.attention)
    results["complete"] = all(entry["seeds"] == results["seeds"] for entry in results["results"].values())


def write_results(out: Path, results: dict[str, Any], details: dict[str, Any]) -> None:
    """Write both files into the folder `out`; a reader finds the old file or the new one, never half of one."""
    for name, content in (("details.json", details), ("results.json", results)):
        text = json.dumps(content, indent=1 if name == "results.json" else None) + "\n"
        replace_file(out / name, text.encode())


def pack_correct(correct: NDArray) -> str:
    """Return one bit per image as hexadecimal digits: 100 characters for 400 images."""
    return np.packbits(np.asarray(correct, dtype=bool)).tobytes().hex()


def unpack_correct(text: str, count: int) -> NDArray:
    """Undo `pack_correct` for `count` images: (count,) zeros and ones."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8), count=count)


def describe_start(data: Dataset, command: str, *, workers: int) -> dict[str, Any]:
    """Return what is written down before the first run: images, machine, versions, command and date."""
    counts = np.bincount(data.test_labels, minlength=len(data.classes))
    return {
        "dataset": data.name,
        "classes": [str(name) for name in data.classes],
        "train_images": len(data.train_labels),
        "test_images": len(data.test_labels),
        "chance": float(counts.max() / counts.sum()),
        "machine": {**describe_machine(), "workers": workers},
        "versions": {"an_ref": __version__, "numpy": np.__version__, "python": platform.python_version()},
        "command": command,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def describe_machine() -> dict[str, Any]:
    """Return the operating system, the processor and how many cores this process may use."""
    return {"system": platform.platform(), "processor": _processor(), "cores": usable_cores()}


def _processor() -> str:
    """Return the processor's name; Linux keeps it in /proc/cpuinfo, where `platform` does not look."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

"""Run the sections of the bench, and keep what they find.

`bench.json`:

    machine, versions, threads, command, date, device, rounds    where, when and how it was measured
    gpu         only on one: name, memory (bytes), and the versions of CUDA that driver and runtime have
    complete, interrupted    whether every section was done; whether Ctrl-C ended it
    missing     who was not timed: contestant, case, reason
    rows        section, case, part, contestant; seconds (the median of each round); ratios: reference -> median, low
                and high quartile of the ratio in the same round; for a step also images_per_second, memory
                and process_memory (bytes at the peak: above those held before the steps, and of the process; on a GPU
                those that the process has taken from the GPU for arrays)
    cost        vary -> a list of norm, sizes, seconds (median of the rounds), memory (bytes), time_exponent,
                memory_exponent; and "an over bn": shape, ratio
    accuracy    norm, offset, contestant, errors (array -> max |error| / max |right|; null if not finite)
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable
from datetime import datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

from .. import __version__
from ..files import replace_file
from ..results import describe_machine
from ..threads import get_threads
from .contestants import ACCURACY, REFERENCES, TIMED, Contestant, has_torch, present, sections
from .cost import measure_cost
from .devices import describe_gpu
from .inputs import errors, expected_conv, expected_norm, sample
from .numpy_tasks import Step
from .plan import Case, Plan
from .ratios import paired_ratio, spread_of
from .turns import SEED, Answer, ask_each, play, players

Record = dict[str, Any]
Hear = Callable[[str], None]


def start_record(plan: Plan, command: str, *, device: str = "cpu") -> Record:
    """Return the record of a bench in which nothing has been measured yet."""
    versions = {"an_ref": __version__, "numpy": np.__version__, "python": platform.python_version()}
    versions |= {pool["internal_api"]: _with_kernels(pool) for pool in threadpool_info() if pool["user_api"] == "blas"}
    versions |= {"torch": version("torch")} if has_torch() else {}
    versions |= {"cupy": import_module("cupy").__version__} if device == "gpu" else {}
    return {
        "machine": describe_machine(),
        "versions": versions,
        "threads": get_threads(),
        "command": command,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "device": device,
        **({"gpu": describe_gpu()} if device == "gpu" else {}),
        "rounds": plan.rounds,
        "complete": False,
        "interrupted": False,
        "missing": [],
        "rows": [],
        "cost": {},
        "accuracy": [],
    }


def _with_kernels(pool: dict[str, Any]) -> str:
    """Return the version of a BLAS and the processor that its kernels are for: a wrong one may halve the speed."""
    return f"{pool['version']} (kernels for {pool.get('architecture', 'this processor')})"


def write_record(record: Record, out: Path) -> None:
    """Write bench.json into the folder `out`: a reader finds the old file or the new one."""
    replace_file(out / "bench.json", (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())


def read_record(path: Path) -> Record:
    """Return the record in a bench.json."""
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    return record


def run_bench(
    plan: Plan, record: Record, *, only: Iterable[str] | None = None, hear: Hear = print, keep: Callable[[], None]
) -> None:
    """Do the sections named in `only`, or all that the record's device has, and enter what they find into `record`.

    hear(line) is told of each case; keep() is called after each, so that what was found outlives a Ctrl-C.
    """

    def note(contestant: str, case: str, reason: str) -> None:
        record["missing"].append({"contestant": contestant, "case": case, "reason": reason})

    def done(line: str) -> None:
        hear(line)
        keep()

    def add_rows(section: str, cases: tuple[Case, ...], contestants: tuple[Contestant, ...]) -> None:
        for shape in dict.fromkeys(case.shape for case in cases):  # a group of processes for each shape
            with players(present(contestants), record["threads"]) as group:
                for case in (case for case in cases if case.shape == shape):
                    want = expected(case, device)
                    times = play(group, case, rounds=plan.rounds, budget=plan.budget, expected=want, note=note)
                    rows = rows_of(section, case, times, device=device)
                    if section == "steps":
                        add_memory(rows, case, contestants, record["threads"], note)
                    record["rows"] += rows
                    done(f"{section}  {case.title}  {summary(rows)}")

    device = record["device"]
    todo = [section for section in sections(device) if only is None or section in only]
    for section in todo:
        if section in TIMED[device]:
            add_rows(section, getattr(plan, section), TIMED[device][section])
    if "cost" in todo:
        for vary, found in measure_cost(plan, record["threads"], note):
            record["cost"][vary] = found
            done(f"cost  {vary}")
    if "accuracy" in todo:
        for found in measure_accuracy(plan, record["threads"], note):
            record["accuracy"] += found
            done(f"accuracy  {found[0]['norm']} at mean/std {found[0]['offset']:g}" if found else "accuracy  nothing")
    record["complete"] = True


def expected(case: Case, device: str = "cpu") -> Answer:
    """Return the right answers of a case in float64, made on the CPU.

    Those of the norms are the textbook's. Of the large maps for a GPU it would take minutes and 25 GB, so an_ref itself
    gives them there; the textbook and PyTorch must agree with them all the same.
    """
    if case.kind == "norm":
        library = "an_ref.textbook" if device == "cpu" else "an_ref"
        return {name: sample(array) for name, array in expected_norm(case, SEED - 1, library).items()}
    if case.kind == "conv":
        return expected_conv(case, SEED - 1)
    step = Step(case, threads=1, dtype=np.float64)
    step.fresh(SEED - 1)
    return step.answer() or {}


def rows_of(
    section: str, case: Case, times: dict[str, dict[str, list[float]]], *, device: str = "cpu"
) -> list[dict[str, Any]]:
    """Return the rows of a case, with the ratios to the section's references, or to the first contestant."""
    references = [name for name in REFERENCES[device][section] if name in times] or list(times)[:1]
    rows = []
    for contestant, found in times.items():
        for part, seconds in found.items():
            ratios = {name: paired_ratio(seconds, times[name][part]) for name in references}
            row: dict[str, Any] = {
                "section": section,
                "case": case.title,
                "name": case.name,
                "shape": list(case.shape),
                "part": part,
                "contestant": contestant,
                "seconds": seconds,
                "ratios": {name: list(ratio) for name, ratio in ratios.items() if ratio is not None},
            }
            if section == "steps":
                row["images_per_second"] = case.shape[0] / spread_of(seconds).median
            rows.append(row)
    return rows


def add_memory(rows: list[dict[str, Any]], case: Case, contestants: Any, threads: int, note: Any) -> None:
    """Enter the peak memory of each contestant's step, each in a fresh process."""
    for row in rows:
        (one,) = (contestant for contestant in contestants if contestant.name == row["contestant"])
        with players([one], threads) as group:
            if ask_each(group, list(group), case, note, "make", case):
                for found in ask_each(group, list(group), case, note, "memory", SEED).values():
                    row["memory"], row["process_memory"] = found


def summary(rows: list[dict[str, Any]]) -> str:
    """Return the whole of a case in one line: each contestant's median time in milliseconds."""
    last = [row for row in rows if row["part"] in ("both", "step")]
    return ", ".join(f"{row['contestant']} {1e3 * spread_of(row['seconds']).median:.3g} ms" for row in last)


def measure_accuracy(plan: Plan, threads: int, note: Any) -> Iterable[list[dict[str, Any]]]:
    """Yield for each case the errors of each contestant in float32 against the textbook in float64."""
    with players(present(ACCURACY), threads) as group:
        for case in plan.accuracy:
            ready = list(ask_each(group, list(group), case, note, "make", case))
            want, found = expected_norm(case, SEED), []
            for player, got in ask_each(group, ready, case, note, "answer", SEED).items():
                if got is not None:
                    off = {name: e if np.isfinite(e) else None for name, e in errors(got, want).items()}
                    found.append({"norm": case.name, "offset": case.offset, "contestant": player.name, "errors": off})
            yield found

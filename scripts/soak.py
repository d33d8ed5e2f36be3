"""Check the gradients of many random cases of correct ops. A finding is a false alarm of the checker.

    python scripts/soak.py                       10,000 cases on all cores
    python scripts/soak.py --cases 500 --seed 7  fewer and other cases
    python scripts/soak.py --only 1234           one case, with its report

A seed and a number make a case. Drawn are: the op (the textbook form too), AN's variant, shapes, dtypes, method, and
what the feature map holds: normal numbers, constant channels, a large offset, tiny numbers. A warning counts as an
error. Exits with 1 if there is a false alarm or an error.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import an_ref
from an_ref import attention, textbook, variants
from an_ref.parallel import run_parallel
from an_ref.results import usable_cores
from an_ref.strategies import CONTENTS, fill

JOB, STEP = 400, 20  # cases in one process, and from one sign of life to the next
METHODS = ("complex",) * 7 + ("central", "five_point", "adjoint", "second_order")
NORMS = ("batch_norm", "layer_norm", "instance_norm", "group_norm", "switchable_norm", "squeeze_excite")
EVALS = ("batch_norm_eval", "switchable_norm_eval")
ATTENTIVE = ("attentive_norm", "attentive_norm_eval")
OTHERS = tuple(
    name.removesuffix("_backward")
    for name in an_ref.__all__
    if name.endswith("_backward") and name.removesuffix("_backward") not in NORMS + EVALS + ATTENTIVE
)
NAMES = (
    *(f"textbook.{name}" for name in (*NORMS, "attentive_norm")), *NORMS, *EVALS, *OTHERS, *ATTENTIVE * 16
)  # fmt: skip
MAPS: list[tuple[int, ...]] = [(), (1,), (2,), (5,), (1, 1), (2, 2), (2, 3), (1, 2, 2)]
IMAGES = [(3, 2), (3, 3), (4, 5)]


class Case(NamedTuple):
    """A case: `content` says what x holds."""

    name: str
    content: str
    arrays: tuple[Any, ...]
    hyper: dict[str, Any]
    method: str


# --- drawing ---------------------------------------------------------------------------------------------------------
def draw(seed: int, number: int) -> Case:
    """Return case `number` of `seed`."""
    rng = np.random.default_rng([seed, number])
    name = pick(rng, NAMES)
    base = name.removeprefix("textbook.")
    book = base != name
    content = CONTENTS[rng.choice(len(CONTENTS), p=[0.4, 0.2, 0.2, 0.2])]
    if base in OTHERS:
        arrays, hyper = draw_other(rng, base, content)
    elif base in ATTENTIVE:
        arrays, hyper = draw_attentive(rng, content, base.endswith("eval"), book)
    else:
        arrays, hyper = draw_norm(rng, base, content, book)
    low = pick(rng, (0.0, 1.0) if book else (0.0, 0.0, 0.0, 1.0, 0.5))  # share of float32; the textbook mixes none
    arrays = tuple(a.astype(np.float32) if a.dtype.kind == "f" and rng.random() < low else a for a in arrays)
    return Case(name, content, arrays, hyper, pick(rng, METHODS))


def pick(rng: np.random.Generator, choices: Any) -> Any:
    """Return one of the choices."""
    choices = list(choices)
    return choices[rng.integers(len(choices))]


def feature_map(
    rng: np.random.Generator, content: str, maps: Any = MAPS, min_samples: int = 1, min_positions: int = 1
) -> Any:
    """Return a feature map with N * M > 1."""
    spatial = pick(rng, (s for s in maps if np.prod(s) >= min_positions))
    fewest = max(min_samples, 1 if np.prod(spatial) > 1 else 2)
    shape = (int(rng.integers(fewest, 4)), pick(rng, (1, 2, 3, 4)), *spatial)
    return fill(content, shape, rng) * (pick(rng, (1.0, 1e-2, 30.0)) if content == "normal" else 1)


def attention_scale(rng: np.random.Generator, x: Any, book: bool) -> float:
    """Return a factor for weights that act on means of x: mostly one that saturates no sigmoid.

    The textbook's sigmoid overflows where it is far in saturation.
    """
    return 0.5 / max(1.0, np.abs(x).max()) if book or rng.random() < 0.7 else 1.0


def divisor(rng: np.random.Generator, channels: int) -> int:
    """Return a number of groups."""
    return pick(rng, (g for g in range(1, channels + 1) if channels % g == 0))


def draw_norm(rng: np.random.Generator, name: str, content: str, book: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arrays and hyper for a norm or a gate."""
    r, x = rng.standard_normal, feature_map(rng, content)
    C, R, parts = x.shape[1], int(rng.integers(1, 4)), pick(rng, (2, 3))
    if name == "squeeze_excite":
        return (x, r((C, R)) * attention_scale(rng, x, book), r(R), r((R, C)), r(C)), {}
    arrays = [x, r(C), r(C)]
    if name.startswith("switchable_norm"):
        arrays += [r(parts), r(parts)]
    if name.endswith("_eval"):
        arrays += [x.mean() + r(C), r(C) ** 2 + 0.5]
    groups = {"groups": divisor(rng, C)} if name == "group_norm" else {}
    return tuple(arrays), {**groups, "eps": pick(rng, (1e-5, 1e-3))}


def draw_attentive(
    rng: np.random.Generator, content: str, evaluate: bool, book: bool
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arrays and hyper for attentive_norm; running statistics come last. The textbook has one variant."""
    choices = (variants.STATISTICS, attention.DESCRIPTORS, attention.TRANSFORM_ARRAYS, attention.ACTIVATIONS)
    names = ("standardize", "descriptor", "transform", "activation")
    variant = {} if book else {name: pick(rng, choice) for name, choice in zip(names, choices, strict=True)}
    standardize, transform = variant.get("standardize", "batch"), variant.get("transform", "linear_norm")
    over_batch = standardize in variants.OVER_BATCH
    least = 2 if transform == "linear_norm" and over_batch and not evaluate else 1
    least_positions = 2 if variant.get("descriptor", "mean_over_std") == "mean_over_std" else 1
    x = feature_map(rng, content, MAPS, least, least_positions)

    r, C, K, scale = rng.standard_normal, x.shape[1], int(rng.integers(1, 4)), attention_scale(rng, x, book)
    sizes = {"C": C, "K": K, "H": 2 * K}
    shapes = [tuple(sizes[axis] for axis in axes) for axes in attention.TRANSFORM_ARRAYS[transform].values()]
    arrays = [x, r((K, C)), r((K, C)), r(shapes[0]) * scale, *(r(shape) for shape in shapes[1:])]
    if standardize == "switchable":
        arrays += [r(p := pick(rng, (2, 3))), r(p)]
    if evaluate:
        axes = variants.running_axes(standardize, transform, tuple(arrays))
        means = {"running_mean": x.mean(), "attn_running_mean": 0.0}
        arrays += [r(sizes[a]) + means[n] if n in means else r(sizes[a]) ** 2 + 0.5 for n, a in axes.items()]
    groups = {"groups": divisor(rng, C)} if standardize == "group" else {}
    return tuple(arrays), {**variant, **groups}


def draw_other(rng: np.random.Generator, name: str, content: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arrays and hyper for an op that normalizes nothing."""
    r, images, table = rng.standard_normal, feature_map(rng, content, IMAGES), feature_map(rng, content, [()])
    C = images.shape[1]
    windows = {"stride": int(rng.integers(1, 3)), "padding": int(rng.integers(0, 2))}
    match name:
        case "conv2d":
            groups = divisor(rng, C)
            weight, bias = r((groups * int(rng.integers(1, 3)), C // groups, 2, 2)), r(1)
            bias = np.resize(r(9), len(weight))
            return (images, weight, bias)[: int(rng.integers(2, 4))], {**windows, "groups": groups}
        case "linear":
            return (table, r((table.shape[1], 3)), r(3))[: int(rng.integers(2, 4))], {}
        case "max_pool2d" | "avg_pool2d":
            return (images,), {**windows, "size": 2}
        case "global_avg_pool2d":
            return (images,), {}
        case "softmax_cross_entropy":
            labels = rng.integers(0, table.shape[1], len(table))
            return (table, labels), {"label_smoothing": pick(rng, (0.0, 0.1))}
        case _:
            return (table,), {}


# --- checking --------------------------------------------------------------------------------------------------------
class Outcome(NamedTuple):
    """What one case gave: `fault` is empty if all is well."""

    method: str
    content: str
    error: float
    fault: str


def check(seed: int, number: int) -> Outcome:
    """Draw a case, check it, and return what came out."""
    case = draw(seed, number)
    module, _, name = case.name.rpartition(".")
    ops = textbook if module else an_ref
    dtypes = sorted({str(a.dtype) for a in case.arrays if a.dtype.kind == "f"})
    method = f"{case.method}, {'mixed' if len(dtypes) > 1 else dtypes[0]}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            report = an_ref.check_gradients(
                getattr(ops, name),
                getattr(ops, f"{name}_backward"),
                case.arrays,
                hyper=case.hyper,
                method=case.method,
                rng=number,
            )
        fault, error = "" if report.ok else f"{report}", report.max_error
    except Exception:
        fault, error = traceback.format_exc(), 0.0
    if fault:
        arrays = " ".join(f"{a.dtype}{list(a.shape)}" for a in case.arrays)
        hyper = ", ".join(f"{key}={value!r}" for key, value in case.hyper.items())
        where = (
            f"case {number} of seed {seed}: {case.name}({hyper}) method={case.method}\n  x: {case.content}; {arrays}"
        )
        fault = f"{where}\n{fault}"
    return Outcome(method, case.content, error, fault)


def work(numbers: range, report: Callable[[Any], None], *, seed: int) -> None:
    """Check the cases of one job; `report` is given a list of outcomes every few cases."""
    for start in range(0, len(numbers), STEP):
        report([check(seed, number) for number in numbers[start : start + STEP]])


def soak(cases: int, seed: int, console: Console) -> bool:
    """Check all cases, print every fault, then the sum of it; return whether there was no fault."""
    began, count, faults = time.perf_counter(), 0, 0
    worst: dict[tuple[str, str], float] = {}
    for found in outcomes(cases, seed, console):
        count += len(found)
        for outcome in found:
            faults += bool(outcome.fault)
            if outcome.fault:
                console.print(f"\n{outcome.fault}", highlight=False, markup=False, soft_wrap=True)
            else:
                cell = outcome.method, outcome.content
                worst[cell] = max(worst.get(cell, 0.0), outcome.error)
    console.print(table(worst))
    seconds = time.perf_counter() - began
    console.print(f"{count} cases, {faults} false alarms or errors, {seconds:.0f} s", highlight=False)
    return count == cases and not faults


def table(worst: dict[tuple[str, str], float]) -> Table:
    """Return the worst error that was no fault: one row for each method, one column for each kind of feature map."""
    result = Table("worst error", *CONTENTS, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for method in sorted({method for method, _ in worst}):
        result.add_row(method, *(f"{worst[method, c]:.1e}" if (method, c) in worst else "" for c in CONTENTS))
    return result


def outcomes(cases: int, seed: int, console: Console) -> Iterator[list[Outcome]]:
    """Yield the outcomes as they come from the processes, beside a bar with the remaining time."""
    jobs = [range(start, min(start + JOB, cases)) for start in range(0, cases, JOB)]
    columns = BarColumn(), MofNCompleteColumn(), TextColumn("cases"), TimeRemainingColumn(), TextColumn("left")
    with (
        Progress(*columns, console=console, transient=True) as progress,
        closing(run_parallel(partial(work, seed=seed), jobs, workers=usable_cores())) as events,
    ):
        bar = progress.add_task("", total=cases)
        for event in events:
            if event.kind == "progress":
                progress.advance(bar, len(event.value))
                yield event.value
            elif event.kind == "failed":
                console.print(f"cases {event.job.start} to {event.job.stop - 1} ended early: {event.value}")


def main() -> int:
    """Read the options, run, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="how many (10000)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other cases (0)")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="check this one case")
    options = parser.parse_args()
    console = Console()
    if options.only is None:
        return 0 if soak(options.cases, options.seed, console) else 1
    outcome = check(options.seed, options.only)
    console.print(outcome.fault or f"{outcome.method}: error {outcome.error:.1e}", highlight=False, markup=False)
    return 1 if outcome.fault else 0


if __name__ == "__main__":
    sys.exit(main())

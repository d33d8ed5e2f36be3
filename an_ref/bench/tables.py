"""The tables of a bench, as text: shown in the terminal and on the page alike."""

from __future__ import annotations

from typing import Any, NamedTuple

from .contestants import COMPILED, DEFAULT, FLOOR, LAST, TUNED
from .ratios import spread_of

OVER = {
    TUNED: "over tuned",
    COMPILED: "over compiled",
    LAST: "over channels-last",
    DEFAULT: "over default layout",
    FLOOR: "over floor",
}


class Table(NamedTuple):
    """A title, headings and rows of text."""

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]


def tables(record: dict[str, Any]) -> dict[str, Table]:
    """Return the tables of what has been measured, by name: the sections, accuracy, cost, missing."""
    found = {name: make(record) for name, make in MAKERS.items()}
    return {name: table for name, table in found.items() if table.rows}


def facts(record: dict[str, Any]) -> list[str]:
    """Return where, when and how it was measured, a line each."""
    machine, versions, gpu = record["machine"], record["versions"], record.get("gpu")
    known = ", ".join(f"{name} {number}" for name, number in versions.items())
    return [
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}",
        *([f"GPU: {gpu['name']}, {gpu['memory'] / 2**30:.0f} GiB"] if gpu else []),
        f"Versions: {known}" + (f", CUDA {gpu['runtime']}, driver for CUDA {gpu['driver']}" if gpu else ""),
        f"Threads: {record['threads']} for every contestant; rounds: {record['rounds']}; device: {record['device']}",
        f"Date: {record['date']}" + ("" if record["complete"] else "; stopped before the end"),
    ]


def on_which(record: dict[str, Any]) -> str:
    """Return the GPU that was measured, with versions and day, in a line; nothing for the CPU."""
    if "gpu" not in record:
        return ""
    gpu, versions = record["gpu"], record["versions"]
    known = ", ".join(
        f"{name} {versions[key]}" for name, key in (("CuPy", "cupy"), ("PyTorch", "torch")) if key in versions
    )
    return f"{gpu['name']}, {known}, CUDA {gpu['runtime']}, driver for CUDA {gpu['driver']}, {record['date'][:10]}"


def _times(section: str, record: dict[str, Any]) -> Table:
    rows = [row for row in record["rows"] if row["section"] == section]
    references = list(dict.fromkeys(name for row in rows for name in row["ratios"]))
    step = section == "steps"
    measured = ("images/s", "memory, MB", "whole process, MB") if step else ("forward", "backward", "both, ms")
    heads = ("case", "contestant", *measured, *(OVER.get(name, f"over {name}") for name in references))
    lines = []
    for case, contestant in dict.fromkeys((row["case"], row["contestant"]) for row in rows):
        own = {row["part"]: row for row in rows if (row["case"], row["contestant"]) == (case, contestant)}
        whole = own["step" if step else "both"]
        if step:
            memory = (whole.get(key) for key in ("memory", "process_memory"))
            cells = [f"{whole['images_per_second']:.0f}", *("" if m is None else f"{m / 1e6:.0f}" for m in memory)]
        else:
            cells = [f"{1e3 * spread_of(own[part]['seconds']).median:.3g}" for part in ("forward", "backward", "both")]
        lines.append((case, contestant, *cells, *(_ratio(whole["ratios"].get(name)) for name in references)))
    which = on_which(record)
    return Table(TITLES[section] + (f"; {which}" if which else ""), heads, lines)


def _exponent(p: float | None) -> str:
    return "" if p is None else f"{round(p, 2) + 0:.2f}"  # 0.00, not -0.00


def _ratio(spread: list[float] | None) -> str:
    return "" if spread is None else f"{spread[0]:.2f} ({spread[1]:.2f}-{spread[2]:.2f})"


def _accuracy(record: dict[str, Any]) -> Table:
    lines = [
        (
            entry["norm"],
            f"{entry['offset']:g}",
            entry["contestant"],
            *(_error(entry["errors"], names) for names in (("y",), ("dx",), None)),
        )
        for entry in record["accuracy"]
    ]
    return Table(TITLES["accuracy"], ("norm", "mean/std", "contestant", "y", "dx", "parameters"), lines)


def _error(errors: dict[str, float | None], names: tuple[str, ...] | None) -> str:
    own = [error for name, error in errors.items() if (name in names if names else name not in ("y", "dx"))]
    return "not finite" if None in own else f"{max(error for error in own if error is not None):.1e}"


def _cost(record: dict[str, Any]) -> Table:
    lines: list[tuple[str, ...]] = []
    for vary, entries in record["cost"].items():
        if vary == "an over bn":
            if entries["ratio"]:
                shape = "x".join(map(str, entries["shape"]))
                lines.append((f"an over bn at {shape}", "", "", _ratio(entries["ratio"]), ""))
            continue
        for entry in entries:
            exponents = (_exponent(entry[f"{what}_exponent"]) for what in ("time", "memory"))
            sizes = f"{entry['sizes'][0]} to {entry['sizes'][-1]}" if entry["sizes"] else ""
            lines.append((vary, entry["norm"], sizes, *exponents))
    return Table(TITLES["cost"], ("what grows", "norm", "from", "exponent of time", "of memory"), lines)


def _missing(record: dict[str, Any]) -> Table:
    cases: dict[tuple[str, str], list[str]] = {}
    for entry in record["missing"]:
        cases.setdefault((entry["contestant"], entry["reason"]), []).append(entry["case"])
    lines: list[tuple[str, ...]] = [
        (who, found[0] if len(found) == 1 else f"{len(found)} cases", why) for (who, why), found in cases.items()
    ]
    return Table(TITLES["missing"], ("contestant", "case", "reason"), lines)


TITLES = {
    "norms": "Norms, float32: milliseconds, and the median ratio of forward and backward with its quartiles",
    "convolutions": "Convolutions, float32: milliseconds, and the median ratio of forward and backward",
    "steps": "The training step of resnet20: images a second, peak memory, and the median ratio of the time",
    "cost": "Growth: time or memory = c * size^exponent",
    "accuracy": "Worst error in float32 against float64, over the largest right value",
    "missing": "Not timed",
}

MAKERS = {
    "norms": lambda record: _times("norms", record),
    "convolutions": lambda record: _times("convolutions", record),
    "steps": lambda record: _times("steps", record),
    "cost": _cost,
    "accuracy": _accuracy,
    "missing": _missing,
}

"""The command `an-ref bench`."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import check_at_least, check_device, check_folder, check_name, plain_errors, wrong

if TYPE_CHECKING:
    from ..bench import Plan
    from ..bench.record import Record


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer cases and rounds: a few minutes.")] = False,
    device: Annotated[str, typer.Option(help="Where to measure: cpu or gpu.")] = "cpu",
    out: Annotated[Path, typer.Option(help="The folder for bench.json, bench.png and cost.png.")] = Path("runs/bench"),
    rounds: Annotated[int | None, typer.Option(help="Turns of each contestant.", show_default="9, quick: 3")] = None,
    only: Annotated[
        str | None,
        typer.Option(
            help="Sections, with commas between.",
            show_default="norms,convolutions,steps,cost,accuracy; gpu: norms,steps",
        ),
    ] = None,
    tiny: Annotated[bool, typer.Option("--tiny", hidden=True)] = False,
) -> None:
    """Measure an_ref beside its textbook form, PyTorch and the memory floor.

    norms: bn, gn, sn, se and an, forward and backward.
    convolutions: those of resnet20.
    steps: resnet20's training step, with its peak memory.
    cost: how time and memory grow with N, C, H*W, K and depth.
    accuracy: float32 against float64, at means of up to 1e4.

    On a GPU, the norms and the steps: CuPy arrays with an_ref's kernels
    beside plain CuPy, PyTorch and the memory floor of that GPU.

    Each contestant has a process of its own, and they take turns. Let
    nothing else run meanwhile. Without PyTorch, an_ref and the textbook
    are measured alone. A run that was stopped keeps what was done.
    """
    from ..bench import PLANS

    with plain_errors():
        check_name("device", device, PLANS)
        sections = _sections(only, device)
        plan = PLANS[device]["tiny" if tiny else "quick" if quick else "full"]
        if rounds is not None:
            check_at_least("--rounds", rounds, 1)
            plan = replace(plan, rounds=rounds)
        check_device(device)
        check_folder("--out", out)
        options = ["--quick"] * quick + ["--tiny"] * tiny + ["--device", device, "--rounds", str(plan.rounds)]
        code = run(plan, shlex.join(["an-ref", "bench", *options, "--only", ",".join(sections)]), sections, device, out)
    raise typer.Exit(code)


def _sections(only: str | None, device: str) -> tuple[str, ...]:
    """Return the sections to be done, or exit if one is unknown or is not measured on that device."""
    from ..bench import SECTIONS
    from ..bench.contestants import sections

    known = sections(device)
    chosen = known if only is None else tuple(name.strip() for name in only.split(","))
    for name in chosen:
        check_name("section", name, SECTIONS)
        if name not in known:
            raise wrong(f"--only {name}: with --device {device} only {', '.join(known)} are measured")
    return chosen


def run(plan: Plan, command: str, sections: tuple[str, ...], device: str, out: Path) -> int:
    """Do what `an-ref bench` does once its options are known to be right, and return the exit code."""
    from rich.console import Console

    from ..bench.contestants import NO_TORCH, has_torch
    from ..bench.record import run_bench, start_record, write_record
    from ..bench.tables import facts
    from ..bench.terminal import show_tables

    console, code = Console(), 0
    record = start_record(plan, command, device=device)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    say("\n".join(facts(record)[:-1]))
    if not has_torch():
        say(NO_TORCH)
    try:
        run_bench(plan, record, only=sections, hear=say, keep=lambda: write_record(record, out))
    except KeyboardInterrupt:
        record["interrupted"], code = True, 130
    write_record(record, out)
    draw(record, out)
    show_tables(console, record)
    if code:
        typer.echo(f"an-ref: interrupted; what was measured is in {out / 'bench.json'}", err=True)
    else:
        say(f"\nRecord: {out / 'bench.json'}")
    return code


def draw(record: Record, out: Path) -> None:
    """Write the figures of what was measured."""
    from ..bench.figures import draw_cost, draw_ratios
    from ..files import replace_file

    for name, picture in (("bench.png", draw_ratios(record)), ("cost.png", draw_cost(record))):
        if picture is not None:
            replace_file(out / name, picture)

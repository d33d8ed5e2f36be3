"""The command `an-ref compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    check_at_least,
    check_batch_size,
    check_device,
    check_folder,
    check_lr,
    check_name,
    plain_errors,
    wrong,
)

if TYPE_CHECKING:
    from ..data import Dataset
    from ..results import Settings


def compare(
    norms: Annotated[
        str,
        typer.Option(
            help="What to compare, with commas: none, bn, ln, in, gn, sn, se, an, an-gn, an-ln, an-in, an-sn."
        ),
    ] = "none,bn,gn,sn,se,an",
    model: Annotated[
        str, typer.Option(help="The net: small_cnn; or, many times slower, resnet20, resnet56, mobilenet_v2, densenet.")
    ] = "small_cnn",
    epochs: Annotated[int, typer.Option(help="How often each net sees every training image.")] = 15,
    batch_size: Annotated[int, typer.Option(help="Images in a batch.")] = 64,
    seeds: Annotated[int, typer.Option(help="How many nets to train with each norm: seeds 0, 1, 2, ...")] = 3,
    lr: Annotated[float, typer.Option(help="The highest learning rate, after one epoch of warm-up.")] = 0.1,
    device: Annotated[str, typer.Option(help="Where to train: cpu or gpu.")] = "cpu",
    out: Annotated[Path, typer.Option(help="The folder for results.json, report.html and the figures.")] = Path(
        "runs/compare"
    ),
) -> None:
    """Check all gradients, then train the same net on the same batches with every norm, and write a report.

    Ctrl-C keeps the runs that have finished.
    """
    with plain_errors():
        from ..data import load_emoji

        data = load_emoji()
        settings = _checked_settings(norms, model, epochs, batch_size, seeds, lr, device, images=len(data.train_labels))
        check_folder("--out", out)
        code = run_comparison(settings, data, out)
    raise typer.Exit(code)


def run_comparison(settings: Settings, data: Dataset, out: Path) -> int:
    """Do what `an-ref compare` does, with settings, images and a folder that are known to be right.

    Returns the exit code.
    """
    from rich.console import Console

    from .. import experiment
    from ..terminal import TrainingProgress, show_check

    console = Console()
    console.print("Gradients by complex step, worst error of each op:", highlight=False)
    if not all(report.ok for _, report in show_check(console)):
        return 1
    runs = len(settings.norms) * len(settings.seeds)
    epochs = f"{settings.epochs} epoch{'s' * (settings.epochs > 1)}"
    console.print(f"\nTraining {settings.model} on {data.name}: {runs} runs of {epochs}", highlight=False)
    with TrainingProgress(console, settings) as progress:
        results, details = experiment.compare(settings, data, out, on_event=progress.show)
    return _show_results(console, results, details, data, out)


def _show_results(console: Any, results: dict[str, Any], details: dict[str, Any], data: Dataset, out: Path) -> int:
    """Print the table, write the report, and return the exit code."""
    from ..report import summarize, write_report
    from ..terminal import results_table

    summaries = summarize(results, details)
    finished = sum(len(s.seeds) for s in summaries)
    planned = len(summaries) * len(results["seeds"])
    if finished:
        console.print(results_table(summaries))
        report = write_report(out, results, details, data)
    if results["interrupted"]:
        console.print(f"\nInterrupted: {finished} of {planned} runs had finished.", highlight=False)
    if finished:
        typer.echo(f"\nReport: {report}")
    if results["interrupted"]:
        return 130
    return 0 if results["complete"] else 1


def _checked_settings(
    norms: str, model: str, epochs: int, batch_size: int, seeds: int, lr: float, device: str, *, images: int
) -> Settings:
    from ..nn import MODELS, NORMS
    from ..results import Settings
    from ..training import WEIGHT_DECAY

    chosen = tuple(dict.fromkeys(name.strip() for name in norms.split(",") if name.strip()))
    if not chosen:
        raise wrong(f"--norms names nothing; choose from {', '.join(NORMS)}")
    for name in chosen:
        check_name("norm", name, NORMS)
    check_name("model", model, MODELS)
    check_at_least("--epochs", epochs, 1)
    check_batch_size(batch_size, images, chosen)
    check_at_least("--seeds", seeds, 1)
    check_lr(lr)
    check_device(device)
    return Settings(model, chosen, tuple(range(seeds)), epochs, batch_size, lr, WEIGHT_DECAY, device)

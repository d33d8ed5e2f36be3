"""The command `an-ref`: check the gradients, compare the norms.

Exit codes: 0 all is well; 1 a gradient is wrong, or a run failed; 2 an option is wrong, or a file of the user's cannot
be loaded or tried; 130 stopped by Ctrl-C. What needs time to import is imported inside the commands, so that --help
answers at once.
"""

from __future__ import annotations

import difflib
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import __version__

if TYPE_CHECKING:
    from .data import Dataset
    from .results import Settings

app = typer.Typer(
    name="an-ref",
    help="Feature normalization and channel attention from scratch: verify the gradients, train with every norm.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"an-ref {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def check(
    file: Annotated[
        Path | None, typer.Option(help="A Python file of yours with functions NAME and NAME_backward, to check those.")
    ] = None,
    op: Annotated[str | None, typer.Option(help="The NAME to check; without it all pairs of the file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report to this file, to open in a browser.")] = None,
) -> None:
    """Verify gradients by the complex step: all ops and layers of the package, or the ops of your own file.

    In your file NAME(x, ...) returns (y, cache) and NAME_backward(dy, cache) returns the gradients.

    The inputs are what NAME_example() returns: arrays, or (arrays, keywords). Without it they are guessed.
    """
    with _plain_errors():
        if op is not None and file is None:
            raise _wrong("--op names a function of your file: give --file too")
        if html is not None:
            _check_html(html)
        code = run_check(file, op, html)
    raise typer.Exit(code)


def run_check(file: Path | None, op: str | None, html: Path | None) -> int:
    """Do what `an-ref check` does and return the exit code."""
    from rich.console import Console

    from .gradcheck import userfile
    from .terminal import show_check, show_reports

    console, complaints = Console(), []
    if file is None:
        reports = show_check(console)
    else:
        try:
            module = userfile.load(file)
            pairs, alone = userfile.find_pairs(module, op)
        except userfile.UserFileError as error:
            raise _wrong(str(error)) from None
        ready, untried = userfile.find_examples(module, pairs)
        complaints = alone + untried
        reports = show_reports(console, ((pair.name, userfile.check_pair(module, pair, e)) for pair, e in ready))
    for complaint in complaints:
        typer.echo(f"an-ref: {complaint}", err=True)
    if html is not None and reports:
        from .gradcheck.html import page

        html.write_text(page(reports), encoding="utf-8")
        typer.echo(f"\nReport: {html}")
    if not all(report.ok for _, report in reports):
        return 1
    return 2 if complaints else 0


@app.command()
def compare(
    norms: Annotated[
        str,
        typer.Option(
            help="What to compare, with commas: none, bn, ln, in, gn, sn, se, an, an-gn, an-ln, an-in, an-sn."
        ),
    ] = "none,bn,gn,sn,se,an",
    model: Annotated[str, typer.Option(help="The net: small_cnn, or resnet20 (many times slower).")] = "small_cnn",
    epochs: Annotated[int, typer.Option(help="How often each net sees every training image.")] = 15,
    batch_size: Annotated[int, typer.Option(help="Images in a batch.")] = 64,
    seeds: Annotated[int, typer.Option(help="How many nets to train with each norm: seeds 0, 1, 2, ...")] = 3,
    lr: Annotated[float, typer.Option(help="The highest learning rate, after one epoch of warm-up.")] = 0.1,
    out: Annotated[Path, typer.Option(help="The folder for results.json, report.html and the figures.")] = Path(
        "runs/compare"
    ),
) -> None:
    """Check all gradients, then train the same net on the same batches with every norm, and write a report.

    Ctrl-C keeps the runs that have finished.
    """
    with _plain_errors():
        from .data import load_emoji

        data = load_emoji()
        settings = _checked_settings(norms, model, epochs, batch_size, seeds, lr, images=len(data.train_labels))
        _check_folder("--out", out)
        code = run_comparison(settings, data, out)
    raise typer.Exit(code)


def run_comparison(settings: Settings, data: Dataset, out: Path) -> int:
    """Do what `an-ref compare` does, with settings, images and a folder that are known to be right.

    Returns the exit code.
    """
    from rich.console import Console

    from . import experiment
    from .terminal import TrainingProgress, show_check

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
    from .report import summarize, write_report
    from .terminal import results_table

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
    norms: str, model: str, epochs: int, batch_size: int, seeds: int, lr: float, *, images: int
) -> Settings:
    from .experiment import MODELS
    from .nn import NORMS
    from .results import Settings
    from .training import WEIGHT_DECAY

    chosen = tuple(dict.fromkeys(name.strip() for name in norms.split(",") if name.strip()))
    if not chosen:
        raise _wrong(f"--norms names nothing; choose from {', '.join(NORMS)}")
    for name in chosen:
        _check_name("norm", name, NORMS)
    _check_name("model", model, MODELS)
    if epochs < 1:
        raise _wrong(f"--epochs must be at least 1, got {epochs}")
    if not 1 <= batch_size <= images:
        raise _wrong(f"--batch-size must be from 1 to {images}, the number of training images, got {batch_size}")
    if seeds < 1:
        raise _wrong(f"--seeds must be at least 1, got {seeds}")
    if not (math.isfinite(lr) and lr > 0):
        raise _wrong(f"--lr must be above 0 and finite, got {lr:g}")
    return Settings(model, chosen, tuple(range(seeds)), epochs, batch_size, lr, WEIGHT_DECAY)


def _check_name(kind: str, name: str, known: Any) -> None:
    if name not in known:
        near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.0)
        raise _wrong(f"unknown {kind} '{name}': did you mean '{near[0]}'? Choose from {', '.join(known)}")


def _check_folder(option: str, folder: Path) -> None:
    """Make the folder and write something into it, to find out now and not after the work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _wrong(f"cannot write into {option} {folder}: {reason}; choose another folder") from None


def _check_html(path: Path) -> None:
    """Find out now whether the report can be written, without making or changing it."""
    if path.is_dir():
        raise _wrong(f"--html {path} is a folder; give the path of a file in it")
    _check_folder("the folder of --html", path.parent)
    if path.exists() and not os.access(path, os.W_OK):
        raise _wrong(f"cannot write --html {path}: permission denied; choose another path")


def _wrong(message: str) -> typer.Exit:
    typer.echo(f"an-ref: {message}", err=True)
    return typer.Exit(2)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn Ctrl-C and a full disk into one line; any other exception is a fault of ours and keeps its traceback."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("an-ref: interrupted", err=True)
        raise typer.Exit(130) from None
    except OSError as error:
        typer.echo(f"an-ref: {error}", err=True)
        raise typer.Exit(1) from None

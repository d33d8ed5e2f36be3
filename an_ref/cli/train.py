"""The command `an-ref train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import plain_errors
from .train_options import Options, prepare

if TYPE_CHECKING:
    from ..training.run import Run


def train(
    ctx: typer.Context,
    data: Annotated[
        str, typer.Option(help="The images: emoji (embedded), cifar10, cifar100, or folder (see --data-dir).")
    ] = "emoji",
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="For cifar10 and cifar100 a folder or archive in the binary format, instead of the network; "
            "for folder the one with train/ and test/, each with a sub-folder for every class."
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="The net: small_cnn, resnet20, resnet56, both also with -bottleneck, mobilenet_v2, densenet."
        ),
    ] = "resnet20",
    norm: Annotated[
        str, typer.Option(help="Its norm: none, bn, ln, in, gn, sn, se, an, an-gn, an-ln, an-in, an-sn.")
    ] = "an",
    epochs: Annotated[int, typer.Option(help="How often the net sees every training image.")] = 30,
    batch_size: Annotated[int, typer.Option(help="Images in a batch.")] = 128,
    lr: Annotated[
        float | None,
        typer.Option(
            help="The highest learning rate, after the warm-up.", show_default="0.1 for a batch of 128, in proportion"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the weights, the order and the augmentation.")] = 0,
    limit: Annotated[
        int | None, typer.Option(help="Train on the first so many training images.", show_default="all")
    ] = None,
    label_smoothing: Annotated[float, typer.Option(help="0.1 in the paper's advanced setup.")] = 0.0,
    mixup: Annotated[float, typer.Option(help="alpha of mixup, 0 for none; 0.2 in the paper's advanced setup.")] = 0.0,
    device: Annotated[
        str, typer.Option(help="Where to train: cpu or gpu. A run stays on the device that it began on.")
    ] = "cpu",
    out: Annotated[Path, typer.Option(help="The folder for last.npz, best.npz, log.csv and curve.png.")] = Path(
        "runs/train"
    ),
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue from last.npz in --out, with its settings; from the start where there is none."
        ),
    ] = False,
) -> None:
    """Train one net with the paper's recipe and test it after every epoch.

    SGD with Nesterov momentum 0.9; cosine schedule after a warm-up;
    weight decay 1e-4 on weights alone; random shifts and flips.

    last.npz is written after every epoch. A run that was stopped, by Ctrl-C
    or a power cut, continues with --resume and ends with the same bits.

    best.npz is the epoch with the highest test accuracy. The test images
    choose it, so its accuracy on them flatters the net; last.npz is fair.
    """
    options = Options(data, data_dir, model, norm, epochs, batch_size, lr, seed, limit, label_smoothing, mixup, device)
    sources = {name: ctx.get_parameter_source(name) for name in Options._fields}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    with plain_errors():
        code = run_training(prepare(options, given, out, resume=resume))
    raise typer.Exit(code)


def run_training(run: Run) -> int:
    """Do what `an-ref train` does with a run that is ready, and return the exit code."""
    from rich.console import Console

    from ..backend import OutOfMemoryError
    from ..files import WriteError
    from ..memory import keep_memory
    from ..training import TrainingDiverged
    from ..training.terminal import RunProgress, run_summary

    keep_memory()
    console = Console()
    try:
        with RunProgress(console, run) as progress:
            run.go_on(progress.show_batch, progress.show_epoch)
    except KeyboardInterrupt:
        typer.echo(f"an-ref: interrupted; {_way_on(run)}", err=True)
        return 130
    except WriteError as error:
        typer.echo(f"an-ref: {error}; when that is mended, {_way_on(run)}", err=True)
        return 1
    except OutOfMemoryError as error:
        typer.echo(f"an-ref: {error}; {_way_on(run)}", err=True)
        return 1
    except TrainingDiverged as error:
        typer.echo(f"an-ref: {error}", err=True)
        return 1
    console.print(run_summary(run), highlight=False, markup=False, soft_wrap=True)
    return 0


def _way_on(run: Run) -> str:
    """Say how to continue, and from where."""
    command = Options.of(run.settings).command("--out", str(run.out), "--resume")
    if not (run.out / "last.npz").exists():
        return f"no epoch was kept; to start again: {command}"
    return f"what was kept is whole; to continue: {command}"

"""The command `an-ref evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import plain_errors, wrong
from .train_options import load

if TYPE_CHECKING:
    from ..data import Dataset
    from ..training.checkpoint import Checkpoint


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A last.npz or best.npz that an-ref train has written.")],
    data: Annotated[
        str | None, typer.Option(help="Test on this set instead: emoji, cifar10, cifar100, folder.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the images are, if not where they were for training.")
    ] = None,
) -> None:
    """Test a trained net on the test images: accuracy, loss, and the accuracy of each class.

    The net and the set come from the checkpoint.

    The accuracy of best.npz flatters the net, since the test images chose it among the epochs.
    """
    with plain_errors():
        from ..training.checkpoint import CheckpointError, load_checkpoint

        try:
            loaded = load_checkpoint(checkpoint)
        except CheckpointError as error:
            raise wrong(str(error)) from None
        settings = loaded.about.settings
        if data is None and data_dir is None and settings.data_dir is not None:
            data_dir = Path(settings.data_dir)
        images = load(data or settings.data, data_dir)
        if images.classes != loaded.about.classes:
            raise wrong(
                f"the net of {checkpoint} tells {len(loaded.about.classes)} classes apart "
                f"({_some(loaded.about.classes)}), {images.name} has {len(images.classes)} ({_some(images.classes)}); "
                f"choose --data with the same classes"
            )
        code = run_evaluation(checkpoint, loaded, images)
    raise typer.Exit(code)


def run_evaluation(path: Path, checkpoint: Checkpoint, data: Dataset) -> int:
    """Do what `an-ref evaluate` does with a checkpoint and images that fit, and return the exit code."""
    from rich.console import Console

    from ..memory import keep_memory
    from ..threads import one_blas_thread
    from ..training import TrainingDiverged
    from ..training import evaluate as test
    from ..training.settings import fingerprints
    from ..training.terminal import class_table

    about, console = checkpoint.about, Console()
    scale = checkpoint.part("input")
    model = checkpoint.build_model()
    try:
        keep_memory()
        with one_blas_thread():  # as in training: the same bits
            found = test(model, data.test_images, data.test_labels, scale["mean"], scale["std"])
    except TrainingDiverged as error:
        typer.echo(f"an-ref: {error}", err=True)
        return 1
    typer.echo(
        f"{about.settings.model} with {about.settings.norm}, trained on {about.settings.data}, "
        f"after epoch {about.epoch} of {about.settings.recipe.epochs}\n"
        f"{len(found.correct):,} test images of {data.name}: accuracy {found.accuracy:.4f}, loss {found.loss:.4f}\n"
    )
    console.print(class_table(data, found.correct))
    if fingerprints(data)["test"] != about.images["test"]:
        typer.echo("\nThese are not the test images of the training run.")
    elif path.name == "best.npz":
        typer.echo("\nThese test images chose best.npz among the epochs: the accuracy flatters the net.")
    return 0


def _some(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:3]) + (", ..." if len(classes) > 3 else "")

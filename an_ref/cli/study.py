"""The command `an-ref study`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import check_at_least, check_folder, check_name, plain_errors, wrong
from .train_options import load

if TYPE_CHECKING:
    from ..data import Dataset
    from ..studies.record import Record, StudySettings


def study(
    name: Annotated[str, typer.Argument(help="batch-size, ablation, placement or depth.")],
    data: Annotated[
        str, typer.Option(help="The images: emoji (embedded), cifar10, cifar100, or folder (see --data-dir).")
    ] = "emoji",
    data_dir: Annotated[Path | None, typer.Option(help="Where the images are, as for an-ref train.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="Train on the first so many training images.", show_default="all")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="How many nets of each kind: seeds 0, 1, 2, ...", show_default="10")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="How often each net sees every training image.", show_default="30")
    ] = None,
    model: Annotated[str, typer.Option(help="The net; all but small_cnn are many times slower.")] = "small_cnn",
    out: Annotated[Path, typer.Option(help="The folder for NAME.json and NAME.png.")] = Path("runs/study"),
) -> None:
    """Train a declared grid of nets from several seeds, and say what the results show.

    batch-size: batches of 2 to 128 for bn, gn, sn, an, an-gn.
    ablation: AN's K, descriptor, transform, activation, one at a time.
    placement: AN as first, second or all norms of each block.
    depth: no norm, bn and an as depth and weight scale grow.

    Every run is kept as soon as it ends. A study that was stopped goes on
    when the same command is given again.
    """
    with plain_errors():
        settings = _checked_settings(name, data, data_dir, limit, seeds, epochs, model)
        check_folder("--out", out)
        record, images = _prepare(settings, load(data, data_dir), out)
        code = run(record, images, out)
    raise typer.Exit(code)


def run(record: Record, data: Dataset, out: Path) -> int:
    """Do what `an-ref study` does with a record and images that fit, and return the exit code."""
    from rich.console import Console

    from ..files import replace_file
    from ..studies import run_study
    from ..studies.figures import draw_study
    from ..studies.terminal import StudyProgress, heading, show_results

    console, code = Console(), 0
    console.print(heading(record), highlight=False, markup=False, soft_wrap=True)
    try:
        with StudyProgress(console, record) as progress:
            run_study(record, data, out, on_event=progress.show)
    except KeyboardInterrupt:
        code = 130
    show_results(console, record)
    kept = out / f"{record['study']}.json"
    if any(entry["runs"] for entry in record["cases"]):
        replace_file(kept.with_suffix(".png"), draw_study(record))
    if code:
        typer.echo(f"an-ref: interrupted; the runs that ended are in {kept}, the same command goes on", err=True)
        return code
    typer.echo(f"\nRecord: {kept}")
    return 0 if record["complete"] else 1


def _checked_settings(
    name: str, data: str, data_dir: Path | None, limit: int | None, seeds: int | None, epochs: int | None, model: str
) -> StudySettings:
    from ..data import DATASETS
    from ..nn import MODELS
    from ..studies import STUDIES
    from ..studies.record import StudySettings

    check_name("study", name, STUDIES)
    check_name("image set", data, DATASETS)
    check_name("model", model, MODELS)
    declared = STUDIES[name]
    seeds = declared.seeds if seeds is None else seeds
    epochs = declared.epochs if epochs is None else epochs
    check_at_least("--seeds", seeds, 1)
    check_at_least("--epochs", epochs, 1)
    if limit is not None:
        check_at_least("--limit", limit, 1)
    return StudySettings(name, data, data_dir, model, epochs, seeds, limit)


def _prepare(settings: StudySettings, data: Dataset, out: Path) -> tuple[Record, Dataset]:
    from ..studies import StudyError, prepare

    images = len(data.train_labels)
    if settings.limit is not None and settings.limit > images:
        raise wrong(f"--limit must be from 1 to {images}, the number of training images, got {settings.limit}")
    try:
        return prepare(settings, data, out)
    except StudyError as error:
        raise wrong(str(error)) from None

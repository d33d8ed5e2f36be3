"""The options of `an-ref train`: their checks, the settings they make, and the run they find in a folder."""

from __future__ import annotations

import itertools
import math
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .options import check_at_least, check_batch_size, check_device, check_folder, check_lr, check_name, wrong

if TYPE_CHECKING:
    from ..data import Dataset
    from ..training.checkpoint import Checkpoint
    from ..training.run import Run
    from ..training.settings import RunSettings

LR_PER_IMAGE = 0.1 / 128  # He et al. 2016, arXiv 1512.03385, section 4.2, for these nets; the AN paper's is 0.1 / 256


class Options(NamedTuple):
    """The options that say what is run, not where it is kept. lr is None for its default, limit for no limit."""

    data: str
    data_dir: Path | None
    model: str
    norm: str
    epochs: int
    batch_size: int
    lr: float | None
    seed: int
    limit: int | None
    label_smoothing: float
    mixup: float
    device: str

    @classmethod
    def of(cls, settings: RunSettings) -> Options:
        """Return the options that give `settings`."""
        s, r = settings, settings.recipe
        data_dir = None if s.data_dir is None else Path(s.data_dir)
        images = s.data, data_dir, s.model, s.norm, r.epochs, r.batch_size
        return cls(*images, r.lr, s.seed, s.limit, r.label_smoothing, r.mixup, s.device)

    def command(self, *more: str) -> str:
        """Return the command that gives these options, whatever the defaults are by then, and `more` after them."""
        given = {flag(name): str(value) for name, value in self._asdict().items() if value is not None}
        return shlex.join(["an-ref", "train", *itertools.chain(*given.items()), *more])


def flag(name: str) -> str:
    """Return the option as it is typed: --batch-size for batch_size."""
    return f"--{name.replace('_', '-')}"


def prepare(options: Options, given: list[str], out: Path, *, resume: bool) -> Run:
    """Check everything, load the images, and return the run: a new one or, to resume, the one in `out`.

    `given` names the options that were typed: those must agree with the run in `out`, the others come from it.
    """
    from ..training.checkpoint import CheckpointError
    from ..training.run import Run
    from ..training.settings import limited

    checkpoint = _find(out, resume)
    if checkpoint is None:
        _check(options)
    else:
        options = _merged(options, given, checkpoint.about.settings, out)
        _check_gpu(options, out)
    check_folder("--out", out)
    data = load(options.data, options.data_dir)
    settings = checkpoint.about.settings if checkpoint else _planned(options, data)
    try:
        return Run(settings, limited(data, settings.limit), out, checkpoint)
    except CheckpointError as error:
        raise wrong(str(error)) from None


def load(name: str, data_dir: Path | None) -> Dataset:
    """Return the images, or exit with what is wrong with them."""
    from ..data import DataError, load_dataset

    try:
        return load_dataset(name, data_dir)
    except DataError as error:
        raise wrong(str(error)) from None


def _find(out: Path, resume: bool) -> Checkpoint | None:
    """Return the checkpoint to continue from, None for a new run."""
    from ..training.checkpoint import CheckpointError, load_checkpoint

    last = out / "last.npz"
    if not last.exists():
        return None
    if not resume:
        raise wrong(f"--out {out} already holds last.npz; give --resume to continue that run, or another folder")
    try:
        return load_checkpoint(last)
    except CheckpointError as error:
        raise wrong(f"{error}; give another folder, or remove the file to start again") from None


def _merged(options: Options, given: list[str], settings: RunSettings, out: Path) -> Options:
    """Return the options of the run in `out`: what was typed must be the same there, but for the place of the data."""
    kept = Options.of(settings)
    for name in given:
        now, then = getattr(options, name), getattr(kept, name)
        if now != then and name != "data_dir":
            raise wrong(
                f"{flag(name)} is {now}, but the run in {out / 'last.npz'} has {then}; "
                f"leave {flag(name)} out to continue that run, or give another --out"
            )
    return kept._replace(data_dir=options.data_dir or kept.data_dir)


def _check_gpu(options: Options, out: Path) -> None:
    """Exit if the run in `out` began on a GPU and there is none here."""
    from ..backend import gpu_fault

    fault = gpu_fault() if options.device == "gpu" else None
    if fault:
        raise wrong(
            f"the run in {out / 'last.npz'} began on a GPU and continues only there, for the bits differ on the CPU: "
            f"{fault}"
        )


def _check(options: Options) -> None:
    """Check what can be checked before the images are loaded."""
    from ..data import DATASETS
    from ..nn import MODELS, NORMS

    check_name("image set", options.data, DATASETS)
    check_name("model", options.model, MODELS)
    check_name("norm", options.norm, NORMS)
    check_at_least("--epochs", options.epochs, 1)
    check_at_least("--seed", options.seed, 0)
    if options.limit is not None:
        check_at_least("--limit", options.limit, 1)
    if options.lr is not None:
        check_lr(options.lr)
    if not 0 <= options.label_smoothing < 1:
        raise wrong(f"--label-smoothing must be from 0 to below 1, got {options.label_smoothing:g}; 0.1 is usual")
    if not (math.isfinite(options.mixup) and options.mixup >= 0):
        raise wrong(f"--mixup must be finite and not negative, got {options.mixup:g}; 0.2 is usual, 0 is none")
    check_device(options.device)


def _planned(options: Options, data: Dataset) -> RunSettings:
    """Return the settings of a new run."""
    from ..training import Recipe, not_decayed
    from ..training.settings import RunSettings, limited

    images = len(data.train_labels)
    if options.limit is not None and options.limit > images:
        raise wrong(f"--limit must be from 1 to {images}, the number of training images, got {options.limit}")
    check_batch_size(options.batch_size, len(limited(data, options.limit).train_labels), (options.norm,))
    recipe = Recipe(
        epochs=options.epochs,
        batch_size=options.batch_size,
        lr=LR_PER_IMAGE * options.batch_size if options.lr is None else options.lr,
        label_smoothing=options.label_smoothing,
        mixup=options.mixup,
    )
    data_dir = None if options.data_dir is None else str(options.data_dir)
    settings = RunSettings(
        options.data, data_dir, options.model, options.norm, options.seed, options.limit, recipe, options.device
    )
    no_decay = not_decayed(settings.build_model(len(data.classes)))
    return replace(settings, recipe=replace(recipe, no_decay=no_decay))

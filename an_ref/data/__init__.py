"""Images to train on: an embedded set, CIFAR, a folder of your own; and the augmentation and batches for them."""

from __future__ import annotations

import difflib
from pathlib import Path

from .augment import batches, mixup, pad_crop_flip
from .cifar import load_cifar
from .dataset import DataError, Dataset
from .emoji import load_emoji
from .folder import load_folder

__all__ = [
    "DATASETS",
    "DataError",
    "Dataset",
    "batches",
    "load_cifar",
    "load_dataset",
    "load_emoji",
    "load_folder",
    "mixup",
    "pad_crop_flip",
]

DATASETS = ("emoji", "cifar10", "cifar100", "folder")


def load_dataset(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Return the image set `name`, one of DATASETS.

    emoji               the embedded set; it has no data_dir                                (see load_emoji)
    cifar10, cifar100   from data_dir, a folder or an archive; without it from the network  (see load_cifar)
    folder              data_dir/train and data_dir/test, with a sub-folder for each class  (see load_folder)

    Raises DataError if the name is unknown, if data_dir is missing or too much, or if something is wrong with the data.
    """
    if name not in DATASETS:
        near = difflib.get_close_matches(str(name), DATASETS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(f"there is no image set {name!r}: {hint}choose from {', '.join(DATASETS)}")
    if name == "emoji":
        if data_dir is not None:
            raise DataError("the emoji are part of the package and are not read from a folder: leave --data-dir out")
        return load_emoji()
    if name != "folder":
        return load_cifar(name, data_dir)
    if data_dir is None:
        raise DataError("for a folder of images say which one, with --data-dir")
    return load_folder(data_dir)

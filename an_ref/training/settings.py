"""What one training run is made of, and what it notes after each epoch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data import Dataset
from ..nn import MODELS, Layer
from .recipe import Recipe, generators


@dataclass(frozen=True)
class RunSettings:
    """What `an-ref train` runs. Two runs with equal settings and images end with equal bits, on one machine.

    data, data_dir   as `data.load_dataset` takes them
    model, norm      names out of `nn.MODELS` and `nn.NORMS`
    seed             from 0; of the weights, and of the order and the augmentation of the images
    limit            train on the first so many training images; None for all
    recipe           how
    device           "cpu" or "gpu": the bits differ, so a run stays on the device that it began on
    """

    data: str
    data_dir: str | None
    model: str
    norm: str
    seed: int
    limit: int | None
    recipe: Recipe
    device: str = "cpu"

    def build_model(self, classes: int) -> Layer:
        """Return the net as it starts, in float32, on the CPU."""
        weights, _ = generators(self.seed)
        return MODELS[self.model](norm=self.norm, classes=classes, rng=weights)

    def batch_generator(self) -> np.random.Generator:
        """Return the generator that decides the batches, as it starts."""
        return generators(self.seed)[1]


class EpochRecord(NamedTuple):
    """What is noted after an epoch. There is no time in it, so that a resumed run notes what an uninterrupted one does.

    lr             the learning rate of its last step
    train_loss     mean over the images of the epoch, as they were augmented and mixed, in training mode
    test_loss      mean cross-entropy of the test images, without smoothing
    test_accuracy  share of the test images whose class was named correctly
    """

    lr: float
    train_loss: float
    test_loss: float
    test_accuracy: float


def limited(data: Dataset, limit: int | None) -> Dataset:
    """Return `data` with the first `limit` training images, or with all of them for None."""
    if limit is None:
        return data
    return data._replace(train_images=data.train_images[:limit], train_labels=data.train_labels[:limit])


def fingerprints(data: Dataset) -> dict[str, str]:
    """Return the sha256 of the training images with their labels ("train") and of the test images ("test")."""
    return {
        "train": _sha256(data.train_images, data.train_labels),
        "test": _sha256(data.test_images, data.test_labels),
    }


def _sha256(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> str:
    digest = hashlib.sha256(repr(images.shape).encode())
    for array in (images, labels.astype("<i8")):
        digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()

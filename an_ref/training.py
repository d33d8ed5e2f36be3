"""Train one net on small images, and test it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import Dataset, batches, pad_crop_flip
from .losses import softmax_cross_entropy, softmax_cross_entropy_backward
from .nn import SGD, Layer, cosine_schedule

MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4


class TrainingDiverged(RuntimeError):
    """The loss is no longer a finite number: nothing can be learned from there on."""


def train(
    model: Layer,
    data: Dataset,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    rng: np.random.Generator,
    weight_decay: float = WEIGHT_DECAY,
    on_epoch: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train `model` in place on data.train_images and return the mean loss of each epoch.

    Softmax cross-entropy in float32, SGD with Nesterov momentum 0.9, a cosine schedule to almost 0 after one epoch of
    warm-up. Each batch is shifted by up to four pixels and mirrored at random. `rng` decides the order and the shifts,
    nothing else draws from it: the same rng gives every model the same batches. `on_epoch(epoch, loss)` is called after
    each epoch, 1 to `epochs`. Raises TrainingDiverged as soon as a loss is not finite.
    """
    scale = pixel_scale(data.train_images)
    optimizer = SGD(model, lr=lr, momentum=MOMENTUM, weight_decay=weight_decay, nesterov=True)
    count = len(data.train_labels)
    per_epoch = sum(1 for _ in batches(count, batch_size, rng=np.random.default_rng(0)))
    losses = []
    for epoch in range(epochs):
        summed, seen = 0.0, 0
        for step, index in enumerate(batches(count, batch_size, rng=rng)):
            optimizer.lr = cosine_schedule(
                epoch * per_epoch + step, steps=epochs * per_epoch, lr=lr, warmup=per_epoch if epochs > 1 else 0
            )
            x = to_input(pad_crop_flip(data.train_images[index], rng=rng), *scale)
            loss = _descend(model, x, data.train_labels[index], optimizer)
            if not np.isfinite(loss):
                raise TrainingDiverged(
                    f"the loss is {loss} in epoch {epoch + 1} of {epochs}, step {step + 1} of {per_epoch}; "
                    f"train with a smaller learning rate than {lr:g}"
                )
            summed, seen = summed + loss * len(index), seen + len(index)
        losses.append(summed / seen)
        if on_epoch is not None:
            on_epoch(epoch + 1, losses[-1])
    return losses


def predict(model: Layer, x: NDArray[Any], batch_size: int = 200) -> NDArray[Any]:
    """Return the logits (n, classes) of `model` in eval mode. Raises TrainingDiverged if one is not finite."""
    parts = [model.forward(x[start : start + batch_size], train=False) for start in range(0, len(x), batch_size)]
    logits = np.concatenate(parts)
    if not np.isfinite(logits).all():
        raise TrainingDiverged("the logits of the test images are not finite; train with a smaller learning rate")
    return logits


def pixel_scale(images: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return mean and standard deviation of each channel of `images` (n, C, H, W), both (C, 1, 1) in float32."""
    mean = images.mean(axis=(0, 2, 3), dtype=np.float64)
    std = images.std(axis=(0, 2, 3), dtype=np.float64)
    std[std == 0] = 1.0  # a constant channel stays 0
    return mean.astype(np.float32)[:, None, None], std.astype(np.float32)[:, None, None]


def to_input(images: NDArray[Any], mean: NDArray[Any], std: NDArray[Any]) -> NDArray[Any]:
    """Return (images - mean) / std in float32: what the nets see."""
    return (images.astype(np.float32) - mean) / std


def _descend(model: Layer, x: NDArray[Any], labels: NDArray[Any], optimizer: SGD) -> float:
    """Take one step and return the loss before it; a loss that is not finite changes nothing."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the caller looks at the loss
        loss, cache = softmax_cross_entropy(model.forward(x, train=True), labels)
        if np.isfinite(loss):
            model.backward(softmax_cross_entropy_backward(1.0, cache))
            optimizer.step()
    return float(loss)

"""Train one net on small images, and test it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backend import beside, clear_memory_errors, to_host
from ..data import Dataset, batches, mixup, pad_crop_flip
from ..losses import softmax_cross_entropy, softmax_cross_entropy_backward
from ..nn import SGD, Layer, cosine_schedule
from .divergence import TrainingDiverged, all_finite, blame_backward, blame_forward, blame_parameters
from .recipe import Recipe

WEIGHT_DECAY = 5e-4  # of `an-ref compare`; the paper's is 1e-4
BATCH = 200  # images at a time in eval mode
NO_ROOM = "free some of it (nvidia-smi shows who has it), or take smaller batches, a smaller net or the CPU"

Progress = Callable[[int, float], None]


class Training:
    """A net in training, epoch by epoch: all that changes on the way, so that it can be kept and gone on with.

    model, optimizer, rng   as they are after the epochs done so far
    mean, std               of each channel of the training images, (C, 1, 1): see `to_input`

    `rng` decides the order, the augmentation and the mixing, and nothing else draws from it.

    The work is done where the model's parameters are. On a GPU, the images of a batch go there once, as bytes, with
    their labels, and one small array comes back: the loss, and whether all numbers are finite.
    """

    def __init__(self, model: Layer, data: Dataset, recipe: Recipe, *, rng: np.random.Generator) -> None:
        self.model = model
        self.recipe = recipe
        self.rng = rng
        self.images, self.labels = data.train_images, data.train_labels
        self.mean, self.std = pixel_scale(data.train_images)
        self.optimizer = SGD(
            model,
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=True,
            no_decay=recipe.no_decay,
        )
        count = sum(1 for _ in batches(len(self.labels), recipe.batch_size, rng=np.random.default_rng(0)))
        self.steps = count  # in an epoch

    @clear_memory_errors(NO_ROOM)
    def run_epoch(self, epoch: int, on_batch: Progress | None = None) -> float:
        """Train epoch number `epoch`, from 0, and return the mean loss of its images.

        `on_batch(images, loss)` hears after each batch how many images the epoch has seen and their mean loss. Raises
        TrainingDiverged as soon as a loss, a gradient or a parameter is not finite, and says where it first appeared;
        backend.OutOfMemoryError if the memory of a GPU is full.
        """
        summed, seen = 0.0, 0
        self._scale = _scale_beside(self.model, self.mean, self.std)
        for step, index in enumerate(batches(len(self.labels), self.recipe.batch_size, rng=self.rng)):
            self.optimizer.lr = cosine_schedule(
                epoch * self.steps + step,
                steps=self.recipe.epochs * self.steps,
                lr=self.recipe.lr,
                warmup=self.recipe.warmup * self.steps,
            )
            try:
                loss = self._descend(index)
            except TrainingDiverged as error:
                raise TrainingDiverged(
                    f"{error}, in epoch {epoch + 1} of {self.recipe.epochs}, step {step + 1} of {self.steps}; "
                    f"train with a smaller learning rate than {self.recipe.lr:g}"
                ) from None
            summed, seen = summed + loss * len(index), seen + len(index)
            if on_batch is not None:
                on_batch(seen, summed / seen)
        return summed / seen

    def _descend(self, index: NDArray[np.intp]) -> float:
        """Take one step on the images at `index` and return the loss before it."""
        home = _home(self.model)
        x = to_input(beside(home, pad_crop_flip(self.images[index], rng=self.rng)), *self._scale)
        labels = self.labels[index]
        targets = [(1.0, labels)]
        if self.recipe.mixup:
            x, first, second, weight = mixup(x, labels, alpha=self.recipe.mixup, rng=self.rng)
            targets = [(weight, first), (1 - weight, second)]
        targets = [(weight, beside(home, part)) for weight, part in targets]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # looked for right here
            loss, dlogits = mixed_cross_entropy(self.model.forward(x, train=True), targets, self.recipe.label_smoothing)
            self.model.backward(dlogits)
            params, velocity = dict(self.model.params), dict(self.optimizer.velocity)
            self.optimizer.step()
            fetched = to_host(np.stack([loss, all_finite(self.model.grads), all_finite(self.model.params)]))
            value, gradients_sound, parameters_sound = fetched.tolist()
            if math.isfinite(value) and gradients_sound and parameters_sound:
                return value
            if math.isfinite(value) and gradients_sound:
                raise TrainingDiverged(f"a step was too long: {blame_parameters(self.model)}")
            self.model.params.update(params)  # as they were before the step
            self.optimizer.velocity = velocity
            if math.isfinite(value):
                raise TrainingDiverged(f"a gradient is not finite: {blame_backward(self.model, dlogits)}")
            raise TrainingDiverged(f"the loss is {value}: {blame_forward(self.model, x, train=True)}")


def train(
    model: Layer,
    data: Dataset,
    recipe: Recipe,
    *,
    rng: np.random.Generator,
    on_epoch: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train `model` in place on data.train_images and return the mean loss of each epoch.

    Each batch is shifted by up to four pixels and mirrored at random. `rng` decides the order, the shifts and the
    mixing, nothing else draws from it: the same rng gives every model the same batches. `on_epoch(epoch, loss)` is
    called after each epoch, 1 to `epochs`. A model on a GPU is trained there. Raises as `Training.run_epoch` does.
    """
    training = Training(model, data, recipe, rng=rng)
    losses = []
    for epoch in range(recipe.epochs):
        losses.append(training.run_epoch(epoch))
        if on_epoch is not None:
            on_epoch(epoch + 1, losses[-1])
    return losses


def mixed_cross_entropy(
    logits: NDArray[Any], targets: list[tuple[float, NDArray[Any]]], label_smoothing: float
) -> tuple[Any, NDArray[Any]]:
    """Return sum_t w_t CE(logits, labels_t) over `targets`, the pairs (w_t, labels_t), and its gradient at the logits.

    The loss is a float64, where the logits are. One pair of weight 1 is the usual loss; mixup has two (Zhang et al.
    2018, arXiv 1710.09412).
    """
    loss: Any = 0.0
    dlogits = None
    for weight, labels in targets:
        part, cache = softmax_cross_entropy(logits, labels, label_smoothing=label_smoothing)
        grad = softmax_cross_entropy_backward(weight, cache)
        loss = loss + weight * part.astype(np.float64)
        dlogits = grad if dlogits is None else dlogits + grad
    assert dlogits is not None
    return loss, dlogits


class Evaluation(NamedTuple):
    """What a test gives: the mean cross-entropy, and for each image whether its class was named correctly."""

    loss: float
    correct: NDArray[np.bool_]

    @property
    def accuracy(self) -> float:
        """The share of the images that were named correctly."""
        return float(self.correct.mean())


def evaluate(
    model: Layer, images: NDArray[Any], labels: NDArray[Any], mean: NDArray[Any], std: NDArray[Any]
) -> Evaluation:
    """Test `model` in eval mode on `images` (n, C, H, W), which `to_input` scales with mean and std.

    A model on a GPU is tested there, the images moved part by part. Raises TrainingDiverged if a logit is not finite.
    """
    home, scale = _home(model), _scale_beside(model, mean, std)
    logits = np.concatenate([_logits(model, to_input(beside(home, part), *scale)) for part in _parts(images, BATCH)])
    loss, _ = softmax_cross_entropy(logits.astype(np.float64), labels)
    return Evaluation(float(loss), logits.argmax(axis=1) == labels)


def predict(model: Layer, x: NDArray[Any], batch_size: int = BATCH) -> NDArray[Any]:
    """Return the logits (n, classes) of `model` in eval mode, for x and with the result on the CPU.

    Raises TrainingDiverged if one is not finite.
    """
    return np.concatenate([_logits(model, beside(_home(model), part)) for part in _parts(x, batch_size)])


def _home(model: Layer) -> Any:
    """Return an array that is where the model is."""
    return next(iter(model.params.values()), np.empty(0))


def _scale_beside(model: Layer, mean: NDArray[Any], std: NDArray[Any]) -> tuple[Any, Any]:
    home = _home(model)
    return beside(home, mean), beside(home, std)


def _parts(images: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    return (images[start : start + size] for start in range(0, len(images), size))


@clear_memory_errors(NO_ROOM)
def _logits(model: Layer, x: NDArray[Any]) -> NDArray[Any]:
    """Return the logits of the images x, which are where the model is, on the CPU."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # looked for right here
        logits: NDArray[Any] = to_host(model.forward(x, train=False))
    if not np.isfinite(logits).all():
        raise TrainingDiverged(
            f"the logits of the test images are not finite: {blame_forward(model, x, train=False)}; "
            f"train with a smaller learning rate"
        )
    return logits


def pixel_scale(images: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return mean and standard deviation of each channel of uint8 `images` (n, C, H, W), both (C, 1, 1) in float32."""
    counts = np.zeros((images.shape[1], 256), np.int64)  # how often each value occurs: exact, and small for any set
    for part in _parts(images, BATCH):
        for channel, values in enumerate(np.moveaxis(part, 1, 0)):
            counts[channel] += np.bincount(values.ravel(), minlength=256)
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ np.arange(256)  # (C,)
    std = np.sqrt((shares * (np.arange(256) - mean[:, None]) ** 2).sum(axis=1))
    std[std == 0] = 1.0  # a constant channel stays 0
    return mean.astype(np.float32)[:, None, None], std.astype(np.float32)[:, None, None]


def to_input(images: NDArray[Any], mean: NDArray[Any], std: NDArray[Any]) -> NDArray[Any]:
    """Return (images - mean) / std in float32: what the nets see."""
    return (images.astype(np.float32) - mean) / std

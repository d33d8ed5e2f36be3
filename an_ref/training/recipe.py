"""How a net is trained: every number of it, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..nn import Layer
from ..validation import check_fraction, check_integer, check_number

DECAYED = ("weight", "w1", "w2", "attn_weight", "attn_w1", "attn_w2")  # the matrices and kernels


@dataclass(frozen=True)
class Recipe:
    """How a net is trained: SGD with Nesterov momentum, a cosine schedule after a linear warm-up, augmented images.

        epochs           how often every image is seen, from 1
        batch_size       images in a batch, from 1
        lr               the highest learning rate, above 0
        momentum         above 0 and below 1
        weight_decay     from 0; `no_decay` lists the parameters without it, as `nn.SGD` takes them
        warmup_epochs    from 0 to epochs - 1; None for the paper's share, 5 epochs of 120: max(1, round(epochs / 24)),
                         and none if there is one epoch alone
        label_smoothing  s of `softmax_cross_entropy`, in [0, 1)
        mixup            alpha of the Beta distribution of `data.augment.mixup`, from 0; 0 is no mixup

    Raises TypeError or ValueError for a value out of its range. Source: Li, Sun & Wu 2020, arXiv 1908.01259, section 4,
    whose basic setup has no smoothing and no mixup, and whose advanced one has 0.1 and 0.2.
    """

    epochs: int
    batch_size: int
    lr: float
    momentum: float = 0.9
    weight_decay: float = 1e-4
    no_decay: tuple[str, ...] = ()
    warmup_epochs: int | None = None
    label_smoothing: float = 0.0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        check_integer("Recipe", "epochs", self.epochs)
        check_integer("Recipe", "batch_size", self.batch_size)
        for name, lowest in (("lr", "above 0"), ("weight_decay", "from 0"), ("mixup", "from 0")):
            value = getattr(self, name)
            check_number("Recipe", name, value)
            if not math.isfinite(value) or value < 0 or (name == "lr" and value == 0):
                raise ValueError(f"Recipe: {name} must be a finite number {lowest}, got {value}")
        check_fraction("Recipe", "momentum", self.momentum)
        if self.momentum == 0:
            raise ValueError("Recipe: momentum must be above 0, got 0; 0.9 is usual")
        check_fraction("Recipe", "label_smoothing", self.label_smoothing)
        if self.warmup_epochs is None:
            share = max(1, round(self.epochs / 24)) if self.epochs > 1 else 0
            object.__setattr__(self, "warmup_epochs", share)
        check_integer("Recipe", "warmup_epochs", self.warmup, minimum=0)
        if self.warmup >= self.epochs:
            raise ValueError(
                f"Recipe: warmup_epochs must be below epochs = {self.epochs}, got {self.warmup}; "
                f"choose from 0 to {self.epochs - 1}"
            )

    @property
    def warmup(self) -> int:
        """The epochs of warm-up, the default worked out."""
        assert self.warmup_epochs is not None
        return self.warmup_epochs


def generators(seed: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Return two independent generators made from `seed`: one for the weights, one for the batches.

    So the batches are the same for every norm, however many numbers its weights take.
    """
    weights, order = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    return weights, order


def not_decayed(model: Layer) -> tuple[str, ...]:
    """Return the names of the parameters of `model` that weight decay should leave alone: all but `DECAYED`.

    Those are gamma and beta of every norm, AN's K x C ones too, biases, and SN's logits. Source: Goyal et al. 2017,
    arXiv 1706.02677, section 5.1, for gamma and beta; He et al. 2019, arXiv 1812.01187, section 3.1, for biases too.
    """
    return tuple(sorted({key.rpartition(".")[2] for key in model.params} - set(DECAYED)))

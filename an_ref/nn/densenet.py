"""DenseNet for small images. blocks.py explains the options of AN."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from ..validation import check_integer
from .basic import AvgPool2d, ReLU
from .blocks import (
    PLACEMENTS,
    Attention,
    Mixtures,
    Plan,
    classifier,
    convolution,
    normalization,
    squeeze_excite,
    stage_plans,
)
from .containers import Concatenated, Sequential
from .initialize import Seed
from .layer import Layer

BLOCKS = 3


def densenet(
    *,
    norm: str,
    classes: int,
    layers: int = 6,
    growth: int = 12,
    placement: str | None = None,
    mixtures: Mixtures = (10, 10, 20),
    attention: Attention = None,
    rng: Seed = None,
    dtype: DTypeLike = np.float32,
) -> Sequential:
    """Return a DenseNet-BC for 32x32 images, or any from 8 pixels on: (N, 3, H, W) -> logits (N, classes).

    A 3x3 convolution to 2 k channels (k = `growth`), three dense blocks, the mean of each map, a linear layer: depth
    6 * layers + 4, by default 40. Each of the `layers` layers of a block puts k more channels beside those it gets:

        norm - ReLU - 1x1 to 4 k - norm - ReLU - 3x3 to k

    Between the blocks norm - ReLU - 1x1 to half the channels - 2x2 mean; behind the last norm - ReLU. With "se" the
    gate is behind the 3x3 convolution. There is no sum, so nothing starts at zero.

    placement: "first", "second" (the default, as the AN paper has it: the norm of 4 k channels) or "all". By default AN
    has 10, 10 and 20 mixtures: the published 10, 10, 20, 20 of four blocks, cut to three. Raises TypeError or
    ValueError for layers or growth below 1, and as `blocks.stage_plans` does. Source: Huang et al. 2017, arXiv
    1608.06993, sections 3 and 4.2.
    """
    check_integer("densenet", "layers", layers)
    check_integer("densenet", "growth", growth)
    stages = stage_plans(
        "densenet",
        BLOCKS,
        PLACEMENTS,
        norm=norm,
        classes=classes,
        placement="second" if placement is None else placement,
        mixtures=mixtures,
        attention=attention,
        rng=rng,
        dtype=dtype,
    )
    channels = 2 * growth
    net: list[Layer] = [convolution(stages[0], 3, channels, size=3)]
    for number, make in enumerate(stages):
        if number > 0:
            net += _transition(stages[number - 1], channels)
            channels //= 2
        for _ in range(layers):
            net += [_dense_layer(make, channels, growth)]
            channels += growth
    return Sequential(
        *net, *normalization(stages[-1], channels, "end"), ReLU(), *classifier(stages[-1], channels, classes)
    )


def _dense_layer(make: Plan, channels: int, growth: int) -> Concatenated:
    """Return norm - ReLU - 1x1 - norm - ReLU - 3x3, its result beside x."""
    wide = 4 * growth
    first = [*normalization(make, channels, "first"), ReLU(), convolution(make, channels, wide)]
    second = [*normalization(make, wide, "second"), ReLU(), convolution(make, wide, growth, size=3)]
    gate = [squeeze_excite(make, growth)] if make.norm == "se" else []
    return Concatenated(Sequential(*first, *second, *gate))


def _transition(make: Plan, channels: int) -> list[Layer]:
    """Return norm - ReLU - 1x1 to half the channels - mean of 2x2 windows: between two blocks."""
    return [
        *normalization(make, channels, "transition"),
        ReLU(),
        convolution(make, channels, channels // 2),
        AvgPool2d(2),
    ]

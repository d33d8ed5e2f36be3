"""MobileNetV2 for small images. blocks.py explains the options of AN."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..validation import check_number
from .basic import ReLU6
from .blocks import (
    THREE_PLACEMENTS,
    Attention,
    Mixtures,
    Plan,
    as_branch,
    classifier,
    conv_norm,
    stage_plans,
)
from .containers import Residual, Sequential
from .initialize import Seed
from .layer import Layer

STEM, HEAD = 32, 1280
# Table 2 of the paper: expansion t, channels c, blocks n, stride s of the first block. There the stem has stride 2 and
# the second stage too; with 1 in both, 32x32 images end on 4x4 maps instead of 1x1.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenet_v2(
    *,
    norm: str,
    classes: int,
    width: float = 0.5,
    placement: str | None = None,
    mixtures: Mixtures = (5, 5, 5, 5, 10, 10, 10),
    attention: Attention = None,
    rng: Seed = None,
    dtype: DTypeLike = np.float32,
) -> Sequential:
    """Return a MobileNetV2 for 32x32 images, or any from 9 pixels on: (N, 3, H, W) -> logits (N, classes).

    A 3x3 convolution, seven stages of inverted residuals, a 1x1 convolution to 1280 channels, the mean of each map, a
    linear layer; stages as in table 2 of the paper, but the stem and the second stage keep the size of the map. An
    inverted residual is

        1x1 to 6 times the channels - norm - ReLU6 - 3x3 depthwise - norm - ReLU6 - 1x1 - norm

    plus x where the shape stays (the first block has no first 1x1). `width`, above 0, scales all channels, rounded to
    multiples of 8; the last 1280 only above 1. With "se" the gate is behind the last norm, in every block.

    placement: "first", "second" (the default: the norm behind the depthwise convolution), "third" or "all". By default
    AN has 5, 5, 5, 5, 10, 10 and 10 mixtures, as published. Raises TypeError or ValueError for a width that is not
    positive or not finite, and as `blocks.stage_plans` does. Source: Sandler et al. 2018, arXiv 1801.04381.
    """
    _check_width(width)
    stages = stage_plans(
        "mobilenet_v2",
        len(STAGES),
        THREE_PLACEMENTS,
        norm=norm,
        classes=classes,
        placement="second" if placement is None else placement,
        mixtures=mixtures,
        attention=attention,
        rng=rng,
        dtype=dtype,
    )
    channels, head = _scaled(STEM, width), _scaled(HEAD, max(width, 1.0))
    layers: list[Layer] = [*conv_norm(stages[0], 3, channels, size=3, position="stem"), ReLU6()]
    for make, (expansion, base, blocks, stride) in zip(stages, STAGES, strict=True):
        for number in range(blocks):
            wide = _scaled(base, width)
            layers += [_inverted_residual(make, channels, wide, expansion, stride if number == 0 else 1)]
            channels = wide
    layers += [*conv_norm(stages[-1], channels, head, position="head"), ReLU6()]
    return Sequential(*layers, *classifier(stages[-1], head, classes))


def _inverted_residual(make: Plan, channels: int, width: int, expansion: int, stride: int) -> Layer:
    """Return one block; there is no ReLU behind it: the paper's linear bottleneck."""
    wide = channels * expansion
    layers: list[Any] = []
    if expansion > 1:
        layers += [*conv_norm(make, channels, wide, position="first"), ReLU6()]
    layers += [*conv_norm(make, wide, wide, size=3, stride=stride, groups=wide, position="second"), ReLU6()]
    layers += conv_norm(make, wide, width, position="third")
    if stride == 1 and channels == width:
        return Residual(as_branch(make, layers, width))
    return as_branch(make, layers, width, start_at_zero=False)


def _scaled(channels: int, width: float) -> int:
    """Return the multiple of 8 nearest to channels * width, at least 8 and never more than a tenth below it."""
    exact = channels * width
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded


def _check_width(width: float) -> None:
    check_number("mobilenet_v2", "width", width)
    if not (math.isfinite(width) and width > 0):
        raise ValueError(
            f"mobilenet_v2: width must be positive and finite, got {width}; 1.0 is the paper's net, 0.5 a small one"
        )

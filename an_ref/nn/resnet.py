"""Residual nets for small images: a small one, ResNet-20 and ResNet-56. blocks.py explains their options."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..validation import check_choice, check_integer
from .basic import ReLU
from .blocks import (
    PLACEMENTS,
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

WIDTHS = (16, 32, 64)
EXPANSION = {"basic": 1, "bottleneck": 4}  # the channels of a block's result over its width


def small_cnn(
    *,
    norm: str,
    classes: int,
    blocks: int = 1,
    placement: str | None = None,
    mixtures: Mixtures = 10,
    attention: Attention = None,
    rng: Seed = None,
    dtype: DTypeLike = np.float32,
) -> Sequential:
    """Return a small residual net for 32x32 images, or any from 9 pixels on: (N, 3, H, W) -> logits (N, classes).

    A 3x3 convolution with stride 2 to 16 channels, three stages of `blocks` basic blocks, 16, 32 and 64 channels wide
    (the last two begin with stride 2), the mean of each map, a linear layer. placement: "first" (the default),
    "second" or "all". Raises TypeError or ValueError for blocks below 1, and as `blocks.stage_plans` does.
    """
    check_integer("small_cnn", "blocks", blocks)
    options: dict[str, Any] = {"mixtures": mixtures, "attention": attention, "rng": rng, "dtype": dtype}
    return _net("small_cnn", "basic", blocks, 2, norm=norm, classes=classes, placement=placement, **options)


def resnet20(
    *,
    norm: str,
    classes: int,
    block: str = "basic",
    placement: str | None = None,
    mixtures: Mixtures = 10,
    attention: Attention = None,
    rng: Seed = None,
    dtype: DTypeLike = np.float32,
) -> Sequential:
    """Return the ResNet-20 for CIFAR, or any images from 5 pixels on: (N, 3, H, W) -> logits (N, classes).

    A 3x3 convolution to 16 channels, three stages 16, 32 and 64 wide (the last two begin with stride 2), the mean of
    each map, a linear layer. Where the shape changes, the shortcut is a 1x1 convolution with a norm (option B of the
    paper). block:

        basic        3x3 - norm - ReLU - 3x3 - norm; three in a stage, depth 6 * 3 + 2.
                     placement "first" (the default, as the AN paper has it), "second", "all"
        bottleneck   1x1 - norm - ReLU - 3x3 - norm - ReLU - 1x1 to 4 times the width - norm; two in a stage, depth
                     9 * 2 + 2; a stride is in the 3x3. placement "first", "second" (the default: the norm after the
                     3x3, as the AN paper has it), "third", "all"

    Raises TypeError or ValueError for an unknown block, a placement that the block does not have, and as
    `blocks.stage_plans` does. Source: He et al. 2016, arXiv 1512.03385, sections 4.1 and 4.2.
    """
    options: dict[str, Any] = {"mixtures": mixtures, "attention": attention, "rng": rng, "dtype": dtype}
    blocks = _blocks("resnet20", block, basic=3, bottleneck=2)
    return _net("resnet20", block, blocks, 1, norm=norm, classes=classes, placement=placement, **options)


def resnet56(
    *,
    norm: str,
    classes: int,
    block: str = "basic",
    placement: str | None = None,
    mixtures: Mixtures = (10, 10, 20),
    attention: Attention = None,
    rng: Seed = None,
    dtype: DTypeLike = np.float32,
) -> Sequential:
    """Return the ResNet-56 for CIFAR: resnet20 with nine basic or six bottleneck blocks in each stage.

    By default AN has 10, 10 and 20 mixtures: the published 10, 10, 20, 20 of four stages, cut to three.
    """
    options: dict[str, Any] = {"mixtures": mixtures, "attention": attention, "rng": rng, "dtype": dtype}
    blocks = _blocks("resnet56", block, basic=9, bottleneck=6)
    return _net("resnet56", block, blocks, 1, norm=norm, classes=classes, placement=placement, **options)


def _blocks(net: str, block: str, **count: int) -> int:
    check_choice(net, "block", block, EXPANSION)
    return count[block]


def _net(
    name: str, block: str, blocks: int, stem_stride: int, *, classes: int, placement: str | None, **options: Any
) -> Sequential:
    """Return stem, stages of blocks (stride 2 at the start of each but the first), pooling, linear layer."""
    paper, places = ("first", PLACEMENTS) if block == "basic" else ("second", THREE_PLACEMENTS)
    placement = paper if placement is None else placement
    stages = stage_plans(name, len(WIDTHS), places, classes=classes, placement=placement, **options)
    build = _basic_block if block == "basic" else _bottleneck
    channels = WIDTHS[0]
    layers: list[Layer] = [*conv_norm(stages[0], 3, channels, size=3, stride=stem_stride, position="stem"), ReLU()]
    for stage, (make, width) in enumerate(zip(stages, WIDTHS, strict=True)):
        for number in range(blocks):
            stride = 2 if stage > 0 and number == 0 else 1
            layers += [build(make, channels, width, stride), ReLU()]
            channels = width * EXPANSION[block]
    return Sequential(*layers, *classifier(stages[-1], channels, classes))


def _basic_block(make: Plan, channels: int, width: int, stride: int) -> Residual:
    """Return conv - norm - ReLU - conv - norm beside its shortcut; the ReLU after the sum is the caller's."""
    first = conv_norm(make, channels, width, size=3, stride=stride, position="first")
    second = conv_norm(make, width, width, size=3, position="second")
    return _beside_shortcut(make, [*first, ReLU(), *second], channels, width, stride)


def _bottleneck(make: Plan, channels: int, width: int, stride: int) -> Residual:
    """Return 1x1 - norm - ReLU - 3x3 - norm - ReLU - 1x1 - norm beside its shortcut."""
    wide = width * EXPANSION["bottleneck"]
    first = conv_norm(make, channels, width, position="first")
    second = conv_norm(make, width, width, size=3, stride=stride, position="second")
    third = conv_norm(make, width, wide, position="third")
    return _beside_shortcut(make, [*first, ReLU(), *second, ReLU(), *third], channels, wide, stride)


def _beside_shortcut(make: Plan, layers: list[Layer], channels: int, width: int, stride: int) -> Residual:
    """Return the sum of the branch and x, or, where the shape changes, a 1x1 convolution of x with a norm."""
    branch = as_branch(make, layers, width)
    if stride == 1 and channels == width:
        return Residual(branch)
    return Residual(branch, Sequential(*conv_norm(make, channels, width, stride=stride, position="shortcut")))

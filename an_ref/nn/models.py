"""Two residual nets for small images, with any of the normalizations in the same places.

    norm   none, bn, ln, in, gn, sn
           se      BN, and a gate at the end of each block's branch, its squeeze taken from the norm before it
           an      AN on batch statistics where `placement` says, BN elsewhere
           an-gn   AN on group statistics, GN elsewhere; the same with an-ln, an-in and an-sn

GroupNorm uses 8 groups, SE reduction 4, AN 10 mixtures. The last norm of each branch starts at gamma = 0 (for
AN gamma = beta = 0), so that each block starts as its shortcut (Goyal et al. 2017, arXiv 1706.02677, section
5.1).

Without norms ("none") the convolutions have biases, and the last convolution of each branch starts at zero:
the analogue of gamma = 0. Each block then starts as its shortcut too, so the features keep their size however
deep the net is, and the same learning rate trains it (Zhang, Dauphin & Ma 2019, arXiv 1901.09321, of which
this is the simplest part).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ..validation import check_choice, check_integer
from .attention import AttentiveNorm, GatedNorm, SqueezeExcite
from .basic import Conv2d, GlobalAvgPool2d, Linear, ReLU
from .containers import Residual, Sequential
from .initialize import Seed, floating
from .layer import Layer, OpLayer
from .normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, SwitchableNorm

GROUPS, REDUCTION, MIXTURES = 8, 4, 10
PLAIN: dict[str, Callable[..., OpLayer]] = {
    "bn": BatchNorm,
    "ln": LayerNorm,
    "in": InstanceNorm,
    "gn": partial(GroupNorm, groups=GROUPS),
    "sn": SwitchableNorm,
    "se": BatchNorm,
}
ATTENTIVE: dict[str, tuple[str, dict[str, Any]]] = {  # the plain norm beside it, and what AN standardizes with
    "an": ("bn", {"standardize": "batch"}),
    "an-gn": ("gn", {"standardize": "group", "groups": GROUPS}),
    "an-ln": ("ln", {"standardize": "layer"}),
    "an-in": ("in", {"standardize": "instance"}),
    "an-sn": ("sn", {"standardize": "switchable"}),
}
NORMS = ("none", *PLAIN, *ATTENTIVE)
PLACEMENTS = ("first", "second", "all")


def small_cnn(*, norm: str, classes: int, rng: Seed = None, dtype: DTypeLike = np.float32) -> Sequential:
    """Return a small residual net for 32x32 images, or any from 9 pixels on: (N, 3, H, W) -> logits (N, classes).

    A 3x3 convolution with stride 2 to 16 channels, three stages of one basic block each, 16, 32 and 64
    channels wide (the last two with stride 2), the mean of each map, a linear layer. AN sits after the first
    convolution of each block. Raises TypeError or ValueError for an unknown norm, classes below 1 and a dtype
    that is not floating.
    """
    make = _recipe("small_cnn", norm, "first", classes, rng, dtype)
    return _residual_net(make, classes, widths=(16, 32, 64), blocks=1, stem_stride=2)


def resnet20(
    *,
    norm: str,
    classes: int,
    placement: str = "first",
    rng: Seed = None,
    dtype: DTypeLike = np.float32,
) -> Sequential:
    """Return the ResNet-20 for CIFAR, or any images from 5 pixels on: (N, 3, H, W) -> logits (N, classes).

    A 3x3 convolution to 16 channels, three stages of three basic blocks, 16, 32 and 64 channels wide (the
    last two begin with stride 2), the mean of each map, a linear layer. Where the shape changes, the shortcut
    is a 1x1 convolution with a norm (option B of the paper). `placement` says which norms of the net are AN:
    "first", the one after the first convolution of each block, as the AN paper has it; "second", after the
    second; "all", every norm of the net, those of the stem and the shortcuts too. It changes nothing for
    norms other than an*. Raises TypeError or ValueError for an unknown norm or placement, classes below 1 and
    a dtype that is not floating.

    Source: He et al. 2016, arXiv 1512.03385, section 4.2.
    """
    make = _recipe("resnet20", norm, placement, classes, rng, dtype)
    return _residual_net(make, classes, widths=(16, 32, 64), blocks=3, stem_stride=1)


class _Recipe(NamedTuple):
    """What all parts of a net have in common."""

    norm: str
    placement: str
    rng: np.random.Generator
    dtype: np.dtype[Any]


def _recipe(name: str, norm: str, placement: str, classes: int, rng: Seed, dtype: DTypeLike) -> _Recipe:
    check_choice(name, "norm", norm, NORMS)
    check_choice(name, "placement", placement, PLACEMENTS)
    check_integer(name, "classes", classes)
    return _Recipe(norm, placement, np.random.default_rng(rng), floating(name, dtype))


def _residual_net(make: _Recipe, classes: int, *, widths: tuple[int, ...], blocks: int, stem_stride: int) -> Sequential:
    """Return stem, stages of basic blocks (stride 2 at the start of each but the first), pooling, linear layer."""
    channels = widths[0]
    layers: list[Layer] = [*_conv_norm(make, 3, channels, 3, stem_stride, "stem"), ReLU()]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            layers += [_basic_block(make, channels, width, stride), ReLU()]
            channels = width
    return Sequential(*layers, GlobalAvgPool2d(), Linear(channels, classes, rng=make.rng, dtype=make.dtype))


def _basic_block(make: _Recipe, channels: int, width: int, stride: int) -> Residual:
    """Return conv - norm - relu - conv - norm beside its shortcut; the ReLU after the sum is the caller's."""
    first = _conv_norm(make, channels, width, 3, stride, "first")
    second = _conv_norm(make, width, width, 3, 1, "second")
    _start_at_zero(second[-1])
    if make.norm == "se":
        gate = SqueezeExcite(width, reduction=REDUCTION, rng=make.rng, dtype=make.dtype)
        second[-1] = GatedNorm(second[-1], gate)
    branch = Sequential(*first, ReLU(), *second)
    if stride == 1 and channels == width:
        return Residual(branch)
    return Residual(branch, Sequential(*_conv_norm(make, channels, width, 1, stride, "shortcut")))


def _conv_norm(make: _Recipe, channels: int, width: int, size: int, stride: int, position: str) -> list[Any]:
    """Return [convolution, norm] for a position: stem, first, second or shortcut; [convolution] without norms."""
    bare = make.norm == "none"
    conv = Conv2d(
        channels,
        width,
        size=size,
        stride=stride,
        padding=size // 2,
        bias=bare,
        rng=make.rng,
        dtype=make.dtype,
    )
    return [conv] if bare else [conv, _norm(make, width, position)]


def _norm(make: _Recipe, channels: int, position: str) -> OpLayer:
    plain, statistics = ATTENTIVE.get(make.norm, (make.norm, {}))
    if statistics and make.placement in (position, "all"):
        return AttentiveNorm(channels, mixtures=MIXTURES, **statistics, rng=make.rng, dtype=make.dtype)
    return PLAIN[plain](channels, rng=make.rng, dtype=make.dtype)


def _start_at_zero(last: OpLayer) -> None:
    """Make the last layer of a branch give 0: gamma = 0 and, for AN, beta = 0; without norms, weight = 0."""
    for key in ("gamma", "beta", "weight"):
        if key in last.params:
            last.params[key] = np.zeros_like(last.params[key])

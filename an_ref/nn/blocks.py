"""What all nets share: which normalization goes where, and how a branch starts.

    norm   none, bn, ln, in, gn, sn
           se      BN, and a gate at the end of each block's branch, its squeeze taken from the norm before it, if any
           an      AN on batch statistics where `placement` says, BN elsewhere
           an-gn   AN on group statistics, GN elsewhere; the same with an-ln, an-in and an-sn

    placement   which norms are AN: the first, second or third of each branch (bn1, bn2 and bn3 in the AN paper), or
                all, every norm of the net, those outside the branches too. None is the paper's own place, at the 3x3
                convolution: the first in a basic block, else the second. It changes nothing for other norms
    mixtures    AN's K: an integer, or one for each stage. Norms before the first stage have that of the first, norms
                behind the last that of the last
    attention   options of AttentiveNorm: a dict with any of descriptor, transform, activation

GroupNorm uses 8 groups and SE reduction 4; where one does not divide the channels, the largest power of two below it
that does: gcd(8, C) groups, gcd(4, C). The last norm of each branch with a sum starts at gamma = 0 (for AN gamma =
beta = 0), so that each block starts as its shortcut (Goyal et al. 2017, arXiv 1706.02677, section 5.1).

Without norms ("none") the convolutions have biases, and the last convolution of each such branch starts at zero: the
analogue of gamma = 0. Each block then starts as its shortcut too, so the features keep their size however deep the net
is, and the same learning rate trains it (Zhang, Dauphin & Ma 2019, arXiv 1901.09321, of which this is the simplest
part).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ..validation import check_choice, check_integer
from .attention import VARIANTS, AttentiveNorm, GatedNorm, SqueezeExcite
from .basic import Conv2d, GlobalAvgPool2d, Linear
from .containers import Sequential
from .initialize import Seed, floating
from .layer import Layer, OpLayer
from .normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, SwitchableNorm

GROUPS, REDUCTION = 8, 4
PLAIN: dict[str, Callable[..., OpLayer]] = {
    "bn": BatchNorm,
    "ln": LayerNorm,
    "in": InstanceNorm,
    "gn": GroupNorm,
    "sn": SwitchableNorm,
    "se": BatchNorm,
}
ATTENTIVE = {  # the plain norm beside it, and what AN standardizes with
    "an": ("bn", "batch"),
    "an-gn": ("gn", "group"),
    "an-ln": ("ln", "layer"),
    "an-in": ("in", "instance"),
    "an-sn": ("sn", "switchable"),
}
NORMS = ("none", *PLAIN, *ATTENTIVE)
PLACEMENTS = ("first", "second", "all")  # of a branch with two norms
THREE_PLACEMENTS = ("first", "second", "third", "all")
OPTIONS = ("descriptor", "transform", "activation")

Mixtures = int | Sequence[int]
Attention = Mapping[str, str] | None


class Plan(NamedTuple):
    """What all parts of a net have in common; `mixtures` is K of the stage that is being built."""

    norm: str
    placement: str
    mixtures: int
    attention: dict[str, Any]
    rng: np.random.Generator
    dtype: np.dtype[Any]


def stage_plans(
    net: str,
    stages: int,
    placements: Sequence[str],
    *,
    norm: str,
    classes: int,
    placement: str,
    mixtures: Mixtures,
    attention: Attention,
    rng: Seed,
    dtype: DTypeLike,
) -> list[Plan]:
    """Return the plan of each stage. They differ in K alone, and draw from one generator.

    Raises TypeError or ValueError, in the name of the net, for an unknown norm, placement or option of the attention,
    classes or mixtures below 1, mixtures for another number of stages and a dtype that is not floating.
    """
    check_choice(net, "norm", norm, NORMS)
    check_choice(net, "placement", placement, placements)
    check_integer(net, "classes", classes)
    options = _check_attention(net, attention)
    draw, kind = np.random.default_rng(rng), floating(net, dtype)
    return [Plan(norm, placement, K, options, draw, kind) for K in _check_mixtures(net, mixtures, stages)]


def conv_norm(
    make: Plan, channels: int, width: int, *, position: str, size: int = 1, stride: int = 1, groups: int = 1
) -> list[Any]:
    """Return [convolution, norm], or [convolution] without norms; the map keeps its size at stride 1.

    position: first, second or third in a branch; any other word outside the branches.
    """
    return [
        convolution(make, channels, width, size=size, stride=stride, groups=groups),
        *normalization(make, width, position),
    ]


def convolution(make: Plan, channels: int, width: int, *, size: int = 1, stride: int = 1, groups: int = 1) -> Conv2d:
    """Return a convolution that pads by half its size; it has a bias only in a net without norms."""
    return Conv2d(
        channels,
        width,
        size=size,
        stride=stride,
        padding=size // 2,
        groups=groups,
        bias=make.norm == "none",
        rng=make.rng,
        dtype=make.dtype,
    )


def normalization(make: Plan, channels: int, position: str) -> list[OpLayer]:
    """Return the norm for a position in a list, which is empty in a net without norms."""
    if make.norm == "none":
        return []
    plain, standardize = ATTENTIVE.get(make.norm, (make.norm, ""))
    options: dict[str, Any] = {"rng": make.rng, "dtype": make.dtype}
    if plain == "gn":
        options["groups"] = math.gcd(GROUPS, channels)
    if standardize and make.placement in (position, "all"):
        return [AttentiveNorm(channels, mixtures=make.mixtures, standardize=standardize, **make.attention, **options)]
    return [PLAIN[plain](channels, **options)]


def as_branch(make: Plan, layers: list[Any], width: int, *, start_at_zero: bool = True) -> Sequential:
    """Return the layers of a branch in a row, the last one starting at zero; with "se", a gate is put behind it.

    width: the channels at the branch's end, which is a norm, or a convolution in a net without norms.
    """
    *before, last = layers
    if start_at_zero:
        _set_to_zero(last)
    return Sequential(*before, GatedNorm(last, squeeze_excite(make, width)) if make.norm == "se" else last)


def squeeze_excite(make: Plan, channels: int) -> SqueezeExcite:
    """Return the gate of the net with norm "se"."""
    return SqueezeExcite(channels, reduction=math.gcd(REDUCTION, channels), rng=make.rng, dtype=make.dtype)


def classifier(make: Plan, channels: int, classes: int) -> list[Layer]:
    """Return the end of every net: the mean of each map, then a linear layer."""
    return [GlobalAvgPool2d(), Linear(channels, classes, rng=make.rng, dtype=make.dtype)]


def _set_to_zero(last: OpLayer) -> None:
    """Make a layer give 0: gamma = 0 and, for AN, beta = 0; without norms, weight = 0."""
    for key in ("gamma", "beta", "weight"):
        if key in last.params:
            last.params[key] = np.zeros_like(last.params[key])


def _check_attention(net: str, attention: Attention) -> dict[str, str]:
    if attention is None:
        return {}
    if not isinstance(attention, Mapping):
        raise TypeError(f'{net}: attention must be a dict, got {attention!r}; for example {{"activation": "softmax"}}')
    for option, value in attention.items():
        check_choice(net, "option in attention", option, OPTIONS)
        check_choice(net, option, value, VARIANTS[option])
    return dict(attention)


def _check_mixtures(net: str, mixtures: Mixtures, stages: int) -> list[int]:
    """Return K of each stage."""
    if not isinstance(mixtures, (tuple, list)):
        return [check_integer(net, "mixtures", mixtures)] * stages
    if len(mixtures) != stages:
        raise ValueError(
            f"{net}: mixtures must be one integer or {stages} of them, one for each stage, got {len(mixtures)}: "
            f"{tuple(mixtures)}; pass for example {(10,) * stages}"
        )
    return [check_integer(net, "mixtures", K) for K in mixtures]

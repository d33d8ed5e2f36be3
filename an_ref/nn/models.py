"""The nets by name, as the commands call them. blocks.py explains the options that all of them take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .containers import Sequential
from .densenet import densenet
from .mobilenet import mobilenet_v2
from .resnet import resnet20, resnet56, small_cnn

MODELS: dict[str, Callable[..., Sequential]] = {
    "small_cnn": small_cnn,
    "resnet20": resnet20,
    "resnet20-bottleneck": partial(resnet20, block="bottleneck"),
    "resnet56": resnet56,
    "resnet56-bottleneck": partial(resnet56, block="bottleneck"),
    "mobilenet_v2": mobilenet_v2,
    "densenet": densenet,
}

"""Layers with parameters and running statistics, models made of them, and what trains them."""

from .attention import AttentiveNorm, GatedNorm, SqueezeExcite
from .basic import (
    AvgPool2d,
    Conv2d,
    GlobalAvgPool2d,
    HSigmoid,
    Linear,
    MaxPool2d,
    ReLU,
    Sigmoid,
    Softmax,
)
from .containers import Residual, Sequential
from .layer import Layer
from .models import NORMS, PLACEMENTS, resnet20, small_cnn
from .normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, SwitchableNorm
from .optimizers import SGD
from .schedules import cosine_schedule

__all__ = [
    "NORMS",
    "PLACEMENTS",
    "SGD",
    "AttentiveNorm",
    "AvgPool2d",
    "BatchNorm",
    "Conv2d",
    "GatedNorm",
    "GlobalAvgPool2d",
    "GroupNorm",
    "HSigmoid",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "SqueezeExcite",
    "SwitchableNorm",
    "cosine_schedule",
    "resnet20",
    "small_cnn",
]

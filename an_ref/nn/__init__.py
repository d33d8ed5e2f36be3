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
    ReLU6,
    Sigmoid,
    Softmax,
)
from .blocks import NORMS, PLACEMENTS
from .containers import Concatenated, Residual, Sequential
from .densenet import densenet
from .layer import Layer
from .mobilenet import mobilenet_v2
from .models import MODELS
from .normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, SwitchableNorm
from .optimizers import SGD
from .resnet import resnet20, resnet56, small_cnn
from .schedules import cosine_schedule

__all__ = [
    "MODELS",
    "NORMS",
    "PLACEMENTS",
    "SGD",
    "AttentiveNorm",
    "AvgPool2d",
    "BatchNorm",
    "Concatenated",
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
    "ReLU6",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "SqueezeExcite",
    "SwitchableNorm",
    "cosine_schedule",
    "densenet",
    "mobilenet_v2",
    "resnet20",
    "resnet56",
    "small_cnn",
]

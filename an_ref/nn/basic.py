"""Convolution, the linear layer, activations and pooling as layers.

Each wraps the op of the same name; see there for equations, shapes and sources. A number that is not an
integer, or below its minimum, is a TypeError or ValueError when the layer is made, as is a dtype that is not
floating. Layers without parameters accept rng and dtype so that all layers are made alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from ..activations import (
    hsigmoid,
    hsigmoid_backward,
    relu,
    relu6,
    relu6_backward,
    relu_backward,
    relu_backward_in_place,
    relu_in_place,
    sigmoid,
    sigmoid_backward,
    softmax,
    softmax_backward,
)
from ..convolution import conv2d, conv2d_backward
from ..linear import linear, linear_backward
from ..pooling import (
    avg_pool2d,
    avg_pool2d_backward,
    global_avg_pool2d,
    global_avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from ..validation import Array, check_groups, check_integer
from ..windows import check_pair
from .initialize import Seed, floating, he_normal
from .layer import OpLayer

Size = int | tuple[int, int]


class Conv2d(OpLayer):
    """Two-dimensional convolution with a kernel of `size`, (N, in, H, W) -> (N, out, H', W').

    Parameters: weight (out, in / groups, kh, kw), He-normal with fan_in = in / groups * kh * kw; bias (out,),
    zero, unless bias=False. Raises ValueError also if groups does not divide in_channels and out_channels.
    """

    ops = (conv2d, conv2d_backward)
    fresh = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        size: Size,
        stride: Size = 1,
        padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        inputs = check_integer("Conv2d", "in_channels", in_channels)
        outputs = check_integer("Conv2d", "out_channels", out_channels)
        groups = check_groups("Conv2d", inputs, groups, what="input channels")
        check_groups("Conv2d", outputs, groups, what="output channels")
        kernel = check_pair("Conv2d", "size", size, minimum=1)
        stride = check_pair("Conv2d", "stride", stride, minimum=1)
        padding = check_pair("Conv2d", "padding", padding, minimum=0)
        kind = floating("Conv2d", dtype)
        shape = (outputs, inputs // groups, *kernel)
        weight = he_normal(np.random.default_rng(rng), shape, kind, fan_in=int(np.prod(shape[1:])))
        params = {"weight": weight} | ({"bias": np.zeros(outputs, kind)} if bias else {})
        super().__init__(params, stride=stride, padding=padding, groups=groups)


class Linear(OpLayer):
    """The fully connected layer y = x @ weight + bias, (N, in) -> (N, out).

    Parameters: weight (in, out), He-normal with fan_in = in; bias (out,), zero, unless bias=False.
    """

    ops = (linear, linear_backward)
    fresh = True

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bias: bool = True,
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        inputs = check_integer("Linear", "inputs", inputs)
        outputs = check_integer("Linear", "outputs", outputs)
        kind = floating("Linear", dtype)
        weight = he_normal(np.random.default_rng(rng), (inputs, outputs), kind, fan_in=inputs)
        super().__init__({"weight": weight} | ({"bias": np.zeros(outputs, kind)} if bias else {}))


class Parameterless(OpLayer):
    """A leaf that has neither parameters nor options."""

    def __init__(self, *, rng: Seed = None, dtype: DTypeLike = np.float32) -> None:
        floating(type(self).__name__, dtype)
        super().__init__()


class ReLU(Parameterless):
    """y = max(x, 0).

    A Sequential lets it write into what it gets, where nobody else holds that: y then takes the place of x, dx that of
    dy. It is worth a feature map of memory for each ReLU of a net.
    """

    ops = (relu, relu_backward)
    fresh = True

    def forward_in_place(self, x: Array) -> Array:
        """As forward, but y takes the place of x."""
        self.cache = None
        self._backward = relu_backward
        y, self.cache = relu_in_place(x)
        return y

    def backward_in_place(self, dy: Array) -> Array:
        """As backward, but dx takes the place of dy."""
        return self.backward(dy) if self.cache is None else relu_backward_in_place(dy, self.cache)


class ReLU6(Parameterless):
    """y = min(max(x, 0), 6)."""

    ops = (relu6, relu6_backward)


class Sigmoid(Parameterless):
    """y = 1 / (1 + exp(-x))."""

    ops = (sigmoid, sigmoid_backward)


class HSigmoid(Parameterless):
    """y = min(max(x + 3, 0), 6) / 6."""

    ops = (hsigmoid, hsigmoid_backward)


class Softmax(OpLayer):
    """y_k = exp(x_k) / sum_j exp(x_j) along one axis, the last by default."""

    ops = (softmax, softmax_backward)

    def __init__(self, *, axis: int = -1, rng: Seed = None, dtype: DTypeLike = np.float32) -> None:
        floating("Softmax", dtype)
        super().__init__(axis=axis)


class Pooling(OpLayer):
    """A leaf that takes windows of `size`, by default side by side (stride = size)."""

    def __init__(
        self,
        size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        *,
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        name = type(self).__name__
        floating(name, dtype)
        size = check_pair(name, "size", size, minimum=1)
        stride = size if stride is None else check_pair(name, "stride", stride, minimum=1)
        padding = check_pair(name, "padding", padding, minimum=0)
        super().__init__(size=size, stride=stride, padding=padding)


class MaxPool2d(Pooling):
    """The maximum of each window, (N, C, H, W) -> (N, C, H', W')."""

    ops = (max_pool2d, max_pool2d_backward)


class AvgPool2d(Pooling):
    """The mean of each window, (N, C, H, W) -> (N, C, H', W')."""

    ops = (avg_pool2d, avg_pool2d_backward)


class GlobalAvgPool2d(Parameterless):
    """The mean of each map, (N, C, H, W) -> (N, C)."""

    ops = (global_avg_pool2d, global_avg_pool2d_backward)

"""The work of NumPy's and CuPy's contestants: an_ref, the textbook form, the memory floor."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from .. import nn, textbook
from ..convolution import conv2d, conv2d_backward
from ..losses import softmax_cross_entropy, softmax_cross_entropy_backward
from ..threads import spread
from ..validation import Array
from .devices import Cpu, CupyGpu, StepWork, Work
from .inputs import NAMES, OPS, conv_inputs, norm_hyper, norm_inputs, normal
from .plan import Case

LR, MOMENTUM = 0.01, 0.9
DEVICES = {"cpu": Cpu, "gpu": CupyGpu}


class Norm(Work):
    """A norm of an_ref, or of a library with the same names and contract."""

    def __init__(self, case: Case, *, threads: int, library: str = "an_ref", device: str = "cpu") -> None:
        self.case, self.hyper, self.device = case, norm_hyper(case), DEVICES[device]()
        self.op = getattr(import_module(library), OPS[case.name])
        self.op_backward = getattr(import_module(library), f"{OPS[case.name]}_backward")

    def fresh(self, seed: int) -> None:
        """Draw new inputs."""
        x, dy, parameters = norm_inputs(self.case, seed)
        self.inputs = tuple(map(self.device.put, (x, dy, *parameters)))

    def run(self) -> dict[str, float]:
        """Time the forward and the backward."""
        x, dy, *parameters = self.inputs
        start = self.device.mark()
        _y, cache = self.op(x, *parameters, **self.hyper)
        middle = self.device.mark()
        self.op_backward(dy, cache)
        return self.parts(start, middle, self.device.mark())

    def answer(self) -> dict[str, Any] | None:
        """Return y, dx and the parameters' gradients."""
        x, dy, *parameters = self.inputs
        y, cache = self.op(x, *parameters, **self.hyper)
        names = "y", "dx", *("d" + name for name in NAMES[self.case.name])
        return dict(zip(names, map(self.device.get, (y, *self.op_backward(dy, cache))), strict=True))


class OnePassNorm(Norm):
    """BN with var = E[x^2] - E[x]^2: one sweep less, and wrong where the mean is large. For accuracy alone."""

    def answer(self) -> dict[str, Any] | None:
        """Return what the textbook would, but for the variance; None for other norms than BN."""
        if self.case.name != "bn":
            return None
        axes = (0, 2, 3)
        x, dy, *parameters = self.inputs
        gamma, beta = (p[None, :, None, None] for p in parameters)
        mu = x.mean(axes, keepdims=True)
        var = np.maximum((x * x).mean(axes, keepdims=True) - mu * mu, 0)  # rounding may make it negative
        rstd = 1 / np.sqrt(var + 1e-5)
        xhat = (x - mu) * rstd
        gradients = textbook.batch_norm_backward(dy, (xhat, rstd, gamma, axes))
        return {"y": gamma * xhat + beta} | dict(zip(("dx", "dgamma", "dbeta"), gradients, strict=True))


class Floor(Work):
    """The least time for the bytes that any two-sweep norm must move, at the speed of a copy of the same map.

    Forward: x is read for its moments, read again, and y is written: 3 maps. Backward: dy and x are read for the sums,
    read again, and dx is written: 5 maps. A copy reads one map and writes one: 2 maps.
    """

    def __init__(self, case: Case, *, threads: int, device: str = "cpu") -> None:
        self.case, self.device = case, DEVICES[device]()
        self.pieces = threads if device == "cpu" else 1

    def fresh(self, seed: int) -> None:
        """Draw a new map."""
        x = self.device.put(normal(self.case.shape, seed).ravel())
        self.inputs = x, np.zeros_like(x)

    def run(self) -> dict[str, float]:
        """Time a copy, each thread of the CPU its piece, and return the time of 3, 5 and 8 maps."""
        x, y = self.inputs
        size = -(-len(x) // self.pieces)
        start = self.device.mark()
        spread(lambda i: np.copyto(y[i : i + size], x[i : i + size]), range(0, len(x), size))
        one_map = self.device.seconds(start, self.device.mark()) / 2
        return {"forward": 3 * one_map, "backward": 5 * one_map, "both": 8 * one_map}

    def answer(self) -> dict[str, Any] | None:
        """There is nothing to compare."""
        return None


class Convolution(Work):
    """an_ref's convolution. channels_last: x and dy lie in memory as the nets of an_ref.nn have them."""

    def __init__(self, case: Case, *, threads: int, channels_last: bool = False) -> None:
        self.case, self.channels_last, self.device = case, channels_last, Cpu()

    def fresh(self, seed: int) -> None:
        """Draw new inputs."""
        x, dy, weight = conv_inputs(self.case, seed)
        if self.channels_last:
            x, dy = (np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for a in (x, dy))
        self.inputs = x, dy, weight

    def _forward(self, x: Array, weight: Array) -> tuple[Array, Any]:
        return conv2d(x, weight, stride=self.case.stride, padding=self.case.kernel // 2)

    def run(self) -> dict[str, float]:
        """Time the forward and the backward."""
        x, dy, weight = self.inputs
        start = self.device.mark()
        _y, cache = self._forward(x, weight)
        middle = self.device.mark()
        conv2d_backward(dy, cache)
        return self.parts(start, middle, self.device.mark())

    def answer(self) -> dict[str, Any] | None:
        """Return y, dx, dweight."""
        x, dy, weight = self.inputs
        y, cache = self._forward(x, weight)
        dx, dweight = conv2d_backward(dy, cache)
        return {"y": y, "dx": dx, "dweight": dweight}


class Step(StepWork):
    """A training step of a residual net for 32x32 images: forward, loss, backward, SGD with momentum."""

    def __init__(self, case: Case, *, threads: int, dtype: Any = np.float32, device: str = "cpu") -> None:
        self.case, self.dtype, self.device = case, dtype, DEVICES[device]()
        self.model = start_model(new_net(case, np.float32))
        if dtype != np.float32:
            narrow, self.model = self.model, new_net(case, dtype)
            for key, value in narrow.params.items():
                self.model.params[key] = value.astype(dtype)
        self.model.to(device)
        self.optimizer = nn.SGD(self.model, lr=LR, momentum=MOMENTUM, nesterov=True)

    def fresh(self, seed: int) -> None:
        """Draw new images and labels."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal(self.case.shape, dtype=np.float32).astype(self.dtype, copy=False)
        self.inputs = self.device.put(x), self.device.put(rng.integers(10, size=len(x)))

    def step(self) -> float:
        """Take one step, and return the loss before it."""
        x, labels = self.inputs
        loss, cache = softmax_cross_entropy(self.model.forward(x, train=True), labels)
        self.model.backward(softmax_cross_entropy_backward(1.0, cache))
        self.optimizer.step()
        return float(loss)

    def rest(self) -> None:
        """Let the inputs and what the last forward kept go, and give back the memory that others may need."""
        for _, leaf in self.model.named_layers():
            leaf.cache = None
        super().rest()


def new_net(case: Case, dtype: Any) -> nn.Layer:
    """Return the net of a step."""
    if case.kind == "depth":
        return nn.small_cnn(norm=case.name, classes=10, blocks=case.blocks, rng=0, dtype=dtype)
    return nn.resnet20(norm=case.name, classes=10, rng=0, dtype=dtype)


def start_model(model: nn.Layer) -> nn.Layer:
    """Give the last norm of each branch, which starts at gamma = 0, small random values, so that all of it counts."""
    rng = np.random.default_rng(1)
    for key, value in model.params.items():
        if key.endswith("gamma") and not value.any():
            model.params[key] = (0.1 * rng.standard_normal(value.shape)).astype(value.dtype)
    return model

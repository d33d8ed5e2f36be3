"""The work of NumPy's contestants: an_ref, the textbook form, the memory floor."""

from __future__ import annotations

from importlib import import_module
from time import perf_counter
from typing import Any

import numpy as np

from .. import nn, textbook
from ..convolution import conv2d, conv2d_backward
from ..losses import softmax_cross_entropy, softmax_cross_entropy_backward
from ..threads import spread
from ..validation import Array
from .inputs import NAMES, OPS, conv_inputs, norm_hyper, norm_inputs
from .plan import Case

LR, MOMENTUM = 0.01, 0.9


def parts(start: float, middle: float, end: float) -> dict[str, float]:
    """Return the seconds of a forward that ended at `middle`, of the backward after it, and of both."""
    return {"forward": middle - start, "backward": end - middle, "both": end - start}


class Norm:
    """A norm of an_ref, or of a library with the same names and contract."""

    def __init__(self, case: Case, *, threads: int, library: str = "an_ref") -> None:
        self.case, self.hyper = case, norm_hyper(case)
        self.op = getattr(import_module(library), OPS[case.name])
        self.op_backward = getattr(import_module(library), f"{OPS[case.name]}_backward")

    def fresh(self, seed: int) -> None:
        """Draw new inputs."""
        self.x, self.dy, self.parameters = norm_inputs(self.case, seed)

    def run(self) -> dict[str, float]:
        """Time the forward and the backward."""
        start = perf_counter()
        _y, cache = self.op(self.x, *self.parameters, **self.hyper)
        middle = perf_counter()
        self.op_backward(self.dy, cache)
        return parts(start, middle, perf_counter())

    def answer(self) -> dict[str, Any] | None:
        """Return y, dx and the parameters' gradients."""
        y, cache = self.op(self.x, *self.parameters, **self.hyper)
        names = "dx", *("d" + name for name in NAMES[self.case.name])
        return {"y": y} | dict(zip(names, self.op_backward(self.dy, cache), strict=True))


class OnePassNorm(Norm):
    """BN with var = E[x^2] - E[x]^2: one sweep less, and wrong where the mean is large. For accuracy alone."""

    def answer(self) -> dict[str, Any] | None:
        """Return what the textbook would, but for the variance; None for other norms than BN."""
        if self.case.name != "bn":
            return None
        axes = (0, 2, 3)
        gamma, beta = (p[None, :, None, None] for p in self.parameters)
        mu = self.x.mean(axes, keepdims=True)
        var = np.maximum((self.x * self.x).mean(axes, keepdims=True) - mu * mu, 0)  # rounding may make it negative
        rstd = 1 / np.sqrt(var + 1e-5)
        xhat = (self.x - mu) * rstd
        gradients = textbook.batch_norm_backward(self.dy, (xhat, rstd, gamma, axes))
        return {"y": gamma * xhat + beta} | dict(zip(("dx", "dgamma", "dbeta"), gradients, strict=True))


class Floor:
    """The least time for the bytes that any two-sweep norm must move, at the speed of a copy of the same map.

    Forward: x is read for its moments, read again, and y is written: 3 maps. Backward: dy and x are read for the sums,
    read again, and dx is written: 5 maps. A copy reads one map and writes one: 2 maps.
    """

    def __init__(self, case: Case, *, threads: int) -> None:
        self.case, self.threads = case, threads

    def fresh(self, seed: int) -> None:
        """Draw a new map."""
        self.x = np.random.default_rng(seed).standard_normal(self.case.shape, dtype=np.float32).ravel()
        self.y = np.zeros_like(self.x)
        size = -(-len(self.x) // self.threads)
        self.pieces = [slice(begin, begin + size) for begin in range(0, len(self.x), size)]

    def run(self) -> dict[str, float]:
        """Time a copy, each thread its piece, and return the time of 3, 5 and 8 maps."""
        start = perf_counter()
        spread(lambda piece: np.copyto(self.y[piece], self.x[piece]), self.pieces)
        one_map = (perf_counter() - start) / 2
        return {"forward": 3 * one_map, "backward": 5 * one_map, "both": 8 * one_map}

    def answer(self) -> dict[str, Any] | None:
        """There is nothing to compare."""
        return None


class Convolution:
    """an_ref's convolution. channels_last: x and dy lie in memory as the nets of an_ref.nn have them."""

    def __init__(self, case: Case, *, threads: int, channels_last: bool = False) -> None:
        self.case, self.channels_last = case, channels_last

    def fresh(self, seed: int) -> None:
        """Draw new inputs."""
        self.x, self.dy, self.weight = conv_inputs(self.case, seed)
        if self.channels_last:
            self.x, self.dy = (np.ascontiguousarray(a.transpose(0, 2, 3, 1)) for a in (self.x, self.dy))
            self.x, self.dy = (a.transpose(0, 3, 1, 2) for a in (self.x, self.dy))

    def _forward(self) -> tuple[Array, Any]:
        return conv2d(self.x, self.weight, stride=self.case.stride, padding=self.case.kernel // 2)

    def run(self) -> dict[str, float]:
        """Time the forward and the backward."""
        start = perf_counter()
        _y, cache = self._forward()
        middle = perf_counter()
        conv2d_backward(self.dy, cache)
        return parts(start, middle, perf_counter())

    def answer(self) -> dict[str, Any] | None:
        """Return y, dx, dweight."""
        y, cache = self._forward()
        dx, dweight = conv2d_backward(self.dy, cache)
        return {"y": y, "dx": dx, "dweight": dweight}


class Step:
    """A training step of a residual net for 32x32 images: forward, loss, backward, SGD with momentum."""

    def __init__(self, case: Case, *, threads: int, dtype: Any = np.float32) -> None:
        self.case, self.dtype = case, dtype
        self.model = start_model(new_net(case, np.float32))
        if dtype != np.float32:
            narrow, self.model = self.model, new_net(case, dtype)
            for key, value in narrow.params.items():
                self.model.params[key] = value.astype(dtype)
        self.optimizer = nn.SGD(self.model, lr=LR, momentum=MOMENTUM, nesterov=True)

    def fresh(self, seed: int) -> None:
        """Draw new images and labels."""
        rng = np.random.default_rng(seed)
        self.x = rng.standard_normal(self.case.shape, dtype=np.float32).astype(self.dtype, copy=False)
        self.labels = rng.integers(10, size=len(self.x))

    def step(self) -> float:
        """Take one step, and return the loss before it."""
        loss, cache = softmax_cross_entropy(self.model.forward(self.x, train=True), self.labels)
        self.model.backward(softmax_cross_entropy_backward(1.0, cache))
        self.optimizer.step()
        return float(loss)

    def run(self) -> dict[str, float]:
        """Time one step."""
        start = perf_counter()
        self.step()
        return {"step": perf_counter() - start}

    def answer(self) -> dict[str, Any] | None:
        """Return the losses before and after the first step."""
        return {"losses": np.array([self.step(), self.step()])}


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

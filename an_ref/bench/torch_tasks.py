"""The work of PyTorch's contestants, written with its own functions in the most natural way. Only workers import it."""

from __future__ import annotations

import importlib.util
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .. import __file__ as package
from ..interop import to_torch
from .devices import StepWork, TorchCpu, TorchGpu, Work
from .inputs import NAMES, conv_inputs, groups_of, norm_inputs
from .numpy_tasks import LR, MOMENTUM
from .numpy_tasks import Step as OurStep
from .plan import Case

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no helpers that outlive or disturb the others' turns
torch: Any = import_module("torch")  # not a dependency: the type checker must pass without it
F = torch.nn.functional
EPS = 1e-5
DEVICES: dict[str, type[TorchCpu | TorchGpu]] = {"cpu": TorchCpu, "gpu": TorchGpu}


def batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
    """BN on the statistics of the batch."""
    return F.batch_norm(x, None, None, gamma, beta, training=True, eps=EPS)


def switchable_norm(x: Any, gamma: Any, beta: Any, mean_logits: Any, var_logits: Any) -> Any:
    """SN over in, ln, bn."""
    found = [torch.var_mean(x, axes, correction=0, keepdim=True) for axes in ((2, 3), (1, 2, 3), (0, 2, 3))]
    w, w_ = mean_logits.softmax(0), var_logits.softmax(0)
    mu = sum(w[k] * mean for k, (_, mean) in enumerate(found))
    var = sum(w_[k] * var for k, (var, _) in enumerate(found))
    xhat = (x - mu) * torch.rsqrt(var + EPS)
    return gamma[:, None, None] * xhat + beta[:, None, None]


def squeeze_excite(x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
    """SE: a gate for each map."""
    s = torch.sigmoid(torch.relu(x.mean((2, 3)) @ w1 + b1) @ w2 + b2)
    return s[:, :, None, None] * x


def attentive_norm(x: Any, gamma: Any, beta: Any, attn_weight: Any, attn_gamma: Any, attn_beta: Any) -> Any:
    """AN on the statistics of the batch, with the published defaults."""
    var, mean = torch.var_mean(x, (2, 3))
    logits = (mean / torch.sqrt(var + 1e-3)) @ attn_weight
    z = F.batch_norm(logits, None, None, attn_gamma, attn_beta, training=True, eps=EPS)
    lambda_ = F.hardsigmoid(z)
    xhat = F.batch_norm(x, None, None, training=True, eps=EPS)
    return (lambda_ @ gamma)[:, :, None, None] * xhat + (lambda_ @ beta)[:, :, None, None]


def norm_function(case: Case) -> Any:
    """Return the function of a norm, of x and its parameters."""
    groups = groups_of(case)
    return {
        "bn": batch_norm,
        "gn": lambda x, gamma, beta: F.group_norm(x, groups, gamma, beta, eps=EPS),
        "sn": switchable_norm,
        "se": squeeze_excite,
        "an": attentive_norm,
    }[case.name]


class Norm(Work):
    """A norm, eager or compiled."""

    def __init__(self, case: Case, *, threads: int, compiled: bool = False, device: str = "cpu") -> None:
        torch.set_num_threads(threads)
        self.case, self.function, self.device = case, norm_function(case), DEVICES[device]()
        if compiled:
            torch._dynamo.reset()
            self.function = torch.compile(self.function, dynamic=False)

    def fresh(self, seed: int) -> None:
        """Draw new inputs."""
        x, dy, parameters = norm_inputs(self.case, seed)
        arrays = (self.device.put(a).requires_grad_() for a in (x, *parameters))
        self.inputs = self.device.put(dy), *arrays

    def run(self) -> dict[str, float]:
        """Time the forward and the backward."""
        dy, *arrays = self.inputs
        start = self.device.mark()
        y = self.function(*arrays)
        middle = self.device.mark()
        torch.autograd.grad(y, arrays, dy)
        return self.parts(start, middle, self.device.mark())

    def answer(self) -> dict[str, Any] | None:
        """Return y, dx and the parameters' gradients."""
        dy, *arrays = self.inputs
        y = self.function(*arrays)
        names = "y", "dx", *("d" + name for name in NAMES[self.case.name])
        return dict(zip(names, map(self.device.get, (y, *torch.autograd.grad(y, arrays, dy))), strict=True))


class Convolution(Work):
    """F.conv2d, in either layout."""

    def __init__(self, case: Case, *, threads: int, channels_last: bool = False) -> None:
        torch.set_num_threads(threads)
        self.case, self.device = case, TorchCpu()
        self.layout = torch.channels_last if channels_last else torch.contiguous_format

    def fresh(self, seed: int) -> None:
        """Draw new inputs."""
        x, dy, weight = (
            torch.from_numpy(a).contiguous(memory_format=self.layout) for a in conv_inputs(self.case, seed)
        )
        self.inputs = dy, x.requires_grad_(), weight.requires_grad_()

    def run(self) -> dict[str, float]:
        """Time the forward and the backward."""
        dy, *arrays = self.inputs
        start = self.device.mark()
        y = self._forward(*arrays)
        middle = self.device.mark()
        torch.autograd.grad(y, arrays, dy)
        return self.parts(start, middle, self.device.mark())

    def _forward(self, x: Any, weight: Any) -> Any:
        return F.conv2d(x, weight, stride=self.case.stride, padding=self.case.kernel // 2)

    def answer(self) -> dict[str, Any] | None:
        """Return y, dx, dweight."""
        dy, *arrays = self.inputs
        y = self._forward(*arrays)
        dx, dweight = torch.autograd.grad(y, arrays, dy)
        return {"y": y.detach().numpy(), "dx": dx.numpy(), "dweight": dweight.numpy()}


class Step(StepWork):
    """The training step of an_ref's resnet20 with PyTorch's layers, from the same weights."""

    device: TorchCpu | TorchGpu

    def __init__(
        self, case: Case, *, threads: int, channels_last: bool = False, compiled: bool = False, device: str = "cpu"
    ) -> None:
        torch.set_num_threads(threads)
        self.case, self.device = case, DEVICES[device]()
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        weights = {key: torch.from_numpy(a) for key, a in to_torch(OurStep(case, threads=threads).model).items()}
        module = _twins().ResNet(norm=case.name, classes=10)
        module.load_state_dict(weights)
        self.module = module.to(self.device.name, memory_format=self.layout).train()
        self.forward = torch.compile(self.module, dynamic=False) if compiled else self.module
        self.sgd = torch.optim.SGD(self.module.parameters(), lr=LR, momentum=MOMENTUM, nesterov=True)

    def fresh(self, seed: int) -> None:
        """Draw new images and labels, the same as an_ref's."""
        rng = np.random.default_rng(seed)
        x = self.device.put(rng.standard_normal(self.case.shape, dtype=np.float32))
        labels = self.device.put(rng.integers(10, size=len(x)))
        self.inputs = x.contiguous(memory_format=self.layout), labels

    def step(self) -> float:
        """Take one step, and return the loss before it."""
        x, labels = self.inputs
        loss = F.cross_entropy(self.forward(x), labels)
        self.sgd.zero_grad()
        loss.backward()
        self.sgd.step()
        return float(loss.detach())


def _twins() -> Any:
    """Return the module with an_ref's nets in PyTorch; it belongs to the tests, so only a checkout has it."""
    path = Path(package).resolve().parents[1] / "tests/parity/torch_nets.py"
    if not path.exists():
        raise RuntimeError("PyTorch's twin of the net is in tests/parity of the repository: run the bench from a clone")
    spec = importlib.util.spec_from_file_location("torch_nets", path)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"cannot import {path.name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

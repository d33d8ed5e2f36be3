"""PyTorch's side of the comparison: every op in an_ref's own signature, written with PyTorch's functions.

Gradients come from autograd under the cotangent dy.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .cases import STEPS, WITHOUT_GRADIENT, Arrays, Case


def results(case: Case) -> Arrays:
    """PyTorch's named results of a case, in float64."""
    tensors = {key: torch.from_numpy(a.copy()) for key, a in case.inputs().items()}
    if case.op in ("running_statistics", "sgd"):
        named = globals()[case.op](**tensors, **case.hyper)
    else:
        named = _with_gradients(case, tensors)
    return {key: value.detach().numpy().copy() for key, value in named.items()}


def _with_gradients(case: Case, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    dy = tensors.pop("dy")
    wanted = {key: t.requires_grad_() for key, t in tensors.items() if key not in WITHOUT_GRADIENT}
    y = globals()[case.op](*tensors.values(), **case.hyper)
    gradients = torch.autograd.grad(y, list(wanted.values()), dy)
    return {"y": y} | {f"d{key}": g for key, g in zip(wanted, gradients, strict=True)}


def batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, *, eps: float = 1e-5) -> Tensor:
    return F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)


def batch_norm_eval(
    x: Tensor, gamma: Tensor, beta: Tensor, running_mean: Tensor, running_var: Tensor, *, eps: float = 1e-5
) -> Tensor:
    return F.batch_norm(x, running_mean, running_var, gamma, beta, training=False, eps=eps)


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, *, eps: float = 1e-5) -> Tensor:
    """PyTorch's layer_norm over (C, H, W), its (C, H, W) weight and bias repeated from gamma and beta (C,).

    group_norm with one group gives the same numbers, but it would hold LN against the code that GN is already
    held against.  Autograd sums the gradient of each repeated value, which is an_ref's dgamma and dbeta.
    """
    per_channel = (-1, *[1] * (x.ndim - 2))
    weight, bias = (p.reshape(per_channel).expand(x.shape[1:]) for p in (gamma, beta))
    return F.layer_norm(x, x.shape[1:], weight, bias, eps)


def instance_norm(x: Tensor, gamma: Tensor, beta: Tensor, *, eps: float = 1e-5) -> Tensor:
    return F.instance_norm(x, weight=gamma, bias=beta, eps=eps)


def group_norm(x: Tensor, gamma: Tensor, beta: Tensor, *, groups: int, eps: float = 1e-5) -> Tensor:
    return F.group_norm(x, groups, gamma, beta, eps)


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, **hyper: int) -> Tensor:
    return F.conv2d(x, weight, bias, **hyper)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.linear(x, weight.T, bias)


def relu(x: Tensor) -> Tensor:
    return F.relu(x)


def relu6(x: Tensor) -> Tensor:
    return F.relu6(x)


def sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


def hsigmoid(x: Tensor) -> Tensor:
    """PyTorch's hardsigmoid, written with its relu6.

    F.hardsigmoid gives the same y, and the same zero gradient at -3 and 3; but the 1/6 of its gradient is rounded
    to float32 even for float64 input (PyTorch 2.13 on the CPU), an error of 3e-8.  test_live.py compares the two.
    """
    return F.relu6(x + 3) / 6


def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return F.softmax(x, dim=axis)


def max_pool2d(x: Tensor, *, size: int, stride: int | None = None, padding: int = 0) -> Tensor:
    return F.max_pool2d(x, size, stride, padding)


def avg_pool2d(x: Tensor, *, size: int, stride: int | None = None, padding: int = 0) -> Tensor:
    """PyTorch's default: a padding zero counts as a value (count_include_pad=True)."""
    return F.avg_pool2d(x, size, stride, padding)


def global_avg_pool2d(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


def softmax_cross_entropy(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)


def running_statistics(x: Tensor, gamma: Tensor, beta: Tensor, *, decay: float, eps: float = 1e-5) -> dict[str, Tensor]:
    """Running statistics after each update; PyTorch's momentum is the share of the new value, 1 - decay."""
    mean, var = torch.zeros_like(gamma), torch.ones_like(gamma)
    named: dict[str, Tensor] = {}
    for step in range(STEPS):
        y = F.batch_norm(x[step], mean, var, gamma, beta, training=True, momentum=1 - decay, eps=eps)
        named |= {f"y{step}": y, f"running_mean{step}": mean.clone(), f"running_var{step}": var.clone()}
    return named | {"y_eval": F.batch_norm(x[0], mean, var, gamma, beta, training=False, eps=eps)}


def sgd(
    x: Tensor, weight: Tensor, bias: Tensor, dy: Tensor, *, no_decay: tuple[str, ...] = (), **hyper: Any
) -> dict[str, Tensor]:
    """weight and bias after each step of torch.optim.SGD, the learning rate halved after each."""
    params = {"weight": weight.requires_grad_(), "bias": bias.requires_grad_()}
    hyper = {"momentum": 0.9} | hyper
    free = {"weight_decay": 0.0}
    groups = [{"params": [p]} | (free if key in no_decay else {}) for key, p in params.items()]
    optimizer = torch.optim.SGD(groups, **hyper)
    named: dict[str, Tensor] = {}
    for step in range(STEPS):
        optimizer.zero_grad()
        torch.sum(linear(x[step], weight, bias) * dy[step]).backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] /= 2
        named |= {f"{key}{step}": p.detach().clone() for key, p in params.items()}
    return named


def version() -> np.ndarray:
    """PyTorch's version, as a string array for the file of values."""
    return np.array(torch.__version__)

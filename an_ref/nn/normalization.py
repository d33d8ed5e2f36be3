"""Normalization as layers: the parameters and running statistics of BN, LN, IN, GN and SN.

Each takes (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W). All of them refuse channels below 1, an eps
that is negative or not finite, and a dtype that is not floating (TypeError or ValueError). No start here is
random: rng is accepted so that all layers are made alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..norms import (
    batch_norm,
    batch_norm_backward,
    batch_norm_eval,
    batch_norm_eval_backward,
    group_norm,
    group_norm_backward,
    instance_norm,
    instance_norm_backward,
    layer_norm,
    layer_norm_backward,
    switchable_norm,
    switchable_norm_backward,
    switchable_norm_eval,
    switchable_norm_eval_backward,
)
from ..validation import Array, check_eps, check_fraction, check_groups, check_integer
from .initialize import Seed, affine, floating, running
from .layer import OpLayer


class TrackingLayer(OpLayer):
    """A leaf with running statistics, (C,) each: running = decay * running + (1 - decay) * new.

    `new` is the batch's mean and its *unbiased* variance, as in PyTorch. `decay`, in [0, 1), is the share of
    the old value that is kept: 0.9 is PyTorch's momentum 0.1. The running values are constants, so a complex
    forward (for a derivative) leaves only its real part in them.
    """

    def __init__(self, params: dict[str, Array], state: dict[str, Array], *, decay: float, **hyper: Any) -> None:
        super().__init__(params, state, **hyper)
        check_fraction(type(self).__name__, "decay", decay)
        self.decay = float(decay)

    def forward(self, x: Array, train: bool = True) -> Array:
        """Return y; with `train`, then replace the running statistics. A forward that fails leaves them as they are."""
        y = super().forward(x, train)
        if train:
            self._track(x)
        return y

    def _track(self, x: Array) -> None:
        if "running_mean" in self.state:
            self._mix("", self.cache.statistics.batch, x.size // x.shape[1])

    def _mix(self, prefix: str, batch: tuple[Array, Array], count: int) -> None:
        """Move the running values towards the mean and the biased variance of a batch of `count` values."""
        mean, var = batch
        new = {"running_mean": mean, "running_var": var * (count / max(count - 1, 1))}
        for name, value in new.items():
            old = self.state[prefix + name]
            mixed = self.decay * old + (1 - self.decay) * value
            self.state[prefix + name] = mixed.real.astype(old.dtype)


class BatchNorm(TrackingLayer):
    """Batch Normalization (Ioffe & Szegedy 2015, arXiv 1502.03167, algorithms 1 and 2).

    y = gamma * (x - mu) / sqrt(var + eps) + beta, with mu and var over the batch for each channel, in eval
    mode the running ones. Parameters: gamma = 1, beta = 0, (C,). State: running_mean = 0, running_var = 1,
    (C,). Raises ValueError for a decay outside [0, 1).
    """

    ops = (batch_norm, batch_norm_backward)
    eval_ops = (batch_norm_eval, batch_norm_eval_backward)
    fresh = True

    def __init__(
        self,
        channels: int,
        *,
        eps: float = 1e-5,
        decay: float = 0.9,
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        channels, kind = check_norm("BatchNorm", channels, eps, dtype)
        super().__init__(affine(channels, kind), running(channels, kind), decay=decay, eps=eps)


class LayerNorm(OpLayer):
    """Layer Normalization over (C, H, W) of each sample (Ba et al. 2016, arXiv 1607.06450).

    Parameters: gamma = 1, beta = 0, (C,) each. PyTorch's LayerNorm has parameters of shape (C, H, W) instead.
    """

    ops = (layer_norm, layer_norm_backward)
    fresh = True

    def __init__(self, channels: int, *, eps: float = 1e-5, rng: Seed = None, dtype: DTypeLike = np.float32) -> None:
        channels, kind = check_norm("LayerNorm", channels, eps, dtype)
        super().__init__(affine(channels, kind), eps=eps)


class InstanceNorm(OpLayer):
    """Instance Normalization over (H, W) of each map (Ulyanov et al. 2016, arXiv 1607.08022).

    Parameters: gamma = 1, beta = 0, (C,) each.
    """

    ops = (instance_norm, instance_norm_backward)
    fresh = True

    def __init__(self, channels: int, *, eps: float = 1e-5, rng: Seed = None, dtype: DTypeLike = np.float32) -> None:
        channels, kind = check_norm("InstanceNorm", channels, eps, dtype)
        super().__init__(affine(channels, kind), eps=eps)


class GroupNorm(OpLayer):
    """Group Normalization over (C / groups, H, W) of each sample (Wu & He 2018, arXiv 1803.08494).

    Parameters: gamma = 1, beta = 0, (C,) each. Raises ValueError if groups does not divide channels.
    """

    ops = (group_norm, group_norm_backward)
    fresh = True

    def __init__(
        self,
        channels: int,
        *,
        groups: int = 32,
        eps: float = 1e-5,
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        channels, kind = check_norm("GroupNorm", channels, eps, dtype)
        super().__init__(affine(channels, kind), groups=check_groups("GroupNorm", channels, groups), eps=eps)


class SwitchableNorm(TrackingLayer):
    """Switchable Normalization (Luo et al. 2019, arXiv 1806.10779, equations 3 to 5).

    Mean and variance are mixtures of the instance, layer and batch ones, with softmax weights. Parameters:
    gamma = 1, beta = 0, (C,) each; mean_logits and var_logits, all ones, in the order in, ln, bn. With
    use_batch=False the logits are two (in, ln) and there is no state; else running_mean = 0 and running_var =
    1, (C,), take the batch's place in eval mode. Raises ValueError for a decay outside [0, 1).
    """

    ops = (switchable_norm, switchable_norm_backward)
    eval_ops = (switchable_norm_eval, switchable_norm_eval_backward)
    fresh = True

    def __init__(
        self,
        channels: int,
        *,
        use_batch: bool = True,
        eps: float = 1e-5,
        decay: float = 0.9,
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        channels, kind = check_norm("SwitchableNorm", channels, eps, dtype)
        parts = 3 if use_batch else 2
        logits = {"mean_logits": np.ones(parts, kind), "var_logits": np.ones(parts, kind)}
        state = running(channels, kind) if use_batch else {}
        super().__init__(affine(channels, kind) | logits, state, decay=decay, eps=eps)


def check_norm(layer: str, channels: int, eps: float, dtype: DTypeLike) -> tuple[int, np.dtype[Any]]:
    """Return channels as an int and dtype as a numpy.dtype; raise unless they and eps are valid."""
    check_eps(layer, eps)
    return check_integer(layer, "channels", channels), floating(layer, dtype)

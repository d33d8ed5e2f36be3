"""Feature attention as layers: squeeze-and-excitation, alone and behind a norm, and Attentive Normalization."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..attention import ACTIVATIONS, DESCRIPTORS, TRANSFORM_ARRAYS
from ..attentive import (
    attentive_norm,
    attentive_norm_backward,
    attentive_norm_eval,
    attentive_norm_eval_backward,
)
from ..squeeze import squeeze_excite, squeeze_excite_backward
from ..validation import Array, check_choice, check_groups, check_integer
from ..variants import OVER_BATCH, STATISTICS
from .containers import Sequential
from .initialize import Seed, floating, he_normal, normal, running
from .layer import OpLayer
from .normalization import TrackingLayer, check_norm

VARIANTS = {
    "standardize": STATISTICS,
    "descriptor": DESCRIPTORS,
    "transform": TRANSFORM_ARRAYS,
    "activation": ACTIVATIONS,
}


class SqueezeExcite(OpLayer):
    """Squeeze-and-excitation (Hu et al. 2018, arXiv 1709.01507, equations 2 to 4).

    y = s * x for each channel, with s = sigmoid(relu(m @ w1 + b1) @ w2 + b2) and m the mean of each map.
    Parameters: w1 (C, C/r) and w2 (C/r, C), He-normal; b1 (C/r,) and b2 (C,), zero; r is `reduction`. Raises
    TypeError or ValueError for channels below 1, a dtype that is not floating, and a reduction that does not
    divide channels: C/r is the number of hidden units.
    """

    ops = (squeeze_excite, squeeze_excite_backward)
    fresh = True

    def __init__(self, channels: int, *, reduction: int = 16, rng: Seed = None, dtype: DTypeLike = np.float32) -> None:
        channels, kind = check_integer("SqueezeExcite", "channels", channels), floating("SqueezeExcite", dtype)
        hidden = _hidden_units(channels, reduction)
        draw = np.random.default_rng(rng)
        super().__init__(
            {
                "w1": he_normal(draw, (channels, hidden), kind, fan_in=channels),
                "b1": np.zeros(hidden, kind),
                "w2": he_normal(draw, (hidden, channels), kind, fan_in=hidden),
                "b2": np.zeros(channels, kind),
            }
        )

    def forward(self, x: Array, train: bool = True, squeeze: Array | None = None) -> Array:
        """Return y; `squeeze` is the mean of each map of x, (N, C), where it is known already."""
        self.hyper["squeeze"] = squeeze
        return super().forward(x, train)


class GatedNorm(Sequential):
    """A norm, then a squeeze-and-excitation gate: gate(norm(x)). Children are named "0" and "1".

    In training the gate takes its squeeze from the norm's table b, which is the mean of each map of the
    norm's y: no sweep is needed. The gradient is the same with it and without.
    """

    fresh = True

    def __init__(self, norm: OpLayer, gate: SqueezeExcite) -> None:
        super().__init__(norm, gate)

    def forward(self, x: Array, train: bool = True) -> Array:
        """Return gate(norm(x))."""
        norm: Any = self.children["0"]
        gate: Any = self.children["1"]
        y = norm.forward(x, train)
        result: Array = gate.forward(y, train, squeeze=norm.cache.b if train else None)
        return result


class AttentiveNorm(TrackingLayer):
    """Attentive Normalization (Li, Sun & Wu 2020, arXiv 1908.01259, section 3).

    y[n,c,i] = sum_k lambda[n,k] * (gamma[k,c] * xhat[n,c,i] + beta[k,c]): K affine maps of the standardized
    feature, mixed for each sample by lambda = activation(transform(descriptor(x))).

        mixtures     K
        standardize  statistics of xhat: batch, group (needs `groups`), layer, instance or switchable
        descriptor   mean, mean_max, mean_over_std
        transform    linear, linear_norm (over the batch for batch and switchable, else over the K logits), mlp
        activation   hsigmoid, sigmoid, softmax

    Parameters: gamma ~ N(1, 0.1) and beta ~ N(0, 0.1), (K, C), 0.1 being the standard deviation; then those
    of the transform: attn_weight (C, K), attn_bias (K,) for linear; attn_weight, attn_gamma = 1, attn_beta =
    0 for linear_norm; attn_w1 (C, 2K), attn_b1, attn_w2 (2K, K), attn_b2 for mlp; weights He-normal, biases
    zero; for switchable then mean_logits and var_logits, ones, (3,). State: running_mean, running_var (C,)
    for batch and switchable; with linear_norm also attn_running_mean, attn_running_var (K,), those of the
    logits. Raises TypeError or ValueError for unknown names, mixtures or channels below 1, group statistics
    without groups, groups that do not divide channels, a wrong eps, a decay outside [0, 1) and a dtype that
    is not floating.
    """

    ops = (attentive_norm, attentive_norm_backward)
    eval_ops = (attentive_norm_eval, attentive_norm_eval_backward)
    fresh = True

    def __init__(
        self,
        channels: int,
        *,
        mixtures: int = 10,
        standardize: str = "batch",
        groups: int | None = None,
        descriptor: str = "mean_over_std",
        transform: str = "linear_norm",
        activation: str = "hsigmoid",
        eps: float = 1e-5,
        decay: float = 0.9,
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        channels, kind = check_norm("AttentiveNorm", channels, eps, dtype)
        K = check_integer("AttentiveNorm", "mixtures", mixtures)
        variant = {
            "standardize": standardize,
            "descriptor": descriptor,
            "transform": transform,
            "activation": activation,
        }
        for option, value in variant.items():
            check_choice("AttentiveNorm", option, value, VARIANTS[option])
        _check_groups(channels, standardize, groups)

        draw = np.random.default_rng(rng)
        params = {
            "gamma": normal(draw, (K, channels), kind, mean=1.0, deviation=0.1),
            "beta": normal(draw, (K, channels), kind, deviation=0.1),
            **_attention(draw, channels, K, transform, kind),
        }
        state: dict[str, Array] = {}
        if standardize == "switchable":
            params |= {"mean_logits": np.ones(3, kind), "var_logits": np.ones(3, kind)}
        if standardize in OVER_BATCH:
            state |= running(channels, kind)
            state |= running(K, kind, "attn_") if transform == "linear_norm" else {}
        super().__init__(params, state, decay=decay, eps=eps, groups=groups, **variant)

    def _track(self, x: Array) -> None:
        super()._track(x)
        if "attn_running_mean" in self.state:
            self._mix("attn_", self.cache.logits_norm.statistics.batch, len(x))


def _attention(
    draw: np.random.Generator, channels: int, K: int, transform: str, dtype: np.dtype[Any]
) -> dict[str, Array]:
    """Return the arrays of the transform, in its order: weights He-normal, attn_gamma one, all others zero."""
    sizes = {"C": channels, "K": K, "H": 2 * K}
    params: dict[str, Array] = {}
    for name, axes in TRANSFORM_ARRAYS[transform].items():
        shape = tuple(sizes[axis] for axis in axes)
        if len(shape) == 2:
            params[name] = he_normal(draw, shape, dtype, fan_in=shape[0])
        else:
            params[name] = np.full(shape, name == "attn_gamma", dtype)
    return params


def _check_groups(channels: int, standardize: str, groups: int | None) -> None:
    if groups is not None:
        check_groups("AttentiveNorm", channels, groups)
    elif standardize == "group":
        raise ValueError(
            f'AttentiveNorm: standardize="group" needs groups; pass a number that divides {channels} channels'
        )


def _hidden_units(channels: int, reduction: int) -> int:
    r = check_integer("SqueezeExcite", "reduction", reduction)
    if channels % r:
        choices = ", ".join(str(d) for d in range(1, channels + 1) if channels % d == 0)
        raise ValueError(
            f"SqueezeExcite: reduction must divide channels = {channels}, so that C / r is a whole number of hidden "
            f"units, got {r}; choose from {choices}"
        )
    return channels // r

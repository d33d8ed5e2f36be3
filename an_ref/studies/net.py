"""The net of a case as it starts: built as every net is, then changed as the depth study wants it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..nn import MODELS, Conv2d, Layer
from ..nn.initialize import he_normal
from .grid import Case


def build_net(case: Case, model: str, classes: int, rng: np.random.Generator) -> Layer:
    """Return the net of `case` in float32, drawn from `rng`.

    With zero_start False the last layer of each residual branch gets what it would have without that custom: a
    convolution its He-normal weights, a plain norm gamma = 1. Then all convolution weights are multiplied by
    weight_scale. Raises ValueError where `model` cannot be built so.
    """
    if case.blocks != 1 and model != "small_cnn":
        raise ValueError(f"the number of blocks can be chosen for small_cnn alone, not for {model}")
    options: dict[str, Any] = {"blocks": case.blocks} if model == "small_cnn" else {}
    net = MODELS[model](
        norm=case.norm,
        classes=classes,
        placement=case.placement,
        mixtures=case.mixtures,
        attention={name: getattr(case, name) for name in ("descriptor", "transform", "activation")},
        rng=rng,
        **options,
    )
    for _, layer in net.named_layers():
        if not case.zero_start:
            _fill(layer, rng)
        if isinstance(layer, Conv2d):
            layer.params["weight"] = layer.params["weight"] * np.float32(case.weight_scale)
    return net


def _fill(layer: Layer, rng: np.random.Generator) -> None:
    """Give a layer that starts at zero its usual start. AN at the end of a branch would need more; no study has it."""
    if isinstance(layer, Conv2d) and not layer.params["weight"].any():
        weight = layer.params["weight"]
        layer.params["weight"] = he_normal(rng, weight.shape, weight.dtype, fan_in=int(np.prod(weight.shape[1:])))
    elif "gamma" in layer.params and layer.params["gamma"].ndim == 1 and not layer.params["gamma"].any():
        layer.params["gamma"] = np.ones_like(layer.params["gamma"])

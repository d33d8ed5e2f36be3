"""What the attention of a trained net does: AN's weights and SE's gates by class, SN's mixture by layer.

The test images go through the net in eval mode, and each layer's cache then holds the weights that it gave to each
image. Averaged over the images of a class, they say whether a layer treats classes differently.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import nn
from .backend import beside, to_host


def observe_attention(model: nn.Layer, x: NDArray, labels: NDArray, classes: int) -> dict[str, Any]:
    """Return the attention of `model` on the images x (n, 3, H, W), ready for JSON, each part by layer name:

        lambda     AN: by_class (classes, K) mean weight; share
        gates      SE: by_class (classes, C) mean gate; share
        mixture    SN, and AN on SN: parts (their names); mean and variance, softmax of the two sets of logits

    `share` is the part of the weights' variance between images that goes with the class: the sum over the weights of
    the squared distances between class means and the mean, over the sum of those between images and the mean. Without
    any tie between weights and classes it would be about (classes - 1) / (n - 1). `where` says in words where in the
    net the layer is. A model on a GPU is looked at there; x is on the CPU.
    """
    where = describe_places([(name, isinstance(layer, nn.Conv2d)) for name, layer in model.named_layers()])
    seen: dict[str, dict[str, list[NDArray]]] = {"lambda": {}, "gates": {}}
    home = next(iter(model.params.values()), x)
    for start in range(0, len(x), 256):
        model.forward(beside(home, x[start : start + 256]), train=False)
        for name, layer in model.named_layers():
            if isinstance(layer, nn.AttentiveNorm):
                seen["lambda"].setdefault(name, []).append(to_host(layer.cache.lambda_))  # (N, K)
            elif isinstance(layer, nn.SqueezeExcite):
                seen["gates"].setdefault(name, []).append(to_host(layer.cache.s))  # (N, C)
    attention: dict[str, Any] = {
        kind: {
            name: {"where": where[name], **_by_class(np.concatenate(parts), labels, classes)}
            for name, parts in layers.items()
        }
        for kind, layers in seen.items()
    }
    attention["mixture"] = {
        name: {"where": where[name], **_mixture(*(to_host(layer.params[key]) for key in ("mean_logits", "var_logits")))}
        for name, layer in model.named_layers()
        if "mean_logits" in layer.params
    }
    return attention


def describe_places(layers: list[tuple[str, bool]]) -> dict[str, str]:
    """Return name -> words for the layers of a residual net, for example "3.branch.4" -> "block 1, after conv 2".

    Each entry of `layers` is a dotted name and whether that layer is a convolution, in the net's order.
    """
    blocks: dict[str, int] = {}  # their numbers, from 1, in the net's order
    convolutions: Counter[str] = Counter()  # met so far, by branch
    words = {}
    for name, is_convolution in layers:
        block, *rest = name.split(".")
        if not rest:
            words[name] = f"after block {len(blocks)}" if blocks else "first layers"
            continue
        blocks.setdefault(block, len(blocks) + 1)
        branch = ".".join([block, *(part for part in rest[:1] if part in ("branch", "shortcut"))])
        convolutions[branch] += is_convolution
        met = convolutions[branch]
        where = "shortcut" if rest[0] == "shortcut" else f"after conv {met}" if met else "before conv 1"
        words[name] = f"block {blocks[block]}, {where}"
    return words


def _by_class(weights: NDArray, labels: NDArray, classes: int) -> dict[str, Any]:
    """Return the class means (classes, K) of `weights` (n, K); a class without images has the overall mean."""
    w = weights.astype(np.float64)
    overall = w.mean(axis=0)  # (K,)
    means = np.stack([w[labels == c].mean(axis=0) if (labels == c).any() else overall for c in range(classes)])
    counts = np.bincount(labels, minlength=classes)
    between = float((counts[:, None] * (means - overall) ** 2).sum())
    total = float(((w - overall) ** 2).sum())
    constant = total < 1e-9 * w.size  # no more than the rounding of float32
    return {"by_class": means.round(4).tolist(), "share": 0.0 if constant else round(between / total, 4)}


def _mixture(mean_logits: NDArray, var_logits: NDArray) -> dict[str, Any]:
    shares = {"mean": np.exp(mean_logits), "variance": np.exp(var_logits)}
    parts = ["in", "ln", "bn"][: len(mean_logits)]
    return {"parts": parts, **{kind: (w / w.sum()).round(4).tolist() for kind, w in shares.items()}}

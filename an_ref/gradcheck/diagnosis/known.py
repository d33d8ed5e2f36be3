"""Which op of this package computes the same y? Then its terms, its tables and their names are known.

The op is recognized by its forward alone, so a user's own code is recognized too.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ... import activations, attention, attentive, convolution, linear, losses, norms, squeeze, variants
from ...validation import Array

CHOICES = (attention.DESCRIPTORS, attention.TRANSFORM_ARRAYS, attention.ACTIVATIONS)
EPS = (1e-5, 1e-8, 1e-6, 1e-3, 1e-12, 1e-4, 0.0)

ACTIVATIONS = ("relu", "relu6", "sigmoid", "hsigmoid", "softmax")


class Known(NamedTuple):
    """The op of the package that gives the same y, with its cache."""

    name: str
    cache: Any
    arrays: tuple[Array, ...]
    groups: int | None = None


def recognize(arrays: tuple[Array, ...], hyper: dict[str, Any], y: Array) -> Known | None:
    """Return the op of the package that gives y on these arrays, or None."""
    for name, op, keywords in _candidates(arrays, hyper):
        try:
            with np.errstate(all="ignore"):
                again, cache = op(*arrays, **keywords)
        except (TypeError, ValueError, IndexError):
            continue
        if again.shape == y.shape and np.abs(again - y).max() <= 1e-9 * (np.abs(y).max() or 1.0):
            return Known(name, cache, arrays, keywords.get("groups"))
    return None


def _candidates(arrays: tuple[Array, ...], hyper: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield (name, op, keywords) of the ops that these arrays may belong to."""
    others = {key: value for key, value in hyper.items() if key != "eps"}
    eps = [hyper["eps"]] if "eps" in hyper else EPS
    if len(arrays) == 1:
        for name in ACTIVATIONS:
            yield name, getattr(activations, name), others if name == "softmax" else {}
    for e in eps:
        yield from _norm_candidates(arrays, others, e)
    yield "squeeze_excite", squeeze.squeeze_excite, {}
    yield "linear", linear.linear, {}
    yield "conv2d", convolution.conv2d, others
    yield "softmax_cross_entropy", losses.softmax_cross_entropy, others


def _norm_candidates(
    arrays: tuple[Array, ...], others: dict[str, Any], eps: float
) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    count, x = len(arrays), arrays[0]
    if count == 3:
        for name in ("batch_norm", "layer_norm", "instance_norm"):
            yield name, getattr(norms, name), {"eps": eps}
        given = others.get("groups", others.get("G", others.get("num_groups")))
        sizes = [given] if given else [g for g in range(2, x.shape[1]) if x.ndim > 1 and x.shape[1] % g == 0]
        for groups in sizes:
            yield "group_norm", norms.group_norm, {"groups": groups, "eps": eps}
    if count == 5:
        yield "batch_norm_eval", norms.batch_norm_eval, {"eps": eps}
        yield "switchable_norm", norms.switchable_norm, {"eps": eps}
    if count == 7:
        yield "switchable_norm_eval", norms.switchable_norm_eval, {"eps": eps}
    if count >= 5:
        for name in ("attentive_norm", "attentive_norm_eval"):
            yield name, getattr(attentive, name), {**others, "eps": eps}
        if arrays[1].ndim == 2 and not others:
            for names in itertools.product(variants.STATISTICS, *CHOICES):
                keywords = dict(zip(("standardize", "descriptor", "transform", "activation"), names, strict=True))
                yield "attentive_norm", attentive.attentive_norm, {**keywords, "eps": eps}

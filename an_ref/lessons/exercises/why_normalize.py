"""The code exercise of notebook 1, Why normalize: a chain of weights."""

from __future__ import annotations

import numpy as np

from ...validation import Array
from ..exercise import Exercise

ChainCache = tuple[Array, Array]


def chain(x: Array, w: Array) -> tuple[Array, ChainCache]:
    """Return y = x w_1 w_2 ... w_L, one weight for each layer; x, y: (n,), w: (L,). The cache is x and w."""
    return x * w.prod(), (x, w)


def chain_backward(dy: Array, cache: ChainCache) -> tuple[Array, Array]:
    """Return dx = dy w_1 ... w_L, and dw_l: the sum over n of dy x times the product of all weights but w_l."""
    x, w = cache
    others = np.array([np.delete(w, layer).prod() for layer in range(len(w))])  # (L,)
    return dy * w.prod(), (dy * x).sum() * others


def _own_factor(dy: Array, cache: ChainCache) -> tuple[Array, Array]:
    x, w = cache
    return dy * w.prod(), np.full(len(w), (dy * x).sum() * w.prod())


def _one_layer(dy: Array, cache: ChainCache) -> tuple[Array, Array]:
    x, w = cache
    return dy, np.full(len(w), (dy * x).sum())


def _mean(dy: Array, cache: ChainCache) -> tuple[Array, Array]:
    dx, dw = chain_backward(dy, cache)
    return dx, dw / len(dy)


def _no_x(dy: Array, cache: ChainCache) -> tuple[Array, Array]:
    x, w = cache
    return chain_backward(dy, (np.ones_like(x), w))


def _no_dy(dy: Array, cache: ChainCache) -> tuple[Array, Array]:
    return chain_backward(np.ones_like(dy), cache)


_CHAIN_HINTS = (
    (_own_factor, "w_l times anything has the slope of that anything: leave the weight's own factor out"),
    (_one_layer, "this is the slope of a single layer: all the other weights of the chain are factors too"),
    (_mean, "every sample moves the loss, so add over the samples; this is their mean"),
    (_no_x, "the signal that comes into the chain is a factor of the slope: multiply by x"),
    (_no_dy, "multiply by dy, the slope of the loss in y"),
)


EXERCISES = {
    "chain_backward": Exercise(
        op=chain,
        solution=chain_backward,
        arrays=lambda rng: (rng.standard_normal(5), rng.uniform(0.5, 2, 4) * [1, -1, 1, 1]),
        hints=_CHAIN_HINTS,
    ),
}

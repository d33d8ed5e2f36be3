"""The code exercises of notebook 1, Why normalize: a chain of weights, and a neuron that sees only a direction."""

from __future__ import annotations

import numpy as np

from ...validation import Array
from ..exercise import Exercise

ChainCache = tuple[Array, Array]
DirectionCache = tuple[Array, Array, Array]


# --- a chain of weights ----------------------------------------------------------------------------------------------
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


# --- a neuron that sees only the direction of its weights ------------------------------------------------------------
def direction(w: Array, *, x: Array) -> tuple[Array, DirectionCache]:
    """Return y = x @ w / |w|; x: (n, k), w: (k,), y: (n,). The cache is x, w and |w|."""
    r = np.sqrt((w * w).sum())
    return x @ w / r, (x, w, r)


def direction_backward(dy: Array, cache: DirectionCache) -> Array:
    """Return dw = (x^T dy - w (dy . z) / r^2) / r with z = x w and r = |w|."""
    x, w, r = cache
    return (dy @ x - w * (dy @ (x @ w)) / (r * r)) / r


def _constant_length(dy: Array, cache: DirectionCache) -> Array:
    x, _, r = cache
    return dy @ x / r


def _not_divided(dy: Array, cache: DirectionCache) -> Array:
    return direction_backward(dy, cache) * cache[2]


def _one_power(dy: Array, cache: DirectionCache) -> Array:
    x, w, r = cache
    return dy @ x / r - w * (dy @ (x @ w)) / (r * r)


def _plus(dy: Array, cache: DirectionCache) -> Array:
    return 2 * _constant_length(dy, cache) - direction_backward(dy, cache)


_DIRECTION_HINTS = (
    (_constant_length, "this treats |w| as a constant: a longer w also makes the divisor larger"),
    (_not_divided, "the factor 1 / |w| in front is missing: weights twice as long have half the slope"),
    (_one_power, "the derivative of 1 / r is -1 / r^2 times that of r, which is w / r: in all r to the third power"),
    (_plus, "the divisor pulls the other way: the second term has a minus sign"),
)

EXERCISES = {
    "chain_backward": Exercise(
        op=chain,
        solution=chain_backward,
        arrays=lambda rng: (rng.standard_normal(5), rng.uniform(0.5, 2, 4) * [1, -1, 1, 1]),
        hints=_CHAIN_HINTS,
    ),
    "direction_backward": Exercise(
        op=direction,
        solution=direction_backward,
        arrays=lambda rng: (3 * rng.standard_normal(4),),
        hyper={"x": np.random.default_rng(2).standard_normal((6, 4))},
        hints=_DIRECTION_HINTS,
    ),
}

"""The code exercises of notebook 14, floating point and speed."""

from __future__ import annotations

import numpy as np

from ...validation import Array
from ..exercise import Exercise


# --- log-sum-exp with the maximum taken off --------------------------------------------------------------------------
def log_sum_exp(x: Array) -> tuple[Array, tuple[Array, Array]]:
    """Return y = top + log sum_k exp(x_k - top) of each row of x (N, K), top its maximum; the cache is x and y (N,)."""
    top = x.real.max(axis=1)  # a constant: y does not depend on it
    y = top + np.log(np.exp(x - top[:, None]).sum(axis=1))
    return y, (x, y.copy())


def log_sum_exp_backward(dy: Array, cache: tuple[Array, Array]) -> Array:
    """Return dx = dy exp(x - y): the softmax, of numbers that are never above 0."""
    x, y = cache
    return dy[:, None] * np.exp(x - y[:, None])


def _one_hot(x: Array) -> Array:
    return (x.real == x.real.max(axis=1, keepdims=True)).astype(x.dtype)


def _maximum_counted(dy: Array, cache: tuple[Array, Array]) -> Array:
    return log_sum_exp_backward(dy, cache) + dy[:, None] * _one_hot(cache[0])


def _maximum_alone(dy: Array, cache: tuple[Array, Array]) -> Array:
    return dy[:, None] * _one_hot(cache[0])


def _not_divided(dy: Array, cache: tuple[Array, Array]) -> Array:
    x, _ = cache
    return dy[:, None] * np.exp(x - x.max(axis=1, keepdims=True))


def _no_dy(dy: Array, cache: tuple[Array, Array]) -> Array:
    return log_sum_exp_backward(np.ones_like(dy), cache)


_LOG_SUM_EXP_HINTS = (
    (_maximum_counted, "the maximum stands twice in y, with + outside and with - inside; its two paths cancel"),
    (_maximum_alone, "this is the gradient of the maximum alone; every x_k has a share in the sum"),
    (_not_divided, "exp(x - top) is not yet divided by its sum over the row; exp(x - y) has that division inside"),
    (_no_dy, "this is the slope of y; the chain rule multiplies it by dy of its row"),
)


# --- the variance of two parts put together --------------------------------------------------------------------------
def merge_variances(
    mean_a: Array, var_a: Array, mean_b: Array, var_b: Array, *, count_a: int, count_b: int
) -> tuple[Array, tuple[Array, float, float]]:
    """Return the variance of the union of parts a and b, each (C,): p var_a + q var_b + p q (mean_a - mean_b)^2.

    p and q are the shares of the counts. The cache is delta = mean_a - mean_b (C,), p and q.
    """
    p, q = count_a / (count_a + count_b), count_b / (count_a + count_b)
    delta = mean_a - mean_b
    return p * var_a + q * var_b + p * q * delta * delta, (delta, p, q)


def merge_variances_backward(dy: Array, cache: tuple[Array, float, float]) -> tuple[Array, ...]:
    """Return dmean_a, dvar_a, dmean_b, dvar_b."""
    delta, p, q = cache
    dmean = 2 * p * q * delta * dy
    return dmean, p * dy, -dmean, q * dy


def _wrong_sign(dy: Array, cache: tuple[Array, float, float]) -> tuple[Array, ...]:
    dmean_a, dvar_a, dmean_b, dvar_b = merge_variances_backward(dy, cache)
    return -dmean_a, dvar_a, -dmean_b, dvar_b


def _no_two(dy: Array, cache: tuple[Array, float, float]) -> tuple[Array, ...]:
    delta, p, q = cache
    return p * q * delta * dy, p * dy, -p * q * delta * dy, q * dy


def _equal_parts(dy: Array, cache: tuple[Array, float, float]) -> tuple[Array, ...]:
    delta, _, _ = cache
    return delta * dy / 2, dy / 2, -delta * dy / 2, dy / 2


def _swapped(dy: Array, cache: tuple[Array, float, float]) -> tuple[Array, ...]:
    _, p, q = cache
    dmean_a, _, dmean_b, _ = merge_variances_backward(dy, cache)
    return dmean_a, q * dy, dmean_b, p * dy


_MERGE_HINTS = (
    (_wrong_sign, "delta is mean_a - mean_b, so mean_a comes in with + and mean_b with -"),
    (_no_two, "delta is squared in y: the power rule brings a factor 2"),
    (_equal_parts, "this is right for parts of equal size only; here the shares are p and q"),
    (_swapped, "p is the share of part a, q that of part b"),
)


EXERCISES = {
    "log_sum_exp": Exercise(
        op=log_sum_exp,
        solution=log_sum_exp_backward,
        arrays=lambda rng: (1000 + 2 * rng.standard_normal((4, 6)),),
        hints=_LOG_SUM_EXP_HINTS,
    ),
    "merge_variances": Exercise(
        op=merge_variances,
        solution=merge_variances_backward,
        arrays=lambda rng: (
            3 * rng.standard_normal(5),
            rng.uniform(1, 2, 5),
            3 * rng.standard_normal(5),
            rng.uniform(1, 2, 5),
        ),
        hyper={"count_a": 3, "count_b": 5},
        hints=_MERGE_HINTS,
    ),
}

"""The arrays that layers start from.

Values are drawn in float64 and rounded to the dtype, so one seed gives the same start in every dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..validation import Array

Seed = np.random.Generator | int | None  # what rng= takes; an int seeds a generator of its own


def floating(layer: str, dtype: DTypeLike) -> np.dtype[Any]:
    """Return `dtype` as a numpy.dtype; raise TypeError unless it is a real floating-point one."""
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind.kind != "f":
        raise TypeError(
            f"{layer}: dtype must be a floating-point dtype, got {dtype!r}; pass numpy.float32 or numpy.float64"
        )
    return kind


def normal(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike, *, mean: float = 0.0, deviation: float
) -> Array:
    """Return draws from the normal distribution with this mean and standard deviation."""
    return rng.normal(mean, deviation, shape).astype(dtype)


def he_normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike, *, fan_in: int) -> Array:
    """Return normal draws of variance 2 / fan_in: the mean square of the features stays the same through a ReLU.

    Source: He et al. 2015, arXiv 1502.01852, equation 10.
    """
    return normal(rng, shape, dtype, deviation=float(np.sqrt(2 / fan_in)))


def affine(channels: int, dtype: DTypeLike) -> dict[str, Array]:
    """Return gamma = 1 and beta = 0, (C,) each."""
    return {"gamma": np.ones(channels, dtype), "beta": np.zeros(channels, dtype)}


def running(size: int, dtype: DTypeLike, prefix: str = "") -> dict[str, Array]:
    """Return the running mean 0 and the running variance 1, (size,) each."""
    return {f"{prefix}running_mean": np.zeros(size, dtype), f"{prefix}running_var": np.ones(size, dtype)}

"""The statistics of the bench: medians and quartiles of paired ratios, and exponents of growth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Spread(NamedTuple):
    """The median of something, and its lower and upper quartile."""

    median: float
    low: float
    high: float


def spread_of(values: Sequence[float]) -> Spread:
    """Return median and quartiles of `values`, of which there must be one at least."""
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return Spread(float(median), float(low), float(high))


def paired_ratio(seconds: Sequence[float], reference: Sequence[float]) -> Spread | None:
    """Return the spread of seconds / reference, round by round; None if they share no round.

    What slows a whole round slows both, so it leaves a ratio alone. One that stopped early is held against the rounds
    that it did.
    """
    pairs = list(zip(seconds, reference, strict=False))
    return spread_of([own / other for own, other in pairs]) if pairs else None


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float | None:
    """Return p of the line values = c * sizes^p that is nearest on log-log axes; None without two positive values."""
    known = [(size, value) for size, value in zip(sizes, values, strict=True) if value > 0]
    if len({size for size, _ in known}) < 2:
        return None
    logs = np.log(np.array(known))
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])

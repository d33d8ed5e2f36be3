"""Intervals for test accuracies: over seeds, and paired over seeds and images.

Two questions, two intervals. "How much does the accuracy move from seed to seed?" is answered by Student's t over
the seeds, on these test images. "Is this norm better than BN?" is also about the images: other test images would
have given another answer. There the same images meet every seed, so neither the S * n answers nor the S seeds alone
are independent pieces of evidence; `paired_difference` takes both into account.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Interval(NamedTuple):
    """An estimate with the two ends of its interval; `low` and `high` are None where there is no interval."""

    mean: float
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """`"above"` or `"below"` zero, or `"cannot tell"` where zero is inside or there is no interval."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "cannot tell"
        return "above" if self.low > 0 else "below"


def t_quantile(df: float, level: float = 0.95) -> float:
    """Return the t with P(-t < T < t) = level for Student's t with df degrees of freedom (df >= 1, not only whole).

    With T = sqrt(df) * tan(theta) the density of theta is proportional to cos(theta)^(df - 1): smooth and bounded,
    so a running sum over a fine grid gives the distribution to six digits.
    """
    end = min(np.pi / 2, 20 / np.sqrt(df))  # beyond it nothing is left, and the grid stays fine for a large df
    theta = np.linspace(0.0, end, 20_001)
    density = np.cos(theta) ** (df - 1)
    below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return float(np.sqrt(df) * np.tan(np.interp(level, below / below[-1], theta)))


def mean_over_seeds(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of one value per seed with Student's t interval: mean ± t * s / sqrt(S).

    One seed says nothing about how far seeds lie apart: the interval is then None. An accuracy is a share, so the
    ends are kept inside [0, 1].
    """
    x = np.asarray(values, dtype=np.float64)
    mean = float(x.mean())
    if x.size < 2:
        return Interval(mean, None, None)
    half = t_quantile(x.size - 1, level) * float(x.std(ddof=1)) / np.sqrt(x.size)
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half))


def paired_difference(correct: ArrayLike, reference: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean difference in accuracy with an interval for other seeds *and* other test images.

    Both arguments are (S, n), 1 where the net of that seed was right on that image. With d = correct - reference,
    its mean over the images d[s] and its mean over the seeds d[i],

        se^2 = var(d[s]) / S + var(d[i]) / n

    the squared standard errors that the seeds alone and the images alone would give. Chance that belongs to neither
    (one net, one image) is counted in both, so the interval is a little too wide rather than too narrow. The degrees
    of freedom are Satterthwaite's: se^4 / (se_seeds^4 / (S - 1) + se_images^4 / (n - 1)).

    With one seed only the images are accounted for. Two-way clustering: Cameron, Gelbach & Miller 2011, where the
    chance counted twice is taken off; with three seeds that would make the interval too narrow.
    """
    d = np.asarray(correct, dtype=np.float64) - np.asarray(reference, dtype=np.float64)  # (S, n)
    mean = float(d.mean())
    variances = [
        (float(d.mean(axis=other).var(ddof=1)) / units, units - 1)
        for units, other in zip(d.shape, (1, 0), strict=True)
        if units > 1
    ]
    if not variances:
        return Interval(mean, None, None)
    total = sum(variance for variance, _ in variances)
    if total == 0:
        return Interval(mean, mean, mean)
    df = total**2 / sum(variance**2 / df for variance, df in variances)
    half = t_quantile(df, level) * np.sqrt(total)
    return Interval(mean, mean - half, mean + half)

"""Standardize and recalibrate: from statistics to the tables a and b of y = a (x - m) + b.

    standardize:  rstd = (var + eps)^-1/2,  a0 = rstd,  b0 = (m - mu) * rstd
    recalibrate:  a = G * a0,  b = G * b0 + B

The layers differ in G and B alone: affine (G = gamma[c], B = beta[c]), attentive (G = lambda @ gamma,
B = lambda @ beta), gate (G = s, B = 0, on a0 = 1, b0 = m).

The centre m of y = a (x - m) + b is a free choice: with mu fixed, moving m changes a (x - m) by -a and b by +a. The two
gradients that m would get, -a * db and rstd * db0, cancel for every layer, so neither is computed.
"""

from __future__ import annotations

import numpy as np

from .statistics import Statistics
from .validation import Array


def standardize(m: Array, s: Statistics, eps: float) -> tuple[Array, Array]:
    """Return a0 = rstd = (var + eps)^-1/2 and b0 = (m - mu) * rstd, both N x C."""
    rstd = 1 / np.sqrt(s.var + eps)
    return rstd, (m - s.mu) * rstd


def standardize_backward(da0: Array, db0: Array, m: Array, s: Statistics, rstd: Array) -> tuple[Array, Array]:
    """Return dmu = -rstd * db0 and dvar = -1/2 rstd^3 * (da0 + (m - mu) * db0), both N x C."""
    drstd = da0 + (m - s.mu) * db0
    return -rstd * db0, -0.5 * rstd**3 * drstd


def recalibrate(a0: Array, b0: Array, G: Array, B: Array) -> tuple[Array, Array]:
    """Return a = G * a0 and b = G * b0 + B."""
    return G * a0, G * b0 + B


def recalibrate_backward(da: Array, db: Array, a0: Array, b0: Array, G: Array) -> tuple[Array, Array, Array, Array]:
    """Return da0 = G * da, db0 = G * db, dG = a0 * da + b0 * db, dB = db."""
    return G * da, G * db, a0 * da + b0 * db, db


def mixture(lambda_: Array, gamma: Array, beta: Array) -> tuple[Array, Array]:
    """Return G = lambda @ gamma and B = lambda @ beta: (N, K) @ (K, C)."""
    return lambda_ @ gamma, lambda_ @ beta


def mixture_backward(dG: Array, dB: Array, lambda_: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array]:
    """Return dlambda = dG gamma^T + dB beta^T, dgamma = lambda^T dG and dbeta = lambda^T dB."""
    return dG @ gamma.T + dB @ beta.T, lambda_.T @ dG, lambda_.T @ dB

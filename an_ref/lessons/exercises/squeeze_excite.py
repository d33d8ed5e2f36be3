"""Exercises of the notebook on squeeze-and-excitation: a hard gate, and a gate for each position."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...validation import Array
from ..exercise import Exercise


# --- SE with a hard sigmoid ------------------------------------------------------------------------------------------
def hard_se(x: Array, w1: Array, w2: Array) -> tuple[Array, Any]:
    """SE without biases and with s = hsigmoid(relu(m w1) w2), hsigmoid(z) = min(max(z + 3, 0), 6) / 6.

    x (N, C, H, W); w1 (C, R); w2 (R, C). The cache is (x, m, hidden, logits, s, w1, w2), hidden = m w1 (N, R).
    """
    m = x.mean((2, 3))  # (N, C)
    hidden = m @ w1  # (N, R)
    logits = np.where(hidden.real > 0, hidden, 0) @ w2  # (N, C)
    s = np.where(logits.real <= -3, 0, np.where(logits.real >= 3, 1, (logits + 3) / 6))
    return s[:, :, None, None] * x, (x, m, hidden, logits, s, w1, w2)


def hard_se_backward(
    dy: Array,
    cache: Any,
    *,
    slope: str = "hsigmoid",
    second: float = 1.0,
    kink: bool = True,
    mean: bool = True,
) -> tuple[Array, Array, Array]:
    """Return dx, dw1, dw2; the keywords make the usual mistakes."""
    x, m, hidden, logits, s, w1, w2 = cache
    M = x[0, 0].size
    ds = (dy * x).sum((2, 3))  # (N, C)
    dlogits = ds / 6
    if slope == "hsigmoid":
        dlogits = np.where((logits > -3) & (logits < 3), dlogits, 0)
    elif slope == "sigmoid":
        dlogits = ds * s * (1 - s)
    dactive = dlogits @ w2.T  # (N, R)
    dhidden = np.where(hidden > 0, dactive, 0) if kink else dactive
    dm = dhidden @ w1.T  # (N, C)
    dx = s[:, :, None, None] * dy + second * dm[:, :, None, None] / (M if mean else 1)
    return dx, m.T @ dhidden, np.where(hidden > 0, hidden, 0).T @ dlogits


def _hard_se_arrays(rng: np.random.Generator) -> tuple[Array, ...]:
    normal = rng.standard_normal
    x = normal((5, 4, 2, 3)) + 2 * normal((5, 4, 1, 1))  # means that differ: some logits lie outside (-3, 3)
    return x, normal((4, 3)), normal((3, 4))


# --- a gate for each position ----------------------------------------------------------------------------------------
def position_gate(x: Array, w: Array, b: Array) -> tuple[Array, Any]:
    """y[n,c,i] = s[n,i] x[n,c,i], s = sigmoid(sum_c w[c] x[n,c,i] + b): channels are squeezed, positions get the gate.

    x (N, C, H, W); w (C,); b (1,). The cache is (x, s, w), s of shape (N, 1, H, W).
    """
    z = (w[:, None, None] * x).sum(1, keepdims=True) + b  # (N, 1, H, W)
    s = 1 / (1 + np.exp(-z))
    return s * x, (x, s, w)


def position_gate_backward(
    dy: Array, cache: Any, *, second: float = 1.0, slope: bool = True, mean: bool = False, axes: tuple[int, ...] = (1,)
) -> tuple[Array, Array, Array]:
    """Return dx, dw, db; the keywords make the usual mistakes."""
    x, s, w = cache
    ds = (dy * x).sum(axes, keepdims=True)  # (N, 1, H, W)
    dz = ds * s * (1 - s) if slope else ds * np.ones_like(s)
    through_gate = w[:, None, None] * dz / (x.shape[1] if mean else 1)
    dw = (dz * x).sum((0, 2, 3))
    db = np.atleast_1d((dz * np.ones_like(s)).sum())
    return s * dy + second * through_gate, dw, db


def _position_gate_arrays(rng: np.random.Generator) -> tuple[Array, ...]:
    return rng.standard_normal((3, 4, 2, 5)) + 0.5, rng.standard_normal(4), rng.standard_normal(1)


def _but(backward: Any, **wrong: Any) -> Any:
    return lambda dy, cache: backward(dy, cache, **wrong)


EXERCISES = {
    "hard_se": Exercise(
        hard_se,
        hard_se_backward,
        _hard_se_arrays,
        hints=(
            (
                _but(hard_se_backward, second=0.0),
                "the path through the gate is missing: s is made from x, so ds goes back to m, and dm / M to x",
            ),
            (
                _but(hard_se_backward, slope="sigmoid"),
                "s (1 - s) is the derivative of the sigmoid; hsigmoid's is 1/6 between -3 and 3 and 0 outside",
            ),
            (
                _but(hard_se_backward, slope="sixth"),
                "the slope 1/6 is used where hsigmoid is flat; it is 0 where the logit is not between -3 and 3",
            ),
            (
                _but(hard_se_backward, kink=False),
                "the ReLU is passed as if it were not there; nothing comes back where hidden is not positive",
            ),
            (
                _but(hard_se_backward, mean=False),
                "dm must be divided by M: each of the M positions of a map has a share of 1/M in its mean",
            ),
        ),
    ),
    "position_gate": Exercise(
        position_gate,
        position_gate_backward,
        _position_gate_arrays,
        hints=(
            (
                _but(position_gate_backward, second=0.0),
                "the gate is taken for a constant; it is made from x, so w dz is added to dx in every channel",
            ),
            (
                _but(position_gate_backward, slope=False),
                "the derivative of the sigmoid, s (1 - s), is missing",
            ),
            (
                _but(position_gate_backward, axes=(2, 3)),
                "the sum is over positions, as in SE; here one gate is shared by the channels of a position, so the "
                "sum is over c",
            ),
            (
                _but(position_gate_backward, mean=True),
                "the part through the gate is divided by C; z is a sum over channels, not a mean",
            ),
        ),
    ),
}

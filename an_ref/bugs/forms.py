"""The forms that the gallery breaks, and inputs for them.

Inputs are small and random; gamma and beta differ from channel to channel, x has neither mean 0 nor variance 1, and
axes have different lengths, so that a mean over the wrong ones shows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..validation import Array
from .bug import Form, Inputs

Rng = np.random.Generator
TEXTBOOK, PLAIN = "an_ref.textbook", "an_ref.bugs.plain"
N, C, H, W, GROUPS, K = 4, 6, 3, 5, 2, 3


def _x(rng: Rng) -> Array:
    return 1.5 * rng.standard_normal((N, C, H, W)) + 0.7 * rng.standard_normal((N, C, 1, 1)) + 0.5


def _affine(rng: Rng, *shape: int) -> tuple[Array, Array]:
    return 1 + 0.5 * rng.standard_normal(shape), rng.standard_normal(shape)


def _norm(**hyper: Any) -> Inputs:
    return lambda rng: ((_x(rng), *_affine(rng, C)), hyper)


def _running(**hyper: Any) -> Inputs:
    return lambda rng: ((_x(rng), *_affine(rng, C), rng.standard_normal(C), 0.5 + rng.random(C)), hyper)


def _switchable(rng: Rng) -> tuple[tuple[Array, ...], dict[str, Any]]:
    return (_x(rng), *_affine(rng, C), rng.standard_normal(3), rng.standard_normal(3)), {}


def _gate(rng: Rng) -> tuple[tuple[Array, ...], dict[str, Any]]:
    x, w1 = _x(rng), rng.standard_normal((C, 4))
    b1 = rng.standard_normal(4) / 2 - x.mean((0, 2, 3)) @ w1  # each hidden unit is on for some samples, off for others
    return (x, w1, b1, rng.standard_normal((4, C)), rng.standard_normal(C)), {}


def _attentive(rng: Rng) -> tuple[tuple[Array, ...], dict[str, Any]]:
    # attn_gamma is large enough for some logits to leave (-3, 3), where hsigmoid is constant.
    attention = rng.standard_normal((C, K)), 1.5 + rng.random(K), rng.standard_normal(K)
    return (_x(rng), *_affine(rng, K, C), *attention), {}


def _softmax_attention(rng: Rng) -> tuple[tuple[Array, ...], dict[str, Any]]:
    return (_x(rng), *_affine(rng, K, C), rng.standard_normal((C, K)), rng.standard_normal(K)), {}


def _conv(rng: Rng) -> tuple[tuple[Array, ...], dict[str, Any]]:
    arrays = rng.standard_normal((3, 4, 6, 5)), rng.standard_normal((6, 2, 3, 2)), rng.standard_normal(6)
    return arrays, {"stride": (2, 1), "padding": (1, 2), "groups": 2}


def _conv_square(rng: Rng) -> tuple[tuple[Array, ...], dict[str, Any]]:
    # As many output as input channels, and a square kernel: a forgotten transpose fits.
    return (rng.standard_normal((3, 4, 6, 5)), rng.standard_normal((4, 4, 3, 3)), rng.standard_normal(4)), {}


def _linear(rng: Rng) -> tuple[tuple[Array, ...], dict[str, Any]]:
    return (rng.standard_normal((5, 4)), rng.standard_normal((4, 4)), rng.standard_normal(4)), {}


def _loss(rng: Rng) -> tuple[tuple[Array, ...], dict[str, Any]]:
    return (2 * rng.standard_normal((5, 4)), np.array([1, 3, 0, 2, 3])), {"label_smoothing": 0.1}


BN = Form("batch_norm", TEXTBOOK, "batch_norm", _norm(), "_normalize_backward")
BN_STEPS = Form("batch_norm", PLAIN, "batch_norm", _norm())
BN_EVAL = Form("batch_norm_eval", PLAIN, "batch_norm_eval", _running())
LN = Form("layer_norm", TEXTBOOK, "layer_norm", _norm(), "_normalize_backward")
IN = Form("instance_norm", TEXTBOOK, "instance_norm", _norm(), "_normalize_backward")
GN = Form("group_norm", TEXTBOOK, "group_norm", _norm(groups=GROUPS), "_normalize_backward")
SN = Form("switchable_norm", TEXTBOOK, "switchable_norm", _switchable)
SE = Form("squeeze_excite", TEXTBOOK, "squeeze_excite", _gate)
AN = Form("attentive_norm", TEXTBOOK, "attentive_norm", _attentive)
AN_SOFTMAX = Form("attentive_norm", PLAIN, "attentive_norm", _softmax_attention)
CONV = Form("conv2d", PLAIN, "conv2d", _conv)
CONV_STRIDE_1 = Form("conv2d", PLAIN, "conv2d_stride_1", _conv_square)
LINEAR = Form("linear", PLAIN, "linear", _linear)
LOSS = Form("softmax_cross_entropy", PLAIN, "softmax_cross_entropy", _loss)
LAYER = Form("BatchNorm", "an_ref.nn.normalization", "BatchNorm", _running(decay=0.8), "TrackingLayer._mix")

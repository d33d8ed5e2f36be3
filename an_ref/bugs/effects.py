"""Bugs whose numbers are right at first: side effects, and gradients of a wrong number, shape or dtype."""

from __future__ import annotations

from functools import partial

from .bug import Bug
from .forms import BN_STEPS, CONV_STRIDE_1, LINEAR, LOSS, SE

DX = "dx = dxhat / std + dvar * 2 * centred / n + dmu / n"
DGAMMA = "dgamma = (dy * xhat).sum(axes)"
purity = partial(Bug, kind="purity")

BUGS = (
    purity(
        "pure-x-centred-in-place",
        "The forward takes the mean off x itself, which belongs to the caller. y does not change by it.",
        BN_STEPS, ("x",), "modified", "centred = x - mu", "x -= mu\n    centred = x", "batch_norm",
    ),
    purity(
        "pure-dy-scaled-in-place",
        "The backward multiplies dy by gamma in place.",
        BN_STEPS, ("dy",), "modified", "dxhat = dy * gamma", "dy *= gamma\n    dxhat = dy",
        incident="linkedin/Liger-Kernel issues 254 and 272 (2024): kernels that write their gradients over saved "
        "inputs spoil the backward of a neighbour that had kept the same array.",
    ),
    purity(
        "pure-cache-consumed",
        "The backward uses an array of the cache as scratch: a second call returns something else.",
        BN_STEPS, ("cache",), "cache", DX, "centred *= 2 * dvar / n\n    dx = dxhat / std + centred + dmu / n",
    ),
    purity(
        "pure-gradient-accumulates",
        "dweight is added to what earlier calls have left.",
        LINEAR, ("weight",), "second call", "dweight = x.T @ dy",
        'dweight = globals().get("total", 0) + x.T @ dy\n    globals()["total"] = dweight',
    ),
    purity(
        "pure-dropout-in-forward",
        "The forward drops entries of x at random, without a seed.",
        LINEAR, ("y",), "repeat", "return x @ weight + bias, (x, weight)",
        "x = x * np.random.default_rng().integers(0, 2, x.shape)\n    return x @ weight + bias, (x, weight)", "linear",
    ),
    purity(
        "pure-memory-order",
        "The backward reads dy in the order of its memory: right only for C order.",
        LINEAR, ("dy",), "strides", "x, weight = cache",
        'x, weight = cache\n    dy = dy.ravel(order="K").reshape(dy.shape)',
        incident="torch/nn pull request 345 (2015): the backward of nn.Mean took gradOutput for contiguous, so two of "
        "them in a chain were wrong. pytorch/pytorch issue 175189 (2026): BatchNorm2d on channels-last memory.",
    ),
    purity(
        "pure-memory-order-of-x",
        "The forward reads x in the order of its memory: right only for C order.",
        CONV_STRIDE_1, ("x",), "strides", "return _correlate(x, weight)",
        'x = x.ravel(order="K").reshape(x.shape)\n    return _correlate(x, weight)', "conv2d_stride_1",
    ),
    purity(
        "pure-gradient-is-none",
        "dgamma is not computed: None stands in its place.",
        BN_STEPS, ("gamma",), "None", "return dx, dgamma, dbeta", "return dx, None, dbeta",
    ),
    purity(
        "pure-gradient-too-many",
        "The backward returns a gradient for the labels too.",
        LOSS, ("labels",), "number", "return dy * (p - q) / N", "return dy * (p - q) / N, np.zeros(N)",
    ),
    purity(
        "pure-dgamma-shape",
        "dgamma keeps the axes of x: its shape is (1, C, 1, 1).",
        BN_STEPS, ("gamma",), "shape", DGAMMA, "dgamma = (dy * xhat).sum(axes, keepdims=True)",
        incident="pytorch/pytorch pull request 192016 (2026): on one path the gradient of LayerNorm's weight had the "
        "size of its last axis alone.",
    ),
    purity(
        "pure-dbias-dtype",
        "dbias of a float64 bias comes in float32.",
        LINEAR, ("bias",), "dtype", "dbias = dy.sum(axis=0)", "dbias = dy.sum(axis=0).astype(np.float32)",
    ),
    purity(
        "pure-gate-overwrites-cache",
        "The backward writes ds over the gate in the cache.",
        SE, ("cache",), "cache", "dlogits = ds * s * (1 - s)",
        "dlogits = ds * s * (1 - s)\n    gate, s = s, s.copy()\n    gate[:] = ds",
    ),
)  # fmt: skip

"""What usual mistakes make of the gradients of this package's ops: wrong gradients, with words for the mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import activations, convolution, losses
from ...validation import Array
from .attentive_mistakes import attentive_mistakes
from .known import ACTIVATIONS, Known
from .norm_mistakes import eval_mistakes, norm_mistakes
from .terms import PLAIN, Term, maps, totals
from .transforms import rearranged


def alternatives(known: Known, dy: Array) -> dict[int, list[Term]]:
    """Return wrong gradients of usual mistakes, by the argument's position."""
    makers: dict[str, Callable[[Known, Array], dict[int, list[Term]]]] = {
        "squeeze_excite": _squeeze_mistakes,
        "linear": _linear_mistakes,
        "conv2d": _conv_mistakes,
        **dict.fromkeys(ACTIVATIONS, _activation_mistakes),
    }
    if known.name in PLAIN:
        return norm_mistakes(known, dy)
    if known.name == "batch_norm_eval":
        return eval_mistakes(known, dy)
    if known.name == "softmax_cross_entropy":
        return _loss_mistakes(known, dy)
    if known.name.startswith("attentive_norm"):
        return attentive_mistakes(known, dy)
    return makers[known.name](known, dy) if known.name in makers else {}


def _loss_mistakes(known: Known, dy: Array) -> dict[int, list[Term]]:
    """The gradient of other labels, or with a wrong derivative of the softmax."""
    logits = known.arrays[0]
    right = losses.softmax_cross_entropy_backward(dy, known.cache)
    N = len(logits)
    e = np.exp(logits - logits.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    target = p - right * N / (dy if np.all(dy) else 1.0)
    found = [
        Term("the labels are permuted: shifted by one class", (p - np.roll(target, 1, 1)) * dy / N),
        Term("the labels are permuted: shifted by one class", (p - np.roll(target, -1, 1)) * dy / N),
        Term("the labels are permuted: shifted by one sample", (p - np.roll(target, 1, 0)) * dy / N),
        Term("the labels are permuted: in reversed order", (p - target[::-1]) * dy / N),
        Term("the softmax's derivative is applied once more, to p - target", _through_softmax(p, p - target) * dy / N),
        Term("only the diagonal of the softmax's Jacobian is used", -target * (1 - p) * dy / N),
        Term("the softmax is applied twice", (_softmax_rows(p) - target) * dy / N),
        Term("the softmax's factor p is there once too often", p * (p - target) * dy / N),
        Term("the softmax's derivative p (1 - p) is applied once more", p * (1 - p) * (p - target) * dy / N),
    ]
    return {0: found}


def _softmax_rows(z: Array) -> Array:
    e = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def _through_softmax(p: Array, d: Array) -> Array:
    return np.asarray(p * (d - (p * d).sum(1, keepdims=True)))


def _squeeze_mistakes(known: Known, dy: Array) -> dict[int, list[Term]]:
    """The gradients of SE with a wrong derivative of sigmoid or relu, or with a mean where a sum belongs."""
    x, w1, b1, w2, _ = known.arrays
    c = known.cache
    M = x[0, 0].size
    hidden = c.m @ w1 + b1
    active, ds = np.maximum(hidden, 0), totals(dy * x)
    mask, logits = hidden > 0, active @ w2 + known.arrays[4]
    variants = {
        "the activation derivative of the sigmoid, s * (1 - s), is missing": (ds, mask),
        "the activation derivative of the sigmoid is applied twice": (ds * (c.s * (1 - c.s)) ** 2, mask),
        "the activation derivative of the sigmoid is s alone, not s * (1 - s)": (ds * c.s, mask),
        "the activation derivative of the sigmoid is 1 - s alone, not s * (1 - s)": (ds * (1 - c.s), mask),
        "the activation derivative of the relu is missing": (ds * c.s * (1 - c.s), 1),
        "the activation derivative of the relu is taken at the sign of the gradient": (ds * c.s * (1 - c.s), 1),
        "the activation derivative of the relu is reversed": (ds * c.s * (1 - c.s), ~mask),
        "the activation derivative of the sigmoid is taken at the gate, not at the logits": (
            ds * _logistic(c.s) * (1 - _logistic(c.s)),
            mask,
        ),
        "the activation derivative of the sigmoid is taken from the logits themselves": (
            ds * logits * (1 - logits),
            mask,
        ),
        "ds is averaged over positions: a mean where a sum belongs": (ds / M * c.s * (1 - c.s), mask),
        "ds is the sum of dy, without x": (totals(dy) * c.s * (1 - c.s), mask),
        "ds is the sum of dy * y where dy * x belongs": (ds * c.s * c.s * (1 - c.s), mask),
    }
    found: dict[int, list[Term]] = {}
    for words, (dlogits, gate) in variants.items():
        dhidden = dlogits @ w2.T * gate
        if "of the gradient" in words:
            dhidden = np.maximum(dlogits @ w2.T, 0)
        dx = maps(c.s, x) * dy + maps(dhidden @ w1.T, x) / M
        gradients = (dx, c.m.T @ dhidden, dhidden.sum(0), active.T @ dlogits, dlogits.sum(0))
        for index, gradient in enumerate(gradients):
            found.setdefault(index, []).append(Term(words, gradient))
    dlogits = ds * c.s * (1 - c.s)
    found[3].append(Term("the hidden units before the relu are used, not after it", hidden.T @ dlogits))
    dm = (dlogits @ w2.T * mask) @ w1.T
    found[0].append(
        Term("the path through the gate lacks 1/M: a sum where a mean belongs", maps(c.s, x) * dy + maps(dm, x))
    )
    return found


def _logistic(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def _linear_mistakes(known: Known, dy: Array) -> dict[int, list[Term]]:
    x, weight = known.arrays[:2]
    found = {}
    if weight.shape[0] == weight.shape[1]:
        found[0] = [Term("the weight is transposed: dy @ weight where dy @ weight^T belongs", dy @ weight)]
        found[1] = [Term("dweight is transposed", (x.T @ dy).T)]
    return found


AGAINST = "against the right one: where the code turns the kernel over, it does so"


def _conv_mistakes(known: Known, dy: Array) -> dict[int, list[Term]]:
    """dx with a kernel that is flipped or rearranged, or with padding that is cut off at another place."""
    cache = known.cache
    weight = cache.weight
    changes = [
        ("the kernel is flipped (or its flip is forgotten)", weight[..., ::-1, ::-1]),
        (f"the kernel is reversed in height (axis 2) {AGAINST} in width alone", weight[..., ::-1, :]),
        (f"the kernel is reversed in width (axis 3) {AGAINST} in height alone", weight[..., ::-1]),
        ("the kernel is transposed: height and width are exchanged", weight.swapaxes(2, 3)),
        ("the kernel is transposed: input and output channels are exchanged", weight.swapaxes(0, 1)),
        (
            "the weights of the first group are used for all",
            np.tile(weight[: len(weight) // cache.groups], (cache.groups, 1, 1, 1)),
        ),
        *(
            (words.replace("is permuted", "the kernel is permuted"), w)
            for words, w in rearranged(weight, 0, "its output")
        ),
        *(
            (words.replace("is permuted", "the kernel is permuted"), w)
            for words, w in rearranged(weight, 1, "its input")
        ),
    ]
    found = [
        Term(words, convolution.conv2d_backward(dy, cache._replace(weight=w))[0])
        for words, w in changes
        if w.shape == weight.shape
    ]
    right = convolution.conv2d_backward(dy, cache)
    found += [Term(f"it {words}", dx) for words, dx in rearranged(right[0], 1, "dx")]
    found += _padding_mistakes(cache, dy)
    return {0: found, 1: [Term(f"it {w}", v) for axis in (0, 1) for w, v in rearranged(right[1], axis, "dweight")]}


def _padding_mistakes(cache: Any, dy: Array) -> list[Term]:
    """dx of the padded input, cut out at another place than the padding says."""
    (p, q), (H, W) = cache.padding, cache.x.shape[2:]
    padded = np.pad(cache.x, ((0, 0), (0, 0), (p, p), (q, q)))
    full = convolution.conv2d_backward(dy, cache._replace(x=padded, padding=(0, 0)))[0]
    found = []
    for top in range(2 * p + 1):
        for left in range(2 * q + 1):
            if (top, left) != (p, q):
                words = f"the padding is cut off wrongly: dx begins at {(top, left)} of the padded map, not at {(p, q)}"
                found.append(Term(words, full[:, :, top : top + H, left : left + W]))
    return found


def _activation_mistakes(known: Known, dy: Array) -> dict[int, list[Term]]:
    backward = _backward_of(known.name)
    slope = backward(np.ones_like(dy), known.cache)
    found = [
        Term("the activation derivative is missing: dy is passed on", dy),
        Term("the activation derivative is applied twice", dy * slope**2),
        Term("the activation derivative is reversed: it is taken where it belongs not", dy * (slope == 0)),
        Term("the activation derivative has the wrong height where it is not zero", dy * (slope != 0)),
    ]
    if known.name == "sigmoid":
        s = known.arrays[0]
        s = 1 / (1 + np.exp(-s))
        found.append(Term("the activation derivative is s alone, not s * (1 - s)", dy * s))
        found.append(Term("the activation derivative is 1 - s alone, not s * (1 - s)", dy * (1 - s)))
    if known.name == "softmax":
        y = known.cache.weights
        found.append(
            Term("the softmax's second term -y * sum(y * dy) is missing: the Jacobian is not diagonal", y * dy)
        )
        found.append(Term("only the diagonal of the Jacobian, y * (1 - y), is used", y * (1 - y) * dy))
    return {0: found}


def _backward_of(name: str) -> Callable[..., Any]:
    backward: Callable[..., Any] = getattr(activations, f"{name}_backward")
    return backward

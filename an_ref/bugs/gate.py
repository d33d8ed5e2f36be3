"""Bugs of squeeze-and-excitation: two paths, two layers, two activations."""

from __future__ import annotations

from .bug import Bug
from .forms import SE

DS = "ds = (dy * x).sum(_positions(x)) if x.ndim > 2 else dy * x"
DLOGITS = "dlogits = ds * s * (1 - s)"
DHIDDEN = "dhidden = np.where(hidden.real > 0, dlogits @ w2.T, 0)"
DX = "dx = _per_map(s, x) * dy + _per_map(dm, x) / M"
RETURN = "return dx, m.T @ dhidden, dhidden.sum(0), active.T @ dlogits, dlogits.sum(0)"
X, FIRST, ALL = ("x",), ("x", "w1", "b1"), ("x", "w1", "b1", "w2", "b2")

BUGS = (
    Bug(
        "se-gate-path-missing",
        "dx is s * dy: the gate is taken for a constant.",
        SE, X, "path through the gate", DX, "dx = _per_map(s, x) * dy",
    ),
    Bug(
        "se-direct-path-missing",
        "dx comes through the gate alone; s * dy is left out.",
        SE, X, "missing", DX, "dx = np.zeros_like(dy) + _per_map(dm, x) / M",
    ),
    Bug(
        "se-squeeze-not-averaged",
        "What comes back through the squeeze is not divided by the number of positions.",
        SE, X, "sum where a mean belongs", DX, "dx = _per_map(s, x) * dy + _per_map(dm, x)",
    ),
    Bug(
        "se-gate-path-sign",
        "What comes back through the gate is subtracted.",
        SE, X, "sign", DX, "dx = _per_map(s, x) * dy - _per_map(dm, x) / M",
    ),
    Bug(
        "se-gate-missing-in-dx",
        "The direct path is dy, not s * dy.",
        SE, X, "factor s", DX, "dx = dy + _per_map(dm, x) / M",
    ),
    Bug(
        "se-gate-of-first-sample",
        "The direct path takes the gate of the first sample for all samples.",
        SE, X, "s * dy", DX, "dx = _per_map(s[:1], x) * dy + _per_map(dm, x) / M",
    ),
    Bug(
        "se-gate-averaged-over-batch",
        "The direct path takes the gate's mean over the batch.",
        SE, X, "s * dy", DX, "dx = _per_map(s.mean(0, keepdims=True), x) * dy + _per_map(dm, x) / M",
    ),
    Bug(
        "se-sigmoid-derivative-missing",
        "The sigmoid's derivative s (1 - s) is left out.",
        SE, ALL, "activation derivative", DLOGITS, "dlogits = ds",
        incident="Bot-Academy/NeuralNetworkFromScratch pull request 3 (2023): the output layer's gradient lacks the "
        "derivative of the sigmoid. The network still learns.",
    ),
    Bug(
        "se-sigmoid-derivative-twice",
        "The sigmoid's derivative is multiplied in twice.",
        SE, ALL, "activation derivative", DLOGITS, "dlogits = ds * (s * (1 - s)) ** 2",
    ),
    Bug(
        "se-sigmoid-derivative-of-logits",
        "The sigmoid's derivative is taken as z (1 - z) of its input z.",
        SE, ALL, "activation derivative", DLOGITS, "z = np.log(s / (1 - s))\n    dlogits = ds * z * (1 - z)",
        incident="BoltzmannEntropy/interviews.ai issue 15 (2025): a printed solution stores x and returns x (1 - x).",
    ),
    Bug(
        "se-sigmoid-half",
        "The sigmoid's derivative lacks the factor 1 - s.",
        SE, ALL, "activation derivative", DLOGITS, "dlogits = ds * s",
    ),
    Bug(
        "se-relu-mask-missing",
        "The hidden units that relu had cut off get a gradient.",
        SE, FIRST, "activation derivative", DHIDDEN, "dhidden = dlogits @ w2.T",
    ),
    Bug(
        "se-relu-mask-of-gradient",
        "relu's mask is taken from the sign of the gradient, not of the hidden units.",
        SE, FIRST, "activation derivative", DHIDDEN, "dhidden = np.where((dlogits @ w2.T).real > 0, dlogits @ w2.T, 0)",
    ),
    Bug(
        "se-relu-overwrites",
        "relu's backward returns its derivative, 0 or 1, and drops what comes from above.",
        SE, FIRST, "activation derivative", DHIDDEN, "dhidden = np.where(hidden.real > 0, 1.0, 0)",
        incident="haifengl/smile issue 528 (2020): an assignment stood where a product was meant, so the rectifier "
        "overwrote the gradient from above.",
    ),
    Bug(
        "se-ds-without-x",
        "The gate's gradient is the sum of dy, without x.",
        SE, ALL, "without x", DS, "ds = dy.sum(_positions(x))",
    ),
    Bug(
        "se-ds-averaged",
        "The gate's gradient is a mean over the positions.",
        SE, ALL, "mean where a sum belongs", DS, "ds = (dy * x).mean(_positions(x))",
    ),
    Bug(
        "se-w2-before-relu",
        "dw2 is made with the hidden units before relu.",
        SE, ("w2",), "before the relu", RETURN, RETURN.replace("active.T", "hidden.T"),
    ),
    Bug(
        "se-b2-averaged",
        "The second bias gets a mean over the samples.",
        SE, ("b2",), "mean where a sum belongs", RETURN, RETURN.replace("dlogits.sum(0)", "dlogits.mean(0)"),
    ),
    Bug(
        "se-b1-without-samples",
        "The first bias gets the gradient of the last sample alone.",
        SE, ("b1",), "one sample", RETURN, RETURN.replace("dhidden.sum(0)", "dhidden[-1]"),
    ),
)  # fmt: skip

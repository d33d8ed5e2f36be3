"""Hold the running statistics of a batch normalization layer against the formula, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..gradcheck import Finding, Report
from ..validation import Array

TOLERANCE = 1e-12


def check_tracking(
    layer_class: Callable[..., Any],
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    *,
    decay: float,
    eps: float = 1e-5,
) -> Report:
    """Check one step in training and one in evaluation of a layer made by layer_class(channels, eps=, decay=, dtype=).

        running_mean = decay * running_mean + (1 - decay) * mean
        running_var = decay * running_var + (1 - decay) * var * n / (n - 1)        n values per channel, var biased
        y = gamma * (x - running_mean) / sqrt(running_var + eps) + beta            in evaluation, which changes nothing

    x: (N, C, H, W); all others: (C,). The evaluation is checked with the values that the layer itself has stored.
    Returns a Report with the names "running_mean", "running_var" and "y". Source: Ioffe & Szegedy 2015, arXiv
    1502.03167, algorithms 1 and 2.
    """
    layer = layer_class(x.shape[1], eps=eps, decay=decay, dtype=x.dtype)
    layer.params.update(gamma=gamma, beta=beta)
    layer.state.update(running_mean=running_mean.copy(), running_var=running_var.copy())
    layer.forward(x, train=True)
    stored = {name: value.copy() for name, value in layer.state.items()}
    y = layer.forward(x, train=False)

    moments = _moments(x)
    errors, findings = {}, []
    for name, old in (("running_mean", running_mean), ("running_var", running_var)):
        expected = decay * old + (1 - decay) * moments[name]
        errors[name] = _error(stored[name], expected)
        if not errors[name] <= TOLERANCE:
            words = _explain(stored[name], name, old, moments, x, decay, eps)
            findings.append(_finding(name, f"{name} {words}", stored[name], expected))
        elif not np.array_equal(stored[name], layer.state[name]):
            findings.append(_finding(name, f"{name} is updated in eval mode too", layer.state[name], stored[name]))
    expected = _evaluate(x, gamma, beta, stored["running_mean"], stored["running_var"] + eps)
    errors["y"] = _error(y, expected)
    if not errors["y"] <= TOLERANCE:
        batch = _evaluate(x, gamma, beta, x.mean((0, 2, 3)), _biased(x) + eps)
        words = "eval mode uses the batch's statistics" if _error(y, batch) < TOLERANCE else "eval mode is wrong"
        findings.append(_finding("y", f"y: {words}", y, expected))
    return Report(getattr(layer_class, "__name__", "layer"), "hand formula", errors, (), tuple(findings))


def _moments(x: Array) -> dict[str, Array]:
    count = x.size // x.shape[1]
    return {"running_mean": x.mean((0, 2, 3)), "running_var": _biased(x) * count / (count - 1)}


def _biased(x: Array) -> Array:
    return np.asarray(((x - x.mean((0, 2, 3), keepdims=True)) ** 2).mean((0, 2, 3)))


def _evaluate(x: Array, gamma: Array, beta: Array, mean: Array, var: Array) -> Array:
    mean, scale, beta = (p.reshape(1, -1, 1, 1) for p in (mean, gamma / np.sqrt(var), beta))
    return (x - mean) * scale + beta


def _error(value: Array, expected: Array) -> float:
    return float(np.abs(value - expected).max() / np.abs(expected).max())


def _explain(value: Array, name: str, old: Array, moments: dict[str, Array], x: Array, decay: float, eps: float) -> str:
    """Say what the layer has stored instead: the first of the usual mistakes that gives its value."""
    for words, mistaken in _mistakes(name, old, moments, x, decay, eps):
        if _error(value, mistaken) < TOLERANCE:
            return words
    return "is wrong, in no way that is known here"


def _mistakes(
    name: str, old: Array, moments: dict[str, Array], x: Array, decay: float, eps: float
) -> Iterator[tuple[str, Array]]:
    def mixed(value: Array) -> Array:
        return decay * old + (1 - decay) * value

    new = moments[name]
    yield "is not updated: the update is missing", old
    yield "takes decay for the share of the new value: decay and 1 - decay are swapped", (1 - decay) * old + decay * new
    yield "is replaced by the new value: the factor decay and the old value are missing", new
    yield "keeps all of the old value: the factor decay is missing", old + (1 - decay) * new
    yield "takes all of the new value: the factor 1 - decay is missing", decay * old + new
    yield "is updated twice in a step: the update is doubled", decay * mixed(new) + (1 - decay) * new
    if name == "running_mean":
        yield "stores the variance: mean and variance are permuted", mixed(moments["running_var"])
        return
    n, m = x.size // x.shape[1], x[0, 0].size
    biased = _biased(x)
    yield "stores the biased variance: the factor n/(n-1) is missing", mixed(biased)
    yield "stores the biased variance plus eps", mixed(biased + eps)
    yield "stores the unbiased variance plus eps", mixed(new + eps)
    yield "stores the unbiased form of the variance plus eps", mixed((biased + eps) * n / (n - 1))
    for count, words in ((len(x), "samples"), (m, "positions")):
        yield (
            f"has the factor n/(n-1) with n = {count}, the {words} alone, not {n}",
            mixed(biased * count / (count - 1)),
        )
    yield "has the factor n/(n-1) twice", mixed(new * n / (n - 1))
    yield "stores the standard deviation, not the variance", mixed(np.sqrt(new))
    yield "stores rstd = 1/sqrt(var + eps), not the variance", mixed(1 / np.sqrt(biased + eps))
    yield "stores the mean: mean and variance are permuted", mixed(moments["running_mean"])


def _finding(name: str, message: str, value: Array, expected: Array) -> Finding:
    return Finding(None, name, message, value, expected)

"""an_ref's side of the comparison, and how far two sets of results are apart."""

from typing import Any

import numpy as np

import an_ref
from an_ref import nn

from .cases import STEPS, WITHOUT_GRADIENT, Arrays, Case


def results(case: Case, dtype: type = np.float64, inputs: Arrays | None = None) -> Arrays:
    """an_ref's named results of a case, computed in ``dtype``."""
    made = case.inputs() if inputs is None else inputs
    arrays = {key: a if a.dtype.kind == "i" else a.astype(dtype) for key, a in made.items()}
    if case.op == "running_statistics":
        return running_statistics(**arrays, **case.hyper)
    if case.op == "sgd":
        return sgd(**arrays, **case.hyper)
    dy = arrays.pop("dy")
    y, cache = getattr(an_ref, case.op)(*arrays.values(), **case.hyper)
    gradients = getattr(an_ref, f"{case.op}_backward")(dy, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    names = [f"d{key}" for key in arrays if key not in WITHOUT_GRADIENT]
    return {"y": np.asarray(y)} | dict(zip(names, gradients, strict=True))


def running_statistics(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, **hyper: Any) -> Arrays:
    """State of nn.BatchNorm after each of three training batches, and its eval output then."""
    layer = nn.BatchNorm(len(gamma), **hyper, dtype=x.dtype.type)
    layer.params["gamma"], layer.params["beta"] = gamma, beta
    named: Arrays = {}
    for step in range(STEPS):
        named[f"y{step}"] = layer.forward(x[step], train=True)
        named |= {f"{key}{step}": a.copy() for key, a in layer.state.items()}
    return named | {"y_eval": layer.forward(x[0], train=False)}


def sgd(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dy: np.ndarray, **hyper: Any) -> Arrays:
    """weight and bias of nn.Linear after each step of nn.SGD, the learning rate halved after each."""
    layer = nn.Linear(*weight.shape, dtype=x.dtype.type)
    layer.params["weight"], layer.params["bias"] = weight.copy(), bias.copy()
    optimizer = nn.SGD(layer, **hyper)
    named: Arrays = {}
    for step in range(STEPS):
        layer.forward(x[step], train=True)
        layer.backward(dy[step])
        optimizer.step()
        optimizer.lr /= 2
        named |= {f"{key}{step}": a.copy() for key, a in layer.params.items()}
    return named


def disagreements(ours: Arrays, theirs: Arrays, tolerance: float, dtype: type = np.float64) -> list[str]:
    """One line for every result that is missing, has another shape or dtype, or is too far away.

    The error of a result is max|ours - theirs| over max|theirs|.
    """
    if ours.keys() != theirs.keys():
        return [f"an_ref returns {', '.join(ours)}; PyTorch returns {', '.join(theirs)}"]
    lines = []
    for key, value in theirs.items():
        if ours[key].shape != value.shape or ours[key].dtype != dtype:
            want = f"{value.shape} {np.dtype(dtype).name}"
            lines.append(f"{key}: expected {want}, got {ours[key].shape} {ours[key].dtype.name}")
            continue
        scale = np.max(np.abs(value), initial=np.finfo(dtype).tiny)
        error = np.max(np.abs(ours[key] - value), initial=0.0) / scale
        if not error <= tolerance:
            where = np.unravel_index(np.argmax(np.abs(ours[key] - value)), value.shape)
            at = f"at {tuple(map(int, where))} an_ref {ours[key][where]:.17g}, PyTorch {value[where]:.17g}"
            lines.append(f"{key}: relative error {error:.2e} > {tolerance:.0e}; {at}")
    return lines

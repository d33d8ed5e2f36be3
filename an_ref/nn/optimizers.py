"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import check_same_device, to_device, to_host, where_is
from ..validation import Array, check_fraction, check_number
from .layer import Layer, nearest


class SGD:
    """Stochastic gradient descent on all parameters of a layer, with momentum as PyTorch has it.

        g = grad + weight_decay * p
        velocity = momentum * velocity + g        (0 before the first step)
        p = p - lr * velocity                     nesterov: p - lr * (g + momentum * velocity)

    `no_decay` lists the parameters without weight decay: a whole key ("0.gamma") or its last part ("gamma",
    "bias"). Each step replaces parameters by fresh arrays, so an array that was assigned to one is never
    modified. `lr` can be set between steps; `velocity` holds what a checkpoint must keep. All of it is where the
    parameters are; when the layer is moved by layer.to, the velocity follows at the next step.

    Raises TypeError or ValueError for an lr that is not positive or not finite, a momentum outside [0, 1), a
    weight_decay that is negative or not finite, nesterov without momentum, and an entry of no_decay that matches no
    parameter.

    Source: Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning", in the form that
    PyTorch documents.
    """

    def __init__(
        self,
        layer: Layer,
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        no_decay: Sequence[str] = (),
    ) -> None:
        check_fraction("SGD", "momentum", momentum)
        check_number("SGD", "weight_decay", weight_decay)
        if not (np.isfinite(weight_decay) and weight_decay >= 0):
            raise ValueError(
                f"SGD: weight_decay must be finite and not negative, got {weight_decay}; 1e-4 is usual, 0 is none"
            )
        if nesterov and momentum == 0:
            raise ValueError("SGD: nesterov needs a momentum above 0, got 0; set momentum=0.9 or nesterov=False")
        self.layer = layer
        self.lr = lr
        self.momentum = float(momentum)
        self.weight_decay = float(weight_decay)
        self.nesterov = nesterov
        self._no_decay = _matching(list(layer.params), no_decay)
        self.velocity: dict[str, Array] = {}

    @property
    def lr(self) -> float:
        """The learning rate, above 0; writable."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        check_learning_rate("SGD", value)
        self._lr = float(value)

    def step(self) -> None:
        """Move every parameter by its gradient.

        Raises ValueError if a gradient is missing, has another shape than its parameter, or is complex where that is
        real; TypeError if it is on another device. Nothing has been changed then.
        """
        _check_gradients(self.layer)
        for key, p in self.layer.params.items():
            self.layer.params[key] = self._moved(key, p, self.layer.grads[key])

    def _moved(self, key: str, p: Array, g: Array) -> Array:
        if self.weight_decay and key not in self._no_decay:
            g = g + self.weight_decay * p
        velocity = self.velocity.get(key)
        if velocity is None or velocity.shape != p.shape:  # a parameter of another shape was assigned: it begins anew
            velocity = np.zeros_like(p)
        if where_is(velocity) != where_is(p):  # the layer was moved
            velocity = to_host(velocity) if isinstance(p, np.ndarray) else to_device(velocity)
        velocity = self.momentum * velocity + g
        self.velocity[key] = velocity
        direction = g + self.momentum * velocity if self.nesterov else velocity
        return (p - self.lr * direction).astype(p.dtype, copy=False)


def check_learning_rate(caller: str, lr: Any) -> None:
    """Raise unless `lr` is a finite number above 0."""
    check_number(caller, "lr", lr)
    if not (np.isfinite(lr) and lr > 0):
        raise ValueError(f"{caller}: lr must be positive and finite, got {lr}; 0.1 is usual with normalization")


def _matching(keys: list[str], entries: Sequence[str]) -> frozenset[str]:
    """Return the keys that an entry names: the whole key or what follows a dot."""
    if isinstance(entries, str):
        raise TypeError(f"SGD: no_decay must be a tuple of names, got {entries!r}; write no_decay=({entries!r},)")
    matches = {entry: {k for k in keys if k == entry or k.endswith(f".{entry}")} for entry in entries}
    for entry, found in matches.items():
        if not found:
            known = {k.rsplit(".", 1)[-1]: None for k in keys} | dict.fromkeys(keys)
            raise ValueError(f"SGD: no_decay names {entry!r}, which matches no parameter{nearest(entry, known)}")
    return frozenset().union(*matches.values())


def _check_gradients(layer: Layer) -> None:
    for key, p in layer.params.items():
        if key not in layer.grads:
            raise ValueError(f"SGD: no gradient for {key!r}{nearest(key, layer.grads)}; run forward and backward first")
        g = layer.grads[key]
        check_same_device("SGD", f"the gradient of {key!r}", g, p, than="the parameter")
        if g.shape != p.shape:
            raise ValueError(
                f"SGD: the gradient of {key!r} must have the parameter's shape {p.shape}, got {g.shape}; "
                f"run forward and backward again after assigning a parameter"
            )
        if not np.can_cast(g.dtype, p.dtype, "same_kind"):
            raise ValueError(
                f"SGD: the gradient of {key!r} has dtype {g.dtype}, its parameter {p.dtype}; run forward and backward "
                f"again on real arrays"
            )

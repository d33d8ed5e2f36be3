"""Find the layer in which the first number that is not finite appeared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import numpy as np

from ..nn import Layer
from ..validation import Array


class TrainingDiverged(RuntimeError):
    """A number of the training is not finite any more: nothing can be learned from there on."""


def all_finite(arrays: Mapping[str, Array]) -> Any:
    """Return whether every number of the arrays, such as `params` or `grads`, is finite: a bool where the arrays are.

    They are put into one array first: on a GPU, two kernels for each of a hundred small arrays would take longer.
    """
    if not arrays:
        return np.asarray(True)
    return np.isfinite(np.concatenate([array.ravel() for array in arrays.values()])).all()


def finite(arrays: Mapping[str, Array]) -> bool:
    """Return `all_finite` as a bool here, which waits for a GPU."""
    return bool(all_finite(arrays))


def blame_forward(model: Layer, x: Array, *, train: bool) -> str:
    """Run the forward again and say where the first value that is not finite came out."""
    if not finite(model.params):
        return blame_parameters(model)
    with _watched(model, "forward", lambda layer, y: np.isfinite(y).all()) as found:
        model.forward(x, train)
    if not found:
        return "the first value that is not finite is the loss itself: the logits of the last layer are too large"
    return f"the first value that is not finite came out of the forward of {found[0]}"


def blame_backward(model: Layer, dlogits: Array) -> str:
    """Run the backward again and say where the first gradient that is not finite came out."""
    with _watched(model, "backward", lambda layer, dx: np.isfinite(dx).all() and finite(layer.grads)) as found:
        model.backward(dlogits)
    return f"the first value that is not finite came out of the gradient of {found[0]}"


def blame_parameters(model: Layer) -> str:
    """Say which parameter is the first, in the order of the layers, that is not finite."""
    return _blame_arrays(model, "params", "parameter")


def blame_state(model: Layer) -> str:
    """Say which running statistic is the first, in the order of the layers, that is not finite."""
    return _blame_arrays(model, "state", "running statistic")


def _blame_arrays(model: Layer, where: Literal["params", "state"], what: str) -> str:
    for name, layer in model.named_layers():
        for key, array in getattr(layer, where).items():
            if not np.isfinite(array).all():
                return f"the first value that is not finite is in the {what} {key} of {_describe(name, layer)}"
    raise ValueError(f"divergence: every {what} is finite; ask only where one is not")


@contextmanager
def _watched(
    model: Layer, method: Literal["forward", "backward"], sound: Callable[[Layer, Array], Any]
) -> Iterator[list[str]]:
    """Note, in the order of the work, each layer whose `method` returns something that is not `sound`.

    Containers are watched too, after what is in them: a sum of two finite branches can be too large.
    """
    found: list[str] = []
    with ExitStack() as undo:
        for name, layer in _all_layers(model, ""):
            setattr(layer, method, _noting(name, layer, getattr(layer, method), sound, found))
            undo.callback(delattr, layer, method)  # the method of the class shows again
        with np.errstate(all="ignore"):
            yield found


def _noting(
    name: str, layer: Layer, method: Callable[..., Array], sound: Callable[[Layer, Array], Any], found: list[str]
) -> Callable[..., Array]:
    def noting(*arguments: Any, **keywords: Any) -> Array:
        result = method(*arguments, **keywords)
        if not sound(layer, result):
            found.append(_describe(name, layer))
        return result

    return noting


def _all_layers(layer: Layer, name: str) -> Iterator[tuple[str, Layer]]:
    """Yield (dotted name, layer) for the layer itself and for all inside it."""
    yield name, layer
    for key, child in layer.children.items():
        yield from _all_layers(child, f"{name}.{key}" if name else key)


def _describe(name: str, layer: Layer) -> str:
    return f"layer {name or 'of the whole net'} ({type(layer).__name__})"

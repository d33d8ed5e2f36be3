"""What every layer is: parameters, gradients, running statistics, a forward and a backward.

A *leaf* wraps one op and keeps its arrays in plain dicts. A *container* has children; its params, grads and
state are `Joined` views on theirs. Only layers have state: the ops below them are pure functions.
"""

from __future__ import annotations

import difflib
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any, ClassVar, Self

import numpy as np

from ..backend import check_device, to_device, to_host
from ..validation import Array

Ops = tuple[Callable[..., tuple[Array, Any]], Callable[..., Any]]  # an op and its backward


class Layer(ABC):
    """A function of x with parameters: y = forward(x), then dx = backward(dy).

    params     the parameters by name; writing into one, or assigning another array, counts from the next forward on
    grads      the gradient of each parameter by the same names, zeros until the first backward
    state      the running statistics by name
    children   the layers inside a container by name; empty for a leaf
    cache      what the op of a leaf kept at the last forward; None before it, and for containers

    fresh      whether y and dx are always new arrays that the layer does not keep, so that who gets them may write into
               them. A class must say so of itself: it is not inherited, as a subclass may keep what it returns
    """

    fresh: ClassVar[bool] = False

    def __init__(self, params: dict[str, Array] | None = None, state: dict[str, Array] | None = None) -> None:
        self.params: MutableMapping[str, Array] = params or {}
        self.grads: MutableMapping[str, Array] = {key: np.zeros_like(p) for key, p in self.params.items()}
        self.state: MutableMapping[str, Array] = state or {}
        self.children: dict[str, Layer] = {}
        self.cache: Any = None

    @abstractmethod
    def forward(self, x: Array, train: bool = True) -> Array:
        """Return y. With `train`, batch statistics are used and the running statistics are updated."""

    @abstractmethod
    def backward(self, dy: Array) -> Array:
        """Return dx for the last forward, and overwrite each entry of `grads` by a fresh array.

        Can be called again for the same forward. Raises RuntimeError without a forward before it.
        """

    def gives_fresh(self) -> bool:
        """Say whether this very class has declared itself fresh."""
        return bool(vars(type(self)).get("fresh", False))

    def __repr__(self) -> str:
        """Return the tree of layers: the parameters of each leaf with their shapes, of a container their number."""
        if not self.children:
            return f"{type(self).__name__}({', '.join(f'{key} {p.shape}' for key, p in self.params.items())})"
        count = sum(p.size for p in self.params.values())
        lines = [f"{name}: {child!r}" for name, child in self.children.items()]
        return f"{type(self).__name__} with {count:,} parameters\n" + textwrap.indent("\n".join(lines), "  ")

    def to(self, device: str) -> Self:
        """Move parameters, gradients and running statistics to "cpu" or "gpu", in place, and return this layer.

        The layer then takes x on that device. What the last forward kept is dropped: a backward needs a new forward.
        An optimizer follows at its next step. Raises ValueError for another word, backend.NoGpuError where there is no
        GPU; nothing has been moved then.
        """
        check_device(type(self).__name__, device)
        move = to_device if device == "gpu" else to_host
        for _, leaf in self.named_layers():
            for part in (leaf.params, leaf.grads, leaf.state):
                part.update({key: move(array) for key, array in part.items()})
            leaf.cache = None
        return self

    def named_layers(self) -> Iterator[tuple[str, Layer]]:
        """Yield (dotted name, leaf) for every leaf inside this layer; a leaf yields itself under the name ""."""
        if not self.children:
            yield "", self
        for name, child in self.children.items():
            for rest, leaf in child.named_layers():
                yield f"{name}.{rest}" if rest else name, leaf


class OpLayer(Layer):
    """A leaf: y = op(x, *params, **hyper).

    A subclass names the op with its backward in `ops`, and in `eval_ops` the pair for eval mode where that
    differs; its constructor passes the parameters in the op's order.
    """

    ops: ClassVar[Ops]
    eval_ops: ClassVar[Ops]

    def __init__(
        self, params: dict[str, Array] | None = None, state: dict[str, Array] | None = None, **hyper: Any
    ) -> None:
        super().__init__(params, state)
        self.hyper = hyper
        self._order = tuple(self.params)

    def forward(self, x: Array, train: bool = True) -> Array:
        """Return op(x, *params, **hyper); in eval mode a layer with running statistics passes them too."""
        self.cache = None  # a forward that fails leaves nothing that a later backward could mistake for its own
        running = {} if train else self.state
        op, self._backward = self.eval_ops if running else self.ops
        y, self.cache = op(x, *self._arrays(), **self.hyper, **running)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx and store the gradients of the parameters."""
        if self.cache is None:
            name = type(self).__name__
            raise RuntimeError(f"{name}: backward needs a forward before it; call forward(x), then backward(dy)")
        result = self._backward(dy, self.cache)
        dx: Array
        dx, *grads = result if isinstance(result, tuple) else (result,)
        self.grads.update(zip(self._order, grads, strict=True))
        return dx

    def _arrays(self) -> list[Array]:
        """The parameters in the op's order; a wrong key is found here, not silently passed over."""
        for key in set(self.params) ^ set(self._order):
            state = "unknown" if key in self.params else "missing"
            raise KeyError(f"{type(self).__name__}: params has the {state} key {key!r}{nearest(key, self._order)}")
        # Copies: writing into a parameter counts from the next forward on, not for the backward of this one.
        return [self.params[key].copy() for key in self._order]


class Joined(MutableMapping[str, Array]):
    """The dicts of several layers as one: "0.weight" is "weight" of the child "0".

    Nothing is copied: each access goes to the child that owns the array, so the view is never out of date.
    Keys are fixed: an unknown one is a KeyError, and none can be removed.
    """

    def __init__(self, children: dict[str, Layer], attribute: str) -> None:
        self._children = children
        self._attribute = attribute

    def __getitem__(self, key: str) -> Array:
        part, rest = self._find(key)
        return part[rest]

    def __setitem__(self, key: str, value: Array) -> None:
        part, rest = self._find(key)
        part[rest] = value

    def __delitem__(self, key: str) -> None:
        raise TypeError(f"{self._attribute}: {key!r} cannot be removed; assign another array instead")

    def __iter__(self) -> Iterator[str]:
        for name, part in self._parts():
            yield from (f"{name}.{key}" for key in part)

    def __len__(self) -> int:
        return sum(len(part) for _, part in self._parts())

    def __repr__(self) -> str:
        return f"{self._attribute} {{{', '.join(f'{key}: {value.shape}' for key, value in self.items())}}}"

    def _parts(self) -> Iterator[tuple[str, MutableMapping[str, Array]]]:
        for name, child in self._children.items():
            yield name, getattr(child, self._attribute)

    def _find(self, key: str) -> tuple[MutableMapping[str, Array], str]:
        """The child's mapping and the key in it."""
        name, _, rest = str(key).partition(".")
        if name in self._children:
            part = getattr(self._children[name], self._attribute)
            if rest in part:
                return part, rest
        raise KeyError(f"{self._attribute} has no key {key!r}{nearest(key, self)}")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the known word nearest to `word`, or if none is near all known words."""
    words = list(known)
    near = difflib.get_close_matches(str(word), words, n=1, cutoff=0.4)
    return f"; did you mean {near[0]!r}?" if near else f"; choose from {', '.join(map(repr, words)) or 'none'}"

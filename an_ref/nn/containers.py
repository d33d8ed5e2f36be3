"""Layers made of layers: one after the other, and a branch beside a shortcut."""

from __future__ import annotations

from ..validation import Array
from .layer import Joined, Layer


class Container(Layer):
    """A layer whose arrays live in its children.

    Raises TypeError if a child is not a layer, ValueError if a layer appears twice: its cache would be overwritten
    before its backward.
    """

    def __init__(self, **children: Layer) -> None:
        super().__init__()
        name = type(self).__name__
        for key, child in children.items():
            if not isinstance(child, Layer):
                raise TypeError(f"{name}: {key} must be a layer, got {child!r}; pass an instance, such as ReLU()")
        self.children = children
        leaves = [leaf for _, leaf in self.named_layers()]
        if len({id(leaf) for leaf in leaves}) < len(leaves):
            raise ValueError(f"{name}: the same layer appears twice; make a second one, as each keeps one cache")
        self.params = Joined(children, "params")
        self.grads = Joined(children, "grads")
        self.state = Joined(children, "state")


class Sequential(Container):
    """Layers in a row: y = f_n(... f_2(f_1(x))). Children are named "0", "1", ...

    Raises ValueError if no layer is given, and as every container does.
    """

    def __init__(self, *layers: Layer) -> None:
        if not layers:
            raise ValueError("Sequential: expected at least one layer, got none; pass layers in their order")
        super().__init__(**{str(i): layer for i, layer in enumerate(layers)})

    def forward(self, x: Array, train: bool = True) -> Array:
        """Return the last layer's y."""
        for layer in self.children.values():
            x = layer.forward(x, train)
        return x

    def backward(self, dy: Array) -> Array:
        """Return dx, going through the layers from the last to the first."""
        for layer in reversed(self.children.values()):
            dy = layer.backward(dy)
        return dy


class Residual(Container):
    """y = branch(x) + shortcut(x), or branch(x) + x without a shortcut (He et al. 2016, arXiv 1512.03385, eq. 1 and 2).

    Children are named "branch" and "shortcut". Backward: dx is the sum of both, since x goes into both. forward raises
    ValueError if the two results differ in shape.
    """

    def __init__(self, branch: Layer, shortcut: Layer | None = None) -> None:
        children = {"branch": branch} if shortcut is None else {"branch": branch, "shortcut": shortcut}
        super().__init__(**children)

    def forward(self, x: Array, train: bool = True) -> Array:
        """Return branch(x) + shortcut(x)."""
        y = self.children["branch"].forward(x, train)
        beside = self.children["shortcut"].forward(x, train) if "shortcut" in self.children else x
        if y.shape != beside.shape:
            raise ValueError(
                f"Residual: branch gives shape {y.shape}, shortcut gives {beside.shape}; make them equal, "
                f"for example by a 1x1 convolution with the branch's stride as the shortcut"
            )
        return y + beside

    def backward(self, dy: Array) -> Array:
        """Return the sum of the gradients that both ways give."""
        dx = self.children["branch"].backward(dy)
        return dx + (self.children["shortcut"].backward(dy) if "shortcut" in self.children else dy)

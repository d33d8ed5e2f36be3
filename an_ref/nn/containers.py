"""Layers made of layers: one after the other, and a branch whose result is added to x or stacked on it."""

from __future__ import annotations

import numpy as np

from ..backend import check_same_device
from ..validation import Array, check_upstream
from .basic import ReLU
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

    A ReLU writes into what the layer before it gives, if that is fresh (see Layer): nobody else ever sees it. The last
    layer does not, because its y is the caller's. On the way back it is the same with dy.

    Raises ValueError if no layer is given, and as every container does.
    """

    def __init__(self, *layers: Layer) -> None:
        if not layers:
            raise ValueError("Sequential: expected at least one layer, got none; pass layers in their order")
        super().__init__(**{str(i): layer for i, layer in enumerate(layers)})

    def forward(self, x: Array, train: bool = True) -> Array:
        """Return the last layer's y."""
        *inner, last = self.children.values()
        fresh = False
        for layer in inner:
            x = layer.forward_in_place(x) if fresh and type(layer) is ReLU else layer.forward(x, train)
            fresh = layer.gives_fresh()
        return last.forward(x, train)

    def backward(self, dy: Array) -> Array:
        """Return dx, going through the layers from the last to the first."""
        fresh = False
        for layer in reversed(self.children.values()):
            dy = layer.backward_in_place(dy) if fresh and type(layer) is ReLU else layer.backward(dy)
            fresh = layer.gives_fresh()
        return dy

    def gives_fresh(self) -> bool:
        """Say whether y, of the last layer, and dx, of the first, are fresh."""
        if type(self) is not Sequential:
            return super().gives_fresh()
        children = list(self.children.values())
        return children[0].gives_fresh() and children[-1].gives_fresh()


class Residual(Container):
    """y = branch(x) + shortcut(x), or branch(x) + x without a shortcut (He et al. 2016, arXiv 1512.03385, eq. 1 and 2).

    Children are named "branch" and "shortcut". Backward: dx is the sum of both, since x goes into both. forward raises
    ValueError if the two results differ in shape.
    """

    fresh = True

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
        check_same_device("Residual", "the shortcut", beside, y, than="the branch")
        return self._sum(y, beside)

    def backward(self, dy: Array) -> Array:
        """Return the sum of the gradients that both ways give."""
        dx = self.children["branch"].backward(dy)
        return self._sum(dx, self.children["shortcut"].backward(dy) if "shortcut" in self.children else dy)

    def _sum(self, own: Array, other: Array) -> Array:
        """Return own + other, in the place of the branch's `own` if that is fresh."""
        if self.children["branch"].gives_fresh() and own.dtype == np.result_type(own.dtype, other.dtype):
            return np.add(own, other, out=own)
        return own + other


class Concatenated(Container):
    """y = concat(x, branch(x)) along the channels (Huang et al. 2017, arXiv 1608.06993, equation 2).

    x is (N, C, ...), branch(x) is (N, k, ...) and y is (N, C + k, ...). The child is named "branch". Backward: x went
    into both parts, so dx is the first C channels of dy plus what the branch returns for the other k. forward raises
    ValueError if the branch changes more than the number of channels.
    """

    def __init__(self, branch: Layer) -> None:
        super().__init__(branch=branch)
        self._shapes: tuple[tuple[int, ...], int] | None = None  # of y, and C

    def forward(self, x: Array, train: bool = True) -> Array:
        """Return x and branch(x), one above the other."""
        self._shapes = None
        grown = self.children["branch"].forward(x, train)
        if grown.ndim != x.ndim or grown.shape[0] != x.shape[0] or grown.shape[2:] != x.shape[2:]:
            raise ValueError(
                f"Concatenated: branch gives shape {grown.shape} for x of shape {x.shape}; only the number of channels "
                f"may differ, for example a 3x3 convolution needs padding=1"
            )
        check_same_device("Concatenated", "the branch's result", grown, x)
        y = np.concatenate([x, grown], axis=1)
        self._shapes = y.shape, x.shape[1]
        return y

    def backward(self, dy: Array) -> Array:
        """Return the gradient through x itself plus the branch's. Raises RuntimeError without a forward before it."""
        if self._shapes is None:
            raise RuntimeError("Concatenated: backward needs a forward before it; call forward(x), then backward(dy)")
        shape, C = self._shapes
        check_upstream("Concatenated", dy, shape)
        return dy[:, :C] + self.children["branch"].backward(dy[:, C:])

"""What PyTorch calls each part of a net: the walk from a layer to its leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..nn.attention import AttentiveNorm, GatedNorm, SqueezeExcite
from ..nn.basic import Conv2d, Linear
from ..nn.containers import Residual, Sequential
from ..nn.layer import Layer
from ..nn.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, SwitchableNorm

Named = list[tuple[str, Layer]]

ROLES: dict[str, type[Layer] | tuple[type[Layer], ...]] = {
    "conv": Conv2d,
    "bn": (BatchNorm, GroupNorm, InstanceNorm, LayerNorm, SwitchableNorm, AttentiveNorm),
    "se": SqueezeExcite,
    "fc": Linear,
    "block": Residual,
}


def named_leaves(layer: Layer) -> Iterator[tuple[str, Layer]]:
    """Yield (PyTorch's dotted name, leaf) for every leaf; a leaf yields itself under the name ""."""
    if not layer.children:
        yield "", layer
    for name, child in _named_children(layer):
        for rest, leaf in named_leaves(child):
            yield join(name, rest), leaf


def join(*names: str) -> str:
    """Return the names with dots between them, without the empty ones."""
    return ".".join(filter(None, names))


def _named_children(layer: Layer) -> Named:
    """Return the parts of a container under PyTorch's names, or its own names where PyTorch has none."""
    named: Named = []
    if isinstance(layer, Residual):
        named = _block(layer)
    elif isinstance(layer, Sequential):
        named = _resnet(layer)
    return named or list(layer.children.items())


def _block(residual: Residual) -> Named:
    """Return conv1, bn1, conv2, ..., se and downsample; [] if the branch has other parts, or two gates."""
    named: Named = []
    numbers: Counter[str] = Counter()
    for part in _opened(residual.children["branch"]):
        role = _role(part)
        numbers[role] += 1
        if role in ("conv", "bn"):
            named.append((f"{role}{numbers[role]}", part))
        elif role:
            named.append((role, part))
    if set(numbers) - {"conv", "bn", "se", ""} or numbers["se"] > 1:
        return []
    return named + [("downsample", part) for key, part in residual.children.items() if key == "shortcut"]


def _resnet(net: Sequential) -> Named:
    """Return conv1, bn1, layer1.0, ..., fc; [] if the net is not a convolution, residual blocks and a linear layer.

    A block with a shortcut of its own begins the next stage: that is where the size changes.
    """
    named: Named = []
    stage = block = 0
    for part in net.children.values():
        role = _role(part)
        if role == "block":
            begins = stage == 0 or "shortcut" in part.children
            stage, block = (stage + 1, 0) if begins else (stage, block + 1)
            named.append((f"layer{stage}.{block}", part))
        elif role:
            named.append((f"{role}1" if role in ("conv", "bn") else role, part))
    names = [name for name, _ in named]
    around = [name for name in names if not name.startswith("layer")]
    before, after = names[: len(around) - 1], names[-1:]
    is_resnet = stage > 0 and before + after == around and around in (["conv1", "fc"], ["conv1", "bn1", "fc"])
    return named if is_resnet else []


def _role(part: Layer) -> str:
    """Return what part of a net it is, "" for one without arrays, "other" for one that PyTorch has no name for."""
    for role, kind in ROLES.items():
        if isinstance(part, kind):
            return role
    return "other" if part.params or part.state else ""


def _opened(branch: Layer) -> Iterator[Layer]:
    """Yield the parts of a branch; of a norm with its gate, both."""
    for part in branch.children.values() if isinstance(branch, Sequential) else [branch]:
        yield from part.children.values() if isinstance(part, GatedNorm) else [part]

"""to_torch and from_torch: the arrays of a layer in PyTorch's names and layouts."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, NamedTuple

import numpy as np

from ..backend import beside, to_host
from ..nn.attention import AttentiveNorm, SqueezeExcite
from ..nn.basic import Linear
from ..nn.layer import Layer, nearest
from ..validation import Array
from .names import join, named_leaves

# an_ref's key: PyTorch's name. A key that is not listed keeps its name.
AFFINE = {"gamma": "weight", "beta": "bias"}
GATE = {"w1": "fc1.weight", "b1": "fc1.bias", "w2": "fc2.weight", "b2": "fc2.bias"}
ATTENTIVE = AFFINE | {
    "running_mean": "norm.running_mean",
    "running_var": "norm.running_var",
    "mean_logits": "norm.mean_logits",
    "var_logits": "norm.var_logits",
    "attn_weight": "attention.fc.weight",
    "attn_bias": "attention.fc.bias",
    "attn_gamma": "attention.norm.weight",
    "attn_beta": "attention.norm.bias",
    "attn_running_mean": "attention.norm.running_mean",
    "attn_running_var": "attention.norm.running_var",
    "attn_w1": "attention.fc1.weight",
    "attn_b1": "attention.fc1.bias",
    "attn_w2": "attention.fc2.weight",
    "attn_b2": "attention.fc2.bias",
}
MATRICES = ("attn_weight", "attn_w1", "attn_w2")


class Entry(NamedTuple):
    """One name of a state dict: it is table[key], in one of these shapes there. The first one is written.

    With more than one shape, the array is a matrix (in, out) here and (out, in) or (out, in, 1, 1) there.
    """

    table: MutableMapping[str, Array]
    key: str
    shapes: tuple[tuple[int, ...], ...]

    @property
    def array(self) -> Array:
        """The array as the layer has it, on the CPU."""
        array: Array = to_host(self.table[self.key])
        return array

    @property
    def transposed(self) -> bool:
        """Whether the array is a matrix, which PyTorch has the other way round."""
        return len(self.shapes) > 1


def to_torch(layer: Layer) -> dict[str, Array]:
    """Return copies of the parameters and running statistics of `layer` in PyTorch's names and layouts.

    The names are those in `an_ref.interop`. A module of PyTorch's takes them so:

        module.load_state_dict({key: torch.from_numpy(array) for key, array in to_torch(layer).items()})
    """
    state: dict[str, Array] = {}
    for name, leaf in named_leaves(layer):
        for key, entry in _entries(name, leaf).items():
            array = entry.array.T if entry.transposed else entry.array
            state[key] = array.reshape(entry.shapes[0]).copy()
        state |= {key: np.array(0, np.int64) for key, written in _counters(name, leaf).items() if written}
    return state


def from_torch(layer: Layer, state: Mapping[str, Any]) -> None:
    """Put a state dict in PyTorch's names and layouts, with arrays or tensors as values, into `layer`.

    The names are those in `an_ref.interop`. Values are copied, and rounded to the dtype that the layer has. Raises
    ValueError for a missing or an unexpected key, a wrong shape, and a value too large for the layer's dtype; TypeError
    for a state that is no mapping and a value that is no array of floating-point numbers. Nothing has been changed
    then.
    """
    put("from_torch", layer, state)


def put(op: str, layer: Layer, state: Mapping[str, Any]) -> None:
    """Do as `from_torch` does, with `op` at the beginning of every error."""
    if not isinstance(state, Mapping):
        raise TypeError(f"{op}: state must map names to arrays, got {type(state).__name__}; pass module.state_dict()")
    entries: dict[str, Entry] = {}
    counters: dict[str, bool] = {}
    for name, leaf in named_leaves(layer):
        entries |= _entries(name, leaf)
        counters |= _counters(name, leaf)
    _check_keys(op, [key for key in state if key not in counters], list(entries))
    arrays = {key: _read(op, key, state[key], entry) for key, entry in entries.items()}
    for key, entry in entries.items():
        entry.table[entry.key] = beside(entry.table[entry.key], arrays[key])


def _check_keys(op: str, found: list[str], expected: list[str]) -> None:
    missing = [key for key in expected if key not in set(found)]
    unexpected = [key for key in found if key not in set(expected)]
    if unexpected:
        right = nearest(unexpected[0], missing) if missing else "; remove it, the layer has no such array"
        raise ValueError(f"{op}: unexpected key {unexpected[0]!r}{_and_more(unexpected)}{right}")
    if missing:
        raise ValueError(f"{op}: missing key {missing[0]!r}{_and_more(missing)}; add it, the layer has such an array")


def _and_more(keys: list[str]) -> str:
    return f" and {len(keys) - 1} more" if len(keys) > 1 else ""


def _read(op: str, key: str, value: Any, entry: Entry) -> Array:
    """Return `value` in the layer's layout and dtype, as a fresh array."""
    own = entry.array
    array = _as_array(op, key, value)
    if array.dtype.kind != "f":
        raise TypeError(f"{op}: {key!r} must have a floating-point dtype such as {own.dtype}, got {array.dtype}")
    if array.shape not in entry.shapes:
        shapes = " or ".join(map(str, entry.shapes))
        raise ValueError(f"{op}: {key!r} must have shape {shapes}, got {array.shape}; make both nets the same size")
    with np.errstate(over="ignore"):
        read = array.astype(own.dtype)
    if not np.array_equal(np.isfinite(read), np.isfinite(array)):
        raise ValueError(
            f"{op}: {key!r} holds a value beyond the range of the layer's {own.dtype}; make the layer {array.dtype}"
        )
    read = read.reshape(own.shape[::-1]).T if entry.transposed else read
    return np.ascontiguousarray(read)


def _as_array(op: str, key: str, value: Any) -> Array:
    """Return an array as it is, a tensor of PyTorch's as an array."""
    if hasattr(value, "detach"):
        try:
            value = value.detach().cpu().numpy()
        except (TypeError, RuntimeError) as error:  # bfloat16, for example
            raise TypeError(f"{op}: {key!r} is a tensor that NumPy cannot hold ({error}); pass its .float()") from error
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{op}: {key!r} must be an array or a tensor, got {type(value).__name__}")
    return value


def _entries(name: str, leaf: Layer) -> dict[str, Entry]:
    """Return the entries of one leaf by their full names."""
    names = GATE if isinstance(leaf, SqueezeExcite) else ATTENTIVE if isinstance(leaf, AttentiveNorm) else AFFINE
    return {
        join(name, names.get(key, key)): Entry(table, key, _shapes(leaf, key, table[key].shape))
        for table in (leaf.params, leaf.state)
        for key in table
    }


def _shapes(leaf: Layer, key: str, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the shapes that an array may have in a state dict, the one that is written first."""
    matrix, pointwise = shape[::-1], (*shape[::-1], 1, 1)
    if isinstance(leaf, SqueezeExcite) and len(shape) == 2:
        return pointwise, matrix
    if key in MATRICES or (isinstance(leaf, Linear) and len(shape) == 2):
        return matrix, pointwise
    return (shape,)


def _counters(name: str, leaf: Layer) -> dict[str, bool]:
    """Return the names of the counters beside running statistics, and whether they are written.

    They are where a BatchNorm of PyTorch's has them, so not for the statistics of SN, which PyTorch does not have.
    """
    switchable = "mean_logits" in leaf.params
    return {
        key.removesuffix("running_mean") + "num_batches_tracked": entry.key.startswith("attn_") or not switchable
        for key, entry in _entries(name, leaf).items()
        if entry.key.endswith("running_mean")
    }

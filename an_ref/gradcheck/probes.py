"""Runs of a pair (op, op_backward) on private copies, a look into caches, and comparisons: what purity.py builds on."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..validation import Array
from .derivatives import listed
from .report import Finding

DEPTH = 6  # how far into a cache arrays are looked for
OVERLAP_WORK: Any = 100_000  # effort that may go into deciding whether two arrays share memory


class RaisedError(Exception):
    """op or op_backward raised; `side` says which, the text is the error's own, on one line."""

    def __init__(self, side: str, error: Exception) -> None:
        text = " ".join(str(error).split())
        super().__init__(f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__)
        self.side = side


class Forward(NamedTuple):
    """One forward: private copies of the inputs by name, what op returned, and a copy of y."""

    inputs: dict[str, Array]
    y: Any
    cache: Any
    y_value: Array


@dataclass(frozen=True)
class Probe:
    """A pair (op, op_backward) with arrays to run it on. Every run gets copies of its own."""

    op: Callable[..., Any]
    op_backward: Callable[..., Any]
    arrays: tuple[Array, ...]
    hyper: dict[str, Any]
    dy: Array
    names: tuple[str, ...]

    @property
    def inputs(self) -> dict[str, Array]:
        """All arrays that op gets, by name: those in `arrays` and those among the keywords."""
        return dict(zip(self.names, self.arrays, strict=True)) | self.keywords

    @property
    def keywords(self) -> dict[str, Array]:
        """The arrays among the keywords."""
        return {name: value for name, value in self.hyper.items() if isinstance(value, np.ndarray) and _number(value)}

    def gradient_name(self, i: int) -> str:
        """Return what to call the i-th gradient."""
        return f"d{self.names[i]}" if i < len(self.names) else f"gradient {i}"

    def forward(self, change: Callable[[str, Array], Array] | None = None) -> Forward:
        """Run op on copies of the inputs, or on `change(name, array)` of each of `arrays`."""
        arrays = [a.copy() if change is None else change(n, a) for n, a in zip(self.names, self.arrays, strict=True)]
        keywords = {name: value.copy() for name, value in self.keywords.items()}
        try:
            result = self.op(*arrays, **(self.hyper | keywords))
            if not isinstance(result, tuple) or len(result) != 2:
                raise TypeError(f"it must return the pair (y, cache), got {type(result).__name__}")
            y_value = np.array(result[0])
        except Exception as error:
            raise RaisedError("op", error) from error
        return Forward(dict(zip(self.names, arrays, strict=True)) | keywords, *result, y_value)

    def backward(self, dy: Array, cache: Any) -> Any:
        """Run op_backward and return what it returned. It may write to `dy`: pass a copy."""
        try:
            return self.op_backward(dy, cache)
        except Exception as error:
            raise RaisedError("op_backward", error) from error

    def gradients(self, dy: Array, cache: Any) -> list[Array]:
        """Run op_backward on a copy of `dy` and return copies of its gradients."""
        return [numbers(g) for g in listed(self.backward(np.array(dy), cache))]

    def results(self, change: Callable[[str, Array], Array]) -> list[Array]:
        """Run both on changed inputs and a changed dy and return y and the gradients."""
        run = self.forward(change)
        return [run.y_value, *(numbers(g) for g in listed(self.backward(change("dy", self.dy), run.cache)))]

    @property
    def shakes(self) -> range:
        """How often to repeat a run with its inputs moved by their rounding: a few entries show little in one run."""
        return range(8 if self.dy.size > 64 else 48)

    @functools.cached_property
    def noise(self) -> list[float]:
        """How far y and each gradient move when inputs and dy move by about their own rounding."""
        runs = [self.results(functools.partial(_shake, k)) for k in self.shakes]
        return [max(gap(results[0], other) for other in results) for results in zip(*runs, strict=False)]


def numbers(value: Any) -> Array:
    """Return a copy of `value` as an array; an empty one if it holds no numbers."""
    try:
        array = np.array(value)
    except ValueError:
        return np.empty(0)
    return array if _number(array) else np.empty(0)


def _number(array: Array) -> bool:
    return array.dtype.kind in "fciub"


def shaken(array: Array, k: int) -> Array:
    """Return `array` moved by about its rounding, in the k-th way."""
    if array.dtype.kind not in "fc":
        return array.copy()
    change = np.finfo(array.dtype).eps * np.random.default_rng(k).uniform(-8, 8, array.shape)
    return np.asarray(array * (1 + change)).astype(array.dtype)


def _shake(k: int, name: str, array: Array) -> Array:
    return shaken(array, k)


def gap(a: Array, b: Array) -> float:
    """Return max|a - b| over the entries that are finite in both, inf if the shapes differ."""
    if a.shape != b.shape:
        return np.inf
    finite = np.isfinite(a) & np.isfinite(b)
    wide = np.complex128 if "c" in (a.dtype.kind, b.dtype.kind) else np.float64
    return float(np.abs(a.astype(wide) - b.astype(wide))[finite].max(initial=0))


def smallest(*arrays: Array) -> float:
    """Return the size below which the arrays' dtypes lose digits (0 for integers alone)."""
    return max((float(np.finfo(a.dtype).smallest_normal) for a in arrays if a.dtype.kind in "fc"), default=0.0)


def largest(*arrays: Array) -> float:
    """Return the largest finite absolute value."""
    return max(gap(a, np.zeros_like(a)) for a in arrays)


def unit(*arrays: Array) -> float:
    """Return the coarsest rounding unit of the arrays' dtypes (0 for integers alone)."""
    return max((float(np.finfo(a.dtype).eps) for a in arrays if a.dtype.kind in "fc"), default=0.0)


def same(a: Array, b: Array, tolerance: float) -> bool:
    """Whether a and b agree to `tolerance` times their largest entry, NaN and infinities included."""
    if a.shape != b.shape or (np.isfinite(a) != np.isfinite(b)).any():
        return False
    return gap(a, b) <= max(tolerance * largest(a, b), smallest(a, b) if tolerance else 0)


def repeated(a: Array, b: Array) -> bool:
    """Whether the same computation was done twice: sums on several threads may round differently, nothing more."""
    return same(a, b, 64 * unit(a, b))


def loose(*arrays: Array) -> float:
    """A tolerance for other orders of summation. It may be loose: what breaks there is wrong in the first digit."""
    return max(4 * unit(*arrays) ** 0.5, 1e-5)


def overlap(a: Any, b: Any) -> bool:
    """Whether two arrays share memory."""
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
        return False
    try:
        return np.shares_memory(a, b, max_work=OVERLAP_WORK)
    except np.exceptions.TooHardError:
        return False


def first_difference(a: Array, b: Array) -> tuple[tuple[int, ...], int] | None:
    """Return the first entry in which a and b differ and how many do; None if they are equal, NaN for NaN."""
    if a.shape != b.shape:
        return (), a.size
    different = (a != b) & ~((a != a) & (b != b))
    if not different.any():
        return None
    where = np.unravel_index(int(np.argmax(different)), a.shape)
    return tuple(int(i) for i in where), int(different.sum())


def reachable(value: Any, path: str = "cache", depth: int = DEPTH, seen: set[int] | None = None) -> dict[str, Array]:
    """Return the arrays inside a cache by their path: through tuples, lists, dicts, objects and closures."""
    seen = set() if seen is None else seen
    if isinstance(value, np.ndarray):
        return {path: value}
    if depth == 0 or id(value) in seen:
        return {}
    seen.add(id(value))
    found: dict[str, Array] = {}
    for step, child in _children(value):
        found |= reachable(child, path + step, depth - 1, seen)
    return found


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from ((f".{name}", getattr(value, name)) for name in value._fields)
    elif isinstance(value, (tuple, list)):
        yield from ((f"[{i}]", child) for i, child in enumerate(value))
    elif isinstance(value, Mapping):
        yield from ((f"[{key!r}]", child) for key, child in value.items())
    elif isinstance(value, functools.partial):
        yield from _children(value.args)
        yield from _children(value.keywords)
    elif isinstance(value, types.FunctionType):
        yield from ((f".{name}", child) for name, child in inspect.getclosurevars(value).nonlocals.items())
    elif isinstance(value, types.MethodType):
        yield from _children(value.__self__)
    elif not isinstance(value, (type, types.ModuleType, str, bytes)):
        slots = [name for kind in type(value).__mro__ for name in _slots(kind)]
        yield from ((f".{name}", getattr(value, name)) for name in slots if hasattr(value, name))
        yield from ((f".{name}", child) for name, child in getattr(value, "__dict__", {}).items())


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def blame(probe: Probe, changed: list[int], name: str, message: str) -> Finding:
    """Blame the argument if it is a single one."""
    if len(changed) == 1 and changed[0] < len(probe.names):
        return Finding(changed[0], probe.names[changed[0]], message)
    return Finding(None, name, message)


def listing(probe: Probe, indices: list[int]) -> str:
    """Return the names of these gradients, as words."""
    return joined([probe.gradient_name(i) for i in indices])


def joined(words: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)

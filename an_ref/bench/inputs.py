"""The inputs of a case, the same for everyone who has the same seed, and the right answers in float64."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np

from ..threads import spread
from ..validation import Array
from .plan import Case

OPS = {
    "bn": "batch_norm",
    "gn": "group_norm",
    "sn": "switchable_norm",
    "se": "squeeze_excite",
    "an": "attentive_norm",
}

NAMES = {
    "bn": ("gamma", "beta"),
    "gn": ("gamma", "beta"),
    "sn": ("gamma", "beta", "mean_logits", "var_logits"),
    "se": ("w1", "b1", "w2", "b2"),
    "an": ("gamma", "beta", "attn_weight", "attn_gamma", "attn_beta"),
}


CHUNK = 1 << 20  # numbers from one generator
LARGEST, SAMPLE = 1 << 24, 1 << 20  # of answers: larger ones are compared at so many places


def normal(shape: tuple[int, ...], *seed: int) -> Array:
    """Return standard normal numbers in float32. A chunk has a generator of its own, so that threads share the work."""
    numbers = np.empty(math.prod(shape), np.float32)

    def fill(i: int) -> None:
        chunk = numbers[i * CHUNK : (i + 1) * CHUNK]
        np.random.default_rng((*seed, i)).standard_normal(out=chunk, dtype=np.float32)

    spread(fill, range(-(-len(numbers) // CHUNK)))
    return numbers.reshape(shape)


def sample(array: Array) -> Array:
    """Return the array, or of a very large one a million numbers, at random places that are the same for everyone."""
    if array.size <= LARGEST:
        return array
    return np.ravel(array)[np.random.default_rng(0).integers(array.size, size=SAMPLE)]


def groups_of(case: Case) -> int:
    """32 groups, as the GN paper has it; 8 where a map has only 16 channels."""
    return 32 if case.shape[1] >= 32 else 8


def norm_hyper(case: Case) -> dict[str, Any]:
    """Return the keywords of the op of a norm."""
    return {"groups": groups_of(case)} if case.name == "gn" else {}


def norm_inputs(case: Case, seed: int) -> tuple[Array, Array, tuple[Array, ...]]:
    """Return x, dy and the parameters of a norm in float32."""
    rng = np.random.default_rng(seed)
    C, K = case.shape[1], case.mixtures
    x, dy = (normal(case.shape, seed, i) for i in range(2))
    x += np.float32(case.offset)

    def drawn(*shape: int, mean: float = 0.0, std: float = 0.1) -> Array:
        return (mean + std * rng.standard_normal(shape)).astype(np.float32)

    hidden = max(C // 4, 1)
    parameters = {
        "bn": lambda: (drawn(C, mean=1), drawn(C)),
        "gn": lambda: (drawn(C, mean=1), drawn(C)),
        "sn": lambda: (drawn(C, mean=1), drawn(C), drawn(3, std=1), drawn(3, std=1)),
        "se": lambda: (drawn(C, hidden), drawn(hidden, mean=1), drawn(hidden, C), drawn(C)),
        "an": lambda: (drawn(K, C, mean=1), drawn(K, C), drawn(C, K, std=1), drawn(K, mean=1), drawn(K)),
    }[case.name]()
    return x, dy, parameters


def conv_inputs(case: Case, seed: int) -> tuple[Array, Array, Array]:
    """Return x, dy and the weight of a convolution in float32; the padding keeps the size where the stride is 1."""
    rng = np.random.default_rng(seed)
    n, c, h, w = case.shape
    x = rng.standard_normal(case.shape, dtype=np.float32)
    dy = rng.standard_normal((n, case.out, -(-h // case.stride), -(-w // case.stride)), dtype=np.float32)
    weight = rng.standard_normal((case.out, c, case.kernel, case.kernel), dtype=np.float32)
    return x, dy, weight


def expected_norm(case: Case, seed: int, library: str = "an_ref.textbook") -> dict[str, Array]:
    """Return y, dx and the parameters' gradients in float64, by the textbook or another library."""
    x, dy, parameters = norm_inputs(case, seed)
    ops, op = import_module(library), OPS[case.name]
    wide = [p.astype(np.float64) for p in parameters]
    y, cache = getattr(ops, op)(x.astype(np.float64), *wide, **norm_hyper(case))
    gradients = getattr(ops, f"{op}_backward")(dy.astype(np.float64), cache)
    return {"y": y} | dict(zip(("dx", *("d" + name for name in NAMES[case.name])), gradients, strict=True))


def expected_conv(case: Case, seed: int) -> dict[str, Array]:
    """Return y, dx and dweight in float64: one matrix product for each place in the kernel."""
    x, dy, weight = (a.astype(np.float64) for a in conv_inputs(case, seed))
    pad, stride = case.kernel // 2, case.stride
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    y, dpadded, dweight = np.zeros_like(dy), np.zeros_like(padded), np.zeros_like(weight)
    for i in range(case.kernel):
        for j in range(case.kernel):
            here = np.s_[:, :, i : i + stride * dy.shape[2] : stride, j : j + stride * dy.shape[3] : stride]
            y += np.einsum("nchw,oc->nohw", padded[here], weight[:, :, i, j], optimize=True)
            dweight[:, :, i, j] = np.einsum("nchw,nohw->oc", padded[here], dy, optimize=True)
            dpadded[here] += np.einsum("nohw,oc->nchw", dy, weight[:, :, i, j], optimize=True)
    inner = np.s_[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]]
    return {"y": y, "dx": dpadded[inner], "dweight": dweight}


def errors(got: dict[str, Array], want: dict[str, Array]) -> dict[str, float]:
    """Return max |got - want| / max |want| of each array; not finite numbers are an infinite error."""
    found = {}
    for name, right in want.items():
        worst = np.abs(got[name].astype(np.float64) - right).max() / np.abs(right).max()
        found[name] = float(worst) if np.isfinite(worst) else float("inf")
    return found

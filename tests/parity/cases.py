"""The cases on which an_ref and PyTorch are compared, each declared once.

A case is an op, arrays made from a seed, and hyperparameters.  ``run_an_ref.results`` and
``run_torch.results`` turn a case into the same named results: ``y``, then ``dx``, ``dgamma``, ... under the
random cotangent ``dy``.  ``scripts/make_parity_values.py`` commits PyTorch's results; ``test_committed.py``
reads them back; ``test_live.py`` runs PyTorch itself, also on drawn cases made by the same builders.

Every number is exact in float32, so that a float32 run starts from the same inputs as a float64 run.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Shape = tuple[int, ...]
IntOrPair = int | tuple[int, ...]

WITHOUT_GRADIENT = ("labels", "running_mean", "running_var", "dy")
STEPS = 3  # updates of the running statistics, and steps of the optimizer

VECTORS, SEQUENCES, IMAGES, VOLUMES = (5, 6), (3, 6, 7), (3, 6, 4, 5), (2, 6, 2, 3, 3)


@dataclass(frozen=True)
class Case:
    """One op with its inputs; ``tolerance`` and ``tolerance32`` are relative to the largest value."""

    op: str
    make: Callable[[np.random.Generator], Arrays]  # the op's arrays in its own order, then dy
    hyper: dict[str, Any]
    shape: Shape
    note: str = ""
    tolerance: float = 1e-12
    tolerance32: float = 2e-6

    @property
    def name(self) -> str:
        """What pytest prints, and the key of the case in the file of values."""
        hyper = [f"{key}={value}" for key, value in self.hyper.items()]
        return joined(self.op, "x".join(map(str, self.shape)), *hyper, self.note)

    def inputs(self) -> Arrays:
        """The same arrays in every run; labels are integers, everything else is float64."""
        arrays = self.make(np.random.default_rng(zlib.crc32(self.name.encode())))
        return {key: a if a.dtype.kind == "i" else as_float32_exact(a) for key, a in arrays.items()}


def joined(*parts: str) -> str:
    return "-".join(filter(None, parts))


def as_float32_exact(a: np.ndarray) -> np.ndarray:
    return np.asarray(a, np.float32).astype(np.float64)


# Builders: also used by test_live.py with drawn arguments.


def norm(op: str, shape: Shape, *, offset: float = 0.0, note: str = "", **hyper: Any) -> Case:
    """A norm, training or eval; an offset of 1000 standard deviations asks for centred statistics."""
    c = shape[1]

    def make(rng: np.random.Generator) -> Arrays:
        arrays = {
            "x": offset + rng.normal(size=shape),
            "gamma": rng.normal(1, 0.5, size=c),
            "beta": rng.normal(size=c),
        }
        if op.endswith("_eval"):
            arrays |= {
                "running_mean": offset + rng.normal(size=c),
                "running_var": rng.uniform(0.5, 2, size=c),
            }
        return arrays | {"dy": rng.normal(size=shape)}

    if not offset:
        return Case(op, make, hyper, shape, note)
    # The condition number of x -> x - mu is offset / std = 1000: three digits are lost by right.
    return Case(op, make, hyper, shape, f"offset={offset:g}", tolerance=1e-10, tolerance32=3e-4)


def running_statistics(shape: Shape, *, note: str = "", **hyper: Any) -> Case:
    """A BatchNorm layer that sees three batches, each with another mean and spread, then one in eval."""
    c = shape[1]

    def make(rng: np.random.Generator) -> Arrays:
        spread = np.arange(1, STEPS + 1).reshape(-1, *[1] * len(shape))
        x = spread * (2 + rng.normal(size=(STEPS, *shape)))
        return {"x": x, "gamma": rng.normal(1, 0.5, size=c), "beta": rng.normal(size=c)}

    return Case("running_statistics", make, hyper, shape, note)


def convolution(shape: Shape, weight: Shape, *, bias: bool, note: str = "", **hyper: Any) -> Case:
    """conv2d of an image batch with ``weight`` of shape (out, in/groups, kh, kw)."""

    def make(rng: np.random.Generator) -> Arrays:
        arrays = {"x": rng.normal(size=shape), "weight": rng.normal(size=weight)}
        if bias:
            arrays["bias"] = rng.normal(size=weight[0])
        outer = window_counts(shape[2:], weight[2:], hyper.get("stride", 1), hyper.get("padding", 0))
        return arrays | {"dy": rng.normal(size=(shape[0], weight[0], *outer))}

    kernel = joined("x".join(map(str, weight)), "bias" if bias else "")
    return Case("conv2d", make, hyper, shape, joined(kernel, note))


def pooling(op: str, shape: Shape, *, values: str = "", note: str = "", **hyper: Any) -> Case:
    """A pooling; ``values`` "ties" has few different numbers, "negative" none that beats a zero padding."""

    def make(rng: np.random.Generator) -> Arrays:
        x = rng.normal(size=shape)
        x = {"": x, "ties": np.round(x), "negative": x - 10}[values]
        size, padding = hyper["size"], hyper.get("padding", 0)
        outer = window_counts(shape[2:], size, hyper.get("stride", size), padding)
        return {"x": x, "dy": rng.normal(size=(*shape[:2], *outer))}

    return Case(op, make, hyper, shape, joined(values, note))


def elementwise(
    op: str, shape: Shape, *, scale: float = 1.0, offset: float = 0.0, note: str = "", **hyper: int
) -> Case:
    """An activation; the first seven values are kinks and saturated ones, except for softmax."""

    def make(rng: np.random.Generator) -> Arrays:
        x = offset + scale * rng.normal(size=shape)
        if op != "softmax":
            x.flat[:7] = 0.0, -0.0, -3.0, 3.0, -30.0, 30.0, -800.0
        return {"x": x, "dy": rng.normal(size=shape)}

    return Case(op, make, hyper, shape, joined(f"scale={scale:g}", f"offset={offset:g}", note))


def loss(shape: Shape, *, scale: float = 1.0, note: str = "", **hyper: float) -> Case:
    """softmax_cross_entropy, the mean over (N, K) logits."""

    def make(rng: np.random.Generator) -> Arrays:
        return {
            "logits": scale * rng.normal(size=shape),
            "labels": rng.integers(shape[1], size=shape[0]),
            "dy": rng.normal(size=()),
        }

    return Case("softmax_cross_entropy", make, hyper, shape, joined(f"scale={scale:g}", note))


def linear(shape: Shape, out: int, *, bias: bool, note: str = "") -> Case:
    """x @ weight + bias with weight (in, out); PyTorch's weight is (out, in)."""

    def make(rng: np.random.Generator) -> Arrays:
        arrays = {"x": rng.normal(size=shape), "weight": rng.normal(size=(shape[-1], out))}
        if bias:
            arrays["bias"] = rng.normal(size=out)
        return arrays | {"dy": rng.normal(size=(*shape[:-1], out))}

    return Case("linear", make, {}, shape, joined(f"to={out}", "bias" if bias else "", note))


def global_average(shape: Shape, *, note: str = "") -> Case:
    """The mean of each map: (N, C, H, W) to (N, C)."""

    def make(rng: np.random.Generator) -> Arrays:
        return {"x": rng.normal(size=shape), "dy": rng.normal(size=shape[:2])}

    return Case("global_avg_pool2d", make, {}, shape, note)


def sgd(**hyper: Any) -> Case:
    """Three steps of SGD on a linear layer; each step has its own batch, cotangent and learning rate."""
    n, c, out = 5, 4, 3

    def make(rng: np.random.Generator) -> Arrays:
        return {
            "x": rng.normal(size=(STEPS, n, c)),
            "weight": rng.normal(size=(c, out)),
            "bias": rng.normal(size=out),
            "dy": rng.normal(size=(STEPS, n, out)),
        }

    return Case("sgd", make, hyper, (n, c, out))


def window_counts(image: Shape, size: IntOrPair, stride: IntOrPair, padding: IntOrPair) -> Shape:
    """Height and width of the output of a convolution or a pooling."""
    pairs = (v if isinstance(v, tuple) else (v, v) for v in (size, stride, padding))
    return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(image, *pairs, strict=True))


# The committed cases.


def _norm_cases() -> list[Case]:
    ranks = (VECTORS, SEQUENCES, IMAGES, VOLUMES)
    cases = [norm(op, s) for op in ("batch_norm", "batch_norm_eval", "layer_norm") for s in ranks]
    cases += [norm("instance_norm", s) for s in ranks[1:]]  # PyTorch takes no (N, C) here: one value per map
    cases += [norm("group_norm", IMAGES, groups=g) for g in (1, 2, 3, 6)]
    cases += [norm("group_norm", s, groups=2) for s in (VECTORS, SEQUENCES, VOLUMES)]
    for op in ("batch_norm", "batch_norm_eval", "layer_norm", "instance_norm", "group_norm"):
        groups: dict[str, Any] = {"groups": 3} if op == "group_norm" else {}
        cases += [norm(op, SEQUENCES, **groups, eps=0.1), norm(op, SEQUENCES, **groups, offset=1000.0)]
    cases += [running_statistics(s, decay=0.9) for s in ranks]
    return [*cases, running_statistics(IMAGES, decay=0.5, eps=0.1)]


def _convolution_cases() -> list[Case]:
    x, cases = (2, 4, 6, 5), []
    for i, (groups, stride, padding) in enumerate(product((1, 2, 4), (1, 2, 3), (0, 1, 2))):
        weight = (4, 4 // groups, 3, 3)
        cases.append(convolution(x, weight, bias=i % 2 == 0, stride=stride, padding=padding, groups=groups))
    cases += [convolution(x, (3, 4, 1, 1), bias=b, stride=s) for b, s in ((True, 1), (False, 2))]
    cases += [convolution(x, (3, 4, 5, 5), bias=b, stride=s, padding=2) for b, s in ((True, 1), (False, 2))]
    cases += [convolution(x, (3, 4, 1, 3), bias=True), convolution(x, (3, 4, 3, 1), bias=False, padding=1)]
    cases += [convolution(x, (8, 1, 3, 3), bias=True, stride=2, padding=1, groups=4)]  # two filters a channel
    cases += [convolution(x, (6, 2, 1, 3), bias=False, stride=2, padding=1, groups=2)]
    cases += [convolution(x, (3, 4, 3, 2), bias=True, stride=(2, 1), padding=(0, 2))]
    cases += [convolution(x, (4, 1, 2, 3), bias=True, stride=(1, 3), padding=(2, 1), groups=4)]
    return [*cases, convolution(x, (3, 4, 6, 5), bias=True)]  # one window, the whole image


def _pooling_cases() -> list[Case]:
    windows: list[dict[str, Any]] = [
        {"size": 2},
        {"size": 3},  # 6 x 5: rows and columns are left over
        {"size": 3, "stride": 2, "padding": 1},
        {"size": 3, "stride": 1, "padding": 1},
        {"size": 2, "stride": 1, "padding": 1},
        {"size": 1, "stride": 2},
        {"size": 2, "stride": 3, "padding": 1},
        {"size": (3, 2), "stride": (1, 2), "padding": (1, 0)},
        {"size": (2, 4), "stride": (1, 3), "padding": (1, 2)},
    ]
    x = (2, 3, 6, 5)
    cases = [pooling("max_pool2d", x, values=v, **w) for v, w in product(("", "ties", "negative"), windows)]
    return cases + [pooling("avg_pool2d", x, **w) for w in windows] + [global_average(x)]


def _small_cases() -> list[Case]:
    cases = [linear((5, 4), 3, bias=bias) for bias in (True, False)]
    cases += [elementwise(op, (4, 7), scale=3.0) for op in ("relu", "relu6", "sigmoid", "hsigmoid")]
    cases += [elementwise("softmax", (3, 4, 2, 3), axis=axis) for axis in (0, 1, 2, 3, -1, -3)]
    cases += [elementwise("softmax", (4, 7)), elementwise("softmax", (4, 7), offset=1000.0)]
    smoothings = (0.0, 0.1, 1 - 2.0**-52)
    cases += [loss((6, 5), scale=s, label_smoothing=e) for s, e in product((1.0, 1000.0), smoothings)]
    settings: list[dict[str, Any]] = [
        {"momentum": 0.0},
        {},
        {"nesterov": True},
        {"weight_decay": 0.1},
        {"momentum": 0.0, "weight_decay": 0.1},
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
        {"weight_decay": 0.1, "no_decay": ("bias",)},
    ]
    return cases + [sgd(lr=0.1, **setting) for setting in settings]


CASES = _norm_cases() + _convolution_cases() + _pooling_cases() + _small_cases()

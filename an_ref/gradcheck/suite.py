"""What `an-ref check` checks: every op, all 135 combinations of attentive_norm, and every layer of an_ref.nn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

import an_ref

from .. import attention, nn, variants
from ..validation import Array
from .check import check_gradients, check_layer
from .report import Report

N, C, K, GROUPS = 3, 4, 3, 2
SIZES = {"C": C, "K": K, "H": 2 * K}

Case = tuple[str, tuple[Array, ...], dict[str, Any]]


def check_all() -> Iterator[tuple[str, Report]]:
    """Yield (name, Report) for each op; for attentive_norm one line per statistics, the worst of its combinations.

    Small random inputs from a fixed seed, random cotangents, complex step. The attention arrays are small, so that no
    softmax saturates: where a weight is 1 - 1e-10, rounding leaves its derivative few digits, analytic and numeric.
    """
    cases = all_cases(np.random.default_rng(0))
    for name, group in itertools.groupby(cases, lambda case: ", ".join(filter(None, _group(case)))):
        yield name, max((_check(*case) for case in group), key=lambda report: (not report.ok, report.max_error))


def _group(case: Case) -> tuple[str, str]:
    return case[0], case[2].get("standardize", "")


def all_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Yield the name of an op, arrays and hyper: one case for each op, 135 for attentive_norm, and so for its eval."""
    yield from (*_norm_cases(rng), *_other_cases(rng))
    for name in ("attentive_norm", "attentive_norm_eval"):
        for standardize in variants.STATISTICS:
            for arrays, hyper in attentive_cases(rng, standardize, name.endswith("eval")):
                yield name, arrays, hyper


def check_layers() -> Iterator[tuple[str, Report]]:
    """Yield (name, Report) for each layer of an_ref.nn, and again in eval mode for those with running statistics.

    Parameters and running statistics are moved off their start, where gradients can vanish by symmetry.
    """
    rng = np.random.default_rng(1)
    for layer in _layers(rng):
        x = rng.standard_normal((N, 5) if isinstance(layer, nn.Linear) else (N, C, 5, 4))
        for values in (layer.params, layer.state):
            for key, value in values.items():
                values[key] = value + 0.3 * rng.random(value.shape)
        name = f"nn.{type(layer).__name__}"
        yield name, check_layer(layer, x)
        if layer.state:
            yield f"{name}, eval", check_layer(layer, x, train=False)


def _layers(rng: np.random.Generator) -> list[nn.Layer]:
    double: dict[str, Any] = {"rng": rng, "dtype": np.float64}
    norm, gate = nn.BatchNorm(C, **double), nn.SqueezeExcite(C, reduction=2, **double)
    branch = nn.Sequential(nn.Conv2d(C, C, size=3, padding=1, **double), nn.LayerNorm(C, **double), nn.ReLU())
    return [
        nn.BatchNorm(C, **double),
        nn.LayerNorm(C, **double),
        nn.InstanceNorm(C, **double),
        nn.GroupNorm(C, groups=GROUPS, **double),
        nn.SwitchableNorm(C, **double),
        nn.SqueezeExcite(C, reduction=2, **double),
        nn.GatedNorm(norm, gate),
        nn.AttentiveNorm(C, mixtures=K, **double),
        nn.Conv2d(C, 6, size=3, stride=2, padding=1, groups=2, **double),
        nn.Linear(5, 4, **double),
        *(make(**double) for make in (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.HSigmoid)),
        nn.Softmax(axis=1, **double),
        nn.MaxPool2d(3, stride=2, padding=1, **double),
        nn.AvgPool2d(3, stride=2, padding=1, **double),
        nn.GlobalAvgPool2d(**double),
        nn.Residual(branch),
        nn.Concatenated(nn.Sequential(nn.BatchNorm(C, **double), nn.ReLU(), nn.Conv2d(C, 2, size=1, **double))),
        nn.Sequential(nn.Conv2d(C, C, size=1, **double), nn.BatchNorm(C, **double), nn.HSigmoid()),
    ]


def _check(name: str, arrays: tuple[Array, ...], hyper: dict[str, Any]) -> Report:
    return check_gradients(getattr(an_ref, name), getattr(an_ref, f"{name}_backward"), arrays, hyper=hyper)


def _norm_cases(rng: np.random.Generator) -> list[Case]:
    def r(*shape: int) -> Array:
        return rng.standard_normal(shape)

    x, running = r(N, C, 2, 3), (r(C), r(C) ** 2 + 0.5)
    return [
        ("batch_norm", (x, r(C), r(C)), {}),
        ("batch_norm_eval", (x, r(C), r(C), *running), {}),
        ("layer_norm", (x, r(C), r(C)), {}),
        ("instance_norm", (x, r(C), r(C)), {}),
        ("group_norm", (x, r(C), r(C)), {"groups": GROUPS}),
        ("switchable_norm", (x, r(C), r(C), r(3), r(3)), {}),
        ("switchable_norm_eval", (x, r(C), r(C), r(3), r(3), *running), {}),
        ("squeeze_excite", (x, r(C, 2), r(2), r(2, C), r(C)), {}),
    ]


def _other_cases(rng: np.random.Generator) -> list[Case]:
    def r(*shape: int) -> Array:
        return rng.standard_normal(shape)

    x = r(2, C, 5, 4)
    return [
        ("conv2d", (x, r(6, C // 2, 3, 3), r(6)), {"stride": 2, "padding": 1, "groups": 2}),
        ("linear", (r(N, 5), r(5, 4), r(4)), {}),
        ("relu", (r(N, 5),), {}),
        ("relu6", (6 * r(N, 5),), {}),
        ("sigmoid", (r(N, 5),), {}),
        ("hsigmoid", (3 * r(N, 5),), {}),
        ("softmax", (r(N, 5),), {}),
        ("max_pool2d", (x,), {"size": 3, "stride": 2, "padding": 1}),
        ("avg_pool2d", (x,), {"size": 3, "stride": 2, "padding": 1}),
        ("global_avg_pool2d", (x,), {}),
        ("softmax_cross_entropy", (r(N, 5), rng.integers(0, 5, N)), {"label_smoothing": 0.1}),
    ]


def attentive_cases(
    rng: np.random.Generator, standardize: str, evaluate: bool = False
) -> Iterator[tuple[tuple[Array, ...], dict[str, Any]]]:
    """Yield arrays and hyper for the 27 attention variants of one of the five statistics."""

    def r(*shape: int) -> Array:
        return rng.standard_normal(shape)

    choices = itertools.product(attention.DESCRIPTORS, attention.TRANSFORM_ARRAYS, attention.ACTIVATIONS)
    for descriptor, transform, activation in choices:
        axes = attention.TRANSFORM_ARRAYS[transform].values()
        arrays = [r(N, C, 2, 2), r(K, C), r(K, C), *(r(*(SIZES[i] for i in letters)) / 2 for letters in axes)]
        if standardize == "switchable":
            arrays += [r(3), r(3)]
        if evaluate and standardize in variants.OVER_BATCH:
            arrays += [r(C), r(C) ** 2 + 0.5]
            if transform == "linear_norm":
                arrays += [r(K), r(K) ** 2 + 0.5]
        groups = {"groups": GROUPS} if standardize == "group" else {}
        names = {"descriptor": descriptor, "transform": transform, "activation": activation}
        yield tuple(arrays), {"standardize": standardize, **groups, **names}

"""The variants of attentive_norm: which functions a choice of names stands for, and checks of its arguments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from . import attention
from .norms import check_logits
from .statistics import (
    Statistics,
    constant,
    over_batch,
    over_group,
    over_instance,
    over_layer,
    pool,
    single,
    switchable,
)
from .sweeps import positions
from .validation import (
    Array,
    check_array,
    check_choice,
    check_count,
    check_feature_map,
    check_groups,
    check_not_empty,
    check_parameters,
)

STATISTICS = ("batch", "group", "layer", "instance", "switchable")
OVER_BATCH = (
    "batch",
    "switchable",
)  # the statistics beside which linear_norm normalizes the logits over the batch


class Plan(NamedTuple):
    """The functions of one variant: statistics, pairs of forward and backward, and how many arrays transform takes."""

    statistics: Callable[..., Statistics]
    descriptor: attention.Pair
    transform: attention.Pair
    activation: attention.Pair
    arrays: int


def choose(
    standardize: str,
    groups: int | None,
    descriptor: str,
    transform: str,
    activation: str,
    of_x: tuple[Array, ...] = (),
    of_logits: tuple[Array, ...] = (),
) -> Plan:
    """Choose the functions by name; `of_x` and `of_logits` are running statistics (mean, variance), for evaluation."""
    return Plan(
        _statistics(standardize, groups if standardize == "group" else None, of_x),
        attention.DESCRIPTORS[descriptor],
        _transform(transform, standardize, of_logits),
        attention.ACTIVATIONS[activation],
        len(attention.TRANSFORM_ARRAYS[transform]),
    )


def _statistics(standardize: str, groups: int | None, running: tuple[Array, ...]) -> Callable[..., Statistics]:
    if standardize == "switchable":
        return partial(switchable, running=running)
    averages = {"batch": over_batch, "layer": over_layer, "instance": over_instance}
    average = averages[standardize] if groups is None else over_group(groups)
    return lambda m, v: single(constant(running, m) if running else pool(m, v, average))


def _transform(transform: str, standardize: str, running: tuple[Array, ...]) -> attention.Pair:
    average = over_batch if standardize in OVER_BATCH else over_layer

    def norm(logits: Array) -> Statistics:
        return single(constant(running, logits) if running else pool(logits, np.zeros_like(logits), average))

    pairs: dict[str, attention.Pair] = {
        "linear": (attention.affine_logits, attention.affine_logits_backward),
        "linear_norm": (partial(attention.linear_norm, statistics=norm), attention.linear_norm_backward),
        "mlp": (attention.mlp, attention.mlp_backward),
    }
    return pairs[transform]


def check_variant(
    op: str, x: Any, standardize: Any, groups: Any, descriptor: Any, transform: Any, activation: Any
) -> None:
    """Raise unless x is a feature map and the names are known and fit it."""
    check_feature_map(op, x)
    check_choice(op, "standardize", standardize, STATISTICS)
    check_choice(op, "descriptor", descriptor, attention.DESCRIPTORS)
    check_choice(op, "transform", transform, attention.TRANSFORM_ARRAYS)
    check_choice(op, "activation", activation, attention.ACTIVATIONS)
    if standardize == "group":
        if groups is None:
            raise ValueError(
                f'{op}: standardize="group" needs groups; pass a number that divides {x.shape[1]} channels'
            )
        check_groups(op, x.shape[1], groups)
    if descriptor == "mean_over_std" and positions(x) == 1:
        raise ValueError(
            f"{op}: mean_over_std needs more than one position per map, got x of shape {x.shape}; "
            f'choose descriptor="mean"'
        )


def check_arrays(
    op: str, x: Array, gamma: Any, beta: Any, arrays: tuple[Any, ...], standardize: str, transform: str
) -> dict[str, int]:
    """Check all arrays that have a gradient; return the sizes C, K and H = 2K."""
    axes = attention.TRANSFORM_ARRAYS[transform]
    logits = ("mean_logits", "var_logits") if standardize == "switchable" else ()
    check_count(op, arrays, (*axes, *logits), after="beta")
    check_array(op, "gamma", gamma)
    if gamma.ndim != 2:
        raise ValueError(
            f"{op}: gamma must have shape (K, C), got {gamma.shape}; pass one row for each of the K mixtures"
        )
    check_not_empty(op, "gamma", gamma)
    sizes = {"C": x.shape[1], "K": len(gamma), "H": 2 * len(gamma)}
    check_parameters(op, {"gamma": "KC", "beta": "KC"}, (gamma, beta), sizes, x)
    check_parameters(op, axes, arrays[: len(axes)], sizes, x)
    if logits:
        check_logits(op, *arrays[len(axes) :], beside=x)
    return sizes


def parameter_count(standardize: str, transform: str) -> int:
    """Return how many arrays with a gradient follow gamma and beta."""
    return len(attention.TRANSFORM_ARRAYS[transform]) + 2 * (standardize == "switchable")


def running_axes(standardize: str, transform: str, arrays: tuple[Array, ...]) -> dict[str, str]:
    """Return the names and axes of the running statistics that a variant needs in evaluation."""
    axes: dict[str, str] = {}
    if standardize == "batch" or (standardize == "switchable" and len(arrays[-1]) == 3):
        axes |= {"running_mean": "C", "running_var": "C"}
    if standardize in OVER_BATCH and transform == "linear_norm":
        axes |= {"attn_running_mean": "K", "attn_running_var": "K"}
    return axes


def pick_running(op: str, needed: dict[str, str], after: tuple[Any, ...], named: dict[str, Any]) -> tuple[Array, ...]:
    """Return the running statistics that are needed, passed in order after the other arrays or by name."""
    if after:
        check_count(op, after, tuple(needed), after="the arrays with a gradient")
        return after
    missing = [name for name in needed if named[name] is None]
    if missing:
        raise TypeError(f"{op}: {', '.join(missing)} missing; pass {' and '.join(needed)} by name")
    return tuple(named[name] for name in needed)


def array_names(hyper: dict[str, Any]) -> list[str]:
    """Return the names of the arrays behind beta for these keywords of attentive_norm, for reports."""
    names = list(attention.TRANSFORM_ARRAYS.get(hyper.get("transform", "linear_norm"), ()))
    names += ["mean_logits", "var_logits"] * (hyper.get("standardize") == "switchable")
    return [*names, "running_mean", "running_var", "attn_running_mean", "attn_running_var"]

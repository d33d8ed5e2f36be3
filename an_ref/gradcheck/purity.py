"""Faults of a pair (op, op_backward) beyond wrong numbers: side effects, caches that break, gradients of a wrong form.

About six forwards and nine backwards, each on private copies; more only where something seems to be wrong. Each fault
is reported once: a check whose ground a worse fault has taken away is left out.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..validation import Array
from .behaviour import consumed, differing, harmed_by_y, not_repeatable, overwrite, shared_state
from .derivatives import listed
from .probes import Forward, Probe, RaisedError, first_difference, numbers, overlap, reachable
from .report import Finding
from .variations import linear, strides

Changes = dict[str, str]  # name -> which entries an op changed, in words


class Run(NamedTuple):
    """One forward and one backward, and what each of them changed."""

    forward: Forward
    dy: Array
    gradients: list[Any]
    values: list[Array]  # copies of the gradients, empty where there are no numbers
    by_forward: Changes
    by_backward: Changes
    in_cache: dict[str, Array]  # the arrays that the cache held before the backward, by path
    again: list[Any] | RaisedError  # gradients of a second backward on the same cache, after a write to y

    @property
    def spoilt(self) -> bool:
        """Whether the first backward changed what a second one needs."""
        return bool(set(self.by_backward) - {"dy"})


def purity_findings(
    op: Callable[..., Any],
    op_backward: Callable[..., Any],
    arrays: Sequence[Array],
    hyper: dict[str, Any],
    dy: Array,
    names: Sequence[str],
) -> list[Finding]:
    """Return what is wrong with a pair apart from the values of its gradients, the most important first.

    `names` has a name for each of `arrays`; `dy` has the shape of y. Nothing is written to any of them. Found are:
    a pair that raises; gradients that are missing, too many, of a wrong shape or dtype, or not finite; inputs, dy or
    the cache modified; other results on a second call, after a write to y, or after a call on other input; gradients
    that are not linear in dy; results that depend on strides; results that share memory.
    """
    probe = Probe(op, op_backward, tuple(arrays), hyper, np.asarray(dy), tuple(names[: len(arrays)]))
    found: list[Finding] = []
    with np.errstate(all="ignore"):
        try:
            forward = probe.forward()
            if forward.y_value.dtype.kind in "fc":
                probe = dataclasses.replace(probe, dy=probe.dy.astype(forward.y_value.dtype))
            run = _run(probe, forward)
            for check in (_returned, _effects, _behaviour, _sharing):
                found += check(probe, run)
        except RaisedError as error:
            later = " in a later call, after it has worked in the first" if found else ""
            found.append(Finding(None, error.side, f"{error.side} raises {error}{later}"))
    return found


def _run(probe: Probe, forward: Forward) -> Run:
    by_forward = _changes(probe.inputs, forward.inputs)
    live = reachable(forward.cache)
    before = {name: array.copy() for name, array in ({"dy": probe.dy} | forward.inputs | live).items()}
    dy = probe.dy.copy()
    gradients = listed(probe.backward(dy, forward.cache))
    by_backward = _changes(before, {"dy": dy} | forward.inputs | reachable(forward.cache))
    for path in [path for path in by_backward if path in live]:  # the cache may hold an input: then that is to blame
        if any(overlap(live[path], forward.inputs[name]) for name in forward.inputs if name in by_backward):
            del by_backward[path]
    values = [numbers(g) for g in gradients]
    overwrite(forward)
    try:
        again: list[Any] | RaisedError = listed(probe.backward(probe.dy.copy(), forward.cache))
    except RaisedError as error:
        again = error
    return Run(forward, dy, gradients, values, by_forward, by_backward, live, again)


def _changes(before: dict[str, Array], after: dict[str, Array]) -> Changes:
    changes = {}
    for name, array in before.items():
        difference = first_difference(array, after[name]) if name in after else None
        if difference:
            where, count = difference
            changes[name] = f"{count} of {array.size} entries, the first at {list(where)}"
    return changes


# --- what came back --------------------------------------------------------------------------------------------------
def _returned(probe: Probe, run: Run) -> list[Finding]:
    """Number, shape, dtype and finiteness of the gradients."""
    count, arrays = len(run.gradients), dict(zip(probe.names, probe.arrays, strict=True))
    given = ", ".join(f"d{name}" for name, array in arrays.items() if array.dtype.kind in "fc")
    wanted = f"return one for each differentiable array, in order: {given}"
    if count == 0:
        return [Finding(None, "op_backward", f"op_backward returns no gradient; {wanted}")]
    found = []
    if count > len(arrays):
        message = f"op_backward returns {count} gradients for {len(arrays)} arrays; {wanted}"
        found.append(Finding(None, "op_backward", message))
    finite = all(np.isfinite(array).all() for array in (*probe.inputs.values(), probe.dy))
    for i, ((name, array), gradient, value) in enumerate(zip(arrays.items(), run.gradients, run.values, strict=False)):
        if array.dtype.kind not in "fc":
            messages = [f"{name} holds {array.dtype}, which has no gradient, but one came for it; {wanted}"]
        elif gradient is None or (value.size == 0 and array.size):
            kind = "None" if gradient is None else f"{type(gradient).__name__} without numbers"
            messages = [f"d{name} must be an array of shape {array.shape}, got {kind}; {wanted}"]
        else:
            messages = [*_form(name, value, array), *(_not_finite(run, name, value) if finite else [])]
        found += [Finding(i, name, message, value if value.size else None) for message in messages]
    return found


def _form(name: str, value: Array, array: Array) -> list[str]:
    messages = []
    if value.shape != array.shape:
        hint = _fit(value.shape, array.shape)
        messages.append(f"d{name} must have the shape of {name}, {array.shape}, got {value.shape}; {hint}")
    if value.dtype != array.dtype:
        messages.append(
            f"d{name} must have the dtype of {name}, {array.dtype}, got {value.dtype}; end with "
            f"d{name}.astype({name}.dtype)"
        )
    return messages


def _fit(got: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Return words on what would bring the shape `got` to `wanted`."""
    for order in itertools.permutations(range(len(got))) if len(got) == len(wanted) <= 5 else ():
        if tuple(got[axis] for axis in order) == wanted:
            return "it would fit after .T" if order == (1, 0) else f"it would fit after .transpose{order}"
    if np.prod(got) == np.prod(wanted):
        return f"it would fit after .reshape{wanted}".replace(",)", ")")
    core = tuple(n for n in wanted if n > 1)
    sums = [
        axes
        for count in range(1, len(got) + 1)
        for axes in itertools.combinations(range(len(got)), count)
        if tuple(n for axis, n in enumerate(got) if axis not in axes and n > 1) == core
    ]
    if sums:
        axes = min(sums, key=lambda axes: (1 in axes, len(axes)))  # of several, the one that keeps the channels
        reshape = "" if len(got) - len(axes) == len(wanted) else f" and .reshape{wanted}".replace(",)", ")")
        words = axes[0] if len(axes) == 1 else axes
        return f"it would fit after .sum(axis={words}){reshape}: sum over what was broadcast"
    try:
        fits = np.broadcast_shapes(got, wanted) == wanted
    except ValueError:
        fits = False
    return "it would broadcast to it, so perhaps a sum is too much" if fits else "look at the axes of its sums"


def _not_finite(run: Run, name: str, value: Array) -> list[str]:
    bad = ~np.isfinite(value)
    if not bad.any():
        return []
    where = [int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape)]
    y = "" if np.isfinite(run.forward.y_value).all() else ", and so is y"
    return [
        f"d{name} is not finite though all inputs are{y}: {bad.sum()} of {bad.size} entries, the first at {where}; "
        f"look for 0 / 0, a root of 0, or an overflow"
    ]


# --- what changed ----------------------------------------------------------------------------------------------------
def _effects(probe: Probe, run: Run) -> list[Finding]:
    """Inputs, dy and the cache must stay as they are."""
    found = []
    for name, words in run.by_forward.items():
        and_y = " and returns it as y" if overlap(run.forward.y, run.forward.inputs[name]) else ""
        message = f"op must not modify its inputs, but it changes {name}{and_y} ({words}); compute into a new array"
        found.append(Finding(_index(probe, name), name, message))
    for name, words in run.by_backward.items():
        if name not in run.in_cache:
            back = next((d for d, g in _named(probe, run) if name == "dy" and overlap(g, run.dy)), None)
            and_d = f" and returns it as {back}" if back else ""
            message = f"op_backward must not modify {name}, but it does{and_d} ({words}); compute into a new array"
            found.append(Finding(_index(probe, name), name, message))
    paths = [path for path in run.by_backward if path in run.in_cache]
    if paths:
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        message = (
            f"op_backward must not modify the cache, but it changes {paths[0]} ({run.by_backward[paths[0]]}){more}; "
            f"compute into a new array"
        )
        found.append(Finding(None, "cache", message))
    return found


def _behaviour(probe: Probe, run: Run) -> list[Finding]:
    """All that needs more runs. What would only repeat a worse fault is left out."""
    if run.spoilt:
        return []
    again = run.again if isinstance(run.again, RaisedError) else [numbers(g) for g in run.again]
    harmed = bool(differing(run.values, again))
    second = probe.forward()
    random = not_repeatable(probe, run.forward, second)
    once = consumed(probe, run.values, again, random=bool(random)) if harmed else []
    if once:
        return [*random, *once]
    found = [*random, *(harmed_by_y(probe, run.values, again) if harmed else [])]
    if not (random and harmed):
        found += linear(probe, second.cache if harmed else run.forward.cache, run.values)
    if not random:
        found += shared_state(probe, second, run.values)
        found += strides(probe, [run.forward.y_value, *run.values])
    return found


# --- what shares memory ----------------------------------------------------------------------------------------------
def _sharing(probe: Probe, run: Run) -> list[Finding]:
    """y and the gradients must be new arrays, in each call: a write to one must not change anything else."""
    found = []
    inputs = run.forward.inputs
    of_y = next((name for name in inputs if name not in run.by_forward and overlap(run.forward.y, inputs[name])), None)
    if of_y:
        message = f"y must be a new array, but it shares memory with {of_y}; return a copy"
        found.append(Finding(None, "y", message))
    others = {"dy": run.dy} | inputs | {"y": run.forward.y} | run.in_cache
    others = {name: array for name, array in others.items() if name not in run.by_backward}
    later = [] if run.spoilt or isinstance(run.again, RaisedError) else run.again
    for i, (name, gradient) in enumerate(_named(probe, run)):
        shared = next((other for other in others if overlap(gradient, others[other])), None)
        start = f"{name} must be a new array, but"
        if shared:
            message = f"{start} it shares memory with {shared}; return a copy"
        elif i < len(later) and overlap(gradient, later[i]):
            message = f"{start} a later call writes into it; allocate it in each call"
        else:
            message = ""
        argument = name.removeprefix("d")
        if message:
            found.append(Finding(_index(probe, argument), argument, message))
        others[name] = gradient
    return found


def _named(probe: Probe, run: Run) -> list[tuple[str, Any]]:
    return [(probe.gradient_name(i), gradient) for i, gradient in enumerate(run.gradients)]


def _index(probe: Probe, name: str) -> int | None:
    return probe.names.index(name) if name in probe.names else None

"""The terms of the right gradients of this package's ops: what each gradient is the sum of, with words for each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ... import losses, squeeze
from ...statistics import Average, over_batch, over_instance, over_layer
from ...validation import Array
from .known import Known

PLAIN = ("batch_norm", "layer_norm", "instance_norm", "group_norm", "switchable_norm", "switchable_norm_eval")
NAMES = {over_batch: "batch", over_layer: "layer", over_instance: "instance"}


class Term(NamedTuple):
    """A summand of a gradient, or a whole wrong gradient, with words for it."""

    words: str
    value: Array


def terms(known: Known, dy: Array) -> dict[int, list[Term]]:
    """Return the terms of each gradient, by the argument's position; their sum is the right gradient."""
    if known.name in PLAIN:
        return norm_terms(known.cache, dy, known.cache.gamma)
    if known.name == "batch_norm_eval":
        return _eval_terms(known.cache, dy)
    if known.name.startswith("attentive_norm"):
        return attentive_terms(known.cache, dy)
    if known.name == "squeeze_excite":
        return _squeeze_terms(known.cache, dy)
    if known.name == "softmax_cross_entropy":
        return _loss_terms(known, dy)
    return {}


def maps(table: Array, x: Array) -> Array:
    """Return an N x C table (or (C,) vector) so that it broadcasts over the positions of x."""
    full = np.broadcast_to(table, x.shape[:2])
    return full.reshape(*x.shape[:2], *[1] * (x.ndim - 2))


def totals(values: Array) -> Array:
    """Return the sum over the positions of each map, N x C."""
    return np.asarray(values.reshape(*values.shape[:2], -1).sum(-1))


def norm_terms(
    cache: Any,
    dy: Array,
    G: Array,
    *,
    of_mu: Array | float = 1.0,
    of_var: Array | float = 1.0,
    weights: tuple[Any, Any] | None = None,
    average: Average | None = None,
    centre: Array | None = None,
) -> dict[int, list[Term]]:
    """The terms of dx through standardization: direct, through each mean, through each variance.

    To make mistakes: of_mu and of_var are factors on dmu and dvar; weights, average and centre replace (w, w'), P and
    the mean that x is centred by in the path through the variance.
    """
    x, s, rstd = cache.x, cache.statistics, cache.rstd
    M = x[0, 0].size
    g = maps(G, x) * dy
    xhat = (x - maps(s.mu, x)) * maps(rstd, x)
    dmu, dvar = -rstd * totals(g) * of_mu, -0.5 * rstd**2 * totals(g * xhat) * of_var
    plain = s.weights is None
    both = weights or s.weights or ([1.0], [1.0])
    found = [Term("the direct term rstd * gamma * dy", maps(rstd, x) * g)]
    for part, w, w_ in zip(s.parts, *both, strict=True):
        P = average or part.average
        name = "" if plain else f"{NAMES.get(part.average, 'group')} part's "
        through_mean = maps(P(w * dmu), x) / M
        through_var = (2 / M) * maps(P(w_ * dvar), x) * (x - maps(part.mu if centre is None else centre, x))
        mean_words = "the term -rstd * mean(gamma * dy), the path through the mean,"
        var_words = "the term -rstd * xhat * mean(gamma * dy * xhat), the path through the variance,"
        found.append(Term(mean_words if plain else f"the path through the {name}mean", through_mean + 0 * x))
        found.append(Term(var_words if plain else f"the path through the {name}variance", through_var))
    if not plain:
        found[1:] = found[1::2] + found[2::2]
    return {0: found}


def _eval_terms(c: Any, dy: Array) -> dict[int, list[Term]]:
    xhat = (c.x - maps(c.mu, c.x)) * maps(c.rstd, c.x)
    over = tuple(a for a in range(dy.ndim) if a != 1)
    return {
        0: [Term("the direct term rstd * gamma * dy", maps(c.a, c.x) * dy)],
        1: [Term("sum(dy * xhat)", (dy * xhat).sum(over))],
        2: [Term("sum(dy)", dy.sum(over))],
    }


def attentive_terms(cache: Any, dy: Array) -> dict[int, list[Term]]:
    """The terms of dx through the norm and through the attention, and those of the parameters."""
    x = cache.x
    M = x[0, 0].size
    found = norm_terms(cache, dy, cache.G)[0]
    found[0] = Term("the direct term rstd * (lambda @ gamma) * dy", found[0].value)
    plan = cache.plan
    da, db = totals(dy * (x - maps(cache.m, x))), totals(dy)
    dG = cache.rstd * da + cache.b0 * db
    dlambda = dG @ cache.gamma.T + db @ cache.beta.T
    dz = plan.activation[1](dlambda, cache.activated)
    dh, *_ = plan.transform[1](dz, cache.transformed)
    dm, dv, peak = plan.descriptor[1](dh, cache.described)
    mean_path = maps(dm, x) / M + 0 * x
    if peak is not None:
        spike = np.zeros((*x.shape[:2], M))
        np.put_along_axis(spike, peak[1][..., None], peak[0][..., None], 2)
        found.append(Term("the path through the attention's maximum", spike.reshape(x.shape)))
    found.append(Term("the path through the attention's mean", mean_path))
    if np.any(dv):
        deviation = (2 / M) * maps(np.broadcast_to(dv, cache.m.shape), x) * (x - maps(cache.m, x))
        found.append(Term("the path through the attention's deviation", deviation))
    via_gamma, via_beta = (_through(plan, cache, part) for part in (dG @ cache.gamma.T, db @ cache.beta.T))
    return {
        0: found,
        1: [Term("lambda^T dG", cache.lambda_.T @ dG)],
        2: [Term("lambda^T dB", cache.lambda_.T @ db)],
        **{
            3 + i: [Term("the part of dlambda from gamma", one), Term("the part of dlambda from beta", two)]
            for i, (one, two) in enumerate(zip(via_gamma, via_beta, strict=True))
        },
    }


def _through(plan: Any, cache: Any, dlambda: Array) -> tuple[Array, ...]:
    """Return the gradients of the transform's arrays for this dlambda."""
    return tuple(plan.transform[1](plan.activation[1](dlambda, cache.activated), cache.transformed)[1:])


def _squeeze_terms(cache: Any, dy: Array) -> dict[int, list[Term]]:
    dx = squeeze.squeeze_excite_backward(dy, cache)[0]
    direct = maps(cache.s, cache.x) * dy
    return {0: [Term("the direct term s * dy", direct), Term("the path through the gate", dx - direct)]}


def _loss_terms(known: Known, dy: Array) -> dict[int, list[Term]]:
    logits, labels = known.arrays[0], known.arrays[1]
    e = np.exp(logits - logits.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True) * dy / len(logits)
    right = losses.softmax_cross_entropy_backward(dy, known.cache)
    onehot = np.eye(logits.shape[1])[labels] * dy / len(logits)
    smoothing = p - right - onehot
    found = [Term("the softmax p", p), Term("the target -onehot", -onehot)]
    if np.abs(smoothing).max() > 1e-12 * np.abs(right).max():
        found.append(Term("the label smoothing of the target", -smoothing))
    return {0: found}

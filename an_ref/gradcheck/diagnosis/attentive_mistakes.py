"""What usual mistakes make of the gradients of Attentive Normalization, with words for the mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import attentive, linear
from ...activations import hsigmoid
from ...validation import Array
from .known import Known
from .norm_mistakes import dx_mistakes, logit_mistakes, total
from .terms import Term, attentive_terms, maps, norm_terms, totals


def attentive_mistakes(known: Known, dy: Array) -> dict[int, list[Term]]:
    """The gradients with another derivative of the activation, or with constant statistics of the logits."""
    cache, mistakes = known.cache, []
    activation = cache.plan.activation
    changed = _activation_changes(cache)
    for words, backward in changed:
        plan = cache.plan._replace(activation=(activation[0], backward))
        mistakes.append((words, attentive._backward("", dy, cache._replace(plan=plan))))
    if cache.logits_norm is not None:
        plan = cache.plan._replace(transform=(cache.plan.transform[0], _constant_logits_backward))
        words = "the path through the attention is wrong: the statistics of the logits are taken for constants"
        mistakes.append((words, attentive._backward("", dy, cache._replace(plan=plan))))
        for words, other in _logits_changes(cache):
            plan = cache.plan._replace(transform=(cache.plan.transform[0], other))
            mistakes.append((words, attentive._backward("", dy, cache._replace(plan=plan))))
        right = cache.transformed
        plain = right._replace(gamma=np.ones_like(right.gamma))
        words = "the factor attn_gamma is missing"
        mistakes.append((words, attentive._backward("", dy, cache._replace(transformed=plain))))
    found: dict[int, list[Term]] = {0: _dx_attentive_mistakes(cache, dy)}
    for words, gradients in mistakes:
        for index, gradient in enumerate(gradients):
            found.setdefault(index, []).append(Term(words, gradient))
    da, db = totals(dy * (cache.x - maps(cache.m, cache.x))), totals(dy)
    dG, K = cache.rstd * da + cache.b0 * db, len(cache.gamma)
    found[1] += [
        Term("the weights lambda are missing: every mixture gets the same", np.tile(dG.sum(0), (K, 1))),
        Term("it is lambda^T sum(dy), which is dbeta: the factor xhat is missing", cache.lambda_.T @ db),
        Term("it is made from dy * (x - m): the factor rstd is missing", cache.lambda_.T @ da),
    ]
    found[2] += [
        Term("the weights lambda are missing: every mixture gets the same", np.tile(db.sum(0), (K, 1))),
        Term("it is lambda^T sum(dy * xhat), which is dgamma", cache.lambda_.T @ dG),
    ]
    if cache.statistics.weights is not None:
        last = len(mistakes[0][1]) - 2
        for shift, (_, wrong) in enumerate(sorted(logit_mistakes(cache, dy, cache.statistics).items())):
            found.setdefault(last + shift, []).extend(wrong)
    return found


def _activation_changes(cache: Any) -> list[tuple[str, Callable[..., Array]]]:
    """Wrong derivatives of AN's activation, with words for them."""
    forward, right = cache.plan.activation
    y = cache.lambda_
    changes: list[tuple[str, Callable[..., Array]]] = [
        ("the activation derivative is missing (dlambda is passed on as dz)", lambda d, c: d),
        ("the activation derivative is applied twice", lambda d, c: right(right(d, c), c)),
    ]
    if forward is hsigmoid:
        return [
            *changes,
            ("the activation derivative lacks its slope 1/6", lambda d, c: 6 * right(d, c)),
            (
                "the activation derivative has the slope 0.2, as in Keras, where 1/6 belongs",
                lambda d, c: 1.2 * right(d, c),
            ),
            ("the activation derivative ignores the flat parts: slope 1/6 everywhere", lambda d, c: d / 6),
            ("the activation derivative is that of the sigmoid, y * (1 - y)", lambda d, c: y * (1 - y) * d),
        ]
    return [
        *changes,
        ("the activation derivative is y alone", lambda d, c: y * d),
        ("the activation derivative is 1 - y alone", lambda d, c: (1 - y) * d),
        ("the activation derivative is y * (1 - y), the diagonal alone", lambda d, c: y * (1 - y) * d),
    ]


def _logits_changes(cache: Any) -> list[tuple[str, Callable[..., tuple[Array, ...]]]]:
    """Wrong backwards of the normalization of the logits, with words for them."""

    def passed(dz: Array, c: Any, dlogits: Array) -> tuple[Array, ...]:
        dh, dweight = linear.linear_backward(dlogits, c.linear)
        return dh, dweight, (c.b0 * dz).sum(axis=0), dz.sum(axis=0)

    def over(axis: int) -> Callable[..., tuple[Array, ...]]:
        def backward(dz: Array, c: Any) -> tuple[Array, ...]:
            g = c.gamma * dz
            mean, along = (t.mean(axis, keepdims=True) for t in (g, g * c.b0))
            return passed(dz, c, c.rstd * (g - mean - c.b0 * along))

        return backward

    start = "the path through the attention is wrong: the normalization of the logits"
    return [
        (f"{start} is skipped", lambda dz, c: passed(dz, c, dz)),
        (f"{start} is skipped, but for attn_gamma", lambda dz, c: passed(dz, c, c.gamma * dz)),
        (f"{start} takes its means over the wrong axes, those of each sample", over(1)),
        (f"{start} takes its means over the wrong axes, those of the batch", over(0)),
    ]


def _constant_logits_backward(dz: Array, cache: Any) -> tuple[Array, ...]:
    """As linear_norm_backward, but with the mean and variance of the logits as constants."""
    dlogits = cache.rstd * cache.gamma * dz
    dh, dweight = linear.linear_backward(dlogits, cache.linear)
    return dh, dweight, (cache.b0 * dz).sum(axis=0), dz.sum(axis=0)


def _dx_attentive_mistakes(cache: Any, dy: Array) -> list[Term]:
    """dx with the norm's path made wrongly and the attention's path right."""
    parts = attentive_terms(cache, dy)[0]
    attention = total([p for p in parts if "attention" in p.words])
    found = [Term(w, value + attention) for w, value in dx_mistakes(cache, dy, cache.G)]
    equal = np.broadcast_to(cache.gamma.sum(0), cache.m.shape)
    words = "the weights lambda are missing in the norm's path: sum(gamma) stands where lambda @ gamma belongs"
    found.append(Term(words, total(norm_terms(cache, dy, equal)[0]) + attention))
    mean = np.broadcast_to(cache.G.mean(0), cache.m.shape)
    words = "lambda is averaged over the samples: an average over the wrong axes"
    found.append(Term(words, total(norm_terms(cache, dy, mean)[0]) + attention))
    for k in range(len(cache.gamma)):
        kept = [i for i in range(len(cache.gamma)) if i != k]
        others = cache.lambda_[:, kept] @ cache.gamma[kept]
        found.append(Term(f"one mixture, number {k}, is left out", total(norm_terms(cache, dy, others)[0]) + attention))
    return found

"""What usual mistakes make of the gradients of the norms: whole wrong gradients, with words for the mistake."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ... import norms
from ...statistics import Statistics, over_batch, over_instance, over_layer
from ...sweeps import positions
from ...validation import Array
from .known import Known
from .terms import Term, maps, norm_terms, totals
from .transforms import rearranged


def norm_mistakes(known: Known, dy: Array) -> dict[int, list[Term]]:
    """Wrong gradients of BN, LN, IN, GN and SN."""
    c = known.cache
    x = c.x
    centred = x - maps(c.mu, x)
    xhat = centred * maps(c.rstd, x)
    over = tuple(a for a in range(x.ndim) if a != 1)
    found: dict[int, list[Term]] = {
        0: dx_mistakes(c, dy, c.gamma),
        1: [
            Term("it is the sum of dy * (x - mu): the factor rstd is missing", (dy * centred).sum(over)),
            Term("it is the sum of dy * x: x is not standardized, xhat belongs there", (dy * x).sum(over)),
            Term("it is the sum of dy: the factor xhat is missing", dy.sum(over)),
            Term("it is the sum of dy * gamma * xhat: the factor gamma is too much", (dy * xhat).sum(over) * c.gamma),
            Term(
                "it is the sum of dy * (x - mu) * rstd^2: one factor rstd too much",
                (dy * xhat * maps(c.rstd, x)).sum(over),
            ),
        ],
        2: [Term("it is the sum of dy * xhat, which is dgamma", (dy * xhat).sum(over))],
    }
    right = total(norm_terms(c, dy, c.gamma)[0])
    found[0] += [Term(f"it {words}", value) for words, value in rearranged(right, 1, "dx")]
    found[1] += [Term(f"it {words}", value) for words, value in rearranged((dy * xhat).sum(over), 0, "dgamma")]
    if c.statistics.weights is not None:
        for index, wrong in logit_mistakes(c, dy, c.statistics).items():
            found.setdefault(index, []).extend(wrong)
    return found


def eval_mistakes(known: Known, dy: Array) -> dict[int, list[Term]]:
    """Evaluation taken for training, or with the batch's own statistics."""
    c, gamma = known.cache, known.arrays[1]
    eps = float(np.median(1 / c.rstd**2 - c.var))
    x, over = c.x, tuple(a for a in range(dy.ndim) if a != 1)
    _, train = norms.batch_norm(x, gamma, known.arrays[2], eps=eps)
    centred, xhat = x - maps(c.mu, x), (x - maps(train.mu, x)) * maps(train.rstd, x)
    words = "the running statistics are constants, but the formula of training is used"
    mixed = train._replace(statistics=train.statistics._replace(mu=c.mu), rstd=c.rstd, gamma=gamma)
    found = {
        0: [
            Term(words, norms.batch_norm_backward(dy, train)[0]),
            Term(words, total(norm_terms(mixed, dy, gamma)[0])),
            Term(
                "the factor rstd is the batch's: the running variance belongs there", maps(gamma * train.rstd, x) * dy
            ),
        ],
        1: [
            Term("xhat is made with the batch's statistics: the running ones belong there", (dy * xhat).sum(over)),
            Term("xhat is made with the batch's mean", (dy * (x - maps(train.mu, x)) * maps(c.rstd, x)).sum(over)),
            Term("xhat is made with the batch's variance", (dy * centred * maps(train.rstd, x)).sum(over)),
            Term("it is the sum of dy * x: xhat belongs there", (dy * x).sum(over)),
        ],
    }
    places = {
        "eps is forgotten: rstd is var^-1/2 there": 1 / np.sqrt(c.var),
        "eps is added outside the square root": 1 / (np.sqrt(c.var) + eps),
        "eps is added twice": 1 / np.sqrt(c.var + 2 * eps),
    }
    for words, rstd in places.items():
        found[0].append(Term(words, maps(gamma * rstd, x) * dy))
        found[1].append(Term(words, (dy * centred * maps(rstd, x)).sum(over)))
    return found


def dx_mistakes(c: Any, dy: Array, G: Array) -> list[Term]:
    """What dx becomes when gamma, rstd, eps or the weights of the parts are wrong in the whole of it."""
    rstd, changes = c.rstd, []
    variance = {
        "the path through the variance lacks a factor rstd: dvar has rstd^2 where rstd^3 belongs": 1 / rstd,
        "the path through the variance lacks the factor rstd^2 in dvar": 1 / rstd**2,
        "the path through the variance lacks the factor rstd^3 in dvar": 1 / rstd**3,
        "the path through the variance has the factor rstd once too often": rstd,
        "the path through the variance has the factor rstd^2 too much": rstd**2,
    }
    changes += [(words, G, {"of_var": factor}) for words, factor in variance.items()]
    changes += [
        ("the path through the mean lacks the factor rstd in dmu", G, {"of_mu": 1 / rstd}),
        ("the path through the mean has the factor rstd once too often", G, {"of_mu": rstd}),
        ("the factor gamma is missing everywhere: dy stands where gamma * dy belongs", np.ones_like(G), {}),
        ("the factor gamma stands twice everywhere: gamma^2 * dy where gamma * dy belongs", G * G, {}),
    ]
    if positions(c.x) > 1:  # else both are the same
        words = "the path through the variance lacks 2 * (m - mu) * mean(dvar): it takes the means m of maps for mu"
        changes.append((words, G, {"centre": c.m}))
    averages = {
        "(0, 2, 3), of batch norm": over_batch,
        "(1, 2, 3), of layer norm": over_layer,
        "(2, 3), of instance norm": over_instance,
        "(0, 1, 2, 3), all of them": _over_all,
    }
    changes += [(f"the means run over the wrong axes: {axes}", G, {"average": P}) for axes, P in averages.items()]
    if c.statistics.weights is not None:
        w, w_ = c.statistics.weights
        ones = np.ones_like(w)
        changes += [
            ("w and w' are mixed up: the weights of the means and of the variances", G, {"weights": (w_, w)}),
            ("the weights w' are wrong: those of the means are used for the variances too", G, {"weights": (w, w)}),
            ("the weights w are wrong: those of the variances are used for the means too", G, {"weights": (w_, w_)}),
            ("the weights w and w' are missing: every part counts fully", G, {"weights": (ones, ones)}),
            (
                "the weights w and w' are missing: every part counts equally",
                G,
                {"weights": (ones / len(w), ones / len(w))},
            ),
            ("the weights w of the means are missing", G, {"weights": (ones, w_)}),
            ("the weights w' of the variances are missing", G, {"weights": (w, ones)}),
            ("the path through the variance is centred by the mixed mean, not by each part's own", G, {"centre": c.mu}),
        ]
    found = [Term(words, total(norm_terms(c, dy, g, **how)[0])) for words, g, how in changes]
    if c.statistics.weights is None:
        found += _gamma_outside(c, dy, G) + _other_axes(c, dy, G)
    found += [Term(w, total(norm_terms(cache, dy, G)[0])) for w, cache in (*_other_eps(c), *_other_rstd(c))]
    right = total(norm_terms(c, dy, G)[0])
    return found + [Term(w, right * maps(cache.rstd / c.rstd, dy)) for w, cache in (*_other_eps(c), *_other_rstd(c))]


def _gamma_outside(c: Any, dy: Array, G: Array) -> list[Term]:
    """gamma is multiplied to the whole of dx, or is not the one of the channel."""
    plain = total(norm_terms(c, dy, np.ones_like(G))[0])
    found = [
        Term("the factor gamma stands outside the means, where gamma * dy belongs inside them", maps(G, dy) * plain)
    ]
    for i in (0, -1):
        constant = np.full_like(G, G[..., i].ravel()[0])
        words = f"the factor gamma is that of one channel, the {'first' if i == 0 else 'last'}, for all"
        found.append(Term(words, total(norm_terms(c, dy, constant)[0])))
    for groups in range(2, len(G)) if G.ndim == 1 else ():
        if len(G) % groups == 0:
            first = np.repeat(G.reshape(groups, -1)[:, :1], len(G) // groups)
            tiled = np.tile(G[: len(G) // groups], groups)
            mean = np.repeat(G.reshape(groups, -1).mean(1), len(G) // groups)
            for wrong in (first, tiled, mean, np.repeat(G[:groups], len(G) // groups)):
                words = "the factor gamma is taken by group, not by channel"
                found.append(Term(words, total(norm_terms(c, dy, wrong)[0])))
    return found


def _other_axes(c: Any, dy: Array, G: Array) -> list[Term]:
    """rstd * (g - mean(g) - xhat * mean(g * xhat)) with the means over every set of axes."""
    x, g = c.x, maps(G, c.x) * dy
    xhat = (x - maps(c.mu, x)) * maps(c.rstd, x)
    found = []
    for number in range(1, x.ndim + 1):
        for axes in itertools.combinations(range(x.ndim), number):
            mean, along = (t.mean(axes, keepdims=True) for t in (g, g * xhat))
            words = f"the means run over the wrong axes: over {axes}"
            found.append(Term(words, maps(c.rstd, x) * (g - mean - xhat * along)))
    return found


def _over_all(table: Array) -> Array:
    return np.broadcast_to(table.mean(), table.shape)


def _other_rstd(c: Any) -> list[tuple[str, Any]]:
    """The cache with the rstd of one sample, or of one group, for all."""
    table = np.broadcast_to(c.rstd, c.m.shape)
    found = []
    for i, name in ((0, "first"), (-1, "last")):
        one, part = np.broadcast_to(table[[i]], table.shape), np.broadcast_to(table[:, [i]], table.shape)
        found.append((f"the factor rstd is that of one sample, the {name}, for all", c._replace(rstd=one)))
        words = f"the factor rstd is that of one group, the {name} of each sample, for all"
        found.append((words, c._replace(rstd=part)))
    return found


def _other_eps(c: Any) -> list[tuple[str, Any]]:
    """The cache with rstd as it is when eps stands in another place."""
    eps = float(np.median(1 / c.rstd**2 - c.statistics.var))
    var = c.statistics.var
    if eps <= 0 or var.min() <= 0:
        return []
    places = {
        "eps is forgotten: rstd is var^-1/2 there": 1 / np.sqrt(var),
        "eps is added outside the square root": 1 / (np.sqrt(var) + eps),
        "eps is added twice": 1 / np.sqrt(var + 2 * eps),
    }
    return [(words, c._replace(rstd=rstd)) for words, rstd in places.items()]


def total(parts: list[Term]) -> Array:
    """Return the sum of the terms."""
    return np.asarray(sum(part.value for part in parts))


def logit_mistakes(c: Any, dy: Array, s: Statistics) -> dict[int, list[Term]]:
    """What SN's logits get from usual mistakes."""
    assert s.weights is not None
    x, (w, w_) = c.x, s.weights
    g = dy * maps(np.broadcast_to(getattr(c, "G", c.gamma), c.m.shape), x)
    xhat = (x - maps(s.mu, x)) * maps(c.rstd, x)
    dmu, dvar = -c.rstd * totals(g), -0.5 * c.rstd**2 * totals(g * xhat)
    raw = np.stack([(dmu * part.mu).sum() for part in s.parts])
    raw_ = np.stack([(dvar * part.var).sum() for part in s.parts])
    found = {}
    for index, dw, weights, other in ((3, raw, w, w_), (4, raw_, w_, w)):
        right = weights * (dw - (weights * dw).sum())
        found[index] = [
            *_without_gamma(c, dy, s, index),
            Term("the softmax's derivative is missing: this is the gradient of the weights", dw),
            Term("the softmax's second term -w * sum(w * dw) is missing", weights * dw),
            Term("w and w' are mixed up: the other softmax's weights are used", other * (dw - (other * dw).sum())),
            Term("only the diagonal of the softmax's Jacobian, w * (1 - w), is used", weights * (1 - weights) * dw),
            Term("the factor w of the softmax's derivative is missing", dw - (weights * dw).sum()),
            Term("the order of the logits is permuted: it is reversed", right[::-1]),
        ]
    found[3].append(Term("this is the gradient of var_logits", w_ * (raw_ - (w_ * raw_).sum())))
    found[4].append(Term("this is the gradient of mean_logits", w * (raw - (w * raw).sum())))
    return found


def _without_gamma(c: Any, dy: Array, s: Statistics, index: int) -> list[Term]:
    """The gradients of the logits with other factors in dmu and dvar."""
    x, rstd = c.x, c.rstd
    G = np.broadcast_to(getattr(c, "G", c.gamma), c.m.shape)
    assert s.weights is not None
    found = []
    factors = {
        "gamma is missing": 1 / G,
        "gamma stands twice": G,
        "rstd is missing": 1 / rstd,
        "rstd^2 is missing": rstd**-2,
        "rstd^3 is missing": rstd**-3,
        "rstd is there once too often": rstd,
    }
    for words, factor in factors.items():
        g = dy * maps(G, x)
        xhat = (x - maps(s.mu, x)) * maps(rstd, x)
        if index == 3:
            up, values, w, middle = -rstd * totals(g) * factor, [p.mu for p in s.parts], s.weights[0], s.mu
        else:
            up = -0.5 * rstd**2 * totals(g * xhat) * factor
            values, w, middle = [p.var for p in s.parts], s.weights[1], s.var
        name = "dmu" if index == 3 else "dvar"
        found.append(Term(f"the factor {words} in {name}", w * np.stack([(up * (v - middle)).sum() for v in values])))
    return found

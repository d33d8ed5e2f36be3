"""From a wrong gradient to words: which term is missing, doubled, of wrong sign, over wrong axes, ...

The wrong gradient is compared, in this order, with what usual mistakes give, with multiples and permutations of the
right one, with the right terms in other amounts, with one term made in another way, and with errors in one place. The
first that fits to rounding is said; if none fits, that is said too.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...validation import Array
from ..measure import Measured, Problem
from .factors import constant_along, counts, name_factor, name_vector
from .known import Known, recognize
from .mistakes import alternatives
from .terms import Term, maps, terms
from .transforms import from_other_dy, low_precision


class Scene(NamedTuple):
    """What is known about the op: its recognized form, its terms, and names for numbers and vectors."""

    known: Known | None
    terms: dict[int, list[Term]]
    alternatives: dict[int, list[Term]]
    numbers: list[tuple[str, int]]
    vectors: dict[str, Array]
    x: Array
    dy: Array


def scene(problem: Problem, names: Sequence[str]) -> Scene:
    """Look at the op once for all its wrong gradients."""
    known = recognize(problem.exact, problem.hyper, problem.y)
    x, dy = problem.exact[0], problem.dy
    numbers = counts(x.shape, known.groups if known else None)
    vectors = {names[i]: a for i, a in enumerate(problem.exact) if i > 0 and a.dtype.kind == "f"}
    if known is None:
        return Scene(None, {}, {}, numbers, vectors, x, dy)
    for name in ("gamma", "rstd", "s", "G", "lambda_"):
        table = getattr(known.cache, name, None)
        if isinstance(table, np.ndarray):
            vectors = {key: a for key, a in vectors.items() if key == name or not _same(a, table)}
            vectors[name] = table
            for axis, view in ((0, table[0]), (1, table[:, 0] if table.ndim == 2 else table)):
                if table.ndim == 2 and np.ptp(table, axis=axis).max() <= 1e-12 * np.abs(table).max():
                    vectors[name] = view
    if known.name.startswith("attentive_norm"):
        numbers += [("K", len(known.arrays[1])), ("N*K", len(x) * len(known.arrays[1]))]
    if dy.ndim == 4 and dy.shape != x.shape:
        numbers += [(f"{name} of y", n) for name, n in counts(dy.shape)]
    return Scene(known, terms(known, dy), alternatives(known, dy), numbers, vectors, x, dy)


def explain(m: Measured, s: Scene) -> str | None:
    """Return what is wrong with a gradient in words, or None if nothing fits."""
    if m.numeric is None:
        return None
    g, n = np.asarray(m.analytic, np.float64), m.numeric
    if not np.isfinite(g).all():
        return "is not finite where the derivative is"
    tolerance = 1e-7 if m.analytic.dtype == np.float64 else 1e-3
    scale = max(float(np.abs(n).max()), float(np.abs(g).max()))
    for mistake in s.alternatives.get(m.index, []):
        if mistake.value.shape == g.shape and np.abs(g - mistake.value).max() <= tolerance * scale:
            return mistake.words
    parts = s.terms.get(m.index, [])
    return (
        _as_a_whole(g, n, s, tolerance)
        or _other_amounts(g, parts, s, tolerance)
        or _from_other_dy(m.index, g, s, tolerance)
        or _one_term_changed(g, parts, s, tolerance)
        or _in_one_place(g, n, s, tolerance)
        or low_precision(g, n)
        or _some_term(g, parts, s, tolerance)
        or _along_directions(g - n, s, tolerance)
        or _as_a_whole(g, n, s, tolerance, named=False)
    )


def _same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and bool((a == b).all())


def _fits(residual: Array, size: Array, tolerance: float) -> bool:
    return bool(np.abs(residual).max() <= tolerance * np.abs(size).max())


def _as_a_whole(g: Array, n: Array, s: Scene, tolerance: float, *, named: bool = True) -> str | None:
    """Compare with multiples of the right gradient: one factor, permuted axes, a factor along an axis.

    A factor along an axis must be known by name, unless `named` is False.
    """
    if not np.abs(n).max():
        return None
    if not g.any():
        return "is zero everywhere: this gradient is missing"
    for words, moved in (("", n), *_permutations(n)):
        c = float((g * moved).sum() / (moved * moved).sum())
        if abs(c) > tolerance and _fits(g - c * moved, g, tolerance):
            if not words and abs(c - 1) <= 1e-4:
                return None
            if not words:
                return name_factor(c, s.numbers, tolerance)
            return words if abs(c - 1) <= tolerance else f"{words}, and {name_factor(c, s.numbers, tolerance)}"
    good = np.abs(n) > 1e-3 * np.abs(n).max()
    with np.errstate(all="ignore"):
        ratio = np.where(good, g / n, 1.0)
    for kept, values in constant_along(ratio, good):
        filled = np.expand_dims(values, tuple(a for a in range(n.ndim) if a not in kept))
        if not _fits(g - filled * n, g, tolerance):
            continue
        known = name_vector(values, s.vectors)
        if known:
            return known
        wrong = np.argwhere(np.abs(values - 1) > tolerance)
        if 0 < len(wrong) <= max(1, values.size // 2):
            where = ", ".join(str(tuple(int(i) for i in w) if len(w) > 1 else int(w[0])) for w in wrong[:4])
            what = name_factor(float(values[tuple(wrong[0])]), s.numbers, tolerance)
            return f"is wrong at {_axis(kept, n.ndim)} {where} alone: there it {what}"
        if not named and n.ndim > 1 and np.ptp(values) > tolerance:
            return f"is wrong by another factor for each {_axis(kept, n.ndim).replace('one ', '')}"
    return None


def _axis(kept: tuple[int, ...], ndim: int) -> str:
    names = {0: "one sample" if ndim > 1 else "one channel", 1: "one channel"}
    return " and ".join(names.get(a, f"axis {a}") for a in kept)


def _permutations(n: Array) -> Iterator[tuple[str, Array]]:
    """Yield the gradient with axes transposed, reversed or shifted, with words for it."""
    for axes in itertools.permutations(range(n.ndim)):
        if axes != tuple(range(n.ndim)):
            moved = n.transpose(axes)
            if moved.shape == n.shape:
                yield f"is transposed: its axes are in the order {axes}", moved
            elif n.ndim == 2:
                yield "is transposed: it was reshaped instead of transposed back", moved.reshape(n.shape)
    for number in range(1, n.ndim + 1):
        for axes in itertools.combinations(range(n.ndim), number):
            yield f"is flipped (reversed, permuted) along the axes {axes}", np.flip(n, axes)
    for axis in range(n.ndim):
        for shift in (1, -1):
            yield f"is permuted: shifted by {shift} along axis {axis}", np.roll(n, shift, axis)


def _other_amounts(g: Array, parts: list[Term], s: Scene, tolerance: float) -> str | None:
    """Fit the terms in other amounts than one: first one of them, then two, then more."""
    for number in range(1, len(parts) + 1):
        for chosen in itertools.combinations(range(len(parts)), number):
            rest = g - sum(p.value for i, p in enumerate(parts) if i not in chosen)
            basis = np.stack([np.broadcast_to(parts[i].value, g.shape).ravel() for i in chosen], axis=1)
            if np.linalg.matrix_rank(basis) < number:
                continue
            amounts = np.linalg.lstsq(basis, rest.ravel(), rcond=None)[0]
            if _fits(rest.ravel() - basis @ amounts, g, tolerance):
                verdicts = [name_factor(float(c), s.numbers, tolerance) for c in amounts]
                wrong = [abs(c - 1) > tolerance for c in amounts]
                return _join([(parts[i].words, v) for i, v, w in zip(chosen, verdicts, wrong, strict=True) if w])
    return None


def _from_other_dy(index: int, g: Array, s: Scene, tolerance: float) -> str | None:
    """The gradient is linear in dy: is it what the right backward makes of another dy?"""
    if s.known is None:
        return None
    for words, other in from_other_dy(s.known, s.dy, index):
        if np.any(other) and _fits(g - other, g, tolerance):
            return words
    return None


def _some_term(g: Array, parts: list[Term], s: Scene, tolerance: float) -> str | None:
    """Name the terms that could be wrong by a factor for each sample, or channel, or both."""
    suspects = []
    for i, part in enumerate(parts):
        became = g - sum(p.value for j, p in enumerate(parts) if j != i)
        whole = np.broadcast_to(part.value, g.shape)
        verdict = _as_a_whole(became, whole, s, tolerance, named=False) if np.abs(whole).max() else None
        if verdict:
            suspects.append(f"{part.words} {verdict}")
    return "; or ".join(suspects) or None


def _join(said: list[tuple[str, str]]) -> str:
    """Put (term, verdict) pairs into a sentence: those with the same verdict together."""
    groups: dict[str, list[str]] = {}
    for words, verdict in said:
        groups.setdefault(verdict, []).append(words)
    sentences = []
    for verdict, terms_ in groups.items():
        if len(terms_) > 1 and all("attention" in t for t in terms_):
            terms_ = ["the path through the attention"]
        for kind in ("mean", "variance"):
            if len(terms_) > 1 and all(t.endswith(f"part's {kind}") for t in terms_):
                terms_ = [f"the path through the {kind} (of all parts)"]
        sentences.append(f"{' and '.join(terms_)} {'each ' * (len(terms_) > 1)}{verdict}")
    return "; ".join(sentences)


def _one_term_changed(g: Array, parts: list[Term], s: Scene, tolerance: float) -> str | None:
    """All terms but one are right: find what the one became."""
    if g.shape != s.x.shape:
        return None
    for i, part in enumerate(parts):
        became = g - sum(p.value for j, p in enumerate(parts) if j != i)
        if not np.abs(became).max():
            continue
        whole = _as_a_whole(became, np.broadcast_to(part.value, g.shape), s, tolerance)
        if whole:
            return f"{part.words} {whole}"
        for words, other in _made_differently(s):
            c = float((became * other).sum() / ((other * other).sum() or 1.0))
            if abs(c) > tolerance and _fits(became - c * other, g, tolerance):
                factor = "" if abs(abs(c) - 1) <= tolerance else f" (and {name_factor(abs(c), s.numbers, tolerance)})"
                return f"{part.words} is wrong: it is {'-' if c < 0 else ''}{words}{factor}"
    return None


def _made_differently(s: Scene) -> Iterator[tuple[str, Array]]:
    """Yield mean terms over all sets of axes, with and without gamma, rstd and xhat."""
    cache = s.known.cache if s.known else None
    if cache is None or not hasattr(cache, "statistics") or s.dy.shape != s.x.shape:
        return
    x, dy, rstd = s.x, s.dy, maps(cache.rstd, s.x)
    xhat = (x - maps(cache.mu, x)) * rstd
    G = maps(getattr(cache, "G", cache.gamma), x)
    for number in range(x.ndim + 1):
        for axes in itertools.combinations(range(x.ndim), number):
            for with_gamma, g in ((True, G * dy), (False, dy)):
                for name, inner, outer in (
                    ("mean({})", 1.0, 1.0),
                    ("xhat * mean({} * xhat)", xhat, xhat),
                    ("(x - mu) * mean({} * (x - mu))", x - maps(cache.mu, x), x - maps(cache.mu, x)),
                    ("(x - mu) * mean({} * xhat)", xhat, x - maps(cache.mu, x)),
                    ("xhat * mean({})", 1.0, xhat),
                    ("mean({} * xhat)", xhat, 1.0),
                    ("x * mean({} * xhat)", xhat, x),
                ):
                    mean = _mean(g * inner, axes, cache) * outer + 0 * x
                    for power in range(4):
                        for outer_gamma in (False, True) if not with_gamma else (False,):
                            words = name.format("gamma * dy" if with_gamma else "dy")
                            left = ("gamma * " if outer_gamma else "") + (
                                f"rstd^{power} * " if power > 1 else "rstd * " * power
                            )
                            value = mean * rstd**power * (G if outer_gamma else 1.0)
                            place = f", the mean over the axes {axes}" if axes else ""
                            yield f"{left}{words}{place}", value


def _mean(values: Array, axes: tuple[int, ...], cache: Any) -> Array:
    """Return the mean over the axes, or over the layer's own cells where there are none."""
    if axes:
        return np.asarray(values.mean(axes, keepdims=True))
    table = values.reshape(*values.shape[:2], -1).mean(-1)
    return maps(cache.statistics.parts[0].average(table), values)


def _in_one_place(g: Array, n: Array, s: Scene, tolerance: float) -> str | None:
    """Find an error that is confined to one index of an axis, to the border, or to one sign of the input."""
    wrong = np.abs(g - n) > tolerance * max(np.abs(n).max(), np.abs(g).max())
    for axis in range(n.ndim):
        if n.shape[axis] > 1:
            hit = np.flatnonzero(wrong.any(axis=tuple(a for a in range(n.ndim) if a != axis)))
            if len(hit) == 1:
                part = np.take(g, hit[0], axis), np.take(n, hit[0], axis)
                inner = _as_a_whole(*part, s, tolerance) if np.abs(part[1]).max() else None
                place = _axis((axis,), n.ndim)
                return f"is wrong at {place} {hit[0]} alone" + (f": there it {inner}" if inner else "")
    if n.ndim == 4 and not wrong[:, :, 1:-1, 1:-1].any() and min(n.shape[2:]) > 2:
        return "is wrong at the border alone: padding is handled in another way than in the forward"
    if n.shape == s.x.shape:
        for words, region in (("x <= 0", s.x <= 0), ("x > 0", s.x > 0)):
            if wrong.any() and not region.all() and not wrong[~region].any():
                return f"is wrong where {words} alone: the activation derivative is wrong there"
    return None


def _along_directions(e: Array, s: Scene, tolerance: float) -> str | None:
    """Fit the error, cell by cell, to 1, xhat and dy for every set of axes; the set with the fewest cells first."""
    if e.shape != s.x.shape or s.dy.shape != s.x.shape:
        return None
    sets = [axes for k in range(e.ndim, 0, -1) for axes in itertools.combinations(range(e.ndim), k)]
    for axes in sorted(sets, key=lambda a: -np.prod([e.shape[i] for i in a])):
        if np.prod([e.shape[i] for i in axes]) < 4:
            continue
        centred = s.x - s.x.mean(axes, keepdims=True)
        for words, direction in (
            ("constant: a mean over these axes, the path through the mean, is wrong", np.ones_like(e)),
            ("a multiple of xhat: the path through the variance over these axes is wrong", centred),
            ("a multiple of dy: the direct term has a wrong factor", s.dy),
            ("a multiple of x: the factor in front of x is wrong", s.x),
        ):
            norm = (direction * direction).sum(axes, keepdims=True)
            c = (e * direction).sum(axes, keepdims=True) / np.where(norm == 0, 1, norm)
            if _fits(e - c * direction, e, tolerance):
                return f"has an error that is, in each cell over the axes {axes}, {words}"
    return None

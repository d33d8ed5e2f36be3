"""Names for factors: what a number, or a vector along one axis, says about a wrong gradient."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from ...validation import Array

AXES = {2: "NC", 3: "NCL", 4: "NCHW", 5: "NCDHW"}
POWERS = {1.0: "{}", -1.0: "1/{}", 2.0: "{}^2", -2.0: "1/{}^2", 3.0: "{}^3", -3.0: "1/{}^3", 0.5: "sqrt({})"}


def counts(shape: tuple[int, ...], groups: int | None = None) -> list[tuple[str, int]]:
    """Return names and values of the numbers over which a mean may run: products of axis lengths, the longest last."""
    letters = AXES.get(len(shape), "abcdefgh"[: len(shape)])
    sizes = list(zip(letters, shape, strict=True))
    if groups and len(shape) > 1:
        sizes.append(("(C/groups)", shape[1] // groups))
    found = []
    for number in range(1, len(sizes) + 1):
        for chosen in itertools.combinations(sizes, number):
            names = [name for name, _ in chosen]
            if not ("C" in names and "(C/groups)" in names):
                found.append(("*".join(names), int(np.prod([size for _, size in chosen]))))
    return [(name, value) for name, value in found if value > 1]


def name_factor(c: float, numbers: list[tuple[str, int]], tolerance: float = 1e-6) -> str:
    """Return what it means that something came out c times as large as it should be."""

    def near(value: float) -> bool:
        return abs(c - value) <= tolerance * max(1.0, abs(value))

    if abs(c) <= tolerance:
        return "is missing"
    if near(-1):
        return "has the wrong sign"
    if near(2):
        return "is doubled (factor 2)"
    if near(0.5):
        return "is halved (factor 1/2)"
    sign = "has the wrong sign and " if c < 0 else ""
    c = abs(c)
    samples = [(name, n) for name, n in numbers if name not in ("C", "H", "W", "D", "L", "(C/groups)")]
    for name, n in samples:
        if near(n / (n - 1)):
            return f"{sign}has the factor n/(n-1) too much, n = {name} = {n}: unbiased where biased belongs"
        if near((n - 1) / n):
            return f"{sign}lacks the factor n/(n-1), n = {name} = {n}: biased where unbiased belongs"
    for name, n in samples:
        for power, words in ((0.5, "sqrt"), (-0.5, "1/sqrt")):
            if near((n / (n - 1)) ** power):
                return f"{sign}is wrong by the factor {words}(n/(n-1)), n = {name} = {n}: biased or unbiased"
    for name, n in numbers:
        if near(1 / n):
            return f"{sign}is too small by the factor 1/({name}) = 1/{n}: a mean where a sum belongs"
        if near(n):
            return f"{sign}is too large by the factor {name} = {n}: a sum where a mean belongs"
    for value, words in (
        (3, "factor 3"),
        (1 / 3, "factor 1/3"),
        (4, "factor 4"),
        (0.25, "factor 1/4"),
        (6, "factor 6"),
    ):
        if near(value):
            return f"{sign}is wrong by the {words}"
    return f"{sign}is wrong by the factor {c:.4g}"


def name_vector(ratio: Array, known: dict[str, Array], tolerance: float = 1e-6) -> str | None:
    """Return what it means that something came out `ratio` times as large: a power of a known array, or nothing."""
    for name, values in known.items():
        if values.shape != ratio.shape or np.ptp(values) <= 1e-9 * np.abs(values).max():
            continue
        for power, pattern in POWERS.items():
            if power == 0.5 and (values <= 0).any():
                continue
            with np.errstate(all="ignore"):
                expected = values**power
            for sign in (1, -1):
                if np.allclose(ratio, sign * expected, rtol=tolerance, atol=0):
                    return _vector_words(name, power, pattern.format(name), sign)
    return None


def _vector_words(name: str, power: float, factor: str, sign: int) -> str:
    wrong_sign = "has the wrong sign, and " if sign < 0 else ""
    if power == 1:
        return f"{wrong_sign}has the factor {name} once too often"
    if power == -1:
        return f"{wrong_sign}lacks the factor {name}: the factor {name} is missing"
    if power > 0:
        return f"{wrong_sign}has the factor {factor} too much"
    return f"{wrong_sign}lacks the factor {name}^{-power:g}"


def constant_along(ratio: Array, good: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Yield (axes kept, values) wherever `ratio`, looked at where `good`, depends on the kept axes alone."""
    for number in range(1, min(ratio.ndim, 2) + 1):
        for kept in itertools.combinations(range(ratio.ndim), number):
            others = tuple(a for a in range(ratio.ndim) if a not in kept)
            if not others and ratio.ndim > 1:
                continue
            low = np.where(good, ratio, np.inf).min(axis=others)
            high = np.where(good, ratio, -np.inf).max(axis=others)
            if (good.any(axis=others)).all() and (high - low <= 1e-6 * np.maximum(np.abs(high), np.abs(low))).all():
                yield kept, (high + low) / 2

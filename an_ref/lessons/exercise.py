"""What a code exercise is: a forward whose backward the reader writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..validation import Array


class Exercise(NamedTuple):
    """One exercise: the reader writes `solution`, a function of dy and the cache of `op`.

    op        the forward under the contract of this package: y, cache = op(*arrays, **hyper)
    solution  a right backward: gradients = solution(dy, cache)
    arrays    makes the arrays that the answer is checked on, from a generator; a tuple, in the order of op's arguments
    hyper     the keywords of op
    hints     usual mistakes, as pairs of a wrong backward and the message for a reader who wrote it
    """

    op: Callable[..., tuple[Array, Any]]
    solution: Callable[[Array, Any], Any]
    arrays: Callable[[np.random.Generator], tuple[Array, ...]]
    hyper: Mapping[str, Any] = MappingProxyType({})
    hints: tuple[tuple[Callable[[Array, Any], Any], str], ...] = ()

"""A right pair of an op and its backward, to plant impurities in, and how to check for exactly one finding."""

import inspect
from typing import Any, NamedTuple

import numpy as np

from an_ref.gradcheck.purity import purity_findings


class Cache(NamedTuple):
    x: Any
    t: Any
    gamma: Any


def squash(x, gamma, beta):
    """The right pair that the impurities below are variations of: y = gamma tanh(x) + beta."""
    t = np.tanh(x)
    return gamma * t + beta, Cache(x, t, gamma)


def squash_backward(dy, cache):
    _, t, gamma = cache
    return dy * gamma * (1 - t * t), (dy * t).sum(0), dy.sum(0)


def inputs(dtype=np.float64):
    rng = np.random.default_rng(3)
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in ((5, 3), (3,), (3,)))


def find(op, op_backward, arrays=None, names=None, **hyper):
    """Run the check as check_gradients does; nothing that was passed may change."""
    arrays = inputs() if arrays is None else arrays
    names = names or list(inspect.signature(op).parameters)
    y = np.asarray(op(*(a.copy() for a in arrays), **hyper)[0])
    dy = np.asarray(np.random.default_rng(4).standard_normal(y.shape))
    copies = [a.copy() for a in (*arrays, dy)]
    findings = purity_findings(op, op_backward, arrays, hyper, dy, names)
    for array, copy in zip((*arrays, dy), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    return findings


def expect_one(findings, name, *words):
    """Exactly one finding, on `name`, with all of `words`."""
    assert [finding.name for finding in findings] == [name], [finding.message for finding in findings]
    for word in words:
        assert word in findings[0].message, findings[0].message


class Slots:
    """A cache without a __dict__."""

    __slots__ = ("held",)

    def __init__(self, held):
        self.held = held

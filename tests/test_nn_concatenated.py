"""Concatenated: what it computes, its gradients, what it refuses; and how layers print."""

import copy

import numpy as np
import pytest
from layer_gradients import gradient_errors, shake

from an_ref import nn
from an_ref.gradcheck import check_layer

C = 4


def dense(rng=0, **conv):
    options = {"rng": rng, "dtype": np.float64}
    row = nn.BatchNorm(C, **options), nn.ReLU(), nn.Conv2d(C, 3, size=3, **{"padding": 1, **conv}, **options)
    return nn.Concatenated(nn.Sequential(*row))


@pytest.mark.parametrize("shape", [(5, C, 4, 3), (5, C)])
def test_it_puts_the_branch_behind_x(shape):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=shape), rng.normal(size=(C, 2))
    branch = nn.Linear(C, 2, dtype=np.float64) if len(shape) == 2 else nn.Conv2d(C, 2, size=1, dtype=np.float64)
    branch.params["weight"] = w if len(shape) == 2 else w.T[:, :, None, None].copy()
    layer = nn.Concatenated(branch)
    y = layer.forward(x)
    grown = np.einsum("nc...,ck->nk...", x, w)
    np.testing.assert_array_equal(y[:, :C], x)
    np.testing.assert_allclose(y[:, C:], grown, rtol=1e-13, atol=1e-13)
    dy = rng.normal(size=y.shape)
    dx = layer.backward(dy)
    np.testing.assert_allclose(dx, dy[:, :C] + np.einsum("nk...,ck->nc...", dy[:, C:], w), rtol=1e-13)
    assert not np.shares_memory(y, x)
    assert not np.shares_memory(dx, dy)


@pytest.mark.parametrize("train", [True, False])
def test_gradients(train):
    rng = np.random.default_rng(1)
    layer = nn.Sequential(nn.Conv2d(2, C, size=1, rng=rng, dtype=np.float64), dense(rng))
    shake(layer, rng)
    x = rng.normal(size=(3, 2, 4, 5))
    assert max(gradient_errors(layer, x, rng, train).values()) < 1e-12
    report = check_layer(layer, x, train=train)
    assert report.ok, report


def test_backward_can_be_repeated_and_needs_a_forward():
    layer, rng = dense(), np.random.default_rng(2)
    with pytest.raises(RuntimeError, match="Concatenated: backward needs a forward before it"):
        layer.backward(np.ones((2, C + 3, 3, 3)))
    x = rng.normal(size=(2, C, 3, 3))
    dy = rng.normal(size=layer.forward(x).shape)
    first = layer.backward(dy)
    np.testing.assert_array_equal(layer.backward(dy), first)
    np.testing.assert_array_equal(copy.deepcopy(layer).backward(dy), first)


def test_a_failing_forward_leaves_nothing_to_go_back_to():
    layer, rng = dense(), np.random.default_rng(3)
    y = layer.forward(rng.normal(size=(2, C, 3, 3)))
    with pytest.raises(ValueError, match="batch_norm"):
        layer.forward(rng.normal(size=(2, C + 1, 3, 3)))
    with pytest.raises(RuntimeError, match="Concatenated: backward needs a forward"):
        layer.backward(y)


def test_what_it_refuses():
    rng = np.random.default_rng(4)
    message = r"Concatenated: branch gives shape \(2, 3, 1, 2\) for x of shape \(2, 4, 3, 4\); .* needs padding=1"
    with pytest.raises(ValueError, match=message):
        dense(padding=0).forward(rng.normal(size=(2, C, 3, 4)))
    with pytest.raises(ValueError, match=r"branch gives shape \(2, 4\) for x"):
        nn.Concatenated(nn.GlobalAvgPool2d()).forward(rng.normal(size=(2, C, 3, 4)))
    layer = dense()
    layer.forward(rng.normal(size=(2, C, 3, 4)))
    with pytest.raises(ValueError, match=r"Concatenated: dy must have the shape of y, \(2, 7, 3, 4\), got"):
        layer.backward(np.ones((2, C, 3, 4)))
    with pytest.raises(TypeError, match="Concatenated: branch must be a layer, got 3"):
        nn.Concatenated(3)


def test_a_layer_prints_as_a_tree():
    net = nn.Sequential(nn.Residual(dense()), nn.GlobalAvgPool2d(), nn.Linear(C, 2, bias=False))
    assert repr(net).splitlines() == [
        "Sequential with 127 parameters",
        "  0: Residual with 119 parameters",
        "    branch: Concatenated with 119 parameters",
        "      branch: Sequential with 119 parameters",
        "        0: BatchNorm(gamma (4,), beta (4,))",
        "        1: ReLU()",
        "        2: Conv2d(weight (3, 4, 3, 3), bias (3,))",
        "  1: GlobalAvgPool2d()",
        "  2: Linear(weight (4, 2))",
    ]

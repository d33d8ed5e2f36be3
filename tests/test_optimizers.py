"""SGD against its formulas and PyTorch's documented semantics; the cosine schedule."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from an_ref import nn


def net(dtype=np.float64):
    return nn.Sequential(nn.Linear(3, 4, rng=0, dtype=dtype), nn.LayerNorm(4, dtype=dtype))


def set_random_gradients(layer, rng):
    for key, p in layer.params.items():
        layer.grads[key] = rng.normal(size=p.shape).astype(p.dtype)


@given(
    lr=st.floats(1e-4, 1.0),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    weight_decay=st.sampled_from([0.0, 1e-3, 0.1]),
    nesterov=st.booleans(),
    seed=st.integers(0, 99),
)
def test_steps_follow_the_formula(lr, momentum, weight_decay, nesterov, seed):
    nesterov = nesterov and momentum > 0
    rng, layer = np.random.default_rng(seed), net()
    optimizer = nn.SGD(layer, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)
    p = {key: value.copy() for key, value in layer.params.items()}
    velocity = {}
    for step in range(3):
        set_random_gradients(layer, rng)
        optimizer.step()
        for key, value in layer.params.items():
            g = layer.grads[key] + weight_decay * p[key]
            velocity[key] = g if step == 0 else momentum * velocity[key] + g  # the first step takes g itself
            p[key] = p[key] - lr * (g + momentum * velocity[key] if nesterov else velocity[key])
            np.testing.assert_allclose(value, p[key], rtol=1e-12, atol=1e-14)


def test_a_known_trajectory():
    """Three steps on p^2 / 2 from 1, by hand: lr 0.5, momentum 0.5, weight decay 1."""
    layer = nn.Linear(1, 1, bias=False, dtype=np.float64)
    layer.params["weight"] = np.ones((1, 1))
    optimizer = nn.SGD(layer, lr=0.5, momentum=0.5, weight_decay=1.0)
    seen = []
    for _ in range(3):
        layer.grads["weight"] = layer.params["weight"].copy()
        optimizer.step()
        seen.append(layer.params["weight"].item())
    assert seen == [0.0, -0.5, -0.25]


@pytest.mark.parametrize(("entry", "spared"), [("bias", "0.bias"), ("1.gamma", "1.gamma"), ("beta", "1.beta")])
def test_no_decay_spares_what_it_names(entry, spared):
    layer = net()
    for key, p in layer.params.items():
        layer.params[key] = np.ones_like(p)
    nn.SGD(layer, lr=0.5, weight_decay=0.1, no_decay=(entry,)).step()
    for key, p in layer.params.items():
        np.testing.assert_allclose(p, 1.0 if key == spared else 0.95)


def test_no_decay_compares_whole_names():
    gate = nn.Sequential(nn.AttentiveNorm(4, mixtures=2, rng=0))
    before = dict(gate.params)
    nn.SGD(gate, lr=0.5, weight_decay=0.1, no_decay=("gamma",)).step()
    assert np.array_equal(gate.params["0.gamma"], before["0.gamma"])
    assert not np.array_equal(gate.params["0.attn_gamma"], before["0.attn_gamma"])
    alone = nn.LayerNorm(4)
    nn.SGD(alone, lr=0.5, weight_decay=0.1, no_decay=("gamma",)).step()
    assert np.array_equal(alone.params["gamma"], np.ones(4))


def test_arrays_of_the_user_are_never_modified():
    layer, mine = net(), np.ones((3, 4))
    layer.params["0.weight"] = mine
    optimizer = nn.SGD(layer, lr=0.1)
    for _ in range(2):
        before = layer.params["0.weight"]
        kept = before.copy()
        set_random_gradients(layer, np.random.default_rng(0))
        gradient = layer.grads["0.weight"].copy()
        optimizer.step()
        assert np.array_equal(before, kept)
        assert layer.params["0.weight"] is not before
        assert np.array_equal(layer.grads["0.weight"], gradient)
    assert np.array_equal(mine, np.ones((3, 4)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_parameters_keep_their_dtype(dtype):
    layer = net(dtype)
    set_random_gradients(layer, np.random.default_rng(1))
    layer.grads["0.bias"] = layer.grads["0.bias"].astype(np.float64)
    nn.SGD(layer, lr=np.float64(0.1), momentum=np.float64(0.9), weight_decay=np.float64(1e-4), nesterov=True).step()
    assert all(p.dtype == dtype for p in layer.params.values())


def test_the_learning_rate_can_be_set_between_steps():
    layer = net()
    optimizer = nn.SGD(layer, lr=0.1, momentum=0.0)
    before = layer.params["0.bias"]
    layer.grads["0.bias"] = np.ones(4)
    optimizer.lr = np.float32(0.25)
    assert optimizer.lr == 0.25
    assert type(optimizer.lr) is float
    optimizer.step()
    np.testing.assert_allclose(layer.params["0.bias"], before - 0.25)
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="SGD: lr must be positive and finite"):
            optimizer.lr = wrong
    assert optimizer.lr == 0.25


def test_a_parameter_of_another_shape_begins_anew():
    layer = nn.Linear(2, 3, dtype=np.float64)
    optimizer = nn.SGD(layer, lr=1.0)
    set_random_gradients(layer, np.random.default_rng(2))
    optimizer.step()
    layer.params["weight"], layer.grads["weight"] = np.zeros((5, 3)), np.ones((5, 3))
    optimizer.step()
    assert np.array_equal(layer.params["weight"], -np.ones((5, 3)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lr": 0}, ValueError, "SGD: lr must be positive and finite, got 0"),
        ({"lr": "0.1"}, TypeError, "SGD: lr must be a number"),
        ({"lr": 0.1, "momentum": 1.0}, ValueError, r"SGD: momentum must be in \[0, 1\)"),
        ({"lr": 0.1, "momentum": -0.1}, ValueError, "SGD: momentum must be in"),
        ({"lr": 0.1, "weight_decay": -1e-4}, ValueError, "SGD: weight_decay must be finite and not negative"),
        ({"lr": 0.1, "weight_decay": math.nan}, ValueError, "SGD: weight_decay must be finite"),
        ({"lr": 0.1, "momentum": 0, "nesterov": True}, ValueError, "SGD: nesterov needs a momentum above 0"),
        ({"lr": 0.1, "no_decay": ("gama",)}, ValueError, "SGD: no_decay names 'gama'.* did you mean 'gamma'"),
        ({"lr": 0.1, "no_decay": ("0.weigth",)}, ValueError, "did you mean '0.weight'"),
        ({"lr": 0.1, "no_decay": "bias"}, TypeError, r"SGD: no_decay must be a tuple.* no_decay=\('bias',\)"),
    ],
)
def test_what_sgd_refuses(options, error, message):
    with pytest.raises(error, match=message):
        nn.SGD(net(), **options)


def test_gradients_that_do_not_fit_change_nothing():
    layer = net()
    set_random_gradients(layer, np.random.default_rng(3))
    good, before, optimizer = dict(layer.grads), dict(layer.params), nn.SGD(layer, lr=0.1)
    layer.grads["1.beta"] = np.ones(5)
    with pytest.raises(ValueError, match=r"SGD: the gradient of '1.beta' must have .* shape \(4,\), got \(5,\)"):
        optimizer.step()
    layer.grads["1.beta"] = np.ones(4) * 1j
    with pytest.raises(ValueError, match=r"SGD: the gradient of '1.beta' has dtype complex128, its parameter float64"):
        optimizer.step()
    layer.grads["1.beta"] = good["1.beta"]
    del layer.children["0"].grads["bias"]
    with pytest.raises(ValueError, match=r"SGD: no gradient for '0.bias'; did you mean"):
        optimizer.step()
    assert all(layer.params[key] is p for key, p in before.items())


# --- cosine schedule -------------------------------------------------------------------------------------------------
@given(steps=st.integers(1, 300), lr=st.floats(1e-6, 10), data=st.data())
def test_the_schedule_rises_then_falls_and_stays_positive(steps, lr, data):
    warmup = data.draw(st.integers(0, steps - 1))
    rates = [nn.cosine_schedule(step, steps=steps, lr=lr, warmup=warmup) for step in range(steps)]
    assert all(0 < rate <= lr for rate in rates)
    assert rates[warmup] == pytest.approx(lr, rel=1e-15)
    assert rates[:warmup] == pytest.approx([lr * (step + 1) / warmup for step in range(warmup)])
    assert all(a > b for a, b in zip(rates[warmup:], rates[warmup + 1 :], strict=False))
    first_half = rates[warmup : warmup + (steps - warmup + 1) // 2]
    for step, rate in enumerate(first_half[1:], 1):  # point symmetry of half a cosine
        assert rate + rates[steps - step] == pytest.approx(lr)


def test_known_values_of_the_schedule():
    assert nn.cosine_schedule(0, steps=100, lr=0.4) == 0.4
    assert nn.cosine_schedule(50, steps=100, lr=0.4) == pytest.approx(0.2)
    assert nn.cosine_schedule(25, steps=100, lr=0.4) == pytest.approx(0.2 * (1 + math.sqrt(0.5)))
    assert nn.cosine_schedule(99, steps=100, lr=0.4) < 0.4 * 3e-4
    assert nn.cosine_schedule(0, steps=100, lr=0.4, warmup=4) == pytest.approx(0.1)
    assert nn.cosine_schedule(52, steps=100, lr=0.4, warmup=4) == pytest.approx(0.2)
    assert nn.cosine_schedule(10**6 - 1, steps=10**6, lr=1e-3) > 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"step": 10}, ValueError, "cosine_schedule: step must be below steps = 10, got 10; choose from 0 to 9"),
        ({"step": -1}, ValueError, "cosine_schedule: step must be at least 0"),
        ({"step": 1.5}, TypeError, "cosine_schedule: step must be an integer"),
        ({"steps": 0}, ValueError, "cosine_schedule: steps must be at least 1"),
        ({"warmup": 10}, ValueError, "cosine_schedule: warmup must be below steps = 10"),
        ({"warmup": -1}, ValueError, "cosine_schedule: warmup must be at least 0"),
        ({"lr": 0.0}, ValueError, "cosine_schedule: lr must be positive"),
        ({"lr": math.inf}, ValueError, "cosine_schedule: lr must be positive and finite"),
    ],
)
def test_what_the_schedule_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        nn.cosine_schedule(**{"step": 0, "steps": 10, "lr": 0.1} | arguments)

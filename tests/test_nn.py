"""The contract of every layer: keys, gradients, live parameters, running statistics, errors."""

import copy
import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layer_gradients import gradient_errors, shake

import an_ref.norms
from an_ref import nn

C = 8
IMAGE = (4, C, 5, 6)
AFFINE = {"gamma": (C,), "beta": (C,)}
RUNNING = {"running_mean": (C,), "running_var": (C,)}
SWITCH = {"mean_logits": (3,), "var_logits": (3,)}
MIX = {"gamma": (10, C), "beta": (10, C)}
LOGITS_NORM = {"attn_weight": (C, 10), "attn_gamma": (10,), "attn_beta": (10,)}
MLP = {"attn_w1": (C, 20), "attn_b1": (20,), "attn_w2": (20, 10), "attn_b2": (10,)}
LOGITS_RUNNING = {"attn_running_mean": (10,), "attn_running_var": (10,)}
GATE = {"w1": (C, 4), "b1": (4,), "w2": (4, C), "b2": (C,)}


def attentive(**variant):
    return lambda **kw: nn.AttentiveNorm(C, **variant, **kw)


# name: (constructor, shape of x, shapes of params in order, shapes of state)
LAYERS = {
    "conv": (
        lambda **kw: nn.Conv2d(C, 6, size=3, padding=1, **kw),
        IMAGE,
        {"weight": (6, C, 3, 3), "bias": (6,)},
        {},
    ),
    "conv groups": (
        lambda **kw: nn.Conv2d(C, 4, size=(1, 3), stride=2, groups=4, bias=False, **kw),
        IMAGE,
        {"weight": (4, 2, 1, 3)},
        {},
    ),
    "linear": (lambda **kw: nn.Linear(C, 5, **kw), (4, C), {"weight": (C, 5), "bias": (5,)}, {}),
    "linear bare": (lambda **kw: nn.Linear(C, 5, bias=False, **kw), (4, C), {"weight": (C, 5)}, {}),
    "relu": (nn.ReLU, IMAGE, {}, {}),
    "relu6": (nn.ReLU6, IMAGE, {}, {}),
    "sigmoid": (nn.Sigmoid, IMAGE, {}, {}),
    "hsigmoid": (nn.HSigmoid, IMAGE, {}, {}),
    "softmax": (lambda **kw: nn.Softmax(axis=1, **kw), (4, C), {}, {}),
    "max pool": (lambda **kw: nn.MaxPool2d(2, **kw), IMAGE, {}, {}),
    "avg pool": (lambda **kw: nn.AvgPool2d(3, stride=2, padding=1, **kw), IMAGE, {}, {}),
    "global pool": (nn.GlobalAvgPool2d, IMAGE, {}, {}),
    "bn": (lambda **kw: nn.BatchNorm(C, **kw), IMAGE, AFFINE, RUNNING),
    "ln": (lambda **kw: nn.LayerNorm(C, **kw), IMAGE, AFFINE, {}),
    "in": (lambda **kw: nn.InstanceNorm(C, **kw), IMAGE, AFFINE, {}),
    "gn": (lambda **kw: nn.GroupNorm(C, groups=4, **kw), IMAGE, AFFINE, {}),
    "sn": (lambda **kw: nn.SwitchableNorm(C, **kw), IMAGE, AFFINE | SWITCH, RUNNING),
    "sn of two": (
        lambda **kw: nn.SwitchableNorm(C, use_batch=False, **kw),
        IMAGE,
        AFFINE | {"mean_logits": (2,), "var_logits": (2,)},
        {},
    ),
    "se": (lambda **kw: nn.SqueezeExcite(C, reduction=2, **kw), IMAGE, GATE, {}),
    "an": (attentive(), IMAGE, MIX | LOGITS_NORM, RUNNING | LOGITS_RUNNING),
    "an on vectors": (attentive(descriptor="mean"), (4, C), MIX | LOGITS_NORM, RUNNING | LOGITS_RUNNING),
    "an linear": (
        attentive(transform="linear", activation="softmax"),
        IMAGE,
        MIX | {"attn_weight": (C, 10), "attn_bias": (10,)},
        RUNNING,
    ),
    "an mlp": (attentive(transform="mlp", activation="sigmoid"), IMAGE, MIX | MLP, RUNNING),
    "an on gn": (attentive(standardize="group", groups=4), IMAGE, MIX | LOGITS_NORM, {}),
    "an on ln": (attentive(standardize="layer", descriptor="mean_max"), IMAGE, MIX | LOGITS_NORM, {}),
    "an on in": (attentive(standardize="instance", transform="mlp"), IMAGE, MIX | MLP, {}),
    "an on sn": (
        attentive(standardize="switchable"),
        IMAGE,
        MIX | LOGITS_NORM | SWITCH,
        RUNNING | LOGITS_RUNNING,
    ),
    "an mlp on sn": (
        attentive(standardize="switchable", transform="mlp"),
        IMAGE,
        MIX | MLP | SWITCH,
        RUNNING,
    ),
}
ALL = pytest.mark.parametrize("name", LAYERS)
TRACKING = pytest.mark.parametrize("name", [name for name, (*_, state) in LAYERS.items() if state])


def make(name, rng=0, dtype=np.float64):
    return LAYERS[name][0](rng=rng, dtype=dtype)


def draw(name, rng, dtype=np.float64):
    return rng.normal(0.5, 1.0, LAYERS[name][1]).astype(dtype)


def shapes(mapping):
    return {key: value.shape for key, value in mapping.items()}


@ALL
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_keys_shapes_and_dtypes(name, dtype):
    layer = make(name, dtype=dtype)
    _, _, params, state = LAYERS[name]
    assert shapes(layer.params) == shapes(layer.grads) == params
    assert list(layer.params) == list(params)  # the op's order
    assert shapes(layer.state) == state
    assert all(not g.any() for g in layer.grads.values())

    rng = np.random.default_rng(1)
    x = draw(name, rng, dtype)
    before = x.copy()
    y = layer.forward(x)
    dx = layer.backward(rng.normal(size=y.shape).astype(dtype))
    assert y.dtype == dx.dtype == dtype
    assert dx.shape == x.shape
    assert shapes(layer.grads) == params
    assert shapes(layer.state) == state
    arrays = itertools.chain(layer.params.values(), layer.grads.values(), layer.state.values())
    assert all(a.dtype == dtype for a in arrays)
    assert np.array_equal(x, before)


@ALL
def test_dtype_is_float32_unless_asked(name):
    layer = LAYERS[name][0]()
    assert all(a.dtype == np.float32 for a in [*layer.params.values(), *layer.state.values()])


@ALL
@pytest.mark.parametrize("train", [True, False])
def test_gradients_against_the_complex_step(name, train):
    rng = np.random.default_rng(2)
    layer = make(name)
    shake(layer, rng)
    errors = gradient_errors(layer, draw(name, rng), rng, train)
    assert max(errors.values()) < 1e-13, errors


@ALL
def test_backward_can_be_repeated_and_gives_fresh_gradients(name):
    rng = np.random.default_rng(3)
    layer = make(name)
    shake(layer, rng)
    y = layer.forward(draw(name, rng))
    dy = rng.normal(size=y.shape)
    dx, first = layer.backward(dy), dict(layer.grads)
    kept = {key: g.copy() for key, g in first.items()}
    y[...] = 7.0  # the caller owns y
    again = layer.backward(dy)
    assert np.array_equal(dx, again)
    for key, g in layer.grads.items():
        assert g is not first[key]
        assert np.array_equal(g, kept[key])
        assert g.any()
    layer.backward(2 * dy)
    assert all(np.array_equal(first[key], kept[key]) for key in first)


@ALL
def test_backward_needs_a_forward(name):
    layer = make(name)
    with pytest.raises(RuntimeError, match=rf"^{type(layer).__name__}: backward needs a forward"):
        layer.backward(np.ones((1, 1)))


@ALL
def test_a_failing_forward_changes_no_state_and_leaves_nothing_to_go_back_to(name):
    layer = make(name)
    layer.forward(draw(name, np.random.default_rng(4)))
    state = dict(layer.state)
    with pytest.raises(TypeError):
        layer.forward([[1.0]])
    assert all(layer.state[key] is state[key] for key in state)
    with pytest.raises(RuntimeError):
        layer.backward(np.ones((1, 1)))


@ALL
def test_same_seed_same_bits(name):
    x = draw(name, np.random.default_rng(5), np.float32)
    runs = []
    for rng in (11, np.random.default_rng(11)):
        layer = make(name, rng=rng, dtype=np.float32)
        y = layer.forward(x)
        runs.append([y, layer.backward(y + 1), *layer.params.values(), *layer.grads.values(), *layer.state.values()])
    assert all(a.tobytes() == b.tobytes() for a, b in zip(*runs, strict=True))


@ALL
def test_one_seed_starts_the_same_in_every_dtype(name):
    single, double = make(name, dtype=np.float32), make(name, dtype=np.float64)
    assert all(np.array_equal(single.params[key], p.astype(np.float32)) for key, p in double.params.items())


# --- live parameters -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("wrap", [lambda layer: layer, nn.Sequential, nn.Residual], ids=["leaf", "row", "residual"])
@pytest.mark.parametrize("write", ["in place", "assigned"])
def test_writing_into_a_parameter_counts_at_the_next_forward(wrap, write):
    layer = wrap(nn.BatchNorm(C, dtype=np.float64))
    key = next(key for key in layer.params if key.endswith("gamma"))
    x = np.random.default_rng(6).normal(size=IMAGE)
    for train in (True, False):
        layer.params[key] = np.ones(C)
        before = layer.forward(x, train)
        if write == "in place":
            layer.params[key][2] = 3.0
        else:
            layer.params[key] = np.where(np.arange(C) == 2, 3.0, 1.0)
        change = (layer.forward(x, train) != before).any(axis=(0, 2, 3))
        assert change.tolist() == [c == 2 for c in range(C)]


def nested():
    branch = nn.Sequential(nn.Conv2d(3, 3, size=1, dtype=np.float64), nn.BatchNorm(3, dtype=np.float64))
    return nn.Sequential(nn.Residual(branch, nn.LayerNorm(3, dtype=np.float64)), nn.ReLU())


KEYS = ["0.branch.0.weight", "0.branch.0.bias", "0.branch.1.gamma", "0.branch.1.beta"]
KEYS += ["0.shortcut.gamma", "0.shortcut.beta"]


def test_a_containers_arrays_are_those_of_its_children():
    net = nested()
    assert list(net.params) == list(net.grads) == KEYS
    assert len(net.params) == len(KEYS)
    assert list(net.state) == ["0.branch.1.running_mean", "0.branch.1.running_var"]
    leaves = dict(net.named_layers())
    assert list(leaves) == ["0.branch.0", "0.branch.1", "0.shortcut", "1"]
    view = net.params  # taken before anything changes
    leaves["0.shortcut"].params["beta"] = np.full(3, 5.0)
    assert view["0.shortcut.beta"] is leaves["0.shortcut"].params["beta"]
    view["0.branch.0.bias"] = np.full(3, 6.0)
    assert leaves["0.branch.0"].params["bias"] is view["0.branch.0.bias"]
    view.update({key: np.zeros(value.shape) for key, value in view.items()})
    assert not any(p.any() for leaf in leaves.values() for p in leaf.params.values())
    net.forward(np.random.default_rng(7).normal(size=(2, 3, 4, 4)))
    assert net.state["0.branch.1.running_mean"] is leaves["0.branch.1"].state["running_mean"]
    assert next(iter(nn.ReLU().named_layers()))[0] == ""


def test_an_unknown_key_names_the_nearest():
    net = nested()
    for wrong in ("0.branch.1.gama", "0.branch.gamma", "0.branch.1.gamma.", "branch.1.gamma"):
        with pytest.raises(KeyError, match=r"params has no key .* did you mean '0.branch.1.gamma'"):
            net.params[wrong]
        with pytest.raises(KeyError, match="did you mean"):
            net.params[wrong] = np.ones(3)
        assert wrong not in net.params
    assert list(net.params) == KEYS
    with pytest.raises(TypeError, match="cannot be removed"):
        del net.params["0.branch.0.bias"]
    assert "0.branch.0.bias" in net.params


def test_a_leaf_does_not_pass_over_a_misspelt_or_missing_parameter():
    layer = nn.BatchNorm(2)
    layer.params["gama"] = np.ones(2, np.float32)
    with pytest.raises(KeyError, match="BatchNorm: params has the unknown key 'gama'; did you mean 'gamma'"):
        layer.forward(np.ones((2, 2), np.float32))
    del layer.params["gama"], layer.params["beta"]
    with pytest.raises(KeyError, match="BatchNorm: params has the missing key 'beta'"):
        layer.forward(np.ones((2, 2), np.float32))


def test_a_dict_of_parameters_in_another_order_is_taken_by_name():
    x = np.random.default_rng(18).normal(size=IMAGE)
    layer = make("se")
    y = layer.forward(x)
    layer.params = dict(reversed(layer.params.items()))
    assert np.array_equal(layer.forward(x), y)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_of_a_net_is_complete_and_apart(duplicate):
    net = nested()
    x = np.random.default_rng(8).normal(size=(2, 3, 4, 4))
    y = net.forward(x)
    twin = duplicate(net)
    np.testing.assert_allclose(twin.backward(y), net.backward(y), rtol=1e-12, atol=1e-12)  # memory is laid out anew
    twin.params["0.shortcut.beta"][...] = 9.0
    assert not net.params["0.shortcut.beta"].any()
    assert twin.forward(x).max() > y.max()


# --- containers ------------------------------------------------------------------------------------------------------
def test_containers_compute_what_they_say():
    rng = np.random.default_rng(9)
    x, dy = rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(2, 3, 4, 4))
    a, b = nn.Conv2d(3, 3, size=1, rng=1, dtype=np.float64), nn.LayerNorm(3, dtype=np.float64)
    fa, fb = a.forward(x), b.forward(x)
    da, db = a.backward(dy), b.backward(dy)
    residual = nn.Residual(a, b)
    assert np.array_equal(residual.forward(x), fa + fb)
    assert np.array_equal(residual.backward(dy), da + db)
    identity = nn.Residual(a)
    assert np.array_equal(identity.forward(x), fa + x)
    assert np.array_equal(identity.backward(dy), da + dy)
    row = nn.Sequential(a, b)
    assert np.array_equal(row.forward(x), b.forward(fa))
    errors = gradient_errors(nn.Sequential(nested(), residual), x, rng)
    assert max(errors.values()) < 1e-13, errors


def test_containers_refuse_what_cannot_work():
    relu = nn.ReLU()
    with pytest.raises(ValueError, match="Sequential: expected at least one layer"):
        nn.Sequential()
    with pytest.raises(TypeError, match=r"Sequential: 1 must be a layer.*ReLU"):
        nn.Sequential(relu, nn.ReLU)
    with pytest.raises(ValueError, match="the same layer appears twice"):
        nn.Sequential(nn.Sequential(relu), relu)
    mismatch = nn.Residual(nn.Conv2d(3, 1, size=1))
    with pytest.raises(ValueError, match=r"Residual: branch gives shape \(2, 1, 4, 4\), shortcut gives \(2, 3, 4, 4\)"):
        mismatch.forward(np.ones((2, 3, 4, 4), np.float32))
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        nested().backward(np.ones((2, 3, 4, 4)))


def test_a_row_that_fails_half_way_does_not_mix_two_forwards():
    net = nn.Sequential(nn.ReLU(), nn.Linear(3, 2), nn.Sigmoid())
    y = net.forward(np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match="linear"):
        net.forward(np.ones((2, 4), np.float32))
    with pytest.raises(RuntimeError):
        net.backward(y)


@pytest.mark.parametrize("train", [True, False])
def test_a_gated_norm_is_the_norm_and_then_the_gate(train):
    rng = np.random.default_rng(10)
    gated = nn.GatedNorm(make("bn"), make("se"))
    shake(gated, rng)
    plain = nn.Sequential(*copy.deepcopy(list(gated.children.values())))
    x, dy = rng.normal(size=IMAGE), rng.normal(size=IMAGE)
    np.testing.assert_allclose(gated.forward(x, train), plain.forward(x, train), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(gated.backward(dy), plain.backward(dy), rtol=1e-10, atol=1e-13)
    for key, g in plain.grads.items():
        np.testing.assert_allclose(gated.grads[key], g, rtol=1e-10, atol=1e-13)
    norm, gate = gated.children.values()
    if train:
        assert np.array_equal(gate.cache.m, norm.cache.b)  # to the bit: the squeeze is the norm's table
    errors = gradient_errors(gated, x, rng, train)
    assert max(errors.values()) < 1e-13, errors


# --- running statistics ----------------------------------------------------------------------------------------------
@given(decay=st.sampled_from([0.0, 0.5, 0.9]), seed=st.integers(0, 1000), shape=st.sampled_from([(5, 3), (2, 3, 4, 2)]))
def test_running_statistics_follow_the_formula(decay, seed, shape):
    rng = np.random.default_rng(seed)
    mean, var = np.zeros(3), np.ones(3)
    layers = [
        nn.BatchNorm(3, decay=decay, dtype=np.float64),
        nn.SwitchableNorm(3, decay=decay, dtype=np.float64),
        nn.AttentiveNorm(3, mixtures=2, decay=decay, descriptor="mean", dtype=np.float64),
        nn.AttentiveNorm(3, decay=decay, descriptor="mean", standardize="switchable", dtype=np.float64),
    ]
    for _ in range(3):
        x = rng.normal(rng.normal(), 2.0, shape)
        values = np.moveaxis(x, 1, 0).reshape(3, -1)
        mean = decay * mean + (1 - decay) * values.mean(axis=1)
        var = decay * var + (1 - decay) * values.var(axis=1, ddof=1)
        for layer in layers:
            old = dict(layer.state)
            kept = {key: value.copy() for key, value in old.items()}
            layer.forward(x)
            np.testing.assert_allclose(layer.state["running_mean"], mean, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(layer.state["running_var"], var, rtol=1e-12)
            assert all(np.array_equal(old[key], kept[key]) for key in old)  # replaced, not edited


@pytest.mark.parametrize("standardize", ["batch", "switchable"])
def test_running_statistics_of_the_logits(standardize):
    rng = np.random.default_rng(12)
    layer = nn.AttentiveNorm(3, mixtures=4, standardize=standardize, decay=0.8, rng=rng, dtype=np.float64)
    mean, var = np.zeros(4), np.ones(4)
    for _ in range(3):
        x = rng.normal(0.5, 2.0, (5, 3, 4, 4))
        maps = x.reshape(5, 3, -1)
        logits = maps.mean(axis=2) / np.sqrt(maps.var(axis=2, ddof=1) + 1e-3) @ layer.params["attn_weight"]
        mean = 0.8 * mean + 0.2 * logits.mean(axis=0)
        var = 0.8 * var + 0.2 * logits.var(axis=0, ddof=1)
        layer.forward(x)
        np.testing.assert_allclose(layer.state["attn_running_mean"], mean, rtol=1e-12)
        np.testing.assert_allclose(layer.state["attn_running_var"], var, rtol=1e-12)


@TRACKING
def test_eval_reads_the_running_statistics_and_leaves_them(name):
    rng = np.random.default_rng(13)
    layer = make(name)
    shake(layer, rng)
    state, x = dict(layer.state), draw(name, rng)
    y = layer.forward(x, train=False)
    layer.backward(y)
    assert all(layer.state[key] is state[key] for key in state)
    np.testing.assert_allclose(layer.forward(x[:1], train=False), y[:1], rtol=1e-12)  # one sample, by itself
    for key in state:
        layer.state[key] = state[key] + 0.5
        assert not np.allclose(layer.forward(x, train=False), y)
        layer.state[key] = state[key]


def test_batch_norm_in_eval_mode_is_an_affine_map():
    rng = np.random.default_rng(14)
    layer = nn.BatchNorm(3, eps=0.1, dtype=np.float64)
    shake(layer, rng)
    x = rng.normal(size=(2, 3))
    s, p = layer.state, layer.params
    expected = p["gamma"] * (x - s["running_mean"]) / np.sqrt(s["running_var"] + 0.1) + p["beta"]
    np.testing.assert_allclose(layer.forward(x, train=False), expected, rtol=1e-14)


@TRACKING
def test_a_complex_forward_leaves_real_running_statistics(name):
    x = draw(name, np.random.default_rng(15))
    real, imaginary = make(name), make(name)
    real.forward(x)
    assert imaginary.forward(x + 1e-20j).dtype == np.complex128
    for key, value in real.state.items():
        assert imaginary.state[key].dtype == np.float64
        np.testing.assert_allclose(imaginary.state[key], value, rtol=1e-13, atol=1e-15)


def test_a_layer_without_running_statistics_is_the_same_in_both_modes():
    for name, (*_, state) in LAYERS.items():
        if not state:
            layer, x = make(name), draw(name, np.random.default_rng(16))
            assert np.array_equal(layer.forward(x), layer.forward(x, train=False))


def test_the_op_gets_the_options_of_the_layer():
    rng = np.random.default_rng(17)
    x = rng.normal(size=(3, 4, 5))
    layer = nn.GroupNorm(4, groups=2, eps=0.5, dtype=np.float64)
    expected, _ = an_ref.norms.group_norm(x, np.ones(4), np.zeros(4), groups=2, eps=0.5)
    assert np.array_equal(layer.forward(x), expected)
    for kind in (nn.BatchNorm, nn.LayerNorm, nn.InstanceNorm, nn.SwitchableNorm):
        assert np.abs(kind(4, eps=100.0, dtype=np.float64).forward(x)).max() < 0.5
    np.testing.assert_allclose(nn.Softmax(axis=0).forward(x).sum(axis=0), 1.0)
    images = rng.normal(size=(1, 1, 6, 6))
    assert nn.MaxPool2d(2).forward(images).shape == (1, 1, 3, 3)  # side by side
    assert nn.AvgPool2d(2, stride=1, padding=1).forward(images).shape == (1, 1, 7, 7)
    an = nn.AttentiveNorm(4, eps=1e6, descriptor="mean", dtype=np.float64)
    an.params["beta"] = np.zeros((10, 4))
    assert np.abs(an.forward(x)).max() < 0.1


# --- initial values --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("layer", "key", "mean", "deviation"),
    [
        (nn.Conv2d(32, 64, size=3, groups=2, rng=0), "weight", 0.0, np.sqrt(2 / (16 * 9))),
        (nn.Linear(200, 100, rng=0), "weight", 0.0, np.sqrt(2 / 200)),
        (nn.SqueezeExcite(256, reduction=4, rng=0), "w1", 0.0, np.sqrt(2 / 256)),
        (nn.SqueezeExcite(256, reduction=4, rng=0), "w2", 0.0, np.sqrt(2 / 64)),
        (nn.AttentiveNorm(1000, rng=0), "gamma", 1.0, 0.1),
        (nn.AttentiveNorm(1000, rng=0), "beta", 0.0, 0.1),
        (nn.AttentiveNorm(1000, rng=0), "attn_weight", 0.0, np.sqrt(2 / 1000)),
        (nn.AttentiveNorm(500, transform="mlp", rng=0), "attn_w1", 0.0, np.sqrt(2 / 500)),
        (nn.AttentiveNorm(4, mixtures=60, transform="mlp", rng=0), "attn_w2", 0.0, np.sqrt(2 / 120)),
    ],
)
def test_random_starts_have_the_stated_mean_and_deviation(layer, key, mean, deviation):
    p = layer.params[key].astype(np.float64)
    assert abs(p.mean() - mean) < 5 * deviation / np.sqrt(p.size)
    assert abs(p.std() / deviation - 1) < 5 / np.sqrt(2 * p.size)


ONES = ("running_var", "attn_gamma", "attn_running_var", "mean_logits", "var_logits")


@ALL
def test_all_other_starts_are_constants(name):
    layer = make(name)
    for key, value in itertools.chain(layer.params.items(), layer.state.items()):
        if value.ndim == 1:
            assert np.all(value == (key in ONES or key == "gamma")), key


def test_parts_of_a_layer_are_drawn_apart():
    se, an = nn.SqueezeExcite(8, reduction=1, rng=0), nn.AttentiveNorm(10, mixtures=10, rng=0)
    assert not np.array_equal(se.params["w1"], se.params["w2"])
    assert not np.array_equal(an.params["gamma"] - 1, an.params["beta"])
    assert not np.array_equal(nn.Linear(4, 4, rng=0).params["weight"], nn.Linear(4, 4, rng=1).params["weight"])


# --- errors ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: nn.BatchNorm(0), ValueError, "BatchNorm: channels must be at least 1, got 0"),
        (lambda: nn.LayerNorm(2.0), TypeError, "LayerNorm: channels must be an integer"),
        (lambda: nn.BatchNorm(2, decay=1.0), ValueError, r"BatchNorm: decay must be in \[0, 1\), got 1.0"),
        (lambda: nn.SwitchableNorm(2, decay=-0.1), ValueError, "SwitchableNorm: decay must be in"),
        (lambda: nn.AttentiveNorm(2, decay=2), ValueError, "AttentiveNorm: decay must be in"),
        (lambda: nn.BatchNorm(2, decay="0.9"), TypeError, "BatchNorm: decay must be a number"),
        (lambda: nn.InstanceNorm(2, eps=-1e-5), ValueError, "InstanceNorm: eps must be finite and not negative"),
        (lambda: nn.AttentiveNorm(2, eps=np.nan), ValueError, "AttentiveNorm: eps must be finite"),
        (lambda: nn.GroupNorm(24), ValueError, "GroupNorm: 24 channels do not divide into 32 groups; choose from 1, 2"),
        (lambda: nn.GroupNorm(8, groups=0), ValueError, "GroupNorm: groups must be at least 1"),
        (lambda: nn.BatchNorm(2, dtype=np.int32), TypeError, "BatchNorm: dtype must be a floating-point dtype"),
        (lambda: nn.ReLU(dtype=complex), TypeError, "ReLU: dtype must be a floating-point dtype"),
        (lambda: nn.Conv2d(1, 1, size=1, dtype="float31"), TypeError, "Conv2d: dtype must be .* got 'float31'"),
        (lambda: nn.Linear(1, 1, dtype=bool), TypeError, "Linear: dtype"),
        (lambda: nn.Softmax(dtype=int), TypeError, "Softmax: dtype"),
        (lambda: nn.MaxPool2d(2, dtype=int), TypeError, "MaxPool2d: dtype"),
        (lambda: nn.SqueezeExcite(8), ValueError, "SqueezeExcite: reduction must divide channels = 8.* got 16; choose"),
        (lambda: nn.SqueezeExcite(8, reduction=3), ValueError, "choose from 1, 2, 4, 8"),
        (lambda: nn.SqueezeExcite(8, reduction=0), ValueError, "SqueezeExcite: reduction must be at least 1"),
        (lambda: nn.SqueezeExcite(8, reduction=4, dtype=int), TypeError, "SqueezeExcite: dtype"),
        (lambda: nn.AttentiveNorm(8, mixtures=0), ValueError, "AttentiveNorm: mixtures must be at least 1"),
        (lambda: nn.AttentiveNorm(8, standardize="bach"), ValueError, "AttentiveNorm: unknown .* did you mean 'batch'"),
        (lambda: nn.AttentiveNorm(8, descriptor="meanmax"), ValueError, "did you mean 'mean_max'"),
        (lambda: nn.AttentiveNorm(8, transform="liner"), ValueError, "did you mean 'linear'"),
        (lambda: nn.AttentiveNorm(8, activation="hsig"), ValueError, "did you mean 'hsigmoid'"),
        (lambda: nn.AttentiveNorm(8, standardize="group"), ValueError, "AttentiveNorm: .* needs groups"),
        (lambda: nn.AttentiveNorm(8, standardize="group", groups=3), ValueError, "AttentiveNorm: 8 channels do not"),
        (lambda: nn.Conv2d(4, 6, size=3, groups=4), ValueError, "Conv2d: 6 output channels do not divide"),
        (lambda: nn.Conv2d(6, 4, size=3, groups=4), ValueError, "Conv2d: 6 input channels do not divide"),
        (lambda: nn.Conv2d(6, 4, size=0), ValueError, "Conv2d: size must be at least 1"),
        (lambda: nn.Conv2d(6, 4, size=3, stride=0), ValueError, "Conv2d: stride must be at least 1"),
        (lambda: nn.Conv2d(6, 4, size=3, padding=-1), ValueError, "Conv2d: padding must be at least 0"),
        (lambda: nn.Linear(0, 4), ValueError, "Linear: inputs must be at least 1"),
        (lambda: nn.Linear(4, 0), ValueError, "Linear: outputs must be at least 1"),
        (lambda: nn.AvgPool2d(0), ValueError, "AvgPool2d: size must be at least 1"),
        (lambda: nn.MaxPool2d(2, stride=0), ValueError, "MaxPool2d: stride must be at least 1"),
        (lambda: nn.MaxPool2d(2, padding=-1), ValueError, "MaxPool2d: padding must be at least 0"),
    ],
)
def test_what_a_constructor_refuses(build, error, message):
    with pytest.raises(error, match=message):
        build()

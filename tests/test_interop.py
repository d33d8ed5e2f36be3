"""State dicts in PyTorch's names and layouts, without PyTorch: names, layouts, round trips and errors."""

from collections import OrderedDict

import numpy as np
import pytest
from state_dicts import Tensor, arrays_of, same, shaken

from an_ref import nn
from an_ref.interop import from_torch, to_torch
from an_ref.nn.attention import GatedNorm

C = 8
RUNNING = ["running_mean", "running_var"]
BATCH_NORM = ["weight", "bias", *RUNNING, "num_batches_tracked"]
LOGITS_NORM = ["attention.norm.weight", "attention.norm.bias"]
FIRST = ["weight", "bias", "attention.fc.weight"]
MLP = ["attention.fc1.weight", "attention.fc1.bias", "attention.fc2.weight", "attention.fc2.bias"]


def under(prefix, names):
    return [f"{prefix}.{name}" for name in names]


def attentive(**variant):
    return lambda **kw: nn.AttentiveNorm(C, mixtures=3, **variant, **kw)


# name: (constructor, PyTorch's names, in any order)
LEAVES = {
    "bn": (lambda **kw: nn.BatchNorm(C, **kw), BATCH_NORM),
    "gn": (lambda **kw: nn.GroupNorm(C, groups=4, **kw), ["weight", "bias"]),
    "in": (lambda **kw: nn.InstanceNorm(C, **kw), ["weight", "bias"]),
    "ln": (lambda **kw: nn.LayerNorm(C, **kw), ["weight", "bias"]),
    "sn": (lambda **kw: nn.SwitchableNorm(C, **kw), ["weight", "bias", "mean_logits", "var_logits", *RUNNING]),
    "sn of two": (
        lambda **kw: nn.SwitchableNorm(C, use_batch=False, **kw),
        ["weight", "bias", "mean_logits", "var_logits"],
    ),
    "conv": (lambda **kw: nn.Conv2d(C, 6, size=3, groups=2, **kw), ["weight", "bias"]),
    "linear": (lambda **kw: nn.Linear(C, 5, **kw), ["weight", "bias"]),
    "linear bare": (lambda **kw: nn.Linear(C, 5, bias=False, **kw), ["weight"]),
    "se": (
        lambda **kw: nn.SqueezeExcite(C, reduction=2, **kw),
        ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"],
    ),
    "an": (
        attentive(),
        [*FIRST, *LOGITS_NORM, *under("norm", BATCH_NORM[2:]), *under("attention.norm", BATCH_NORM[2:])],
    ),
    "an on gn": (
        attentive(standardize="group", groups=2),
        [*FIRST, *LOGITS_NORM],
    ),
    "an on sn": (
        attentive(standardize="switchable"),
        [
            *FIRST,
            *LOGITS_NORM,
            *under("norm", ["mean_logits", "var_logits", *RUNNING]),
            *under("attention.norm", BATCH_NORM[2:]),
        ],
    ),
    "an linear": (
        attentive(standardize="layer", transform="linear"),
        [*FIRST, "attention.fc.bias"],
    ),
    "an mlp": (attentive(transform="mlp"), ["weight", "bias", *MLP, *under("norm", BATCH_NORM[2:])]),
}
ALL_LEAVES = pytest.mark.parametrize("name", LEAVES)

STAGES = [
    "layer1.0", "layer1.1", "layer1.2",
    "layer2.0", "layer2.1", "layer2.2",
    "layer3.0", "layer3.1", "layer3.2",
]  # fmt: skip
CONVOLUTIONS = ["conv1", *(f"{block}.conv{i}" for block in STAGES for i in (1, 2))]
NORMS = ["bn1", *(f"{block}.bn{i}" for block in STAGES for i in (1, 2))]
DOWN = ["layer2.0.downsample", "layer3.0.downsample"]


def made(name, rng=0, dtype=np.float64):
    return shaken(LEAVES[name][0](rng=rng, dtype=dtype), rng)


@ALL_LEAVES
def test_names_of_a_leaf(name):
    assert sorted(to_torch(made(name))) == sorted(LEAVES[name][1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@ALL_LEAVES
def test_round_trip_of_a_leaf_is_exact(name, dtype):
    one, two = made(name, rng=1, dtype=dtype), made(name, rng=2, dtype=dtype)
    assert not same(arrays_of(one), arrays_of(two))
    state = to_torch(one)
    from_torch(two, state)
    assert same(arrays_of(one), arrays_of(two))
    assert same(state, to_torch(two))
    assert all(a.flags.c_contiguous for a in [*state.values(), *arrays_of(two).values()])


def test_names_of_resnet20():
    expected = under("conv1", ["weight"]) + under("fc", ["weight", "bias"])
    for conv in CONVOLUTIONS[1:] + under(DOWN[0], "0") + under(DOWN[1], "0"):
        expected += under(conv, ["weight"])
    for norm in NORMS + under(DOWN[0], "1") + under(DOWN[1], "1"):
        expected += under(norm, BATCH_NORM)
    state = to_torch(nn.resnet20(norm="bn", classes=10))
    assert sorted(state) == sorted(expected)
    assert len(state) == 21 + 21 * 5 + 2
    assert state["layer2.0.downsample.0.weight"].shape == (32, 16, 1, 1)
    assert state["layer3.2.conv2.weight"].shape == (64, 64, 3, 3)
    assert state["fc.weight"].shape == (10, 64)


def test_a_shorter_net_has_fewer_stages_and_blocks_and_a_gate():
    state = to_torch(nn.small_cnn(norm="se", classes=3))
    expected = [f"layer{stage}.0.se.fc{i}.{part}" for stage in (1, 2, 3) for i in (1, 2) for part in ("weight", "bias")]
    assert [key for key in state if ".se." in key] == expected
    assert {key.split(".")[0] for key in state} == {"conv1", "bn1", "layer1", "layer2", "layer3", "fc"}
    assert state["layer3.0.se.fc1.weight"].shape == (16, 64, 1, 1)


def test_names_of_bottlenecks():
    """Every first block of a stage has a shortcut there, and a stage as many blocks as it likes."""
    net = nn.resnet56(norm="an", block="bottleneck", classes=10)
    state = to_torch(net)
    blocks = {tuple(key.split(".")[:2]) for key in state if key.startswith("layer")}
    assert blocks == {(f"layer{stage}", str(block)) for stage in (1, 2, 3) for block in range(6)}
    assert {key.split(".")[2] for key in state if key.startswith("layer3.5.")} == {
        "conv1", "bn1", "conv2", "bn2", "conv3", "bn3",
    }  # fmt: skip
    assert {key.rsplit(".", 2)[0] for key in state if "downsample" in key and "0.weight" in key} == {
        f"layer{stage}.0.downsample" for stage in (1, 2, 3)
    }
    assert {key.split(".")[2] for key in state if "attention" in key} == {"bn2"}
    assert [state[f"layer{stage}.0.bn2.weight"].shape for stage in (1, 2, 3)] == [(10, 16), (10, 32), (20, 64)]


def test_without_norms_the_convolutions_have_biases():
    state = to_torch(nn.small_cnn(norm="none", classes=3))
    assert {"conv1.bias", "layer1.0.conv2.bias", "layer2.0.downsample.0.bias"} < set(state)
    assert not any("bn" in key for key in state)


def test_an_is_the_first_norm_of_a_block():
    state = to_torch(nn.resnet20(norm="an", classes=10))
    with_attention = {key.split(".attention")[0] for key in state if "attention" in key}
    assert with_attention == {f"{block}.bn1" for block in STAGES}


NETS = [("small_cnn", norm) for norm in nn.NORMS] + [("mobilenet_v2", "an"), ("densenet", "se")]


@pytest.mark.parametrize(("name", "norm"), NETS)
def test_round_trip_of_a_net_gives_the_same_logits(name, norm):
    x = np.random.default_rng(7).normal(0.5, 1, (4, 3, 12, 12)).astype(np.float32)
    one, two = (shaken(nn.MODELS[name](norm=norm, classes=3, rng=seed), seed) for seed in (1, 2))
    from_torch(two, to_torch(one))
    np.testing.assert_array_equal(one.forward(x, train=False), two.forward(x, train=False))
    np.testing.assert_array_equal(one.forward(x), two.forward(x))


def test_other_containers_keep_their_own_names():
    plain = nn.Sequential(nn.Conv2d(3, 4, size=1), nn.ReLU(), nn.Sequential(nn.BatchNorm(4)), nn.Linear(4, 2))
    assert [key for key in to_torch(plain) if "num" not in key and "running" not in key] == [
        "0.weight", "0.bias", "2.0.weight", "2.0.bias", "3.weight", "3.bias",
    ]  # fmt: skip
    two_gates = nn.Residual(nn.Sequential(nn.SqueezeExcite(4, reduction=2), nn.SqueezeExcite(4, reduction=2)))
    assert {key.rsplit(".", 2)[0] for key in to_torch(two_gates)} == {"branch.0", "branch.1"}
    of_linear = nn.Residual(nn.Sequential(nn.Conv2d(4, 4, size=1), nn.Linear(4, 4)))
    assert list(to_torch(of_linear)) == ["branch.0.weight", "branch.0.bias", "branch.1.weight", "branch.1.bias"]
    gated = GatedNorm(nn.BatchNorm(4), nn.SqueezeExcite(4, reduction=2))
    assert {"0.weight", "1.fc1.weight"} < set(to_torch(gated))


def block():
    return nn.Residual(nn.Conv2d(4, 4, size=1, bias=False))


@pytest.mark.parametrize(
    "parts",
    [
        [block],  # no stem, no head
        [lambda: nn.Conv2d(3, 4, size=1, bias=False), block],
        [block, lambda: nn.Conv2d(4, 4, size=1, bias=False), lambda: nn.Linear(4, 2, bias=False)],
        [lambda: nn.Conv2d(3, 4, size=1, bias=False), lambda: nn.Linear(4, 2, bias=False), block],
        [lambda: nn.Conv2d(3, 4, size=1, bias=False), block, *[lambda: nn.Linear(4, 4, bias=False)] * 2],
        [lambda: nn.Conv2d(3, 4, size=1, bias=False), lambda: nn.Linear(4, 2, bias=False)],
        [lambda: nn.Conv2d(3, 4, size=1), *[lambda: nn.GroupNorm(4, groups=2)] * 2, block, lambda: nn.Linear(4, 2)],
        [lambda: nn.Conv2d(3, 4, size=1), lambda: nn.SqueezeExcite(4, reduction=2), block, lambda: nn.Linear(4, 2)],
        [lambda: nn.Conv2d(3, 4, size=1, bias=False), lambda: nn.Sequential(block()), lambda: nn.Linear(4, 2)],
    ],
)
def test_what_is_almost_a_resnet_goes_by_position(parts):
    net = nn.Sequential(*(part() for part in parts))
    assert {key.split(".")[0] for key in to_torch(net)} == {str(i) for i in range(len(parts))}


def test_layouts():
    linear, gate = made("linear"), made("se")
    np.testing.assert_array_equal(to_torch(linear)["weight"], linear.params["weight"].T)
    np.testing.assert_array_equal(to_torch(gate)["fc1.weight"], gate.params["w1"].T[:, :, None, None])
    np.testing.assert_array_equal(to_torch(gate)["fc2.weight"][..., 0, 0], gate.params["w2"].T)
    an = made("an")
    np.testing.assert_array_equal(to_torch(an)["attention.fc.weight"], an.params["attn_weight"].T)
    np.testing.assert_array_equal(to_torch(an)["weight"], an.params["gamma"])
    conv = made("conv")
    np.testing.assert_array_equal(to_torch(conv)["weight"], conv.params["weight"])


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("linear", ["weight"]),
        ("se", ["fc1.weight", "fc2.weight"]),
        ("an", ["attention.fc.weight"]),
        ("an mlp", ["attention.fc1.weight", "attention.fc2.weight"]),
    ],
)
def test_matrices_are_read_as_matrices_and_as_1x1_convolutions(name, keys):
    one = made(name, rng=1)
    state = to_torch(one)
    for tail in ((), (1, 1)):
        two = made(name, rng=2)
        from_torch(two, state | {key: state[key].reshape(*state[key].shape[:2], *tail) for key in keys})
        assert same(arrays_of(one), arrays_of(two))


def test_a_state_dict_shares_no_memory_with_the_layer():
    layer = made("bn")
    state = to_torch(layer)
    state["weight"][:] = 0
    assert layer.params["gamma"].all()
    from_torch(layer, state)
    state["weight"][:] = 5
    assert not layer.params["gamma"].any()


def test_values_are_rounded_to_the_dtype_of_the_layer():
    layer = made("linear", dtype=np.float32)
    state = {key: a.astype(np.float64) + 1e-12 for key, a in to_torch(layer).items()}
    from_torch(layer, state)
    assert {a.dtype for a in layer.params.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(layer.params["bias"], state["bias"].astype(np.float32))


def test_tensors_are_values_too():
    one, two = made("bn", rng=1), made("bn", rng=2)
    state = OrderedDict((key, Tensor(a)) for key, a in to_torch(one).items())
    from_torch(two, state)
    assert same(arrays_of(one), arrays_of(two))
    assert state["weight"].asked == ["detach", "cpu", "numpy"]


@pytest.mark.parametrize("name", ["bn", "sn", "an", "an on sn"])
def test_counters_of_batches_may_be_there_or_not(name):
    one, two = made(name, rng=1), made(name, rng=2)
    state = to_torch(one)
    bare = {key: a for key, a in state.items() if "num_batches_tracked" not in key}
    full = bare | {
        key.replace("running_mean", "num_batches_tracked"): np.array(3) for key in bare if "running_mean" in key
    }
    assert len(full) > len(bare)
    for dictionary in (bare, full):
        from_torch(two, dictionary)
        assert same(arrays_of(one), arrays_of(two))
        shaken(two, 3)

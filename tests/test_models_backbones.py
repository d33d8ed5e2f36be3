"""Bottlenecks, MobileNetV2 and DenseNet: gradients with every norm, where each norm sits, start, options."""

import itertools
from functools import partial

import numpy as np
import pytest
from layer_gradients import STEP, shake

from an_ref import nn
from an_ref.gradcheck import check_layer
from an_ref.losses import softmax_cross_entropy, softmax_cross_entropy_backward

CLASSES = 5
TINY = {
    "resnet20-bottleneck": nn.MODELS["resnet20-bottleneck"],
    "mobilenet_v2": partial(nn.mobilenet_v2, width=0.1),
    "densenet": partial(nn.densenet, layers=2, growth=6),
}
STAGES = {"resnet20-bottleneck": 3, "mobilenet_v2": 7, "densenet": 3}
NETS = pytest.mark.parametrize("net", TINY)
NORMS = pytest.mark.parametrize("norm", nn.NORMS)
PLAIN_OF = {"se": "bn", "an": "bn", "an-gn": "gn", "an-ln": "ln", "an-in": "in", "an-sn": "sn"}
KIND = {"bn": nn.BatchNorm, "ln": nn.LayerNorm, "in": nn.InstanceNorm, "gn": nn.GroupNorm, "sn": nn.SwitchableNorm}
NORM_LAYERS = (*KIND.values(), nn.AttentiveNorm)


def build(net, norm, rng=0, dtype=np.float64, **options):
    return TINY[net](norm=norm, classes=CLASSES, rng=rng, dtype=dtype, **options)


def norms(net):
    return {name: leaf for name, leaf in net.named_layers() if isinstance(leaf, NORM_LAYERS)}


def moved(net, rng):
    """Random directions for all parameters, each as large as its parameter, and the net with a complex step in them."""
    directions = {key: rng.normal(size=p.shape) * (np.abs(p).mean() + 0.1) for key, p in net.params.items()}
    for key, u in directions.items():
        net.params[key] = net.params[key] + 1j * STEP * u
    return directions


@NORMS
@NETS
@pytest.mark.parametrize("train", [True, False])
def test_gradients(net, norm, train):
    """<dy, J u> = <J^T dy, u> for one direction u in x and every parameter at once."""
    rng = np.random.default_rng(0)
    model = build(net, norm, rng)
    shake(model, rng, scale=0.05)
    x = rng.normal(size=(3, 3, 10, 9))
    dy, v = rng.normal(size=model.forward(x, train).shape), rng.normal(size=x.shape)
    dx, grads = model.backward(dy), dict(model.grads)
    directions = moved(model, rng)
    forward = dy * model.forward(x + 1j * STEP * v, train).imag / STEP
    backward = [(dx * v).sum(), *((grads[key] * u).sum() for key, u in directions.items())]
    assert all(grads[key].shape == u.shape for key, u in directions.items())
    assert abs(forward.sum() - sum(backward)) < 1e-11 * (np.abs(forward).sum() + np.abs(backward).sum())
    assert np.abs(forward).sum() > 1e-3


@NETS
@pytest.mark.parametrize("train", [True, False])
def test_gradients_of_each_kind_of_block(net, train):
    rng = np.random.default_rng(1)
    model = build(net, "an", rng, mixtures=2)
    shake(model, rng, scale=0.1)
    y, checked = rng.normal(size=(2, 3, 9, 9)), set()
    for layer in model.children.values():
        kind = type(layer), len(list(layer.named_layers()))
        if layer.children and kind not in checked:
            report = check_layer(layer, y, train=train, method="adjoint")
            assert report.ok, report
            checked.add(kind)
        y = layer.forward(y, train=False)
    assert len(checked) == {"resnet20-bottleneck": 2, "mobilenet_v2": 3, "densenet": 1}[net]


PLACES = {
    "resnet20-bottleneck": {"first": "branch.1", "second": "branch.4", "third": "branch.7"},
    "densenet": {"first": "branch.0", "second": "branch.3"},
}


@pytest.mark.parametrize("net", PLACES)
@pytest.mark.parametrize("norm", ["an", "an-gn", "an-ln", "an-in", "an-sn"])
def test_placement(net, norm):
    plain = KIND[PLAIN_OF[norm]]
    for placement, ending in {**PLACES[net], "all": "", None: PLACES[net]["second"]}.items():
        leaves = norms(build(net, norm, placement=placement))
        for name, leaf in leaves.items():
            assert type(leaf) is (nn.AttentiveNorm if name.endswith(ending) else plain), (name, placement)
        assert sum(isinstance(leaf, nn.AttentiveNorm) for leaf in leaves.values()) >= 6


@NORMS
@pytest.mark.parametrize("placement", ["first", "second", "third", "all", None])
def test_placement_in_mobilenet(norm, placement):
    """By the convolution before each norm: depthwise, or one that widens or narrows inside a block."""
    layers = list(build("mobilenet_v2", norm, placement=placement).named_layers())
    for (_, conv), (name, leaf) in itertools.pairwise(layers):
        if isinstance(conv, nn.Conv2d):
            out, seen = conv.params["weight"].shape[:2]
            inside = "." in name
            place = "second" if conv.hyper["groups"] > 1 else "first" if out > seen else "third"
            attentive = placement == "all" or (inside and place == (placement or "second"))
            if norm == "none":
                assert not isinstance(leaf, NORM_LAYERS)
            else:
                plain = KIND[PLAIN_OF.get(norm, norm)]
                assert type(leaf) is (nn.AttentiveNorm if attentive and norm.startswith("an") else plain), name


def test_the_shape_of_mobilenet():
    """Depthwise 3x3, strides and channels of each stage as in table 2 of its paper; ReLU6 but at the ends."""
    net = nn.mobilenet_v2(norm="bn", classes=10, width=1.0)
    shape, found = np.zeros((1, 3, 32, 32), np.float32), []
    for layer in net.children.values():
        shape = layer.forward(shape, train=False)
        if layer.children:
            found.append(shape.shape[1:3])
    table = [(16, 32), *[(24, 32)] * 2, *[(32, 16)] * 3, *[(64, 8)] * 4, *[(96, 8)] * 3, *[(160, 4)] * 3, (320, 4)]
    assert found == table
    leaves = [leaf for _, leaf in net.named_layers()]
    depthwise = [leaf for leaf in leaves if isinstance(leaf, nn.Conv2d) and leaf.hyper["groups"] > 1]
    assert len(depthwise) == 17
    assert all(leaf.params["weight"].shape[1:] == (1, 3, 3) for leaf in depthwise)
    assert sum(isinstance(leaf, nn.ReLU6) for leaf in leaves) == 1 + 1 + 16 * 2 + 1
    assert sum(isinstance(layer, nn.Residual) for layer in net.children.values()) == 10  # blocks that keep the shape
    assert not any(isinstance(leaf, nn.ReLU) for leaf in leaves)


@pytest.mark.parametrize(
    ("width", "channels"), [(0.1, {8, 48, 1280}), (0.5, {8, 16, 32, 48, 80, 160, 1280}), (2.0, {2560, 640})]
)
def test_the_width_of_mobilenet(width, channels):
    net = nn.mobilenet_v2(norm="bn", classes=10, width=width)
    found = {leaf.params["gamma"].size for leaf in norms(net).values()}
    assert channels <= found
    assert all(C % 8 == 0 for C in found)
    assert max(found) == max(channels)


def test_the_shape_of_densenet():
    net = nn.densenet(norm="bn", classes=10)
    x, found = np.zeros((1, 3, 32, 32), np.float32), []
    for layer in net.children.values():
        x = layer.forward(x, train=False)
        if isinstance(layer, nn.Concatenated):
            found.append(x.shape[1:3])
    widths = [[start + 12 * i for i in range(1, 7)] for start in (24, 48, 60)]
    assert found == [(C, side) for row, side in zip(widths, (32, 16, 8), strict=True) for C in row]


@pytest.mark.parametrize("net", [nn.MODELS["resnet20-bottleneck"], partial(nn.resnet56, block="bottleneck")])
def test_the_shape_of_a_bottleneck(net):
    model = net(norm="bn", classes=10)
    leaves = {name: leaf for name, leaf in model.named_layers() if isinstance(leaf, nn.Conv2d) and "branch" in name}
    sizes = {name[-1]: set() for name in leaves}
    strides = {name[-1]: 0 for name in leaves}
    for name, leaf in leaves.items():
        out, _, *kernel = leaf.params["weight"].shape
        sizes[name[-1]].add((out, kernel[0]))
        strides[name[-1]] += leaf.hyper["stride"] == (2, 2)
    inside = {(16, 1), (32, 1), (64, 1)}
    assert sizes == {"0": inside, "3": {(C, 3) for C, _ in inside}, "6": {(4 * C, 1) for C, _ in inside}}
    assert strides == {"0": 0, "3": 2, "6": 0}


@pytest.mark.parametrize(
    ("net", "block", "others"),
    [
        ("resnet20-bottleneck", "conv bn relu conv bn relu conv bn", {"conv bn relu", "relu", "relu pool linear"}),
        ("mobilenet_v2", "conv bn relu6 conv bn relu6 conv bn", {"conv bn relu6", "conv bn relu6 pool linear"}),
        ("densenet", "bn relu conv bn relu conv", {"conv", "bn relu conv mean", "bn relu pool linear"}),
    ],
)
def test_the_order_of_the_layers(net, block, others):
    """In each block without its shortcut, and between the blocks."""
    words = {"Conv2d": "conv", "BatchNorm": "bn", "AvgPool2d": "mean", "GlobalAvgPool2d": "pool"}
    blocks, between = set(), [[]]
    for layer in build(net, "bn").children.values():
        if layer.children:
            branch = layer.children.get("branch", layer)
            blocks.add(" ".join(words.get(name, name.lower()) for name in types(branch)))
            between.append([])
        else:
            between[-1] += types(layer)
    assert {" ".join(words.get(name, name.lower()) for name in row) for row in between if row} == others
    assert max(blocks, key=len) == block
    assert blocks - {block} == ({"conv bn relu6 conv bn"} if net == "mobilenet_v2" else set())


def types(layer):
    return [type(leaf).__name__ for _, leaf in layer.named_layers()]


@NORMS
@pytest.mark.parametrize("net", ["resnet20-bottleneck", "mobilenet_v2"])
def test_every_branch_of_a_sum_starts_at_zero(net, norm):
    last = ["third", "all", "second"]
    for placement in last if norm.startswith("an") else last[:1]:
        model = build(net, norm, placement=placement)
        y = np.random.default_rng(2).normal(size=(2, 3, 12, 12))
        sums = 0
        for layer in model.children.values():
            if isinstance(layer, nn.Residual):
                assert not layer.children["branch"].forward(y, False).any()
                sums += 1
            y = layer.forward(y, False)
            assert y.any()
        assert sums == {"resnet20-bottleneck": 6, "mobilenet_v2": 12}[net]  # the first two with 8 channels, too


@NETS
def test_a_gate_at_the_end_of_each_branch(net):
    model = build(net, "se")
    blocks = [layer for layer in model.children.values() if layer.children]
    ends = [list(block.named_layers())[-1][1] if net != "resnet20-bottleneck" else gate_of(block) for block in blocks]
    assert all(isinstance(end, nn.SqueezeExcite) for end in ends)
    gates = [leaf for _, leaf in model.named_layers() if isinstance(leaf, nn.SqueezeExcite)]
    assert len(gates) == len(blocks) == {"resnet20-bottleneck": 6, "mobilenet_v2": 17, "densenet": 6}[net]
    if net == "densenet":
        assert all(gate.params["w1"].shape == (6, 3) for gate in gates)  # gcd(4, 6) = 2


def gate_of(block):
    return list(block.children["branch"].named_layers())[-1][1]


@NETS
def test_groups_divide_the_channels(net):
    for norm in ("gn", "an-gn"):
        for leaf in norms(build(net, norm, placement="all")).values():
            C = leaf.params["gamma"].shape[-1]
            assert leaf.hyper["groups"] == np.gcd(8, C)


@NETS
def test_mixtures_of_each_stage(net):
    mixtures = tuple(range(2, 2 + STAGES[net]))
    leaves = norms(build(net, "an", mixtures=mixtures)).values()
    found = [leaf.params["gamma"].shape[0] for leaf in leaves if isinstance(leaf, nn.AttentiveNorm)]
    repeats = {"mobilenet_v2": (1, 2, 3, 4, 3, 3, 1)}.get(net, (2, 2, 2))
    expected = [K for K, n in zip(mixtures, repeats, strict=True) for _ in range(n)]
    assert found == expected


@NETS
def test_options_of_the_attention(net):
    options = {"descriptor": "mean", "transform": "mlp", "activation": "softmax"}
    attentive = [leaf for leaf in norms(build(net, "an", attention=options)).values() if "attn_w1" in leaf.params]
    assert len(attentive) >= 6
    assert all(options.items() <= leaf.hyper.items() for leaf in attentive)
    assert all(leaf.hyper["groups"] is None for leaf in attentive)


@NORMS
@NETS
def test_three_steps_move_every_parameter_and_one_seed_gives_the_same_bits(net, norm):
    runs = []
    for _ in range(2):
        rng = np.random.default_rng(3)
        model = build(net, norm, rng)
        start = {key: p.copy() for key, p in model.params.items()}
        optimizer = nn.SGD(model, lr=0.05)
        x, labels = rng.normal(size=(6, 3, 12, 12)), rng.integers(0, CLASSES, 6)
        for _ in range(3):
            _, cache = softmax_cross_entropy(model.forward(x), labels)
            model.backward(softmax_cross_entropy_backward(1.0, cache))
            optimizer.step()
        runs.append({**model.params, **model.state})
    stuck = [key for key, p in start.items() if np.array_equal(p, runs[0][key])]
    assert not stuck
    assert all(a.tobytes() == runs[1][key].tobytes() for key, a in runs[0].items())


@NORMS
@pytest.mark.parametrize("net", nn.MODELS)
def test_logits_have_a_sensible_size_at_the_start(net, norm):
    rng = np.random.default_rng(4)
    model = nn.MODELS[net](norm=norm, classes=100, rng=rng)
    logits = model.forward(rng.normal(size=(4, 3, 32, 32)).astype(np.float32))
    assert logits.shape == (4, 100)
    assert logits.dtype == np.float32
    assert 0.2 < logits.std() < 5


@pytest.mark.parametrize(("net", "side"), [("resnet20-bottleneck", 5), ("mobilenet_v2", 9), ("densenet", 8)])
def test_the_smallest_images(net, side):
    x = np.random.default_rng(5).normal(size=(2, 3, side + 1, side))
    for norm in nn.NORMS:
        assert build(net, norm).forward(x).shape == (2, CLASSES)
    with pytest.raises(ValueError, match="more than one position"):
        build(net, "an").forward(x[:, :, : side - 1, : side - 1])

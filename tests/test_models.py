"""The two nets: gradients with every norm, parameter counts by formula, where each norm sits, how they start."""

import numpy as np
import pytest
from layer_gradients import gradient_errors, shake

from an_ref import nn
from an_ref.losses import softmax_cross_entropy, softmax_cross_entropy_backward

NETS = pytest.mark.parametrize("net", [nn.small_cnn, nn.resnet20])
NORMS = pytest.mark.parametrize("norm", nn.NORMS)
PLAIN_OF = {"se": "bn", "an": "bn", "an-gn": "gn", "an-ln": "ln", "an-in": "in", "an-sn": "sn"}
KIND = {
    "bn": nn.BatchNorm,
    "ln": nn.LayerNorm,
    "in": nn.InstanceNorm,
    "gn": nn.GroupNorm,
    "sn": nn.SwitchableNorm,
}
NORM_LAYERS = (*KIND.values(), nn.AttentiveNorm)
CLASSES = 5
K = 10


def count(layer):
    return sum(p.size for p in layer.params.values())


def norm_count(norm, channels, attentive):
    """Parameters of one norm."""
    if norm == "none":
        return channels  # the bias of the convolution in its place
    logits = 6 if PLAIN_OF.get(norm, norm) == "sn" else 0
    if norm.startswith("an") and attentive:
        return 2 * K * channels + channels * K + 2 * K + logits
    return 2 * channels + logits


def expected_count(norm, placement, blocks):
    """Parameters of a net with stages of `blocks` basic blocks, 16, 32 and 64 channels wide."""
    everywhere = placement == "all"
    total, channels = 3 * 16 * 9 + norm_count(norm, 16, everywhere), 16
    for width in (16, 32, 64):
        for _ in range(blocks):
            total += 9 * channels * width + norm_count(norm, width, placement in ("first", "all"))
            total += 9 * width * width + norm_count(norm, width, placement in ("second", "all"))
            if channels != width:
                total += channels * width + norm_count(norm, width, everywhere)
            if norm == "se":
                total += 2 * width * (width // 4) + width // 4 + width
            channels = width
    return total + 64 * CLASSES + CLASSES


@NORMS
def test_parameter_counts(norm):
    assert count(nn.small_cnn(norm=norm, classes=CLASSES)) == expected_count(norm, "first", 1)
    for placement in nn.PLACEMENTS:
        net = nn.resnet20(norm=norm, classes=CLASSES, placement=placement)
        assert count(net) == expected_count(norm, placement, 3)


def test_resnet20_has_the_size_of_the_paper():
    # He et al. 2016, table 6: 0.27M. Projections instead of padded identities add 16 * 32 + 32 * 64 weights, two norms.
    net = nn.resnet20(norm="bn", classes=10)
    assert count(net) == 269_722 + 16 * 32 + 32 * 64 + 2 * (32 + 64)
    convolutions = [leaf for name, leaf in net.named_layers() if isinstance(leaf, nn.Conv2d) and "shortcut" not in name]
    assert len(convolutions) + 1 == 20  # and the linear layer


@NORMS
@pytest.mark.parametrize("train", [True, False])
def test_gradients_of_a_whole_net(norm, train):
    rng = np.random.default_rng(0)
    net = nn.small_cnn(norm=norm, classes=CLASSES, rng=rng, dtype=np.float64)
    shake(net, rng, scale=0.1)
    errors = gradient_errors(net, rng.normal(size=(3, 3, 18, 20)), rng, train)
    assert len(errors) == len(net.params) + 1
    assert max(errors.values()) < 1e-12, errors


@pytest.mark.parametrize("placement", nn.PLACEMENTS)
def test_gradients_of_resnet20(placement):
    rng = np.random.default_rng(1)
    net = nn.resnet20(norm="an", classes=CLASSES, placement=placement, rng=rng, dtype=np.float64)
    shake(net, rng, scale=0.03)
    errors = gradient_errors(net, rng.normal(size=(2, 3, 8, 8)), rng)
    assert max(errors.values()) < 1e-12, errors


@NORMS
@NETS
def test_where_each_norm_sits(net, norm):
    leaves = dict(net(norm=norm, classes=CLASSES, rng=0).named_layers())
    plain = KIND.get(PLAIN_OF.get(norm, norm))
    for name, leaf in leaves.items():
        if isinstance(leaf, nn.Conv2d):
            assert ("bias" in leaf.params) == (norm == "none")
            head, number = name.rsplit(".", 1) if "." in name else ("", name)
            after = f"{head}.{int(number) + 1}".lstrip(".")
            following = leaves.get(after) or leaves.get(f"{after}.0")  # behind a gated norm is one more step
            first_of_block = "branch.0" in name
            if norm == "none":
                assert not isinstance(following, NORM_LAYERS)
            elif norm.startswith("an") and first_of_block:
                assert isinstance(following, nn.AttentiveNorm)
            else:
                assert type(following) is plain
    gates = [name for name, leaf in leaves.items() if isinstance(leaf, nn.SqueezeExcite)]
    blocks = {name.split(".branch")[0] for name in leaves if ".branch" in name}
    assert {name.split(".branch")[0] for name in gates} == (blocks if norm == "se" else set())
    assert all(name.endswith("branch.4.1") for name in gates)


@pytest.mark.parametrize(
    ("norm", "standardize"),
    [("an", "batch"), ("an-gn", "group"), ("an-ln", "layer"), ("an-in", "instance"), ("an-sn", "switchable")],
)
@pytest.mark.parametrize("placement", nn.PLACEMENTS)
def test_placement_of_attentive_norms(norm, standardize, placement):
    net = nn.resnet20(norm=norm, classes=CLASSES, placement=placement, rng=0)
    leaves = {name: leaf for name, leaf in net.named_layers() if isinstance(leaf, NORM_LAYERS)}
    attentive = {name for name, leaf in leaves.items() if isinstance(leaf, nn.AttentiveNorm)}
    ending = {"first": "branch.1", "second": "branch.4", "all": ""}[placement]
    assert attentive == {name for name in leaves if name.endswith(ending)}
    assert len(attentive) == {"first": 9, "second": 9, "all": 21}[placement]
    for name in attentive:
        assert leaves[name].hyper["standardize"] == standardize
        assert leaves[name].hyper["groups"] == (8 if norm == "an-gn" else None)
        assert leaves[name].params["gamma"].shape[0] == K
    assert all(leaf.hyper["groups"] == 8 for leaf in leaves.values() if isinstance(leaf, nn.GroupNorm))


@NORMS
@pytest.mark.parametrize("placement", nn.PLACEMENTS)
def test_every_branch_starts_at_zero(norm, placement):
    net = nn.resnet20(norm=norm, classes=CLASSES, placement=placement, rng=2)
    x = np.random.default_rng(3).normal(size=(4, 3, 16, 16)).astype(np.float32)
    blocks = [layer for layer in net.children.values() if isinstance(layer, nn.Residual)]
    assert len(blocks) == 9
    features = {id(block): [] for block in blocks}
    for train in (True, False):
        y = x
        for layer in net.children.values():
            if isinstance(layer, nn.Residual):
                branch = layer.children["branch"].forward(y, train)
                features[id(layer)].append(branch)
            y = layer.forward(y, train)
    assert all(not branch.any() for branches in features.values() for branch in branches)


@NORMS
@NETS
def test_one_step_moves_every_parameter_that_can_move(net, norm):
    """At the start the branches are zero: what is before their last layer gets no gradient. Two steps reach it all."""
    rng = np.random.default_rng(4)
    model = net(norm=norm, classes=CLASSES, rng=rng, dtype=np.float64)
    start = {key: p.copy() for key, p in model.params.items()}
    optimizer = nn.SGD(model, lr=0.05)
    x, labels = rng.normal(size=(8, 3, 16, 16)), rng.integers(0, CLASSES, 8)
    for _ in range(3):
        _, cache = softmax_cross_entropy(model.forward(x), labels)
        model.backward(softmax_cross_entropy_backward(1.0, cache))
        optimizer.step()
    stuck = [key for key, p in model.params.items() if np.array_equal(p, start[key])]
    assert not stuck


@NORMS
@NETS
def test_features_keep_their_size_at_the_start(net, norm):
    """He-normal weights and zero branches: the logits are of the order of one, with norms or without."""
    rng = np.random.default_rng(5)
    logits = net(norm=norm, classes=200, rng=rng).forward(rng.normal(size=(32, 3, 32, 32)).astype(np.float32))
    assert 0.2 < logits.std() < 5


@NORMS
@NETS
def test_same_seed_same_bits(net, norm):
    x = np.random.default_rng(6).normal(size=(4, 3, 16, 16)).astype(np.float32)
    runs = []
    for rng in (7, np.random.default_rng(7)):
        model = net(norm=norm, classes=CLASSES, rng=rng)
        optimizer = nn.SGD(model, lr=0.1)
        for _ in range(2):
            y = model.forward(x)
            model.backward(y)
            optimizer.step()
        runs.append([y, *model.params.values(), *model.state.values()])
    assert all(a.dtype == np.float32 for a in runs[0])
    assert all(a.tobytes() == b.tobytes() for a, b in zip(*runs, strict=True))


@NORMS
@NETS
def test_in_eval_mode_a_sample_does_not_see_the_others_and_state_stays(net, norm):
    rng = np.random.default_rng(9)
    model = net(norm=norm, classes=CLASSES, rng=rng, dtype=np.float64)
    shake(model, rng, scale=0.1)
    x, state = rng.normal(size=(3, 3, 16, 16)), dict(model.state)
    logits = model.forward(x, train=False)
    np.testing.assert_allclose(model.forward(x[1:2], train=False), logits[1:2], rtol=1e-9)
    assert all(model.state[key] is state[key] for key in state)


@NORMS
def test_small_cnn_learns(norm):
    """Full-batch descent on 24 noisy images of 3 patterns: the loss falls far below that of guessing, log 3."""
    rng = np.random.default_rng(8)
    model = nn.small_cnn(norm=norm, classes=3, rng=rng)
    optimizer = nn.SGD(model, lr=0.2)
    labels = np.arange(24) % 3
    x = (rng.normal(size=(3, 3, 16, 16))[labels] + rng.normal(size=(24, 3, 16, 16))).astype(np.float32)
    for _ in range(25):
        loss, cache = softmax_cross_entropy(model.forward(x), labels)
        model.backward(softmax_cross_entropy_backward(np.float32(1), cache))
        optimizer.step()
    assert loss < 0.3


@pytest.mark.parametrize(("net", "side"), [(nn.small_cnn, 9), (nn.resnet20, 5)])
def test_the_smallest_images(net, side):
    x = np.random.default_rng(10).normal(size=(2, 3, side + 1, side)).astype(np.float32)
    for norm in nn.NORMS:
        assert net(norm=norm, classes=CLASSES, rng=0).forward(x).shape == (2, CLASSES)
    with pytest.raises(ValueError, match="more than one position"):
        net(norm="an", classes=CLASSES, rng=0).forward(x[:, :, : side - 1, : side - 1])


@NETS
def test_what_a_net_refuses(net):
    name = net.__name__
    with pytest.raises(ValueError, match=f"{name}: unknown norm 'an-nn'; did you mean 'an-.n'"):
        net(norm="an-nn", classes=2)
    with pytest.raises(ValueError, match=f"{name}: classes must be at least 1, got 0"):
        net(norm="bn", classes=0)
    with pytest.raises(TypeError, match=f"{name}: dtype must be a floating-point dtype"):
        net(norm="bn", classes=2, dtype=np.int64)


def test_resnet20_refuses_an_unknown_placement():
    with pytest.raises(ValueError, match="resnet20: unknown placement 'third'; did you mean 'first'"):
        nn.resnet20(norm="an", classes=2, placement="third")

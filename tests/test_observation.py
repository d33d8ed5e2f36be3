"""What attention does, read from trained nets."""

import numpy as np
import pytest
from tiny import CLASSES

from an_ref import nn
from an_ref.observation import describe_places, observe_attention

LABELS = np.array([0, 1, 2, 0, 1, 1])
X = np.random.default_rng(0).standard_normal((6, 3, 16, 16)).astype(np.float32)


def observe(norm, x=X, labels=LABELS):
    model = nn.small_cnn(norm=norm, classes=len(CLASSES), rng=np.random.default_rng(1))
    return observe_attention(model, x, labels, len(CLASSES)), model


@pytest.mark.parametrize(("norm", "kind", "attribute"), [("an", "lambda", "lambda_"), ("se", "gates", "s")])
def test_weights_are_averaged_by_class(norm, kind, attribute):
    attention, model = observe(norm)
    assert len(attention[kind]) == 3  # one in each block
    layers = dict(model.named_layers())
    for name, found in attention[kind].items():
        model.forward(X, train=False)
        weights = getattr(layers[name].cache, attribute)
        expected = [weights[c == LABELS].mean(axis=0) for c in range(3)]
        np.testing.assert_allclose(found["by_class"], expected, atol=6e-5)  # stored with four digits
        assert 0 <= found["share"] <= 1


def test_more_images_than_a_batch():
    many = np.concatenate([X] * 50)
    once, _ = observe("an")
    often, _ = observe("an", many, np.concatenate([LABELS] * 50))
    for name, found in once["lambda"].items():
        np.testing.assert_allclose(often["lambda"][name]["by_class"], found["by_class"], atol=2e-4)


def test_share_is_1_if_the_class_decides_all():
    same = X[[0, 1, 2, 0, 1, 1]]
    attention, _ = observe("an", same)
    assert [found["share"] for found in attention["lambda"].values()] == pytest.approx([1, 1, 1], abs=1e-3)


def test_share_is_0_if_all_images_are_the_same():
    attention, _ = observe("an", X[[0] * 6])
    assert [found["share"] for found in attention["lambda"].values()] == [0, 0, 0]


def test_a_class_without_images_has_the_overall_mean():
    attention, _ = observe("an", X[:2], np.array([0, 1]))
    for found in attention["lambda"].values():
        table = np.array(found["by_class"])
        np.testing.assert_allclose(table[2], table[:2].mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("norm", ["sn", "an-sn"])
def test_mixtures_are_the_softmax_of_the_logits(norm):
    model = nn.small_cnn(norm=norm, classes=3, rng=np.random.default_rng(1))
    name = next(name for name, layer in model.named_layers() if "mean_logits" in layer.params)
    model.params[f"{name}.mean_logits"] = np.log(np.array([0.2, 0.3, 0.5], np.float32))
    found = observe_attention(model, X, LABELS, 3)["mixture"]
    np.testing.assert_allclose(found[name]["mean"], [0.2, 0.3, 0.5], atol=1e-4)
    np.testing.assert_allclose(found[name]["variance"], [1 / 3] * 3, atol=1e-4)
    assert found[name]["parts"] == ["in", "ln", "bn"]
    assert len(found) == 9


def test_a_plain_net_has_no_attention():
    assert observe("bn")[0] == {"lambda": {}, "gates": {}, "mixture": {}}


def test_places_are_named_in_words():
    names = ["0", "1", "3.branch.0", "3.branch.1", "3.branch.3", "3.branch.4.1", "5.branch.0", "5.shortcut.1"]
    convolutions = {"0", "3.branch.0", "3.branch.3", "5.branch.0"}
    words = describe_places([(name, name in convolutions) for name in names])
    assert words["1"] == "first layers"
    assert words["3.branch.1"] == "block 1, after conv 1"
    assert words["3.branch.4.1"] == "block 1, after conv 2"
    assert words["5.shortcut.1"] == "block 2, shortcut"


def test_blocks_without_a_sum_norms_before_convolutions_and_layers_between_blocks_are_described():
    names = ["0", "1", "3.0", "3.1", "3.3", "3.4", "4", "5.branch.0", "5.branch.2"]
    words = describe_places([(name, name in ("0", "3.0", "3.3", "5.branch.2")) for name in names])
    assert words["3.4"] == "block 1, after conv 2"
    assert words["4"] == "after block 1"
    assert words["5.branch.0"] == "block 2, before conv 1"

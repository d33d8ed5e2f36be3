"""A ReLU in a row of layers writes into what the layer before it gives, where nobody can see it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from an_ref import nn

KINDS = ["relu", "conv", "bn", "gn", "gated", "sum", "sum in place", "keeps", "sum with what is kept"]
ROWS = st.lists(st.sampled_from(KINDS), min_size=1, max_size=6)


class Keeps(nn.BatchNorm):
    """A norm that keeps what it has given away: it does not say that it is fresh."""

    def forward(self, x, train=True):
        self.given = super().forward(x, train)
        return self.given

    def backward(self, dy):
        self.given_back = super().backward(dy)
        return self.given_back


def make(kind):
    return {
        "relu": lambda: nn.ReLU(),
        "conv": lambda: nn.Conv2d(4, 4, size=3, padding=1, rng=0, dtype=np.float64),
        "bn": lambda: nn.BatchNorm(4, dtype=np.float64),
        "gn": lambda: nn.GroupNorm(4, groups=2, dtype=np.float64),
        "sum": lambda: nn.Residual(
            nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, size=1, rng=1, dtype=np.float64), nn.ReLU())
        ),
        "gated": lambda: nn.GatedNorm(make("bn"), nn.SqueezeExcite(4, reduction=2, rng=2, dtype=np.float64)),
        "sum in place": lambda: nn.Residual(nn.Sequential(make("conv"), make("bn")), make("conv")),
        "keeps": lambda: Keeps(4, dtype=np.float64),
        "sum with what is kept": lambda: nn.Residual(nn.Sequential(make("keeps"), make("keeps"))),
    }[kind]()


def draw(seed):
    return np.random.default_rng(seed).standard_normal((2, 3, 4, 2, 2))


@given(kinds=ROWS, seed=st.integers(0, 99))
def test_a_row_gives_what_its_layers_give_one_by_one(kinds, seed):
    x, dy = draw(seed)
    row, layers = nn.Sequential(*map(make, kinds)), list(map(make, kinds))
    there, back = x.copy(), dy.copy()
    y = row.forward(x)
    dx = row.backward(dy)
    for layer in layers:
        there = layer.forward(there)
    for layer in reversed(layers):
        back = layer.backward(back)
    same(y, there)
    same(dx, back)
    grads = [g for layer in layers for g in layer.grads.values()]
    for mine, theirs in zip(row.grads.values(), grads, strict=True):
        same(mine, theirs)
    np.testing.assert_array_equal([x, dy], draw(seed), "the caller's arrays")
    y[...] = 0
    same(row.backward(dy), back)  # a second time, after y was written to


def same(mine, theirs):
    """Equal but for rounding: in another place an array may have another layout, and is summed in another order."""
    np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-11)


def test_what_a_layer_keeps_is_not_written_to():
    x, dy = draw(0)
    row, alone = nn.Sequential(make("keeps"), nn.ReLU(), make("keeps"), nn.ReLU()), make("keeps")
    y = alone.forward(x)
    row.forward(x)
    np.testing.assert_array_equal(row.children["0"].given, y)
    row.backward(dy)
    given_back = row.children["2"].given_back
    np.testing.assert_array_equal(given_back, row.children["2"].backward(row.children["3"].backward(dy)))


def test_the_map_before_a_relu_is_not_kept_beside_the_one_behind_it():
    """This is what it is for: of norm - ReLU - convolution, one map less."""
    row = nn.Sequential(make("bn"), nn.ReLU(), make("conv"))
    row.forward(draw(0)[0])
    assert row.children["1"].cache.x is row.children["2"].cache.x


def test_complex_numbers_pass():
    x, dy = draw(0)
    row = nn.Sequential(make("bn"), nn.ReLU(), make("conv"))
    y = row.forward(x + 1e-20j * dy)
    row.forward(x)
    assert (dy * row.backward(np.ones_like(dy))).sum() == pytest.approx(y.imag.sum() / 1e-20, rel=1e-9)


def test_a_subclass_does_not_inherit_the_word_of_its_parent():
    assert nn.BatchNorm(4).gives_fresh()
    assert not Keeps(4).gives_fresh()


@pytest.mark.parametrize(
    ("kind", "in_place"), [("sum in place", True), ("sum", True), ("sum with what is kept", False)]
)
def test_a_sum_is_written_into_what_a_fresh_branch_gives(kind, in_place, monkeypatch):
    x, dy = draw(0)
    layer, given = make(kind), []
    branch = layer.children["branch"]
    forward, backward = branch.forward, branch.backward
    monkeypatch.setattr(branch, "forward", lambda x, train: given.append(forward(x, train)) or given[0])
    monkeypatch.setattr(branch, "backward", lambda dy: given.append(backward(dy)) or given[1])
    y, dx = layer.forward(x), layer.backward(dy)
    assert [y is given[0], dx is given[1]] == [in_place] * 2
    if kind == "sum with what is kept":
        same(branch.children["1"].given, make("keeps").forward(make("keeps").forward(x)))


def test_a_row_is_fresh_if_its_ends_are():
    assert nn.Sequential(make("bn"), make("keeps"), make("relu")).gives_fresh()
    assert not nn.Sequential(make("keeps"), make("relu")).gives_fresh()
    assert not nn.Sequential(make("relu"), make("keeps")).gives_fresh()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "keeps"])
def test_who_says_so_gives_fresh_arrays(kind):
    x, dy = draw(0)
    layer = make(kind)
    assert layer.gives_fresh()
    y = layer.forward(x)
    dx = layer.backward(dy)
    held = [x, dy, *arrays(layer)]
    assert not any(np.shares_memory(new, old) for new in (y, dx) for old in held)


def arrays(layer):
    """Everything that the layer keeps, its caches included."""
    found = [*layer.params.values(), *layer.grads.values()]
    for _, leaf in layer.named_layers():
        found += [part for part in leaf.cache or () if isinstance(part, np.ndarray)]
    return found

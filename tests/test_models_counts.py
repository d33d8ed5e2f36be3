"""Parameter counts of every net with every norm, from tables of their layers written anew; published counts too.

A table lists each convolution as ("conv", inputs that one output sees, outputs) and each norm as ("norm", channels,
position, stage). The same functions give the ImageNet nets of the papers, whose counts are public.
"""

import math

import pytest

from an_ref import nn

CLASSES = 7
NORMS = pytest.mark.parametrize("norm", nn.NORMS)
LOGITS = {"sn": 6, "an-sn": 6}
BOTTLENECK = ("first", "second", "third", "all")


def conv_norm(seen, width, position, stage):
    return [("conv", seen, width), ("norm", width, position, stage)]


def resnet(block, repeats, widths=(16, 32, 64), stem=27):
    """He et al. 2016: `repeats` blocks in each stage, a projection where the number of channels changes."""
    channels, last = widths[0], 4 if block == "bottleneck" else 1
    yield from conv_norm(stem, channels, "stem", 0)
    for stage, (width, blocks) in enumerate(zip(widths, repeats, strict=True)):
        for _ in range(blocks):
            if block == "bottleneck":
                yield from conv_norm(channels, width, "first", stage)
                yield from conv_norm(9 * width, width, "second", stage)
                yield from conv_norm(width, 4 * width, "third", stage)
            else:
                yield from conv_norm(9 * channels, width, "first", stage)
                yield from conv_norm(9 * width, width, "second", stage)
            yield ("gate", last * width)
            if channels != last * width:
                yield from conv_norm(channels, last * width, "shortcut", stage)
            channels = last * width
    yield ("linear", channels)


def mobilenet(channels=(32, 16, 24, 32, 64, 96, 160, 320, 1280)):
    """Sandler et al. 2018, table 2: channels of the stem, the seven stages and the head; expansion 6, at first 1."""
    before, *widths, head = channels
    yield from conv_norm(27, before, "stem", 0)
    for stage, (width, blocks) in enumerate(zip(widths, (1, 2, 3, 4, 3, 3, 1), strict=True)):
        for _ in range(blocks):
            wide = before if stage == 0 else 6 * before
            if stage > 0:
                yield from conv_norm(before, wide, "first", stage)
            yield from conv_norm(9, wide, "second", stage)
            yield from conv_norm(wide, width, "third", stage)
            yield ("gate", width)
            before = width
    yield from conv_norm(before, head, "head", 6)
    yield ("linear", head)


def densenet(layers, growth, stem=27, stem_norm=False):
    """Huang et al. 2017, DenseNet-BC: `layers` in each block; ImageNet's has a norm behind the stem."""
    channels = 2 * growth
    yield ("conv", stem, channels)
    if stem_norm:
        yield ("norm", channels, "stem", 0)
    for block, count in enumerate(layers):
        if block > 0:
            yield ("norm", channels, "transition", block - 1)
            yield ("conv", channels, channels // 2)
            channels //= 2
        for _ in range(count):
            yield ("norm", channels, "first", block)
            yield ("conv", channels, 4 * growth)
            yield ("norm", 4 * growth, "second", block)
            yield ("conv", 9 * 4 * growth, growth)
            yield ("gate", growth)
            channels += growth
    yield ("norm", channels, "end", len(layers) - 1)
    yield ("linear", channels)


def expected(table, norm, mixtures=(), placement=None, classes=CLASSES):
    """Number of parameters: weights, biases where there are no norms, 2 C for a norm, 3 K C + 2 K for AN."""
    total = 0
    for kind, *sizes in table:
        if kind == "conv":
            total += sizes[0] * sizes[1] + (sizes[1] if norm == "none" else 0)
        elif kind == "linear":
            total += (sizes[0] + 1) * classes
        elif kind == "gate" and norm == "se":
            C = sizes[0]
            hidden = C // math.gcd(4, C)
            total += 2 * C * hidden + hidden + C
        elif kind == "norm" and norm != "none":
            C, position, stage = sizes
            attentive = norm.startswith("an") and placement in (position, "all")
            K = mixtures[stage] if attentive else 0
            total += (3 * K * C + 2 * K if attentive else 2 * C) + LOGITS.get(norm, 0)
    return total


def count(layer):
    return sum(p.size for p in layer.params.values())


# name: (builder, options, table, K of each stage, placement by default, all placements)
NETS = {
    "small_cnn": ("small_cnn", {}, lambda: resnet("basic", (1, 1, 1)), (10, 10, 10), "first", nn.PLACEMENTS),
    "deeper small_cnn": (
        "small_cnn", {"blocks": 3}, lambda: resnet("basic", (3, 3, 3)), (10, 10, 10), "first", nn.PLACEMENTS,
    ),
    "resnet20": ("resnet20", {}, lambda: resnet("basic", (3, 3, 3)), (10, 10, 10), "first", nn.PLACEMENTS),
    "resnet20-bottleneck": (
        "resnet20-bottleneck", {}, lambda: resnet("bottleneck", (2, 2, 2)), (10, 10, 10), "second", BOTTLENECK,
    ),
    "resnet56": ("resnet56", {}, lambda: resnet("basic", (9, 9, 9)), (10, 10, 20), "first", nn.PLACEMENTS),
    "resnet56-bottleneck": (
        "resnet56-bottleneck", {}, lambda: resnet("bottleneck", (6, 6, 6)), (10, 10, 20), "second", BOTTLENECK,
    ),
    "mobilenet_v2": (
        "mobilenet_v2", {}, lambda: mobilenet((16, 8, 16, 16, 32, 48, 80, 160, 1280)), (5, 5, 5, 5, 10, 10, 10),
        "second", BOTTLENECK,
    ),
    "densenet": ("densenet", {}, lambda: densenet((6, 6, 6), 12), (10, 10, 20), "second", nn.PLACEMENTS),
    "odd densenet": (
        "densenet", {"layers": 2, "growth": 5}, lambda: densenet((2, 2, 2), 5), (10, 10, 20), "second", nn.PLACEMENTS,
    ),
}  # fmt: skip


def test_every_model_is_counted_here():
    assert {name for name, *_ in NETS.values()} == set(nn.MODELS)


@NORMS
@pytest.mark.parametrize("net", NETS)
def test_parameter_counts(net, norm):
    name, options, table, mixtures, placement, _ = NETS[net]
    model = nn.MODELS[name](norm=norm, classes=CLASSES, rng=0, **options)
    assert count(model) == expected(table(), norm, mixtures, placement)


@pytest.mark.parametrize("net", NETS)
def test_parameter_counts_by_placement_and_mixtures(net):
    name, options, table, usual, paper, placements = NETS[net]
    for placement in placements:
        model = nn.MODELS[name](norm="an-sn", classes=CLASSES, placement=placement, rng=0, **options)
        assert count(model) == expected(table(), "an-sn", usual, placement)
    mixtures = tuple(range(2, 2 + len(usual)))
    for given, each in ((mixtures, mixtures), (list(mixtures), mixtures), (4, (4,) * len(usual))):
        model = nn.MODELS[name](norm="an", classes=CLASSES, mixtures=given, rng=0, **options)
        assert count(model) == expected(table(), "an", each, paper)


RESNET50 = {"block": "bottleneck", "repeats": (3, 4, 6, 3), "widths": (64, 128, 256, 512), "stem": 3 * 49}
DENSENET121 = {"layers": (6, 12, 24, 16), "growth": 32, "stem": 3 * 49, "stem_norm": True}
PUBLISHED_K = (10, 10, 20, 20)


@pytest.mark.parametrize(
    ("table", "norm", "placement", "millions"),
    [
        (lambda: resnet(**RESNET50), "bn", None, 25.557),
        (lambda: resnet(**RESNET50), "an", "second", 25.755),
        (lambda: resnet(**RESNET50), "an", "third", 26.349),
        (lambda: resnet(**RESNET50), "an", "all", 26.947),
        (lambda: densenet(**DENSENET121), "bn", None, 7.979),
        (lambda: densenet(**DENSENET121), "an", "second", 8.342),
        (mobilenet, "bn", None, 3.505),
    ],
)
def test_the_formulas_give_the_published_counts(table, norm, placement, millions):
    """Of the ImageNet nets with 1000 classes; those with AN are in the AN paper."""
    assert round(expected(table(), norm, PUBLISHED_K, placement, classes=1000) / 1e6, 3) == millions


def test_what_an_adds_to_densenet_121():
    added = expected(densenet(**DENSENET121), "an", PUBLISHED_K, "second") - expected(densenet(**DENSENET121), "bn")
    layers = zip(PUBLISHED_K, DENSENET121["layers"], strict=True)
    assert added == sum(n * (3 * K * 128 + 2 * K - 2 * 128) for K, n in layers) == 363_432


def test_published_counts_of_nets_that_are_here():
    mobile = nn.mobilenet_v2(norm="bn", classes=1000, width=1.0)  # strides change no count: ImageNet's net
    assert count(mobile) == 3_504_872
    dense = nn.densenet(norm="bn", classes=10, layers=16)  # 100 layers deep, in table 2 of the paper: 0.8 M
    assert round(count(dense) / 1e6, 1) == 0.8
    deep = nn.resnet56(norm="bn", classes=10)  # table 6 of the paper: 0.85 M, with identities as shortcuts
    shortcuts = sum(p.size for key, p in deep.params.items() if "shortcut" in key)
    assert round((count(deep) - shortcuts) / 1e6, 2) == 0.85


DEPTHS = [("resnet20", 20), ("resnet56", 56), ("densenet", 40), ("mobilenet_v2", 53)]


@pytest.mark.parametrize(("name", "depth"), DEPTHS)
def test_depth(name, depth):
    """Convolutions outside shortcuts, and the linear layer."""
    for full in (name, f"{name}-bottleneck"):
        if full in nn.MODELS:
            leaves = nn.MODELS[full](norm="bn", classes=2).named_layers()
            deep = [leaf for key, leaf in leaves if isinstance(leaf, nn.Conv2d) and "shortcut" not in key]
            assert len(deep) + 1 == depth

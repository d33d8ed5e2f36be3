"""What the builders of nets refuse."""

from functools import partial

import numpy as np
import pytest

from an_ref import nn


@pytest.mark.parametrize("net", nn.MODELS)
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"norm": "batch"}, ValueError, "unknown norm 'batch'"),
        ({"classes": 0}, ValueError, "classes must be at least 1, got 0"),
        ({"dtype": np.int64}, TypeError, "dtype must be a floating-point dtype"),
        ({"placement": "secnod"}, ValueError, "unknown placement 'secnod'; did you mean 'second'"),
        ({"mixtures": 0}, ValueError, "mixtures must be at least 1, got 0"),
        ({"mixtures": 2.5}, TypeError, "mixtures must be an integer, got 2.5"),
        ({"mixtures": (5, 5)}, ValueError, "mixtures must be one integer or . of them, one for each stage, got 2"),
        ({"mixtures": (5,) * 2 + (0,) * 5}, ValueError, "mixtures must be"),
        ({"attention": "softmax"}, TypeError, "attention must be a dict, got 'softmax'; for example"),
        ({"attention": {"activaton": "softmax"}}, ValueError, "unknown option in attention 'activaton'; did you mean"),
        ({"attention": {"activation": "sofmax"}}, ValueError, "unknown activation 'sofmax'; did you mean 'softmax'"),
    ],
)
def test_what_all_nets_refuse(net, options, error, message):
    with pytest.raises(error, match=f"{net.removesuffix('-bottleneck')}: {message}"):
        nn.MODELS[net](**{"norm": "bn", "classes": 2, **options})


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (partial(nn.resnet20, block="basics"), ValueError, "resnet20: unknown block 'basics'; did you mean 'basic'"),
        (
            partial(nn.resnet56, placement="third"),
            ValueError,
            "resnet56: unknown placement 'third'.*'first', 'second', 'a",
        ),
        (partial(nn.densenet, placement="third"), ValueError, "densenet: unknown placement 'third'"),
        (partial(nn.small_cnn, blocks=0), ValueError, "small_cnn: blocks must be at least 1, got 0"),
        (partial(nn.densenet, layers=0), ValueError, "densenet: layers must be at least 1, got 0"),
        (partial(nn.densenet, growth=1.5), TypeError, "densenet: growth must be an integer, got 1.5"),
        (
            partial(nn.mobilenet_v2, width=0),
            ValueError,
            "mobilenet_v2: width must be positive and finite, got 0; 1.0 is",
        ),
        (
            partial(nn.mobilenet_v2, width=np.inf),
            ValueError,
            "mobilenet_v2: width must be positive and finite, got inf",
        ),
        (partial(nn.mobilenet_v2, width="1"), TypeError, "mobilenet_v2: width must be a number, got '1'"),
    ],
)
def test_what_one_net_refuses(build, error, message):
    with pytest.raises(error, match=message):
        build(norm="an", classes=2)

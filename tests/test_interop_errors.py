"""A wrong state dict is an error that names the key, and changes nothing."""

import numpy as np
import pytest
from state_dicts import Tensor, arrays_of, same, shaken

from an_ref import nn
from an_ref.interop import from_torch, to_torch


def replaced(key, value):
    return lambda state: state | {key: value}


def renamed(old, new):
    return lambda state: {(new if key == old else key): a for key, a in state.items()}


def without(*keys):
    return lambda state: {key: a for key, a in state.items() if key not in keys}


WEIGHT = "layer2.0.bn1.weight"
FAULTS = {
    "missing": (without(WEIGHT), ValueError, f"missing key '{WEIGHT}'; add it"),
    "two missing": (without("fc.bias", WEIGHT), ValueError, f"missing key '{WEIGHT}' and 1 more; add it"),
    "misspelt": (
        renamed(WEIGHT, "layer2.0.bn1.wieght"),
        ValueError,
        f"unexpected key 'layer2.0.bn1.wieght'; did you mean '{WEIGHT}'?",
    ),
    "near one that is there": (
        renamed("fc.bias", "fc.weights"),
        ValueError,
        "unexpected key 'fc.weights'; did you mean 'fc.bias'?",
    ),
    "surplus": (replaced("fc2.bias", np.zeros(3)), ValueError, "unexpected key 'fc2.bias'; remove it"),
    "counter of nothing": (
        replaced("fc.num_batches_tracked", np.array(1)),
        ValueError,
        "unexpected key 'fc.num_batches_tracked'; remove it",
    ),
    "a prefix everywhere": (
        lambda state: {f"module.{key}": a for key, a in state.items()},
        ValueError,
        "unexpected key 'module.conv1.weight' and 67 more; did you mean 'conv1.weight'?",
    ),
    "another shape": (
        replaced(WEIGHT, np.ones(31)),
        ValueError,
        f"'{WEIGHT}' must have shape (32,), got (31,); make",
    ),
    "not transposed": (
        replaced("fc.weight", np.ones((64, 3))),
        ValueError,
        "'fc.weight' must have shape (3, 64) or (3, 64, 1, 1), got (64, 3); make",
    ),
    "integers": (
        replaced("fc.bias", np.arange(3)),
        TypeError,
        "'fc.bias' must have a floating-point dtype such as float32, got int64",
    ),
    "complex": (
        replaced("fc.bias", np.ones(3, complex)),
        TypeError,
        "'fc.bias' must have a floating-point dtype such as float32, got complex128",
    ),
    "a list": (replaced("fc.bias", [0.0, 0.0, 0.0]), TypeError, "'fc.bias' must be an array or a tensor, got list"),
    "bfloat16": (
        replaced("fc.bias", Tensor(None, TypeError("Got unsupported ScalarType BFloat16"))),
        TypeError,
        "'fc.bias' is a tensor that NumPy cannot hold (Got unsupported ScalarType BFloat16); pass its .float()",
    ),
    "too large": (
        replaced("fc.bias", np.array([0, 1e300, 0])),
        ValueError,
        "'fc.bias' holds a value beyond the range of the layer's float32; make the layer float64",
    ),
    "a module": (lambda state: object(), TypeError, "state must map names to arrays, got object; pass module"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_names_the_key_and_changes_nothing(fault):
    spoil, kind, message = FAULTS[fault]
    net = shaken(nn.small_cnn(norm="se", classes=3, rng=1), 1)
    before = {key: a.copy() for key, a in arrays_of(net).items()}
    state = spoil(to_torch(shaken(nn.small_cnn(norm="se", classes=3, rng=2), 2)))
    with pytest.raises(kind) as caught:
        from_torch(net, state)
    assert str(caught.value).startswith(f"from_torch: {message}")
    assert same(before, arrays_of(net))


def test_infinities_and_nans_come_as_they_are():
    layer = nn.Linear(8, 5, bias=False)
    state = {"weight": np.full((5, 8), np.inf)}
    state["weight"][0, 0] = np.nan
    from_torch(layer, state)
    np.testing.assert_array_equal(layer.params["weight"].T, state["weight"])

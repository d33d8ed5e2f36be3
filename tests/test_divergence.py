"""Where the first number that is not finite came from: the forward, a parameter, or the gradient."""

from itertools import pairwise

import numpy as np
import pytest
from tiny import tiny_data

from an_ref import nn
from an_ref.training import Recipe, Training, TrainingDiverged
from an_ref.training.divergence import blame_backward, blame_forward, blame_parameters, blame_state


def linear_net(*sizes):
    """The mean of each map, then linear layers."""
    layers = [nn.Linear(a, b, rng=0) for a, b in pairwise(sizes)]
    return nn.Sequential(nn.GlobalAvgPool2d(), *layers)


def diverge(model, lr=0.1):
    training = Training(model, tiny_data(), Recipe(2, 8, lr), rng=np.random.default_rng(0))
    with pytest.raises(TrainingDiverged) as caught:
        training.run_epoch(0)
    assert "forward" not in vars(model)  # nothing is left of the search
    assert "backward" not in vars(model)
    return str(caught.value)


def test_a_forward_value():
    model = nn.small_cnn(norm="bn", classes=3, rng=0)
    model.params["3.branch.3.weight"] = np.full_like(model.params["3.branch.3.weight"], 3e38)
    assert diverge(model) == (
        "the loss is nan: the first value that is not finite came out of the forward of layer 3.branch.3 (Conv2d), "
        "in epoch 1 of 2, step 1 of 3; train with a smaller learning rate than 0.1"
    )


def test_a_sum_of_two_finite_branches():
    branch = nn.Linear(3, 3, bias=False)
    branch.params["weight"] = np.eye(3, dtype=np.float32)
    net = nn.Sequential(nn.ReLU(), nn.Residual(branch), nn.Linear(3, 2))
    x = np.full((1, 3), 2e38, np.float32)
    assert blame_forward(net, x, train=True).endswith("came out of the forward of layer 1 (Residual)")


def test_a_loss_of_finite_logits():
    model = linear_net(3, 3)
    model.params["1.weight"][:] = 0
    model.params["1.bias"][:] = (3e38, -3e38, -3e38)
    assert diverge(model).startswith("the loss is inf: the first value that is not finite is the loss itself")


def test_a_gradient():
    model = linear_net(3, 4, 4, 3)
    model.params["1.weight"][:] = 0  # so that nothing is large on the way forward
    model.params["2.weight"][:] = 3e38
    model.params["3.weight"][:] = 100 * np.eye(4, 3)
    before = {key: array.copy() for key, array in model.params.items()}
    assert diverge(model).startswith(
        "a gradient is not finite: the first value that is not finite came out of the gradient of layer 2 (Linear), in"
    )
    for key, array in model.params.items():
        np.testing.assert_array_equal(array, before[key])


def test_a_gradient_of_a_parameter_alone():
    layer = nn.Linear(1, 2, rng=0)
    layer.params["weight"][:] = 0
    layer.forward(np.full((4, 1), 3e38, np.float32))
    assert blame_backward(layer, np.ones((4, 2), np.float32)).endswith("gradient of layer of the whole net (Linear)")


def test_a_parameter():
    message = diverge(linear_net(3, 3), lr=1e39)
    assert message.startswith(
        "a step was too long: the first value that is not finite is in the parameter weight of layer 1 (Linear), in"
    )
    assert message.endswith("train with a smaller learning rate than 1e+39")


def test_a_parameter_that_was_wrong_from_the_start():
    model = nn.small_cnn(norm="an", classes=3, rng=0)
    model.params["3.branch.1.attn_gamma"][2] = np.nan
    assert "is in the parameter attn_gamma of layer 3.branch.1 (AttentiveNorm), in epoch 1" in diverge(model)


def test_a_running_statistic():
    model = nn.small_cnn(norm="bn", classes=3, rng=0)
    model.state["1.running_mean"][0] = np.inf
    assert blame_state(model).endswith("is in the running statistic running_mean of layer 1 (BatchNorm)")


def test_nothing_is_blamed_where_all_is_well():
    with pytest.raises(ValueError, match="every parameter is finite"):
        blame_parameters(linear_net(3, 3))


@pytest.mark.parametrize("norm", ["none", "bn", "an", "se"])
def test_a_learning_rate_out_of_all_bounds_is_blamed_on_a_layer(norm):
    message = diverge(nn.small_cnn(norm=norm, classes=3, rng=0), lr=1e38)
    assert " of layer " in message

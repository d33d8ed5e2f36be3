"""Training one net."""

import numpy as np
import pytest
from tiny import CLASSES, tiny_data

from an_ref import nn
from an_ref.training import TrainingDiverged, pixel_scale, predict, to_input, train


def make(norm="bn", seed=0):
    return nn.small_cnn(norm=norm, classes=len(CLASSES), rng=np.random.default_rng(seed))


def run(model, data, seed=0, **changes):
    options = {"epochs": 3, "batch_size": 8, "lr": 0.05, "rng": np.random.default_rng(seed)} | changes
    return train(model, data, **options)


def test_a_net_learns_and_is_right_on_new_images():
    data, model = tiny_data(train=96), make()
    losses = run(model, data, epochs=8)
    assert losses[-1] < 0.5 * losses[0]
    x = to_input(data.test_images, *pixel_scale(data.train_images))
    assert (predict(model, x).argmax(axis=1) == data.test_labels).mean() > 0.8


def test_the_same_generator_gives_the_same_bits():
    nets = make(), make()
    losses = [run(net, tiny_data()) for net in nets]
    assert losses[0] == losses[1]
    for key, value in nets[0].params.items():
        np.testing.assert_array_equal(value, nets[1].params[key])
    assert run(make(), tiny_data(), seed=1) != losses[0]


def test_every_epoch_is_reported():
    heard = []
    losses = run(make(), tiny_data(), on_epoch=lambda epoch, loss: heard.append((epoch, loss)))
    assert heard == list(enumerate(losses, start=1))


def test_the_loss_of_an_epoch_weighs_every_image_alike(monkeypatch):
    seen = []

    def descend(model, x, labels, optimizer):
        seen.append(len(labels))
        return float(len(labels))

    monkeypatch.setattr("an_ref.training._descend", descend)
    (loss,) = run(make(), tiny_data(train=20), epochs=1)
    assert sorted(seen) == [4, 8, 8]
    assert loss == (8 * 8 + 8 * 8 + 4 * 4) / 20


def test_every_parameter_moves_and_stays_float32():
    model = make("an")
    before = {key: value.copy() for key, value in model.params.items()}
    run(model, tiny_data())
    for key, value in model.params.items():
        assert value.dtype == np.float32
        assert not np.array_equal(value, before[key]), key


def test_a_loss_that_is_not_finite_stops_with_epoch_and_step():
    with pytest.raises(TrainingDiverged, match=r"epoch \d of 3, step \d of 3; train with a smaller learning rate"):
        run(make("none"), tiny_data(), lr=1e30)


def test_nothing_is_predicted_from_logits_that_are_not_finite():
    model = make()
    model.params["10.bias"][0] = np.nan
    with pytest.raises(TrainingDiverged, match="logits"):
        predict(model, to_input(tiny_data().test_images, 0.0, 1.0))


def test_prediction_does_not_depend_on_its_batches():
    data, model = tiny_data(test=12), make()
    run(model, data)
    x = to_input(data.test_images, *pixel_scale(data.train_images))
    np.testing.assert_allclose(predict(model, x, 5), predict(model, x), rtol=1e-4, atol=1e-5)


def test_inputs_have_mean_0_and_deviation_1():
    images = tiny_data().train_images
    x = to_input(images, *pixel_scale(images))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=(0, 2, 3)), 1, rtol=1e-5)


def test_a_constant_channel_becomes_0():
    images = np.full((4, 3, 2, 2), 200, np.uint8)
    assert not to_input(images, *pixel_scale(images)).any()


def test_every_batch_is_augmented_from_the_same_generator(monkeypatch):
    shifted, rng = [], np.random.default_rng(5)

    def shift(images, *, rng):
        shifted.append(rng)
        return np.zeros_like(images)

    usual = run(make(), tiny_data(), epochs=1)
    monkeypatch.setattr("an_ref.training.pad_crop_flip", shift)
    assert run(make(), tiny_data(), epochs=1, rng=rng) != usual
    assert len(shifted) == 3
    assert all(used is rng for used in shifted)

"""Training one net."""

import numpy as np
import pytest
from tiny import CLASSES, tiny_data

from an_ref import nn
from an_ref.losses import softmax_cross_entropy
from an_ref.training import (
    Recipe,
    Training,
    TrainingDiverged,
    evaluate,
    mixed_cross_entropy,
    not_decayed,
    pixel_scale,
    predict,
    to_input,
    train,
)


def make(norm="bn", seed=0):
    return nn.small_cnn(norm=norm, classes=len(CLASSES), rng=np.random.default_rng(seed))


def run(model, data, seed=0, on_epoch=None, rng=None, **changes):
    recipe = Recipe(**{"epochs": 3, "batch_size": 8, "lr": 0.05} | changes)
    return train(model, data, recipe, rng=rng or np.random.default_rng(seed), on_epoch=on_epoch)


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
    monkeypatch.setattr(Training, "_descend", lambda self, index: float(len(index)))
    heard = []
    training = Training(make(), tiny_data(train=20), Recipe(1, 8, 0.05), rng=np.random.default_rng(0))
    assert training.run_epoch(0, lambda *batch: heard.append(batch)) == (8 * 8 + 8 * 8 + 4 * 4) / 20
    assert heard == [(8, 8.0), (16, 8.0), (20, 7.2)]


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
    data, model = tiny_data(), make()
    last = list(model.children)[-1]
    model.params[f"{last}.bias"][0] = np.nan
    blame = rf"logits .* in the parameter bias of layer {last} \(Linear\); train with a smaller learning rate"
    with pytest.raises(TrainingDiverged, match=blame):
        predict(model, to_input(data.test_images, 0.0, 1.0))
    with pytest.raises(TrainingDiverged, match=blame):
        evaluate(model, data.test_images, data.test_labels, 0.0, 1.0)


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
    monkeypatch.setattr("an_ref.training.loop.pad_crop_flip", shift)
    assert run(make(), tiny_data(), epochs=1, rng=rng) != usual
    assert len(shifted) == 3
    assert all(used is rng for used in shifted)


def test_the_scale_is_the_mean_and_deviation_of_the_pixels():
    images = np.random.default_rng(0).integers(0, 256, (450, 3, 5, 4), np.uint8)
    mean, std = pixel_scale(images)
    np.testing.assert_array_equal(mean, images.mean((0, 2, 3), np.float64).astype(np.float32)[:, None, None])
    np.testing.assert_allclose(std, images.std((0, 2, 3), np.float64)[:, None, None], rtol=1e-7)


def test_evaluate_gives_the_mean_loss_and_which_images_are_right():
    data, model = tiny_data(test=12), make()
    run(model, data)
    scale = pixel_scale(data.train_images)
    logits = predict(model, to_input(data.test_images, *scale))
    found = evaluate(model, data.test_images, data.test_labels, *scale)
    np.testing.assert_array_equal(found.correct, logits.argmax(axis=1) == data.test_labels)
    assert found.accuracy == found.correct.mean()
    assert found.loss == pytest.approx(float(softmax_cross_entropy(logits, data.test_labels)[0]), rel=1e-5)


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0), (2, 1), (24, 1), (37, 2), (120, 5), (200, 8)])
def test_the_warm_up_is_the_papers_share(epochs, warmup):
    assert Recipe(epochs, 8, 0.1).warmup_epochs == warmup


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"lr": 0.0}, "lr must be a finite number above 0, got 0.0"),
        ({"lr": float("inf")}, "lr must be"),
        ({"lr": "0.1"}, "lr"),
        ({"momentum": 0.0}, "momentum must be above 0"),
        ({"momentum": 1.0}, "momentum"),
        ({"weight_decay": -1e-4}, "weight_decay must be a finite number from 0"),
        ({"warmup_epochs": 3}, "warmup_epochs must be below epochs = 3, got 3; choose from 0 to 2"),
        ({"warmup_epochs": -1}, "warmup_epochs"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"mixup": float("nan")}, "mixup must be"),
        ({"mixup": -0.1}, "mixup must be"),
    ],
)
def test_a_recipe_refuses_what_cannot_be(change, words):
    with pytest.raises((TypeError, ValueError), match=r"^Recipe: .*") as caught:
        Recipe(**{"epochs": 3, "batch_size": 8, "lr": 0.1} | change)
    assert words in str(caught.value)


def test_the_learning_rate_warms_up_and_falls_to_almost_0():
    training = Training(make(), tiny_data(), Recipe(6, 8, 0.3, warmup_epochs=2), rng=np.random.default_rng(0))
    rates = []
    for epoch in range(6):
        training.run_epoch(epoch, lambda *_: rates.append(training.optimizer.lr))
    np.testing.assert_allclose(rates[:6], 0.3 * np.arange(1, 7) / 6)
    np.testing.assert_allclose(rates[6:], 0.15 * (1 + np.cos(np.pi * np.arange(12) / 12)))


@pytest.mark.parametrize("norm", nn.NORMS)
def test_weight_decay_leaves_all_but_matrices_and_kernels_alone(norm):
    model = make(norm)
    exceptions = not_decayed(model)
    nn.SGD(model, lr=0.1, no_decay=exceptions)  # every name is one of the net's
    for key, p in model.params.items():
        name = key.rpartition(".")[2]
        assert (name in exceptions) == (p.ndim == 1 or name in ("gamma", "beta")), key


def test_exceptions_from_weight_decay_reach_the_optimizer():
    nets = make(), make()
    for net, exceptions in zip(nets, ((), ("gamma",)), strict=True):
        run(net, tiny_data(), epochs=1, weight_decay=0.5, no_decay=exceptions)
    assert nets[0].params["1.gamma"].mean() < 0.98 < nets[1].params["1.gamma"].mean()


def mixed(logits, targets, smoothing):
    return sum(weight * softmax_cross_entropy(logits, t, label_smoothing=smoothing)[0] for weight, t in targets)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_gradient_of_the_mixed_loss_by_complex_step_and_by_its_formula(smoothing, weight):
    rng = np.random.default_rng(0)
    z, first, second = rng.standard_normal((5, 4)), rng.integers(0, 4, 5), rng.integers(0, 4, 5)
    targets = [(weight, first), (1 - weight, second)] if weight < 1 else [(1.0, first)]
    loss, dz = mixed_cross_entropy(z, targets, smoothing)
    assert loss == pytest.approx(float(mixed(z, targets, smoothing)), rel=1e-14)
    for _ in range(3):
        v = rng.standard_normal(z.shape)
        slope = mixed(z + 1e-20j * v, targets, smoothing).imag / 1e-20
        assert (dz * v).sum() == pytest.approx(slope, rel=1e-12)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    q = sum(w * ((1 - smoothing) * np.eye(4)[labels] + smoothing / 4) for w, labels in targets)
    np.testing.assert_allclose(dz, (p - q) / 5, atol=1e-15)


def test_label_smoothing_and_mixup_reach_the_training(monkeypatch):
    plain = run(make(), tiny_data(), epochs=1)
    assert run(make(), tiny_data(), epochs=1, label_smoothing=0.1) != plain
    assert run(make(), tiny_data(), epochs=1, mixup=0.2) != plain
    seen = []

    def mix(x, labels, *, alpha, rng):
        seen.append(alpha)
        return np.zeros_like(x), labels, labels, 0.25

    monkeypatch.setattr("an_ref.training.loop.mixup", mix)
    assert run(make(), tiny_data(), epochs=1, mixup=0.4) != plain
    assert seen == [0.4] * 3

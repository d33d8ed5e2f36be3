"""scripts/pytorch_twin.py trains as an_ref does: the same losses, step by step, in float64."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from an_ref.data import Dataset
from an_ref.interop import to_torch
from an_ref.nn import MODELS
from an_ref.training import Recipe, Training, evaluate, not_decayed

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed; for live parity: pip install -e '.[test,parity]'"
)

pytestmark = pytest.mark.parity

PATH = Path(__file__).resolve().parents[2] / "scripts" / "pytorch_twin.py"
SPEC = importlib.util.spec_from_file_location("pytorch_twin", PATH)
assert SPEC
assert SPEC.loader
twins = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(twins)

CLASSES = 4


def small_data() -> Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 3, 16, 16), np.uint8)
    labels = rng.integers(0, CLASSES, 60)
    return Dataset("noise", images[:44], labels[:44], images[44:], labels[44:], tuple("abcd"))


def both(name: str, norm: str, recipe: Recipe, **options: Any) -> tuple[Training, Any]:
    """An_ref's training and its twin, with the same start and the same generator."""
    model = MODELS[name](norm=norm, classes=CLASSES, rng=5, dtype=np.float64)
    module = twins.ResNet(norm=norm, classes=CLASSES, **twins.NETS[name])
    data = small_data()
    twin = twins.Twin(module, model, data, recipe, rng=np.random.default_rng(6), **options)
    return Training(model, data, recipe, rng=np.random.default_rng(6)), twin


def recipe_for(name: str, norm: str, **changes: Any) -> Recipe:
    """A strong weight decay, so that one parameter with it or without it by mistake would show."""
    usual = not_decayed(MODELS[name](norm=norm, classes=CLASSES))
    settings = {"epochs": 3, "batch_size": 16, "lr": 0.05, "weight_decay": 0.05, "warmup_epochs": 1, "no_decay": usual}
    return Recipe(**(settings | changes))


RUNS = [
    ("small_cnn", "bn", {}, {}),
    ("small_cnn", "an", {}, {}),
    ("small_cnn", "an", {"label_smoothing": 0.1, "mixup": 0.4}, {"channels_last": True}),
    ("small_cnn", "an", {"no_decay": ()}, {}),
    ("small_cnn", "se", {}, {}),
    ("small_cnn", "an-sn", {}, {}),
    ("small_cnn", "none", {}, {}),
    ("resnet20-bottleneck", "an-gn", {}, {}),
    ("resnet20", "an", {"label_smoothing": 0.1, "mixup": 0.2}, {}),
]


@pytest.mark.parametrize(("name", "norm", "changes", "options"), RUNS)
def test_the_losses_are_an_refs(name: str, norm: str, changes: dict[str, Any], options: dict[str, Any]) -> None:
    ours, twin = both(name, norm, recipe_for(name, norm, **changes), **options)
    losses = [(ours.run_epoch(epoch), twin.run_epoch(epoch)) for epoch in range(3)]
    assert losses[0][0] != losses[2][0]
    np.testing.assert_allclose(*np.transpose(losses), rtol=1e-13)

    theirs = twin.module.state_dict()
    for key, a in to_torch(ours.model).items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_allclose(a, theirs[key].numpy(), rtol=1e-7, atol=1e-9, err_msg=key)
    data = small_data()
    result = evaluate(ours.model, data.test_images, data.test_labels, ours.mean, ours.std)
    np.testing.assert_allclose([result.loss, result.accuracy], twin.evaluate(), rtol=1e-9)


def test_exceptions_from_weight_decay_that_it_does_not_know_are_refused() -> None:
    with pytest.raises(SystemExit, match="no_decay must be none or the usual one"):
        both("small_cnn", "bn", recipe_for("small_cnn", "bn", no_decay=("bias",)))

"""Train the PyTorch twin of a run of an-ref train: the same net, weights, batches and settings, PyTorch's arithmetic.

Run it where PyTorch is installed, after at least one epoch of the run:

    an-ref train --model resnet20 --norm an --out runs/an ...
    python scripts/pytorch_twin.py runs/an

The settings come from runs/an/last.npz. The net starts from the same weights (by an_ref.interop), sees the same images
in the same order, shifted, mirrored and mixed alike, and has the same schedule; the layers, the loss, the gradients and
the steps are PyTorch's. In float64 the losses of both agree to 1e-14 for nine steps
(tests/parity/test_torch_twin.py); in float32 the rounding differs, so the runs part, as two seeds would.

After every epoch it writes runs/an/twin.json: what an_ref reached (`an_ref`), what PyTorch reached (`pytorch`), the
seconds, threads and versions.
"""

import argparse
import json
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from parity.torch_nets import ResNet  # noqa: E402

from an_ref.data import Dataset, batches, load_dataset, mixup, pad_crop_flip  # noqa: E402
from an_ref.interop import to_torch  # noqa: E402
from an_ref.nn import Layer, cosine_schedule  # noqa: E402
from an_ref.results import describe_machine  # noqa: E402
from an_ref.training import Recipe, not_decayed, pixel_scale, to_input  # noqa: E402
from an_ref.training.checkpoint import load_checkpoint  # noqa: E402
from an_ref.training.settings import fingerprints, limited  # noqa: E402

NETS: dict[str, dict[str, Any]] = {
    "small_cnn": {"blocks": 1, "stem_stride": 2},
    "resnet20": {"blocks": 3},
    "resnet20-bottleneck": {"blocks": 2, "bottleneck": True},
    "resnet56": {"blocks": 9, "mixtures": (10, 10, 20)},
    "resnet56-bottleneck": {"blocks": 6, "bottleneck": True, "mixtures": (10, 10, 20)},
}
BATCH = 200  # images at a time in eval mode


class Twin:
    """A net of an_ref's as a module of PyTorch's, in training as `an_ref.training.Training` does it."""

    def __init__(
        self,
        module: torch.nn.Module,
        model: Layer,
        data: Dataset,
        recipe: Recipe,
        *,
        rng: np.random.Generator,
        channels_last: bool = False,
    ) -> None:
        weights = {key: torch.from_numpy(a) for key, a in to_torch(model).items()}
        self.dtype = weights["conv1.weight"].dtype
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.module = module.to(dtype=self.dtype, memory_format=self.layout)
        self.module.load_state_dict(weights)
        self.data, self.recipe, self.rng = data, recipe, rng
        self.scale = pixel_scale(data.train_images)
        self.steps = sum(1 for _ in batches(len(data.train_labels), recipe.batch_size, rng=np.random.default_rng(0)))
        self.sgd = torch.optim.SGD(
            parameter_groups(module, recipe, model),
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=True,
        )

    def run_epoch(self, epoch: int) -> float:
        """Train epoch number `epoch`, from 0, and return the mean loss of its images."""
        summed, seen, recipe = 0.0, 0, self.recipe
        self.module.train()
        for step, index in enumerate(batches(len(self.data.train_labels), recipe.batch_size, rng=self.rng)):
            for group in self.sgd.param_groups:
                group["lr"] = cosine_schedule(
                    epoch * self.steps + step,
                    steps=recipe.epochs * self.steps,
                    lr=recipe.lr,
                    warmup=recipe.warmup * self.steps,
                )
            summed, seen = summed + self.descend(index) * len(index), seen + len(index)
        return summed / seen

    def descend(self, index: np.ndarray) -> float:
        """Take one step on the images at `index` and return the loss before it."""
        x = to_input(pad_crop_flip(self.data.train_images[index], rng=self.rng), *self.scale)
        labels = self.data.train_labels[index]
        targets = [(1.0, labels)]
        if self.recipe.mixup:
            x, first, second, weight = mixup(x, labels, alpha=self.recipe.mixup, rng=self.rng)
            targets = [(weight, first), (1 - weight, second)]
        logits = self.module(self.tensor(x))
        smoothing = self.recipe.label_smoothing
        loss = sum(w * F.cross_entropy(logits, torch.from_numpy(t), label_smoothing=smoothing) for w, t in targets)
        self.sgd.zero_grad()
        loss.backward()
        self.sgd.step()
        return float(loss.detach())

    @torch.no_grad()
    def evaluate(self) -> tuple[float, float]:
        """Return the mean cross-entropy of the test images and the share named correctly."""
        self.module.eval()
        images, labels = self.data.test_images, torch.from_numpy(self.data.test_labels)
        parts = [to_input(images[start : start + BATCH], *self.scale) for start in range(0, len(images), BATCH)]
        logits = torch.cat([self.module(self.tensor(x)) for x in parts])
        return float(F.cross_entropy(logits.double(), labels)), float((logits.argmax(1) == labels).double().mean())

    def tensor(self, x: np.ndarray) -> torch.Tensor:
        """Return x with the dtype and the layout of the net."""
        return torch.from_numpy(x).to(dtype=self.dtype, memory_format=self.layout)


def parameter_groups(module: torch.nn.Module, recipe: Recipe, model: Layer) -> list[dict[str, Any]]:
    """Return all parameters for a recipe without exceptions from weight decay.

    With the usual ones, weight decay is for the kernels and matrices: `weight` of convolutions and linear layers.
    """
    if not recipe.no_decay:
        return [{"params": list(module.parameters())}]
    if set(recipe.no_decay) != set(not_decayed(model)):
        raise SystemExit(f"pytorch_twin: no_decay must be none or the usual one, got {recipe.no_decay}")
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    decayed = {id(part.weight) for part in module.modules() if isinstance(part, kinds)}
    rest = [p for p in module.parameters() if id(p) not in decayed]
    return [
        {"params": [p for p in module.parameters() if id(p) in decayed]},
        {"params": rest, "weight_decay": 0.0},
    ]


def main(folder: Path, *, threads: int, channels_last: bool) -> None:
    """Train the twin of the run in `folder` and write its twin.json."""
    torch.set_num_threads(threads)
    run = load_checkpoint(folder / "last.npz").about
    settings = run.settings
    if settings.model not in NETS:
        raise SystemExit(f"pytorch_twin: there is no twin of {settings.model}; choose from {', '.join(NETS)}")
    data = limited(load_dataset(settings.data, settings.data_dir), settings.limit)
    if fingerprints(data) != run.images:
        raise SystemExit(f"pytorch_twin: the images are not those that {folder} was trained on")
    classes = len(data.classes)
    twin = Twin(
        ResNet(norm=settings.norm, classes=classes, **NETS[settings.model]),
        settings.build_model(classes),
        data,
        settings.recipe,
        rng=settings.batch_generator(),
        channels_last=channels_last,
    )
    about = {
        "settings": asdict(settings),
        "machine": describe_machine(),
        "threads": threads,
        "channels_last": channels_last,
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__},
        "an_ref": [record._asdict() for record in run.history],
    }
    epochs: list[dict[str, float]] = []
    for epoch in range(settings.recipe.epochs):
        epochs.append(one_epoch(twin, epoch))
        seconds = round(sum(entry["seconds"] for entry in epochs), 2)
        report = about | {"seconds": seconds, "pytorch": epochs}
        (folder / "twin.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def one_epoch(twin: Twin, epoch: int) -> dict[str, float]:
    """Train and test one epoch, print a line, and return what there is to note; the seconds are those of training."""
    start = time.perf_counter()
    train_loss = twin.run_epoch(epoch)
    seconds = time.perf_counter() - start
    test_loss, accuracy = twin.evaluate()
    speed = len(twin.data.train_labels) / seconds
    print(
        f"epoch {epoch + 1:3} of {twin.recipe.epochs}  loss {train_loss:.4f}  test loss {test_loss:.4f}  "
        f"accuracy {100 * accuracy:.2f} %  {seconds:.1f} s  {speed:.0f} images/s",
        flush=True,
    )
    return {
        "train_loss": train_loss,
        "test_loss": test_loss,
        "test_accuracy": accuracy,
        "seconds": round(seconds, 2),
        "images_per_second": round(speed, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="the --out of an-ref train")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--channels-last", action="store_true", help="keep images and kernels as (N, H, W, C) inside")
    options = parser.parse_args()
    main(options.folder, threads=options.threads, channels_last=options.channels_last)

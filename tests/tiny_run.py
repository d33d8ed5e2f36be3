"""A training run that takes a second, for the tests of checkpoints, resuming and the command."""

from pathlib import Path

from tiny import CLASSES, tiny_data

from an_ref.training import Recipe
from an_ref.training.checkpoint import load_checkpoint
from an_ref.training.run import Run
from an_ref.training.settings import RunSettings

KEPT = ("best.npz", "last.npz", "log.csv")  # what must be equal to the bit; the figure may have been drawn elsewhere


def tiny_run_settings(norm="an", device="cpu", **changes):
    """Everything that draws random numbers is on: augmentation, order, mixup."""
    recipe = {"epochs": 4, "batch_size": 8, "lr": 0.05, "no_decay": ("gamma",), "label_smoothing": 0.1, "mixup": 0.2}
    return RunSettings("emoji", None, "small_cnn", norm, 3, None, Recipe(**recipe | changes), device)


def tiny_run(out, **changes):
    """The run in `out`: the one that last.npz there holds, or else a new one."""
    last = Path(out) / "last.npz"
    checkpoint = load_checkpoint(last) if last.exists() else None
    settings = checkpoint.about.settings if checkpoint else tiny_run_settings(**changes)
    return Run(settings, tiny_data(), Path(out), checkpoint)


def without_figure(monkeypatch):
    """Leave the figure out: it takes longer than all the rest."""
    monkeypatch.setattr(Run, "_draw", lambda self: None)


def content(folder):
    """The files of a folder by name."""
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


__all__ = ["CLASSES", "KEPT", "content", "tiny_run", "tiny_run_settings", "without_figure"]

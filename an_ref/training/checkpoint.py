"""A training run in a file: written so that it is whole or not there, read so that nothing in it is taken on trust.

The file is an .npz without pickle and without compression. Its entries:

    about             a string of JSON: all that is no array, see `checkpoint_about.About`
    params.KEY        each parameter of the net
    velocity.KEY      the optimizer's velocity of that parameter
    state.KEY         each running statistic
    input.mean, .std  of each channel of the training images, (3, 1, 1): see `training.to_input`

There is no time in it: a run that was killed and resumed leaves the same bytes as one that was not.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..nn import SGD, Layer
from ..validation import Array
from .checkpoint_about import About, read_about, to_json
from .checkpoint_file import CheckpointError, opened

__all__ = ["About", "Checkpoint", "CheckpointError", "load_checkpoint", "to_bytes"]


class Checkpoint(NamedTuple):
    """A training run after some epochs; `arrays` has the entries by name, from "params.0.weight" to "input.std"."""

    about: About
    arrays: dict[str, Array]

    def part(self, name: str) -> dict[str, Array]:
        """Return copies of the arrays whose names begin with `name` and a dot, without that beginning."""
        split = {key: key.partition(".") for key in self.arrays}
        return {rest: self.arrays[key].copy() for key, (first, _, rest) in split.items() if first == name}

    def build_model(self) -> Layer:
        """Return the net that the settings describe, with its weights and running statistics."""
        model = self.about.settings.build_model(len(self.about.classes))
        for name, into in (("params", model.params), ("state", model.state)):
            into.update(self.part(name))
        return model


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the content of the file. The same checkpoint gives the same bytes."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {key: np.ascontiguousarray(array) for key, array in checkpoint.arrays.items()}
    np.savez(buffer, about=np.array(to_json(checkpoint.about)), **arrays)
    return buffer.getvalue()


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint and check all of it, before anything is built or changed by it.

    The arrays are held against the net that the settings describe: names, shapes, dtypes, finite numbers. An entry is
    read only if it has the size that it should have, so that a small file cannot fill the memory. Raises
    CheckpointError, which names the file and the entry, if anything is missing, unknown or wrong, and if the file was
    cut short, is another program's, or comes from a newer version.
    """
    path = Path(path)
    with opened(path) as entries:
        about = read_about(entries)
        model = about.settings.build_model(len(about.classes))
        try:
            SGD(model, lr=1.0, no_decay=about.settings.recipe.no_decay)
        except ValueError as error:
            raise entries.wrong("about.settings.recipe.no_decay", f"does not fit the net ({error})") from None
        expected = _layout(model)
        for name in sorted(expected.keys() ^ (entries.names() - {"about"})):
            fault = "is missing" if name in expected else "is unknown: the net of the settings has no such array"
            raise entries.wrong(name, fault)
        return Checkpoint(about, {name: entries.array(name, *kind) for name, kind in expected.items()})


def _layout(model: Layer) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return shape and dtype of every array that a checkpoint of `model` has."""
    parts = {"params": model.params, "velocity": model.params, "state": model.state}
    expected = {f"{part}.{key}": (a.shape, a.dtype) for part, arrays in parts.items() for key, a in arrays.items()}
    return expected | {f"input.{name}": ((3, 1, 1), np.dtype(np.float32)) for name in ("mean", "std")}

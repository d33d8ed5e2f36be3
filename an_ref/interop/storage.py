"""State dicts as safetensors files, which hold arrays and nothing that could run: no pickle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..files import replace_file
from ..nn.layer import Layer
from .state import put, to_torch


def save_safetensors(layer: Layer, path: str | os.PathLike[str]) -> None:
    """Write `to_torch(layer)` as a safetensors file, aside first: at `path` is the old file or the whole new one.

    Raises ImportError without the safetensors library, files.WriteError (an OSError) if the file cannot be written.
    """
    content = _library("save_safetensors").numpy.save(to_torch(layer), metadata={"format": "pt"})
    replace_file(Path(path), content)


def load_safetensors(layer: Layer, path: str | os.PathLike[str]) -> None:
    """Put a safetensors file, in PyTorch's names and layouts, into `layer`.

    Raises ImportError without the safetensors library; OSError if the file cannot be read; ValueError if it is cut
    short, is no safetensors file, or holds numbers that NumPy does not have; and else what `from_torch` raises, with
    the file's name. Nothing has been changed then.
    """
    library = _library("load_safetensors")
    try:
        state = library.numpy.load(Path(path).read_bytes())
    except library.SafetensorError as error:
        raise ValueError(
            f"load_safetensors: {path} is cut short or is not a safetensors file ({error}); write it again, "
            f"with save_safetensors or with safetensors.torch.save_file"
        ) from error
    except KeyError as error:
        raise ValueError(
            f"load_safetensors: {path} holds {error.args[0]} numbers, which NumPy does not have; save it as float32"
        ) from error
    put(f"load_safetensors: {path}", layer, state)


def _library(op: str) -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            f'{op}: the safetensors library is not installed; run: pip install "an-ref[interop]"'
        ) from error
    return safetensors

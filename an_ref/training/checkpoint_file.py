"""Read the entries of an .npz that may be cut short, damaged or made to harm: nothing in it is taken on trust."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from ..validation import Array

HEADER = 10_000  # bytes: more than the header of any entry takes
LONGEST_TEXT = 64 * 2**20  # bytes
DAMAGED = (  # what zipfile and NumPy raise over bytes that they do not understand
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
    ArithmeticError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


class CheckpointError(ValueError):
    """A file is not a checkpoint that can be used: the message names the file, the entry and the fault."""


class Entries:
    """The entries of an open .npz, each read once and only if it has the size that it should have."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._archive = zipfile.ZipFile(file)
        infos = self._archive.infolist()
        self._infos = {info.filename.removesuffix(".npy"): info for info in infos}
        for name, info in self._infos.items():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise self.wrong(name, "is compressed, which no checkpoint is")
        size = file.seek(0, io.SEEK_END)
        if len(self._infos) != len(infos) or sum(info.file_size for info in infos) > size:
            raise CheckpointError(f"{path} is not a checkpoint: its entries overlap or repeat")

    def wrong(self, name: str, fault: str) -> CheckpointError:
        """Return the error that says what is wrong with the entry `name`."""
        return CheckpointError(f"{self.path}: {name} {fault}")

    def names(self) -> set[str]:
        """Return the names of all entries."""
        return set(self._infos)

    def text(self, name: str) -> str:
        """Return the string that the entry holds."""
        if self._infos[name].file_size > LONGEST_TEXT:
            raise self.wrong(name, f"takes {self._infos[name].file_size:,} bytes, far more than a checkpoint needs")
        shape, dtype, data = self._read(name)
        if shape != () or dtype.kind != "U":
            raise self.wrong(name, f"should be a string, but is {dtype} of shape {shape}")
        with self._sense(name):
            return str(np.frombuffer(data, dtype, count=1)[0])
        raise AssertionError  # _sense lets nothing past

    def array(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return the array that the entry holds; it must have this shape and dtype, and finite numbers."""
        size = int(np.prod(shape)) * dtype.itemsize
        held = self._infos[name].file_size
        if held > size + HEADER:
            raise self.wrong(name, f"takes {held:,} bytes, but {dtype} of shape {shape} takes {size:,}")
        found, kind, data = self._read(name)
        if found != shape:
            raise self.wrong(name, f"has shape {found}, but this net needs {shape}")
        if kind != dtype:
            raise self.wrong(name, f"holds {kind}, but this net needs {dtype}")
        if len(data) != size:
            raise self.wrong(name, f"has {len(data):,} bytes of numbers where {size:,} are due")
        array = np.frombuffer(data, dtype).reshape(shape).copy()
        if not np.isfinite(array).all():
            raise self.wrong(name, "holds a number that is not finite")
        return array

    def _read(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any], bytes]:
        """Return shape and dtype out of the header, and the bytes after it; zipfile checks their CRC-32."""
        with self._sense(name):
            stream = io.BytesIO(self._archive.read(self._infos[name]))
            if npy.read_magic(stream) != (1, 0):
                raise ValueError("another version of the format")
            shape, fortran, dtype = npy.read_array_header_1_0(stream, max_header_size=HEADER)
            if fortran and len(shape) > 1:
                raise ValueError("columns first")
            return shape, dtype, stream.read()
        raise AssertionError  # _sense lets nothing past

    @contextmanager
    def _sense(self, name: str) -> Iterator[None]:
        try:
            yield
        except DAMAGED as error:
            raise self.wrong(name, f"cannot be read ({error}): the file is damaged") from None


@contextmanager
def opened(path: Path) -> Iterator[Entries]:
    """Open an .npz for reading. Raises CheckpointError if there is none, or none that makes sense."""
    try:
        with path.open("rb") as file:
            try:
                entries = Entries(path, file)
            except CheckpointError:
                raise
            except DAMAGED:
                raise CheckpointError(f"{path} is not a checkpoint, or one that was cut short: no .npz") from None
            yield entries
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None

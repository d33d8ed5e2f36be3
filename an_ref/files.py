"""Write a file so that a reader, now or after a crash, finds the old one or the new one, never half of one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


class WriteError(OSError):
    """A file could not be written; what stood in its place before is still there."""


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` into a file aside, in the same folder, have it put on the disk, and rename it to `path`.

    Raises WriteError if any of this fails, for example on a full disk or in a folder that is gone. The file aside is
    removed whatever happens, short of the sudden end of the process: see `remove_asides`.
    """
    aside = _aside(path)
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        _put_folder_on_disk(path.parent)
    except BaseException as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = (error.strerror or str(error)).lower()
            raise WriteError(f"cannot write {path}: {reason}") from error
        raise


def remove_asides(paths: Iterable[Path]) -> None:
    """Remove what a killed process left beside each of `paths`. Nothing is done for a file that was written whole."""
    for path in paths:
        _aside(path).unlink(missing_ok=True)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.aside")


def _put_folder_on_disk(folder: Path) -> None:
    """Have the new name put on the disk too. Only POSIX can; elsewhere a power cut may bring the old file back."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

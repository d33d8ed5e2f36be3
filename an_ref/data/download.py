"""Download an archive once, with its length and checksum, into the cache folder of the user.

What arrives goes to a file without a name, which vanishes however the process ends. It gets its name only after every
byte is there and the checksum is right, so the cache never holds half of an archive.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from .cifar import sha256_of
from .dataset import DataError

PART = ".part"
STALE = 60  # seconds after which a part that is being copied can only be the rest of a killed process
CANNOT_WRITE = "the archive cannot be written here"
INSTEAD = "work without it on the embedded set (--data emoji), or give a copy of your own with --data-dir"


def fetch(name: str, size: int, sha256: str, base_url: str, cache: str | Path | None = None) -> Path:
    """Return the path of the file `name` in the folder `cache`, downloading it from base_url/name if it is not there.

    size in bytes and sha256 must be right, also of a file that is there already: a wrong one is downloaded again.
    Without `cache` it is the folder that the operating system has for an_ref's cached files. A progress bar is shown in
    a terminal, on standard error. Raises DataError that names the address or the folder and the fault; the cache is
    then as before.
    """
    import pooch  # type: ignore[import-untyped]

    folder = Path(cache if cache is not None else pooch.os_cache("an_ref"))
    target, url = folder / name, f"{base_url}/{name}"
    try:
        if target.exists():
            if sha256_of(target) == sha256:
                return target
            target.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        _remove_old_parts(folder, name)
        with tempfile.TemporaryFile(dir=folder) as nameless:
            _download(url, nameless, size, sha256, folder)
            _publish(nameless, target)
    except OSError as error:
        raise DataError(f"{folder}: {CANNOT_WRITE}: {error.strerror or error}; {INSTEAD}") from error
    return target


def _download(url: str, file: IO[bytes], size: int, sha256: str, folder: Path) -> None:
    import pooch

    console = Console(stderr=True)
    console.print(f"downloading {url} ({size / 1e6:,.0f} MB) into {folder}", highlight=False, soft_wrap=True)
    columns = TextColumn(" "), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        arriving = _Arriving(file, folder, url, size, progress)
        # An archive that is compressed once more on its way would be unpacked, and then have another checksum.
        downloader = pooch.HTTPDownloader(headers={"Accept-Encoding": "identity"}, chunk_size=1 << 16)
        try:
            downloader(url, arriving, None)
        except OSError as error:  # each error of the network is one
            raise DataError(_network_fault(url, error, arriving)) from error
    if arriving.count < size:
        raise DataError(
            f"{url}: the connection ended after {arriving.count:,} of {size:,} bytes; try again, or {INSTEAD}"
        )
    if arriving.sha256.hexdigest() != sha256:
        raise DataError(
            f"{url}: what came is not the official archive: its sha256 is {arriving.sha256.hexdigest()} and must be "
            f"{sha256}; nothing of it was kept; {INSTEAD}"
        )


class _Arriving:
    """The file that pooch writes to: it counts, computes the checksum, moves the bar, and stops an endless answer."""

    def __init__(self, file: IO[bytes], folder: Path, url: str, size: int, progress: Progress) -> None:
        self._file, self._folder, self._url, self._size = file, folder, url, size
        self._progress, self._task = progress, progress.add_task("", total=size)
        self.count = 0
        self.sha256 = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        self.count += len(chunk)
        if self.count > self._size:
            raise DataError(f"{self._url}: more came than the official {self._size:,} bytes; none were kept; {INSTEAD}")
        try:
            self._file.write(chunk)
        except OSError as error:
            raise DataError(f"{self._folder}: {CANNOT_WRITE}: {error.strerror or error}; {INSTEAD}") from error
        self.sha256.update(chunk)
        self._progress.update(self._task, completed=self.count)

    def flush(self) -> None:
        """The pieces are large, so they need no flushing; pooch asks for it after each."""


def _network_fault(url: str, error: OSError, arriving: _Arriving) -> str:
    """Return in one sentence what went wrong between here and the server."""
    response, kind = getattr(error, "response", None), type(error).__name__
    if response is not None:
        return f"{url}: the server answers {response.status_code} {response.reason}; {INSTEAD}"
    if arriving.count:
        return f"{url}: the connection broke after {arriving.count:,} bytes ({kind}); try again, or {INSTEAD}"
    return f"{url}: no connection to {urlsplit(url).hostname} ({kind}); {INSTEAD}"


def _publish(nameless: IO[bytes], target: Path) -> None:
    """Copy the checked file beside its place and rename it: readers find all of it or nothing."""
    nameless.seek(0)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name, suffix=PART, delete=False) as part:
        try:
            shutil.copyfileobj(nameless, part, 1 << 20)
            part.close()
            os.replace(part.name, target)
        except BaseException:
            part.close()
            Path(part.name).unlink(missing_ok=True)
            raise


def _remove_old_parts(folder: Path, name: str) -> None:
    """Remove what a process killed in the moment of `_publish` left behind, but not what another one is writing."""
    for part in folder.glob(f"{name}*{PART}"):
        if time.time() - part.stat().st_mtime > STALE:
            part.unlink(missing_ok=True)

"""CIFAR-10 and CIFAR-100 in their binary format, from a folder, from an archive, or from the network.

A record is one or two label bytes, then 1024 red, 1024 green and 1024 blue bytes, row by row. The binary files are read
and not the Python ones, because those are pickles, and a pickle can run code. Nothing of an archive is ever unpacked to
disk: the wanted members are picked by their exact names and read as streams of a known length.

Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images"; the format is described at
https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .dataset import DataError, Dataset

RECORDS = (
    10_000  # in one file of CIFAR-10 and in the test file of CIFAR-100, whose one training file holds 5 times that
)
BLOCK = 1_000  # records read at a time
PIXELS = 3 * 32 * 32
SLACK = 1 << 20  # bytes an archive may hold beside the images: headers, the names of the classes, a readme
BASE_URL = "https://www.cs.toronto.edu/~kriz"
CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree
wolf woman worm
"""


class Format(NamedTuple):
    """Where the files of one set are, and what is in them."""

    title: str
    folder: str
    archive: str
    archive_bytes: int
    sha256: str
    train: tuple[str, ...]
    test: str
    labels: tuple[tuple[str, int], ...]  # for each label byte: what it is and how many values it has; the last counts
    classes: tuple[str, ...]

    @property
    def record_bytes(self) -> int:
        """The length of one record."""
        return len(self.labels) + PIXELS

    def records(self, file: str) -> int:
        """Return how many records `file` holds: the training files share 5 * RECORDS."""
        return RECORDS if file == self.test else 5 * RECORDS // len(self.train)


FORMATS = {
    "cifar10": Format(
        title="CIFAR-10",
        folder="cifar-10-batches-bin",
        archive="cifar-10-binary.tar.gz",
        archive_bytes=170_052_171,
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test="test_batch.bin",
        labels=(("label", 10),),
        classes=tuple(CIFAR10_CLASSES.split()),
    ),
    "cifar100": Format(
        title="CIFAR-100",
        folder="cifar-100-binary",
        archive="cifar-100-binary.tar.gz",
        archive_bytes=168_513_733,
        sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        train=("train.bin",),
        test="test.bin",
        labels=(("coarse label", 20), ("fine label", 100)),
        classes=tuple(CIFAR100_CLASSES.split()),
    ),
}


def load_cifar(
    name: str, data_dir: str | Path | None = None, *, base_url: str = BASE_URL, cache: str | Path | None = None
) -> Dataset:
    """Return CIFAR-10 ("cifar10") or CIFAR-100 with its fine labels ("cifar100"): 50,000 and 10,000 images of 32x32.

    data_dir is a folder with the .bin files, or with their official folder or archive in it, or it is an archive
    (.tar.gz) itself. Without data_dir the archive is downloaded once, from base_url into the folder `cache` (see
    an_ref.data.download).

    The sha256 of a downloaded archive is checked each time it is read; so is that of your archive if it has the
    official name. The .bin files of a folder, and an archive with another name, are read without a checksum, so that
    images of your own in this format can be used; their lengths and labels are always checked.

    Raises DataError that names the file and the fault: a missing file, a wrong length, a wrong checksum, a label out of
    range, a damaged archive, or one that holds links, a file twice, or far more than the images.
    """
    form = FORMATS[name]
    if data_dir is None:
        from .download import fetch  # shows a progress bar: what that needs is slow to import

        return _read_archive(fetch(form.archive, form.archive_bytes, form.sha256, base_url, cache), name)
    path = Path(data_dir)
    with _reading(path):
        found = _locate(path, form)
    if found.is_dir():
        return _read_folder(found, name)
    if found.name == form.archive:
        _check_official(found, form)
    return _read_archive(found, name)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _locate(path: Path, form: Format) -> Path:
    """Return the archive, or the folder that holds the .bin files."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise DataError(
            f"{path}: there is no such folder or archive; give one with {form.title}, or none to download it"
        )
    if any((path / file).exists() for file in (*form.train, form.test)):
        return path
    for inner in (path / form.folder, path / form.archive):
        if inner.exists():
            return inner
    raise DataError(
        f"{path}: {form.title} is not in this folder; it must hold {_list(form)}, or {form.folder}, or {form.archive} "
        f"(the binary version: the Python version, made of pickles, is not read)"
    )


def _list(form: Format) -> str:
    first, *more = form.train
    return f"{first}{f' to {more[-1]}' if more else ''} and {form.test}"


def _check_official(path: Path, form: Format) -> None:
    with _reading(path):
        found = sha256_of(path)
    if found != form.sha256:
        raise DataError(
            f"{path}: this is not the official archive: its sha256 is {found}, the official one {form.sha256}; "
            f"download it again; if the images are your own, give a folder of .bin files, or give the archive another "
            f"name: both are read without a checksum"
        )


def _read_folder(folder: Path, name: str) -> Dataset:
    form = FORMATS[name]
    data, places = _empty(name)
    _check_complete(f"{folder}:", {file for file in places if (folder / file).exists()}, form)
    for file, place in places.items():
        path = folder / file
        if not path.is_file():
            raise DataError(f"{path}: this is not a file, but must be one with {form.records(file):,} images")
        _check_size(str(path), path.stat().st_size, file, form)
        with _reading(path), path.open("rb") as stream:
            _fill(stream, str(path), *place, form)
    return data


def _read_archive(path: Path, name: str) -> Dataset:
    form = FORMATS[name]
    data, places = _empty(name)
    limit = 6 * RECORDS * form.record_bytes + SLACK
    seen = set()
    with _reading(path), _Limited(path, limit) as stream:
        with tarfile.open(fileobj=stream, mode="r|") as members:
            for member in members:
                folder, _, file = member.name.rpartition("/")
                where = f"{path}: {member.name!r}"
                if not (member.isdir() or member.isfile()) or member.issparse():
                    raise DataError(f"{where} is a link or another special entry; get an archive of plain files")
                if member.size > limit:  # tarfile would look for its end far beyond that of the archive
                    raise DataError(
                        f"{where} says that it has {member.size:,} bytes, and the set has less; get it again"
                    )
                if folder != form.folder or file not in places:
                    continue
                if file in seen:
                    raise DataError(f"{where} is there twice, and only one can be right; get the archive again")
                seen.add(file)
                content = members.extractfile(member)
                if content is None:
                    raise DataError(f"{where} is a folder; it must be a file with {form.records(file):,} images")
                _check_size(where, member.size, file, form)
                _fill(content, where, *places[file], form)
        while stream.read(1 << 20):  # gzip compares its checksum at the very end
            pass
    _check_complete(f"{path}: in {form.folder},", seen, form)
    return data


class _Limited(gzip.GzipFile):
    """An archive's bytes, up to a limit: a small file can unpack to more than any memory holds."""

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path, "rb")
        self._path, self._limit = path, limit

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(size)
        if self.tell() > self._limit:
            raise DataError(
                f"{self._path}: this unpacks to more than {self._limit:,} bytes, and the set has less; get it again"
            )
        return chunk


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what the libraries raise for a damaged file into a DataError that names it."""
    try:
        yield
    except DataError:
        raise
    except gzip.BadGzipFile as error:
        raise DataError(f"{path}: this is not a sound .tar.gz archive ({error}); get it again") from error
    except OSError as error:
        raise DataError(f"{path}: this cannot be read: {error.strerror or error}") from error
    except EOFError as error:
        raise DataError(f"{path}: this archive ends too early; copy or download it again") from error
    except (tarfile.TarError, zlib.error, ValueError, RecursionError) as error:
        raise DataError(f"{path}: this archive is damaged ({error}); get it again") from error


def _check_complete(where: str, found: set[str], form: Format) -> None:
    missing = [file for file in (*form.train, form.test) if file not in found]
    if missing:
        verb, what = ("is", "it") if len(missing) == 1 else ("are", "them")
        raise DataError(f"{where} {', '.join(missing)} {verb} missing; {form.title} needs {_list(form)}: add {what}")


def _check_size(where: str, size: int, file: str, form: Format) -> None:
    records = form.records(file)
    expected = records * form.record_bytes
    if size != expected:
        fault = "short" if size < expected else "long"
        raise DataError(
            f"{where} is too {fault}: it has {size:,} bytes and must have {expected:,} "
            f"({records:,} images of {form.record_bytes:,}); get it again"
        )


Place = tuple[NDArray[np.uint8], NDArray[np.int64]]


def _empty(name: str) -> tuple[Dataset, dict[str, Place]]:
    """Return a data set to be filled, and for each file the images and labels that it fills, in the official order."""
    form = FORMATS[name]
    train, test = (
        (np.empty((count, 3, 32, 32), np.uint8), np.empty(count, np.int64)) for count in (5 * RECORDS, RECORDS)
    )
    parts = len(form.train)
    pieces = zip(np.split(train[0], parts), np.split(train[1], parts), strict=True)
    places: dict[str, Place] = dict(zip(form.train, pieces, strict=True))
    return Dataset(name, *train, *test, form.classes), {**places, form.test: test}


def _fill(stream: IO[bytes], where: str, images: NDArray[np.uint8], labels: NDArray[np.int64], form: Format) -> None:
    """Read the records of one file into `images` and `labels`."""
    for start in range(0, len(labels), BLOCK):
        count = min(BLOCK, len(labels) - start)
        block = stream.read(count * form.record_bytes)
        if len(block) != count * form.record_bytes:
            raise DataError(f"{where} ends too early; copy or download it again")
        records = np.frombuffer(block, np.uint8).reshape(count, form.record_bytes)
        for column, (kind, values) in enumerate(form.labels):
            wrong = np.flatnonzero(records[:, column] >= values)
            if wrong.size:
                raise DataError(
                    f"{where}: image {start + wrong[0] + 1:,} of {len(labels):,} has the {kind} "
                    f"{records[wrong[0], column]}, but {form.title} has {kind}s 0 to {values - 1}; get the file again"
                )
        labels[start : start + count] = records[:, len(form.labels) - 1]
        images[start : start + count] = records[:, len(form.labels) :].reshape(count, 3, 32, 32)

"""Damaged archives, folders and images: each a DataError that names the file and the fault, and nothing is touched."""

import bz2
import gzip
import struct
import tarfile
import zlib

import numpy as np
import pytest
from data_files import RECORDS, archive_members, image_folder, member, packed, record_files, snapshot, write_files
from PIL import Image

from an_ref.data import DataError, load_dataset

CASES = {}


def add(title, build, name, words):
    CASES[f"{len(CASES)} {title}".replace(" ", "_")] = build, name, words


def case(*words, name="cifar10"):
    """Enter a builder of corrupted data: what the message must say, and the set it pretends to be."""

    def enter(build):
        add(build.__name__, build, name, words)
        return build

    return enter


def cifar_case(file, change, *words, name="cifar10"):
    """Enter two cases: one file of the set changed, in a folder and in an archive."""

    def changed():
        files = record_files(name)
        files[file] = change(files[file])
        return {key: content for key, content in files.items() if content is not None}

    def in_folder(folder):
        return write_files(folder, changed())

    def in_archive(folder):
        return write_files(folder, {"mine.tar.gz": packed(archive_members(name, changed()))}) / "mine.tar.gz"

    for build in (in_folder, in_archive):
        add(f"{file} {words[-1]} {build.__name__}", build, name, (file, *words))


def put(place, byte):
    def change(content):
        content[place] = byte
        return content

    return change


cifar_case("data_batch_2.bin", lambda b: b[:-1], "it has 61,459 bytes and must have 61,460", "too short")
cifar_case("data_batch_2.bin", lambda b: b + b"\0", "it has 61,461 bytes and must have 61,460", "too long")
cifar_case("test_batch.bin", lambda b: b"", "it has 0 bytes", "(20 images of 3,073)")
cifar_case("data_batch_4.bin", put(3 * 3073, 10), "image 4 of 20 has the label 10", "labels 0 to 9")
cifar_case("data_batch_5.bin", put(19 * 3073, 255), "image 20 of 20 has the", "label 255")
cifar_case(
    "train.bin", put(60 * 3074, 20), "image 61 of 100 has the coarse label 20", "coarse labels 0 to 19", name="cifar100"
)
cifar_case("test.bin", put(1, 100), "image 1 of 20 has the fine label 100", "fine labels 0 to 99", name="cifar100")
cifar_case("data_batch_3.bin", lambda b: None, "CIFAR-10 needs data_batch_1.bin to data_batch_5.bin", "is missing")
cifar_case("test.bin", lambda b: None, "CIFAR-100 needs train.bin and test.bin", "is missing", name="cifar100")


@case("no-such-folder", "there is no such folder or archive")
def nothing_there(folder):
    return folder / "no-such-folder"


@case("x" * 300)
def too_long_a_name(folder):
    folder.mkdir()
    return folder / ("x" * 300)


@case("x" * 300, name="folder")
def too_long_a_name_of_images(folder):
    folder.mkdir()
    return folder / ("x" * 300)


@case("CIFAR-10 is not in this folder", "cifar-10-batches-bin", "pickles, is not read")
def folder_without_the_set(folder):
    return write_files(folder, {"data_batch_1": b"python version"})


@case("CIFAR-100 is not in this folder", "train.bin and test.bin", name="cifar100")
def folder_with_the_other_set(folder):
    return write_files(folder, record_files("cifar10"))


@case("data_batch_1.bin", "is not a file, but must be one with 20 images")
def folder_instead_of_file(folder):
    (folder / "data_batch_1.bin").mkdir(parents=True)
    files = record_files("cifar10")
    del files["data_batch_1.bin"]
    return write_files(folder, files)


def archive_case(content, *words, name="mine.tar.gz"):
    """Enter one corrupted archive; `content` makes its bytes."""

    def build(folder):
        return write_files(folder, {name: content()}) / name

    add(f"archive {words[0]}", build, "cifar10", (name, *words))


def good():
    return packed(archive_members("cifar10"))


def with_last(info, content=b""):
    """An archive whose last member, test_batch.bin, is replaced."""
    return packed([*archive_members("cifar10")[:-1], (info, content)])


def official(file):
    return f"cifar-10-batches-bin/{file}"


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def stored(content):
    """Compressed with gzip, but as it is: a changed byte is found by the checksum alone."""
    return gzip.compress(content, compresslevel=0)


def with_header(kind, size, content=b""):
    """An archive that begins with a tar header of its own kind, with this content and then zeros."""
    return packed([member("header", content + bytes(size), type=kind), *archive_members("cifar10")[2:]])


def with_size(size):
    """An archive whose first header promises far more than there is."""
    info, _ = member("big", size=size)
    return gzip.compress(info.tobuf() + gzip.decompress(good()))


def link(file, kind, target):
    return member(official(file), type=kind, linkname=target)


archive_case(good, "not the official archive", "without a checksum", "sha256", name="cifar-10-binary.tar.gz")
archive_case(lambda: good()[:-3000], "ends too early")
archive_case(lambda: good()[:-4], "ends too early", "copy or download it again")
archive_case(lambda: b"", "damaged", "empty")
archive_case(
    lambda: packed(archive_members("cifar10"), bz2.compress), "not a sound .tar.gz archive", "Not a gzipped file"
)
archive_case(lambda: gzip.compress(b"a letter" * 1000), "this archive is damaged")
archive_case(lambda: flipped(packed(archive_members("cifar10"), stored), 50_000), "CRC check failed", "get it again")
archive_case(lambda: packed(archive_members("cifar10")[:4]), "are missing", "data_batch_4.bin, data_batch_5.bin")
archive_case(lambda: packed([member("x/" + i.name, c) for i, c in archive_members("cifar10")]), "data_batch_1.bin,")
archive_case(
    lambda: packed(archive_members("cifar10") * 2)[:-1], "is there twice", "'cifar-10-batches-bin/data_batch_1"
)
archive_case(lambda: with_last(*link("test_batch.bin", tarfile.SYMTYPE, "/etc/passwd")), "is a link", "test_batch.bin")
archive_case(
    lambda: with_last(*link("other", tarfile.LNKTYPE, official("data_batch_1.bin"))), "other' is a link", "plain files"
)
archive_case(lambda: with_last(*member(official("test_batch.bin"), type=tarfile.FIFOTYPE)), "special entry")
archive_case(
    lambda: with_last(*member(official("test_batch.bin"), type=tarfile.GNUTYPE_SPARSE)), "another special entry"
)
archive_case(lambda: with_last(*member(official("test_batch.bin"), type=tarfile.DIRTYPE)), "is a folder")
archive_case(
    lambda: packed(archive_members("cifar10") + [member("more", bytes(1 << 18))] * 5),
    "unpacks to more than 1,417,336 bytes",
)
archive_case(lambda: with_header(tarfile.XHDTYPE, 3 << 20), "more than 1,417,336 bytes", "get it again")
archive_case(lambda: with_header(tarfile.GNUTYPE_LONGNAME, 3 << 20), "to more than 1,417,336 bytes")
archive_case(lambda: gzip.compress(bytes(3 << 20)), "and the set has less")
archive_case(
    lambda: with_header(tarfile.XHDTYPE, 0, b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"), "is damaged (in"
)
archive_case(lambda: with_size(1 << 34), "'big' says that it has 17,179,869,184 bytes", "the set has less")
archive_case(
    lambda: packed([member("x", type=tarfile.XHDTYPE)] * 2000), "this archive is damaged (maximum recursion depth"
)


def picture_case(change, *words):
    """Enter a good folder of images in which `change` damages something."""

    def build(folder):
        change(image_folder(folder))
        return folder

    add(f"picture {words[-1]}", build, "folder", words)


def remove(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def enlarge(path, side):
    """Make the header of a PNG say that it has side x side pixels."""
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


def write(place, content):
    return lambda root: (root / place).write_bytes(content)


def cut(place):
    return lambda root: (root / place).write_bytes((root / place).read_bytes()[:-60])


BLANK = np.zeros((4, 4), np.float32)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"

picture_case(lambda root: remove(root / "train"), "it has no folder train")
picture_case(lambda root: remove(root / "test"), "it has no folder test or val")
picture_case(remove, "there is no such folder")
picture_case(lambda root: [remove(path) for path in (root / "train").iterdir()], "train: there are no classes here")
picture_case(lambda root: [path.unlink() for path in (root / "test/cat").iterdir()], "test/cat", "has no images")
picture_case(lambda root: remove(root / "train/dog"), "test/dog: this class is missing in train; add it or")
picture_case(lambda root: remove(root / "test/cat"), "train/cat: this class is missing in test; add it or")
picture_case(lambda root: (root / "train/cat/more").mkdir(), "train/cat/more: this is not a file")
picture_case(write("test/dog/0.png", b"no image"), "test/dog/0.png", "not an image of a known format (BMP")
picture_case(write("test/dog/0.png", b""), "test/dog/0.png: this is not an image")
picture_case(write("train/dog/notes.txt", b"good dogs"), "train/dog/notes.txt: this is not an image")
picture_case(write("train/dog/0.jpg", EPS), "train/dog/0.jpg: this is not an image")
picture_case(cut("train/cat/1.png"), "train/cat/1.png", "this image cannot be read: ")
picture_case(lambda root: enlarge(root / "train/cat/1.png", 10_000), "cat/1.png", "has more than 89,478,485 pixels")
picture_case(lambda root: enlarge(root / "test/dog/0.png", 30_000), "dog/0.png", "has more than 89,478,485 pixels")
picture_case(
    lambda root: Image.fromarray(BLANK).save(root / "train/cat/f.tiff"), "cat/f.tiff", "floating-point numbers"
)


@pytest.mark.parametrize("key", CASES)
def test_corrupted_data(key, tmp_path, monkeypatch):
    """A DataError names the file and the fault; nothing is left behind, and the data are as they were."""
    build, name, words = CASES[key]
    monkeypatch.setattr("an_ref.data.cifar.RECORDS", RECORDS)
    monkeypatch.setattr("an_ref.data.cifar.BLOCK", 7)
    for folder in ("here", "cache", "temporary"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    source = build(tmp_path / "source")
    before = snapshot(tmp_path)
    with pytest.raises(DataError) as caught:
        load_dataset(name, source)
    message = str(caught.value)
    assert message.startswith(str(source))
    assert "\n" not in message
    for word in words:
        assert word in message
    assert snapshot(tmp_path) == before


def test_there_are_many_of_them():
    assert len(CASES) > 45


def test_the_data_are_good_before_they_are_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr("an_ref.data.cifar.RECORDS", RECORDS)
    for name in ("cifar10", "cifar100"):
        archive = packed(archive_members(name))
        assert load_dataset(name, write_files(tmp_path, {f"{name}.tar.gz": archive}) / f"{name}.tar.gz")
    assert load_dataset("folder", image_folder(tmp_path / "images"))

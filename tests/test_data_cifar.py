"""CIFAR in its binary format: from folders and archives, with the right image, label and class in each place."""

import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from data_files import RECORDS, answer, archive_members, member, packed, record_files, serving, sha256, write_files

from an_ref.data import DATASETS, DataError, load_dataset, load_emoji
from an_ref.data.cifar import FORMATS, load_cifar

ROOT = Path(__file__).parents[1]
NAMES = ("cifar10", "cifar100")
pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("an_ref.data.cifar.RECORDS", RECORDS)
    monkeypatch.setattr("an_ref.data.cifar.BLOCK", 7)


def picture(pixels):
    """(3, 32, 32) from 3072 bytes, one at a time."""
    return [[[pixels[1024 * c + 32 * i + j] for j in range(32)] for i in range(32)] for c in range(3)]


def expected(name, files):
    """Images and labels of both splits, picked apart byte by byte."""
    form, found = FORMATS[name], []
    for split in (form.train, (form.test,)):
        data = b"".join(bytes(files[file]) for file in split)
        size = len(form.labels) + 3072
        records = [data[start : start + size] for start in range(0, len(data), size)]
        found += [np.array([picture(r[-3072:]) for r in records]), np.array([r[len(form.labels) - 1] for r in records])]
    return found


def check(data, name, files):
    assert data.name == name
    for array, right in zip(data[1:5], expected(name, files), strict=True):
        np.testing.assert_array_equal(array, right)
    assert data.train_images.dtype == data.test_images.dtype == np.uint8
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64
    assert data.classes == FORMATS[name].classes


@pytest.mark.parametrize("name", NAMES)
def test_every_place_that_may_hold_the_set(tmp_path, name):
    """The .bin files, the folder around them, an archive, and the folder around an official archive."""
    files, form = record_files(name), FORMATS[name]
    folder = write_files(tmp_path / "a" / form.folder, files)
    archive = tmp_path / "mine.tar.gz"
    archive.write_bytes(packed(archive_members(name, files)))
    for place in (folder, tmp_path / "a", archive, str(archive)):
        check(load_dataset(name, place), name, files)


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_with_the_official_name_and_checksum(tmp_path, monkeypatch, name):
    files, form = record_files(name), FORMATS[name]
    content = packed(archive_members(name, files))
    monkeypatch.setitem(FORMATS, name, form._replace(sha256=sha256(content)))
    (tmp_path / form.archive).write_bytes(content)
    for place in (tmp_path, tmp_path / form.archive):
        check(load_dataset(name, place), name, files)


def test_the_members_of_an_archive_come_in_any_order_and_others_are_left_alone(tmp_path):
    files = record_files("cifar10")
    members = archive_members("cifar10", files)[::-1]
    others = [member(f"{there}data_batch_1.bin", b"evil") for there in ("../", "/etc/", "", "cifar-10-batches-bin/../")]
    archive = tmp_path / "mine.tar.gz"
    archive.write_bytes(packed(others + members))
    check(load_dataset("cifar10", archive), "cifar10", files)
    assert list(tmp_path.iterdir()) == [archive]
    assert not (tmp_path.parent / "data_batch_1.bin").exists()


def test_long_names_and_other_headers_of_tar_are_understood(tmp_path):
    files = record_files("cifar10")
    archive = tmp_path / "mine.tar.gz"
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT, pax_headers={"comment": "ü" * 300}) as packing:
        packing.add(write_files(tmp_path / "folder", files), arcname="cifar-10-batches-bin")
        packing.add(tmp_path / "folder" / "test_batch.bin", arcname="x" * 300)
    check(load_dataset("cifar10", archive), "cifar10", files)


def test_without_a_folder_the_set_is_downloaded_once(tmp_path, monkeypatch):
    files, form = record_files("cifar10"), FORMATS["cifar10"]
    content = packed(archive_members("cifar10", files))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setitem(FORMATS, "cifar10", form._replace(sha256=sha256(content), archive_bytes=len(content)))
    with serving(answer(content)) as (address, asked):
        for _ in range(2):
            check(load_cifar("cifar10", base_url=address, cache=tmp_path), "cifar10", files)
    assert asked == [f"/~kriz/{form.archive}"]


def test_the_official_figures():
    ten, hundred = (FORMATS[name] for name in NAMES)
    assert (ten.record_bytes, hundred.record_bytes) == (3073, 3074)
    assert len(ten.sha256) == len(hundred.sha256) == 64
    assert (
        [len(form.classes) for form in (ten, hundred)] == [10, 100] == [form.labels[-1][1] for form in (ten, hundred)]
    )
    assert all(list(form.classes) == sorted(set(form.classes)) for form in (ten, hundred))


def test_the_official_number_of_images(tmp_path, monkeypatch):
    """Six files of the real length: black images with label 0, but the last of each file has a label of its own."""
    monkeypatch.undo()
    names = [*FORMATS["cifar10"].train, FORMATS["cifar10"].test]
    for label, name in enumerate(names, start=1):
        with (tmp_path / name).open("wb") as file:
            file.truncate(30_730_000)  # takes no room on the disk
            file.seek(9_999 * 3073)
            file.write(bytes([label]))
    data = load_dataset("cifar10", tmp_path)
    assert (data.train_images.shape, data.test_images.shape) == ((50_000, 3, 32, 32), (10_000, 3, 32, 32))
    assert np.flatnonzero(data.train_labels).tolist() == [9_999, 19_999, 29_999, 39_999, 49_999]
    assert data.train_labels[9_999::10_000].tolist() == [1, 2, 3, 4, 5]
    assert np.flatnonzero(data.test_labels).tolist() == [9_999]
    assert not data.train_images.any()


def test_the_embedded_set_by_its_name():
    data = load_dataset("emoji")
    for array, right in zip(data, load_emoji(), strict=True):
        np.testing.assert_array_equal(array, right)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("cifar-10",),
            "there is no image set 'cifar-10': did you mean 'cifar10'? choose from emoji, cifar10, cifar100",
        ),
        (("mnist",), "there is no image set 'mnist': choose from emoji, cifar10, cifar100, folder"),
        ((None,), "there is no image set None: choose from"),
        (("emoji", "x"), "leave --data-dir out"),
        (("folder",), "say which one, with --data-dir"),
    ],
)
def test_wrong_names(arguments, message):
    with pytest.raises(DataError) as caught:
        load_dataset(*arguments)
    assert message in str(caught.value)
    assert DATASETS == ("emoji", "cifar10", "cifar100", "folder")


def test_reading_a_folder_needs_no_network_libraries(tmp_path):
    folder = write_files(tmp_path / "files", record_files("cifar10"))
    code = (
        "import sys\nfor name in ('pooch', 'requests', 'rich', 'PIL'): sys.modules[name] = None\n"
        f"import an_ref.data.cifar as cifar\ncifar.RECORDS = {RECORDS}\n"
        f"print(len(cifar.load_cifar('cifar10', {str(folder)!r}).train_labels))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(5 * RECORDS)]

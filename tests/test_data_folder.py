"""Folders of images: the right class, size and colours, whatever the files are."""

import numpy as np
import pytest
from data_files import image_folder
from PIL import Image

from an_ref.data import load_dataset, load_folder

ORANGE = (250, 120, 30)


def in_mode(mode):
    return Image.new("RGB", (40, 20), ORANGE).convert(mode)


def one_image(tmp_path, image, name="image.png", size=8, **options):
    """What load_folder makes of one image: (3, size, size)."""
    for split in ("train", "test"):
        (tmp_path / split / "only").mkdir(parents=True)
        image.save(tmp_path / split / "only" / name, **options)
    return load_folder(tmp_path, size=size).train_images[0]


def test_classes_labels_and_splits(tmp_path):
    """A class has its own grey, and each image is found with the label of its class."""
    greys, counts = {"b cat": 50, "a dog": 100, "ü": 150}, {"train": 5, "test": 3}
    for split, count in counts.items():
        for name, grey in greys.items():
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(count):
                Image.new("L", (9, 9), grey + index).save(tmp_path / split / name / f"{index}.PNG")
    data = load_dataset("folder", tmp_path)
    assert data.name == tmp_path.name
    assert data.classes == ("a dog", "b cat", "ü")
    for split, images, labels in zip(counts, data[1::2], data[2::2], strict=False):
        assert images.shape == (3 * counts[split], 3, 32, 32)
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
        found = [
            (data.classes[label], image[0, 0, 0] - greys[data.classes[label]])
            for image, label in zip(images, labels, strict=True)
        ]
        assert sorted(found) == sorted((name, index) for name in greys for index in range(counts[split]))


def test_images_are_in_a_random_order_that_is_always_the_same(tmp_path):
    root = image_folder(tmp_path, classes=("a", "b"), count=30)
    first, second = load_folder(root), load_folder(root)
    np.testing.assert_array_equal(first.train_images, second.train_images)
    assert 5 < first.train_labels[:30].sum() < 25


def test_val_is_read_where_there_is_no_test(tmp_path):
    data = load_folder(image_folder(tmp_path, splits=("train", "val"), count=3))
    assert len(data.test_labels) == 6
    image_folder(tmp_path, splits=("test",), count=1)
    assert len(load_folder(tmp_path).test_labels) == 2


def test_what_is_not_meant_as_an_image_is_left_out(tmp_path):
    root = image_folder(tmp_path)
    for name in ("notes.txt", "train/labels.csv", "train/cat/.DS_Store", "train/cat/Thumbs.db", "test/dog/desktop.ini"):
        (root / name).write_bytes(b"text")
    (root / "train" / ".ipynb_checkpoints").mkdir()
    data = load_folder(root)
    assert (len(data.train_labels), len(data.test_labels)) == (4, 4)
    assert data.classes == ("cat", "dog")


@pytest.mark.parametrize("shape", [(10, 30), (30, 10), (10, 10), (1, 91), (201, 3)])
def test_the_square_in_the_middle_is_taken(tmp_path, shape):
    """The outside is red, and the largest square in the middle has all of its own colours."""
    short = min(shape)
    pixels = np.full((*shape, 3), (255, 0, 0), np.uint8)
    top, left = ((length - short) // 2 for length in shape)
    pixels[top : top + short, left : left + short] = (0, 0, 200)
    pixels[top, left : left + short] = (0, 200, 0)
    found = one_image(tmp_path, Image.fromarray(pixels), size=short)
    np.testing.assert_array_equal(found, pixels[top : top + short, left : left + short].transpose(2, 0, 1))


@pytest.mark.parametrize(("size", "original"), [(8, (20, 16)), (32, (20, 40)), (16, (300, 900))])
def test_images_are_scaled_to_the_size(tmp_path, size, original):
    """A ramp from left to right stays one, from end to end: smaller by averages, larger without steps."""
    ramp = np.linspace(0, 250, original[1])
    pixels = np.broadcast_to(ramp[None, :, None], (*original, 3)).astype(np.uint8)
    found = one_image(tmp_path, Image.fromarray(pixels), size=size)
    assert found.shape == (3, size, size)
    side, width = min(original), original[1]
    expected = ((np.arange(size) + 0.5) * side / size + (width - side) / 2 - 0.5) * 250 / (width - 1)
    inner = slice(1, -1)
    np.testing.assert_allclose(found[:, :, inner].mean(axis=(0, 1)), expected[inner], atol=2)


MODES = {
    "a.png": ["RGB", "RGBA", "P", "L", "LA", "1", "I;16"],
    "a.JPEG": ["RGB", "L", "CMYK", "YCbCr"],
    "a.tiff": ["RGB", "RGBA", "P", "L", "LA", "1", "I;16", "CMYK", "YCbCr"],
    "a.webp": ["RGB", "RGBA"],
    "a.bmp": ["RGB", "RGBA", "P", "L", "1"],
    "a.gif": ["P", "L"],
    "a.ppm": ["RGB", "L", "1", "I;16"],
}


@pytest.mark.parametrize(("name", "mode"), [(name, mode) for name, modes in MODES.items() for mode in modes])
def test_any_format_and_mode(tmp_path, name, mode):
    image = Image.new("I;16", (40, 20), 257 * 130) if mode == "I;16" else in_mode(mode)
    found = one_image(tmp_path, image, name).mean(axis=(1, 2))
    grey = [np.mean(in_mode("L"))] * 3
    expected = {"L": grey, "LA": grey, "1": grey, "I;16": [130] * 3}.get(mode, ORANGE)
    np.testing.assert_allclose(found, expected, atol=30 if mode == "1" else 12 if mode == "P" else 4)


def test_big_endian_16_bits(tmp_path):
    image = Image.fromarray(np.full((9, 9), 257 * 77, ">u2"))
    assert (one_image(tmp_path, image, "a.tiff") == 77).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_large_photographs(tmp_path, mode):
    """A JPEG is decoded at a smaller scale, in colour, grey and for print."""
    found = one_image(tmp_path, in_mode(mode).resize((900, 700)), "photo.jpg")
    expected = [np.mean(in_mode("L"))] * 3 if mode == "L" else ORANGE
    np.testing.assert_allclose(found.mean(axis=(1, 2)), expected, atol=4)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(tmp_path, mode):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4] = (0, 0, 0, 255)
    image = Image.fromarray(pixels)
    image = image.quantize() if mode == "P" else image.convert(mode)
    found = one_image(tmp_path, image)
    assert (found[:, :4] < 5).all()
    assert (found[:, 4:] > 250).all()


def test_a_photograph_is_turned_upright(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4] = 200  # bright on the left; the camera was turned, so upright it is bright at the top
    exif = Image.Exif()
    exif[0x0112] = 6
    found = one_image(tmp_path, Image.fromarray(pixels), exif=exif)
    assert (found[:, :4] == 200).all()
    assert (found[:, 4:] == 0).all()


def test_the_first_frame_of_several(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    found = one_image(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert found[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-4, ValueError), (8.0, TypeError), (True, TypeError)])
def test_wrong_sizes(tmp_path, size, error):
    with pytest.raises(error, match="load_folder: size must be"):
        load_folder(tmp_path, size=size)

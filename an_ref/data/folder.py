"""Images of your own: a folder for training and one for testing, with a sub-folder for each class."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..validation import check_integer
from .dataset import DataError, Dataset

if TYPE_CHECKING:
    from PIL import Image

# Pillow knows more. But it goes by the content of a file and not by its name, and for one format (EPS) it starts
# another program, which runs what the file says.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
LITTER = ("thumbs.db", "desktop.ini")  # what a system leaves in folders of images, beside hidden files


def load_folder(data_dir: str | Path, size: int = 32) -> Dataset:
    """Return the images in data_dir/train and data_dir/test (or data_dir/val), resized to size x size pixels.

    Each sub-folder of train is a class, named as the folder is, and holds the images of that class: BMP, GIF, JPEG,
    PNG, PPM, TIFF or WebP, of any size and in any mode but floating point. Test has the same classes. Classes are in
    the order of their names. The images of a split are in a random order that is the same at each call, so that the
    first ones are a fair part. Hidden files, and files beside the class folders, are left out.

    The largest square in the middle of an image is scaled to size x size (antialiased, bilinear), which is the same as
    scaling the shorter side and cropping the centre. Grey becomes RGB, 16 bits become 8, what is transparent becomes
    white, a photograph is turned upright, and of several frames the first is taken.

    Raises DataError that names the folder or file: no train or test, no class, an empty class, classes that differ
    between the two, a file that is not an image or is damaged, an image with too many pixels. Raises TypeError or
    ValueError if size is not a positive integer.
    """
    size = check_integer("load_folder", "size", size)
    root = Path(data_dir)
    try:
        train = _split(root, ("train",))
        test = _split(root, ("test", "val"))
        classes = _class_names(train)
        _check_same_classes(train, classes, test, _class_names(test))
        return Dataset(root.absolute().name, *_read(train, classes, size), *_read(test, classes, size), classes)
    except OSError as error:
        raise DataError(f"{error.filename or root}: this cannot be read: {error.strerror or error}") from error


def _split(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    fault = f"it has no folder {' or '.join(names)}" if root.is_dir() else "there is no such folder"
    raise DataError(f"{root}: {fault}; give a folder with train and test (or val) in it, each with a folder per class")


def _class_names(split: Path) -> tuple[str, ...]:
    names = tuple(sorted(entry.name for entry in split.iterdir() if entry.is_dir() and not entry.name.startswith(".")))
    if not names:
        raise DataError(f"{split}: there are no classes here; put the images into one sub-folder for each class")
    return names


def _check_same_classes(train: Path, ours: tuple[str, ...], test: Path, theirs: tuple[str, ...]) -> None:
    for here, lacking, there in ((train, set(theirs) - set(ours), test), (test, set(ours) - set(theirs), train)):
        if lacking:
            first, *more = sorted(lacking)
            others = f", and so are {len(more)} more" if more else ""
            raise DataError(f"{there / first}: this class is missing in {here.name}{others}; add it or take it away")


def _read(split: Path, classes: tuple[str, ...], size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    files = [(path, label) for label, name in enumerate(classes) for path in _files(split / name)]
    images, labels = np.empty((len(files), 3, size, size), np.uint8), np.empty(len(files), np.int64)
    for place, index in enumerate(np.random.default_rng(0).permutation(len(files))):
        path, labels[place] = files[index]
        images[place] = _read_image(path, size)
    return images, labels


def _files(folder: Path) -> list[Path]:
    hidden = (".", *LITTER)
    files = sorted(path for path in folder.iterdir() if not path.name.lower().startswith(hidden))
    if not files:
        raise DataError(f"{folder}: this class has no images; add some, or take the folder away")
    return files


def _read_image(path: Path, size: int) -> NDArray[np.uint8]:
    """Return the centre of one image as (3, size, size)."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not path.is_file():
        raise DataError(f"{path}: this is not a file; put the images right into the folder of their class")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as odd metadata, which do not touch the pixels
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                image.draft(image.mode, (size, size))  # a large JPEG is decoded at a half, a quarter or an eighth
                upright = _to_rgb(ImageOps.exif_transpose(image))
            square = ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS or 0:,} pixels"
        raise DataError(
            f"{path}: this image has more than {limit}, too many to read safely; make it smaller"
        ) from error
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise DataError(f"{path}: this is not an image of a known format ({known}); take it away") from error
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        raise DataError(f"{path}: this image cannot be read: {error}; replace it") from error
    return np.asarray(square).transpose(2, 0, 1)


def _to_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, and which is white is not known")
    if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        levels = np.asarray(image).astype(np.int64)
        return Image.fromarray((levels.clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")
    return image.convert("RGB")

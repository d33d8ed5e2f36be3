"""The embedded image set: 1,906 emoji of 32x32 pixels in nine classes, so that everything runs offline."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dataset import Dataset


def load_emoji() -> Dataset:
    """Return the embedded set: 1,506 training and 400 test images, (3, 32, 32), on white, in nine classes.

    The split is stratified and fixed; no image is in both parts. The largest class holds a fifth of the images, and
    that is the accuracy of a guess. The file is read without pickle.

    Source: Noto Emoji by Google, Apache-2.0, by way of the npm package emoji-datasource-google 16.0.0 (see NOTICE;
    made by scripts/make_emoji.py).
    """
    with (files("an_ref.data") / "emoji.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        arrays: dict[str, NDArray[Any]] = {key: stored[key] for key in stored.files}
    return Dataset(
        "emoji",
        arrays["train_images"],
        arrays["train_labels"].astype(np.int64),
        arrays["test_images"],
        arrays["test_labels"].astype(np.int64),
        tuple(str(name) for name in arrays["classes"]),
    )

"""What every image set is, whichever files it came from, and the one error that says what is wrong with the files."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Dataset(NamedTuple):
    """Images with labels, split for training and testing.

    name       what to call the set in a report
    images     uint8, (n, 3, H, W), values 0 to 255
    labels     int64, (n,), positions in `classes`
    classes    the names of the classes
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]


class DataError(ValueError):
    """The images cannot be had: the message names the file or the address, the fault, and what to do."""

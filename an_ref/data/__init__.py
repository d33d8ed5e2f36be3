"""Images to train on: an embedded set, and the augmentation and batches for it."""

from .augment import batches, pad_crop_flip
from .emoji import Dataset, load_emoji

__all__ = ["Dataset", "batches", "load_emoji", "pad_crop_flip"]

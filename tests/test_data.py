"""The embedded images, batches and augmentation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from an_ref.data import batches, load_emoji, pad_crop_flip

DATA = load_emoji()


def test_shapes_counts_and_dtypes():
    assert DATA.train_images.shape == (1506, 3, 32, 32)
    assert DATA.test_images.shape == (400, 3, 32, 32)
    assert DATA.train_images.dtype == DATA.test_images.dtype == np.uint8
    assert DATA.train_labels.dtype == DATA.test_labels.dtype == np.int64
    assert len(DATA.classes) == len(set(DATA.classes)) == 9


def test_no_image_is_in_both_splits():
    train = {image.tobytes() for image in DATA.train_images}
    assert not any(image.tobytes() in train for image in DATA.test_images)


def test_every_class_gives_the_same_share_to_the_test():
    train, test = np.bincount(DATA.train_labels), np.bincount(DATA.test_labels)
    assert len(train) == len(test) == 9
    np.testing.assert_allclose(test, 0.21 * (train + test), atol=0.5)
    assert (train + test).min() > 24


def test_rows_are_in_mixed_order():
    """The first images of each split are of all classes, so a part of the set is a fair part."""
    for labels in (DATA.train_labels, DATA.test_labels):
        share = np.bincount(labels, minlength=9) / len(labels)
        for part in (labels[:150], labels[-150:]):
            found, expected = np.bincount(part, minlength=9), 150 * share
            assert (np.abs(found - expected) < 4 * np.sqrt(expected)).all()


def test_images_are_on_white_and_not_shifted():
    """Most corners of most emoji are background; none of the sheet's border came along."""
    corners = np.concatenate([DATA.train_images[:, :, i, j] for i in (0, -1) for j in (0, -1)])
    assert (corners == 255).all(axis=1).mean() > 0.9
    columns = (DATA.train_images < 250).any(axis=(1, 2)).mean(axis=0)
    assert abs(columns[:16].sum() - columns[16:].sum()) < 1


@given(count=st.integers(1, 200), size=st.integers(1, 50), seed=st.integers(0, 99))
def test_batches_hold_every_index_once(count, size, seed):
    parts = list(batches(count, size, rng=np.random.default_rng(seed)))
    assert sorted(np.concatenate(parts)) == list(range(count))
    assert all(len(part) <= size + 1 for part in parts)
    if size > 1 and count > 1:
        assert min(map(len, parts)) > 1
    again = batches(count, size, rng=np.random.default_rng(seed))
    assert all((a == b).all() for a, b in zip(parts, again, strict=True))


def test_batches_come_in_random_order():
    first, second = (np.concatenate(list(batches(50, 8, rng=np.random.default_rng(s)))) for s in (0, 1))
    assert not np.array_equal(first, second)


@given(st.integers(0, 999), st.integers(0, 3), st.sampled_from([np.uint8, np.float32]))
def test_a_crop_is_a_window_of_the_padded_image_perhaps_mirrored(seed, padding, dtype):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 255, (5, 2, 6, 7)).astype(dtype)
    before = images.copy()
    moved = pad_crop_flip(images, rng=rng, padding=padding)
    assert moved.dtype == dtype
    assert moved.shape == images.shape
    np.testing.assert_array_equal(images, before)
    assert not np.shares_memory(moved, images)
    for image, result in zip(images, moved, strict=True):
        padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)), mode="edge")
        shifts = [padded[:, i : i + 6, j : j + 7] for i in range(2 * padding + 1) for j in range(2 * padding + 1)]
        assert any(np.array_equal(result, s) or np.array_equal(result, s[:, :, ::-1]) for s in shifts)


def test_shifts_cover_their_range_and_half_of_the_images_are_mirrored():
    ramp = np.arange(9.0)[None, :] + 100 * np.arange(9.0)[:, None]
    images = np.broadcast_to(ramp, (2000, 1, 9, 9))
    moved = pad_crop_flip(images, rng=np.random.default_rng(0), padding=2)
    centre = moved[:, 0, 4, 4]
    assert set(np.unique(centre // 100 - 4)) == {-2, -1, 0, 1, 2}
    assert set(np.unique(centre % 100 - 4)) == {-2, -1, 0, 1, 2}
    mirrored = (moved[:, 0, 4, 5] < centre).mean()
    assert 0.45 < mirrored < 0.55
    unflipped = pad_crop_flip(images, rng=np.random.default_rng(0), padding=2, flip=False)
    assert (unflipped[:, 0, 4, 5] > unflipped[:, 0, 4, 4]).all()


def test_the_same_generator_state_gives_the_same_images():
    a, b = (pad_crop_flip(DATA.test_images[:9], rng=np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda rng: pad_crop_flip(np.ones((3, 32, 32)), rng=rng), ValueError, r"\(N, C, H, W\), got \(3, 32, 32\)"),
        (lambda rng: pad_crop_flip([1], rng=rng), ValueError, "got list"),
        (lambda rng: pad_crop_flip(DATA.test_images, rng=rng, padding=-1), ValueError, "padding must be at least 0"),
        (lambda rng: pad_crop_flip(DATA.test_images, rng=rng, padding=1.5), TypeError, "padding must be an integer"),
        (
            lambda rng: pad_crop_flip(DATA.test_images, rng=0),
            TypeError,
            "rng must be a numpy.random.Generator, got int",
        ),
        (lambda rng: batches(4, 2, rng=0), TypeError, "rng must be a numpy.random.Generator, got int"),
        (lambda rng: batches(0, 4, rng=rng), ValueError, "count must be at least 1"),
        (lambda rng: batches(4, 0, rng=rng), ValueError, "batch_size must be at least 1"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(np.random.default_rng(0))

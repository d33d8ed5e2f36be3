"""Checkpoints: what is written comes back, and no file that is damaged, foreign or made up is believed."""

import io
import json
import pickle
import shutil
import warnings
import zipfile

import numpy as np
import pytest
from tiny_run import content, tiny_run, tiny_run_settings, without_figure

from an_ref.training import not_decayed
from an_ref.training.checkpoint import CheckpointError, load_checkpoint, to_bytes

WEIGHT, VELOCITY, STATE = "params.0.weight", "velocity.0.weight", "state.1.running_var"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a checkpoint after two epochs."""
    folder = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patch:
        without_figure(patch)
        tiny_run(folder, epochs=2).go_on()
    return (folder / "last.npz").read_bytes()


def entries(content):
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def packed(arrays, save=np.savez):
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def changed(content, **arrays):
    """The checkpoint with entries replaced, or removed by None; dots in names are written as __."""
    new = entries(content) | {key.replace("__", "."): array for key, array in arrays.items()}
    return packed({key: array for key, array in new.items() if array is not None})


def about(content, *path, value):
    """The checkpoint with another value at `path` in its JSON; without one if the value is ..."""
    arrays = entries(content)
    tree = json.loads(str(arrays["about"]))
    inner = tree
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return packed(arrays | {"about": np.array(json.dumps(tree))})


def with_member(content, name, data, compression=zipfile.ZIP_STORED):
    """The checkpoint with the bytes of one member replaced."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for member in old.namelist():
            new.writestr(member, data if member == f"{name}.npy" else old.read(member))
    return buffer.getvalue()


def twice(content):
    """Every entry is there twice."""
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in archive.namelist():
            archive.writestr(name, archive.read(name))
    return buffer.getvalue()


def header(shape, dtype="<f4"):
    """The beginning of an .npy that promises this shape, and no numbers after it."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def flipped(content, name):
    """One bit of an entry's numbers is wrong."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        at = archive.getinfo(f"{name}.npy").header_offset + 400
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def nan(content, name):
    array = entries(content)[name]
    array.flat[-1] = np.nan
    return array


CORRUPTIONS = {
    "empty": (lambda c: b"", "not a checkpoint"),
    "cut short": (lambda c: c[: len(c) // 2], "cut short"),
    "cut at the end": (lambda c: c[:-1], "cut short"),
    "a text": (lambda c: b"epoch,loss\n1,2.3\n" * 100, "not a checkpoint"),
    "a pickle": (lambda c: pickle.dumps({"weights": [1.0] * 100}), "not a checkpoint"),
    "a bare array": (lambda c: header((2,)) + bytes(8), "not a checkpoint"),
    "another npz": (lambda c: packed({"x": np.zeros(3)}), "has no entry about"),
    "a flipped bit": (lambda c: flipped(c, WEIGHT), f"{WEIGHT} cannot be read (Bad CRC-32"),
    "compressed": (lambda c: packed(entries(c), np.savez_compressed), "about is compressed"),
    "a zip bomb": (
        lambda c: with_member(c, WEIGHT, header((2**28,)) + bytes(2**22), zipfile.ZIP_DEFLATED),
        "is compressed",
    ),
    "entries twice": (twice, "overlap or repeat"),
    "a promised gigabyte": (lambda c: with_member(c, WEIGHT, header((2**28,))), f"{WEIGHT} has shape (268435456,)"),
    "a large array": (lambda c: changed(c, params__0__weight=np.zeros(10**5, "f4")), f"{WEIGHT} takes 400,128 bytes"),
    "fewer numbers": (lambda c: with_member(c, WEIGHT, header((16, 3, 3, 3)) + bytes(8)), f"{WEIGHT} has 8 bytes"),
    "no header": (lambda c: with_member(c, WEIGHT, b"nothing"), f"{WEIGHT} cannot be read"),
    "a broken header": (lambda c: with_member(c, WEIGHT, header((2,)).replace(b"(", b"[")), f"{WEIGHT} cannot be read"),
    "pickled objects": (
        lambda c: with_member(c, WEIGHT, header((1,), "|O") + pickle.dumps([1])),
        f"{WEIGHT} has shape (1,)",
    ),
    "a missing weight": (lambda c: changed(c, params__0__weight=None), f"{WEIGHT} is missing"),
    "a missing velocity": (lambda c: changed(c, velocity__0__weight=None), f"{VELOCITY} is missing"),
    "a missing statistic": (lambda c: changed(c, state__1__running_var=None), f"{STATE} is missing"),
    "an unknown array": (lambda c: changed(c, params__77__bias=np.zeros(2, "f4")), "params.77.bias is unknown"),
    "a wrong shape": (
        lambda c: changed(c, state__1__running_var=np.ones(8, "f4")),
        f"{STATE} has shape (8,), but this net needs (16,)",
    ),
    "a wrong dtype": (
        lambda c: changed(c, state__1__running_var=np.ones(16)),
        f"{STATE} holds float64, but this net needs float32",
    ),
    "not a number": (lambda c: changed(c, velocity__0__weight=nan(c, VELOCITY)), f"{VELOCITY} holds a number that"),
    "about is an array": (lambda c: changed(c, about=np.zeros(3)), "about should be a string"),
    "about is no JSON": (lambda c: changed(c, about=np.array("{")), "about is not JSON"),
    "about is a list": (lambda c: changed(c, about=np.array("[]")), "about should be a table"),
    "about is deep": (lambda c: changed(c, about=np.array("[" * 10**5)), "about is not JSON"),
    "another format": (lambda c: about(c, "format", value="other"), "about.format is 'other'"),
    "newer": (
        lambda c: about(changed(c), "version", value=2),
        "about.version is 2, and this an_ref reads 1: it was written by an_ref ",
    ),
    "no settings": (lambda c: about(c, "settings", value=...), "about.settings is missing"),
    "an unknown net": (lambda c: about(c, "settings", "model", value="vgg"), "about.settings.model is 'vgg'"),
    "an unknown norm": (lambda c: about(c, "settings", "norm", value="bm"), "about.settings.norm is 'bm'"),
    "another norm": (lambda c: about(c, "settings", "norm", value="gn"), "is unknown: the net of the settings"),
    "a wrong seed": (lambda c: about(c, "settings", "seed", value=-1), "about.settings.seed is -1"),
    "a seed of text": (lambda c: about(c, "settings", "seed", value="1"), "about.settings.seed should be an integer"),
    "an impossible recipe": (
        lambda c: about(c, "settings", "recipe", "lr", value=0),
        "about.settings.recipe.* cannot be used (Recipe: lr must be",
    ),
    "an unknown part of it": (
        lambda c: about(c, "settings", "recipe", "dropout", value=0.5),
        "about.settings.recipe.dropout is unknown",
    ),
    "an unknown exception": (
        lambda c: about(c, "settings", "recipe", "no_decay", value=["gama"]),
        "about.settings.recipe.no_decay does not fit the net",
    ),
    "no classes": (lambda c: about(c, "classes", value=[]), "about.classes is empty"),
    "more classes": (lambda c: about(c, "classes", value=["a"] * 4), "has shape (64, 3), but this net needs (64, 4)"),
    "another generator": (
        lambda c: about(c, "rng", "bit_generator", value="MT19937"),
        "about.rng.bit_generator is 'MT19937', not 'PCG64'",
    ),
    "a state too large": (lambda c: about(c, "rng", "state", "state", value=2**128), "about.rng.state.state is 34"),
    "a state that is inf": (
        lambda c: about(c, "rng", "state", "state", value=float("inf")),
        "about.rng.state.state should be an integer",
    ),
    "an even increment": (lambda c: about(c, "rng", "state", "inc", value=4), "about.rng.state.inc is even"),
    "a history cut short": (lambda c: about(c, "epoch", value=1), "about.epoch is 1 of 2, but history has 2 entries"),
    "a loss that is NaN": (
        lambda c: about(c, "history", 0, "train_loss", value=float("nan")),
        "about.history[0].train_loss is nan",
    ),
    "a step below 0": (lambda c: about(c, "step", value=-1), "about.step is -1"),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupted_checkpoints(tmp_path, good, name):
    """Each is one clear error with the file and the entry, and the folder stays as it was."""
    corrupt, words = CORRUPTIONS[name]
    path = tmp_path / "last.npz"
    path.write_bytes(corrupt(good))
    before = content(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        tiny_run(tmp_path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda path: None, "cannot be read: no such file"),
        (lambda path: path.mkdir(), "cannot be read: "),
    ],
)
def test_a_path_without_a_file(tmp_path, prepare, words):
    path = tmp_path / "last.npz"
    prepare(path)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path} {words}")


def test_a_checkpoint_of_other_images_or_another_number_of_steps_is_refused(tmp_path, good):
    for change, words in (
        (("images", "train"), "of other images than these; take the same --data-dir"),
        (("classes", 0), "of other images than these"),
    ):
        (tmp_path / "last.npz").write_bytes(about(good, *change, value="0"))
        with pytest.raises(CheckpointError, match=words):
            tiny_run(tmp_path)
    (tmp_path / "last.npz").write_bytes(about(good, "step", value=5))
    with pytest.raises(CheckpointError, match=r"about.step is 5, but 2 epochs have 6 steps"):
        tiny_run(tmp_path)


def test_random_damage_is_found_or_harmless(tmp_path, good):
    """Bytes anywhere in the file are changed: either it is refused, or what is read is what was written."""
    rng, path = np.random.default_rng(0), tmp_path / "last.npz"
    path.write_bytes(good)
    original = load_checkpoint(path)
    refused = 0
    for _ in range(150):
        damaged = bytearray(good)
        for at in rng.integers(0, len(good) if rng.random() < 0.3 else 3000, 3):
            damaged[-at if rng.random() < 0.5 else at] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            loaded = load_checkpoint(path)
        except CheckpointError:
            refused += 1
        else:
            assert to_bytes(loaded) == to_bytes(original)
    assert refused > 100


def test_what_is_written_comes_back(tmp_path, good):
    path = tmp_path / "last.npz"
    path.write_bytes(good)
    checkpoint = load_checkpoint(str(path))
    assert to_bytes(checkpoint) == good
    assert checkpoint.about.settings == tiny_run_settings(epochs=2)
    assert (checkpoint.about.epoch, checkpoint.about.step) == (2, 6)
    assert checkpoint.about.versions["numpy"] == np.__version__
    model = checkpoint.build_model()
    for key, array in {**model.params}.items():
        np.testing.assert_array_equal(array, entries(good)[f"params.{key}"], strict=True)
    for key, array in {**model.state}.items():
        np.testing.assert_array_equal(array, entries(good)[f"state.{key}"], strict=True)
    assert set(not_decayed(model)) >= {"gamma", "beta", "attn_beta"}


def test_arrays_of_a_checkpoint_are_not_shared_with_the_net(tmp_path, good):
    path = tmp_path / "last.npz"
    path.write_bytes(good)
    checkpoint = load_checkpoint(path)
    checkpoint.build_model().params["0.weight"][:] = 7
    assert to_bytes(checkpoint) == good


def test_the_file_has_neither_pickle_nor_time(tmp_path, good, monkeypatch):
    monkeypatch.setattr(pickle, "loads", None)
    assert set(entries(good)) >= {"about", WEIGHT, VELOCITY, STATE, "input.mean", "input.std"}
    without_figure(monkeypatch)
    tiny_run(tmp_path, epochs=2).go_on()
    assert (tmp_path / "last.npz").read_bytes() == good
    shutil.rmtree(tmp_path)

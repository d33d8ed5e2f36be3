"""State dicts as safetensors files: round trip, names in the file, foreign and truncated files, no library."""

import io
import struct
import sys

import numpy as np
import pytest
import safetensors.numpy
from state_dicts import arrays_of, same, shaken

from an_ref import nn
from an_ref.interop import load_safetensors, save_safetensors, to_torch


def net(seed, **kw):
    return shaken(nn.small_cnn(norm="an", classes=3, rng=seed, **kw), seed)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_safetensors_round_trip(tmp_path, dtype):
    one, two = net(1, dtype=dtype), net(2, dtype=dtype)
    path = tmp_path / "net.safetensors"
    save_safetensors(one, path)
    assert same(safetensors.numpy.load_file(path), to_torch(one))
    load_safetensors(two, str(path))
    assert same(arrays_of(one), arrays_of(two))
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_file_that_cannot_be_replaced_leaves_nothing_aside(tmp_path):
    target = tmp_path / "taken"
    target.mkdir()
    with pytest.raises(OSError, match=r"cannot write .*taken"):
        save_safetensors(net(1), target)
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]
    with pytest.raises(OSError, match=r"cannot write .*nowhere"):
        save_safetensors(net(1), tmp_path / "nowhere" / "net.safetensors")
    with pytest.raises(FileNotFoundError, match="absent"):
        load_safetensors(net(1), tmp_path / "absent.safetensors")


def npz():
    file = io.BytesIO()
    np.savez(file, a=np.zeros(3))
    return file.getvalue()


def bfloat16():
    header = b'{"conv1.weight":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    return struct.pack("<Q", len(header)) + header + b"\0\0"


FOREIGN = {
    "empty": (b"", "is cut short or is not a safetensors file"),
    "text": (b"weights of a net, written by hand\n" * 20, "is cut short or is not a safetensors file"),
    "npz": (npz(), "is cut short or is not a safetensors file"),
    "bfloat16": (bfloat16(), "holds BF16 numbers, which NumPy does not have"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file_is_one_clear_error(tmp_path, name):
    content, message = FOREIGN[name]
    path = tmp_path / "net.safetensors"
    path.write_bytes(content)
    layer = net(1)
    before = {key: a.copy() for key, a in arrays_of(layer).items()}
    with pytest.raises(ValueError, match=r"net\.safetensors") as caught:
        load_safetensors(layer, path)
    assert str(caught.value).startswith(f"load_safetensors: {path} {message}")
    assert same(before, arrays_of(layer))


@pytest.mark.parametrize("kept", [4, 8, 1000, -1])
def test_a_truncated_file_is_one_clear_error(tmp_path, kept):
    path = tmp_path / "net.safetensors"
    save_safetensors(net(1), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="cut short") as caught:
        load_safetensors(net(2), path)
    assert str(path) in str(caught.value)


def test_a_file_of_another_net_names_file_and_key(tmp_path):
    path = tmp_path / "net.safetensors"
    save_safetensors(net(1), path)
    with pytest.raises(ValueError, match=r"and 26 more; did you mean") as caught:
        load_safetensors(nn.small_cnn(norm="bn", classes=3), path)
    assert str(caught.value).startswith(f"load_safetensors: {path}: unexpected key")


@pytest.mark.parametrize("function", [save_safetensors, load_safetensors])
def test_without_the_library_the_error_names_the_extra(monkeypatch, tmp_path, function):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r'pip install "an-ref\[interop\]"'):
        function(net(1), tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())

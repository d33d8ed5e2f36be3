"""The guard refuses what CuPy refuses, takes what CuPy takes, and offers nothing that CuPy lacks."""

import numpy as np
import pytest
from guard import FUNCTIONS, METHODS, MOVES, UFUNCS, VALUES, Guard, guards, install, no_moves

from an_ref import backend


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    install(monkeypatch)


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, g: np.asarray(g),
        lambda x, g: g + x,
        lambda x, g: x + g,
        lambda x, g: g + np.asarray(1.0),
        lambda x, g: np.where(g > 0, x, g),
        lambda x, g: np.concatenate([x, g]),
        lambda x, g: g.__setitem__(0, x[0]),
        lambda x, g: x.__setitem__(0, g[0]),
        lambda x, g: g.__iadd__(x),
        lambda x, g: x.__iadd__(g),
        lambda x, g: g[np.array([0])],
        lambda x, g: g[[0]],
        lambda x, g: x[g.astype(int)],
        lambda x, g: g[g > 0],
        lambda x, g: np.linalg.norm(g),
        lambda x, g: np.median(g),
        lambda x, g: np.add.reduce(g),
    ],
)
def test_a_guard_refuses_what_cupy_refuses_or_moves(mix):
    with pytest.raises((TypeError, ValueError)):
        mix(np.ones((2, 3)), guards(np.ones((2, 3))))


@pytest.mark.parametrize(
    "move", [float, int, bool, complex, lambda g: g.item(), lambda g: g.get(), lambda g: [0, 1][g]]
)
def test_a_guard_tells_of_every_way_to_the_host(move):
    with pytest.raises(AssertionError, match="moved silently"), no_moves():
        move(guards(np.asarray(1)))
    move(guards(np.asarray(1)))
    assert len(MOVES.to_host) == 1


def test_a_guard_takes_scalars():
    g = guards(np.ones(3, np.float32))
    with no_moves():
        for scalar in (2, 2.0, True, np.float32(2), np.int64(2)):
            assert isinstance(scalar * g, Guard)
            assert isinstance(g * scalar, Guard)
        assert isinstance(g.sum(), Guard)
        assert isinstance(g[0], Guard)
        assert isinstance(np.asarray(1.0, like=g), Guard)
    assert isinstance(np.asarray(np.ones(3), like=g), Guard)
    assert len(MOVES.to_device) == 1


def test_cupy_has_what_the_guard_offers(monkeypatch):
    monkeypatch.undo()  # the real one
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    assert [name for name in (*UFUNCS, *FUNCTIONS) if not hasattr(cupy, name)] == []
    assert [name for name in (*METHODS, *VALUES, "T", "real", "imag", "get") if not hasattr(cupy.ndarray, name)] == []
    assert cupy.ndarray.__module__ == "cupy"
    assert not backend.is_cupy(np.ones(3))

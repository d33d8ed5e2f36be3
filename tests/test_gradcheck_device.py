"""Arrays that live on a device are checked there. A stand-in for CuPy refuses what CuPy refuses."""

import sys
import types

import numpy as np
import pytest

from an_ref import check_gradients


class DeviceArray:
    """Holds its values where NumPy cannot reach them; get() copies them to the host."""

    def __init__(self, values):
        self.values = np.array(values)

    def get(self):
        return self.values.copy()

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed; use .get()")

    @property
    def dtype(self):
        return self.values.dtype


DeviceArray.__module__ = "cupy"


@pytest.fixture(autouse=True)
def device(monkeypatch):
    module = types.ModuleType("cupy")
    module.asarray = DeviceArray
    monkeypatch.setitem(sys.modules, "cupy", module)


def scale(x, gamma):
    assert type(x) is type(gamma) is DeviceArray
    return DeviceArray(gamma.values * x.values**2), (x, gamma)


def scale_backward(dy, cache):
    x, gamma = cache
    return DeviceArray(2 * gamma.values * x.values * dy.values), DeviceArray((dy.values * x.values**2).sum(0))


def arrays(dtype=np.float64):
    rng = np.random.default_rng(0)
    return tuple(DeviceArray(rng.standard_normal(shape).astype(dtype)) for shape in ((4, 3), 3))


@pytest.mark.parametrize("method", ["complex", "central", "adjoint", "second_order"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_right_op_on_the_device_passes(method, dtype):
    report = check_gradients(scale, scale_backward, arrays(dtype), method=method)
    assert report.ok, report
    assert list(report.errors) == ["x", "gamma"]


def test_a_wrong_gradient_on_the_device_is_found():
    def wrong(dy, cache):
        dx, dgamma = scale_backward(dy, cache)
        return DeviceArray(dx.values / 2), dgamma

    (finding,) = check_gradients(scale, wrong, arrays()).findings
    assert finding.name == "x"
    assert "1/2" in finding.message


def test_an_input_that_is_modified_on_the_device_is_found():
    def greedy(x, gamma):
        y, _ = scale(x, gamma)
        cache = DeviceArray(x.values), gamma
        x.values[...] = 0
        return y, cache

    report = check_gradients(greedy, scale_backward, arrays())
    assert [finding.name for finding in report.findings] == ["x"], report
    assert "must not modify" in report.findings[0].message

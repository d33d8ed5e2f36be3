"""`an-ref doctor`: it says what is there and what to install, and never fails, whatever is broken."""

import sys
import types

import numpy as np
import pytest
from guard import install
from typer.testing import CliRunner

from an_ref import doctor
from an_ref.cli import app


def shown():
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "Traceback" not in result.output
    return result.output


def findings():
    cpu, gpu = doctor.examine()
    return {finding.name: finding for finding in (*cpu, *gpu)}


@pytest.fixture
def whole(monkeypatch):
    """A machine on which nothing is missing, made of guards."""
    install(monkeypatch)
    cuda = sys.modules["cupy"].cuda
    cuda.runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 2,
        getDeviceProperties=lambda i: {"name": [b"First card", b"Second card"][i]},
        memGetInfo=lambda: (3 * 2**30, 8 * 2**30),
    )
    driver = types.SimpleNamespace(cuDriverGetVersion=lambda version: setattr(version._obj, "value", 12080) or 0)
    monkeypatch.setattr(doctor, "DRIVERS", {sys.platform: "the driver"})
    monkeypatch.setattr(doctor.ctypes, "CDLL", lambda name: driver)
    return cuda


def test_this_machine_is_described_whatever_it_has():
    output = shown()
    for words in ("On the CPU:", "On a GPU:", "NumPy    ok", np.__version__, "BLAS ", "driver", "CuPy", "NVRTC"):
        assert words in output
    assert all(f.ok for f in doctor.examine()[0])


def test_without_cupy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(doctor, "DRIVERS", {})
    found, output = findings(), shown()
    assert not any(found[name].ok for name in ("driver", "CuPy", "NVRTC", "GPU", "memory", "trial"))
    assert "pip install 'an-ref[gpu]'" in found["CuPy"].advice
    assert "driver   missing  no driver of NVIDIA's\n" in output
    assert "to do: install NVIDIA's driver" in output
    assert output.endswith("The CPU can be used. A GPU cannot, for want of what is missing above.\n")


def test_a_cupy_that_cannot_be_imported_is_reported_in_one_line(monkeypatch):
    def fail(name):
        raise ImportError("libcudart.so.12: cannot open shared object file\nmore lines")

    monkeypatch.setattr(doctor.importlib, "import_module", fail)
    found = findings()["CuPy"]
    assert found.found == "ImportError: libcudart.so.12: cannot open shared object file"
    assert "pip install 'cupy-cuda12x[ctk]'" in found.advice


def test_a_machine_without_a_gpu_says_so_once(whole):
    whole.is_available = lambda: False
    found = findings()
    assert found["GPU"].found == "none that CuPy can use"
    assert {found[name].found for name in ("memory", "trial")} == {"unknown without a GPU"}
    assert found["CuPy"].ok
    assert found["NVRTC"].ok


def test_without_the_compiler_the_package_that_has_it_is_named(whole, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs.nvrtc", None)
    assert findings()["NVRTC"] == doctor.Finding("NVRTC", False, "not found", "pip install 'cupy-cuda12x[ctk]'")


def test_where_nothing_is_missing_everything_is_ok(whole):
    output = shown()
    assert "missing" not in output
    for line in (
        "driver   ok       runs CUDA up to 12.8",
        "CuPy     ok       14.0.0",
        "NVRTC    ok       CUDA 12.9",
        "GPU      ok       0: First card, 1: Second card",
        "memory   ok       3.0 GiB of 8.0 GiB free",
        "trial    ok       conv2d and attentive_norm agree with the CPU, forward and backward",
    ):
        assert f"  {line}" in output
    assert output.endswith("Both can be used: an-ref train --device gpu\n")


def test_a_gpu_that_computes_wrongly_is_found(whole, monkeypatch):
    from an_ref.cuda import plain

    combine = plain.combine
    monkeypatch.setattr(plain, "combine", lambda *args, **options: combine(*args, **options) * 1.01)
    found = findings()["trial"]
    assert not found.ok
    assert found.found.startswith("wrong: it differs from the CPU by ")


def test_a_kernel_that_does_not_compile_is_reported(whole, monkeypatch):
    from an_ref.cuda import plain

    def fail(*_, **__):
        raise RuntimeError("moments.cu(3): error: expected a ;\nmore lines")

    monkeypatch.setattr(plain, "moments", fail)
    assert findings()["trial"].found == "RuntimeError: moments.cu(3): error: expected a ;"

"""What an_ref finds on this machine: NumPy and its BLAS for the CPU; driver, CuPy and its compiler for a GPU."""

from __future__ import annotations

import ctypes
import importlib
import platform
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

from . import __version__, attentive_norm, attentive_norm_backward, conv2d, conv2d_backward
from .backend import to_device, to_host
from .threads import get_threads

LIBRARIES = "pip install 'cupy-cuda12x[ctk]'"  # NVRTC, cuBLAS and the others that CuPy calls
DRIVERS = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}  # what NVIDIA's driver brings; macOS has none


class Missing(Exception):
    """Something is not there: (what, what to install or do)."""


class Finding(NamedTuple):
    """One line of the report: what it is about, whether it is there, what was found, what to do where it is missing."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def examine() -> tuple[list[Finding], list[Finding]]:
    """Return what there is for the CPU, and what there is for a GPU. Nothing is raised, whatever is broken."""
    cpu: dict[str, Callable[[], str]] = {
        "an_ref": lambda: __version__,
        "Python": lambda: f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "NumPy": lambda: np.__version__,
        "BLAS": _blas,
        "threads": lambda: f"an op uses up to {get_threads()}; an_ref.set_threads changes that",
    }
    gpu: dict[str, Callable[[], str]] = {
        "driver": _driver,
        "CuPy": lambda: str(_cupy().__version__),
        "NVRTC": _nvrtc,
        "GPU": _gpu,
        "memory": _memory,
        "trial": _trial,
    }
    return [_finding(*one) for one in cpu.items()], [_finding(*one) for one in gpu.items()]


def _finding(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except Missing as missing:
        return Finding(name, False, *missing.args)
    except Exception as error:  # whatever a broken installation may raise
        lines = str(error).strip().splitlines() or [""]
        return Finding(name, False, f"{type(error).__name__}: {lines[0]}", f"mend the installation: {LIBRARIES}")


def _blas() -> str:
    found = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    if not found:
        raise Missing("none that threadpoolctl knows", "products then run at the speed that NumPy was built with")
    pools = {
        f"{p['internal_api']} {p['version']} with {p['num_threads']} threads, "
        f"kernels for {p.get('architecture', 'this processor')}"
        for p in found
    }
    return "; ".join(sorted(pools))


def _driver() -> str:
    """Ask NVIDIA's driver itself which CUDA it can run, whether CuPy is there or not."""
    advice = "install NVIDIA's driver for your GPU; nvidia-smi then shows it"
    version = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL(DRIVERS[sys.platform])
    except (KeyError, OSError):
        raise Missing("no driver of NVIDIA's", advice) from None
    if driver.cuDriverGetVersion(ctypes.byref(version)) or not version.value:
        raise Missing("a driver of NVIDIA's that does not answer", advice)
    return f"runs CUDA up to {_cuda_version(version.value)}"


def _cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise
        raise Missing("not installed", "pip install 'an-ref[gpu]'") from None


def _nvrtc() -> str:
    """The compiler that makes kernels out of CUDA C."""
    _need_cupy()
    try:
        nvrtc = importlib.import_module("cupy_backends.cuda.libs.nvrtc")
        major, minor = nvrtc.getVersion()
    except Exception:  # a library that is missing shows itself in several ways
        raise Missing("not found", LIBRARIES) from None
    return f"CUDA {major}.{minor}"


def _gpu() -> str:
    runtime = _runtime()
    names = [runtime.getDeviceProperties(i)["name"].decode() for i in range(runtime.getDeviceCount())]
    return ", ".join(f"{i}: {name}" for i, name in enumerate(names))


def _memory() -> str:
    free, total = _runtime(again=True).memGetInfo()
    return f"{free / 2**30:.1f} GiB of {total / 2**30:.1f} GiB free"


def _trial() -> str:
    """Run AN and a convolution on the GPU, forward and backward, and compare with the CPU."""
    _runtime(again=True)
    rng = np.random.default_rng(0)
    shapes = (4, 3, 5, 5), (2, 3), (2, 3), (3, 2), (2,), (2,)
    x, *arrays = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    weight = rng.standard_normal((3, 3, 3, 3)).astype(np.float32)

    def run(move: Callable[[Any], Any]) -> list[Any]:
        y, of_conv = conv2d(move(x), move(weight), padding=1)
        z, of_norm = attentive_norm(y, *map(move, arrays))
        dy, *gradients = attentive_norm_backward(z, of_norm)
        return [to_host(array) for array in (z, *gradients, *conv2d_backward(dy, of_conv))]

    error = max(
        float(np.abs(mine - numpys).max() / np.abs(numpys).max())
        for mine, numpys in zip(run(to_device), run(to_host), strict=True)
    )
    if not error < 1e-3:
        raise Missing(f"wrong: it differs from the CPU by {error:.1e}", "report this with the lines above")
    return f"conv2d and attentive_norm agree with the CPU, forward and backward (largest difference {error:.0e})"


def _need_cupy() -> Any:
    """Return CuPy for a line below that of CuPy itself."""
    try:
        return _cupy()
    except Missing:
        raise Missing("unknown without CuPy") from None


def _runtime(*, again: bool = False) -> Any:
    """Return CuPy's runtime, of a machine that has a GPU; `again`: that there is none has been said above."""
    cupy = _need_cupy()
    if not cupy.cuda.is_available():
        none = ("none that CuPy can use", "a GPU of NVIDIA's is needed, with the driver above")
        raise Missing(*(("unknown without a GPU",) if again else none))
    return cupy.cuda.runtime


def _cuda_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"

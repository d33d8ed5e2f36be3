"""Where an array lives: a NumPy array on the CPU, a CuPy array on a GPU. An op runs where its arrays are.

The same code does both. NumPy's functions and operators, given a CuPy array, hand the work to CuPy, and a new array is
made with like=x, beside x. What differs is in few places: the sweeps, the loss and the columns of a convolution have
CUDA kernels (an_ref.cuda), and nothing else asks where it is. No op moves an array. CuPy is imported only after a CuPy
array has come, or where a GPU is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEVICES = ("cpu", "gpu")


class NoGpuError(RuntimeError):
    """A GPU was asked for and cannot be used: the message says why, and what to install."""


class OutOfMemoryError(MemoryError):
    """The GPU's memory is full: the message says how much was asked for, and what to do."""


def is_cupy(array: Any) -> bool:
    """Return whether an array is CuPy's; CuPy need not be installed to ask."""
    return not isinstance(array, np.ndarray) and type(array).__module__.partition(".")[0] == "cupy"


def is_array(value: Any) -> bool:
    """Return whether `value` is an array that ops take: NumPy's or CuPy's."""
    return isinstance(value, np.ndarray) or is_cupy(value)


def where_is(array: Any) -> str:
    """Return the device on which an array is, in words: "the CPU", or "GPU 0" for the first GPU."""
    return f"GPU {array.device.id}" if is_cupy(array) else "the CPU"


def check_same_device(op: str, name: str, value: Any, x: Any, *, than: str = "x") -> None:
    """Raise TypeError unless the array `value`, called `name`, is on the device of the array x, called `than`.

    Nothing is moved for the caller: a copy to or from a GPU takes longer than most ops, so each is written down.
    """
    if isinstance(value, np.ndarray) and isinstance(x, np.ndarray):
        return
    here, there = where_is(value), where_is(x)
    if here != there:
        move, device = ("to_host", "cpu") if there == "the CPU" else ("to_device", "gpu")
        raise TypeError(
            f"{op}: {name} is on {here} and {than} on {there}; bring them together, {name} with "
            f'an_ref.backend.{move}({name}), or all arrays of a layer with layer.to("{device}")'
        )


def to_device(array: Any) -> Any:
    """Return the array on the GPU: a copy of a NumPy array, or a CuPy array itself.

    Raises NoGpuError where there is no GPU.
    """
    if is_cupy(array):
        return array
    check_device("to_device", "gpu")
    return importlib.import_module("cupy").asarray(array)


def to_host(array: Any) -> Any:
    """Return the array on the CPU: a copy of a CuPy array, or a NumPy array itself."""
    return array.get() if is_cupy(array) else array


def beside(x: Any, array: NDArray[Any]) -> Any:
    """Return a NumPy array where x is: itself, or a copy on x's GPU. This is how images reach a model."""
    return array if isinstance(x, np.ndarray) else np.asarray(array, like=x)


def kernels() -> Any:
    """Return an_ref.cuda, which has the sweeps, the loss and the columns for CuPy arrays."""
    return importlib.import_module("an_ref.cuda")


def as_strided(x: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    """Return numpy.lib.stride_tricks.as_strided, or CuPy's: like= does not reach it."""
    tricks = importlib.import_module("cupy.lib.stride_tricks") if is_cupy(x) else np.lib.stride_tricks
    return tricks.as_strided(x, shape, strides)


def gpu_fault() -> str | None:
    """Return why there is no GPU to use and what to do, in words that follow "no GPU: "; None if there is one."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
        what = "CuPy is not installed" if missing else f"CuPy cannot be imported ({str(error).strip().splitlines()[0]})"
        return f"{what}; pip install 'an-ref[gpu]', and an-ref doctor shows what else is missing"
    if not cupy.cuda.is_available():
        return "CuPy finds no NVIDIA GPU with a driver; an-ref doctor shows what is missing, and the CPU needs nothing"
    try:
        importlib.import_module("cupy_backends.cuda.libs.nvrtc").getVersion()
    except Exception:  # a library that is missing shows itself in several ways
        return (
            "CuPy finds no compiler (NVRTC); pip install 'cupy-cuda12x[ctk]', and an-ref doctor shows what is missing"
        )
    return None


def check_device(caller: str, device: Any) -> None:
    """Raise ValueError unless `device` is "cpu" or "gpu", NoGpuError if it is "gpu" and none can be used."""
    if device not in DEVICES:
        raise ValueError(f'{caller}: device must be "cpu" or "gpu", got {device!r}; choose one of them')
    fault = gpu_fault() if device == "gpu" else None
    if fault:
        raise NoGpuError(f"{caller}: no GPU: {fault}")


@contextmanager
def clear_memory_errors(what_to_do: str) -> Iterator[None]:
    """Turn CuPy's error for a full GPU into an OutOfMemoryError that says how much was asked for and what to do."""
    try:
        yield
    except MemoryError as error:
        if isinstance(error, OutOfMemoryError) or not is_cupy(error):
            raise
        raise OutOfMemoryError(f"the GPU's memory is full: {_sizes(error)}; {what_to_do}") from None


def _sizes(error: MemoryError) -> str:
    """Say how much was asked for: CuPy's error knows the numbers, in private; its text has them too."""
    asked, taken = getattr(error, "_size", None), getattr(error, "_total", None)
    if asked is None or taken is None:
        return str(error).rstrip(".")
    return f"{_amount(asked)} more were asked for, beside the {_amount(taken)} that this process has taken"


def _amount(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB" if size < 2**30 else f"{size / 2**30:,.2f} GiB"

"""Compile a kernel when it is first asked for, choose the shape of its blocks, and launch it."""

from __future__ import annotations

import functools
import importlib
import math
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..backend import is_cupy
from ..validation import Array

THREADS = 256  # of a block; a power of two
NUMBERS = 8  # of a long map that one thread takes, about: enough to have several loads under way at once
LONGEST = 1 << 30  # of a map: its positions are counted in 32 bits
NAMES = {"f2": "half", "f4": "float", "f8": "double"}  # of NumPy's types, in CUDA C

# Which kernels a file has, and what its template arguments may be: any dtype of a map, or only one to compute in.
MAP, WORK = tuple(NAMES.values()), ("float", "double")
KERNELS = {
    "moments": {"moments": (MAP, WORK)},
    "peaks": {"peaks": (MAP, WORK)},
    "scale_shift": {"scale_shift": (MAP, WORK, MAP)},
    "gradient_sums": {"gradient_sums": (MAP, MAP, WORK)},
    "combine": {"combine": (MAP, MAP, WORK)},
    "cross_entropy": {"cross_entropy": (MAP, WORK), "cross_entropy_backward": (WORK, MAP)},
    "columns": {"columns": (MAP, WORK), "fold": (WORK, MAP)},
}


def has_kernels(*arrays: Array | None, dtype: DTypeLike = np.float32) -> bool:
    """Whether the kernels can make `dtype` of these arrays: CuPy arrays of real numbers, no map too long; None is."""
    given = [a for a in arrays if a is not None]
    real = all(np.dtype(d).str[1:] in NAMES for d in (dtype, *(a.dtype for a in given)))
    return real and all(is_cupy(a) and math.prod(a.shape[2:]) < LONGEST for a in given)


def work_dtype(*dtypes: DTypeLike) -> np.dtype[Any]:
    """Return the dtype to compute in: the widest of these, at least float32."""
    return np.result_type(np.float32, *dtypes)


def contiguous(array: Array, dtype: DTypeLike | None = None) -> Array:
    """Return the array, one number behind the other in memory, in `dtype`: a copy only where it is not so already."""
    return np.ascontiguousarray(array, array.dtype if dtype is None else dtype, like=array)


def source(file: str) -> str:
    """Return the text of a .cu file behind the common header, as the compiler gets it."""
    parts = (files(__package__) / name for name in ("common.cuh", f"{file}.cu"))
    return "".join(f'#line 1 "{part.name}"\n{part.read_text("utf-8")}' for part in parts)


def options() -> tuple[str, ...]:
    """Return the compiler's options: the language, and the constants that Python and the kernels share."""
    return "--std=c++17", f"-DTHREADS={THREADS}"


@functools.cache
def function(file: str, name: str) -> Any:
    """Return one kernel, such as "moments<half, float>": CuPy compiles it once for each GPU, in up to a second."""
    cupy = importlib.import_module("cupy")
    return cupy.RawModule(code=source(file), options=options(), name_expressions=(name,)).get_function(name)


def block_shape(positions: int) -> tuple[int, int]:
    """Return how many threads go along a map, and how many maps one block takes: THREADS together.

    A long map has a block of its own. Short maps share one, so that no thread is idle: at M = 1 each thread has a map.
    """
    wanted = min(positions, max(32, positions // NUMBERS))
    lanes = min(THREADS, 1 << (wanted - 1).bit_length())  # the next power of two: row_sum folds in halves
    return lanes, THREADS // lanes


def launch(kernel: str, dtypes: tuple[Any, ...], maps: int, positions: int, *args: Any, file: str = "") -> None:
    """Run a kernel over `maps` maps of `positions` numbers. None among the arguments is a null pointer.

    The kernel's last two arguments are the two counts. It runs behind whatever the GPU was given before; the call
    does not wait for it.
    """
    name = f"{kernel}<{', '.join(NAMES[np.dtype(d).str[1:]] for d in dtypes)}>"
    lanes, rows = block_shape(positions)
    values = tuple(np.intp(0) if a is None else np.int32(a) if isinstance(a, int) else a for a in args)
    grid = (-(-maps // rows),)
    function(file or kernel, name)(grid, (lanes, rows), (*values, np.int64(maps), np.int32(positions)))

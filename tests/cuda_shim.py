"""Run the CUDA kernels of an_ref on the CPU: g++ compiles them behind cuda_shim.hpp, and ctypes calls them.

A Kernel is called as CuPy's are, kernel(grid, block, args). It is stricter than a GPU: the types of the arguments must
be those of the kernel's parameters, arrays must be contiguous, and each lies between two fences: no kernel may write
there, and one that reads there is led astray.
"""

import ctypes
import functools
import itertools
import shutil
import subprocess
import tempfile
from pathlib import Path

import guard
import numpy as np
import pytest

from an_ref.cuda import launch

THREADS = 32  # of a block, as many as a test can afford
FENCE = 256  # bytes on both sides of an array
# Of what a fence is made: 1e37 in float32, 1e294 in float64, NaN in float16. Who reads it gets a result that is far
# off. It is no NaN, since a NaN that is read, and written where it came from, would leave no trace.
POST = np.uint16(0x7D01)


def why_not():
    """Return why the shim cannot be used here, or None."""
    if shutil.which("g++") is None:
        return "g++ is not installed: it compiles the CUDA kernels for the CPU"
    probe = "#include <ucontext.h>\n_Float16 half;\n"
    done = subprocess.run(
        ["g++", "-std=c++20", "-fsyntax-only", "-x", "c++", "-"], input=probe, text=True, capture_output=True
    )
    return None if done.returncode == 0 else "this g++, or this system, has no C++20, no _Float16 or no ucontext.h"


WHY_NOT = why_not()
needs_shim = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


def names(file):
    """Return every kernel of a .cu file that a wrapper could ask for, such as "moments<half, float>"."""
    kernels = launch.KERNELS[file].items()
    return [f"{kernel}<{', '.join(types)}>" for kernel, choices in kernels for types in itertools.product(*choices)]


def build(folder, file, text, kernels):
    """Compile the text of a .cu file into a library in `folder`; return a dict from names to Kernels."""
    lines = ['#include "cuda_shim.hpp"', text, *(f"KERNEL(k{i}, {name})" for i, name in enumerate(kernels))]
    (folder / f"{file}.cpp").write_text("\n".join(lines) + "\n")
    flags = ["-std=c++20", "-O1", "-shared", "-fPIC", f"-I{Path(__file__).parent}", f"-DTHREADS={THREADS}"]
    command = ["g++", *flags, f"{file}.cpp", "-o", f"{file}.so"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"g++ refuses {file}.cu:\n{done.stderr}")
    library = ctypes.CDLL(str(folder / f"{file}.so"))
    return {name: Kernel(library, f"k{i}") for i, name in enumerate(kernels)}


@functools.cache
def library(file):
    """Return all kernels of a .cu file as it is."""
    with tempfile.TemporaryDirectory() as folder:
        return build(Path(folder), file, launch.source(file), names(file))


def install(monkeypatch):
    """Let the functions of an_ref.cuda take NumPy arrays, and their kernels run here."""
    monkeypatch.setattr(launch, "function", lambda file, name: library(file)[name])
    monkeypatch.setattr(launch, "is_cupy", lambda array: isinstance(array, np.ndarray))
    monkeypatch.setattr(launch, "THREADS", THREADS)


def install_under_guards(monkeypatch):
    """Let guards stand for CuPy's arrays, and kernels run on the values inside; return the list of those that ran."""
    guard.install(monkeypatch)
    install(monkeypatch)
    for module in ("sweeps", "losses", "convolution"):
        monkeypatch.setattr(f"an_ref.cuda.{module}.has_kernels", launch.has_kernels)
    monkeypatch.setattr(launch, "is_cupy", lambda array: isinstance(array, guard.Guard))
    ran = []

    def function(file, name):
        def run(grid, block, args):
            ran.append(name.partition("<")[0])
            library(file)[name](grid, block, [guard.values(a) if isinstance(a, guard.Guard) else a for a in args])

        return run

    monkeypatch.setattr(launch, "function", function)
    return ran


class Kernel:
    """One kernel in a library that `build` made."""

    def __init__(self, library, name):
        self.name, self.run, signature = name, getattr(library, name), getattr(library, f"{name}_signature")
        signature.restype = ctypes.c_char_p
        self.types = signature().decode().split()

    def __call__(self, grid, block, args):
        """Launch it: blocks one behind the other. Raise AssertionError for what a GPU would not forgive."""
        assert len(args) == len(self.types), f"{len(args)} arguments for the parameters {self.types}"
        assert block[0] * block[1] == THREADS
        for arg, type_ in zip(args, self.types, strict=True):
            _check_type(arg, type_)
        copies = [_fenced(arg) if isinstance(arg, np.ndarray) else np.array([arg]) for arg in args]
        values = [np.array([c[FENCE:].ctypes.data]) if c.dtype == np.uint8 else c for c in copies]
        pointers = (ctypes.c_void_p * len(args))(*(value.ctypes.data for value in values))
        assert self.run(*grid, *block, pointers) == 0, "some threads ended while others waited in __syncthreads"
        for arg, copy in zip(args, copies, strict=True):
            if isinstance(arg, np.ndarray):
                _unfence(arg, copy)


def _check_type(arg, type_):
    if isinstance(arg, np.ndarray):
        assert arg.flags.c_contiguous, "a kernel was given an array that is not contiguous"
        assert f"P{arg.dtype.str[1:]}" == type_, f"an array of {arg.dtype} for a parameter {type_}"
    elif type_.startswith("P"):
        assert isinstance(arg, np.intp), f"the number {arg!r} for a parameter {type_}"
        assert arg == 0, "only a null pointer can be a number"
    else:
        assert arg.dtype.str[1:] == type_, f"{arg!r} for a parameter {type_}"


def _fenced(array):
    """Return the bytes of an array between two fences."""
    copy = np.full(array.nbytes // 2 + FENCE, POST).view(np.uint8)
    copy[FENCE : FENCE + array.nbytes] = np.ravel(array).view(np.uint8)
    return copy


def _unfence(array, copy):
    """Write the bytes back into the array; raise if a fence has been stepped over."""
    end = FENCE + array.nbytes
    for side, fence in (("before the beginning", copy[:FENCE]), ("behind the end", copy[end:])):
        assert (fence.view(np.uint16) == POST).all(), f"a kernel wrote {side} of an array"
    array[...] = copy[FENCE:end].view(array.dtype).reshape(array.shape)


def check_bound(result, exact, terms, work, c):
    """Check |result - exact| <= c eps(work) terms; a dtype narrower than work may round by its own eps on top."""
    eps, tiny = np.finfo(work).eps, np.finfo(result.dtype).tiny
    assert result.shape == exact.shape
    rounding = 0 if result.dtype == work else np.finfo(result.dtype).eps * np.abs(exact)
    error = np.abs(result.astype(np.float64) - exact)
    bound = c * eps * terms + rounding + tiny
    assert (error <= bound).all(), f"{(error / bound).max():.2g} times the bound"

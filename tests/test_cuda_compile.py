"""NVRTC, the compiler that a GPU's driver would use, takes every CUDA kernel in every dtype. It needs no GPU.

It comes with the extra `test` on Linux and x86-64, and with the extra `gpu`.
"""

import ctypes
import ctypes.util
import importlib.util
import re
import sys
import types
from pathlib import Path

import cuda_shim
import pytest

from an_ref.cuda import launch

ARCHITECTURES = 75, 80, 90  # Turing, Ampere, Hopper


def _find_nvrtc():
    """Return NVRTC's library from the package of that name, or from CUDA's toolkit; None where there is neither."""
    package = importlib.util.find_spec("nvidia")
    for folder in package.submodule_search_locations if package else ():
        for path in Path(folder).glob("*/*/**/*nvrtc*"):  # nvidia/cuda_nvrtc/lib/libnvrtc.so.12, or nvrtc64_120_0.dll
            if re.fullmatch(r"libnvrtc\.so\.\d+|nvrtc64_\d+_0\.dll", path.name):
                return ctypes.CDLL(str(path))
    name = ctypes.util.find_library("nvrtc")
    return ctypes.CDLL(name) if name else None


NVRTC = _find_nvrtc()
needs_nvrtc = pytest.mark.skipif(NVRTC is None, reason="NVRTC is not here: pip install nvidia-cuda-nvrtc-cu12")


def compile_kernels(text, kernels, architecture):
    """Compile the text of a .cu file as CuPy would; return the PTX. Raise RuntimeError with the log if there is one."""
    program = ctypes.c_void_p()
    assert NVRTC.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None) == 0
    for kernel in kernels:
        assert NVRTC.nvrtcAddNameExpression(program, kernel.encode()) == 0
    flags = [*launch.options(), f"--gpu-architecture=compute_{architecture}"]
    flags = [flag.encode() for flag in flags]
    failed = NVRTC.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
    log, ptx = _text(program, "ProgramLog"), "" if failed else _text(program, "PTX")
    NVRTC.nvrtcDestroyProgram(ctypes.byref(program))
    if failed or log:  # a warning counts
        raise RuntimeError(log)
    return ptx


def _text(program, what):
    size = ctypes.c_size_t()
    getattr(NVRTC, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(NVRTC, f"nvrtcGet{what}")(program, text)
    return text.value.decode()


@needs_nvrtc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", launch.KERNELS)
def test_every_kernel_compiles_in_every_dtype(file, architecture):
    kernels = cuda_shim.names(file)
    ptx = compile_kernels(launch.source(file), kernels, architecture)
    assert ptx.count(" .entry ") == len(kernels)
    assert f".target sm_{architecture}" in ptx


@needs_nvrtc
@pytest.mark.parametrize(
    ("right", "wrong", "log"),
    [
        ("row_sum(total)", "map_sum(total)", 'identifier "map_sum" is undefined'),
        ("const A mean", "const A mean = 1, mean", "already been declared"),
        ("A(t);", "A(t.bits);", "must have.* class type"),
        ("if (!v) return;", "int unused;", "never referenced"),
    ],
)
def test_a_broken_kernel_does_not_compile(right, wrong, log):
    text = launch.source("moments")
    assert right in text
    with pytest.raises(RuntimeError, match=log) as error:
        compile_kernels(text.replace(right, wrong), cuda_shim.names("moments"), 80)
    assert "moments.cu(" in str(error.value)  # and says where, in the file as it is read


@needs_nvrtc
def test_a_kernel_in_a_dtype_that_it_does_not_know_does_not_compile():
    with pytest.raises(RuntimeError):
        compile_kernels(launch.source("moments"), ["moments<unknown, float>"], 80)


def test_cupy_is_asked_once_for_what_nvrtc_compiles_above(monkeypatch):
    made = []

    class RawModule:
        def __init__(self, *, code, options, name_expressions):
            made.append((code, options, name_expressions))

        def get_function(self, name):
            return f"compiled {name}"

    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(RawModule=RawModule))
    launch.function.cache_clear()
    name = cuda_shim.names("moments")[0]
    assert [launch.function("moments", name) for _ in range(2)] == [f"compiled {name}"] * 2
    assert made == [(launch.source("moments"), launch.options(), (name,))]
    launch.function.cache_clear()


def test_every_file_is_compiled():
    files = {path.stem for path in Path(launch.__file__).parent.glob("*.cu")}
    assert files == set(launch.KERNELS)


def test_the_page_shows_the_kernel_as_it_is():
    page = (Path(__file__).parent.parent / "docs/gpu.md").read_text("utf-8")
    shown = "".join(re.findall(r"^```cuda\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    kernel = launch.source("moments").partition("template <typename X, typename A>")
    assert [line for line in shown.splitlines() if line] == [
        line for line in (kernel[1] + kernel[2]).splitlines() if line
    ]

"""What the shim must notice, so that the tests on it are worth something: broken kernels and wrong arguments."""

import cuda_shim
import numpy as np
import pytest

from an_ref import cuda, sweeps
from an_ref.cuda import launch

pytestmark = cuda_shim.needs_shim


@pytest.fixture(autouse=True)
def _on_the_shim(monkeypatch):
    cuda_shim.install(monkeypatch)


READ = "    __syncthreads();  // whoever still reads the result of the last call is waited for\n"
STEP = "        __syncthreads();\n        if (threadIdx.x < step)"
DONE = "    __syncthreads();\n    return"
BREAKS = {
    "a barrier before the fold": (READ, ""),
    "a barrier in the fold": (STEP, STEP.split("\n")[1]),
    "a barrier behind the fold": (DONE, "    return"),
    "a barrier for some threads alone": (DONE, "    if (threadIdx.x > 0) __syncthreads();\n    return"),
    "a bound": ("if (first + k * blockDim.x < M) use", "use"),
    "a position": ("use(first + k * blockDim.x", "use(first + k"),
    "the steps of a thread": ("LOADS * blockDim.x", "LOADS * blockDim.x + 1"),
    "rows without a map": ("map < maps ? M : 0", "M"),
    "a sign": ("return p + q;", "return p - q;"),
}


def _moments_and_peaks_agree():
    rng = np.random.default_rng(0)
    for shape in ((2, 3, 170), (5, 1, 3), (1, 9, 12)):
        x = 3 + rng.standard_normal(shape)
        for op in "moments", "peaks":
            for result, exact in zip(getattr(cuda, op)(x, x.dtype), getattr(sweeps, op)(x, x.dtype), strict=True):
                np.testing.assert_allclose(result, exact, rtol=1e-12)


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_kernel_is_noticed(tmp_path, monkeypatch, broken):
    """The shim is worth something only if it sees these."""
    _moments_and_peaks_agree()
    old, new = BREAKS[broken]
    file = "peaks" if broken == "a position" else "moments"
    assert old in launch.source(file)
    broken_kernels = cuda_shim.build(tmp_path, file, launch.source(file).replace(old, new), [f"{file}<double, double>"])
    monkeypatch.setattr(
        launch, "function", lambda file, name: broken_kernels.get(name) or cuda_shim.library(file)[name]
    )
    with pytest.raises(AssertionError):
        _moments_and_peaks_agree()


def test_an_argument_of_a_wrong_type_is_noticed():
    x, table = np.zeros((1, 1, 8)), np.zeros((1, 1))
    kernel = cuda_shim.library("moments")["moments<double, double>"]
    right = x, table, table, np.int64(1), np.int32(8)
    kernel((1,), (8, 4), right)
    for i, wrong in enumerate((x.astype(np.float32), table.astype(np.float32), np.int32(0), np.int32(1), np.int64(8))):
        with pytest.raises(AssertionError, match="for a parameter"):
            kernel((1,), (8, 4), (*right[:i], wrong, *right[i + 1 :]))
    with pytest.raises(AssertionError, match="not contiguous"):
        kernel((1,), (8, 4), (np.zeros((1, 1, 16))[:, :, ::2], *right[1:]))


def test_short_maps_share_a_block_and_no_thread_is_idle():
    for positions in (1, 2, 3, 31, 32, 33, 1000, 10**6):
        lanes, rows = launch.block_shape(positions)
        assert lanes * rows == launch.THREADS
        assert lanes & (lanes - 1) == 0
        assert lanes >= min(positions, 32)

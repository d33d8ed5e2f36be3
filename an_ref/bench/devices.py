"""Where a contestant works: how arrays get there and back, which clock it has, and what memory it has taken.

On a GPU a call returns before its work is done. So marks there are events: they stand in line behind the work and note
the time when the GPU comes to them. Both libraries keep the GPU's memory that they have once taken; since several
processes share one GPU, it is given back at the end of each turn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from time import perf_counter
from typing import Any

import numpy as np

from ..backend import to_device, to_host
from . import memory


class Cpu:
    """NumPy's arrays on the CPU."""

    def put(self, array: Any) -> Any:
        """Return a NumPy array as one of this device."""
        return array

    def get(self, array: Any) -> Any:
        """Return an array of this device as NumPy's."""
        return array

    def mark(self) -> Any:
        """Return a mark of the present moment, or of the moment when all work so far is done."""
        return perf_counter()

    def seconds(self, begin: Any, end: Any) -> float:
        """Return the seconds between two marks; on a GPU, wait for the second one."""
        return float(end - begin)

    def forget_peak(self) -> int:
        """Let the peak of the memory begin anew, and return the bytes held now."""
        return memory.forget_peak()

    def peak_bytes(self) -> int:
        """Return the most bytes that were held."""
        return memory.peak_bytes()

    def rest(self) -> None:
        """Give back the memory that others may need meanwhile: nothing on the CPU."""


class TorchCpu(Cpu):
    """PyTorch's arrays on the CPU, which it calls "cpu"."""

    name = "cpu"

    def put(self, array: Any) -> Any:
        """Return a NumPy array as a tensor."""
        return import_module("torch").from_numpy(array)

    def get(self, array: Any) -> Any:
        """Return a tensor as a NumPy array."""
        return array.detach().numpy()


class CupyGpu(Cpu):
    """CuPy's arrays on the GPU. Its memory is that of CuPy's pool, which only grows between two rests."""

    def __init__(self) -> None:
        cupy = import_module("cupy")
        self._cuda, self._pool = cupy.cuda, cupy.get_default_memory_pool()

    def put(self, array: Any) -> Any:
        """Return a NumPy array as CuPy's."""
        return to_device(array)

    def get(self, array: Any) -> Any:
        """Return a CuPy array as NumPy's."""
        return to_host(array)

    def mark(self) -> Any:
        """Return an event behind all work so far."""
        event = self._cuda.Event()
        event.record()
        return event

    def seconds(self, begin: Any, end: Any) -> float:
        """Wait for the second event, and return the seconds between them."""
        end.synchronize()
        return 1e-3 * float(self._cuda.get_elapsed_time(begin, end))

    def forget_peak(self) -> int:
        """Give back what is not in use, and return the bytes that the pool still has."""
        self.rest()
        return self.peak_bytes()

    def peak_bytes(self) -> int:
        """Return the bytes that the pool has taken."""
        return int(self._pool.total_bytes())

    def rest(self) -> None:
        """Give the pool's free blocks back."""
        self._pool.free_all_blocks()


class TorchGpu(Cpu):
    """PyTorch's arrays on the GPU, in float32 as everyone's: TF32 is off. cuDNN may try out its ways first."""

    name = "cuda"

    def __init__(self) -> None:
        self._torch = import_module("torch")
        self._cuda, cudnn = self._torch.cuda, self._torch.backends.cudnn
        cudnn.allow_tf32, cudnn.benchmark = False, True

    def put(self, array: Any) -> Any:
        """Return a NumPy array as a tensor on the GPU."""
        return self._torch.from_numpy(array).to(self.name)

    def get(self, array: Any) -> Any:
        """Return a tensor as a NumPy array."""
        return array.detach().cpu().numpy()

    def mark(self) -> Any:
        """Return an event behind all work so far."""
        event = self._cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, begin: Any, end: Any) -> float:
        """Wait for the second event, and return the seconds between them."""
        end.synchronize()
        return 1e-3 * float(begin.elapsed_time(end))

    def forget_peak(self) -> int:
        """Give back what is not in use, begin anew, and return the bytes that PyTorch still has."""
        self.rest()
        self._cuda.reset_peak_memory_stats()
        return int(self._cuda.memory_reserved())

    def peak_bytes(self) -> int:
        """Return the most bytes that PyTorch had taken."""
        return int(self._cuda.max_memory_reserved())

    def rest(self) -> None:
        """Give the free blocks back."""
        self._cuda.empty_cache()


class Work:
    """A case at hand. Its inputs are drawn for each turn and let go after it."""

    device: Cpu
    inputs: tuple[Any, ...] = ()

    def rest(self) -> None:
        """Let the inputs go, and give back the memory that others may need."""
        self.inputs = ()
        self.device.rest()

    def parts(self, start: Any, middle: Any, end: Any) -> dict[str, float]:
        """Return the seconds of a forward that ended at the mark `middle`, of the backward after it, and of both."""
        seconds = self.device.seconds
        return {"forward": seconds(start, middle), "backward": seconds(middle, end), "both": seconds(start, end)}


class StepWork(Work, ABC):
    """A training step at hand."""

    @abstractmethod
    def step(self) -> float:
        """Take one step, and return the loss before it."""

    def run(self) -> dict[str, float]:
        """Time one step."""
        start = self.device.mark()
        self.step()
        return {"step": self.device.seconds(start, self.device.mark())}

    def answer(self) -> dict[str, Any] | None:
        """Return the losses before and after the first step."""
        return {"losses": np.array([self.step(), self.step()])}


def describe_gpu() -> dict[str, Any]:
    """Return the name and the memory of the GPU that is used, and the versions of CUDA: the driver's, the runtime's."""
    runtime = import_module("cupy").cuda.runtime
    found = runtime.getDeviceProperties(runtime.getDevice())
    driver, library = (
        f"{n // 1000}.{n % 1000 // 10}" for n in (runtime.driverGetVersion(), runtime.runtimeGetVersion())
    )
    return {"name": found["name"].decode(), "memory": found["totalGlobalMem"], "driver": driver, "runtime": library}

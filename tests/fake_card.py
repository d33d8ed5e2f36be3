"""A GPU made of guards, as far as the bench asks for one: events, a memory pool, names and versions."""

import sys
import types
import weakref
from time import perf_counter

import guard

from an_ref.bench.turns import Failed
from an_ref.bench.worker import Worker


class Event:
    """As CUDA's: a time can be read only after somebody has waited for it."""

    def __init__(self, enable_timing=True):
        assert enable_timing, "such an event has no time"
        self.time, self.reached = None, False

    def record(self):
        self.time = perf_counter()

    def synchronize(self):
        assert self.time is not None, "an event that was never recorded"
        self.reached = True

    def elapsed_time(self, end):
        """Milliseconds."""
        if not end.reached:
            raise RuntimeError("cudaErrorNotReady: device not ready")
        return 1e3 * (end.time - self.time)


class Pool:
    """The bytes of all guards that live, and what was taken for them since free blocks were last given back."""

    def __init__(self):
        self.live = self.taken = 0

    def add(self, array):
        self.live += array.nbytes
        self.taken = max(self.taken, self.live)
        weakref.finalize(array, self.remove, array.nbytes)

    def remove(self, size):
        self.live -= size

    def total_bytes(self):
        return self.taken

    def free_all_blocks(self):
        self.taken = self.live


def properties(device):
    assert device == 0
    return {"name": b"Paper card", "totalGlobalMem": 8 << 30}


def install(monkeypatch):
    """Make guards of CuPy's arrays and give the card what a bench asks for; return its pool."""
    guard.install(monkeypatch)
    cupy, pool = sys.modules["cupy"], Pool()
    make = guard.Guard.__init__

    def counted(self, values):
        make(self, values)
        pool.add(self)

    monkeypatch.setattr(guard.Guard, "__init__", counted)
    cupy.get_default_memory_pool = lambda: pool
    cupy.cuda.Event, cupy.cuda.get_elapsed_time = Event, Event.elapsed_time
    cupy.cuda.runtime = types.SimpleNamespace(
        getDevice=lambda: 0,
        getDeviceProperties=properties,
        driverGetVersion=lambda: 12080,
        runtimeGetVersion=lambda: 12090,
    )
    return pool


class LocalPlayer:
    """A contestant in this process, where the card is."""

    def __init__(self, contestant, threads):
        self.name, self.worker = contestant.name, Worker(contestant, threads)

    def ask(self, *message):
        kind, value = self.worker.reply(*message)
        if kind == "failed":
            raise Failed(value)
        return value

    def end(self):
        pass

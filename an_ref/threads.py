"""Spread independent blocks of work over threads, while BLAS, which multiplies NumPy's matrices, keeps to one.

NumPy lets other threads run while it walks through an array, so blocks of samples can be done side by side. BLAS has
threads of its own; both at once wait for each other, and the number of BLAS's threads changes the last bits of a
product. So results do not depend on the number of threads here, as long as the blocks do not.
"""

from __future__ import annotations

import contextvars
import math
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from .validation import Array, check_integer

BLOCK_BYTES = 2 << 20  # small enough for a core's cache, large enough that to wake a thread for it pays

Item = TypeVar("Item")
Result = TypeVar("Result")

_local = threading.local()


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Shared:
    """What all callers share: how many threads there may be, their pool, and the hold on BLAS."""

    lock = threading.Lock()
    count = usable_cores()
    pool: ThreadPoolExecutor | None = None
    blas: Any = None
    hold: Any = None
    holders = 0


def get_threads() -> int:
    """Return how many threads an op may use: at first, as many as there are cores for this process."""
    return _Shared.count


def set_threads(count: int) -> None:
    """Let an op use up to `count` threads, from 1. Results do not depend on it.

    Raises TypeError or ValueError if count is not a whole number from 1.
    """
    count = check_integer("set_threads", "count", count)
    with _Shared.lock:
        if count != _Shared.count:
            _Shared.count, _Shared.pool = count, None


def spread(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return [work(item) for item in items], done side by side.

    To wake a thread takes about 50 microseconds, so an item should take longer. The calling thread does its share.
    `work` must not call spread. After an exception in one thread the others stop at the end of their item; it is raised
    when all have stopped, so nobody writes to the caller's arrays any more.
    """
    items = list(items)
    helpers = min(_Shared.count, len(items)) - 1
    if helpers < 1:
        with one_blas_thread():  # its threads would go on spinning for a while, on the cores of the next spread
            return [work(item) for item in items]
    results: list[Any] = [None] * len(items)
    waiting: queue.SimpleQueue[tuple[int, Item]] = queue.SimpleQueue()
    for entry in enumerate(items):
        waiting.put(entry)
    failed = threading.Event()

    def share() -> None:
        try:
            while not failed.is_set():
                index, item = waiting.get_nowait()
                results[index] = work(item)
        except queue.Empty:
            pass
        except BaseException:
            failed.set()
            raise

    with one_blas_thread():
        # Each helper has the caller's context, so that numpy.errstate holds there too.
        jobs = [_pool().submit(contextvars.copy_context().run, share) for _ in range(helpers)]
        try:
            share()
        finally:
            errors = [job.exception() for job in jobs]  # waits for each
    for error in filter(None, errors):
        raise error
    return results


def blocks(x: Array) -> Iterator[slice]:
    """Yield slices of samples whose part of x is about BLOCK_BYTES large."""
    step = max(1, BLOCK_BYTES // x[:1].nbytes)
    return (slice(i, i + step) for i in range(0, len(x), step))


def scratch(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an array with anything in it, the same memory at each call in a thread: it must not leave an op.

    A fresh array of a megabyte is often fresh memory, and then costs several times as much as filling it.
    """
    count = math.prod(shape) * np.dtype(dtype).itemsize
    if getattr(_local, "bytes", np.empty(0)).size < count:
        _local.bytes = np.empty(count, np.uint8)
    return _local.bytes[:count].view(dtype).reshape(shape)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread inside this context, and give its threads back at the end of the outermost one."""
    with _Shared.lock:
        if _Shared.holders == 0:
            _Shared.blas = _Shared.blas or ThreadpoolController()
            _Shared.hold = _Shared.blas.limit(limits=1, user_api="blas")
        _Shared.holders += 1
    try:
        yield
    finally:
        with _Shared.lock:
            _Shared.holders -= 1
            if _Shared.holders == 0:
                _Shared.hold.restore_original_limits()


def _pool() -> ThreadPoolExecutor:
    with _Shared.lock:
        if _Shared.pool is None:
            _Shared.pool = ThreadPoolExecutor(_Shared.count, thread_name_prefix="an_ref")
        return _Shared.pool


def _forget() -> None:
    """A forked process has no threads but the one that forked, and nobody else holds BLAS or the lock."""
    _Shared.lock, _Shared.pool = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

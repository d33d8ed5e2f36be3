"""Do independent jobs in processes of their own, one a core, and hear of each as it goes on.

Each process has a pipe of its own, so one that ends badly harms no other. BLAS keeps to one thread in each: the
processes already fill the cores. Nothing here knows what the jobs are.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal, NamedTuple

from .memory import keep_memory
from .threads import set_threads

BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

Work = Callable[[Any, Callable[[Any], None]], Any]


class Event(NamedTuple):
    """Something that happened to `job`; value: what was reported, the result, or why it failed."""

    job: Any
    kind: Literal["started", "progress", "done", "failed"]
    value: Any = None


def run_parallel(work: Work, jobs: Sequence[Any], *, workers: int) -> Generator[Event]:
    """Yield what happens while `work(job, report)` is done for every job, at most `workers` at a time, in order.

    `report(value)` inside `work` becomes a "progress" event. An exception, or the sudden end of a process, becomes a
    "failed" event with its reason in one line, and the other jobs go on. `work`, jobs and values must be picklable.
    Ctrl-C is heard between events, so that it breaks into nothing that is done with them: KeyboardInterrupt then comes
    from here. When the generator ends, is closed, or an exception passes through it, the processes are ended.
    """
    waiting = deque(jobs)
    active: dict[Any, tuple[Any, BaseProcess]] = {}  # by the receiving end of its pipe
    with interrupts_noted() as interrupts:
        try:
            while not interrupts and (waiting or active):
                while waiting and len(active) < workers:
                    job = waiting.popleft()
                    connection, process = _start(work, job)
                    active[connection] = job, process
                    yield Event(job, "started")
                ready: list[Any] = wait(list(active), timeout=0.2)  # Ctrl-C is looked for in between
                for connection in ready:
                    job, process = active[connection]
                    event = _receive(connection, job, process)
                    if event.kind != "progress":
                        del active[connection]
                        connection.close()
                    yield event
            if interrupts:
                raise KeyboardInterrupt
        finally:
            for _, process in active.values():
                process.terminate()
            for connection, (_, process) in active.items():
                process.join()
                connection.close()


def _start(work: Work, job: Any) -> tuple[Any, BaseProcess]:
    """Start a process and hand it its job.

    The job goes through the pipe, not through the start itself: a start waits for the child to read all of it, also
    when the child has died; a pipe whose other end is gone breaks at once.
    """
    context = multiprocessing.get_context("spawn")
    connection, other_end = context.Pipe()
    process = context.Process(target=_child, args=(other_end,), daemon=True)
    with math_threads(1), interrupts_held():
        process.start()
    other_end.close()  # the child's end is now the only one: if the child ends, the pipe does too
    with suppress(ConnectionError):  # _receive will say how the child ended
        connection.send((work, job))
    return connection, process


def _receive(connection: Any, job: Any, process: BaseProcess) -> Event:
    try:
        kind, value = connection.recv()
    except (EOFError, OSError):
        process.join()
        kind, value = "failed", f"its process ended with exit code {process.exitcode}, perhaps for want of memory"
    if kind != "progress":
        process.join()
    return Event(job, kind, value)


def _child(connection: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent decides
    try:
        work, job = connection.recv()
        set_threads(1)  # the processes already fill the cores
        keep_memory()
        message = "done", work(job, lambda value: connection.send(("progress", value)))
    except (ConnectionError, EOFError):  # the parent is gone
        return
    except Exception as error:
        name = "" if isinstance(error, RuntimeError) else f"{type(error).__name__}: "
        message = "failed", f"{name}{error}"
    try:
        connection.send(message)
    except ConnectionError:
        return


@contextmanager
def math_threads(count: int) -> Iterator[None]:
    """Start processes whose BLAS and OpenMP have `count` threads, and leave this process's environment as it was."""
    before = {name: os.environ.get(name) for name in BLAS_THREADS}
    os.environ.update(dict.fromkeys(BLAS_THREADS, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def interrupts_noted() -> Iterator[list[int]]:
    """Yield a list that every Ctrl-C meanwhile is entered in, instead of KeyboardInterrupt wherever we happen to be.

    Only the main thread may exchange handlers, and only it is interrupted: in another thread, nothing is done.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Start processes that are deaf to Ctrl-C, and hear one that comes meanwhile afterwards.

    A blocked signal is inherited, and delivered when it is unblocked; an ignored one would be lost. But it is blocked
    in this thread alone: another thread may take it, and Python would raise KeyboardInterrupt here, in the middle of
    the start. So it is noted, too. Windows cannot block it: there the child ignores Ctrl-C as soon as it runs.
    """
    with interrupts_noted() as interrupts, _interrupts_masked():
        yield
    if interrupts:
        signal.raise_signal(signal.SIGINT)


@contextmanager
def _interrupts_masked() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # the first start would start it, and that unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

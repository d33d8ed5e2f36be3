"""Jobs in processes: what is heard of them, and what happens when they fail, die or are stopped."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from an_ref import parallel
from an_ref.parallel import BLAS_THREADS, run_parallel

ROOT = Path(__file__).resolve().parent.parent


def double(job, report):
    report(f"half of {2 * job}")
    return 2 * job


def fail_on_one(job, report):
    if job == 1:
        raise ValueError("one is not wanted")
    return job


def die_on_one(job, report):
    if job == 1:
        os._exit(7)
    return job


def ignore_payload(payload, job, report):
    return job


def interrupt_itself(job, report):
    signal.raise_signal(signal.SIGINT)
    return job


def held_back(job, report):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def threads_in_child(job, report):
    return [os.environ[name] for name in BLAS_THREADS]


def leave_a_mark_late(job, report, folder):
    report("here")
    time.sleep(20)
    (folder / str(job)).touch()


def log_times(job, report):
    start = time.time()
    time.sleep(0.3)
    return start, time.time()


def test_every_job_is_heard_of_in_turn():
    events = list(run_parallel(double, [3, 4, 5], workers=2))
    for job in (3, 4, 5):
        heard = [(event.kind, event.value) for event in events if event.job == job]
        assert heard == [("started", None), ("progress", f"half of {2 * job}"), ("done", 2 * job)]
    assert [event.job for event in events if event.kind == "started"] == [3, 4, 5]


def test_no_more_than_the_workers_at_a_time():
    spans = [event.value for event in run_parallel(log_times, range(4), workers=2) if event.kind == "done"]
    assert len(spans) == 4
    for start, _ in spans:
        assert sum(other <= start < end for other, end in spans) <= 2


def test_a_failing_job_gives_its_reason_and_the_others_go_on():
    ends = {event.job: event for event in run_parallel(fail_on_one, range(3), workers=2) if event.kind != "started"}
    assert (ends[1].kind, ends[1].value) == ("failed", "ValueError: one is not wanted")
    assert (ends[0].kind, ends[2].kind) == ("done", "done")


def test_a_dying_process_is_a_failed_job():
    ends = {event.job: event for event in run_parallel(die_on_one, range(3), workers=2) if event.kind != "started"}
    assert ends[1].kind == "failed"
    assert "exit code 7" in ends[1].value
    assert (ends[0].kind, ends[2].kind) == ("done", "done")


class DiesOnArrival:
    """A payload larger than a pipe holds, which ends the process that unpacks it: nobody reads the rest."""

    def __reduce__(self):
        return os._exit, (9,), {"payload": bytes(1 << 22)}


def test_a_process_that_dies_before_it_has_read_its_job_is_a_failed_job():
    events = list(run_parallel(partial(ignore_payload, DiesOnArrival()), [0, 1], workers=2))
    assert [event.kind for event in events if event.kind != "started"] == ["failed", "failed"]
    assert all("exit code 9" in event.value for event in events if event.kind == "failed")


def test_ctrl_c_is_for_the_parent_alone():
    *_, last = run_parallel(interrupt_itself, [3], workers=1)
    assert (last.kind, last.value) == ("done", 3)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot hold a signal back")
def test_ctrl_c_while_a_process_starts_is_not_lost(monkeypatch):
    held = parallel.interrupts_held

    @contextlib.contextmanager
    def interrupted():
        with held():
            os.kill(os.getpid(), signal.SIGINT)
            yield

    monkeypatch.setattr(parallel, "interrupts_held", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(run_parallel(double, [1, 2], workers=1))


def test_ctrl_c_breaks_into_nothing_that_is_done_with_an_event():
    heard = []

    def listen():
        for event in run_parallel(double, [1, 2], workers=1):
            signal.raise_signal(signal.SIGINT)
            heard.append(event.kind)

    with pytest.raises(KeyboardInterrupt):
        listen()
    assert heard[0] == "started"
    assert "done" not in heard


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send a signal to one thread")
def test_ctrl_c_taken_by_another_thread_does_not_break_into_a_start():
    """Masks are of one thread: BLAS and progress bars have theirs, and Python then runs the handler in the main one."""
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    steps = []

    def start():
        with parallel.interrupts_held():
            signal.pthread_kill(other.ident, signal.SIGINT)
            time.sleep(0.05)
            steps.append("started")

    try:
        with pytest.raises(KeyboardInterrupt):
            start()
    finally:
        end.set()
        other.join()
    assert steps == ["started"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot hold a signal back")
def test_processes_start_deaf_to_ctrl_c():
    """In a process of its own, because what is started first matters."""
    script = "from tests.test_parallel import *; [print(e.value) for e in run_parallel(held_back, [1], workers=1)]"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["None", "True"]


def test_blas_has_one_thread_in_the_child_and_the_parent_keeps_its_environment(monkeypatch):
    monkeypatch.setenv(BLAS_THREADS[0], "5")
    monkeypatch.delenv(BLAS_THREADS[1], raising=False)
    before = dict(os.environ)
    *_, last = run_parallel(threads_in_child, [0], workers=1)
    assert last.value == ["1"] * len(BLAS_THREADS)
    assert dict(os.environ) == before


@pytest.mark.parametrize("stop", ["close", "throw"])
def test_stopping_ends_the_processes(tmp_path, stop):
    events = run_parallel(partial(leave_a_mark_late, folder=tmp_path), [1, 2], workers=2)
    for event in events:
        if event.kind == "progress":
            break
    start = time.monotonic()
    if stop == "close":
        events.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            events.throw(KeyboardInterrupt)
    assert time.monotonic() - start < 10  # far less than the jobs would have taken
    assert not list(tmp_path.iterdir())

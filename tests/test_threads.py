"""Threads: the same bits for any number of them, errors that arrive, and BLAS given back."""

import os
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import an_ref
from an_ref import threads


@pytest.fixture(autouse=True)
def _as_before():
    count = an_ref.get_threads()
    yield
    an_ref.set_threads(count)


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_spread_keeps_the_order_and_uses_several_threads():
    an_ref.set_threads(3)
    meeting = threading.Barrier(3, timeout=20)  # passes only if three threads come

    def work(item):
        if item < 3:
            meeting.wait()
        return item * item, threading.get_ident()

    results = threads.spread(work, range(50))
    assert [square for square, _ in results] == [i * i for i in range(50)]
    assert len({who for _, who in results}) == 3


def test_one_thread_or_one_item_stays_in_the_calling_thread():
    me = {threading.get_ident()}
    an_ref.set_threads(1)
    assert set(threads.spread(lambda item: threading.get_ident(), range(5))) == me
    an_ref.set_threads(4)
    assert set(threads.spread(lambda item: threading.get_ident(), [0])) == me
    assert threads.spread(lambda item: item, []) == []


def test_an_error_arrives_when_nobody_works_any_more():
    an_ref.set_threads(4)
    working = []

    def work(item):
        working.append(item)
        if item == 5:
            raise ZeroDivisionError("at five")
        working.remove(item)

    with pytest.raises(ZeroDivisionError, match="at five"):
        threads.spread(work, range(1000))
    assert working == [5]
    assert threads.spread(lambda item: item, range(3)) == [0, 1, 2]


def test_the_callers_errstate_holds_in_every_thread():
    an_ref.set_threads(3)
    meeting = threading.Barrier(3, timeout=20)

    def work(item):
        meeting.wait()
        return np.geterr()["over"]

    with np.errstate(over="raise"):
        assert threads.spread(work, range(3)) == ["raise"] * 3


@pytest.fixture
def two_blas_threads():
    """conftest.py gives BLAS one thread for all tests: then these here could not fail."""
    with threadpool_limits(2, user_api="blas"):
        assert not blas_threads() or set(blas_threads()) == {2}
        yield


@pytest.mark.usefixtures("two_blas_threads")
def test_blas_is_held_to_one_thread_and_given_back():
    before = blas_threads()
    with threads.one_blas_thread():
        with threads.one_blas_thread():
            assert set(blas_threads()) <= {1}
        assert set(blas_threads()) <= {1}
    assert blas_threads() == before
    an_ref.set_threads(2)
    assert threads.spread(lambda item: set(blas_threads()) <= {1}, range(4)) == [True] * 4
    assert blas_threads() == before


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2", None])
def test_a_wrong_number_of_threads(count):
    with pytest.raises((TypeError, ValueError), match="set_threads: count must be"):
        an_ref.set_threads(count)


def gradients(count):
    """Everything that a forward and a backward of a norm and of three convolutions return."""
    an_ref.set_threads(count)
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 24, 8, 40, 40), np.float32)
    y, cache = an_ref.batch_norm(x, np.ones(8, np.float32), np.ones(8, np.float32))
    arrays = [y, *an_ref.batch_norm_backward(dy, cache)]
    for groups, stride in ((1, 1), (1, 2), (8, 1)):
        weight = rng.standard_normal((8, 8 // groups, 3, 3), np.float32)
        y, cache = an_ref.conv2d(x, weight, padding=1, stride=stride, groups=groups)
        arrays += [y, *an_ref.conv2d_backward(y, cache)]
    return arrays


def test_the_number_of_threads_does_not_change_a_bit():
    one = gradients(1)
    for count in (2, 3, 7):
        for expected, got in zip(one, gradients(count), strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no os.fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_makes_threads_of_its_own():
    an_ref.set_threads(2)
    threads.spread(lambda item: item, range(4))
    child = os.fork()
    if child == 0:
        os._exit(0 if threads.spread(lambda item: item, range(4)) == [0, 1, 2, 3] else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_scratch_is_one_memory_for_each_thread():
    first = threads.scratch((3, 4), np.float32)
    assert first.shape == (3, 4)
    assert first.dtype == np.float32
    assert np.shares_memory(first, threads.scratch((2,), np.complex128))
    an_ref.set_threads(2)
    meeting = threading.Barrier(2, timeout=20)

    def work(item):
        meeting.wait()
        return threads.scratch((5,), np.float64)

    one, other = threads.spread(work, range(2))
    assert not np.shares_memory(one, other)


@pytest.mark.usefixtures("two_blas_threads")
@pytest.mark.parametrize("items", [1, 2, 9])
def test_blas_keeps_to_one_thread_also_for_a_single_item(items):
    """Its threads change the last bits, and after a product they go on waiting for the next at full speed."""
    an_ref.set_threads(2)
    assert all(threads.spread(lambda item: set(blas_threads()) <= {1}, range(items)))

"""keep_memory: large arrays come from memory that the process has already."""

import subprocess
import sys

import pytest

import an_ref

PROGRAM = """
import resource, sys
import numpy as np
import an_ref
if sys.argv[1] == "keep":
    assert an_ref.keep_memory()
def faults():
    for _ in range(5):
        np.ones(48 << 20, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(48 << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults())
"""


def faults(choice):
    command = [sys.executable, "-c", PROGRAM, choice]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


def test_pages_are_kept():
    if not an_ref.keep_memory():
        pytest.skip("this system's allocator is not that of the GNU C library")
    assert faults("keep") < 100
    assert faults("leave") > 100  # huge pages make fewer faults, but not none


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert an_ref.keep_memory() is False

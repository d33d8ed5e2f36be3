"""Ask the allocator to keep large blocks of memory instead of giving them back to the system."""

from __future__ import annotations

import ctypes
import sys

# From malloc.h of the GNU C library.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
NEVER = 2**31 - 1  # bytes at the end of the heap before it is given back: as many as fit into an int


def keep_memory() -> bool:
    """Let this process keep the memory of large arrays that are no longer used, and use it for the next ones.

    Without this, each array above about 32 MiB is mapped afresh by the system: its first writer waits for every page of
    4 KiB to be cleared. In training the same sizes come back all the time. The price: memory that was once used is not
    given back to the system before the process ends. It holds for the whole process, and cannot be undone.

    Returns True where it took effect: with the GNU C library, that is on most Linux systems; elsewhere nothing is done.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    return mallopt(M_MMAP_MAX, 0) == 1 and mallopt(M_TRIM_THRESHOLD, NEVER) == 1

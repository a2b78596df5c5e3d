"""A folder or a zip archive of annotations, read file by file within limits; and JSON of strangers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ditr.errors import InputError, few
from ditr.io.files import read_bytes
from ditr.io.zip_archive import Fault, open_archive

__all__ = ["MOST_BYTES", "Files", "decoded", "is_zip", "opened", "read_again", "read_json", "read_whole"]

_MOST_FILES = 200_000
MOST_BYTES = 1 << 30
"""Of a file of annotations."""
_HARMLESS = frozenset({"the archive's name", "hidden files of the system", "backslashes"})


@dataclass(frozen=True, eq=False)
class Files:
    """The files in a folder or an archive.

    Attributes:
        path: of the folder or archive.
        names: of the files, with the folders that they are in, sorted.
        read: the bytes of one, of no more than so many; what is wrong is an InputError.
    """

    path: Path
    names: tuple[str, ...]
    read: Callable[[str, int], bytes]

    def where(self, name: str) -> str:
        """What errors call a file."""
        return str(self.path / name)


def is_zip(path: Path) -> bool:
    """By its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


@contextmanager
def opened(path: Path) -> Iterator[Files]:
    """The files of a folder or zip archive, until the block ends.

    Raises:
        InputError: neither of them, too many files, or an archive that is damaged or means harm.
    """
    if path.is_dir():
        yield _folder(path)
        return
    with open_archive(path) as archive:
        if bad := [fault for fault in archive.faults if {fault.kind} - _HARMLESS]:
            raise InputError(path / bad[0].member, bad[0].what, bad[0].remedy)

        def read(name: str, most: int) -> bytes:
            content = archive.read(name, most)
            if isinstance(content, Fault):
                raise InputError(path / name, content.what, content.remedy)
            return content

        yield Files(path, tuple(sorted(name for name in archive.names if not name.endswith("/"))), read)


def _folder(path: Path) -> Files:
    names = []
    for entry in sorted(path.rglob("*")):
        if entry.is_file() and not any(part.startswith(".") for part in entry.relative_to(path).parts):
            names.append(entry.relative_to(path).as_posix())
        if len(names) > _MOST_FILES:
            raise InputError(path, f"it holds more than {_MOST_FILES} files", "Name the folder of the label images")

    return Files(path, tuple(names), lambda name, most: read_whole(path / name, most))


def read_whole(path: Path, most: int = MOST_BYTES) -> bytes:
    """A file of no more than ``most`` bytes.

    Raises:
        InputError: it is larger, or cannot be read.
    """
    content = read_bytes(path, most + 1)
    if len(content) > most:
        raise InputError(path, f"it has more than {most} bytes", "Write it again")
    return content


def read_again(path: Path, name: str, most: int) -> bytes:
    """A file of a folder or archive that was opened before.

    Raises:
        InputError: as for :func:`opened`.
    """
    if path.is_dir():
        return read_whole(path / name, most)
    with opened(path) as files:
        return files.read(name, most)


def decoded(content: bytes, where: str) -> str:
    """UTF-8, with or without a mark before it.

    Raises:
        InputError: it is not that.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(where, "it is not text in UTF-8", "Save it as UTF-8") from None


def read_json(content: bytes, where: str) -> Any:
    """Values of JSON; all numbers are finite.

    Raises:
        InputError: it is none, or is nested too deeply.
    """

    def refuse(text: str) -> NoReturn:
        raise ValueError(f"{text} is not a number of JSON")

    try:
        return json.loads(decoded(content, where), parse_constant=refuse)
    except RecursionError:
        raise InputError(where, "it is nested too deeply", "Export it again") from None
    except InputError:
        raise
    except ValueError as error:
        raise InputError(where, f"it is not JSON ({few([str(error)], 1)})", "Export it again") from None

"""Files: read within limits, and written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ditr.errors import InputError

__all__ = ["atomic_folder", "atomic_path", "defined", "file_sha256", "read_bytes", "write_json"]


def _temporary_sibling(path: Path) -> Path:
    # The suffix stays, since writers choose their format by it.
    return path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it takes ``path``'s name, on any error it is removed."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_sibling(target)
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new temporary folder beside ``path``; on success it becomes ``path`` (which is replaced if it exists).

    A link is followed: what it points to is replaced, and it stays.
    """
    target = Path(path).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_sibling(target)
    temporary.mkdir()
    try:
        yield temporary
        if target.exists():
            old = _temporary_sibling(target)
            os.replace(target, old)
            os.replace(temporary, target)
            shutil.rmtree(old)
        else:
            os.replace(temporary, target)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write plain values for people and programs to read; the file appears whole or not at all.

    Numbers that are not finite, for which JSON has no word, become null.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(defined(content), indent=2, allow_nan=False) + "\n")


def defined(content: Any) -> Any:
    """Plain values with None for numbers that are not finite."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: defined(value) for key, value in content.items()}
    return [defined(value) for value in content] if isinstance(content, list | tuple) else content


def file_sha256(path: Path) -> str:
    """Of a file's content, which is read piece by piece.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """A file's first ``most`` bytes, or all.

    Raises:
        InputError: no such file, a folder, a device, or no permission.
    """
    try:
        if not path.is_file():
            fault = "this is no file" if path.exists() else "there is no such file"
            raise InputError(path, fault, "Give the path of a file")
        with path.open("rb") as file:
            return file.read() if most is None else file.read(most)
    except OSError as error:
        raise InputError(path, f"the file cannot be read ({error.strerror})", "Mend its path or permissions") from None

"""One piece of a prepared dataset: its parts, which are moved to their places when they are whole, and its record."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from ditr.datasets.raw import Place, PrepareOptions, RawPiece
from ditr.errors import InputError
from ditr.io.files import faults_of, file_sha256, remove_rests, write_json
from ditr.io.json_file import read_json

__all__ = ["SCHEMA", "identity_of", "record_of", "records", "require_free", "tidy", "write_piece"]

SCHEMA = 1
"""Version of the manifest; another one is prepared again."""
_RECORDS = "manifest"
_STAGED = ".preparing"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

Record = dict[str, Any]


def identity_of(piece: RawPiece, options: PrepareOptions) -> Record:
    """What a record must have in common with a piece, so that it is not prepared again."""
    how = {key: value for key, value in asdict(options).items() if key != "splits"}
    return {"schema": SCHEMA, "name": piece.name, "split": piece.split, "options": how, "sources": _stamps(piece)}


def record_of(out: Path, piece: RawPiece, identity: Mapping[str, Any]) -> Record | None:
    """The record of a piece that is there as it would be prepared now."""
    content = _read(_record_path(out, piece))
    if content is None or any(content.get(key) != value for key, value in identity.items()):
        return None
    return content if all(place.below(out).exists() for place in piece.places) else None


def records(out: Path) -> dict[str, Record]:
    """The records of the pieces in a prepared folder, by name: sources with digests, options, repairs."""
    found = {}
    for path in sorted((out / _RECORDS).glob("*.json")):
        content = None if path.name.startswith(".") else _read(path)
        if content is not None:
            found[str(content["name"])] = content
    return found


def write_piece(piece: RawPiece, out: Path, identity: Record, run: str) -> Record | InputError:
    """Prepare a piece; its record, or why not.

    What an earlier run has put into its places is replaced. It is out of sight before the new parts come, the last of
    which is what tells readers that the piece is there. Until the parts are whole nothing changes.

    Args:
        piece: of the download.
        out: folder of the prepared dataset.
        identity: of the piece.
        run: names the folder in which this run writes what is not whole.

    Raises:
        OSError: it cannot be written; the error names ``out`` or what is in it.
    """
    path, places = _record_path(out, piece), [place.below(out) for place in piece.places]
    staged = [_staging(out, place.beside) / run / f"{piece.name}-{number}" for number, place in enumerate(piece.places)]
    try:
        require_free(piece, out)
        for part in staged:
            _remove(part)
            part.parent.mkdir(parents=True, exist_ok=True)
        with faults_of(out):
            repairs = piece.write(staged)
            digests = {str(source): _digest(source) for source in piece.sources}
            write_json(path, {"name": piece.name, "begun": True})  # what is in the places from now on is ours
            for part, place in reversed(list(zip(staged, places, strict=True))):
                _take_away(place, part.with_name(f"{part.name}-before"))
            for part, place in zip(staged, places, strict=True):
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(part, place)
            record = {**identity, "sha256": digests, "repairs": [asdict(repair) for repair in repairs]}
            write_json(path, record)
            return record
    except InputError as error:
        return error
    except OSError as error:
        # A copy names its source, too, when there is no room for what it writes.
        if error.errno in _NO_ROOM and not str(error.filename).startswith(str(out)):
            raise OSError(error.errno, error.strerror, str(out)) from None
        raise
    finally:
        for part in staged:
            _remove(part)
            _remove(part.with_name(f"{part.name}-before"))


def require_free(piece: RawPiece, out: Path) -> None:
    """Whatever is in the places of a piece must come from an earlier run, which its record shows.

    Raises:
        InputError: something else is there.
    """
    strange = next((path for place in piece.places if os.path.lexists(path := place.below(out))), None)
    if strange is not None and not _record_path(out, piece).exists():
        remedy = "Move it away, or name another folder to write"
        raise InputError(strange, "it already exists and was not written by ditr prepare", remedy)


def tidy(out: Path, places: Iterable[Place]) -> None:
    """Remove what killed processes left half-written; only for who has the folder's lock."""
    for beside in sorted({place.beside for place in places}):
        _remove(_staging(out, beside))
        with suppress(OSError):  # it holds something
            if beside:
                _staging(out, beside).parent.rmdir()
    for folder in (out, *(path for path in out.iterdir() if path.is_dir() and not path.is_symlink())):
        remove_rests(folder)


def _stamps(piece: RawPiece) -> dict[str, list[int] | str]:
    """Size and time of change of each source, by path; of a folder a digest of those of its files."""
    found: dict[str, list[int] | str] = {}
    for path in piece.sources:
        with suppress(OSError):  # what is missing is said by whoever reads it
            status = path.stat()
            found[str(path)] = _digest(path, times=True) if path.is_dir() else [status.st_size, status.st_mtime_ns]
    return found


def _digest(path: Path, *, times: bool = False) -> str:
    """Of a file's content, or of the names and sizes of a folder's files, with ``times`` also of when they changed."""
    if not path.is_dir():
        status = path.stat()
        return _file_digest(path, status.st_size, status.st_mtime_ns)
    lines = []
    with os.scandir(path) as entries:
        for entry in entries:
            status = entry.stat()
            lines.append(f"{entry.name} {status.st_size}{f' {status.st_mtime_ns}' if times else ''}\n")
    return hashlib.sha256("".join(sorted(lines)).encode(errors="surrogateescape")).hexdigest()


@lru_cache(maxsize=64)
def _file_digest(path: Path, size: int, changed: int) -> str:
    """Of a file of that size and time of change; once for a table of gigabytes that all pieces are made of."""
    return file_sha256(path)


def _record_path(out: Path, piece: RawPiece) -> Path:
    return out / _RECORDS / f"{piece.name}.json"


def _read(path: Path) -> Record | None:
    """A record; None for none, or one of a piece that is not whole."""
    try:
        content = read_json(path)
    except InputError:
        return None
    return content if isinstance(content, dict) and isinstance(content.get("repairs"), list) else None


def _staging(out: Path, beside: str) -> Path:
    """The hidden folder in which parts are written that go to the folder of a suffix."""
    return Place(_STAGED, beside).below(out)


def _take_away(place: Path, before: Path) -> None:
    """Move what is in a place out of sight, in one step; removing it takes many."""
    _remove(before)
    with suppress(FileNotFoundError):
        os.replace(place, before)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

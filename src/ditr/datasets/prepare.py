"""Preparing a download: its pieces in worker processes, each whole or not at all, going on where it was stopped.

A piece is written to a hidden folder beside its place and moved there when it is whole. Then its record is written to
``manifest/NAME.json``: what it was made of, with digests, and every repair. A piece whose record fits is not prepared
again; one whose sources or options have changed is. When all are there, ``manifest.json`` sums them up.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ditr.datasets.raw import PrepareOptions, RawDataset, RawPiece, Repair
from ditr.errors import InputError
from ditr.io.files import faults_of, file_sha256, read_bytes, write_json
from ditr.io.locks import FolderLock
from ditr.runtime import OnProgress, worker_pool

__all__ = ["SCHEMA", "Checked", "Prepared", "check", "prepare", "records"]

SCHEMA = 1
"""Version of the manifest; another one is prepared anew."""
_RECORDS = "manifest"
_SUMMARY = "manifest.json"
_STAGED = ".preparing"


@dataclass(frozen=True)
class Prepared:
    """What came of it.

    Attributes:
        done: names of the pieces that were prepared now.
        kept: names of those that were there already.
        failed: why others could not be, by name.
        repairs: of all pieces that are there.
    """

    done: tuple[str, ...]
    kept: tuple[str, ...]
    failed: Mapping[str, InputError]
    repairs: tuple[Repair, ...]


@dataclass(frozen=True)
class Checked:
    """What a look at a download found.

    Attributes:
        found: how many pieces there are of each split.
        faults: what stands in the way of preparing pieces, the first ones first.
        repairs: damage that preparing repairs.
        size: bytes that all of it will take once prepared, about.
    """

    found: Mapping[str, int]
    faults: tuple[InputError, ...]
    repairs: tuple[Repair, ...]
    size: int


def prepare(
    dataset: str,
    raw: RawDataset,
    out: Path,
    options: PrepareOptions,
    *,
    workers: int = 1,
    progress: OnProgress | None = None,
    tell: Callable[[str], None] | None = None,
) -> Prepared:
    """Prepare the pieces that ``out`` does not have yet.

    Args:
        dataset: its name, for the manifest.
        raw: the download.
        out: folder of the prepared dataset; parts may go to folders beside it.
        options: with which ``raw`` was opened.
        workers: processes side by side; 0 to do it in this one.
        progress: told the number of pieces done and their total.
        tell: told a line for each piece that failed, when it did.

    Raises:
        InputError: two processes prepare the same folder, or it holds another dataset.
        OSError: the disk is full, or cannot be written; whole pieces stay.
    """
    pieces = list(raw.pieces)
    with FolderLock(out):
        _claim(out, dataset)
        wanted = {piece.name: _identity(piece, options) for piece in pieces}
        there = {piece.name: record for piece in pieces if (record := _record(out, piece, wanted[piece.name]))}
        _tidy(out, pieces)
        todo = [piece for piece in pieces if piece.name not in there]
        failed: dict[str, InputError] = {}
        finished = len(there)
        if progress is not None:
            progress(finished, len(pieces))
        for piece, result in _results(todo, out, wanted, workers):
            finished += 1
            if isinstance(result, InputError):
                failed[piece.name] = result
                if tell is not None:
                    tell(f"{piece.name}: {result.told()}")
            else:
                there[piece.name] = result
            if progress is not None:
                progress(finished, len(pieces))
        raw.finish(out, [piece for piece in pieces if piece.name in there])
        repairs = tuple(Repair(**repair) for record in there.values() for repair in record["repairs"])
        done = tuple(piece.name for piece in todo if piece.name in there)
        kept = tuple(name for name in there if name not in set(done))
        _sum_up(out, dataset, options, repairs)
    return Prepared(done, kept, failed, repairs)


def check(raw: RawDataset, *, workers: int = 1, progress: OnProgress | None = None) -> Checked:
    """Look at all of a download, without writing anything."""
    pieces = list(raw.pieces)
    faults, repairs, size = list(raw.check()), [], 0
    work = {piece.name: partial(_looked_at, piece) for piece in pieces}
    for done, (_, result) in enumerate(_run(work, workers), start=1):
        if isinstance(result, InputError):
            faults.append(result)
        else:
            found, bytes_ = result
            faults += [one for one in found if isinstance(one, InputError)]
            repairs += [one for one in found if isinstance(one, Repair)]
            size += bytes_
        if progress is not None:
            progress(done, len(pieces))
    return Checked(Counter(piece.split for piece in pieces), tuple(faults), tuple(repairs), size)


def records(out: Path) -> dict[str, dict[str, Any]]:
    """The records of the pieces in a prepared folder, by name: sources with digests, options, repairs."""
    found = {}
    for path in sorted((out / _RECORDS).glob("*.json")):
        content = _read(path)
        if content is not None:
            found[str(content["name"])] = content
    return found


# ---- one piece ------------------------------------------------------------------------------------------------------


def _identity(piece: RawPiece, options: PrepareOptions) -> dict[str, Any]:
    """What a record must have in common with a piece, so that it is not prepared again."""
    how = {key: value for key, value in asdict(options).items() if key != "splits"}
    return {"schema": SCHEMA, "name": piece.name, "split": piece.split, "options": how, "sources": _stamps(piece)}


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


def _record(out: Path, piece: RawPiece, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The record of a piece that is there as it would be prepared now."""
    content = _read(_record_path(out, piece))
    if content is None or any(content.get(key) != value for key, value in identity.items()):
        return None
    return content if all(place.below(out).exists() for place in piece.places) else None


def _record_path(out: Path, piece: RawPiece) -> Path:
    return out / _RECORDS / f"{piece.name}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(read_bytes(path))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and isinstance(content.get("repairs"), list) else None


def _write(piece: RawPiece, out: Path, identity: dict[str, Any]) -> dict[str, Any] | InputError:
    """Prepare a piece; its record, or why not."""
    staged = [_staging(out, place.beside) / f"{piece.name}-{number}" for number, place in enumerate(piece.places)]
    _record_path(out, piece).unlink(missing_ok=True)
    try:
        for part in staged:
            _remove(part)
            part.parent.mkdir(parents=True, exist_ok=True)
        with faults_of(out):
            repairs = piece.write(staged)
            digests = {str(path): _digest(path) for path in piece.sources}
            for part, place in zip(staged, piece.places, strict=True):
                _move(part, place.below(out))
    except InputError as error:
        return error
    finally:
        for part in staged:
            _remove(part)
    record = {**identity, "sha256": digests, "repairs": [asdict(repair) for repair in repairs]}
    write_json(_record_path(out, piece), record)
    return record


def _looked_at(piece: RawPiece) -> tuple[list[InputError | Repair], int]:
    return list(piece.check()), piece.size()


def _staging(out: Path, beside: str) -> Path:
    """The hidden folder in which parts are written that go to the folder of a suffix."""
    root = out.absolute()
    return root.with_name(root.name + beside) / _STAGED


def _move(part: Path, target: Path) -> None:
    """Move a part to its place; what is left there of an earlier attempt goes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        _remove(target)
    os.replace(part, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _tidy(out: Path, pieces: Sequence[RawPiece]) -> None:
    """Remove what killed processes left half-written."""
    for beside in sorted({place.beside for piece in pieces for place in piece.places}):
        _remove(_staging(out, beside))


# ---- all pieces -----------------------------------------------------------------------------------------------------


def _results(
    todo: Sequence[RawPiece], out: Path, wanted: Mapping[str, dict[str, Any]], workers: int
) -> Iterator[tuple[RawPiece, dict[str, Any] | InputError]]:
    by_name = {piece.name: piece for piece in todo}
    work = {name: partial(_write, piece, out, wanted[name]) for name, piece in by_name.items()}
    try:
        for name, result in _run(work, workers):
            yield by_name[name], result
    finally:
        _tidy(out, todo)


def _run(work: Mapping[str, Callable[[], Any]], workers: int) -> Iterator[tuple[str, Any]]:
    """What each function gives, as results come; one whose process died of it gives an InputError.

    Raises:
        OSError: as a function does.
    """
    if workers < 1:
        for name, call in work.items():
            yield name, call()
        return
    left = dict(work)
    while left:
        lost = False
        with worker_pool(workers) as pool:
            running: dict[Future[Any], str] = {}
            names = iter(list(left))
            try:
                # A few more than there are workers, so that none waits, and few are lost with a process that dies.
                for name in names:
                    running[pool.submit(left[name])] = name
                    if len(running) < 2 * workers:
                        continue
                    yield from _first(running, left)
                while running:
                    yield from _first(running, left)
            except BrokenProcessPool:
                lost = True
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        if lost:
            # One of them was too much for its process. Each gets one of its own, so that it is known which.
            yield from _one_by_one(list(running.values()), left)


def _first(running: dict[Future[Any], str], left: dict[str, Callable[[], Any]]) -> Iterator[tuple[str, Any]]:
    from concurrent.futures import FIRST_COMPLETED, wait

    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        result = future.result()
        name = running.pop(future)
        del left[name]
        yield name, result


def _one_by_one(names: Sequence[str], left: dict[str, Callable[[], Any]]) -> Iterator[tuple[str, Any]]:
    for name in names:
        with worker_pool(1) as pool:
            try:
                result = pool.submit(left[name]).result()
            except BrokenProcessPool:
                remedy = "Give fewer --workers, or a machine with more memory"
                result = InputError(name, "the process that read it died, as it happens for want of memory", remedy)
        del left[name]
        yield name, result


def _claim(out: Path, dataset: str) -> None:
    """Refuse a folder of something else.

    Raises:
        InputError: it holds another dataset.
    """
    path = out / _SUMMARY
    if not path.exists():
        return
    try:
        before = json.loads(read_bytes(path))["dataset"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(path, "not a manifest of a prepared dataset", "Name another folder, or remove it") from None
    if before != dataset:
        raise InputError(out, f"{before} is prepared here, not {dataset}", "Name another folder")


def _sum_up(out: Path, dataset: str, options: PrepareOptions, repairs: Sequence[Repair]) -> None:
    from ditr import __version__

    there = records(out)
    write_json(
        out / _SUMMARY,
        {
            "schema": SCHEMA,
            "dataset": dataset,
            "ditr": __version__,
            "options": asdict(options),
            "pieces": dict(sorted(Counter(record["split"] for record in there.values()).items())),
            "repairs": dict(sorted(Counter(repair.kind for repair in repairs).items())),
            "sources": {name: record["sha256"] for name, record in there.items()},
        },
    )

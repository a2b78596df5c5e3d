"""Preparing a download: its pieces in worker processes, each whole or not at all, going on where it was stopped.

A piece is written to a hidden folder beside its place and moved there when it is whole. Then its record is written to
``manifest/NAME.json``: what it was made of, with digests, and every repair. A piece whose record fits is not prepared
again; one whose sources or options have changed is. ``manifest.json`` sums them up. What was not prepared here, the
download for one, is never replaced.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from ditr.datasets.pieces import SCHEMA, identity_of, record_of, records, require_free, tidy, write_piece
from ditr.datasets.raw import PrepareOptions, RawDataset, RawPiece, Repair
from ditr.datasets.workers import side_by_side
from ditr.errors import InputError
from ditr.io.files import write_json
from ditr.io.json_file import read_json
from ditr.io.locks import FolderLock
from ditr.runtime import OnProgress
from ditr.stopping import Stopped, StopSignals

__all__ = ["SCHEMA", "Checked", "Prepared", "check", "prepare", "records"]

_SUMMARY = "manifest.json"


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
        InputError: two processes prepare the same folder, or it holds something that was not prepared here.
        OSError: the disk is full, or cannot be written; whole pieces stay.
        Stopped: a signal asked for it; whole pieces stay.
    """
    pieces = list(raw.pieces)
    with FolderLock(out) as lock, StopSignals() as stop:
        _take(out, dataset, pieces)
        places = [place for piece in pieces for place in piece.places]
        tidy(out, places)
        wanted = {piece.name: identity_of(piece, options) for piece in pieces}
        there = {piece.name: record for piece in pieces if (record := record_of(out, piece, wanted[piece.name]))}
        todo = {piece.name: piece for piece in pieces if piece.name not in there}
        run = secrets.token_hex(4)
        work = {name: partial(write_piece, piece, out, wanted[name], run) for name, piece in todo.items()}
        failed: dict[str, InputError] = {}
        report = progress if progress is not None else _unseen
        report(len(there), len(pieces))
        try:
            for name, result in side_by_side(work, workers, lambda: stop.asked is not None):
                lock.require()
                if isinstance(result, InputError):
                    failed[name] = result
                    if tell is not None:
                        tell(f"{name}: {result.told()}")
                else:
                    there[name] = result
                report(len(there) + len(failed), len(pieces))
        finally:
            tidy(out, places)
        raw.finish(out, [piece for piece in pieces if piece.name in there])
        _sum_up(out, dataset, options)
        if stop.asked is not None and len(there) + len(failed) < len(pieces):
            raise Stopped(stop.asked, f"{len(there)} of {len(pieces)} are already prepared")
        repairs = tuple(Repair(**repair) for record in there.values() for repair in record["repairs"])
        done = tuple(name for name in todo if name in there)
        kept = tuple(name for name in there if name not in todo)
    return Prepared(done, kept, failed, repairs)


def check(raw: RawDataset, *, workers: int = 1, progress: OnProgress | None = None) -> Checked:
    """Look at all of a download, without writing anything."""
    pieces = list(raw.pieces)
    faults, repairs, size = list(raw.check()), [], 0
    work = {piece.name: partial(_looked_at, piece) for piece in pieces}
    for done, (_, result) in enumerate(side_by_side(work, workers), start=1):
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


def _looked_at(piece: RawPiece) -> tuple[list[InputError | Repair], int]:
    """What is wrong with a piece, up to where it cannot be looked at any further, and its size."""
    found: list[InputError | Repair] = []
    size = 0
    try:
        found.extend(piece.check())
        size = piece.size()
    except InputError as error:
        found.append(error)
    except OSError as error:
        where = piece.name if error.filename is None else str(error.filename)
        found.append(InputError(where, f"it cannot be read ({error.strerror or error})", "Change its permissions"))
    return found, size


def _unseen(done: int, total: int) -> None:
    """Progress that nobody wants to see."""


def _take(out: Path, dataset: str, pieces: Sequence[RawPiece]) -> None:
    """Make a folder that of a dataset.

    Raises:
        InputError: it holds another one, or something that was not prepared here.
    """
    _refuse_other(out, dataset)
    for piece in pieces:
        require_free(piece, out)
    if not (out / _SUMMARY).exists():  # so that it is seen to be no download while it is being made
        write_json(out / _SUMMARY, {"schema": SCHEMA, "dataset": dataset, "pieces": {}})


def _refuse_other(out: Path, dataset: str) -> None:
    """Refuse a folder of something else.

    Raises:
        InputError: it holds another dataset.
    """
    path = out / _SUMMARY
    if not path.exists():
        return
    try:
        before = read_json(path)["dataset"]
    except (InputError, KeyError, TypeError):
        raise InputError(
            path, "this is not the manifest of a prepared dataset", "Name another folder, or remove the file"
        ) from None
    if before != dataset:
        raise InputError(out, f"this folder holds {before}, not {dataset}", "Name another folder")


def _sum_up(out: Path, dataset: str, options: PrepareOptions) -> None:
    from ditr import __version__

    there = records(out)
    kinds = Counter(repair["kind"] for record in there.values() for repair in record["repairs"])
    write_json(
        out / _SUMMARY,
        {
            "schema": SCHEMA,
            "dataset": dataset,
            "ditr": __version__,
            "options": asdict(options),
            "pieces": dict(sorted(Counter(record["split"] for record in there.values()).items())),
            "repairs": dict(sorted(kinds.items())),
            "sources": {name: record["sha256"] for name, record in there.items()},
        },
    )

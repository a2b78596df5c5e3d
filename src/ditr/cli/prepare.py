"""``ditr prepare``: the official download of a dataset, made ready for training, tests and submissions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ditr.cli.options import UNSET

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ditr.datasets.benchmark import Benchmark
    from ditr.datasets.prepare import Checked, Prepared
    from ditr.datasets.raw import Download, RawDataset, Repair
    from ditr.errors import InputError

__all__ = ["Prepare", "run"]

_SHOWN = 10
"""Faults and repairs that are printed; all are in the manifest."""


@dataclass(frozen=True)
class Prepare:
    """Prepare the official download of a dataset for training, tests and submissions.

    $ ditr prepare scannet RAW OUT --check-only      what is missing or damaged
    $ ditr prepare scannet RAW OUT

    Prepared data are plain files in the layout of the published code. Scenes that are already prepared are kept, so the
    same command resumes after an interruption. Known damage in a download is repaired, counted, and recorded in
    manifest.json.
    """

    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """ScanNet, ScanNet200, nuScenes or SemanticKITTI."""
    raw: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RAW")]
    """Folder of the download."""
    out: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="OUT"), UNSET] = None
    """Folder to write; not needed with --check-only."""
    check_only: Annotated[bool, UNSET] = False
    """Only check the download: report missing and damaged files, and how much disk space and time preparing takes.
    Nothing is written."""
    splits: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SPLIT..."), UNSET] = ()
    """Prepare only these splits, such as train val; by default all that are present."""
    every: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """Take every Nth frame of a recording. The default is the published choice (10 for ScanNet)."""
    copy: Annotated[bool, UNSET] = False
    """Copy sweeps and photographs that need no change, instead of linking to the download."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """Number of parallel processes; the default is one per core."""


def run(args: Prepare) -> None:
    """Prepare or check; exits with 1 where a scene could not be prepared."""
    import sys

    from ditr.cli.common import folder_for
    from ditr.datasets.prepare import check, prepare
    from ditr.datasets.raw import PrepareOptions
    from ditr.datasets.table import by_name, raw_format
    from ditr.errors import InputError
    from ditr.runtime import progress_bar, tell, usable_cores

    benchmark = by_name(args.dataset)
    form = raw_format(benchmark)
    _require(args)
    if not args.raw.is_dir():
        raise InputError(
            args.raw, "there is no such folder", f"Name the folder of the {benchmark.name} download: {form.layout}"
        )
    workers = args.workers if args.workers is not None else usable_cores()
    _refuse_others(benchmark, args)
    options = PrepareOptions(args.splits, args.every, args.copy)
    raw = form.open(args.raw, options)
    if not raw.pieces:
        raise InputError(
            args.raw, f"there is nothing of {benchmark.name} in this folder", f"The expected layout is {form.layout}"
        )
    if args.check_only:
        with progress_bar(f"check {benchmark.name}") as report:
            checked = check(raw, workers=workers, progress=report)
        _say_checked(benchmark, form.download, checked, args.out, workers)
        if checked.faults:
            sys.exit(1)
        return
    assert args.out is not None
    out = folder_for(args.out, needed=_needed(raw))
    with progress_bar(f"prepare {benchmark.name}") as report:
        done = prepare(benchmark.folder, raw, out, options, workers=workers, progress=report, tell=tell)
    _say_prepared(done, out, form.download.unit)
    if done.failed:
        sys.exit(1)


def _require(args: Prepare) -> None:
    """Refuse options that cannot be meant.

    Raises:
        InputError: the first one.
    """
    from ditr.errors import InputError

    if args.out is None and not args.check_only:
        raise InputError(
            "OUT", "it is missing", "Name the folder to write, or add --check-only to only check the download"
        )
    if args.every is not None and args.every < 1:
        raise InputError("--every", f"it is {args.every}", "Give 1 or more")
    if args.workers is not None and args.workers < 0:
        raise InputError("--workers", f"it is {args.workers}", "Give 0 or more")


def _refuse_others(benchmark: Benchmark, args: Prepare) -> None:
    """Refuse the download of another dataset, and to write into the download.

    Raises:
        InputError: it is one.
    """
    from ditr.datasets.table import BENCHMARKS, raw_format
    from ditr.errors import InputError

    if args.out is not None and args.out.exists() and args.out.samefile(args.raw):
        raise InputError(args.out, "this is the folder of the download", "Name another folder to write")
    if raw_format(benchmark).recognises(args.raw):
        return
    other = next((one for one in BENCHMARKS if one.raw is not None and one.raw.recognises(args.raw)), None)
    if other is not None:
        fault = f"this is the download of {other.name}, not of {benchmark.name}"
        raise InputError(args.raw, fault, f"Run ditr prepare {other.name.lower()}, or name another folder")


def _needed(raw: RawDataset) -> int:
    """Bytes that one piece takes at least: a disk that has not even these is full."""
    return min((piece.size() for piece in raw.pieces), default=0)


def _say_checked(benchmark: Benchmark, download: Download, checked: Checked, out: Path | None, workers: int) -> None:
    for split, count in sorted(checked.found.items()):
        whole = download.pieces.get(split)
        of_all = "" if whole is None else f" of {whole}"
        print(f"{split}: {count}{of_all} {download.unit}")
    _list("damaged or missing", checked.faults)
    _count_repairs(checked.repairs)
    for repair in checked.repairs[:_SHOWN]:
        print(f"  {repair.where}: {repair.what}")
    total = sum(checked.found.values())
    print(f"disk: about {checked.size / 1e9:.2g} GB once prepared{_free(out)}")
    if download.seconds is not None:
        minutes = total * download.seconds / max(1, workers) / 60
        print(f"time: about {minutes:.0f} minutes with {max(1, workers)} workers" if minutes >= 1 else "time: seconds")
    if any(checked.found.get(split, 0) < whole for split, whole in download.pieces.items()):
        sizes = ", ".join(f"{part} {size:g} GB" for part, size in download.gigabytes.items())
        print(f"{benchmark.name} is incomplete. Download it from {download.address} ({sizes}). {download.terms}")
    print("no problems found" if not checked.faults else f"problems: {len(checked.faults)}")


def _free(out: Path | None) -> str:
    import shutil

    from ditr.io.files import nearest_folder

    if out is None:
        return ""
    place = nearest_folder(out.absolute())
    return f", {shutil.disk_usage(place).free / 1e9:.2g} GB are free in {place}"


def _say_prepared(done: Prepared, out: Path, unit: str) -> None:
    kept = f", {len(done.kept)} were already prepared" if done.kept else ""
    print(f"{len(done.done)} {unit} prepared{kept}")
    _count_repairs(done.repairs)
    _list("could not be prepared", list(done.failed.values()))
    print(f"written to {out}; manifest.json lists the sources of each, and the folder manifest all repairs")


def _list(what: str, faults: Sequence[InputError]) -> None:
    if not faults:
        return
    print(f"{what}: {len(faults)}")
    for fault in faults[:_SHOWN]:
        print(f"  {fault.told()}")
    if len(faults) > _SHOWN:
        print(f"  and {len(faults) - _SHOWN} more")


def _count_repairs(repairs: Iterable[Repair]) -> None:
    counted = Counter(repair.kind for repair in repairs)
    if counted:
        print("repaired or noted: " + ", ".join(f"{kind} {count}" for kind, count in counted.most_common()))

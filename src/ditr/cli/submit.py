"""``ditr submit``: what the server of a benchmark takes, written and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ditr.cli.options import UNSET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ditr.cli.tested import Model, Split
    from ditr.datasets.benchmark import Benchmark
    from ditr.datasets.submission import Archive, Kind

__all__ = ["Submit", "run"]

_SHOWN = 5
"""Faults of a kind that are printed."""


@dataclass(frozen=True)
class Submit:
    """Label the test split of a benchmark and write the archive for its server, or check an existing archive.

    $ ditr submit RUN --benchmark nuscenes --data DATA
    $ ditr submit --check FILE.zip

    Uses the published test procedure. Labels are saved scene by scene, so the same command resumes after an
    interruption. The check reports everything that would make the server reject an archive or count points as wrong:
    names, counts, types, values, folders, metadata. Exits with 1 if there is a
    fault; where the server only counts some points as wrong, that is a warning.
    """

    model: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN"), UNSET] = None
    """Folder of a run or saved model, short name of a published model (see `ditr weights`), hub repository, or
    checkpoint file."""
    check: Annotated[Path | None, tyro.conf.arg(metavar="FILE"), UNSET] = None
    """Check this archive instead of making one."""
    benchmark: Annotated[str | None, tyro.conf.arg(metavar="BENCHMARK"), UNSET] = None
    """ScanNet, ScanNet200, nuScenes or SemanticKITTI. For --check, the default is recognised from the content."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder of the prepared dataset, or the folder that contains it. --check works without it, but then cannot compare
    each file with the points of its scene."""
    split: Annotated[str, tyro.conf.arg(metavar="SPLIT")] = "test"
    """Split to label, or split that the archive is for; use val to test on labelled scenes."""
    score: Annotated[bool, UNSET] = False
    """With --check: compare with the labels of the split, as the server would (needs --split val)."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.zip"), UNSET] = None
    """Archive to write; the default is submission-BENCHMARK-SPLIT-RUN.zip in the current folder. Labels are saved in a
    folder of the same name without .zip."""
    overwrite: Annotated[bool, UNSET] = False
    """Replace an earlier archive."""
    last: Annotated[bool, UNSET] = False
    """For a run, take the last checkpoint instead of the best one."""
    norms: Annotated[str | None, tyro.conf.arg(metavar="DATASET"), UNSET] = None
    """For a joint model with separate norms for each dataset, the dataset whose norms are used. The default is the
    model's own."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Random seed."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes a GPU if there is one."""


def run(args: Submit) -> None:
    """Write and check, or only check; exits with 1 where there are faults."""
    import sys

    from ditr.errors import InputError

    if (args.model is None) == (args.check is None):
        raise InputError(
            "ditr submit", "it needs a run, or an archive to check, and not both", "Name RUN, or --check FILE"
        )
    if args.score and (args.check is None or args.data is None):
        raise InputError("--score", "it compares an archive with a dataset", "Give --check FILE and --data FOLDER too")
    found = _write(args, args.model) if args.model is not None else _check(args)
    if found:
        sys.exit(1)


def _write(args: Submit, model: str) -> int:
    """Label, pack and check; how many faults there are."""
    from ditr.cli.tested import progress_within
    from ditr.datasets.table import submission_format
    from ditr.evaluation.submit import label_split, pack
    from ditr.evaluation.verify import published_voting
    from ditr.runtime import progress_bar

    opened, loaded, out = _opened(args, model)
    form = submission_format(opened.benchmark)
    name = opened.benchmark.name
    with progress_within(f"label {name}", len(opened.source)) as (scenes, within):
        labelled = label_split(
            loaded.segmenter,
            opened.source,
            published_voting(opened.benchmark, within),
            out.with_suffix(""),
            weights=loaded.weights,
            settings=opened.settings(loaded.segmenter, args.norms),
            seed=args.seed,
            progress=scenes,
        )
    if labelled.kept:
        print(f"{labelled.kept} of {len(labelled.points)} scenes were already labelled, in {labelled.folder}")
    with progress_bar("pack") as report:
        images = loaded.segmenter.config.takes_images
        pack(labelled, form, args.split, out, images=images, progress=report)
    found = _looked_at(out, opened.benchmark, labelled.points, args.split)
    print(f"written to {out}; labels are kept in {labelled.folder}")
    for sentence in form.by_hand if args.split == "test" else ():
        print(sentence)
    return found


def _opened(args: Submit, name: str) -> tuple[Split, Model, Path]:
    """The scenes, the model, and the archive, once it is known that it can be written.

    Raises:
        InputError: a benchmark without submissions, a dataset that is not whole, or a model of other classes.
    """
    from ditr.cli.captures import takes_photographs
    from ditr.cli.common import folder_for, require_new
    from ditr.cli.tested import load, open_split
    from ditr.datasets.table import by_name, submission_format
    from ditr.errors import InputError

    if args.benchmark is None or args.data is None:
        missing = "--benchmark" if args.benchmark is None else "--data"
        raise InputError(
            missing, "it is missing", "Name the benchmark with --benchmark, and the prepared dataset with --data"
        )
    benchmark = by_name(args.benchmark)
    submission_format(benchmark)
    out = args.out or Path(f"submission-{benchmark.name}-{args.split}-{_short(name)}.zip")
    if out.suffix != ".zip":
        raise InputError(out, "the archive's name must end with .zip", "Rename it; the server accepts no other name")
    require_new([out], overwrite=args.overwrite)
    folder_for(out.with_suffix(""))
    images = takes_photographs(name)
    opened = open_split(benchmark.name, args.data, args.split, images=images)
    model = load(name, device=args.device, norms=args.norms, last=args.last)
    if model.segmenter.config.takes_images != images:  # a repository of the hub is known only now
        opened = open_split(benchmark.name, args.data, args.split, images=not images)
    return opened, model, out


def _short(model: str) -> str:
    """What a file is called after a model: the last part of its name."""
    path = Path(model)
    return path.absolute().name if path.is_dir() else path.stem if path.is_file() else model.rpartition("/")[2]


def _check(args: Submit) -> int:
    """Check anybody's archive, and score it where that is asked; how many faults there are."""
    from ditr.datasets.table import by_name, submission_format
    from ditr.io.zip_archive import open_archive

    assert args.check is not None
    given = None if args.benchmark is None else by_name(args.benchmark)
    if given is not None:
        submission_format(given)  # which refuses a benchmark without before anything is read
    with open_archive(args.check) as archive:
        benchmark = given or _guessed(archive, args.check)
    points = None if args.data is None else _points(benchmark, args.data, args.split)
    found = _looked_at(args.check, benchmark, points, args.split)
    if args.score and args.data is not None:
        _score(args.check, benchmark, args.data, args.split)
    return found


def _looked_at(path: Path, benchmark: Benchmark, points: Mapping[str, int] | None, split: str) -> int:
    """Say what is wrong with an archive; how many faults there are."""
    from ditr.datasets.submission import by_kind, faults
    from ditr.datasets.table import submission_format
    from ditr.errors import Grade
    from ditr.io.zip_archive import open_archive
    from ditr.runtime import progress_bar

    with progress_bar(f"check {path.name}") as report, open_archive(path, report) as archive:
        kinds = by_kind(faults(archive, submission_format(benchmark), points, split), _SHOWN)
        members = len(archive.names)
    _say(kinds)
    counted = " (without --data the number of labels in each file is not checked)" if points is None else ""
    print(f"{members} members checked{counted}")
    counts = {grade: sum(kind.count for kind in kinds if kind.grade is grade) for grade in Grade}
    found, warned = counts[Grade.REFUSED], counts[Grade.WARNED]
    told = [
        f"{number} {what}{'s' * (number > 1)}" for number, what in ((found, "fault"), (warned, "warning")) if number
    ]
    if warned and not found:
        told.append("the server accepts it, but counts these points as wrong")
    print(", ".join(told) or f"no faults found for a submission to {benchmark.name}")
    return found


def _score(path: Path, benchmark: Benchmark, data: Path, split: str) -> None:
    from ditr.cli.figures import say_split
    from ditr.cli.tested import open_split
    from ditr.data.preparation import Origin
    from ditr.datasets.table import submission_format
    from ditr.evaluation.counts import Counts
    from ditr.evaluation.submit import score
    from ditr.io.zip_archive import open_archive
    from ditr.runtime import progress_bar

    source = open_split(benchmark.name, data, split, images=False).source
    from_sensor = benchmark.without_images.origin is Origin.SENSOR
    counts = Counts.empty(benchmark.class_count, distance=from_sensor)
    with open_archive(path) as archive, progress_bar("score") as report:
        score(archive, submission_format(benchmark), source, split, counts, report)
    say_split(counts.figures(benchmark.classes, benchmark.counting), benchmark.name)


def _guessed(archive: Archive, path: Path) -> Benchmark:
    from ditr.datasets.submission import by_kind
    from ditr.datasets.table import BENCHMARKS, meant_for
    from ditr.errors import InputError

    benchmark = meant_for(archive)
    if benchmark is None:
        _say(by_kind(archive.faults, _SHOWN))
        known = ", ".join(one.name for one in BENCHMARKS if one.submission is not None)
        raise InputError(path, "its content does not say which benchmark it is for", f"Add --benchmark: {known}")
    print(f"a submission to {benchmark.name}, judging by its content (--benchmark names another)")
    return benchmark


def _points(benchmark: Benchmark, data: Path, split: str) -> dict[str, int]:
    """How many points each scene has."""
    from ditr.cli.tested import open_split
    from ditr.datasets.submission import count_points
    from ditr.runtime import progress_bar

    source = open_split(benchmark.name, data, split, images=False).source
    with progress_bar(f"count points of {benchmark.name}") as report:
        return count_points(source, report)


def _say(kinds: Sequence[Kind]) -> None:
    """Print the first faults of each kind."""
    from ditr.errors import Grade

    for kind in kinds:
        print(f"{'warning: ' * (kind.grade is Grade.WARNED)}{kind.name}: {kind.count}")
        for fault in kind.some:
            print(f"  {f'{fault.member}: ' if fault.member else ''}{fault.what}. {fault.remedy}.")
        if kind.count > len(kind.some):
            print(f"  and {kind.count - len(kind.some)} more")

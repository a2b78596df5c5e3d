"""``ditr submit``: is this what the server of a benchmark takes?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ditr.datasets.benchmark import Benchmark
    from ditr.datasets.submission import Archive, Fault

__all__ = ["Submit", "run"]

_SHOWN = 5
"""Faults of a kind that are printed."""


@dataclass(frozen=True)
class Submit:
    """Check an archive for the server of a benchmark, whoever made it: names, counts, types, values, folders, meta
    data.

    $ ditr submit --check FILE.zip

    Names everything for which the server rejects it or counts points as wrong. Exits with 1 where there is something.
    """

    check: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The archive."""
    benchmark: str | None = None
    """That it is for; by default what its content shows."""
    data: Path | None = None
    """Folder of the prepared dataset. With it the number of points of each scene is checked too."""
    split: str = "test"
    """That the archive is of; val for a local check."""


def run(args: Submit) -> None:
    """Check; exits with 1 where there are faults."""
    import sys

    from ditr.datasets.submission import faults
    from ditr.datasets.table import by_name, submission_format
    from ditr.io.zip_archive import open_archive

    given = None if args.benchmark is None else by_name(args.benchmark)
    if given is not None:
        submission_format(given)  # which refuses a benchmark without before anything is read
    with open_archive(args.check) as archive:
        benchmark = given or _guessed(archive, args.check)
        points = None if args.data is None else _points(benchmark, args.data, args.split)
        found = _say(faults(archive, submission_format(benchmark), points, args.split))
        counted = " (without --data: not whether each file fits its scene's points)" if points is None else ""
        print(f"{len(archive.names)} members looked at{counted}")
    print(f"{found} faults" if found else f"nothing speaks against it as a submission to {benchmark.name}")
    if found:
        sys.exit(1)


def _guessed(archive: Archive, path: Path) -> Benchmark:
    from ditr.datasets.table import BENCHMARKS, meant_for
    from ditr.errors import InputError

    benchmark = meant_for(archive)
    if benchmark is None:
        _say(archive.faults)
        known = ", ".join(one.name for one in BENCHMARKS if one.submission is not None)
        raise InputError(path, "its content does not show which benchmark it is for", f"Add --benchmark: {known}")
    print(f"a submission to {benchmark.name}, by its content (--benchmark names another one)")
    return benchmark


def _points(benchmark: Benchmark, data: Path, split: str) -> dict[str, int]:
    """How many points each scene has."""
    from ditr.datasets.submission import count_points
    from ditr.datasets.table import open_dataset
    from ditr.recipes.prepared import dataset_root
    from ditr.runtime import progress_bar

    source = open_dataset(benchmark.name, dataset_root(benchmark.name, data), split, images=False)
    with progress_bar(f"count points of {benchmark.name}") as report:
        return count_points(source, report)


def _say(found: Iterable[Fault]) -> int:
    """Print the first faults of each kind; how many there are."""
    kinds: dict[str, list[Fault]] = {}
    counts: dict[str, int] = {}
    for fault in found:
        counts[fault.kind] = counts.get(fault.kind, 0) + 1
        some = kinds.setdefault(fault.kind, [])
        if len(some) < _SHOWN:
            some.append(fault)
    for kind, some in kinds.items():
        print(f"{kind}: {counts[kind]}")
        for fault in some:
            print(f"  {f'{fault.member}: ' if fault.member else ''}{fault.what}. {fault.remedy}.")
        if counts[kind] > len(some):
            print(f"  and {counts[kind] - len(some)} more")
    return sum(counts.values())

"""``ditr reproduce``: the paper's tables in miniature, with seeds and verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

__all__ = ["Reproduce", "run"]

Name = Literal[
    "table1",
    "table2",
    "table3",
    "table4",
    "table5",
    "table6",
    "table7",
    "table8",
    "table9",
    "missing",
    "mapping",
    "all",
]


@dataclass(frozen=True)
class Reproduce:
    """Repeat a table of the paper on procedural worlds with small networks, and say which of its orderings hold.

    What tables share is done once, and a run that was stopped goes on where it was.
    """

    table: Annotated[Name, tyro.conf.Positional]
    """Which one; missing and mapping are studies beside them: views dropped in training, and section 3.1's ways to give
    points their features."""
    out: Path = Path("results")
    """Folder of the reports; rows that it holds are not run again."""
    work: Path = Path("reproduce")
    """Folder of worlds, features, trained networks and rows; needed only until the reports are there."""
    seeds: int = 3
    """How many, from 1; each has its own worlds."""
    quick: bool = False
    """Tiny worlds and a few steps with one seed, to see that everything works."""
    workers: int | None = None
    """Processes, of one thread each; by default one per processor, at most 4."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks compute; auto takes a GPU if there is one, which all processes share."""
    only_report: bool = False
    """Run nothing; write the reports of the rows that there are."""
    encoder: tuple[Path, ...] = ()
    """More image encoders for table6, as local folders."""


def run(args: Reproduce) -> None:
    """Run the tables and write their reports."""
    from dataclasses import replace

    from ditr.cli.common import folder_for
    from ditr.errors import InputError
    from ditr.runtime import choose_device

    if args.seeds < 1:
        raise InputError("seeds", f"it is {args.seeds}", "Give 1 or more")
    for folder in args.encoder:
        if not folder.is_dir():
            raise InputError(folder, "there is no such folder", "Give the folder of an image encoder's weights")
    from ditr.studies.reproduce.catalogue import TABLES
    from ditr.studies.reproduce.run import first_seeds, reproduce
    from ditr.studies.reproduce.settings import FULL, QUICK

    scale = replace(QUICK if args.quick else FULL, local=tuple(str(folder.resolve()) for folder in args.encoder))
    names = list(TABLES) if args.table == "all" else [args.table]
    seeds = first_seeds(1 if args.quick else args.seeds)
    tables = [TABLES[name](scale) for name in names]
    reproduce(
        tables,
        scale,
        folder_for(args.out),
        args.work if args.only_report else folder_for(args.work),
        seeds=seeds,
        workers=args.workers,
        device=choose_device(args.device),
        only_report=args.only_report,
    )

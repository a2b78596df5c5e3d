"""``ditr reproduce``: the paper's tables in miniature, with seeds and verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ditr.cli.options import UNSET

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
    """Repeat a table of the paper on procedural worlds with small networks, and report which of its orderings hold.

    $ ditr reproduce table1
    $ ditr reproduce all --seeds 5

    Work that several tables share is done once, and an interrupted run resumes where it stopped.
    """

    table: Annotated[Name, tyro.conf.Positional]
    """Table to repeat. missing and mapping are two further studies: dropping views in training, and section 3.1's ways
    to assign features to points."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("results")
    """Folder for the reports; rows that it already holds are not run again."""
    work: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("reproduce")
    """Folder for worlds, features, trained networks and rows; needed only until the reports are written."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 3
    """Number of seeds, counted from 1; each has its own worlds."""
    quick: Annotated[bool, UNSET] = False
    """Use tiny worlds and a few steps with one seed, to see that everything works."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """Number of processes with one thread each; the default is one per processor, at most 4."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes a GPU if there is one, which all processes share."""
    only_report: Annotated[bool, UNSET] = False
    """Run nothing; write the reports from existing rows."""
    encoder: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FOLDER..."), UNSET] = ()
    """Local folders of further image encoders for table6."""


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

"""``ditr streets``: make the built-in outdoor world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ditr.cli.options import UNSET

__all__ = ["Streets", "run"]


@dataclass(frozen=True)
class Streets:
    """Make captures of procedural streets with LiDAR scans and photographs, for the outdoor profile.

    $ ditr streets STREETS --count 8 --style kitti
    """

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Folder to write scan_0000, scan_0001, ... into."""
    style: Literal["nuscenes", "waymo", "kitti"] = "nuscenes"
    """Dataset whose LiDAR, cameras and classes are imitated."""
    count: Annotated[int, tyro.conf.arg(metavar="N")] = 40
    """Number of scans, each of a different street."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Random seed; another seed gives other streets. Use different ones for training and testing."""
    scale: Annotated[float, tyro.conf.arg(metavar="FACTOR")] = 1.0
    """Scale factor for the width and height of photographs and for the LiDAR's steps per turn."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """Number of processes; the default is one per processor."""


def run(args: Streets) -> list[Path]:
    """Write the scans and return their folders. Scans that are complete are kept."""
    from ditr.errors import counted
    from ditr.worlds.streets import StreetsConfig, write_streets

    config = StreetsConfig(style=args.style, count=args.count, seed=args.seed, scale=args.scale)
    scans = write_streets(args.out, config, workers=args.workers, progress=True)
    print(f"{counted(len(scans), 'scan')} in {args.out}")
    if scans:
        print(f"train on them with: ditr train small RUN --data {args.out}")
        print(f"look at one with: ditr view {scans[0]}")
    return scans

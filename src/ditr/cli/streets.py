"""``ditr streets``: make the built-in outdoor world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

__all__ = ["Streets", "run"]


@dataclass(frozen=True)
class Streets:
    """Make procedural streets with LiDAR scans and photographs, as captures for the outdoor profile."""

    out: Annotated[Path, tyro.conf.Positional]
    """Folder to write to; gets scan_0000, scan_0001, ..."""
    style: Literal["nuscenes", "waymo", "kitti"] = "nuscenes"
    """Whose LiDAR, cameras and classes."""
    count: int = 40
    """Scans, each in a street of its own."""
    seed: int = 0
    """Another seed, other streets: take one for training and one for testing."""
    scale: float = 1.0
    """Factor of the photographs' sides and of the LiDAR's steps per turn."""
    workers: int | None = None
    """Processes; by default one per processor."""


def run(args: Streets) -> list[Path]:
    """Write the scans and return their folders. Scans that are complete are kept."""
    from ditr.worlds.streets import StreetsConfig, write_streets

    config = StreetsConfig(style=args.style, count=args.count, seed=args.seed, scale=args.scale)
    return write_streets(args.out, config, workers=args.workers, progress=True)

"""``ditr rooms``: make the built-in indoor world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

__all__ = ["Rooms", "run"]


@dataclass(frozen=True)
class Rooms:
    """Make procedural rooms with photographs, depth maps and labelled point clouds, as captures."""

    out: Annotated[Path, tyro.conf.Positional]
    """Folder to write to; gets train/room_0000, ... and test/room_0000, ..."""
    train: int = 40
    """Training rooms."""
    test: int = 20
    """Test rooms: new textures, and some families of furniture and textures that no training room shows."""
    views: int = 8
    """Photographs per room."""
    width: int = 308
    """Width of the photographs in pixels."""
    height: int = 224
    """Height of the photographs in pixels."""
    spacing: float = 0.03
    """Mean distance of neighbouring points in metres."""
    seed: int = 0
    """Another seed, other rooms."""
    new_share: float = 0.3
    """Probability that an object of a test room is of a new family."""
    workers: int | None = None
    """Processes; by default one per processor."""


def run(args: Rooms) -> list[Path]:
    """Write the rooms and return their folders. Rooms that are complete are kept."""
    from ditr.worlds.rooms import RoomsConfig, write_rooms

    config = RoomsConfig(**{name: value for name, value in vars(args).items() if name not in ("out", "workers")})
    return write_rooms(args.out, config, workers=args.workers, progress=True)

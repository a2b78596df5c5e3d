"""``ditr rooms``: make the built-in indoor world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ditr.cli.options import UNSET

__all__ = ["Rooms", "run"]


@dataclass(frozen=True)
class Rooms:
    """Make captures of procedural rooms with photographs, depth maps and labelled point clouds.

    $ ditr rooms ROOMS --train 6 --test 1
    """

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Folder to write train/room_0000, ... and test/room_0000, ... into."""
    train: Annotated[int, tyro.conf.arg(metavar="N")] = 40
    """Number of training rooms."""
    test: Annotated[int, tyro.conf.arg(metavar="N")] = 20
    """Number of test rooms. They have new textures, and some families of furniture that no training room has."""
    views: Annotated[int, tyro.conf.arg(metavar="N")] = 8
    """Number of photographs per room."""
    width: Annotated[int, tyro.conf.arg(metavar="PIXELS")] = 308
    """Width of the photographs in pixels."""
    height: Annotated[int, tyro.conf.arg(metavar="PIXELS")] = 224
    """Height of the photographs in pixels."""
    spacing: Annotated[float, tyro.conf.arg(metavar="METRES")] = 0.03
    """Mean distance between neighbouring points in metres."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Random seed; another seed gives other rooms."""
    new_share: Annotated[float, tyro.conf.arg(metavar="P")] = 0.3
    """Probability that an object in a test room belongs to a new family."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """Number of processes; the default is one per processor."""


def run(args: Rooms) -> list[Path]:
    """Write the rooms and return their folders. Rooms that are complete are kept."""
    from ditr.worlds.rooms import RoomsConfig, write_rooms

    config = RoomsConfig(**{name: value for name, value in vars(args).items() if name not in ("out", "workers")})
    rooms = write_rooms(args.out, config, workers=args.workers, progress=True)
    _say(args, rooms[0] if rooms else None)
    return rooms


def _say(args: Rooms, first: Path | None) -> None:
    """Where the rooms are, and what can be done with them."""
    from ditr.errors import counted

    print(f"{counted(args.train, 'room')} to train on and {counted(args.test, 'room')} to test on are in {args.out}")
    if args.train:
        print(f"train on them with: ditr train small RUN --data {args.out / 'train'}")
    if first is not None:
        print(f"look at one with: ditr view {first}")

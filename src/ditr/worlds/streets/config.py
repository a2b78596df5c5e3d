"""What a set of streets is made from, and what things stand in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from ditr.errors import InputError

__all__ = ["Kind", "StreetsConfig", "StyleName"]

StyleName = Literal["nuscenes", "waymo", "kitti"]


class Kind(IntEnum):
    """What a surface is of, finer than any style's classes; each style says which of its classes a kind is."""

    ROAD = 0
    MARKING = 1
    PARKING = 2
    KERB = 3
    SIDEWALK = 4
    TERRAIN = 5
    OTHER_GROUND = 6
    BUILDING = 7
    FENCE = 8
    BOARD = 9
    VEGETATION = 10
    TRUNK = 11
    POLE = 12
    SIGN = 13
    LIGHT = 14
    CAR = 15
    TRUCK = 16
    BUS = 17
    TRAILER = 18
    DIGGER = 19
    BICYCLE = 20
    MOTORCYCLE = 21
    PEDESTRIAN = 22
    BICYCLIST = 23
    MOTORCYCLIST = 24
    BARRIER = 25
    CONE = 26
    CLUTTER = 27


@dataclass(frozen=True)
class StreetsConfig:
    """A set of scans. Equal configurations give equal points and labels.

    Attributes:
        style: whose LiDAR, cameras, classes and kind of place.
        count: number of scans, each in a street of its own.
        seed: every random decision of every scan follows from it; training and test scans take two seeds.
        scale: factor of the photographs' sides and of the LiDAR's steps per turn; 1 is small enough for experiments
            on a CPU (photographs 320 wide, about 20,000 points), 5 is about the size of the datasets' photographs.

    Raises:
        InputError: an unknown style, or a number outside its range.
    """

    style: StyleName = "nuscenes"
    count: int = 40
    seed: int = 0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.style not in ("nuscenes", "waymo", "kitti"):
            raise InputError("streets", f"there is no style {self.style!r}", "Choose nuscenes, waymo or kitti")
        if min(self.count, self.seed) < 0:
            raise InputError("streets", f"{self.count} scans, seed {self.seed}", "Neither may be negative")
        if not (math.isfinite(self.scale) and 0.1 <= self.scale <= 8):
            raise InputError("streets", f"a scale of {self.scale}", "Choose 0.1 to 8")

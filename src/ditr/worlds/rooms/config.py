"""What a set of rooms is made from: sizes, counts, the seed, the style and its classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from ditr.errors import InputError

__all__ = ["CLASS_NAMES", "FLAT", "Label", "RoomsConfig", "RoomsStyle", "Split"]

Split = Literal["train", "test"]


class Label(IntEnum):
    """The classes of the built-in rooms; a point's label is the number."""

    WALL = 0
    FLOOR = 1
    CEILING = 2
    DOOR = 3
    WINDOW = 4
    CURTAIN = 5
    WHITEBOARD = 6
    PICTURE = 7
    PINBOARD = 8
    CABINET = 9
    BOOKSHELF = 10
    TABLE = 11
    CHAIR = 12
    SOFA = 13
    BED = 14
    MONITOR = 15
    RADIATOR = 16
    PLANT = 17
    LAMP = 18
    RUG = 19


CLASS_NAMES = tuple(label.name.lower() for label in Label)


@dataclass(frozen=True)
class RoomsStyle:
    """The kind of rooms: what they are called, their classes and the ranges of their sizes in metres."""

    name: str
    class_names: tuple[str, ...]
    length: tuple[float, float]
    width: tuple[float, float]
    height: tuple[float, float]


FLAT = RoomsStyle("flat", CLASS_NAMES, length=(2.9, 3.6), width=(2.5, 3.1), height=(2.25, 2.45))
"""Small offices, living rooms and bedrooms."""


@dataclass(frozen=True)
class RoomsConfig:
    """A set of rooms. Equal configurations give equal geometry and labels on every machine.

    Attributes:
        train, test: number of rooms.
        views: posed photographs per room.
        width, height: size of the photographs and depth maps in pixels.
        spacing: mean distance of neighbouring points in metres.
        seed: every random decision of every room follows from it.
        new_share: probability that an object of a test room comes from a furniture or texture family that no training
            room shows; the rest are new instances of known families.
        style: the kind of rooms.

    Raises:
        InputError: a count, size or share outside its range.
    """

    train: int = 40
    test: int = 20
    views: int = 8
    width: int = 308
    height: int = 224
    spacing: float = 0.03
    seed: int = 0
    new_share: float = 0.3
    style: RoomsStyle = FLAT

    def __post_init__(self) -> None:
        if min(self.train, self.test, self.seed) < 0:
            raise InputError("rooms", f"{self.train} + {self.test} rooms, seed {self.seed}", "None may be negative")
        if not 1 <= self.views <= 64:
            raise InputError("rooms", f"{self.views} views per room", "Choose 1 to 64")
        if not (16 <= self.width <= 4096 and 16 <= self.height <= 4096):
            raise InputError("rooms", f"views of {self.width}x{self.height} pixels", "Choose sides of 16 to 4096")
        if not (math.isfinite(self.spacing) and 0.005 <= self.spacing <= 0.5):
            raise InputError("rooms", f"a point spacing of {self.spacing} m", "Choose 0.005 to 0.5 metres")
        if not 0.0 <= self.new_share <= 1.0:
            raise InputError("rooms", f"a share of new families of {self.new_share}", "Choose 0 to 1")

    def count(self, split: Split) -> int:
        """Number of rooms in a split."""
        return self.train if split == "train" else self.test

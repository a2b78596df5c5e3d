"""What a table of the paper is made of: worlds, trainings, trials, cells and what the paper says about their order.

Everything is plain data. A training or a trial that two tables share is equal in both, and so is done once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from ditr.data.preparation import ViewOrder
from ditr.io.settings_json import to_json_values
from ditr.training.recipe import Recipe
from ditr.worlds.rooms import CLASS_NAMES, FLAT, RoomsConfig, RoomsStyle
from ditr.worlds.streets import StreetsConfig, StyleName

__all__ = [
    "ALL_VIEWS",
    "COARSE",
    "Cell",
    "Figure",
    "Missing",
    "Ordering",
    "PaperTable",
    "Place",
    "RoomsWorld",
    "Stage",
    "StreetsWorld",
    "Trial",
    "Views",
    "World",
    "digest",
]

COARSE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("wall", ("wall",)),
    ("floor", ("floor", "rug")),
    ("ceiling", ("ceiling",)),
    ("opening", ("door", "window", "curtain")),
    ("board", ("whiteboard", "picture", "pinboard")),
    ("storage", ("cabinet", "bookshelf")),
    ("table", ("table",)),
    ("seat", ("chair", "sofa")),
    ("bed", ("bed",)),
    ("other", ("monitor", "radiator", "plant", "lamp")),
)
"""The coarse class list of rooms and the fine classes that each class takes in: ScanNet beside ScanNet200."""


@dataclass(frozen=True)
class RoomsWorld:
    """Procedural rooms, another set for every seed.

    Attributes:
        train, test: number of rooms.
        views: photographs of a room; the camera turns once, so their order is that of a video.
        style: sizes of the rooms.
        coarse: whether the labels are those of :data:`COARSE`; points and photographs stay the same.
    """

    train: int
    test: int
    views: int = 8
    style: RoomsStyle = FLAT
    coarse: bool = False
    kind: Literal["rooms"] = "rooms"

    def config(self, seed: int) -> RoomsConfig:
        """Of the set for a seed."""
        return RoomsConfig(train=self.train, test=self.test, views=self.views, style=self.style, seed=seed)

    @property
    def base(self) -> RoomsWorld:
        """The same rooms with their own labels."""
        return replace(self, coarse=False)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in COARSE) if self.coarse else CLASS_NAMES

    @property
    def photographs(self) -> int:
        return (self.train + self.test) * self.views


@dataclass(frozen=True)
class StreetsWorld:
    """Procedural LiDAR scans with photographs, other ones for every seed."""

    style: StyleName
    train: int
    test: int
    kind: Literal["streets"] = "streets"

    def config(self, seed: int, split: Literal["train", "test"]) -> StreetsConfig:
        """Of a split for a seed; training and test scans have two seeds of their own."""
        count = self.train if split == "train" else self.test
        return StreetsConfig(style=self.style, count=count, seed=2 * seed + (split == "test"))

    @property
    def base(self) -> StreetsWorld:
        return self

    @property
    def photographs(self) -> int:
        return (self.train + self.test) * {"nuscenes": 6, "waymo": 5, "kitti": 1}[self.style]


World = RoomsWorld | StreetsWorld


@dataclass(frozen=True)
class Stage:
    """One training.

    Attributes:
        name: for people; trainings are told apart by all the rest.
        recipe: its seed and start are set when it runs.
        worlds: of the recipe's datasets, in their order.
        start: the training whose backbone it starts from.
        share: part of the training scenes that it sees; of two shares, the smaller is part of the larger.
    """

    name: str = field(compare=False)
    recipe: Recipe
    worlds: tuple[World, ...]
    start: Stage | None = None
    share: float = 1.0


@dataclass(frozen=True)
class Views:
    """Which views of a scene a trial has: so many in an order, or named cameras; all by default."""

    count: int | None = None
    order: ViewOrder = ViewOrder.EQUIDISTANT
    cameras: tuple[str, ...] | None = None


ALL_VIEWS = Views()


@dataclass(frozen=True)
class Trial:
    """A trained network on the test scenes of a world.

    Attributes:
        stage: the training.
        world: whose test scenes.
        views: that it gets; points that these show are the visible ones.
        swap: whether every scene gets the photographs of the next one, which is a control.
    """

    stage: Stage
    world: World
    views: Views = ALL_VIEWS
    swap: bool = False


class Figure(Enum):
    """What a cell shows of a trial, all in percent."""

    ALL = "mIoU"
    VISIBLE = "mIoU of visible points"
    INVISIBLE = "mIoU of invisible points"
    SHARE = "share of visible points"


Place = tuple[str, str]
"""Row and column."""


@dataclass(frozen=True)
class Cell:
    """One number of a table, ours and, where there is one, the paper's."""

    row: str
    column: str
    trial: Trial
    paper: float | None = None
    figure: Figure = Figure.ALL

    @property
    def place(self) -> Place:
        return self.row, self.column


@dataclass(frozen=True)
class Ordering:
    """What is expected of two cells: ``better`` - ``worse``, the gain, is above ``at_least``.

    With ``at_least`` below 0 it says that ``better`` loses at most so much. With ``beyond``, two cells too, the gain is
    to be above theirs by ``at_least``.
    """

    better: Place
    worse: Place
    at_least: float = 0.0
    beyond: tuple[Place, Place] | None = None

    @property
    def places(self) -> tuple[Place, ...]:
        return (self.better, self.worse, *(self.beyond or ()))


@dataclass(frozen=True)
class Missing:
    """A row of the paper that is not reported, why, and the paper's numbers by column."""

    row: str
    reason: str
    paper: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        name: of the command.
        title: what the paper calls it.
        text: what is compared, and what is the same.
        cells: those that are run, row by row.
        orderings: what the paper says about them.
        missing: rows that are not reported.
        picture: baseline and contender whose labels of one test scene are shown.

    Raises:
        ValueError: a cell twice, or an ordering or picture of cells that the table lacks.
    """

    name: str
    title: str
    text: str
    cells: tuple[Cell, ...]
    orderings: tuple[Ordering, ...] = ()
    missing: tuple[Missing, ...] = ()
    picture: tuple[Place, Place] | None = None

    def __post_init__(self) -> None:
        places = [cell.place for cell in self.cells]
        if len(set(places)) < len(places):
            raise ValueError(f"{self.name} has a cell twice")
        named = [place for ordering in self.orderings for place in ordering.places]
        absent = {*named, *(self.picture or ())} - set(places)
        if absent:
            raise ValueError(f"{self.name} lacks {sorted(absent)}")

    def cell(self, place: Place) -> Cell:
        return next(cell for cell in self.cells if cell.place == place)

    @property
    def rows(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.column for cell in self.cells))

    @property
    def trials(self) -> tuple[Trial, ...]:
        return tuple(dict.fromkeys(cell.trial for cell in self.cells))

    def keys(self, seeds: Sequence[int]) -> list[tuple[str, int]]:
        """Of the rows that it is made of: the digest of a trial, and the seed."""
        return [(digest(trial), seed) for trial in self.trials for seed in seeds]


def digest(*parts: Any) -> str:
    """A short name for settings that changes with any of them, but not with what a training is called."""
    return hashlib.sha256(json.dumps(_differing(parts), sort_keys=True).encode()).hexdigest()[:16]


_DEFAULTS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("defaults.json").read_text(encoding="utf-8"))
"""Settings as they usually were when the first rows were measured, by class; they never change.

Rows are known by what differs from these. A default that is changed in the code therefore makes other rows, and a field
that is added makes none, as long as its default means what was done before.
"""


def _differing(value: Any) -> Any:
    """Settings as plain JSON without those that have their usual value."""
    if isinstance(value, tuple):
        return [_differing(item) for item in value]
    if not is_dataclass(value) or isinstance(value, type):
        return to_json_values(value)
    usual = _DEFAULTS.get(type(value).__name__, {})
    result = {}
    for part in fields(value):
        if not part.compare:
            continue
        held = _differing(getattr(value, part.name))
        # The kind tells classes apart, and is never left out.
        if part.name == "kind" or held != usual.get(part.name, _default(part)):
            result[part.name] = held
    return result


def _default(part: Field[Any]) -> Any:
    """What a field has where nobody says otherwise; MISSING, which equals no setting, where there is no such value."""
    if part.default_factory is not MISSING:
        return _differing(part.default_factory())
    return MISSING if part.default is MISSING else _differing(part.default)

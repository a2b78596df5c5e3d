"""What is counted and what is measured as an area, and the thresholds by which points become things."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ditr.captures.las_classes import plain_name
from ditr.errors import InputError, few, nearest

__all__ = ["EVERY", "ClassRule", "ObjectRules", "plural"]

EVERY = ""
"""In place of a class's name: all classes that have no value of their own."""
_AREAS = frozenset(
    """wall|floor|ceiling|roof|facade|building|structure|other structure|otherstructure|manmade|clutter|other|void|
    ground|other ground|other flat|flat|terrain|soil|dirt|mud|sand|gravel|grass|lawn|field|asphalt|concrete|rubble|
    road|roads|road surface|street|driveable surface|drivable surface|driveway|parking|sidewalk|pavement|walkable|
    bridge|bridge deck|tunnel|rail|rail track|railway|path|trail|curb|crosswalk|fence|guard rail|
    lane marker|lane line marking|stop line marking|other road marking|road marking|road line|lane marking|
    vegetation|low vegetation|medium vegetation|high vegetation|shrubbery|water|puddle|river|lake|sea|snow|sky|
    noise|low noise|high noise|reflection|smoke|exhaust|spray or rain|unlabelled|unlabeled|unclassified|background
    """.replace("\n", "")
    .replace("    ", "")
    .split("|")
)
"""Plain names of what has no number: of floor there are square metres."""
_IRREGULAR = {"person": "people", "bus": "buses", "shelf": "shelves", "bookshelf": "bookshelves", "leaf": "leaves"}
_IRREGULAR |= {"furniture": "pieces of furniture", "otherfurniture": "other pieces of furniture", "glass": "glasses"}


@dataclass(frozen=True)
class ClassRule:
    """The thresholds of one class.

    Attributes:
        gap: metres; points that are no farther apart are of one thing. None to choose it by the points.
        min_points: points that a thing has at least; None for the usual number.
        min_size: metres, the longest side that a thing has at least; None to choose it by the class's things.
    """

    gap: float | None = None
    min_points: int | None = None
    min_size: float | None = None


@dataclass(frozen=True)
class ObjectRules:
    """What differs from the defaults, by class name; :data:`EVERY` stands for all classes without a value of their own.

    Attributes:
        gap: metres.
        min_points: numbers of points.
        min_size: metres.
        counted: names of classes that are counted, whatever they are called.
        by_area: names of classes of which the area is told in place of a number.

    Raises:
        InputError: a gap or size that is not a length, a number of points below 1, or a class that is to be both.
    """

    gap: Mapping[str, float] = field(default_factory=dict)
    min_points: Mapping[str, int] = field(default_factory=dict)
    min_size: Mapping[str, float] = field(default_factory=dict)
    counted: tuple[str, ...] = ()
    by_area: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, gap in self.gap.items():
            if not (np.isfinite(gap) and gap > 0):
                raise InputError("--object-gap", f"{_of(name)}{gap} is not a length", "Give metres, such as 0.1")
        for name, size in self.min_size.items():
            if not (np.isfinite(size) and size >= 0):
                raise InputError(
                    "--object-min-size", f"{_of(name)}{size} is not a length", "Give metres, or 0 for no limit"
                )
        for name, number in self.min_points.items():
            if number < 1:
                raise InputError("--object-min-points", f"{_of(name)}it is {number}", "Give 1 or more")
        if both := sorted(set(map(plain_name, self.counted)) & set(map(plain_name, self.by_area))):
            fault = f"{few(both, 3)} is also in --object-area"
            raise InputError("--object-count", fault, "Name each class in only one of the two")

    def require_known(self, class_names: Sequence[str]) -> None:
        """Refuse names of classes that there are not.

        Raises:
            InputError: there is one.
        """
        options: dict[str, Collection[str]] = {
            "--object-gap": self.gap,
            "--object-min-points": self.min_points,
            "--object-min-size": self.min_size,
            "--object-count": self.counted,
            "--object-area": self.by_area,
        }
        known = {plain_name(name): name for name in class_names}
        for option, names in options.items():
            for name in names:
                if name != EVERY and plain_name(name) not in known:
                    near = nearest(plain_name(name), known)
                    hint = f"Did you mean {known[near]!r}?" if near else f"Name one of {few(class_names, 8)}"
                    raise InputError(option, f"there is no class {name!r}", hint)

    def is_counted(self, name: str) -> bool:
        """Whether things of a class are counted; by default all but walls, floors, roads and their like."""
        plain = plain_name(name)
        if plain in map(plain_name, self.counted):
            return True
        return plain not in _AREAS and plain not in map(plain_name, self.by_area)

    def of(self, name: str) -> ClassRule:
        """The thresholds of a class."""
        plain = plain_name(name)
        found = (_value(table, plain) for table in (self.gap, self.min_points, self.min_size))
        gap, points, size = found
        return ClassRule(gap, None if points is None else int(points), size)


def _value(table: Mapping[str, float], plain: str) -> float | None:
    own = {plain_name(name): value for name, value in table.items()}
    return own.get(plain, own.get(EVERY))


def _of(name: str) -> str:
    return f"{name}: " if name else ""


def plural(name: str, number: int) -> str:
    """A number of things as a reader says it: 1 chair, 37 chairs, 2 people."""
    if number == 1:
        return f"1 {name}"
    first, space, last = name.rpartition(" ") if " " in name else name.rpartition("_")
    return f"{number} {first}{space}{_plural(last)}"


def _plural(word: str) -> str:
    small = word.lower()
    if small in _IRREGULAR:
        return _IRREGULAR[small]
    if small.endswith(("ss", "x", "z", "ch", "sh")):
        return f"{word}es"
    if small.endswith("s") or not small[-1:].isascii() or not small[-1:].isalpha():
        return word  # as steps and signs
    if small.endswith("y") and small[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"

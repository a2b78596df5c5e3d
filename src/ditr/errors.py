"""The one kind of error that bad input raises, and what error texts have in common."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = ["Finding", "Grade", "InputError", "causes", "counted", "few", "nearest"]


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that ``name`` is most like; None where none is as like as ``cutoff`` (0 to 1) asks."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def counted(number: int, noun: str) -> str:
    """A number of things in words: 1 scene, 2 scenes. ``noun`` is the singular of a word whose plural ends in -s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def few(names: Iterable[str], most: int) -> str:
    """The first ``most`` names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def causes(error: BaseException) -> list[BaseException]:
    """An error and all that led to it, hidden ones (``from None``) too, the last first."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain


class InputError(ValueError):
    """Input that cannot be used; its text names the place, the fault and the remedy.

    ``where`` is the file (or the argument, for input that came from Python), ``fault`` what is wrong with it and
    ``remedy`` what the user can do about it. Neither needs a full stop; a remedy that asks gets none. Where there are
    several ways out, or several things to bring, ``ways`` has a line for each.
    """

    def __init__(self, where: str | os.PathLike[str], fault: str, remedy: str, ways: Iterable[str] = ()) -> None:
        self.where = str(where)
        self.fault = fault.rstrip(".")
        self.remedy = remedy.rstrip(".")
        self.ways = tuple(ways)
        stop = ":" if self.ways else "" if self.remedy.endswith("?") else "."
        first = f"{self.where}: {self.fault}. {self.remedy}{stop}"
        super().__init__("\n  ".join([first, *self.ways]))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str, tuple[str, ...]]]:
        return InputError, (self.where, self.fault, self.remedy, self.ways)

    def told(self) -> str:
        """The text for a terminal: one line, and one more for each of the ``ways``."""
        first = str(self)[: -sum(len(f"\n  {way}") for way in self.ways) or None]
        return "\n  ".join(" ".join(line.split()) for line in (first, *self.ways))


class Grade(Enum):
    """How much a finding matters; the value is its name in files."""

    REFUSED = "refused"
    """Work must not go on as if it were sound."""
    WARNED = "warned"
    """Work goes on, and nobody may miss it."""
    NOTED = "noted"
    """Worth knowing: what was read under another name, or taken for granted."""


@dataclass(frozen=True)
class Finding:
    """Something about an input that whoever relies on the results should know.

    Attributes:
        grade: how much it matters.
        about: the subject, one word: "normals", "scale", "cameras", "up", ...
        text: what was found, a sentence without its full stop.
        remedy: what to do about it, likewise; empty where nothing has to be done.
        evidence: the figures that it rests on, plain values.
        is_broken: whether a refused input cannot be used at all. One that is implausible alone can be forced.
    """

    grade: Grade
    about: str
    text: str
    remedy: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    is_broken: bool = False

    def __str__(self) -> str:
        return f"{self.about}: {self.text}. {self.remedy}." if self.remedy else f"{self.about}: {self.text}."

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``summary.json``."""
        found = {"grade": self.grade.value, "about": self.about, "text": self.text}
        return found | ({"remedy": self.remedy} if self.remedy else {}) | dict(self.evidence)

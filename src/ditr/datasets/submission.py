"""What the server of a benchmark takes, and why it rejects: one format per benchmark, one check for all.

A dataset's own file gives a :class:`SubmissionFormat`. What all servers have in common, and what an archive can do to
whoever opens it, is in :mod:`ditr.io.zip_archive`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ditr.errors import Grade
from ditr.io.zip_archive import Archive, Fault
from ditr.scene import SceneSource

__all__ = ["Archive", "Fault", "Kind", "SubmissionFormat", "by_kind", "count_points", "faults"]


class SubmissionFormat(Protocol):
    """What a server takes. Splits are called as the dataset's reader calls them: test, or val for a local check."""

    @property
    def scenes(self) -> Mapping[str, int]:
        """How many scenes each split has; "test" is the one whose labels the server keeps."""

    @property
    def by_hand(self) -> Sequence[str]:
        """What is left to whoever submits: the address, an account, limits; a sentence each."""

    def resembles(self, archive: Archive) -> bool:
        """Whether an archive is clearly meant for this server and no other, though there may be faults in it, such as a
        folder around everything. Looks at names, and into one member at most."""

    def member(self, scene: str, split: str) -> str:
        """Name, in the archive, of the file of a scene that the dataset calls ``scene``."""

    def content(self, label: NDArray[np.int32]) -> bytes:
        """The file of a scene.

        Args:
            label: (N,) classes, none of them -1.
        """

    def labels(self, member: str, content: bytes) -> NDArray[np.int32] | Fault:
        """(N,) the classes in the file of a scene, as the server understands them: -1 for what it counts as wrong.

        Args:
            member: its name, for the fault.
            content: anybody's.
        """

    def others(self, scenes: Sequence[str], split: str, *, images: bool) -> Mapping[str, bytes]:
        """The other members, before those of the scenes: folders, whose names end with a slash, and meta data.

        Args:
            scenes: the names of all.
            split: that they are of.
            images: whether the model takes photographs.
        """

    def check(self, archive: Archive, points: Mapping[str, int] | None, split: str) -> Iterator[Fault]:
        """Everything for which the server rejects an archive or counts points as wrong; what is wrong
        with any archive is in ``archive.faults`` already, and such members are not among ``archive.names``.

        Args:
            archive: anybody's.
            points: how many each scene of the split has, by name, where the dataset is at hand; None where it is not.
            split: that it is of.
        """


@dataclass(frozen=True)
class Kind:
    """Faults of a kind.

    Attributes:
        name: of the kind.
        grade: of its faults.
        count: how many there are.
        some: the first ones.
    """

    name: str
    grade: Grade
    count: int
    some: tuple[Fault, ...]


def by_kind(found: Iterable[Fault], most: int) -> list[Kind]:
    """Faults by kind, of each the first ``most``; a whole split may have the same one."""
    some: dict[str, list[Fault]] = {}
    counts: dict[str, int] = {}
    for fault in found:
        counts[fault.kind] = counts.get(fault.kind, 0) + 1
        if len(first := some.setdefault(fault.kind, [])) < most:
            first.append(fault)
    return [Kind(name, some[name][0].grade, count, tuple(some[name])) for name, count in counts.items()]


def faults(archive: Archive, form: SubmissionFormat, points: Mapping[str, int] | None, split: str) -> Iterator[Fault]:
    """Everything that is wrong with anybody's archive, which is not unpacked.

    Args:
        archive: opened.
        form: what the server takes.
        points: how many each scene has, by name, where the dataset is at hand.
        split: that it should be of.
    """
    yield from archive.faults
    yield from form.check(archive, points, split)


def count_points(source: SceneSource, progress: Callable[[int, int], None] | None = None) -> dict[str, int]:
    """How many points each scene has, by name.

    Raises:
        InputError: a scene cannot be read.
    """
    counts = {}
    for index, name in enumerate(source.names()):
        counts[name] = len(source.scene(index))
        if progress is not None:
            progress(index + 1, len(source))
    return counts

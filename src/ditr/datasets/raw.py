"""What the official download of a dataset is to this package: pieces that are prepared one by one, and scenes.

A dataset's own file gives a :class:`RawFormat`, whose ``open`` gives a :class:`RawDataset`.
:mod:`ditr.datasets.prepare` does the rest: worker processes, whole pieces or none, going on where it was stopped, the
manifest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ditr.errors import InputError
from ditr.scene import SceneSource

__all__ = ["Download", "Place", "PrepareOptions", "RawDataset", "RawFormat", "RawPiece", "Repair"]


@dataclass(frozen=True)
class Repair:
    """Something in a download that was damaged or odd, and what was made of it.

    Attributes:
        kind: in a few words, the same for all repairs of a kind, such as "lost pose"; repairs are counted by it.
        where: file, and the frame, line or byte in it.
        what: was found and done, in a sentence.
    """

    kind: str
    where: str
    what: str


@dataclass(frozen=True)
class Place:
    """Where a prepared folder or file goes.

    Attributes:
        path: below the prepared dataset, such as ``train/scene0000_00``.
        beside: suffix of the folder beside the dataset's own that ``path`` is below, such as ``_images`` for
            ``scannet_images`` beside ``scannet``; empty for the dataset's own.
    """

    path: str
    beside: str = ""

    def below(self, out: Path) -> Path:
        """The whole path for a dataset that is prepared in ``out``."""
        root = Path(os.path.abspath(out))
        return root.with_name(root.name + self.beside) / self.path


class RawPiece(Protocol):
    """What is prepared as one: a room, or a drive. It goes to a worker process, so it can be pickled, and is small."""

    @property
    def name(self) -> str:
        """Of the piece, unlike that of all others."""

    @property
    def split(self) -> str: ...

    @property
    def sources(self) -> Sequence[Path]:
        """Files that it is made of and whose digests the manifest gets. Of a folder, such as one of the thousands of
        sweeps of a drive, it gets a digest of the files' names and sizes, by which changes are noticed too."""

    @property
    def places(self) -> Sequence[Place]:
        """Where the parts of it go. The last one is what tells readers that the piece is there."""

    def write(self, parts: Sequence[Path]) -> Sequence[Repair]:
        """Write the part of each place as a folder or file of the path given here, none of which is there yet.

        Raises:
            InputError: damage that cannot be repaired; the text names the file, the position and the remedy.
        """

    def check(self) -> Iterator[InputError | Repair]:
        """What is wrong with its files, without preparing them: what is missing, cut off or inconsistent, and what
        would be repaired. Reads headers and lengths, decodes little."""

    def size(self) -> int:
        """Bytes that it will take once prepared, about."""


class RawDataset(Protocol):
    """A download, opened."""

    @property
    def pieces(self) -> Sequence[RawPiece]: ...

    def check(self) -> Iterator[InputError]:
        """What is wrong with the download as a whole: tables, lists."""

    def finish(self, out: Path, pieces: Sequence[RawPiece]) -> None:
        """Write what belongs to all pieces, once those are in their places: lists of splits. Called again and again."""

    def source(self, splits: Sequence[str], images: bool) -> SceneSource:
        """The scenes of some splits, straight from the download.

        Raises:
            InputError: there is no such split.
        """


@dataclass(frozen=True)
class PrepareOptions:
    """How a download is prepared.

    Attributes:
        splits: those that are; empty for all that are there.
        every: of a recording, each frame with a number divisible by this; None for the published choice.
        copy: copy the files of sweeps and photographs instead of linking to those of the download.
    """

    splits: tuple[str, ...] = ()
    every: int | None = None
    copy: bool = False


@dataclass(frozen=True)
class Download:
    """What somebody has to know who wants a dataset.

    Attributes:
        address: of the page where it is asked for.
        terms: what is to be signed, in a sentence.
        gigabytes: of the download, by part of it.
        pieces: how many there are of each split when all is there, in the unit ``unit``.
        unit: what a piece is called, in the plural: "scenes", "sequences".
        counts: other numbers that are known of a whole download, such as sweeps by sequence.
        seconds: that a piece takes to be prepared, about, on one core; None where nobody has measured.
    """

    address: str
    terms: str
    gigabytes: Mapping[str, float]
    pieces: Mapping[str, int]
    unit: str
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True)
class RawFormat:
    """How the official download of a dataset is recognised and opened.

    Attributes:
        recognises: whether a folder is one, or part of one; looks at few names.
        open: the download in a folder. Raises InputError for one that lacks what it cannot do without.
        download: what to know of it.
        layout: of the folder that is expected, in a line.
        sweeps_in_place: whether the reader of prepared folders can read the download as it lies there where no
            photographs are wanted, or their folder is named.
    """

    recognises: Callable[[Path], bool]
    open: Callable[[Path, PrepareOptions], RawDataset]
    download: Download
    layout: str
    sweeps_in_place: bool = False

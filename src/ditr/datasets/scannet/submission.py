"""What ScanNet's server takes for its two benchmarks: a flat archive with a text file per scene, an id in each line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ditr.datasets.label_map import LabelMap
from ditr.datasets.scannet.splits import COUNTS, is_scene, scenes_of, split_of
from ditr.datasets.submission import Archive, Fault
from ditr.errors import Grade

__all__ = ["ScanNetSubmission"]

_MOST = 1 << 25
"""Bytes of a file: a line has at most six, and a scene less than a million points."""
_NUMBER = re.compile(rb"[+-]?[0-9]{1,9}")
_SHOWN = 40
_ANEW = "Write one whole number in each line, such as 5"
_FLAT = "Pack the files themselves, not the folder that they are in"


@dataclass(frozen=True)
class ScanNetSubmission:
    """The format; see :class:`~ditr.datasets.submission.SubmissionFormat`.

    Attributes:
        map: of the benchmark's classes, whose raw ids are written.
        other: that of the other benchmark, to tell whose ids a file has.
        ids: what its ids are called.
    """

    map: LabelMap
    other: LabelMap
    ids: str
    by_hand: tuple[str, ...] = (
        "Upload the archive at kaldir.vc.in.tum.de/scannet_benchmark, to the task of 3D semantic labels.",
        "Evaluate only your final system, with one account; after a submission the method is blocked for two weeks.",
        "The method needs a meaningful name, similar to the title of its paper.",
    )

    @property
    def scenes(self) -> Mapping[str, int]:
        return {split: COUNTS[split] for split in ("test", "val")}

    def resembles(self, archive: Archive) -> bool:
        names = [name for name in archive.names if name.endswith(".txt") and is_scene(_scene(name))]
        if not names:
            return False
        content = archive.read(names[0], _MOST)
        found = content if isinstance(content, Fault) else _numbers(names[0], content)
        if isinstance(found, Fault):
            return False
        mine, theirs = (np.isin(found, labels.to_raw).mean() for labels in (self.map, self.other))
        # Many ids are in both lists. The longer list has more of them by chance.
        return bool(mine > theirs or (mine == theirs and len(self.map.to_raw) < len(self.other.to_raw)))

    def member(self, scene: str, split: str) -> str:
        return f"{scene}.txt"

    def content(self, label: NDArray[np.int32]) -> bytes:
        lines = np.array([f"{raw}\n".encode() for raw in self.map.to_raw], dtype=object)
        return b"".join(lines[label])

    def labels(self, member: str, content: bytes) -> NDArray[np.int32] | Fault:
        found = _numbers(member, content)
        return found if isinstance(found, Fault) else self.map.train(found)

    def others(self, scenes: Sequence[str], split: str, *, images: bool) -> Mapping[str, bytes]:
        return {}

    def check(self, archive: Archive, points: Mapping[str, int] | None, split: str) -> Iterator[Fault]:
        files = [name for name in archive.names if not name.endswith("/")]
        texts = [name for name in files if name.endswith(".txt")]
        flat = [name for name in texts if "/" not in name]
        # The server wants the whole split, whatever part of it is at hand here.
        wanted = dict.fromkeys([*scenes_of(split), *(points or {})])
        if not texts:
            yield Fault("no text files", "", "it has no .txt file", "Pack one for each scene")
            return
        yield from _in_folders(texts, flat)
        for name in files:
            if name not in texts:
                yield Fault("other files", name, "only the text files of scenes belong here", "Leave it out")
        found = {_scene(name): name for name in (flat or texts)}
        for scene, name in found.items():
            if scene not in wanted:
                yield Fault("text file of no scene", name, f"it is {_instead(scene, split)}", "Leave it out")
        for scene in wanted:
            if scene not in found:
                yield Fault("missing scene", f"{scene}.txt", "there is no such file", f"Label all {len(wanted)} scenes")
            else:
                yield from self._check(archive, found[scene], (points or {}).get(scene))

    def _check(self, archive: Archive, name: str, points: int | None) -> Iterator[Fault]:
        content = archive.read(name, _MOST)
        found = content if isinstance(content, Fault) else _numbers(name, content)
        if isinstance(found, Fault):
            yield found
            return
        if points is not None and len(found) != points:
            what = f"it has {len(found)} lines, but the mesh of the scene has {points} vertices"
            yield Fault("number of lines", name, what, "Label each vertex of SCENE_vh_clean_2.ply, in its order")
        yield from self._outside(name, found)

    def _outside(self, name: str, found: NDArray[np.int64]) -> Iterator[Fault]:
        """Ids that count as wrong."""
        outside = ~np.isin(found, self.map.to_raw)
        if not outside.any():
            return
        first = int(np.flatnonzero(outside)[0])
        counted = f"{int(outside.sum())} of {len(found)} lines, the first is line {first + 1} with {found[first]}"
        again = f"Write the {self.ids}"
        if (found >= 0).all() and found.max() < len(self.map.to_raw) and 0 in found:
            what = f"these look like class indices counted from 0, not like {self.ids} ({counted})"
            yield Fault("numbers of classes instead of ids", name, what, again)
        elif np.isin(found, self.other.to_raw).all():
            what = f"these are ids of ScanNet's other benchmark ({counted})"
            yield Fault("ids of the other benchmark", name, what, again)
        elif (found[outside] <= 0).all():
            what = f"unlabelled points count as wrong ({counted})"
            yield Fault("unlabelled points", name, what, "Give each point one of the classes", Grade.WARNED)
        else:
            yield Fault("ids outside the list", name, f"they count as wrong ({counted})", again, Grade.WARNED)


def _scene(name: str) -> str:
    return name.rsplit("/", 1)[-1].removesuffix(".txt")


def _in_folders(texts: Sequence[str], flat: Sequence[str]) -> Iterator[Fault]:
    """Text files that are not at the root: the server does not find them."""
    inside = [name for name in texts if "/" in name]
    if inside and not flat:
        folder = inside[0].rsplit("/", 1)[0]
        what = f"all files are in the folder {folder!r}: the server says 'No text files found in results archive'"
        yield Fault("files not at the root", inside[0], what, _FLAT)
    else:
        for name in inside:
            yield Fault("files not at the root", name, "the server only looks at the root", _FLAT)


def _instead(scene: str, split: str) -> str:
    """What a file is of that is of no scene of the split."""
    if not is_scene(scene):
        return "not named after a scene"
    return f"of the split {split_of(scene)}" if split_of(scene) != split else f"of no scene of the split {split}"


def _numbers(member: str, content: bytes) -> NDArray[np.int64] | Fault:
    """The number in each line, parsed as the server does: as integers."""
    if not content.strip():
        return Fault("an empty file", member, "it has no lines", "Write one line for each vertex")
    if not content.isascii() or b"\0" in content:
        what = "it is not plain text (ASCII), perhaps UTF-16 or with a byte order mark"
        return Fault("not plain text", member, what, "Save it as plain text")
    lines = content.splitlines()
    bad = next((at for at, line in enumerate(lines) if not _NUMBER.fullmatch(line.strip())), None)
    return (
        np.array([int(line) for line in lines], dtype=np.int64) if bad is None else _bad_line(member, bad, lines[bad])
    )


def _bad_line(member: str, at: int, line: bytes) -> Fault:
    text = line.decode("ascii")[:_SHOWN]
    words = line.replace(b",", b" ").split()
    if not words:
        return Fault(
            "a blank line", member, f"line {at + 1} is blank", "Write one number in each line, without blank lines"
        )
    if len(words) > 1:
        what = f"line {at + 1} has {len(words)} words: {text!r}"
        return Fault("several words in a line", member, what, _ANEW)
    try:
        whole = float(words[0]).is_integer()
    except (ValueError, OverflowError):
        whole = False
    if whole and not _NUMBER.fullmatch(words[0]) and not words[0].lstrip(b"+-").isdigit():
        what = f"line {at + 1} is {text!r}, which the server cannot read as a whole number"
        return Fault("numbers with a point", member, what, _ANEW + "; NumPy's savetxt needs fmt='%d'")
    return Fault("a line that is not a number", member, f"line {at + 1} is {text!r}", _ANEW)

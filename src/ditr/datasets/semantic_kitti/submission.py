"""What the server of SemanticKITTI takes: ``sequences/SS/predictions/FFFFFF.label``, uint32 raw ids, with folders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.datasets.semantic_kitti.facts import LABELS, SCANS, SEQUENCES
from ditr.errors import Grade, few
from ditr.io.zip_archive import Archive, Fault

__all__ = ["SemanticKITTISubmission"]

_FILE = re.compile(r"sequences/(\d\d)/predictions/(.+)")
_LARGEST = 16 << 20
"""Bytes that no file of a sweep has: it has about 125,000 points."""
_DESCRIPTION = "description.txt"
_SERVER = "https://www.codabench.org/competitions/12448"
_TYPES = {1: "uint8", 2: "uint16 or int16", 8: "int64, uint64 or float64"}
_AS_UINT32 = "Write each label as uint32, 4 bytes, little-endian"


class SemanticKITTISubmission:
    """See :class:`~ditr.datasets.submission.SubmissionFormat`.

    The server takes any raw id of a class, also those of things that move, and looks at the lower 16 bits alone. It
    compares the numbers of files, and unpacks nothing that has no entries of folders.
    """

    scenes: Mapping[str, int] = {
        split: sum(SCANS[number] for number in numbers) for split, numbers in SEQUENCES.items()
    }
    by_hand: Sequence[str] = (
        f"Upload it to {_SERVER}, with an account there.",
        "An account has ten submissions; those that fail do not count.",
        "The packed archive has about 240 MB; the server may answer with status 500 because of the size, so try again.",
    )

    def resembles(self, archive: Archive) -> bool:
        return any(
            re.search(r"(^|/)(sequences|predictions)/", name) or name.endswith(".label") for name in archive.names
        )

    def member(self, scene: str, split: str) -> str:
        sequence, _, frame = scene.partition("_")
        return f"sequences/{sequence}/predictions/{frame}.label"

    def content(self, label: NDArray[np.int32]) -> bytes:
        return LABELS.raw(label).astype("<u4").tobytes()

    def labels(self, member: str, content: bytes) -> NDArray[np.int32] | Fault:
        if len(content) % 4:
            return _odd_length(member, len(content))
        return LABELS.train(np.frombuffer(content, "<u4") & 0xFFFF)

    def others(self, scenes: Sequence[str], split: str, *, images: bool) -> Mapping[str, bytes]:
        """The folders of all sequences of the split, whichever are predicted."""
        return dict.fromkeys(_folders(SEQUENCES[split]), b"")

    def check(self, archive: Archive, points: Mapping[str, int] | None, split: str) -> Iterator[Fault]:
        around = _around(archive.names)
        if around:
            what = "everything is in this folder, but the server looks for sequences/ at the root"
            yield Fault("a folder around everything", around, what, "Pack the folder sequences itself")
        members = {name.removeprefix(around): name for name in archive.names if name != around}
        yield from _folder_faults(members, SEQUENCES[split])
        found: dict[int, dict[str, str]] = {number: {} for number in SEQUENCES[split]}
        yield from _sort(members, found)
        for number, frames in found.items():
            yield from _count_faults(number, frames)
        for number, frames in found.items():
            for frame, name in sorted(frames.items()):
                yield from _content_faults(
                    archive, name, None if points is None else points.get(f"{number:02d}_{frame}")
                )


def _folders(sequences: Sequence[int]) -> list[str]:
    inner = [f"sequences/{number:02d}/{name}" for number in sequences for name in ("", "predictions/")]
    return ["sequences/", *inner]


def _around(names: Sequence[str]) -> str:
    """The folder in which all that looks like a submission lies, with its slash; "" for none."""
    found = {name[: place.start(1)] for name in names if (place := re.search(r"(?:^|/)(sequences/)", name))}
    return next(iter(found)) if len(found) == 1 else ""


def _folder_faults(members: Mapping[str, str], sequences: Sequence[int]) -> Iterator[Fault]:
    for folder in _folders(sequences):
        if folder not in members and any(name.startswith(folder) for name in members):
            what = "the archive has no entry for the folder itself, so the server does not find it"
            yield Fault("folders without an entry", folder, what, "Pack with zip -r, which writes entries of folders")


def _sort(members: Mapping[str, str], found: Mapping[int, dict[str, str]]) -> Iterator[Fault]:
    """Put the files of sweeps into ``found``, by sequence and frame; what is wrong with the other members."""
    beyond: dict[str, int] = {}
    wanted = f"{min(found):02d} to {max(found):02d}" if len(found) > 1 else f"{next(iter(found)):02d}"
    for short, name in members.items():
        place = _FILE.fullmatch(short)
        sequence = re.match(r"sequences/(\d+)/", short)
        if sequence is not None and int(sequence[1]) not in found:
            beyond[sequence[1]] = beyond.get(sequence[1], 0) + (not name.endswith("/"))
        elif name.endswith("/") or short == _DESCRIPTION:
            continue
        elif place is None or sequence is None:
            remedy = f"Remove it; {_DESCRIPTION} is the only file allowed next to sequences/"
            yield Fault("other files", name, "it is not sequences/SS/predictions/FFFFFF.label", remedy)
        elif not re.fullmatch(r"\d{6}\.label", place[2]):
            yield Fault(
                "other names", name, "the file of a sweep is called FFFFFF.label, such as 000012.label", "Rename it"
            )
        elif int(place[2][:6]) >= SCANS[int(place[1])]:
            what = f"sequence {place[1]} has the sweeps 000000 to {SCANS[int(place[1])] - 1:06d}"
            yield Fault("sweeps that do not exist", name, what, "Remove it")
        else:
            found[int(place[1])][place[2][:6]] = name
    for number, files in sorted(beyond.items()):
        what = f"the server accepts only the sequences {wanted}, but there are {files} files of this one"
        yield Fault("other sequences", f"sequences/{number}/", what, "Remove it")


def _count_faults(number: int, frames: Mapping[str, str]) -> Iterator[Fault]:
    folder, whole = f"sequences/{number:02d}/predictions/", SCANS[number]
    if not frames:
        yield Fault("missing sequences", folder, f"none of its {whole} sweeps is there", "Predict all sequences")
    elif len(frames) < whole:
        lost = [f"{row:06d}" for row in range(whole) if f"{row:06d}" not in frames]
        what = f"there are {len(frames)} of {whole} sweeps; {few(lost, 3)} are missing"
        remedy = "Predict them too; if they are missing in your dataset, unpack its velodyne archive again"
        yield Fault("number of files", folder, what, remedy)


def _odd_length(name: str, size: int, points: int | None = None) -> Fault:
    if points and size % points == 0 and size // points in _TYPES:
        what = f"its {size} bytes are {size // points} for each of {points} points, as for {_TYPES[size // points]}"
        return Fault("type of the labels", name, what, _AS_UINT32)
    if points is None:
        return Fault("length of a file", name, f"its {size} bytes are not 4 for each point", _AS_UINT32)
    what = f"its {size} bytes are labels of {size / 4:g} points, but the sweep has {points}"
    return Fault("length of a file", name, what, "Predict all points of this sweep")


def _content_faults(archive: Archive, name: str, points: int | None) -> Iterator[Fault]:
    size = archive.size(name)
    if size == 0 or size % 4 or (points is not None and size != 4 * points):
        yield _odd_length(name, size, points)
        return
    content = archive.read(name, _LARGEST)
    if isinstance(content, Fault):
        yield content
        return
    raw = np.frombuffer(content, "<u4")
    guessed = _other_type(raw)
    if guessed is not None:
        yield Fault("type of the labels", name, f"its bytes look like {guessed}", _AS_UINT32)
        return
    ids, counts = np.unique(raw & 0xFFFF, return_counts=True)
    wrong = LABELS.train(ids) < 0
    if not wrong.any():
        return
    if ids.max() < 20:
        what = (
            f"its numbers go from {ids.min()} to {ids.max()}, like class indices; raw ids are expected, such as 40 "
            "for road"
        )
        yield Fault("classes instead of raw ids", name, what, "Map classes to raw ids before writing them")
        return
    listed = few([str(number) for number in ids[wrong]], 5)
    what = f"{counts[wrong].sum()} points have the number {listed}, which is not a class, so they count as wrong"
    again = f"Write {few([str(number) for number in LABELS.to_raw], 4)} alone"
    yield Fault("numbers of no class", name, what, again, Grade.WARNED)


def _other_type(raw: NDArray[np.uint32]) -> str | None:
    """What the labels of a file are if they are not uint32, by their bytes; the number of points is not known."""
    known = [*LABELS.to_class, *range(20)]

    def named(values: NDArray[Any]) -> bool:
        return bool(values.any() and np.isin(values, known).all())

    if len(raw) % 2 == 0 and not raw[1::2].any() and raw[::2].all():
        return "int64 or uint64"
    floats = raw.view("<f4")
    if raw.any() and not (raw & 0xFFFF).any() and named(floats):
        return "float32"
    halves, bytes_ = raw.view("<u2"), raw.view(np.uint8)
    if halves.all() and named(halves):
        return "uint16"
    if bytes_.all() and named(bytes_):
        return "uint8"
    return None

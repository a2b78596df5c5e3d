"""What the server of nuScenes' lidar segmentation takes, as its public validator and rules have it.

A zip archive of ``lidarseg/test/TOKEN_lidarseg.bin``, a byte from 1 to 16 for each point of each keyframe of the test
split, and of ``test/submission.json``, with no folder around the two. The validator looks at lengths and values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.datasets.nuscenes.facts import CLASSES, LABELS
from ditr.datasets.submission import Archive, Fault
from ditr.scene import UNLABELLED

__all__ = ["NuScenesSubmission"]

_META = ("use_camera", "use_lidar", "use_radar", "use_map", "use_external")
_END = "_lidarseg.bin"
_TOKEN = re.compile(r"[0-9a-f]{32}")
_MOST = 4 << 20
"""Bytes of a file of labels; a turn has about 35,000 points, and other types than bytes are found by content."""
_MOST_META = 1 << 16
_WIDTHS = {2: "16 bit", 4: "32 bit", 8: "64 bit"}
_AGAIN = "Write a byte for each point (NumPy: astype(np.uint8).tofile)"


class NuScenesSubmission:
    """See :class:`~ditr.datasets.submission.SubmissionFormat`; scenes are called by the LiDAR's token."""

    scenes: Mapping[str, int] = {"test": 6_008, "val": 6_019}
    by_hand: Sequence[str] = (
        "Upload it to the lidar segmentation challenge of nuScenes at eval.ai; a team has one account and three "
        "submissions a year; submissions that fail do not count.",
        "test/submission.json must describe the model truthfully. For one with photographs use_camera is true here, "
        "and "
        "use_external too, since its image encoder was pre-trained on other images; a model that was distilled from "
        "one "
        "needs use_external as well.",
    )

    def resembles(self, archive: Archive) -> bool:
        """Files of labels have names of their own."""
        return any(name.endswith(_END) for name in archive.names)

    def member(self, scene: str, split: str) -> str:
        """``lidarseg/test/TOKEN_lidarseg.bin``."""
        return f"lidarseg/{split}/{scene}{_END}"

    def content(self, label: NDArray[np.int32]) -> bytes:
        """A byte for each point, classes counted from 1.

        Raises:
            InputError: a label that is not a class.
        """
        return LABELS.raw(label).astype(np.uint8).tobytes()

    def labels(self, member: str, content: bytes) -> NDArray[np.int32] | Fault:
        """(N,) classes; -1 for what is not a class."""
        raw = np.frombuffer(content, np.uint8).astype(np.int32)
        return np.where((raw >= 1) & (raw <= len(CLASSES)), raw - 1, UNLABELLED).astype(np.int32)

    def others(self, scenes: Sequence[str], split: str, *, images: bool) -> Mapping[str, bytes]:
        """What was used, for the tracks of the challenge."""
        used = {"use_camera": images, "use_lidar": True, "use_radar": False, "use_map": False, "use_external": images}
        return {f"{split}/submission.json": json.dumps({"meta": used}, indent=2).encode() + b"\n"}

    def check(self, archive: Archive, points: Mapping[str, int] | None, split: str) -> Iterator[Fault]:
        """Everything for which the validator stops; see the protocol."""
        around = _folder_around(archive.names)
        if around:
            remedy = "Pack the two folders themselves, not their parent"
            yield Fault("a folder around everything", around, "the server looks for the folders at the root", remedy)
        yield from _meta_faults(archive, around, split)
        yield from _name_faults(archive, around, split, points, self.scenes.get(split))
        for token, name in _files(archive.names, around, split).items():
            if points is None or token in points:
                fault = _content_fault(archive, name, None if points is None else points[token])
                if fault is not None:
                    yield fault


def _folder_around(names: Sequence[str]) -> str:
    """The folder that the archive's two folders are in, with its slash; empty for none."""
    starts = {name[: at.start()] for name in names if (at := re.search(r"(?<![^/])lidarseg/", name))}
    return min(starts) if starts and "" not in starts else ""


def _files(names: Sequence[str], around: str, split: str) -> dict[str, str]:
    """Files of labels where they should be, by token."""
    start = f"{around}lidarseg/{split}/"
    return {
        name[len(start) : -len(_END)]: name
        for name in names
        if name.startswith(start) and name.endswith(_END) and "/" not in name[len(start) :]
    }


# ---- meta data ------------------------------------------------------------------------------------------------------


def _meta_faults(archive: Archive, around: str, split: str) -> Iterator[Fault]:
    wanted = f"{around}{split}/submission.json"
    if wanted not in archive.names:
        found = [name for name in archive.names if name.rpartition("/")[2] == "submission.json"]
        what = f"it is at {found[0]} instead" if found else "it is missing"
        yield Fault(
            "no submission.json", f"{split}/submission.json", what, "Write such a file, saying what the model uses"
        )
        return
    content = archive.read(wanted, _MOST_META)
    if isinstance(content, Fault):
        yield content
        return
    try:
        meta = json.loads(content)
    except (ValueError, RecursionError) as error:
        yield Fault("submission.json is not JSON", wanted, f"it cannot be read ({error})", "Write it again")
        return
    yield from _used_faults(wanted, meta["meta"] if isinstance(meta, dict) and "meta" in meta else None)


def _used_faults(name: str, used: Any) -> Iterator[Fault]:
    sample = '{"meta": {' + ", ".join(f'"{key}": true' for key in _META) + "}}"
    remedy = f"It must be like {sample}, with true or false for each"
    if not isinstance(used, dict):
        yield Fault("submission.json without meta", name, "there is no object 'meta' in it", remedy)
        return
    missing, extra = [key for key in _META if key not in used], [str(key)[:40] for key in used if key not in _META]
    if missing or extra:
        parts = [f"{', '.join(missing)} missing"] * bool(missing) + [f"{', '.join(extra[:5])} unknown"] * bool(extra)
        yield Fault(
            "submission.json with other keys", name, f"among the keys under 'meta', {' and '.join(parts)}", remedy
        )
    wrong = [key for key in _META if key in used and not isinstance(used[key], bool)]
    if wrong:
        what = f"{', '.join(wrong)} are neither true nor false"
        yield Fault("submission.json with other values", name, what, remedy)


# ---- files of labels ------------------------------------------------------------------------------------------------


def _name_faults(
    archive: Archive, around: str, split: str, points: Mapping[str, int] | None, whole: int | None
) -> Iterator[Fault]:
    there = _files(archive.names, around, split)
    place = f"lidarseg/{split}/"
    for name in archive.names:
        if name.endswith("/") or name in there.values():
            continue
        if name.endswith(_END):
            yield Fault("labels in another folder", name, f"the server looks for them in {place}", "Move them there")
        elif name.startswith(f"{around}{place}"):
            remedy = f"Name it after the token of the LiDAR's sample_data: TOKEN{_END}"
            yield Fault("a file of another name", name, f"the names of label files end with {_END}", remedy)
    if whole is not None and len(there) != whole:
        what = f"there are {len(there):,} label files, but {whole:,} keyframes in the split {split}"
        yield Fault("number of files", place, what, "Label every keyframe of the whole split")
    for token, name in there.items():
        if not _TOKEN.fullmatch(token) and (points is None or token not in points):
            remedy = (
                "Name it after the token of the keyframe's LIDAR_TOP row in sample_data, which is 32 hexadecimal digits"
            )
            yield Fault("a name that is not a token", name, f"{token!r} is not a token", remedy)
        elif points is not None and token not in points:
            what = f"no keyframe of the split {split} has this token (of LIDAR_TOP in sample_data, not of the sample)"
            yield Fault("a token of no keyframe", name, what, "Remove it, or name it after its keyframe")
    for token in points or {}:
        if token not in there:
            yield Fault("a keyframe without labels", f"{place}{token}{_END}", "it is missing", "Label it too")


def _content_fault(archive: Archive, name: str, count: int | None) -> Fault | None:
    """What is wrong with a file of labels; the first thing, from which others follow."""
    content = archive.read(name, _MOST)
    if isinstance(content, Fault):
        return content
    if content.startswith(b"\x93NUMPY"):
        return Fault("a NumPy file", name, "it has the header of a .npy file", _AGAIN)
    if not content:
        return Fault("an empty file", name, "it has no label", "Label it again")
    raw = np.frombuffer(content, np.uint8)
    width = _width(raw, count)
    if width != 1:
        return Fault("labels of another type", name, f"each label takes {_WIDTHS[width]}, not one byte", _AGAIN)
    if count is not None and len(raw) != count:
        what = f"it has {len(raw)} labels, but the keyframe has {count} points"
        return Fault("number of labels", name, what, "Label all points of the keyframe, in their order in the file")
    if set(np.unique(raw).tolist()) <= set(b"0123456789 \r\n,.-e+"):
        return Fault("labels as text", name, "its bytes are digits, as in a text file", _AGAIN)
    if (zeros := int((raw == 0).sum())) > 0:
        what = (
            f"{zeros} of {len(raw)} labels are 0, which is not a class; the first is label {int(np.argmin(raw != 0))}"
        )
        hint = "Add 1: classes are counted from 1" if raw.max() < len(CLASSES) else "Give each point a class, 1 to 16"
        return Fault("labels that are 0", name, what, hint)
    if raw.max() > len(CLASSES):
        at = int(np.argmax(raw > len(CLASSES)))
        what = f"label {raw[at]} of point {at} is above {len(CLASSES)}"
        hint = "Use the classes of the challenge, 1 to 16, not the categories of lidarseg or 255 for unlabelled"
        return Fault("labels above 16", name, what, hint)
    return None


def _width(raw: NDArray[np.uint8], count: int | None) -> int:
    """Bytes that a label takes: of small numbers in wider types all but the first are 0."""
    for width in _WIDTHS:
        if len(raw) % width or (count is not None and len(raw) != width * count):
            continue
        rows = raw.reshape(-1, width)
        if count is not None or (not rows[:, 1:].any() and rows[:, 0].any()):
            return width
    return 1

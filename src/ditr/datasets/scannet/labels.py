"""Labels of a downloaded scene: segments of its mesh, grouped to objects, whose names a table has ids for.

``SCENE_vh_clean_2.0.010000.segs.json`` gives each vertex a segment, ``SCENE.aggregation.json`` names groups of
segments, and ``scannetv2-labels.combined.tsv`` has for each name the id of ScanNet200 and that of NYU40. Several names
share an id. The mesh with labels that comes with a scene is not used: in three scenes it holds an id of no class.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.datasets.raw import Repair
from ditr.datasets.scannet.classes import LABELS, LABELS_200
from ditr.errors import InputError
from ditr.io.files import read_bytes
from ditr.scene import UNLABELLED

__all__ = ["TABLE", "SceneLabels", "read_labels", "read_table"]

TABLE = "scannetv2-labels.combined.tsv"
"""Name of the table in the download."""
_COLUMNS = ("raw_category", "nyu40id", "id")
_NEW_ID = 1163
"""That only the table with the ids of ScanNet200 has."""
_MOST_TABLE, _MOST_AGGREGATION = 1 << 22, 1 << 24
_LARGEST = 2**31
_AGAIN = "Download the file again"
_SCENE = re.compile(r"scene\d{4}_\d{2}")


@dataclass(frozen=True)
class SceneLabels:
    """Labels of V vertices, each (V,) int64, -1 for none.

    Attributes:
        segment20, segment200: classes.
        instance: number of the object.
    """

    segment20: NDArray[np.int64]
    segment200: NDArray[np.int64]
    instance: NDArray[np.int64]


def read_table(path: Path) -> dict[str, tuple[int, int]]:
    """For each name of an object (``raw_category``) its id of NYU40 and its id of ScanNet200.

    Raises:
        InputError: no such file, one that is no such table, or an older one, without the ids of ScanNet200.
    """
    content = read_bytes(path, _MOST_TABLE)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(path, f"the table is not text at byte {error.start}", _AGAIN) from None
    # Its lines end with CR CR LF.
    lines = [(number, line.strip("\r")) for number, line in enumerate(text.split("\n"), start=1) if line.strip("\r")]
    header = lines[0][1].split("\t") if lines else []
    lacking = [column for column in _COLUMNS if header.count(column) != 1]
    if lacking:
        raise InputError(path, f"this is not ScanNet's label table: it has no column {lacking[0]!r}", _AGAIN)
    name, *ids = (header.index(column) for column in _COLUMNS)
    found: dict[str, tuple[int, int]] = {}
    for number, line in lines[1:]:
        cells = line.split("\t")
        # The numbers of NYU40 and of ScanNet200 have at most four digits.
        if len(cells) != len(header) or not all(re.fullmatch(r"[0-9]{1,4}", cells[at]) for at in ids):
            fault = f"line {number} is not {len(header)} cells with whole numbers in {' and '.join(_COLUMNS[1:])}"
            raise InputError(path, fault, _AGAIN)
        nyu40, raw = (int(cells[at]) for at in ids)
        if found.setdefault(cells[name], (nyu40, raw)) != (nyu40, raw):
            raise InputError(path, f"line {number} gives {cells[name]!r} other ids than a line before", _AGAIN)
    if all(raw != _NEW_ID for _, raw in found.values()):
        fault = f"this is an old version of the table, without the ids of ScanNet200 (no line has the id {_NEW_ID})"
        raise InputError(path, fault, f"Download the current version of {TABLE}")
    return found


def read_labels(
    segments: Path, aggregation: Path, table: Path, *, scene: str, vertices: int
) -> tuple[SceneLabels, list[Repair]]:
    """The labels of a scene.

    Groups are applied in the order of the file: a later one overwrites an earlier one, also with "no class".

    Args:
        segments: the file of segments.
        aggregation: the file of groups.
        table: the table of names.
        scene: its name, which the files must have.
        vertices: of its mesh.

    Raises:
        InputError: a missing or damaged file, or one of another scene or mesh.
    """
    ids = read_table(table)
    segment = _read_segments(segments, scene, vertices)
    groups = _read_groups(aggregation, scene)
    known, place = np.unique(segment, return_inverse=True)
    nyu40, raw, instance = (np.full(len(known), UNLABELLED, dtype=np.int64) for _ in range(3))
    unknown: dict[str, int] = {}
    named = missing = 0
    for group in groups:
        at = np.searchsorted(known, group.segments)
        there = known[np.minimum(at, len(known) - 1)] == group.segments
        rows, named, missing = at[there], named + len(at), missing + int((~there).sum())
        if group.label not in ids:
            unknown[group.label] = unknown.get(group.label, 0) + 1
        nyu40[rows], raw[rows] = ids.get(group.label, (UNLABELLED, UNLABELLED))
        instance[rows] = group.number
    if 2 * missing > named:
        fault = f"{missing} of its {named} segments are not in {segments.name}"
        raise InputError(aggregation, fault, "Download both files again; they belong to different meshes")
    repairs = [
        Repair("label that the table lacks", str(aggregation), f"{label!r}, on {count} objects; they become unlabelled")
        for label, count in unknown.items()
    ]
    if missing:
        repairs.append(Repair("segment without vertices", str(aggregation), f"{missing} of {named} are left out"))
    labels = SceneLabels(
        LABELS.train(nyu40)[place].astype(np.int64), LABELS_200.train(raw)[place].astype(np.int64), instance[place]
    )
    return labels, repairs


@dataclass(frozen=True)
class _Group:
    """An object: its number, its name, and its segments (n,)."""

    number: int
    label: str
    segments: NDArray[np.int64]


def _read_segments(path: Path, scene: str, vertices: int) -> NDArray[np.int64]:
    """(V,) the segment of each vertex."""
    # Twelve characters hold a number of 32 bits, a comma and a blank.
    content = _read_json(path, scene, (1 << 16) + 12 * vertices)
    found = _whole_numbers(content.get("segIndices"))
    if found is None:
        raise InputError(path, "it has no list 'segIndices' of whole numbers", _AGAIN)
    if len(found) != vertices:
        remedy = "Download both files again; they belong to different scenes"
        raise InputError(path, f"it has {len(found)} vertices, but the mesh has {vertices}", remedy)
    return found


def _read_groups(path: Path, scene: str) -> list[_Group]:
    content = _read_json(path, scene, _MOST_AGGREGATION)
    file = content.get("segmentsFile", "")
    if not isinstance(file, str) or ("_vh_clean" in file and "_vh_clean_2" not in file):
        fault = f"it belongs to another mesh ({file!r})"
        raise InputError(path, fault, f"Put {scene}.aggregation.json there, not {scene}_vh_clean.aggregation.json")
    groups = content.get("segGroups")
    if not isinstance(groups, list) or not groups:
        raise InputError(path, "it has no list 'segGroups', or an empty one", _AGAIN)
    return [_group(path, number, group) for number, group in enumerate(groups)]


def _group(path: Path, number: int, group: Any) -> _Group:
    if isinstance(group, Mapping):
        segments, label = _whole_numbers(group.get("segments")), group.get("label")
        identity = group.get("id", group.get("objectId", number))
        if segments is not None and isinstance(label, str) and _is_number(identity):
            return _Group(identity, label, segments)
    raise InputError(path, f"entry {number} of 'segGroups' has no list of segments, label or id", _AGAIN)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST


def _whole_numbers(values: Any) -> NDArray[np.int64] | None:
    """A list of whole numbers of 0 to 2^31 - 1, None for anything else."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not all(map(_is_number, values)):
        return None
    return np.array(values, dtype=np.int64)


def _read_json(path: Path, scene: str, most: int) -> dict[str, Any]:
    """An object of JSON that does not say that it is of another scene."""
    content = read_bytes(path, most + 1)
    if len(content) > most:
        raise InputError(path, f"it has more than {most} bytes, which such a file never has", _AGAIN)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"it is not JSON ({error})", _AGAIN) from None
    if not isinstance(found, dict):
        raise InputError(path, "it is not a JSON object", _AGAIN)
    other = _SCENE.search(str(found.get("sceneId", "")))
    if other is not None and other[0] != scene:
        raise InputError(path, f"it says that it belongs to {other[0]}", "Download the file again, under its own name")
    return found

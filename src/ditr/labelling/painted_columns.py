"""Which column of a painted cloud has its labels, and what their numbers mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.clouds import Cloud
from ditr.errors import Finding, Grade, InputError, few, nearest
from ditr.labelling.annotations.files import read_whole
from ditr.labelling.annotations.label_image import numbered
from ditr.labelling.annotations.palette import PALETTES, Palette, parse_palette
from ditr.scene import UNLABELLED, Scene

__all__ = ["PaintedLabels", "labels_of", "palette_beside"]

_WORDS = ("label", "labels", "class", "class_id", "label_id", "classification", "semantic")
_NO_LABELS = ("true_label", "original_")
_GENERAL = ("scalar", "constant")
_MOST_BYTES = 16 << 20
_UNCLASSIFIED = (0, 1)


@dataclass(frozen=True, eq=False)
class PaintedLabels:
    """Labels of M points.

    Attributes:
        label: (M,) int32 indices into the classes, -1 for none.
        class_names: of the labels.
        findings: what was noticed.
    """

    label: NDArray[np.int32]
    class_names: tuple[str, ...]
    findings: tuple[Finding, ...]


def palette_beside(path: Path) -> Palette | None:
    """The list of classes that lies beside a file, or in the folder above; None where there is none.

    Raises:
        InputError: it is damaged.
    """
    for folder in (path.parent, path.resolve().parent.parent):
        for name in PALETTES:
            if (folder / name).is_file():
                return parse_palette(name, read_whole(folder / name, _MOST_BYTES), str(folder / name))
    return None


def labels_of(
    path: Path, cloud: Cloud, palette: Palette | None, scene: Scene, column: str | None = None
) -> PaintedLabels:
    """The labels of a file of points.

    Args:
        path: of it, for errors.
        cloud: what it holds.
        palette: what numbers mean; None for what the file's format says, or else the classes of the scene.
        scene: whose points these are.
        column: that has them; None to look for it.

    Raises:
        InputError: no column, several that say different things, or numbers that mean nothing.
    """
    names = [_named(path, cloud, column)] if column is not None else _candidates(path, cloud)
    found = []
    for name in names:
        numbers = _numbers(path, name, cloud.columns[name])
        if palette is None and cloud.class_column == name and not np.isin(numbers, list(cloud.class_names)).any():
            continue  # points that nobody classified
        found.append((name, *_meant(path, name, numbers, cloud, palette, scene)))
    if not found:
        raise InputError(path, "its points are not classified", "Save the file with the scalar field of the labels")
    name, label, classes = found[0]
    for other, label_there, classes_there in found[1:]:
        differ = int((_by_name(label, classes, classes_there) != label_there).sum())
        if differ and not _same_standard(label, palette, cloud.columns[other]):
            fault = f"{name} and {other} are both labels, and differ at {differ} of {len(label)} points"
            raise InputError(path, fault, f"Name the one that was painted, such as --column {other}")
    text = f"those of {name}, {int((label >= 0).sum())} of {len(label)} points have one"
    return PaintedLabels(label, classes, (Finding(Grade.NOTED, "labels", text),))


def _plain(name: str) -> str:
    """As CloudCompare and the readers may have changed it."""
    return name.lower().removeprefix("scalar_").replace(" ", "_").partition("_#")[0]


def _named(path: Path, cloud: Cloud, column: str) -> str:
    found = [name for name in cloud.columns if name == column] or [
        name for name in cloud.columns if _plain(name) == _plain(column)
    ]
    if len(found) != 1:
        near = nearest(column, cloud.columns)
        hint = f"Did you mean {near!r}?" if near else f"Name one of {few(_others(cloud), 12)}"
        raise InputError(path, f"it has no column {column!r}", hint)
    return found[0]


def _others(cloud: Cloud) -> list[str]:
    known = {"x", "y", "z", "red", "green", "blue", "alpha", "nx", "ny", "nz", "r", "g", "b"}
    return [name for name in cloud.columns if _plain(name) not in known] or ["none"]


def _candidates(path: Path, cloud: Cloud) -> list[str]:
    """Columns that may be labels, the likeliest first; of those alone that are called so with least doubt."""
    by_word = [name for word in _WORDS for name in cloud.columns if _plain(name) == word]
    if by_word:
        return by_word
    others = [name for name in _others(cloud) if not _plain(name).startswith(_NO_LABELS) and name in cloud.columns]
    within = [name for name in others if any(word in _plain(name) for word in ("label", "class"))]
    general = [name for name in others if any(word in name.lower() for word in _GENERAL)]
    whole = [name for name in within or general if _is_whole(cloud.columns[name])]
    if len(whole) == 1:
        return whole
    which = f"several may be labels: {few(whole, 8)}" if whole else f"none is called label: {few(_others(cloud), 8)}"
    raise InputError(path, f"of its columns {which}", "Name the one that holds the labels with --column NAME")


def _is_whole(values: NDArray[Any]) -> bool:
    known = values[np.isfinite(values)]
    return bool((known == np.floor(known)).all())


def _numbers(path: Path, name: str, values: NDArray[Any]) -> NDArray[np.int64]:
    """(M,) whole numbers; -1 for points without one, as CloudCompare has NaN."""
    known = np.isfinite(values)
    values = np.where(known, values, 0)
    whole = known & (values == np.floor(values)) & (np.abs(values.astype(np.float64)) < 1 << 40)
    if bad := int((known & ~whole).sum()):
        fault = f"{bad} values of {name} are not whole numbers; perhaps labels were averaged"
        raise InputError(path, fault, "Paint or copy labels without interpolation")
    return np.where(known, values, UNLABELLED).astype(np.int64)


def _meant(
    path: Path,
    name: str,
    numbers: NDArray[np.int64],
    cloud: Cloud,
    palette: Palette | None,
    scene: Scene,
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """(M,) labels, and the classes that they count."""
    used = [number for number in np.unique(numbers).tolist() if number != UNLABELLED]
    own, is_standard = scene.class_names, _plain(name) == "classification"
    if palette is not None:
        # A survey's classifications stay what they are in whatever file they are saved.
        is_survey = cloud.class_column == name or (is_standard and "las" in scene.properties)
        in_las = is_survey and bool(palette.las)
        meaning = _chosen(path, name, used, palette, sure=cloud.class_column == name) if in_las else palette.by_number
        classes = palette.classes
    elif cloud.class_column == name:
        classes, index = numbered(list(dict.fromkeys(cloud.class_names.values())), str(path))
        by_name = dict(zip(dict.fromkeys(cloud.class_names.values()), index, strict=True))
        meaning = {number: by_name[word] for number, word in cloud.class_names.items()}
        meaning |= dict.fromkeys(_UNCLASSIFIED, UNLABELLED)
    elif own and not is_standard:
        classes, meaning = own, dict(enumerate(range(len(own))))
    else:
        remedy = "Put the classes.json of the labels beside it, or name the classes 0, 1, ... with --classes wall,floor"
        raise InputError(path, f"nothing says what the numbers of {name} mean", remedy)
    if strange := [str(number) for number in used if number not in meaning]:
        known = f"the {len(classes)} classes" if palette is None else palette.where
        fault = f"{name} has the numbers {few(strange, 5)}, which are not in {known}"
        raise InputError(path, fault, "Add these classes to the list and give it with --classes")
    values, place = np.unique(numbers, return_inverse=True)
    table = np.array([max(UNLABELLED, meaning.get(value, UNLABELLED)) for value in values.tolist()], np.int32)
    return table[place], classes


def _chosen(path: Path, name: str, used: list[int], palette: Palette, *, sure: bool) -> Mapping[int, int]:
    """What numbers mean: classifications of LAS, or ids of classes where that is not sure and they can be.

    Raises:
        InputError: they may be both, and mean different things.
    """
    standard: dict[int, int] = dict.fromkeys(_UNCLASSIFIED, UNLABELLED)
    for index, number in enumerate(palette.las):
        standard.setdefault(number, index)
    if sure or not all(number in palette.by_number for number in used):
        return standard
    if not all(number in standard for number in used):
        return palette.by_number
    if any(standard[number] != palette.by_number[number] for number in used):
        fault = f"the numbers of {name} may be ids of {palette.where} or classifications of LAS"
        raise InputError(path, fault, "Rename the column to label if they are ids, or save the cloud as LAS")
    return standard


def _by_name(label: NDArray[np.int32], classes: tuple[str, ...], other: tuple[str, ...]) -> NDArray[np.int32]:
    if classes == other:
        return label
    table = [other.index(name) if name in other else -2 for name in classes]
    return np.array([*table, UNLABELLED], np.int32)[label]


def _same_standard(label: NDArray[np.int32], palette: Palette | None, values: NDArray[Any]) -> bool:
    """Whether classifications of LAS are those that the labels have: several classes may share one."""
    if palette is None or not palette.las:
        return False
    expected = np.array([*palette.las, _UNCLASSIFIED[1]])[label]
    return bool(((values == expected) | ((label < 0) & np.isin(values, _UNCLASSIFIED))).all())

"""Sweeps as KITTI and nuScenes store them: float32 and nothing else, with KITTI's labels in a file of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.clouds import Cloud, cloud_scene, first_bytes
from ditr.captures.semantic_kitti_ids import SEMANTIC_KITTI_IDS
from ditr.errors import InputError
from ditr.scene import ReadOptions, Scene

__all__ = ["read", "read_sweep", "recognise"]

_LAYOUTS = (("x", "y", "z", "intensity"), ("x", "y", "z", "intensity", "ring"))
_FARTHEST = 1000.0
"""Metres that a LiDAR sees at most."""
_BRIGHTEST, _MOST_RINGS = 255.0, 256
_LOOKED_AT = 4096
_BROKEN = "Copy or write it again"


def recognise(path: Path) -> str | None:
    """By its size and first numbers, which are places and intensities as a LiDAR may give them."""
    names = _layout_of(path)
    return None if names is None else f"its numbers look like {', '.join(names)} of a LiDAR"


def read(path: Path, options: ReadOptions) -> Scene:
    """The points of a sweep, with the labels beside it or in the folder ``labels`` of its sequence.

    Raises:
        InputError: a file that is not a sweep, or labels that are not as many as the points.
    """
    names = _layout_of(path)
    if names is None:
        raise InputError(path, "its numbers do not look like points of a LiDAR", _BROKEN)
    return _read(path, names)


def read_sweep(path: Path) -> Scene:
    """The points of a file that is known to be a sweep of KITTI's, with its labels as for :func:`read`.

    Raises:
        InputError: a file that is damaged, or labels that are not as many as the points.
    """
    names = _LAYOUTS[0]
    width = 4 * len(names)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(path, f"the points cannot be read ({error.strerror or error})", _BROKEN) from None
    if not size or size % width:
        raise InputError(path, f"its {size} bytes are not {width} for each point", _BROKEN)
    return _read(path, names)


def _read(path: Path, names: tuple[str, ...]) -> Scene:
    try:
        values = np.fromfile(path, dtype="<f4").reshape(-1, len(names))
    except (OSError, ValueError) as error:
        raise InputError(path, f"the points cannot be read ({error})", _BROKEN) from None
    cloud = Cloud({name: np.ascontiguousarray(values[:, i]) for i, name in enumerate(names)})
    cloud.reading = ReadOptions(up=(0.0, 0.0, 1.0))
    if (labels := _labels_of(path)) is not None:
        raw = _raw_labels(labels, len(values))
        cloud.columns |= {"semantic": (raw & 0xFFFF).astype(np.int32), "instance": (raw >> 16).astype(np.int32)}
        cloud.class_column = "semantic"
        cloud.class_names = {number: name for name, numbers in SEMANTIC_KITTI_IDS.items() for number in numbers}
        cloud.say("labels", f"they are read from {labels.name}, as SemanticKITTI numbers them")
    return cloud_scene(path, cloud)


def _layout_of(path: Path) -> tuple[str, ...] | None:
    if path.suffix.lower() != ".bin":
        return None
    try:
        size = path.stat().st_size
    except OSError:
        return None
    for names in _LAYOUTS:
        width = 4 * len(names)
        if size and size % width == 0:
            start = first_bytes(path, width * _LOOKED_AT)
            if _is_plausible(np.frombuffer(start, "<f4").reshape(-1, len(names))):
                return names
    return None


def _is_plausible(values: NDArray[Any]) -> bool:
    if not np.isfinite(values).all() or np.abs(values[:, :3]).max() > _FARTHEST:
        return False
    # Whole numbers that are read as floats are next to nothing.
    if (np.abs(values[:, :3]).max(axis=0) < 1e-3).any() or not np.ptp(values[:, :3], axis=0).all():
        return False
    strength = values[:, 3]
    if strength.min() < 0 or strength.max() > _BRIGHTEST or (0 < strength.max() < 1e-6):
        return False
    rings = values[:, 4:]
    return bool(((rings >= 0) & (rings < _MOST_RINGS) & (rings == np.floor(rings))).all())


def _labels_of(path: Path) -> Path | None:
    places = (path.with_suffix(".label"), path.parent.parent / "labels" / f"{path.stem}.label")
    return next((place for place in places if place.is_file()), None)


def _raw_labels(path: Path, points: int) -> NDArray[np.uint32]:
    if path.stat().st_size != 4 * points:
        fault = f"its {path.stat().st_size} bytes are not 4 for each of the {points} points"
        raise InputError(path, fault, "Give the labels of this sweep, or remove the file")
    return np.fromfile(path, dtype="<u4").astype(np.uint32)

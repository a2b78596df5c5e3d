"""What is shown: a capture, or one with labels or features that a command wrote."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.capture import read_capture
from ditr.captures.class_table import CLASSES, names_in
from ditr.errors import InputError, few
from ditr.io.ply import read_ply
from ditr.scene import ReadOptions, Scene

__all__ = ["Subject", "read_subject"]

_LABELS, _FEATURES = "labels.ply", "features.ply"


@dataclass(frozen=True, eq=False)
class Subject:
    """A scene, and what a command said of its points.

    Attributes:
        scene: with its own labels, where it has any.
        label: (N,) int32 of a result, -1 for none; None where there is no result.
        class_names: what they mean.
        class_colors: (C, 3) uint8 of a result's own; None for those of the palette.
        confidence: (N,) float32 of the labels; None where nothing says it.
        features: (N, 3) uint8, features as colours that a command wrote; None without.
    """

    scene: Scene
    label: NDArray[np.int32] | None = None
    class_names: tuple[str, ...] = ()
    class_colors: NDArray[np.uint8] | None = None
    confidence: NDArray[np.float32] | None = None
    features: NDArray[np.uint8] | None = None


def read_subject(path: Path, options: ReadOptions, capture: Path | None = None) -> Subject:
    """Read a capture, or the folder of a result.

    Args:
        path: of either.
        options: how the capture is read.
        capture: that the result was made of; None to do without its photographs.

    Raises:
        InputError: neither, or a result of another capture.
    """
    files = [path / name for name in (_LABELS, _FEATURES) if (path / name).is_file()] if path.is_dir() else []
    if not files:
        _refuse_folder_of_results(path)
        if capture is not None:
            raise InputError("--capture", f"{path} is a capture itself", "Leave it out, or name the folder of a result")
        return Subject(read_capture(path, options))
    columns = _plain(read_ply(files[0]))
    scene = read_capture(capture, options) if capture is not None else _own_scene(path, files[0], columns, options)
    _require_same(scene, columns, files[0], capture)
    if files[0].name == _FEATURES:
        return Subject(scene, features=_colors(columns, ""))
    if "label" not in columns:
        raise InputError(files[0], "it has no labels", "Name a folder that `ditr segment` or `ditr label` wrote")
    label = columns["label"].astype(np.int32)
    names = tuple(names_in(path) or ())
    if len(label) and (int(label.max()) >= len(names) or int(label.min()) < -1):
        fault = f"its labels go from {label.min()} to {label.max()}, and {CLASSES} beside it names {len(names)} classes"
        raise InputError(files[0], fault, "Name a folder as `ditr segment` or `ditr label` wrote it")
    confidence = columns.get("confidence")
    return Subject(
        scene,
        label=label,
        class_names=names,
        class_colors=_class_colors(path, len(names)),
        confidence=None if confidence is None else confidence.astype(np.float32),
    )


def _refuse_folder_of_results(path: Path) -> None:
    """Of many scenes; one of them has to be named."""
    inside = sorted(found.parent.name for name in (_LABELS, _FEATURES) for found in path.glob(f"*/{name}"))
    if inside and not (path / "transforms.json").exists():
        fault = f"it holds results of {len(inside)} scenes: {few(inside, 3)}"
        raise InputError(path, fault, "Name one of these folders")


def _plain(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Without the names that CloudCompare wants."""
    return {name.removeprefix("scalar_"): values for name, values in columns.items()}


def _own_scene(folder: Path, path: Path, columns: dict[str, NDArray[Any]], options: ReadOptions) -> Scene:
    """What the result's own points are, without photographs; true labels are in it where the capture had some."""
    scene = replace(read_capture(path, options), label=None, class_names=(), name=folder.resolve().name)
    before = _colors(columns, "original_")
    if before is not None or path.name == _FEATURES:
        scene = replace(scene, color=before)
    if (true := columns.get("true_label")) is not None:
        names = _true_names(folder)
        if len(true) and int(true.max()) < len(names):
            scene = replace(scene, label=true.astype(np.int32), class_names=names)
    return scene


def _entries(folder: Path, key: str) -> list[dict[str, Any]]:
    import json

    try:
        entries = json.loads((folder / CLASSES).read_bytes())[key]
        return [dict(entry) for entry in entries]
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return []


def _true_names(folder: Path) -> tuple[str, ...]:
    return tuple(str(entry.get("name")) for entry in _entries(folder, "true_classes"))


def _class_colors(folder: Path, count: int) -> NDArray[np.uint8] | None:
    colors = [entry.get("color") for entry in _entries(folder, "classes")]
    try:
        table = np.array(colors, dtype=np.int64)
    except (ValueError, TypeError, OverflowError):
        return None
    good = table.shape == (count, 3) and count > 0 and table.min() >= 0 and table.max() <= 255
    return table.astype(np.uint8) if good else None


def _colors(columns: dict[str, NDArray[Any]], before: str) -> NDArray[np.uint8] | None:
    names = [f"{before}{name}" for name in ("red", "green", "blue")]
    if not all(name in columns for name in names):
        return None
    return np.column_stack([columns[name] for name in names]).astype(np.uint8)


def _require_same(scene: Scene, columns: dict[str, NDArray[Any]], path: Path, capture: Path | None) -> None:
    coord = np.column_stack([columns[axis] for axis in "xyz"])
    same = coord.shape == scene.coord.shape and np.allclose(coord, scene.coord, rtol=1e-6, atol=1e-3)
    if not same:
        fault = f"its {len(coord)} points are not the {len(scene)} points of {capture}"
        raise InputError(path, fault, "Name the capture that this result was made of, read as it was then")

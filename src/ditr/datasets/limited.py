"""Where scenes come from: folders of captures, or datasets as they are prepared for the published code, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.data.readers.prepared.nuscenes import open_nuscenes
from ditr.data.readers.prepared.s3dis import open_s3dis
from ditr.data.readers.prepared.scannet import open_scannet, open_scannetpp
from ditr.data.readers.prepared.semantic_kitti import open_semantic_kitti
from ditr.data.readers.prepared.structured3d import open_structured3d
from ditr.data.readers.prepared.waymo import open_waymo
from ditr.errors import InputError
from ditr.io.torch_file import StoredTensor, read_torch_file
from ditr.scene import UNLABELLED, Scene, SceneSource

__all__ = ["PREPARED", "open_dataset"]

PREPARED = ("ScanNet", "ScanNet200", "S3DIS", "Structured3D", "nuScenes", "SemanticKITTI", "Waymo", "ScanNet++")
"""Benchmarks whose prepared folders can be read, spelled as in :mod:`ditr.datasets.benchmark`."""


def open_dataset(
    benchmark: str,
    root: str | Path,
    split: str | Sequence[str],
    *,
    images: bool | str | Path = True,
    scenes: str | Path | None = None,
    annotations: str | Path | None = None,
) -> SceneSource:
    """A prepared dataset; the layouts are described in ``ditr.data.readers.prepared``.

    Args:
        benchmark: one of ``PREPARED``; capitals do not matter.
        root: its folder, such as ``data/scannet``.
        split: as the dataset calls it, or several, whose scenes follow one another: ``["train", "val"]``.
        images: with the photographs, from the folder in which the published code expects them (``data/scannet_images``
            for ``data/scannet``, ``_color`` for SemanticKITTI, inside the root for nuScenes and Waymo) or from the one
            that is named here; False without. ScanNet++, for which none are published, has them where
            there is such a folder.
        scenes: a text file of names of scenes, one per line; only these are kept (limited reconstructions).
        annotations: a file of torch.save with a dictionary from scenes to numbers of points; all other points become
            unlabelled (limited annotations). Scenes that it does not name lose all labels. The published training
            also keeps its augmentations from dropping these points, which is not done here.

    Raises:
        InputError: no such benchmark or split, or files that are missing; the text says which layout is expected.
    """
    known = {name.casefold(): name for name in PREPARED}
    if benchmark.casefold() not in known:
        raise InputError("dataset", f"there is no reader for {benchmark!r}", f"Known are {', '.join(PREPARED)}")
    splits = [split] if isinstance(split, str) else list(split)
    if not splits or len(set(splits)) < len(splits):
        raise InputError(root, "no split is named, or one twice", "Name each split once")
    source = _opened(known[benchmark.casefold()], Path(root), splits, images)
    if scenes is not None:
        source = _limited(source, Path(scenes))
    return source if annotations is None else Annotated(source, _annotations(Path(annotations)))


def _opened(name: str, root: Path, splits: Sequence[str], images: bool | str | Path) -> SceneSource:
    if not root.is_dir():
        raise InputError(root, "there is no such folder", f"Name the folder of {name}, prepared for the published code")

    def beside(suffix: str) -> Path | None:
        if isinstance(images, bool):
            # Not ``with_name``, which a root of "." has not.
            return root.absolute().parent / f"{root.absolute().name}{suffix}" if images else None
        return Path(images)

    match name:
        case "ScanNet" | "ScanNet200":
            return open_scannet(root, splits, beside("_images"), fine=name == "ScanNet200")
        case "ScanNet++":
            folder = beside("_images")
            there = folder if images is not True or (folder is not None and folder.is_dir()) else None
            return open_scannetpp(root, splits, there)
        case "S3DIS":
            return open_s3dis(root, splits, beside("_images"))
        case "Structured3D":
            return open_structured3d(root, splits, beside("_images"))
        case "nuScenes":
            return open_nuscenes(root, splits, root / "raw" if images is True else beside(""))
        case "SemanticKITTI":
            return open_semantic_kitti(root, splits, beside("_color"))
        case _:
            if not isinstance(images, bool):
                raise InputError(images, "photographs of Waymo lie with their sweeps", "Leave the folder out")
            return open_waymo(root, splits, images)


# ---- limited data ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Selected:
    """Some scenes of a source."""

    source: SceneSource
    rows: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.source.name

    def __len__(self) -> int:
        return len(self.rows)

    def names(self) -> list[str]:
        names = self.source.names()
        return [names[row] for row in self.rows]

    def scene(self, index: int) -> Scene:
        return self.source.scene(self.rows[index])


def _limited(source: SceneSource, path: Path) -> SceneSource:
    try:
        wanted = {line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"the list cannot be read ({error})", "Give a name of a scene per line") from None
    names = source.names()
    lacking = sorted(wanted - set(names))
    if lacking or not wanted:
        fault = f"{source.name} has no scene {lacking[0]} in this split" if lacking else "it names no scene"
        raise InputError(path, fault, f"Give names of its {len(names)} scenes, one per line")
    return Selected(source, tuple(row for row, name in enumerate(names) if name in wanted))


@dataclass(frozen=True)
class Annotated:
    """A source in whose scenes only some points keep their label."""

    source: SceneSource
    annotated: Mapping[str, NDArray[np.int64]]

    @property
    def name(self) -> str:
        return self.source.name

    def __len__(self) -> int:
        return len(self.source)

    def names(self) -> list[str]:
        return self.source.names()

    def scene(self, index: int) -> Scene:
        scene = self.source.scene(index)
        if scene.label is None:
            return scene
        rows = self.annotated.get(scene.name, np.empty(0, dtype=np.int64))
        if rows.size and (rows.min() < 0 or rows.max() >= len(scene)):
            raise InputError(
                f"scene {scene.name}",
                f"point {rows.max()} is annotated; it has {len(scene)}",
                "Use the annotations of this preparation",
            )
        label = np.full(len(scene), UNLABELLED, dtype=np.int32)
        label[rows] = scene.label[rows]
        return replace(scene, label=label)


def _annotations(path: Path) -> dict[str, NDArray[np.int64]]:
    table = read_torch_file(path)
    if not isinstance(table, dict):
        raise InputError(path, "this is no dictionary from scenes to points", "Give one, saved with torch.save")
    return {str(name): _rows(path, rows) for name, rows in table.items()}


def _rows(path: Path, stored: Any) -> NDArray[np.int64]:
    values = stored.load().numpy() if isinstance(stored, StoredTensor) else np.asarray(stored)
    if values.ndim != 1 or (values.size and values.dtype.kind not in "iu"):
        raise InputError(path, "the points of a scene are no list of whole numbers", "Save numbers of points")
    return values.astype(np.int64)

"""Limited data: some scenes of a source, or some labels of its scenes (the data-efficient benchmarks)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.io.stored_tensor import StoredTensor
from ditr.io.torch_file import read_torch_file
from ditr.scene import UNLABELLED, Scene, SceneSource

__all__ = ["Annotated", "Selected", "annotated_points", "limited"]


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


def limited(source: SceneSource, path: Path) -> SceneSource:
    """Only the scenes whose names stand in the text file ``path``, one per line.

    Raises:
        InputError: the list cannot be read, is empty, or names a scene that the source does not have.
    """
    try:
        wanted = {line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"the list cannot be read ({error})", "Give one scene name per line") from None
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
                f"point {rows.max()} is annotated, but the scene has {len(scene)} points",
                "Use annotations of the same prepared dataset",
            )
        label = np.full(len(scene), UNLABELLED, dtype=np.int32)
        label[rows] = scene.label[rows]
        return replace(scene, label=label)


def annotated_points(path: Path) -> dict[str, NDArray[np.int64]]:
    """The numbers of the annotated points of each scene, from a file of torch.save.

    Raises:
        InputError: another content.
    """
    table = read_torch_file(path)
    if not isinstance(table, dict):
        raise InputError(
            path, "this is not a dictionary from scenes to points", "Give such a dictionary, saved with torch.save"
        )
    return {str(name): _rows(path, rows) for name, rows in table.items()}


def _rows(path: Path, stored: Any) -> NDArray[np.int64]:
    values = stored.load().numpy() if isinstance(stored, StoredTensor) else np.asarray(stored)
    if values.ndim != 1 or (values.size and values.dtype.kind not in "iu"):
        raise InputError(
            path, "the points of a scene are not a list of whole numbers", "Save the indices of points, as integers"
        )
    return values.astype(np.int64)

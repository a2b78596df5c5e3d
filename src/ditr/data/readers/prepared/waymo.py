"""Waymo Open as it is prepared for the published code: folders of arrays with the five photographs.

``waymo/{training,validation,testing}/SEGMENT/TIME/`` with ``{coord,strength,segment}.npy`` and
``image_{0..4}.jpg``, ``image_coord.npy``, ``image_mask.npy``. The dataset says itself which camera shows a point, at
most one, and at which pixel; no pose of a camera is stored. ``mask.npy`` (for submissions) holds objects and is not
read, ``pose.npy`` leads to the world and is not needed.

Images of 1280 rows lose the upper 394, and with these the points that they show there. Sweeps come sorted, as
published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ditr.captures.images import image_size
from ditr.datasets import waymo
from ditr.datasets.arrays import build_scene, load_array, need, optional_labels, split_folders, subfolders
from ditr.errors import InputError
from ditr.scene import PointPixels, Scene, View

__all__ = ["PreparedWaymo", "open_waymo"]

_SPLITS = {"train": "training", "val": "validation", "test": "testing"}
_FULL_HEIGHT = 1280


@dataclass(frozen=True)
class PreparedWaymo:
    """Sweeps of some splits, called ``SEGMENT-TIME``; see :class:`~ditr.scene.SceneSource`."""

    folders: tuple[Path, ...]
    images: bool
    layout: str
    name: str = "Waymo"

    def __len__(self) -> int:
        return len(self.folders)

    def names(self) -> list[str]:
        return [f"{folder.parent.name}-{folder.name}" for folder in self.folders]

    def scene(self, index: int) -> Scene:
        """One sweep with its five photographs.

        Raises:
            InputError: a missing or damaged file.
        """
        folder = self.folders[index]
        need((folder / name for name in _files(self.images)), self.layout)
        coord = load_array(folder / "coord.npy", "f", 3)
        return build_scene(
            folder,
            {
                "name": f"{folder.parent.name}-{folder.name}",
                "coord": coord,
                "strength": load_array(folder / "strength.npy", "f", None, len(coord)),
                "views": _views(folder, len(coord)) if self.images else (),
                "label": optional_labels(folder / "segment.npy", len(coord)),
                "class_names": waymo.CLASSES,
            },
        )


def open_waymo(root: Path, splits: Sequence[str], images: bool) -> PreparedWaymo:
    """The sweeps of ``training``, ``validation`` or ``testing`` (or ``train``, ``val``, ``test``).

    Raises:
        InputError: the folder, a split or a sweep's first files are missing.
    """
    layout = f"{root.name}/{{training,validation,testing}}/SEGMENT/TIME/{{{','.join(_files(images))},segment.npy}}"
    folders = split_folders(root, [_SPLITS.get(split, split) for split in splits], layout)
    sweeps = [sweep for folder in folders for sweep in subfolders(folder, "*/*", layout)]
    # The first sweep tells whether the images were prepared; asking for all files of 24 000 sweeps takes minutes.
    need((sweeps[0] / name for name in _files(images)), layout)
    return PreparedWaymo(tuple(sweeps), images, layout)


def _files(images: bool) -> list[str]:
    more = [*(f"image_{k}.jpg" for k in range(len(waymo.CAMERAS))), "image_coord.npy", "image_mask.npy"]
    return ["coord.npy", "strength.npy", *(more if images else ())]


def _views(folder: Path, count: int) -> tuple[View, ...]:
    coord = load_array(folder / "image_coord.npy", "iuf", 2, count).astype(np.float32)
    mask = load_array(folder / "image_mask.npy", "b", len(waymo.CAMERAS), count)
    views = []
    for k, name in enumerate(waymo.CAMERAS):
        path = folder / f"image_{k}.jpg"
        width, height = image_size(path)
        if height not in (_FULL_HEIGHT, waymo.IMAGE_HEIGHT):
            fault = f"the image has {height} rows, not {_FULL_HEIGHT} or {waymo.IMAGE_HEIGHT}"
            raise InputError(path, fault, "Prepare it in the size of the dataset")
        cut = height - waymo.IMAGE_HEIGHT
        rows = np.flatnonzero(mask[:, k] & (coord[:, 1] >= cut))
        pixels = PointPixels(rows, coord[rows] - np.array((0, cut), dtype=np.float32))
        views.append(View.unposed(name, (width, waymo.IMAGE_HEIGHT), path, pixels, cut))
    return tuple(views)

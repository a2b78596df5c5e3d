"""Waymo Open (3D semantic segmentation): its classes and cameras, and how the published models take its sweeps.

Waymo Open as it is prepared for the published code: folders of arrays with the five photographs.

``waymo/{training,validation,testing}/SEGMENT/TIME/`` with ``{coord,strength,segment}.npy`` and
``image_{0..4}.jpg``, ``image_coord.npy``, ``image_mask.npy``. The dataset says itself which camera shows a point, at
most one, and at which pixel; no pose of a camera is stored. ``mask.npy`` (for submissions) holds objects and is not
read, ``pose.npy`` leads to the world and is not needed.

Images of 1280 rows lose the upper 394, and with these the points that they show there. Sweeps come sorted, as
published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ditr.captures.images import image_size
from ditr.data.augment.variants import ROTATIONS
from ditr.data.preparation import Attribute, Box, Origin, Preparation
from ditr.data.sample import ViewChoice
from ditr.datasets.arrays import (
    NestedFolders,
    build_scene,
    load_array,
    need,
    optional_labels,
    split_folders,
    subfolders,
)
from ditr.datasets.benchmark import Benchmark, Images, sweeps
from ditr.datasets.label_map import LabelMap
from ditr.errors import InputError
from ditr.geometry.projection import OUTDOOR
from ditr.scene import PointPixels, Scene, View

__all__ = [
    "BOX",
    "CAMERAS",
    "CLASSES",
    "COLORS",
    "IMAGE_HEIGHT",
    "IMAGE_SIZE",
    "LABELS",
    "RULE",
    "WAYMO",
    "PreparedWaymo",
    "open_waymo",
    "preparation",
]

CAMERAS = ("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "SIDE_LEFT", "SIDE_RIGHT")
"""In the order of the dataset's enumeration. The dataset says itself which camera shows a point: at most one."""
RULE = OUTDOOR
IMAGE_HEIGHT = 886
"""Rows of a photograph that are used: of those with 1280 the upper 394 are cut."""
IMAGE_SIZE = (308, 672)
BOX: Box = (-75.2, -75.2, -4.0, 75.2, 75.2, 2.0)

CLASSES = (
    "Car",
    "Truck",
    "Bus",
    "Other Vehicle",
    "Motorcyclist",
    "Bicyclist",
    "Pedestrian",
    "Sign",
    "Traffic Light",
    "Pole",
    "Construction Cone",
    "Bicycle",
    "Motorcycle",
    "Building",
    "Vegetation",
    "Tree Trunk",
    "Curb",
    "Road",
    "Lane Marker",
    "Other Ground",
    "Walkable",
    "Sidewalk",
)
COLORS: tuple[tuple[int, int, int], ...] | None = None
LABELS = LabelMap({i + 1: i for i in range(len(CLASSES))}, tuple(range(1, len(CLASSES) + 1)))
"""Raw id 0 is undefined."""


def preparation(images: bool) -> Preparation:
    """How the published models take a sweep, in the vehicle's frame.

    Strengths are expected as the hyperbolic tangent of the dataset's intensities, as the prepared folders store them.
    """
    without = Preparation(
        voxel_size=0.05,
        attributes=(Attribute.COORD, Attribute.STRENGTH),
        rule=RULE,
        view_choice=ViewChoice.LAST,
        origin=Origin.SENSOR,
        clip_box=BOX,
    )
    return replace(without, image_size=IMAGE_SIZE) if images else without


# ---- as prepared for the published code ------------------------------------------------------------------------

_SPLITS = {"train": "training", "val": "validation", "test": "testing"}
_FULL_HEIGHT = 1280


@dataclass(frozen=True)
class PreparedWaymo(NestedFolders):
    """Sweeps of some splits, called ``SEGMENT-TIME``; see :class:`~ditr.scene.SceneSource`."""

    images: bool
    layout: str
    name: str = "Waymo"

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
                "name": self.names()[index],
                "coord": coord,
                "strength": load_array(folder / "strength.npy", "f", None, len(coord)),
                "views": _views(folder, len(coord)) if self.images else (),
                "label": optional_labels(folder / "segment.npy", len(coord)),
                "class_names": CLASSES,
            },
        )


def open_waymo(root: Path, splits: Sequence[str], images: Images) -> PreparedWaymo:
    """The sweeps of ``training``, ``validation`` or ``testing`` (or ``train``, ``val``, ``test``).

    Raises:
        InputError: the folder, a split or a sweep's first files are missing.
    """
    if isinstance(images, Path):
        raise InputError(images, "the images of Waymo are stored with their sweeps", "Leave the folder of images out")
    layout = f"{root.name}/SPLIT/SEGMENT/TIME with {', '.join(_files(images))} and segment.npy"
    folders = split_folders(root, [_SPLITS.get(split, split) for split in splits], layout)
    sweeps = [sweep for folder in folders for sweep in subfolders(folder, "*/*", layout)]
    # The first sweep tells whether the images were prepared; asking for all files of 24 000 sweeps takes minutes.
    need((sweeps[0] / name for name in _files(images)), layout)
    return PreparedWaymo(tuple(sweeps), images, layout)


def _files(images: bool) -> list[str]:
    more = [*(f"image_{k}.jpg" for k in range(len(CAMERAS))), "image_coord.npy", "image_mask.npy"]
    return ["coord.npy", "strength.npy", *(more if images else ())]


def _views(folder: Path, count: int) -> tuple[View, ...]:
    coord = load_array(folder / "image_coord.npy", "iuf", 2, count).astype(np.float32)
    mask = load_array(folder / "image_mask.npy", "b", len(CAMERAS), count)
    views = []
    for k, name in enumerate(CAMERAS):
        path = folder / f"image_{k}.jpg"
        width, height = image_size(path)
        if height not in (_FULL_HEIGHT, IMAGE_HEIGHT):
            fault = f"the image has {height} rows, not {_FULL_HEIGHT} or {IMAGE_HEIGHT}"
            raise InputError(path, fault, "Prepare it at the dataset's original size")
        cut = height - IMAGE_HEIGHT
        rows = np.flatnonzero(mask[:, k] & (coord[:, 1] >= cut))
        pixels = PointPixels(rows, coord[rows] - np.array((0, cut), dtype=np.float32))
        views.append(View.unposed(name, (width, IMAGE_HEIGHT), path, pixels, cut))
    return tuple(views)


WAYMO = Benchmark(
    name="Waymo",
    classes=CLASSES,
    class_count=len(CLASSES),
    folder="waymo",
    open=open_waymo,
    without_images=preparation(False),
    with_images=preparation(True),
    colors=COLORS,
    labels=LABELS,
    voting=ROTATIONS,
    test_voxel_size=0.025,
    training_data=sweeps(),
)

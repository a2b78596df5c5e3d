"""nuScenes (lidarseg): its classes and cameras, and how the published models take its sweeps.

nuScenes as it is prepared for the published code: lists of sweeps, and the unpacked dataset.

``nuscenes/info/nuscenes_infos_10sweeps_{train,val,test}.pkl`` is a list of dictionaries, and ``nuscenes/raw`` the
dataset with ``samples``, ``sweeps`` and ``lidarseg``. The list is a pickle, read as data. Of each sweep the points of
one turn are taken, in the LiDAR's frame; the cameras' poses account for the way between the two moments.

The list of the whole training split takes half a minute to read; only what is needed of it is kept. The order is the
list's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import image_size
from ditr.data.augment.variants import NUSCENES as NUSCENES_VARIANTS
from ditr.data.preparation import Attribute, Origin, Preparation
from ditr.data.sample import ViewChoice
from ditr.datasets.arrays import build_scene, load_floats, need, need_folder
from ditr.datasets.benchmark import Benchmark, Images, images_beside, sweeps
from ditr.datasets.counting import Absent, Counting
from ditr.datasets.label_map import LabelMap
from ditr.errors import InputError
from ditr.geometry.projection import OUTDOOR
from ditr.io.pickle_reader import read_pickle_file
from ditr.scene import Camera, Scene, View

__all__ = [
    "CAMERAS",
    "CLASSES",
    "COLORS",
    "IMAGE_SIZE",
    "LABELS",
    "NUSCENES",
    "RULE",
    "STRENGTH_SCALE",
    "PreparedNuScenes",
    "open_nuscenes",
    "preparation",
]

CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_FRONT_LEFT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT")
"""In the published order, which decides: where two cameras show a point, the later one gives the feature."""
RULE = OUTDOOR
IMAGE_SIZE = (378, 672)
STRENGTH_SCALE = 255.0
"""Strengths are stored as 0..255."""

# Raw ids of the lidarseg files, 0..31; the colours are the devkit's, for a class of several categories the first one's.
_TABLE = (
    ("barrier", (9,), (112, 128, 144)),
    ("bicycle", (14,), (220, 20, 60)),
    ("bus", (15, 16), (255, 127, 80)),
    ("car", (17,), (255, 158, 0)),
    ("construction_vehicle", (18,), (233, 150, 70)),
    ("motorcycle", (21,), (255, 61, 99)),
    ("pedestrian", (2, 3, 4, 6), (0, 0, 230)),
    ("traffic_cone", (12,), (47, 79, 79)),
    ("trailer", (22,), (255, 140, 0)),
    ("truck", (23,), (255, 99, 71)),
    ("driveable_surface", (24,), (0, 207, 191)),
    ("other_flat", (25,), (175, 0, 75)),
    ("sidewalk", (26,), (75, 0, 75)),
    ("terrain", (27,), (112, 180, 60)),
    ("manmade", (28,), (222, 184, 135)),
    ("vegetation", (30,), (0, 175, 0)),
)
CLASSES = tuple(name for name, _, _ in _TABLE)
COLORS = tuple(color for _, _, color in _TABLE)
LABELS = LabelMap(
    {raw: i for i, (_, raws, _) in enumerate(_TABLE) for raw in raws},
    # The challenge counts its classes from 1.
    tuple(range(1, len(_TABLE) + 1)),
)


def preparation(images: bool) -> Preparation:
    """How the published models take a sweep, in the LiDAR's frame; all six photographs of it are used."""
    without = Preparation(
        voxel_size=0.05,
        attributes=(Attribute.COORD, Attribute.STRENGTH),
        rule=RULE,
        view_choice=ViewChoice.LAST,
        origin=Origin.SENSOR,
        strength_scale=STRENGTH_SCALE,
    )
    return replace(without, image_size=IMAGE_SIZE) if images else without


# ---- as prepared for the published code ------------------------------------------------------------------------

_LAYOUT = "nuscenes/info with nuscenes_infos_10sweeps_val.pkl, and nuscenes/raw with samples, sweeps and lidarseg"
_FOLDERS = ("samples", "sweeps", "lidarseg")


@dataclass(frozen=True)
class _CameraImage:
    path: Path
    intrinsics: NDArray[np.float64]
    world_to_camera: NDArray[np.float64]


@dataclass(frozen=True)
class _Sweep:
    token: str
    points: Path
    labels: Path | None
    cameras: tuple[_CameraImage, ...]


@dataclass(frozen=True)
class PreparedNuScenes:
    """Sweeps of some splits; see :class:`~ditr.scene.SceneSource`. They are named by their token."""

    sweeps: tuple[_Sweep, ...]
    name: str = "nuScenes"

    def __len__(self) -> int:
        return len(self.sweeps)

    def names(self) -> list[str]:
        return [sweep.token for sweep in self.sweeps]

    def scene(self, index: int) -> Scene:
        """One sweep with its six photographs.

        Raises:
            InputError: a missing or damaged file.
        """
        sweep = self.sweeps[index]
        need([sweep.points, *(camera.path for camera in sweep.cameras)], _LAYOUT)
        points = load_floats(sweep.points, 5)
        return build_scene(
            sweep.points,
            {
                "name": sweep.token,
                "coord": points[:, :3],
                "strength": points[:, 3],
                "views": tuple(map(_view, CAMERAS, sweep.cameras)),
                "label": _labels(sweep.labels, len(points)),
                "class_names": CLASSES,
            },
        )


def open_nuscenes(root: Path, splits: Sequence[str], images: Images) -> PreparedNuScenes:
    """The sweeps of ``train``, ``val`` or ``test``; the images lie in ``raw`` with the points.

    Raises:
        InputError: a missing list, one that is no list of sweeps, or one that was made without cameras.
    """
    need_folder(root / "raw", "the unpacked dataset", _LAYOUT)
    files = [root / "info" / f"nuscenes_infos_10sweeps_{split}.pkl" for split in splits]
    need(files, _LAYOUT)
    folder = root / "raw" if images is True else images_beside(root, images, "")
    sweeps: list[_Sweep] = []
    for file in files:
        entries = read_pickle_file(file)
        if not isinstance(entries, list) or not entries:
            raise InputError(file, "this is not a list of sweeps", "Make it anew with the published preparation")
        sweeps += (_sweep(file, number, entry, root / "raw", folder) for number, entry in enumerate(entries))
    return PreparedNuScenes(tuple(sweeps))


def _sweep(file: Path, number: int, entry: Any, raw: Path, images: Path | None) -> _Sweep:
    try:
        labels = entry.get("gt_segment_path")
        return _Sweep(
            token=str(entry["lidar_token"]),
            points=_located(raw, entry["lidar_path"]),
            labels=None if labels is None else _located(raw, labels),
            cameras=() if images is None else tuple(_camera_image(entry["cams"][name], images) for name in CAMERAS),
        )
    except (KeyError, TypeError, ValueError, AttributeError, np.linalg.LinAlgError) as fault:
        raise InputError(
            file,
            f"entry {number} is no sweep with its cameras ({type(fault).__name__}: {fault})",
            "Make the list anew with the published preparation and its camera flag, or read it without images",
        ) from None


def _located(raw: Path, stored: Any) -> Path:
    """A file of the dataset; lists name them from the folder of whoever made them, so what comes before is dropped."""
    parts = PurePosixPath(str(stored)).parts
    start = next((at for at, part in enumerate(parts) if part in _FOLDERS), None)
    if start is None or ".." in parts:
        raise ValueError(f"{stored!r} is in none of {', '.join(_FOLDERS)}")
    return raw.joinpath(*parts[start:])


def _camera_image(camera: Mapping[str, Any], images: Path) -> _CameraImage:
    pose = np.eye(4)
    pose[:3, :3] = np.asarray(camera["sensor2lidar_rotation"], dtype=np.float64).reshape(3, 3)
    pose[:3, 3] = np.asarray(camera["sensor2lidar_translation"], dtype=np.float64).reshape(3)
    intrinsics = np.asarray(camera["camera_intrinsics"], dtype=np.float64).reshape(3, 3)
    world_to_camera = np.asarray(np.linalg.inv(pose), dtype=np.float64)
    return _CameraImage(_located(images, camera["data_path"]), intrinsics, world_to_camera)


def _view(name: str, camera: _CameraImage) -> View:
    width, height = image_size(camera.path)
    k = camera.intrinsics
    return View(name, Camera(width, height, k[0, 0], k[1, 1], k[0, 2], k[1, 2]), camera.world_to_camera, camera.path)


def _labels(path: Path | None, count: int) -> NDArray[np.int32] | None:
    if path is None or not path.exists():
        return None
    raw = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    if len(raw) != count:
        raise InputError(path, f"it holds {len(raw)} labels for {count} points", "Unpack nuScenes-lidarseg again")
    return LABELS.train(raw)


NUSCENES = Benchmark(
    name="nuScenes",
    classes=CLASSES,
    class_count=len(CLASSES),
    folder="nuscenes",
    open=open_nuscenes,
    without_images=preparation(False),
    with_images=preparation(True),
    colors=COLORS,
    labels=LABELS,
    voting=NUSCENES_VARIANTS,
    test_voxel_size=0.025,
    training_data=sweeps(-1.84),
    counting=Counting(Absent.LEFT_OUT),
)

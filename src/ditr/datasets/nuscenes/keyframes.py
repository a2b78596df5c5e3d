"""Keyframes of nuScenes as scenes: a turn of the LiDAR in its own frame, and the six photographs taken about then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import image_size
from ditr.datasets.arrays import build_scene, load_floats, need
from ditr.datasets.nuscenes.facts import CAMERAS, CATEGORIES, CLASSES, FOLDERS, LABELS
from ditr.errors import InputError
from ditr.io.files import read_bytes
from ditr.scene import Camera, Scene, View

__all__ = ["LAYOUT", "Keyframe", "Keyframes", "keyframe", "load_labels", "located"]

LAYOUT = "nuscenes/info with nuscenes_infos_10sweeps_val.json (or .pkl), and nuscenes/raw with samples and lidarseg"


@dataclass(frozen=True)
class _CameraImage:
    path: Path
    intrinsics: NDArray[np.float64]
    world_to_camera: NDArray[np.float64]


@dataclass(frozen=True)
class Keyframe:
    """The files of one keyframe, and the cameras' poses in the LiDAR's frame."""

    token: str
    points: Path
    labels: Path | None
    cameras: tuple[_CameraImage, ...]


@dataclass(frozen=True)
class Keyframes:
    """Keyframes of some splits; see :class:`~ditr.scene.SceneSource`. They are named by the LiDAR's token."""

    keyframes: Sequence[Keyframe]
    name: str = "nuScenes"

    def __len__(self) -> int:
        return len(self.keyframes)

    def names(self) -> list[str]:
        return [frame.token for frame in self.keyframes]

    def scene(self, index: int) -> Scene:
        """One keyframe with its photographs; ``extra["ring"]`` is the number of each point's beam.

        Raises:
            InputError: a missing or damaged file.
        """
        frame = self.keyframes[index]
        need([frame.points, *(camera.path for camera in frame.cameras)], LAYOUT)
        points = load_floats(frame.points, 5)
        return build_scene(
            frame.points,
            {
                "name": frame.token,
                "coord": points[:, :3],
                "strength": points[:, 3],
                "views": tuple(map(_view, CAMERAS, frame.cameras)),
                "label": None if frame.labels is None else load_labels(frame.labels, len(points)),
                "class_names": CLASSES,
                "extra": {"ring": _rings(frame.points, points[:, 4])},
            },
        )


def keyframe(entry: Mapping[str, Any], files: Path, images: Path | None, *, labels: bool = True) -> Keyframe:
    """A keyframe of an entry of the published list.

    Args:
        entry: plain values, as :func:`ditr.datasets.nuscenes.drive.entries` makes them.
        files: folder of ``samples`` and ``lidarseg``.
        images: folder of ``samples`` with the photographs; None without.
        labels: whether there is lidarseg; each file of labels that an entry names has to be there then.

    Raises:
        KeyError, TypeError, ValueError: something is missing, or is not a matrix, or a path leads elsewhere.
    """
    token, named = str(entry["lidar_token"]), entry.get("gt_segment_path")
    if named is not None and PurePosixPath(str(named)).name != f"{token}_lidarseg.bin":
        raise ValueError(f"the labels {named!r} are not those of {token}")
    named = named if labels else None
    return Keyframe(
        token=token,
        points=located(files, entry["lidar_path"]),
        labels=None if named is None else located(files, named),
        cameras=() if images is None else tuple(_camera_image(entry["cams"][name], images) for name in CAMERAS),
    )


def located(root: Path, stored: Any) -> Path:
    """A file of the dataset; lists name them from the folder of whoever made them, so what comes before is dropped.

    Raises:
        ValueError: it is in none of the dataset's folders.
    """
    parts = PurePosixPath(str(stored)).parts
    start = next((at for at, part in enumerate(parts) if part in FOLDERS), None)
    if start is None or ".." in parts or "\0" in str(stored):
        raise ValueError(f"{stored!r} is in none of {', '.join(FOLDERS)}")
    return root.joinpath(*parts[start:])


def _camera_image(camera: Mapping[str, Any], images: Path) -> _CameraImage:
    pose = np.eye(4)
    pose[:3, :3] = np.asarray(camera["sensor2lidar_rotation"], dtype=np.float64).reshape(3, 3)
    pose[:3, 3] = np.asarray(camera["sensor2lidar_translation"], dtype=np.float64).reshape(3)
    intrinsics = np.asarray(camera["camera_intrinsics"], dtype=np.float64).reshape(3, 3)
    if not (np.isfinite(pose).all() and np.isfinite(intrinsics).all()):
        raise ValueError("numbers of a camera are not finite")
    rotation = pose[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 0.005 or np.linalg.det(rotation) < 0:
        raise ValueError("sensor2lidar_rotation is not a rotation")
    if min(intrinsics[0, 0], intrinsics[1, 1]) <= 0:
        raise ValueError("camera_intrinsics have no focal length")
    world_to_camera = np.asarray(np.linalg.inv(pose), dtype=np.float64)
    return _CameraImage(located(images, camera["data_path"]), intrinsics, world_to_camera)


def _view(name: str, camera: _CameraImage) -> View:
    width, height = image_size(camera.path)
    k = camera.intrinsics
    return View(name, Camera(width, height, k[0, 0], k[1, 1], k[0, 2], k[1, 2]), camera.world_to_camera, camera.path)


def _rings(path: Path, stored: NDArray[np.float32]) -> NDArray[np.uint8]:
    if not ((stored >= 0) & (stored <= 255)).all():
        raise InputError(path, "the fifth number of some points is not a beam index", "Copy the file again")
    return stored.astype(np.uint8)


def load_labels(path: Path, count: int) -> NDArray[np.int32]:
    """(N,) int32 classes of a file of lidarseg, -1 for what the benchmark leaves out.

    Raises:
        InputError: a missing file, or not a category for each of ``count`` points.
    """
    remedy = "Unpack nuScenes-lidarseg again"
    raw = np.frombuffer(read_bytes(path, count + 1), dtype=np.uint8)
    if len(raw) != count:
        raise InputError(path, f"it holds {path.stat().st_size} labels for {count} points", remedy)
    if raw.size and raw.max() >= len(CATEGORIES):
        at = int(np.argmax(raw >= len(CATEGORIES)))
        fault = f"at byte {at} is label {raw[at]}; those of lidarseg end at {len(CATEGORIES) - 1}"
        raise InputError(path, fault, remedy)
    return LABELS.train(raw)

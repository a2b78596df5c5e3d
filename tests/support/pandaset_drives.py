"""Frames of PandaSet's sequence 002 as a drive: a vehicle in the world, cameras on it with shutters of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from bags import SECOND, START, Bagged, Shown, write_bag

from ditr.captures.capture import read_capture
from ditr.scene import Scene

__all__ = ["PANDASET", "frames_of", "write_pandaset"]

PANDASET = Path(__file__).parents[3] / "shared" / "pandaset_002"


def frames_of(count: int) -> list[Scene]:
    """The first frames."""
    return [read_capture(folder) for folder in sorted(PANDASET.glob("frame_*"))[:count]]


def write_pandaset(path: Path, kind: str, frames: Sequence[Scene]) -> list[Scene]:
    """A bag of the frames; they are returned in the LiDAR's frame.

    Mounts of cameras are those of the first frame. What a camera's pose in any frame says of the vehicle at its
    shutter's time is in tf, so that each pose follows from tf and mounts, and no other way.
    """
    lidar_to_base = np.eye(4)
    lidar_to_base[:3, :3] = np.linalg.qr(np.eye(3) + 0.1 * np.arange(9).reshape(3, 3))[0]
    lidar_to_base[:, 0] *= np.sign(np.linalg.det(lidar_to_base))
    lidar_to_base[:3, 3] = (0.9, 0.1, 1.9)
    first = frames[0]
    base = np.linalg.inv(first.views[0].world_to_camera)[:3, [2, 0, 1]] * (1, -1, -1)  # forward, left, up
    start = np.eye(4)
    start[:3, :3] = base
    mounts = {view.name: np.linalg.inv(start) @ np.linalg.inv(view.world_to_camera) for view in first.views}
    bagged, base_to_map, moved = [], [], []
    for number, frame in enumerate(frames):
        stamp = START + number * SECOND // 2
        origin = np.asarray(frame.properties["origin_in_world"])
        shown = []
        for row, view in enumerate(frame.views):
            taken = stamp - 100_000_000 + 14_000_000 * row
            camera_to_map = np.linalg.inv(view.world_to_camera)
            camera_to_map[:3, 3] += origin
            base_to_map.append((taken, camera_to_map @ np.linalg.inv(mounts[view.name])))
            shown.append(Shown(view.name, view, taken, mounts[view.name]))
        base_to_map.append((stamp, base_to_map[-1][1]))
        to_lidar = np.linalg.inv(base_to_map[-1][1] @ lidar_to_base)
        coord = ((frame.coord + origin) @ to_lidar[:3, :3].T + to_lidar[:3, 3]).astype(np.float32)
        scene = replace(frame, coord=coord.astype(np.float64))
        moved.append(scene)
        bagged.append(Bagged(scene, stamp, shown))
    write_bag(path, kind, bagged, base_to_map, lidar_to_base)
    return moved

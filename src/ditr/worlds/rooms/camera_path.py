"""Where the photographer stands and looks."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ditr.scene import Camera
from ditr.worlds.rooms.config import RoomsConfig
from ditr.worlds.rooms.workshop import RoomPlan

__all__ = ["choose_camera", "choose_poses", "free_positions"]


def choose_camera(rng: Generator, config: RoomsConfig) -> Camera:
    """A pinhole camera with a horizontal field of view of 64 to 74 degrees."""
    focal = 0.5 * config.width / math.tan(math.radians(rng.uniform(32, 37)))
    return Camera(config.width, config.height, focal, focal, config.width / 2, config.height / 2)


def free_positions(rng: Generator, plan: RoomPlan, count: int, heights: tuple[float, float]) -> NDArray[np.float64]:
    """Up to ``count`` positions (n, 3) in the air, at least one, away from walls and furniture where there is place."""
    length, width, height = plan.size
    low = np.array([0.3, 0.3, heights[0]])
    high = np.array([length - 0.3, width - 0.3, min(heights[1], height - 0.3)])
    points: NDArray[np.float64] = low + rng.random((count, 3)) * (high - low)
    for reach in (0.25, 0.1, 0.0):
        free = plan.is_free(points, reach)
        if free.sum() >= min(4, count):
            points = points[free]
            break
    return points


def choose_poses(rng: Generator, plan: RoomPlan, count: int) -> list[NDArray[np.float64]]:
    """World-to-camera poses (4, 4) that look into all directions, each from the far side of the room."""
    places = free_positions(rng, plan, 300, (1.2, 1.7))
    size = np.asarray(plan.size)
    poses = []
    first = rng.uniform(0, 2 * math.pi)
    for view in range(count):
        yaw = first + 2 * math.pi * view / count + rng.normal(0, 0.2)
        pitch = math.radians(rng.uniform(-26, -2))
        forward = np.array([math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), math.sin(pitch)])
        tried = places[rng.integers(len(places), size=12)]
        with np.errstate(divide="ignore"):
            free = np.min(np.where(forward > 0, size - tried, -tried)[:, :2] / forward[:2], axis=1)
        poses.append(_look(tried[int(np.argmax(free))], forward, math.radians(rng.normal(0, 1.5))))
    return poses


def _look(position: NDArray[np.float64], forward: NDArray[np.float64], roll: float) -> NDArray[np.float64]:
    """The pose of a camera that looks along ``forward``, turned by ``roll`` radians about that axis."""
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cos, sin = math.cos(roll), math.sin(roll)
    rotation = np.stack([cos * right + sin * down, cos * down - sin * right, forward])
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = -rotation @ position
    return pose

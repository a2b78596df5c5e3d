"""The point cloud: points on the surfaces that a handheld scanner has seen, with its noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ditr.worlds.common.rays import RayCaster
from ditr.worlds.rooms.camera_path import free_positions
from ditr.worlds.rooms.layout import Room
from ditr.worlds.rooms.sensor import Sensor

__all__ = ["Cloud", "scan"]

_STANDS = 4
_HALF_SECTOR = math.radians(48)  # a handheld scan looks one way from each place
_STEEPEST_UP = 0.3  # sine of the elevation above which it seldom looks: most of a ceiling stays unseen
_GRAZING = 0.12  # cosine to the surface's normal below which depth cameras lose it
_COLOR_BLUR = 0.02  # metres


@dataclass(frozen=True, eq=False)
class Cloud:
    """coord (N, 3) float64 metres, color (N, 3) uint8, normal (N, 3) float32, label (N,) int32, and item (N,) int32,
    the number of the object that a point is of."""

    coord: NDArray[np.float64]
    color: NDArray[np.uint8]
    normal: NDArray[np.float32]
    label: NDArray[np.int32]
    item: NDArray[np.int32]


def scan(room: Room, caster: RayCaster, sensor: Sensor, spacing: float, rng: Generator) -> Cloud:
    """Points at about ``spacing`` metres from each other wherever one of a few scan positions sees a surface."""
    mesh = room.mesh
    count = max(1, round(float(mesh.area.sum()) / spacing**2))
    ends = np.cumsum(mesh.area)
    triangle = np.searchsorted(ends, (np.arange(count) + rng.random()) / count * ends[-1]).astype(np.int32)
    triangle = np.minimum(triangle, len(mesh) - 1)
    u, v = rng.random((2, count))
    over = u + v > 1
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    corner = mesh.corner[triangle]
    point = corner[:, 0] + u[:, None] * (corner[:, 1] - corner[:, 0]) + v[:, None] * (corner[:, 2] - corner[:, 0])
    normal = mesh.normal[triangle]
    seen = _seen(point, normal, free_positions(rng, room.plan, 100, (1.1, 1.8)), rng.uniform(0, 2 * math.pi), caster)

    triangle, point, normal = triangle[seen], point[seen], normal[seen]
    surface = sensor.albedo(
        triangle, u[seen].astype(np.float32), v[seen].astype(np.float32), np.full(len(point), _COLOR_BLUR, np.float32)
    )
    place, upright = point.astype(np.float32), normal.astype(np.float32)
    shade = sensor.brightness(triangle, place, upright, sensor.in_lamplight(place, upright))
    color = surface * shade[:, None] + rng.normal(0, 3, surface.shape)
    shift = rng.normal(0, 0.004, (len(point), 1)) * normal + rng.normal(0, 0.002, point.shape)
    bent = normal + rng.normal(0, 0.05, point.shape)
    bent /= np.linalg.norm(bent, axis=1, keepdims=True)
    # To 1/8192 m: the last bits of float64 differ between processors, these do not; and float32 holds them.
    return Cloud(
        coord=np.round((point + shift) * 8192) / 8192,
        color=np.clip(color, 0, 255).astype(np.uint8),
        normal=np.round(bent, 4).astype(np.float32),
        label=mesh.label[triangle],
        item=mesh.item[triangle],
    )


def _seen(
    point: NDArray[np.float64], normal: NDArray[np.float64], places: NDArray[np.float64], yaw: float, caster: RayCaster
) -> NDArray[np.bool_]:
    """Which surface points (n, 3) a few scans see; each looks one way, from the far side of the room."""
    seen = np.zeros(len(point), dtype=np.bool_)
    for number in range(_STANDS):
        angle = yaw + 2 * math.pi * number / _STANDS
        forward = np.array([math.cos(angle), math.sin(angle), 0.0])
        tried = places[number::_STANDS] if len(places) >= _STANDS else places
        stand = tried[int(np.argmin(tried @ forward))]
        away = point - stand
        distance = np.linalg.norm(away, axis=1)
        usable = ~seen & (np.einsum("ij,ij->i", away, normal) < -_GRAZING * distance) & (distance > 0.3)
        usable &= away @ forward > math.cos(_HALF_SECTOR) * np.linalg.norm(away[:, :2], axis=1)
        usable &= away[:, 2] < _STEEPEST_UP * distance
        index = np.flatnonzero(usable)
        seen[index] = caster.sees(stand, point[index])
    return seen

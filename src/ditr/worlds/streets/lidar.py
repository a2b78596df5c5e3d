"""The spinning LiDAR: beams at fixed elevations, fired at even steps of a turn, with losses and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ditr.worlds.common.rays import RayCaster
from ditr.worlds.streets.styles import LidarSpec

__all__ = ["Sweep", "directions", "sweep"]

_NEAREST = 1.0  # metres
_FAINT = 0.03  # a return of this strength is certain: reflectance times cosine times (max_range / range) squared
_GRID = 8192.0  # points per metre: the last bits of float64 differ between processors, these do not


@dataclass(frozen=True, eq=False)
class Sweep:
    """One turn.

    Attributes:
        coord: (N, 3) float64 metres in the sensor's frame: x forward, y left, z up.
        strength: (N,) float32, 0..1.
        ring: (N,) uint8, the number of the beam.
        step: (N,) int32, the number of the firing, counted clockwise from behind.
        triangle: (N,) int32, what was hit.
    """

    coord: NDArray[np.float64]
    strength: NDArray[np.float32]
    ring: NDArray[np.uint8]
    step: NDArray[np.int32]
    triangle: NDArray[np.int32]


def directions(spec: LidarSpec, steps: int) -> NDArray[np.float64]:
    """Unit directions (steps, beams, 3) of all firings in the sensor's frame."""
    up = np.radians(np.asarray(spec.elevations))[None]
    turn = (np.pi - (np.arange(steps) + 0.5) * (2 * np.pi / steps))[:, None]
    return np.stack([np.cos(up) * np.cos(turn), np.cos(up) * np.sin(turn), np.sin(up) + 0 * turn], axis=2)


def sweep(
    caster: RayCaster, sensor_to_street: NDArray[np.float64], spec: LidarSpec, steps: int, rng: Generator
) -> Sweep:
    """Fire all beams once around.

    Args:
        caster: of the street.
        sensor_to_street: (4, 4) pose.
        spec: the LiDAR.
        steps: firings per turn.
        rng: losses and noise.
    """
    beams = len(spec.elevations)
    local = directions(spec, steps).reshape(-1, 3)
    ray = local @ sensor_to_street[:3, :3].T
    triangle, distance = caster.nearest(sensor_to_street[:3, 3], ray)
    mesh = caster.mesh
    cosine = np.abs(np.einsum("ij,ij->i", mesh.normal[triangle], ray))
    reflectance = mesh.reflectance[triangle].astype(np.float64)
    chance, doubt = rng.random((2, len(ray)))
    shift, flicker = rng.normal(0, spec.noise, len(ray)), rng.normal(0, 0.08, len(ray))
    with np.errstate(invalid="ignore"):
        power = reflectance * cosine * (spec.max_range / distance) ** 2
    kept = (triangle >= 0) & (distance > _NEAREST) & (distance < spec.max_range)
    kept &= (chance >= spec.dropout) & (power > _FAINT * doubt)
    index = np.flatnonzero(kept)
    coord = local[index] * (distance + shift)[index, None]
    strength = spec.gain * reflectance * (0.3 + 0.7 * cosine) * (1 + flicker)
    return Sweep(
        coord=np.round(coord * _GRID) / _GRID,
        strength=np.round(np.clip(strength[index], 0, 1), 4).astype(np.float32),
        ring=(index % beams).astype(np.uint8),
        step=(index // beams).astype(np.int32),
        triangle=triangle[index],
    )

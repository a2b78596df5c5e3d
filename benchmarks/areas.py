"""How well areas are measured by voxels: squares in several directions, and rooms whose meshes are known.

    python benchmarks/areas.py

Squares have sides of 60 voxels, random points, and noise across them; the mean of six, placed at random, is printed
with what counting voxels would say. Of a room, the part that its scan saw counts: it has one point for each so many
square metres of the mesh. Rooms need `ditr[rooms]`.
"""

from __future__ import annotations

import numpy as np

from ditr.geometry.area import voxel_areas
from ditr.inference.measure import measure
from ditr.inference.prediction import Prediction
from ditr.scene import Scene
from ditr.worlds.rooms import RoomsConfig, build_room, make_room

SIDE, TIMES, ROOMS = 60, 6, 20
DIRECTIONS = ((0.0, 0.0, 1.0), (0.0, 0.2, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 1.0), (0.3, 0.5, 0.8))


def square(rng: np.random.Generator, normal: tuple[float, ...], density: float, noise: float) -> np.ndarray:
    """Random points of a square, so many per voxel."""
    direction = np.array(normal) / np.linalg.norm(normal)
    first = np.cross(direction, (0.3, 0.5, 0.81))
    first /= np.linalg.norm(first)
    place = rng.uniform(-SIDE / 2, SIDE / 2, (int(density * SIDE**2), 2))
    flat = place[:, :1] * first + place[:, 1:] * np.cross(direction, first)
    return flat + noise * rng.normal(size=(len(flat), 1)) * direction + rng.uniform(-1, 1, 3)


def squares() -> None:
    """A line for each direction, density and noise."""
    for density in (2, 4, 6, 16):
        for noise in (0.0, 0.1, 0.3):
            for normal in DIRECTIONS:
                rng = np.random.default_rng(0)
                found = [voxel_areas(square(rng, normal, density, noise), 1.0) for _ in range(TIMES)]
                area = np.mean([each.area.sum() for each in found]) / SIDE**2 - 1
                counted = np.mean([len(each.voxels) for each in found]) / SIDE**2 - 1
                print(f"{density:3d} points, noise {noise:.1f}, {normal!s:16} {area:+7.1%}  counted {counted:+7.1%}")


def rooms(spacing: float) -> None:
    """Errors of all test rooms together, and of each class."""
    config = RoomsConfig(train=0, test=ROOMS, views=1, width=32, height=32, spacing=spacing)
    names = config.style.class_names
    true, found, totals = np.zeros(len(names)), np.zeros(len(names)), []
    for index in range(ROOMS):
        room, mesh = make_room(config, "test", index), build_room(config, "test", index).mesh
        unit = mesh.area.sum() / max(1, round(float(mesh.area.sum()) / spacing**2))
        assert room.label is not None
        measures = measured(room)
        for each in measures:
            if each[0] >= 0:
                true[each[0]] += each[1] * unit
                found[each[0]] += each[2]
        totals.append(sum(each[2] for each in measures) / (len(room) * unit) - 1)
    print(
        f"rooms of points every {spacing} m: {found.sum() / true.sum() - 1:+.1%}, each {np.std(totals):.1%} from that"
    )
    print(", ".join(f"{n} {f / t - 1:+.0%} of {t:.0f} m2" for n, f, t in zip(names, found, true, strict=True) if t))


def measured(room: Scene) -> list[tuple[int, int, float]]:
    """Of each class its number, points and area."""
    assert room.label is not None
    ones = np.ones(len(room), np.float32)
    prediction = Prediction(room, room.label, ones, None, room.class_names, len(room), (0.0, 0.0, 1.0), 0)
    return [(each.id, each.points, each.area) for each in measure(prediction).classes]


if __name__ == "__main__":
    squares()
    for distance in (0.03, 0.015):
        rooms(distance)

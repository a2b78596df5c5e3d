"""A writer of COLMAP's models, binary and text, made from a description of the files."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

PARAMETERS = {
    "SIMPLE_PINHOLE": 3, "PINHOLE": 4, "SIMPLE_RADIAL": 4, "RADIAL": 5, "OPENCV": 8, "OPENCV_FISHEYE": 8,
    "FULL_OPENCV": 12, "FOV": 5, "SIMPLE_RADIAL_FISHEYE": 4, "RADIAL_FISHEYE": 5, "THIN_PRISM_FISHEYE": 12,
    "RAD_TAN_THIN_PRISM_FISHEYE": 16, "SIMPLE_DIVISION": 4, "DIVISION": 5, "SIMPLE_FISHEYE": 3, "FISHEYE": 4,
    "EUCM": 6, "EQUIRECTANGULAR": 2,
}  # fmt: skip
"""How many numbers each camera model has, in the order of their own numbers."""
NUMBER = {name: number for number, name in enumerate(PARAMETERS)}
NOTHING = 2**64 - 1


@dataclass
class Model:
    """Cameras (id, model, width, height, parameters), images (id, qw qx qy qz tx ty tz, camera, name, observations as
    rows x y point), and points (id, x y z, r g b, error, track of image and observation).
    """

    cameras: list[tuple[int, str, int, int, tuple[float, ...]]] = field(default_factory=list)
    images: list[tuple[int, tuple[float, ...], int, str, list[tuple[float, float, int]]]] = field(default_factory=list)
    points: list[tuple[int, tuple[float, ...], tuple[int, ...], float, list[tuple[int, int]]]] = field(
        default_factory=list
    )


def write_binary(model: Model, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = struct.pack("<Q", len(model.cameras))
    for number, name, width, height, parameters in model.cameras:
        data += struct.pack("<IiQQ", number, NUMBER[name], width, height)
        data += struct.pack(f"<{PARAMETERS[name]}d", *parameters)
    (folder / "cameras.bin").write_bytes(data)
    parts = [struct.pack("<Q", len(model.images))]
    for number, pose, camera, name, seen in model.images:
        parts.append(struct.pack("<I7dI", number, *pose, camera) + name.encode() + b"\0")
        parts.append(struct.pack("<Q", len(seen)))
        parts += [struct.pack("<ddQ", x, y, NOTHING if point < 0 else point) for x, y, point in seen]
    (folder / "images.bin").write_bytes(b"".join(parts))
    parts = [struct.pack("<Q", len(model.points))]
    for number, position, color, error, track in model.points:
        parts.append(struct.pack("<Q3d3Bd", number, *position, *color, error) + struct.pack("<Q", len(track)))
        parts += [struct.pack("<II", *entry) for entry in track]
    (folder / "points3D.bin").write_bytes(b"".join(parts))


def write_text(model: Model, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)

    def line(*values: object) -> str:
        return " ".join(map(str, values)) + "\n"

    rows = ["# Camera list\n", *(line(c[0], c[1], c[2], c[3], *c[4]) for c in model.cameras)]
    (folder / "cameras.txt").write_text("".join(rows), encoding="utf-8")
    rows = ["# Image list with two lines of data per image\n"]
    for number, pose, camera, name, seen in model.images:
        rows.append(line(number, *pose, camera, name))
        rows.append(line(*(value for entry in seen for value in entry)))
    (folder / "images.txt").write_text("".join(rows), encoding="utf-8")
    rows = ["# 3D point list with one line of data per point\n"]
    for number, position, color, error, track in model.points:
        rows.append(line(number, *position, *color, error, *(value for entry in track for value in entry)))
    (folder / "points3D.txt").write_text("".join(rows), encoding="utf-8")


def quaternion_of(rotation: np.ndarray) -> tuple[float, ...]:
    """w x y z of a rotation (3, 3): the eigenvector of Bar-Itzhack's matrix."""
    m = rotation
    k = np.array([
        [m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[2, 1] - m[1, 2]],
        [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], m[1, 2] + m[2, 1], m[0, 2] - m[2, 0]],
        [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], m[1, 0] - m[0, 1]],
        [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m[0, 0] + m[1, 1] + m[2, 2]],
    ])  # fmt: skip
    x, y, z, w = np.linalg.eigh(k)[1][:, -1].tolist()
    return (w, x, y, z)


def pose_of(world_to_camera: np.ndarray) -> tuple[float, ...]:
    """Seven numbers of a pose (4, 4)."""
    return (*quaternion_of(world_to_camera[:3, :3]), *world_to_camera[:3, 3].tolist())


def points_of(coord: np.ndarray, color: np.ndarray, tracks: Sequence[list[tuple[int, int]]] | None = None) -> list:
    """Points numbered by sevens: COLMAP's numbers have gaps."""
    return [
        (7 * row + 3, tuple(xyz), tuple(rgb), 0.5, [] if tracks is None else tracks[row])
        for row, (xyz, rgb) in enumerate(zip(coord.tolist(), color.tolist(), strict=True))
    ]

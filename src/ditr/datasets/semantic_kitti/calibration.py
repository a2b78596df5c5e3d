"""The calibration of a sequence: the lens of the left colour camera, and where it is beside the LiDAR."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.kitti_calibration import calibration, inner_camera, lidar_pose, matrix_of

__all__ = ["Calibration", "read_calibration"]

_PROJECTION = "P2"


@dataclass(frozen=True)
class Calibration:
    """Of ``calib.txt``.

    Camera 2 is beside camera 0, which P2 projects from, by an offset o with K o = P2[:, 3].

    Attributes:
        lens: fx, fy, cx, cy in pixels, as the file has them: cx and cy count from the middle of the first pixel.
        lidar: (4, 4) Tr, from the LiDAR to camera 0, metres.
        exact_pose: (4, 4) from the LiDAR to camera 2, whose offset is K^-1 P2[:, 3]. The reader of the download takes
            this one.
        published_pose: (4, 4) the same with the offset P2[:, 3] / (fx, fy, 1), as the published models were trained:
            the principal point is left out, which moves the camera by about 3 mm. The reader of prepared folders takes
            this one, and the lens as if it counted from the pixel's edge, as published too.
    """

    lens: tuple[float, float, float, float]
    lidar: NDArray[np.float64]
    exact_pose: NDArray[np.float64]
    published_pose: NDArray[np.float64]


def read_calibration(path: Path) -> Calibration:
    """A ``calib.txt``; only P2 and Tr of it are needed.

    Raises:
        InputError: one of them is missing, or is not a projection and no movement. A file without Tr comes with the
            photographs, and the text says which one to take instead.
    """
    lines = calibration(path)
    projection = matrix_of(path, lines, (_PROJECTION,), (3, 4))
    lens, offset = inner_camera(path, projection, _PROJECTION)
    lidar = lidar_pose(path, lines)
    published = lidar.copy()
    published[:3, 3] += projection[:, 3] / (lens[0], lens[1], 1.0)
    return Calibration(lens, lidar, offset @ lidar, published)

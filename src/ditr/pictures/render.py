"""Pictures of point clouds: seen by a camera of the capture, or from a free viewpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ditr.geometry.projection import project
from ditr.pictures.raster import Raster, rasterise
from ditr.pictures.viewpoint import Viewpoint, is_enclosed
from ditr.scene import Camera, Scene, View

__all__ = ["DrawnCloud", "darkened", "point_spacing", "scaled_camera"]

_LEVELS = 16
_FULL_CELL = 8
_SMALLEST = 0.75  # pixels; three subpixels across


@dataclass(frozen=True, eq=False)
class DrawnCloud:
    """A point cloud made ready for drawing.

    Attributes:
        coord: (N, 3) float64 metres.
        spacing: (N,) float64 metres, the distance between neighbouring points; see :func:`point_spacing`.
        closed: whether discs shall close surfaces in photographs. The lines of a LiDAR sweep are too far apart for
            that, and are drawn as dots.
    """

    coord: NDArray[np.float64]
    spacing: NDArray[np.float64]
    closed: bool = True

    @classmethod
    def of(cls, scene: Scene) -> DrawnCloud:
        """The points of a scene; surfaces are closed in rooms (see :func:`ditr.pictures.viewpoint.is_enclosed`)."""
        return cls(scene.coord, point_spacing(scene.coord), is_enclosed(scene))

    def from_viewpoint(self, viewpoint: Viewpoint) -> Raster:
        """Rasterise from a free viewpoint."""
        return self._rasterise(viewpoint.camera, viewpoint.world_to_camera, viewpoint.shown, closed=True)

    def from_view(self, view: View, *, width: int = 960, shown: NDArray[np.bool_] | None = None) -> Raster:
        """Rasterise through a camera of the capture, with its distortion, so that the picture fits the photograph.

        Args:
            view: the camera.
            width: of the picture in pixels; the height follows from the photograph's.
            shown: (N,) bool, the points to draw (those that pass the depth test, say); by default all.
        """
        return self._rasterise(scaled_camera(view.camera, width), view.world_to_camera, shown, closed=self.closed)

    def pixels(self, view: View, shown: NDArray[np.bool_] | None = None) -> NDArray[np.int32]:
        """The point that each pixel of a photograph shows, (height, width); -1 for none.

        Args:
            view: the camera.
            shown: (N,) bool, the points that may be shown; by default all.
        """
        raster = self._rasterise(
            view.camera, view.world_to_camera, shown, closed=self.closed, supersampling=1, shaded=False
        )
        return raster.index

    def _rasterise(
        self,
        camera: Camera,
        world_to_camera: NDArray[np.float64],
        shown: NDArray[np.bool_] | None,
        *,
        closed: bool,
        supersampling: int = 2,
        shaded: bool = True,
    ) -> Raster:
        seen = project(self.coord, camera, world_to_camera)
        chosen = np.flatnonzero(seen.visible if shown is None else seen.visible & shown)
        depth = seen.depth[chosen]
        # Discs on a square grid leave no hole from 0.71 of the spacing on; points at random places need more.
        scale = 0.5 * (camera.fx + camera.fy) / depth
        radius = 1.25 * self.spacing[chosen] * scale
        # Twice the median lets sparser parts close too, and keeps stray points from becoming blobs.
        largest = 2 * float(np.median(radius)) if closed and len(radius) else camera.width / 280
        radius = np.clip(radius, _SMALLEST, max(_SMALLEST, min(largest, camera.width / 40)))
        return rasterise(
            seen.pixel[chosen],
            depth,
            radius,
            radius / scale,
            size=(camera.height, camera.width),
            number=chosen,
            supersampling=supersampling,
            shaded=shaded,
        )


def point_spacing(coord: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far apart the points are around each point, (N,) metres.

    Around each point the smallest cube of an octree is taken that holds at least 8 points; they are taken to lie on a
    surface through it. This follows the density of a LiDAR sweep, which falls with the distance.
    """
    low = coord.min(axis=0)
    extent = max(float((coord.max(axis=0) - low).max()), 1e-6)
    cell = np.minimum((coord - low) * ((1 << _LEVELS) / extent), (1 << _LEVELS) - 1).astype(np.uint64)
    code = _spread(cell[:, 0]) | _spread(cell[:, 1]) << np.uint64(1) | _spread(cell[:, 2]) << np.uint64(2)
    order = np.argsort(code)
    code = code[order]
    spacing = np.full(len(coord), extent / np.sqrt(len(coord)))
    open_ = np.ones(len(coord), dtype=bool)
    for level in range(_LEVELS):
        start = np.flatnonzero(np.diff(code, prepend=code[0] + np.uint64(1)))
        held = np.diff(start, append=len(code))
        count = np.repeat(held, held)
        now = open_ & (count >= _FULL_CELL)
        spacing[now] = extent / (1 << (_LEVELS - level)) / np.sqrt(count[now])
        open_ &= ~now
        code = code >> np.uint64(3)
    out = np.empty_like(spacing)
    out[order] = spacing
    return out


TALLEST = 2.5
"""Height over width up to which a picture has the width that is asked for; a phone's portraits have 2.2."""


def scaled_camera(camera: Camera, width: int) -> Camera:
    """The same camera with a photograph of another width; height and intrinsics in proportion.

    A strip that would be more than :data:`TALLEST` times as high as wide gets fewer columns, so that it has no more
    pixels than a picture of that shape.
    """
    aspect = camera.height / camera.width
    if aspect > TALLEST:
        width = max(1, round(width * (TALLEST / aspect) ** 0.5))
    height = max(1, round(camera.height * width / camera.width))
    x, y = width / camera.width, height / camera.height
    return replace(
        camera, width=width, height=height, fx=camera.fx * x, fy=camera.fy * y, cx=camera.cx * x, cy=camera.cy * y
    )


def darkened(
    photo: NDArray[np.uint8], size: tuple[int, int], *, brightness: float = 0.45, vivid: float = 0.6
) -> NDArray[np.uint8]:
    """A photograph as the background of points: resized to (height, width), darker and less colourful.

    ``brightness`` and ``vivid`` of 1 leave it as it is.
    """
    small = Image.fromarray(photo).resize((size[1], size[0]), Image.Resampling.LANCZOS)
    rgb = np.asarray(small, dtype=np.float32)
    grey = rgb.mean(axis=2, keepdims=True)
    return np.asarray(np.rint(brightness * (vivid * rgb + (1 - vivid) * grey)), dtype=np.uint8)


def _spread(cell: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Bits of 16-bit numbers, moved apart so that bit i lands at bit 3 i."""
    out = np.zeros_like(cell)
    for bit in range(_LEVELS):
        out |= (cell & np.uint64(1 << bit)) << np.uint64(2 * bit)
    return out

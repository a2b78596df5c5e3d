"""The photographs in the page: frusta where they were taken, and the way into one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ditr.captures.images import read_image
from ditr.errors import InputError
from ditr.pictures.label_images import label_image
from ditr.pictures.pictures import spread_views
from ditr.pictures.render import DrawnCloud
from ditr.scene import Camera, Scene, View

__all__ = ["Photographs", "Seen", "quaternion_of"]

_MOST_FRUSTA = 150
_THUMB, _LARGE = 200, 1100
"""Pixels along the longer side: of a photograph in a frustum, and of one that is looked at."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A photograph that is looked at.

    Attributes:
        view: the photograph.
        image: (h, w, 3) uint8, at most 1,100 pixels long.
        point: (h, w) int32, the point that each pixel shows; -1 for none.
    """

    view: View
    image: NDArray[np.uint8]
    point: NDArray[np.int32]

    def with_colors(self, colors: NDArray[np.uint8], shown: NDArray[np.bool_], opacity: float) -> NDArray[np.uint8]:
        """The photograph with the points' colours laid over it."""
        over = (self.point >= 0) & shown[self.point]
        result = self.image.astype(np.float32)
        result[over] += opacity * (colors[self.point[over]].astype(np.float32) - result[over])
        return np.rint(result).astype(np.uint8)


@dataclass(eq=False)
class Photographs:
    """The photographs of a scene.

    Attributes:
        scene: whose.
        origin: (3,) of the page's frame.
    """

    scene: Scene
    origin: NDArray[np.float64]
    _seen: dict[str, Seen] = field(default_factory=dict)
    _cloud: DrawnCloud | None = None

    @property
    def views(self) -> tuple[View, ...]:
        """Those of which it is known from where they were taken."""
        return self.scene.posed_views

    def add_frusta(self, scene: Any, clicked: Callable[[str, Any], None]) -> list[tuple[View, Any]]:
        """Draw them, without their images.

        Args:
            scene: of viser.
            clicked: told the view's name and the browser.
        """
        views = spread_views(self.views, _MOST_FRUSTA)
        scale = self._scale(views)
        handles = []
        for number, view in enumerate(views):
            camera = view.camera
            handle = scene.add_camera_frustum(
                f"/photographs/{number}",
                fov=_field(camera),
                aspect=camera.width / camera.height,
                scale=scale,
                thickness=1.5,
                thickness_units="screen",
                color=(70, 90, 110),
                wxyz=quaternion_of(view.camera_to_world[:3, :3]),
                position=view.center - self.origin,
            )
            handle.on_click(lambda event, name=view.name: clicked(name, event.client))
            handles.append((view, handle))
        return handles

    def thumbnail(self, view: View) -> NDArray[np.uint8] | None:
        """The photograph in small; None where it cannot be read."""
        try:
            return _shrunk(read_image(view), _THUMB)
        except InputError:
            return None

    def seen(self, name: str) -> Seen:
        """Look at a photograph.

        Raises:
            InputError: it cannot be read, or there is none of that name.
        """
        if name not in self._seen:
            view = next((view for view in self.views if view.name == name), None)
            if view is None:
                raise InputError(name, "there is no such photograph", "Name a photograph of the capture")
            image = _shrunk(read_image(view), _LARGE)
            small = replace(view, camera=_scaled(view.camera, image.shape[1], image.shape[0]))
            if self._cloud is None:
                self._cloud = DrawnCloud.of(self.scene)
            point = label_image(self._cloud, np.arange(len(self.scene), dtype=np.int32), small)
            upright = np.rot90(point[view.cut_top :], view.quarter_turns)
            self._seen[name] = Seen(view, image, np.ascontiguousarray(upright))
            if len(self._seen) > 16:
                self._seen.pop(next(iter(self._seen)))
        return self._seen[name]

    def _scale(self, views: list[View]) -> float:
        """Of the frusta: as wide as cameras are apart, but not large in the scene."""
        from scipy.spatial import cKDTree

        some = self.scene.coord[:: 1 + len(self.scene) // 50_000]
        extent = float(np.ptp(np.percentile(some, [5, 95], axis=0), axis=0).max())
        centers = np.array([view.center for view in views])
        if len(centers) < 2:
            return 0.03 * extent
        apart = float(np.median(cKDTree(centers).query(centers, 2)[0][:, 1]))
        return float(np.clip(0.6 * apart, 0.008 * extent, 0.03 * extent))


def plane_of(view: View, origin: NDArray[np.float64], away: float) -> tuple[float, float, NDArray[np.float64]]:
    """Where a photograph hangs, ``away`` metres before its camera: its width and height there, and its middle (3,)."""
    camera = view.camera
    middle = np.array([(camera.width / 2 - camera.cx) / camera.fx, (camera.height / 2 - camera.cy) / camera.fy, 1.0])
    place = view.camera_to_world[:3, :3] @ (middle * away) + view.center - origin
    return camera.width / camera.fx * away, camera.height / camera.fy * away, place


def _field(camera: Camera) -> float:
    return float(min(2 * np.arctan(camera.height / (2 * camera.fy)), np.deg2rad(120)))


def _scaled(camera: Camera, width: int, height: int) -> Camera:
    x, y = width / camera.width, height / camera.height
    return replace(
        camera, width=width, height=height, fx=camera.fx * x, cx=camera.cx * x, fy=camera.fy * y, cy=camera.cy * y
    )


def _shrunk(image: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    share = longest / max(height, width)
    if share >= 1:
        return np.ascontiguousarray(image)
    size = max(1, round(width * share)), max(1, round(height * share))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def quaternion_of(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4,) w x y z of a rotation (3, 3)."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    return np.array([w, x, y, z])

"""What was captured: points with their attributes, and the photographs that show them. Nothing of networks.

Conventions of the whole package, stated here once:

* metres; world coordinates are the capture's own frame, float64;
* camera axes are OpenCV's (x right, y down, z forward); extrinsics are ``world_to_camera``;
* pixel ``i`` covers ``[i, i + 1)``, so an image point ``(u, v)`` lies in column ``floor(u)`` and row ``floor(v)``;
* the label -1 means "not labelled".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ditr.errors import Finding, InputError, counted
from ditr.reading import CloudAxes, PoseConvention, ReadOptions

__all__ = [
    "Camera",
    "CameraModel",
    "CloudAxes",
    "PointPixels",
    "PoseConvention",
    "ReadOptions",
    "Scene",
    "SceneSource",
    "View",
    "checked_direction",
]

UNLABELLED = -1


class CameraModel(Enum):
    """Lens models; the values are the names that nerfstudio and COLMAP use."""

    PINHOLE = "PINHOLE"
    OPENCV = "OPENCV"
    """Radial and tangential distortion ``k1 k2 p1 p2``, or ``k1 k2 p1 p2 k3``."""
    FULL_OPENCV = "FULL_OPENCV"
    """``k1 k2 p1 p2 k3 k4 k5 k6``: as OPENCV, with the radial polynomial divided by another, of the last three."""
    OPENCV_FISHEYE = "OPENCV_FISHEYE"
    """Equidistant projection with the polynomial ``k1 k2 k3 k4`` in the angle off the axis."""


@dataclass(frozen=True)
class Camera:
    """Intrinsics of one image: size, focal lengths and principal point in pixels, and lens distortion.

    Raises:
        InputError: a size or focal length that is not positive, a number that is not finite, or a number of distortion
            coefficients that does not fit the model (none for PINHOLE, four or five for OPENCV, eight for FULL_OPENCV,
            four for OPENCV_FISHEYE).
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    model: CameraModel = CameraModel.PINHOLE
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not all(np.isfinite(numbers)):
            raise InputError("camera", f"intrinsics are not finite: {numbers}", "Give finite numbers")
        if self.width < 1 or self.height < 1 or self.fx <= 0 or self.fy <= 0:
            raise InputError(
                "camera",
                f"its size {self.width}x{self.height} or a focal length ({self.fx:g}, {self.fy:g}) is not positive",
                "Sizes and focal lengths are positive, in pixels",
            )
        counts = {CameraModel.PINHOLE: (0,), CameraModel.OPENCV: (4, 5), CameraModel.FULL_OPENCV: (8,)}
        expected = counts.get(self.model, (4,))
        if len(self.distortion) not in expected:
            raise InputError(
                "camera",
                f"{self.model.value} has {' or '.join(map(str, expected))} distortion coefficients, but "
                f"{len(self.distortion)} were given",
                "Give k1 k2 p1 p2 (and k3) for OPENCV, k1 k2 p1 p2 k3 k4 k5 k6 for FULL_OPENCV, k1 k2 k3 k4 for "
                "OPENCV_FISHEYE, none for PINHOLE",
            )

    @property
    def intrinsics(self) -> NDArray[np.float64]:
        """The matrix K, (3, 3)."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])


@dataclass(frozen=True, eq=False)
class PointPixels:
    """Which points of the scene a photograph shows and where, for data that store this instead of a pose.

    Files (``.npy``) or arrays: ``rows`` (n,) int numbers of points, each at most once, and ``pixel`` (n, 2) their
    image coordinates (u, v). A room with hundreds of photographs has gigabytes of them, so files stay files;
    :func:`ditr.captures.images.read_pixels` reads and checks them.
    """

    rows: Path | NDArray[np.integer[Any]]
    pixel: Path | NDArray[Any]

    @classmethod
    def none(cls) -> PointPixels:
        """A photograph that shows no point: what becomes of one whose pose is unknown."""
        return cls(np.empty(0, dtype=np.int64), np.empty((0, 2)))


@dataclass(frozen=True, eq=False)
class View:
    """One photograph: where its pixels are, and from where it was taken.

    ``image`` and ``depth`` are files, or arrays for scenes that were never on disk: (height, width, 3) uint8, and
    (h, w) float32 metres along the optical axis with 0 for "no value". ``image`` may be the bytes of an image file,
    too, for sources that keep many in one. A depth map may have another size than its image; ``depth_unit`` is the
    length in metres of one unit of a depth file. ``extra`` keeps what the reader of a format does not know, so that
    writing the scene loses nothing. ``mask`` says which pixels count, as a file (0 is "do not use") or (h, w) bool; it
    may have another size, too.

    With ``pixels`` the data say themselves which points the view shows; then there is no pose (``world_to_camera`` is
    the identity and means nothing), and of ``camera`` only the size counts. An image file has ``cut_top`` rows more
    than the camera, which are cut off at its upper edge before anything else.

    ``quarter_turns`` counts counterclockwise quarter turns that are made when image, depth map and mask are read;
    camera and pose are those after them (:mod:`ditr.geometry.upright_views`).

    Raises:
        InputError: a pose that is not a finite, invertible rigid transform.
    """

    name: str
    camera: Camera
    world_to_camera: NDArray[np.float64]
    image: Path | bytes | NDArray[np.uint8]
    depth: Path | NDArray[np.float32] | None = None
    depth_unit: float = 0.001
    extra: Mapping[str, Any] = field(default_factory=dict)
    pixels: PointPixels | None = None
    cut_top: int = 0
    mask: Path | NDArray[np.bool_] | None = None
    quarter_turns: int = 0

    def __post_init__(self) -> None:
        pose, where, remedy = (
            np.array(self.world_to_camera, np.float64),
            f"view {self.name}",
            "Leave it out or correct it",
        )
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise InputError(where, "the pose is not a finite 4x4 matrix", remedy)
        rotation = pose[:3, :3]
        difference = rotation @ rotation.T - np.eye(3)
        # The sum of squares bounds the largest singular value, which takes longer.
        skewed = np.vdot(difference, difference) > 0.02**2 and np.linalg.norm(difference, 2) > 0.02
        if skewed or np.linalg.det(rotation) < 0:
            fault = "the pose is singular or not a rigid transform (its 3x3 part is not a rotation)"
            raise InputError(where, fault, remedy)
        pose.flags.writeable = False
        object.__setattr__(self, "world_to_camera", pose)
        object.__setattr__(self, "extra", MappingProxyType(dict(self.extra)))

    def __repr__(self) -> str:
        more = [name for name in ("depth", "mask", "pixels") if getattr(self, name) is not None]
        return f"<{', '.join([f'View {self.name!r}: {self.camera.width} x {self.camera.height} pixels', *more])}>"

    @classmethod
    def unposed(
        cls,
        name: str,
        size: tuple[int, int],
        image: Path | bytes | NDArray[np.uint8],
        pixels: PointPixels,
        cut_top: int = 0,
    ) -> View:
        """A view whose pose is not known, of an image of ``size`` (width, height) after the cut."""
        width, height = size
        camera = Camera(width, height, float(width), float(width), width / 2, height / 2)
        return cls(name, camera, np.eye(4), image, pixels=pixels, cut_top=cut_top)

    @property
    def is_posed(self) -> bool:
        """Whether it is known from where the photograph was taken."""
        return self.pixels is None

    @property
    def camera_to_world(self) -> NDArray[np.float64]:
        """The inverse pose, (4, 4)."""
        return np.asarray(np.linalg.inv(self.world_to_camera), dtype=np.float64)

    @property
    def center(self) -> NDArray[np.float64]:
        """The camera's position in the world, (3,) metres."""
        return self.camera_to_world[:3, 3]


@dataclass(frozen=True, eq=False)
class Scene:
    """A point cloud and the photographs of the same place.

    Attributes:
        name: what results are called after.
        coord: (N, 3) float64 metres.
        views: the photographs, in the order of the capture.
        color: (N, 3) uint8, or None.
        normal: (N, 3) float32 of unit length, or None.
        strength: (N,) float32, the LiDAR's intensity as stored, or None.
        label: (N,) int32 indices into ``class_names``, -1 for unlabelled, or None.
        class_names: what the labels mean.
        extra: further per-point properties (N, ...) that pass through untouched.
        applied_transform: (3, 4) original frame of the capture -> ``coord``'s frame, where the capture says so.
        up: (3,) the direction against gravity in ``coord``'s frame, where the data say it; None where it has to be
            found (:func:`ditr.geometry.orientation.find_up`).
        properties: facts of the capture that are not per point (its class list's origin, say).
        findings: what its reader noticed and a person should know.
        unscaled: what tells that it has no unit of its own, being made from photographs alone; None where it has one.
        as_published: whether this is data of a benchmark, which is taken as it lies: no image of it is turned.
        reading: how the scene is to be read, as the capture or whoever read it says; without what was done then.

    Raises:
        InputError: no points, points that are not finite, attributes of another length, labels outside the class list,
            or an ``up`` that is not a direction.
    """

    name: str
    coord: NDArray[np.float64]
    views: tuple[View, ...] = ()
    color: NDArray[np.uint8] | None = None
    normal: NDArray[np.float32] | None = None
    strength: NDArray[np.float32] | None = None
    label: NDArray[np.int32] | None = None
    class_names: tuple[str, ...] = ()
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    applied_transform: NDArray[np.float64] | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    up: NDArray[np.float64] | None = None
    findings: tuple[Finding, ...] = ()
    unscaled: str | None = None
    as_published: bool = False
    reading: ReadOptions = field(default_factory=ReadOptions)

    def __post_init__(self) -> None:
        with np.errstate(invalid="ignore"):  # of NaNs of damaged files, which are told of below
            coord = np.asarray(self.coord, dtype=np.float64)
        where = f"scene {self.name}"
        if coord.ndim != 2 or coord.shape[1] != 3 or len(coord) == 0:
            raise InputError(where, f"points of shape {coord.shape}", "A scene needs at least one point, (N, 3)")
        bad = np.flatnonzero(~np.isfinite(coord).all(axis=1))
        if len(bad):
            fault = (
                f"it has {counted(len(bad), 'point')} with coordinates that are not finite; the first is point {bad[0]}"
            )
            raise InputError(where, fault, "Remove these points")
        object.__setattr__(self, "coord", _frozen(coord))
        for key, dtype, shape in (
            ("color", np.uint8, (3,)),
            ("normal", np.float32, (3,)),
            ("strength", np.float32, ()),
            ("label", np.int32, ()),
        ):
            value = getattr(self, key)
            if value is None:
                continue
            array = np.asarray(value, dtype=dtype)
            if array.shape != (len(coord), *shape):
                raise InputError(where, f"{key} has shape {array.shape} for {len(coord)} points", "Give one per point")
            object.__setattr__(self, key, _frozen(array))
        if self.label is not None and self.class_names:
            low, high = int(self.label.min()), int(self.label.max())
            if low < UNLABELLED or high >= len(self.class_names):
                raise InputError(
                    where,
                    f"label {low if low < UNLABELLED else high} is outside the {len(self.class_names)} classes",
                    "Labels are 0..classes-1, or -1 for unlabelled",
                )
        if self.up is not None:
            object.__setattr__(self, "up", _frozen(checked_direction(self.up, where)))
        object.__setattr__(self, "views", tuple(self.views))
        object.__setattr__(self, "class_names", tuple(self.class_names))
        object.__setattr__(self, "extra", MappingProxyType({k: _frozen(np.asarray(v)) for k, v in self.extra.items()}))
        object.__setattr__(self, "properties", MappingProxyType(dict(self.properties)))

    def __len__(self) -> int:
        return len(self.coord)

    def __repr__(self) -> str:
        has = [name for name in ("color", "normal", "strength", "label") if getattr(self, name) is not None]
        counts = f"{len(self)} points ({', '.join(['coord', *has, *self.extra])}), {len(self.views)} views"
        return f"<Scene {self.name!r}: {counts}{f', {len(self.class_names)} classes' * bool(self.class_names)}>"

    @property
    def posed_views(self) -> tuple[View, ...]:
        """The views of which it is known from where they were taken, for whatever needs a camera's position."""
        return tuple(view for view in self.views if view.is_posed)


def checked_direction(up: ArrayLike, where: str) -> NDArray[np.float64]:
    """``up`` as (3,) float64.

    Raises:
        InputError: not three finite numbers, or all of them zero; the text begins with ``where``.
    """
    direction = np.asarray(up, dtype=np.float64)
    if direction.shape != (3,) or not np.isfinite(direction).all() or not direction.any():
        fault = f"up is {direction.tolist()}, which is not a direction"
        raise InputError(where, fault, "Give three finite numbers, not all zero")
    return direction


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only view of ``array``: scenes are shared between loaders and results."""
    view = array.view()
    view.flags.writeable = False
    return view


class SceneSource(Protocol):
    """Scenes that are read one at a time, in a fixed order."""

    @property
    def name(self) -> str:
        """What the scenes belong to: the benchmark, or the folder of captures."""
        ...

    def __len__(self) -> int: ...

    def names(self) -> list[str]:
        """The scenes' names, each once; nothing large is read for them."""
        ...

    def scene(self, index: int) -> Scene:
        """Read a scene, again each time; photographs stay files.

        Raises:
            InputError: a missing or damaged file.
        """
        ...

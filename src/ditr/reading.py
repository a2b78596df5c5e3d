"""How a capture is to be read where its files leave that open: units, axes, poses, which of it counts."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError

__all__ = ["CloudAxes", "Occlusion", "PoseConvention", "ReadOptions"]


class PoseConvention(Enum):
    """What the matrices of a capture's poses mean; the value is its name in options and files."""

    OPENGL = "opengl"
    """Camera to world, camera axes x right, y up, z backward (nerfstudio)."""
    OPENCV = "opencv"
    """Camera to world, camera axes x right, y down, z forward."""
    WORLD_TO_CAMERA = "world-to-camera"
    """World to camera, OpenCV axes (COLMAP)."""
    WORLD_TO_CAMERA_OPENGL = "world-to-camera-opengl"
    """World to camera, OpenGL axes."""


class CloudAxes(Enum):
    """How the cloud's axes become those of the poses; the value says which of x, y, z each new axis is."""

    AS_STORED = "x,y,z"
    Y_UP_TO_Z_UP = "x,-z,y"
    Z_UP_TO_Y_UP = "x,z,-y"
    SWAPPED = "x,z,y"

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3), stored coordinates to those of the poses."""
        rows = []
        for axis in self.value.split(","):
            rows.append((-1.0 if axis.startswith("-") else 1.0) * np.eye(3)["xyz".index(axis[-1])])
        return np.stack(rows)


Occlusion = Literal["none", "z-buffer"]
"""How views without a depth map find out what is hidden: not at all, or by a z-buffer of the cloud itself."""


_UNITS = frozenset({"unit", "scale", "scale_by"})
"""Options of which one excludes the others."""


@dataclass(frozen=True)
class ReadOptions:
    """How a capture is to be read, where its points and images leave that open.

    Attributes:
        profile: kind of place, "indoor" or "outdoor"; None to go by what the capture has.
        max_views: largest number of views to use, 0 for none; None for that of the model or recipe.
        up: (3,) direction against gravity in the frame of the points; None where it has to be found.
        substitute: values that stand in for attributes which the points may lack, by attribute (colours 0..255).
        strength_scale: number by which strengths are divided to lie in 0..1; None for that of the model or recipe.
        poses: what the matrices of the poses mean; None for the format's own meaning, which is looked at.
        cloud_axes: how the cloud's axes become those of the poses; None for as they are stored.
        class_map: new names of classes, each with the old one before it; no name for a class that is not to count.
        background: class that unlabelled points become; None to leave them unlabelled.
        every: N, of a drive every Nth scene only; None for all.
        first: of a drive, so many scenes at most; None for all.
        topics: of a bag, those that are read, the cloud's among them; empty to choose them.
        fixed_frame: of a bag, the frame that stands still while the sensors move; None to choose it.
        tolerance: of a bag, seconds between a sweep and a photograph at most; None for 0.1.
        transforms: of a bag, what tf lacks: parent, child, and the child's x y z and quaternion x y z w in the parent.
        skip_bad_views: leave out the views that cannot be used, and say so, instead of refusing the capture.
        unit: metres of one unit of points and poses; None for metres, which is looked at.
        depth_unit: metres of one unit of the depth maps; None for what their capture says.
        scale: "auto" to find the unit by the height of the cameras above the floor.
        scale_by: two views or two points, by name or number, and the metres between them.
        occlusion: how views without a depth map find out what is hidden; None for that of the model or recipe.

    Raises:
        InputError: a value that cannot be meant; the text names its field.
    """

    profile: Literal["indoor", "outdoor"] | None = None
    max_views: int | None = None
    up: tuple[float, float, float] | None = None
    substitute: tuple[tuple[str, float], ...] = ()
    strength_scale: float | None = None
    poses: PoseConvention | None = None
    cloud_axes: CloudAxes | None = None
    skip_bad_views: bool = False
    unit: float | None = None
    depth_unit: float | None = None
    scale: Literal["auto"] | None = None
    scale_by: tuple[str, str, float] | None = None
    class_map: tuple[tuple[str, str], ...] = ()
    background: str | None = None
    every: int | None = None
    first: int | None = None
    topics: tuple[str, ...] = ()
    fixed_frame: str | None = None
    tolerance: float | None = None
    transforms: tuple[tuple[str, str, float, float, float, float, float, float, float], ...] = ()
    occlusion: Occlusion | None = None

    def __post_init__(self) -> None:
        if self.max_views is not None and self.max_views < 0:
            raise InputError("max_views", f"it is {self.max_views}", "Give 0 or more, or leave it out for all views")
        for name, count in (("every", self.every), ("first", self.first)):
            if count is not None and count < 1:
                raise InputError(name, f"it is {count}", "Give 1 or more, or leave it out for all scenes")
        if self.tolerance is not None and not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise InputError("tolerance", f"it is {self.tolerance}", "Give seconds, 0 or more")
        for parent, child, *numbers in self.transforms:
            if not all(map(math.isfinite, numbers)) or not any(numbers[3:]):
                raise InputError(
                    "transforms", f"the one of {child} in {parent} is not a transform", "Give x y z and a quaternion"
                )
        if self.up is not None and (not all(map(math.isfinite, self.up)) or not any(self.up)):
            raise InputError("up", f"{list(self.up)} is not a direction", "Give three finite numbers, not all zero")
        for name, value in self.substitute:
            if name not in ("color", "normal", "strength"):
                raise InputError("substitute", f"there is no {name!r}", "Use color, normal or strength")
            if not math.isfinite(value):
                raise InputError("substitute", f"{name} is {value}", "Give a finite number")
        scale = self.strength_scale
        if scale is not None and not (math.isfinite(scale) and scale > 0):
            raise InputError("strength_scale", f"it is {scale}", "Give a positive number")
        if self.occlusion not in (None, "none", "z-buffer"):
            raise InputError(
                "occlusion", f"{self.occlusion!r} is not a method to find hidden points", "Use none or z-buffer"
            )
        if self.background == "":
            raise InputError("background", "it has no name", "Name the class that unlabelled points should get")
        metres = None if self.scale_by is None else self.scale_by[2]
        for name, length in (("unit", self.unit), ("depth_unit", self.depth_unit), ("scale_by", metres)):
            if length is not None and not (math.isfinite(length) and length > 0):
                raise InputError(name, f"{length} is not a length", "Give metres, more than 0")
        if sum(getattr(self, name) is not None for name in _UNITS) > 1:
            raise InputError("unit", "unit, scale and scale_by exclude each other", "Give one of them")

    @property
    def tells_unit(self) -> bool:
        """Whether something says what the unit of points and poses is."""
        return any(getattr(self, name) is not None for name in _UNITS)

    def over(self, other: ReadOptions) -> ReadOptions:
        """These options, with those of ``other`` where these say nothing."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        if given.keys() & _UNITS:
            given = dict.fromkeys(_UNITS) | given
        for name in ("substitute", "class_map"):
            given[name] = tuple({**dict(getattr(other, name)), **dict(getattr(self, name))}.items())
        return replace(other, **given)

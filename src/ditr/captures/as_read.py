"""A scene read as its options say: poses of another convention, and a cloud with other axes than its poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ditr.captures.classes import joined_classes
from ditr.captures.unit import in_metres
from ditr.scene import CloudAxes, PoseConvention, ReadOptions, Scene, View

__all__ = ["options_to_write", "read_as", "views_with_poses", "with_cloud_axes", "with_poses"]

_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def read_as(scene: Scene, options: ReadOptions) -> Scene:
    """The scene with classes, up, poses, points and unit as ``options`` say, which stay its ``reading``.

    Raises:
        InputError: as for :func:`~ditr.captures.unit.in_metres`, or no class is left.
    """
    classes, label = joined_classes(scene.class_names, scene.label, options)
    up = scene.up if options.up is None else np.array(options.up)
    left = replace(options, up=None, class_map=(), background=None)
    scene = replace(scene, class_names=classes, label=label, up=up, reading=left)
    if options.poses not in (None, PoseConvention.OPENGL):
        scene = with_poses(scene, options.poses)
    if options.cloud_axes not in (None, CloudAxes.AS_STORED):
        scene = with_cloud_axes(scene, options.cloud_axes)
    return in_metres(scene, options)


def options_to_write(scene: Scene) -> ReadOptions:
    """How the scene is to be read once it is written: what was applied is in its points, poses and views."""
    before = scene.reading
    left = replace(
        before,
        poses=None, cloud_axes=None, skip_bad_views=False, depth_unit=None, scale=None, scale_by=None,
        every=None, first=None, topics=(), fixed_frame=None, tolerance=None, transforms=(),
    )  # fmt: skip
    up = None if scene.up is None else tuple(scene.up.tolist())
    return replace(left, up=up, unit=1.0 if before.tells_unit else None)


def with_poses(scene: Scene, convention: PoseConvention) -> Scene:
    """The scene if its file's matrices, which were read as nerfstudio writes them, follow another convention."""
    return replace(scene, views=views_with_poses(scene.views, convention))


def views_with_poses(views: Sequence[View], convention: PoseConvention | None) -> tuple[View, ...]:
    """As :func:`with_poses`, for views alone; None changes nothing."""
    if convention in (None, PoseConvention.OPENGL):
        return tuple(views)

    def meant(world_to_camera: NDArray[np.float64]) -> NDArray[np.float64]:
        stored = np.linalg.inv(world_to_camera) @ _FLIP
        if convention is PoseConvention.OPENCV:
            return np.asarray(np.linalg.inv(stored), dtype=np.float64)
        return np.asarray(stored if convention is PoseConvention.WORLD_TO_CAMERA else _FLIP @ stored, dtype=np.float64)

    return tuple(replace(v, world_to_camera=meant(v.world_to_camera)) if v.is_posed else v for v in views)


def with_cloud_axes(scene: Scene, axes: CloudAxes) -> Scene:
    """The scene with points and normals in the frame of the poses."""
    matrix = axes.matrix
    normal = None if scene.normal is None else (scene.normal @ matrix.T).astype(np.float32)
    return replace(scene, coord=scene.coord @ matrix.T, normal=normal)

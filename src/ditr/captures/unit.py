"""The unit of a capture: metres, another unit that is told, or none where it was made from photographs alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ditr.captures.depth_ratio import DepthRatio
from ditr.captures.photograph_names import view_called
from ditr.captures.transforms import Transforms
from ditr.errors import Finding, Grade, InputError, few
from ditr.geometry.orientation import find_up
from ditr.geometry.stance import Stance
from ditr.scene import ReadOptions, Scene, View

__all__ = ["in_metres", "unscaled_by"]

CAMERA_HEIGHT = 1.5
"""Metres above the floor at which people hold a camera."""
CEILINGS = (2.2, 3.5)
"""Metres of usual rooms, with a little for what was measured."""
_ERROR_OF_HEIGHT = 0.13
"""Relative: people hold cameras at 1.3 to 1.7 m."""
_POINTS, _VIEWS = 20_000, 16
_BY_HAND = "Give --scale-by A B METRES or --unit"


def unscaled_by(transforms: Transforms) -> str | None:
    """What tells that a capture was made from photographs alone, so that its unit is unknown; None where none does.

    Depth maps are measured in metres, and so are the poses that fit them.
    """
    if transforms.unscaled:
        return transforms.unscaled
    frames = transforms.frames
    if not frames or any(frame.depth_file_path is not None for frame in frames):
        return None
    top = transforms.model_extra or {}
    keys = {key for frame in frames for key in frame.model_extra or {}}
    if "colmap_im_id" in keys:
        return "its poses come from COLMAP (colmap_im_id)"
    if "aabb_scale" in top and ("sharpness" in keys or "scale" not in top):
        return "it was made for instant-ngp from photographs (aabb_scale)"
    scale = top.get("applied_scale")
    if isinstance(scale, int | float) and not isinstance(scale, bool) and scale not in (0, 1):
        return f"applied_scale is {scale:g}, so that --unit {1 / scale:g} is right if the original was in metres"
    is_sparse = (transforms.ply_file_path or "").replace("\\", "/").rpartition("/")[2].startswith("sparse_pc")
    if is_sparse and transforms.applied_transform is not None:
        return "its points are the sparse points of a reconstruction (sparse_pc.ply)"
    return None


def in_metres(scene: Scene, options: ReadOptions) -> Scene:
    """The scene in metres, if ``options`` say how; the scene itself where they say nothing.

    Points and the positions of cameras are multiplied. Depth maps have a unit of their own, ``depth_unit``; where the
    scale had to be found, and depth maps fitted the points before, they are multiplied, too, and so are those that were
    made of photographs without a unit.

    Raises:
        InputError: points or views that do not exist or are at one place; with ``scale``, no floor, or cameras that no
            person holds.
    """
    if options.depth_unit is not None:
        unit = options.depth_unit
        scene = replace(scene, views=tuple(replace(view, depth_unit=unit) for view in scene.views))
    unscaled_depth = scene.unscaled is not None and options.depth_unit is None
    if options.unit is not None:
        if unscaled_depth:
            scene = _with_depths_times(scene, options.unit)
        return _multiplied(scene, options.unit, "as told")
    if options.scale_by is not None:
        factor, reason = _by_distance(scene, *options.scale_by)
    elif options.scale is not None:
        factor, reason = _by_floor(scene)
    else:
        return scene
    if unscaled_depth or (options.depth_unit is None and (found := DepthRatio.of(scene)) is not None and found.fits):
        scene = _with_depths_times(scene, factor)
    return _multiplied(scene, factor, reason)


def _multiplied(scene: Scene, factor: float, reason: str) -> Scene:
    """Points and positions of cameras times ``factor``, which is said."""
    if factor == 1.0:
        return replace(scene, unscaled=None)
    text = f"one unit of the capture is {factor:.4g} m, {reason}"

    def moved(view: View) -> View:
        pose = view.world_to_camera.copy()
        pose[:3, 3] *= factor
        return replace(view, world_to_camera=pose) if view.is_posed else view

    applied = scene.applied_transform
    return replace(
        scene,
        coord=scene.coord * factor,
        views=tuple(map(moved, scene.views)),
        applied_transform=None if applied is None else applied * factor,
        unscaled=None,
        findings=(*scene.findings, Finding(Grade.NOTED, "scale", text, evidence={"unit": factor})),
    )


def _with_depths_times(scene: Scene, factor: float) -> Scene:
    return replace(scene, views=tuple(_with_depth_times(view, factor) for view in scene.views))


def _with_depth_times(view: View, factor: float) -> View:
    if isinstance(view.depth, np.ndarray):
        return replace(view, depth=view.depth * np.float32(factor))
    return replace(view, depth_unit=view.depth_unit * factor)


def _by_distance(scene: Scene, first: str, second: str, metres: float) -> tuple[float, str]:
    """By two views, or by two points."""
    views = [view_called(scene.posed_views, name) for name in (first, second)]
    if views[0] is not None and views[1] is not None:
        what, ends = "views", [views[0].center, views[1].center]
    elif first.isdecimal() and second.isdecimal() and max(int(first), int(second)) < len(scene):
        what, ends = "points", [scene.coord[int(first)], scene.coord[int(second)]]
    else:
        names = few(sorted(view.name for view in scene.posed_views), 3) or "none"
        known = f"Views are {names}; points are 0 to {len(scene) - 1}"
        raise InputError(f"scene {scene.name}", f"--scale-by: {first} and {second} are not two views or points", known)
    apart = float(np.linalg.norm(ends[0] - ends[1]))
    if apart == 0:
        raise InputError(
            f"scene {scene.name}",
            f"--scale-by: the {what} are at the same place",
            "Name two that are some distance apart",
        )
    return metres / apart, f"since the {what} {first} and {second} are {metres:g} m apart"


def _by_floor(scene: Scene) -> tuple[float, str]:
    """By the height at which people hold cameras."""

    def refused(fault: str) -> InputError:
        return InputError(f"scene {scene.name}", f"--scale auto: {fault}", _BY_HAND)

    views = _spread(scene.posed_views)
    if not views or len(scene) < 50:
        raise refused("there are too few views or points to find the scale")
    coord = scene.coord[np.linspace(0, len(scene) - 1, min(len(scene), _POINTS)).astype(np.int64)]
    up = find_up(scene)
    stance = Stance.of(coord, views, up / np.linalg.norm(up))
    if stance.floor is None:
        raise refused("no floor is found under the cameras")
    height = float(np.median(stance.cameras))
    spread = float(np.std(stance.cameras)) / height
    if spread > 0.3:
        raise refused(f"the cameras stand at heights that differ by {spread:.0%}, so nobody held them at eye level")
    if stance.looking < -0.7:
        raise refused("the cameras look down, as from the air or on a table")
    factor = CAMERA_HEIGHT / height
    error = float(np.hypot(_ERROR_OF_HEIGHT, spread / np.sqrt(len(views))))
    ceiling = None if stance.ceiling is None else stance.ceiling * factor
    if ceiling is not None and not CEILINGS[0] * (1 - error) < ceiling < CEILINGS[1] * (1 + error):
        raise refused(f"cameras {CAMERA_HEIGHT} m above the floor would put the ceiling at {ceiling:.1f} m")
    checked = "no ceiling is seen to check it by" if ceiling is None else f"the ceiling is at {ceiling:.2f} m then"
    text = f"give or take {error:.0%}, since people hold cameras {CAMERA_HEIGHT} m above the floor; {checked}"
    return factor, text


def _spread(views: Sequence[View]) -> list[View]:
    return [views[row] for row in np.unique(np.linspace(0, len(views) - 1, min(len(views), _VIEWS)).astype(np.int64))]

"""What sources of posed photographs have in common: a photograph, its camera, its pose, and a depth map at most."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.frames import gathered, view_names
from ditr.captures.fusion import fused_points
from ditr.captures.images import check_depth, image_size, is_turned
from ditr.captures.intrinsics import resized
from ditr.captures.notes import Notes
from ditr.captures.points import Points, read_points
from ditr.captures.transforms import LABELS, Labels, load_json
from ditr.errors import InputError, few
from ditr.scene import Camera, ReadOptions, Scene, View

__all__ = ["Shot", "only_cloud", "scene_of", "views_of"]


@dataclass(frozen=True)
class Shot:
    """A photograph as its source has it.

    Attributes:
        name: of the photograph, with folders if there are several; views are called after it.
        image: its file.
        camera: makes its camera; intrinsics of another size in the same proportions are scaled.
        world_to_camera: (4, 4) with OpenCV axes, in the source's unit.
        depth: file of its depth map, which fits the photograph.
        depth_unit: metres of one unit of it.
        sureness: file of how sure the depth map is; 0 does not count where a cloud is made of it.
    """

    name: str
    image: Path
    camera: Callable[[], Camera]
    world_to_camera: NDArray[np.float64]
    depth: Path | None = None
    depth_unit: float = 0.001
    sureness: Path | None = None


def views_of(source: Path, shots: Sequence[Shot], notes: Notes, options: ReadOptions) -> tuple[View, ...]:
    """The views of all shots; headers of their files are looked at.

    Raises:
        InputError: there are none, or with all that cannot be used.
    """
    if not shots:
        raise InputError(
            source, "it has no photograph with a pose", "Export it again, with all its photographs and poses"
        )
    names = view_names([shot.name for shot in shots], notes)
    made = [(shot.name, partial(_view, shot, name, notes)) for shot, name in zip(shots, names, strict=True)]
    return gathered(source, made, notes, skip_bad=options.skip_bad_views)


def _view(shot: Shot, name: str, notes: Notes) -> View:
    size = image_size(shot.image)
    try:
        camera = _fitted(shot, size, notes)
        view = View(
            name=name,
            camera=camera,
            world_to_camera=shot.world_to_camera,
            image=shot.image,
            depth=shot.depth,
            depth_unit=shot.depth_unit,
            extra={"file_path": f"images/{shot.name}"},
        )
    except InputError as error:
        own = error.where in ("camera", f"view {name}")
        raise InputError(shot.image if own else error.where, error.fault, error.remedy) from None
    if shot.depth is not None:
        check_depth(shot.depth, size)
    return view


def _fitted(shot: Shot, size: tuple[int, int], notes: Notes) -> Camera:
    """The camera for an image of ``size``, which may be a smaller or larger copy of the one that was calibrated."""
    camera = shot.camera()
    if (camera.width, camera.height) == size:
        return camera
    if (scaled := resized(camera, size)) is None:
        fault = f"the image is {size[0]}x{size[1]}, its camera {camera.width}x{camera.height}"
        remedy = "Give the images at the size at which they were calibrated"
        if size[::-1] == (camera.width, camera.height) and is_turned(shot.image):
            remedy += "; their EXIF entry turns them for viewing, so save them turned, as `exiftran -ai` does"
        raise InputError(shot.image, fault, remedy)
    times = math.sqrt(size[0] * size[1] / (camera.width * camera.height))
    notes.say(
        "cameras", f"the images are {times:.3g} times as large as their intrinsics say; the intrinsics are scaled"
    )
    return scaled


def scene_of(
    source: Path,
    shots: Sequence[Shot],
    cloud: Path | Points | None,
    notes: Notes,
    options: ReadOptions,
    *,
    unscaled: str | None = None,
    reading: ReadOptions | None = None,
) -> Scene:
    """The scene of some shots.

    Args:
        source: the folder, after which the scene is called.
        shots: the photographs.
        cloud: its points, or the PLY that has them; None to fuse them from the depth maps.
        notes: what was noticed.
        options: how the source is read.
        unscaled: as in :class:`~ditr.scene.Scene`.
        reading: what the source itself says of how it is read.

    Raises:
        InputError: as for :func:`views_of`, a damaged cloud, or one that is missing where no depth maps are.
    """
    views = views_of(source, shots, notes, options)
    labels = load_json(source / LABELS, Labels) if (source / LABELS).is_file() else None
    if isinstance(cloud, Path):
        points = read_points(cloud, labels, notes)
    elif cloud is not None:
        points = cloud
    else:
        if all(view.depth is None for view in views):
            raise InputError(
                source, "it has neither a cloud nor depth maps", "Export it again, with its point cloud or depth"
            )
        paths = {shot.image: shot.sureness for shot in shots if shot.sureness is not None}
        sureness = {v.name: paths[v.image] for v in views if isinstance(v.image, Path) and v.image in paths}
        points = fused_points(views, options, notes, sureness=sureness)
    return Scene(
        name=source.resolve().name,
        coord=points.coord,
        views=views,
        color=points.color,
        normal=points.normal,
        strength=points.strength,
        label=points.label,
        class_names=() if labels is None or points.label is None else tuple(labels.classes),
        extra=points.extra,
        findings=notes.findings(),
        unscaled=unscaled,
        reading=reading or ReadOptions(),
    )


def only_cloud(folder: Path, notes: Notes, pattern: str = "*.ply") -> Path | None:
    """The one PLY that lies in a folder; None where there is none, or several, which is said."""
    found = sorted(path for path in folder.glob(pattern) if path.is_file())
    if len(found) > 1:
        names = few([path.name for path in found], 3)
        notes.say("cloud", f"{names} are in the folder; none is used, because it is not clear which is meant")
    if len(found) != 1:
        return None
    notes.say("cloud", f"{found[0].name} is used, the only PLY file in the folder")
    return found[0]

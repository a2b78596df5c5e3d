"""Reconstructions of COLMAP: the model's files and the photographs found, in any of the layouts that COLMAP and those
who build on it write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from ditr.captures.colmap_cameras import ColmapCamera
from ditr.captures.colmap_model import ColmapImage, count_of_images, read_cameras, read_images, read_points3d
from ditr.captures.colors import colors_of
from ditr.captures.depth_files import present
from ditr.captures.notes import Notes
from ditr.captures.points import Points
from ditr.captures.shots import Shot, scene_of
from ditr.errors import InputError, few
from ditr.geometry.rotations import poses_of, rotations_of
from ditr.scene import Camera, ReadOptions, Scene

__all__ = ["read", "recognise"]

_WORKSPACES = ("dense", "dense/0", "")
"""Where undistorted images lie with their own model, and what was made of them."""
_MODELS = ("sparse", "colmap/sparse", "colmap_sparse", "colmap_text", "")
_PHOTOGRAPHS = ("images", "input", "rgb", "", "images_2", "images_4", "images_8")
_SAMPLE = 8
"""Photographs that are looked for in a folder."""


@dataclass(frozen=True)
class _Layout:
    """The folder of a model, and the workspace it belongs to where its images are undistorted ones."""

    model: Path
    dense: Path | None


def recognise(path: Path) -> str | None:
    """By cameras and images of a model."""
    if (layout := _layout(path)) is None:
        return None
    endings = ("bin", "txt")
    names = (next(f"{stem}.{e}" for e in endings if (layout.model / f"{stem}.{e}").is_file()) for stem in _STEMS)
    place = layout.model.relative_to(path)
    return f"{' and '.join(names)} are {'in it' if place == Path() else f'in {place.as_posix()}'}"


_STEMS = ("cameras", "images")


def read(path: Path, options: ReadOptions) -> Scene:
    """The photographs and points of a reconstruction; images stay files, and their headers are checked.

    Undistorted images are preferred where their dense cloud or depth maps lie beside; of several models the one with
    most images is taken. The cloud is ``fused.ply``, or else the points by which the images were aligned. Depth maps
    are those of ``stereo/depth_maps``. There is no unit.

    Raises:
        InputError: damaged files, images or their cameras that cannot be used (all are named), or no points.
    """
    layout = _layout(path)
    assert layout is not None
    notes = Notes()
    _say_which(path, layout, notes)
    cameras, images = read_cameras(layout.model), read_images(layout.model)
    folder = _photographs(path, layout, images)
    shots = _shots(images, cameras, folder, layout)
    return scene_of(
        path, shots, _cloud(path, layout, notes), notes, options, unscaled="it is a reconstruction of COLMAP"
    )


def _layout(path: Path) -> _Layout | None:
    for name in _WORKSPACES:
        dense = path / name
        made = ("fused.ply", "stereo/depth_maps")
        if (dense / "images").is_dir() and any((dense / part).exists() for part in made):
            for model in (dense / "sparse", dense / "sparse" / "0"):
                if _is_model(model):
                    return _Layout(model, dense)
    for name in _MODELS:
        folder = path / name
        inner = _numbered(folder) if name or path.name in _MODELS else []
        found = [model for model in (*inner, folder) if _is_model(model)]
        if found:
            return _Layout(max(found, key=count_of_images) if len(found) > 1 else found[0], None)
    return None


def _numbered(folder: Path) -> list[Path]:
    """The models of one reconstruction: 0, 1, ..."""
    inner = folder.glob("[0-9]*") if folder.is_dir() else ()
    return sorted(filter(_is_model, inner), key=lambda model: (len(model.name), model.name))


def _is_model(folder: Path) -> bool:
    return all(any((folder / f"{stem}.{end}").is_file() for end in ("bin", "txt")) for stem in _STEMS)


def _say_which(path: Path, layout: _Layout, notes: Notes) -> None:
    place = layout.model.relative_to(path).as_posix()
    others = [other for other in _numbered(layout.model.parent) if other != layout.model]
    if others and layout.model.name.isdecimal():
        which = (
            f"{place} is used, which has the most images"
            if layout.model != path
            else "the model that was named is used"
        )
        rest = few((f"{other.name} has {count_of_images(other)}" for other in others), 3)
        counts = f"{count_of_images(layout.model)} images; {rest}"
        notes.say("model", f"{which} ({counts}); the models of a reconstruction are independent of each other")
    if layout.dense is not None and any(_is_model(path / name) for name in ("sparse/0", "sparse") if name != place):
        notes.say("model", f"{place} is used, whose images are undistorted")
    both = [stem for stem in _STEMS if all((layout.model / f"{stem}.{end}").is_file() for end in ("bin", "txt"))]
    if both:
        notes.say("model", f"{few(both, 2)} exist as .bin and .txt; .bin is used")


def _photographs(path: Path, layout: _Layout, images: Sequence[ColmapImage]) -> Path:
    """The folder that the images' names are relative to."""
    some = [
        images[row].name for row in np.unique(np.linspace(0, len(images) - 1, min(len(images), _SAMPLE)).astype(int))
    ]
    if layout.dense is not None:
        return layout.dense / "images"
    # A model's own folder may be named: sparse/0 of a project that has its images two folders above.
    roots = [path, *(parent for parent in chain([layout.model], layout.model.parents) if parent.is_relative_to(path))]
    above = path.resolve().parents[:2] if path in (layout.model, layout.model.parent) else ()
    folders = [root / name for root in (*roots, *above) for name in _PHOTOGRAPHS if (root / name).is_dir()]
    found = max(folders, key=lambda folder: sum(present(folder / name) for name in some), default=None)
    if some and (found is None or not any(present(found / name) for name in some)):
        fault = f"no folder holds its photographs ({few(some, 2)})"
        raise InputError(path, fault, "Put them into a folder named images, beside the folder of the model")
    return path if found is None else found


def _shots(
    images: Sequence[ColmapImage], cameras: Mapping[int, ColmapCamera], folder: Path, layout: _Layout
) -> list[Shot]:
    rotation = rotations_of(np.array([image.quaternion for image in images], np.float64).reshape(-1, 4))
    poses = poses_of(rotation, np.array([image.translation for image in images], np.float64).reshape(-1, 3))
    maps = None if layout.dense is None else layout.dense / "stereo" / "depth_maps"

    def depth_of(image: ColmapImage) -> Path | None:
        depth = None if maps is None else maps / f"{image.name}.geometric.bin"
        return depth if depth is not None and present(depth) else None

    return [
        Shot(
            name=image.name,
            image=folder / image.name,
            camera=partial(_camera_of, image, cameras, layout.model),
            world_to_camera=pose,
            depth=depth_of(image),
            depth_unit=1.0,
        )
        for image, pose in zip(images, poses, strict=True)
    ]


def _camera_of(image: ColmapImage, cameras: Mapping[int, ColmapCamera], model: Path) -> Camera:
    if image.camera not in cameras:
        where = f"{model}, image {image.name}"
        raise InputError(where, f"its camera {image.camera} is not in the model", "Reconstruct it again")
    return cameras[image.camera].camera(model)


def _cloud(path: Path, layout: _Layout, notes: Notes) -> Path | Points:
    fused = [place / "fused.ply" for place in (layout.dense, path) if place is not None]
    if (dense := next((file for file in fused if file.is_file()), None)) is not None:
        notes.say("cloud", f"it is {dense.relative_to(path).as_posix()}")
        return dense
    points = read_points3d(layout.model)
    if points is None:
        raise InputError(layout.model, "the model has no points", "Add them, or the dense cloud as fused.ply")
    text = f"it consists of the {len(points.coord)} sparse points of the reconstruction"
    notes.say("cloud", f"{text}; `colmap stereo_fusion` makes a dense one, fused.ply")
    color = colors_of(layout.model, list(points.color.T), notes)
    return Points(points.coord, color, None, None, None, {"reprojection_error": points.error})

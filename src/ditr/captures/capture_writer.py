"""Captures, written: ``transforms.json``, the photographs, depth maps and masks that it names, a PLY, and
the lists that lie beside it."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ditr.captures.as_read import options_to_write
from ditr.captures.colors import COLOR
from ditr.captures.frames import DEPTH_ENDINGS, may_be_called
from ditr.captures.images import image_suffix, read_depth, read_image, read_mask
from ditr.captures.intrinsics import camera_fields
from ditr.captures.points import NORMAL
from ditr.captures.read_options import CAPTURE, options_as_json
from ditr.captures.transforms import (
    LABELS,
    TRANSFORMS,
    Transforms,
    TransformsFrame,
    transform_matrix,
    world_to_camera,
)
from ditr.captures.unit import unscaled_by
from ditr.errors import InputError
from ditr.io.files import atomic_folder, write_image
from ditr.io.ply import write_ply
from ditr.scene import UNLABELLED, ReadOptions, Scene, View

__all__ = ["write_capture"]

POINTS = "points.ply"
_OWN_PROPERTIES = frozenset({"x", "y", "z", *COLOR, *NORMAL, "intensity", "label"})


def write_capture(scene: Scene, folder: str | os.PathLike[str], *, image_format: Literal["jpg", "png"] = "jpg") -> None:
    """Write a scene as a capture, whole or not at all; an existing folder of that name is replaced.

    Image and depth files, and images that are the bytes of one, are copied byte for byte, to the place that
    ``View.extra`` names or to ``images/`` and ``depth/``. Image arrays become JPEG (quality 95) or PNG, depth arrays
    16-bit PNG in the view's ``depth_unit`` (so rounded to it). Coordinates are stored as float where that is exact for
    every point, else as double; everything else is read back by :func:`read_capture` with the same bits, poses of views
    that do not come from a capture to 1e-12 relative.

    Raises:
        InputError: what the format cannot hold: two views of one name, views without a pose, depth beyond 65535
            units, extra properties with more than one number per point or that JSON does not know.
    """
    double = [name for name, count in Counter(view.name for view in scene.views).items() if count > 1]
    if double:
        raise InputError(f"scene {scene.name}", f"two views are called {double[0]}", "Give every view its own name")
    unfit = [view.name for view in scene.views if view.name in ("", ".", "..") or set(view.name) & set("/\\\0")]
    if unfit:
        raise InputError(f"scene {scene.name}", f"the view name {unfit[0]!r} is not a file name", "Rename the view")
    unposed = [view.name for view in scene.views if not view.is_posed or view.cut_top]
    if unposed:
        raise InputError(
            f"scene {scene.name}",
            f"the pose of view {unposed[0]} is unknown, or its image is cropped; a capture can store neither",
            "Leave such views out: replace(scene, views=scene.posed_views)",
        )
    reserved = sorted(scene.properties.keys() & Transforms.model_fields.keys())
    if reserved:
        raise InputError(
            f"scene {scene.name}", f"the property {reserved[0]} is a reserved name in the file", "Rename it"
        )
    with atomic_folder(folder) as target:
        models = {view.camera.model.value for view in scene.views}
        content: dict[str, Any] = {key: value for key, value in scene.properties.items() if key != LABELS}
        content["ply_file_path"] = POINTS
        if len(models) == 1:
            content["camera_model"] = models.pop()
        units = {view.depth_unit for view in scene.views}
        if len(units) == 1:
            content["depth_unit_scale_factor"] = float(next(iter(units)))
        if scene.applied_transform is not None:
            content["applied_transform"] = np.asarray(scene.applied_transform, dtype=np.float64).tolist()
        content["frames"] = [_write_view(view, target, image_format, len(units) > 1) for view in scene.views]
        if scene.unscaled is not None and unscaled_by(Transforms.model_validate(content)) is None:
            content["unscaled"] = scene.unscaled
        _write_json(target / TRANSFORMS, content)
        rest = scene.properties.get(LABELS)
        if scene.class_names:
            listed = {"classes": list(scene.class_names), "unlabelled": UNLABELLED}
            _write_json(target / LABELS, {**(rest if isinstance(rest, Mapping) else {}), **listed})
        options = options_to_write(scene)
        if options != ReadOptions():
            _write_json(target / CAPTURE, options_as_json(options))
        write_ply(target / POINTS, _point_columns(scene))


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    try:
        text = json.dumps(content, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(path, f"an extra property cannot be stored as JSON ({error})", "Use plain values") from error
    path.write_text(text + "\n", encoding="utf-8")


def _point_columns(scene: Scene) -> dict[str, NDArray[Any]]:
    clash = sorted(_OWN_PROPERTIES & scene.extra.keys())
    if clash:
        raise InputError(
            f"scene {scene.name}", f"the extra property {clash[0]} is a reserved name in the file", "Rename it"
        )
    single = scene.coord.astype(np.float32)
    exact = np.array_equal(single, scene.coord)
    columns: dict[str, NDArray[Any]] = dict(zip("xyz", (single if exact else scene.coord).T, strict=True))
    if scene.normal is not None:
        columns |= dict(zip(NORMAL, scene.normal.T, strict=True))
    if scene.color is not None:
        columns |= dict(zip(COLOR, scene.color.T, strict=True))
    if scene.strength is not None:
        columns["intensity"] = scene.strength
    if scene.label is not None:
        columns["label"] = scene.label
    return columns | dict(scene.extra)


def _write_view(view: View, target: Path, image_format: str, own_unit: bool) -> dict[str, Any]:
    """Write one view's files, and return its frame."""
    frame: dict[str, Any] = {"file_path": _write_image(view, target, image_format), **camera_fields(view.camera)}
    if view.depth is not None:
        frame["depth_file_path"] = _write_depth(view, target)
    if view.mask is not None:
        frame["mask_path"] = _write_mask(view, target)
    if own_unit:
        frame["depth_unit_scale_factor"] = float(view.depth_unit)
    frame["transform_matrix"] = _matrix_of(view)
    _copy_attached(view, target)
    rest = {key: value for key, value in view.extra.items() if key not in TransformsFrame.model_fields}
    return frame | rest


def _matrix_of(view: View) -> list[list[float]]:
    stored = view.extra.get("transform_matrix")
    if stored is not None and np.array_equal(world_to_camera(f"view {view.name}", stored), view.world_to_camera):
        kept: list[list[float]] = stored
        return kept
    return transform_matrix(view.world_to_camera)


def _write_image(view: View, target: Path, image_format: str) -> str:
    if isinstance(view.image, Path):
        return _copy(view.image, target, _place(view, "file_path", "images", view.image.suffix))
    if isinstance(view.image, bytes):
        place = _place(view, "file_path", "images", image_suffix(view.image, f"view {view.name}"))
        _made(target, place).write_bytes(view.image)
        return place
    place = _place(view, "file_path", "images", f".{image_format}")
    path = _made(target, place)
    write_image(path, Image.fromarray(read_image(view)), quality=95)  # PNG has no quality and ignores it
    return place


def _write_depth(view: View, target: Path) -> str:
    if isinstance(view.depth, Path) and view.depth.suffix.lower() in DEPTH_ENDINGS:
        return _copy(view.depth, target, _place(view, "depth_file_path", "depth", view.depth.suffix))
    depth = read_depth(view)
    assert depth is not None
    if isinstance(view.depth, Path):  # of a kind that only its own tool knows
        place = _place(view, "depth_file_path", "depth", ".npy")
        np.save(_made(target, place), depth / np.float32(view.depth_unit), allow_pickle=False)
        return place
    units = np.rint(depth.astype(np.float64) / view.depth_unit)
    if units.max(initial=0) > np.iinfo(np.uint16).max:
        raise InputError(
            f"view {view.name}",
            f"depth reaches {depth.max():.3f} m, more than 65535 units of {view.depth_unit} m",
            "Give the view a larger depth_unit",
        )
    place = _place(view, "depth_file_path", "depth", ".png")
    # The lightest compression is six times as fast as the usual one, for 7 % more bytes.
    write_image(_made(target, place), Image.fromarray(units.astype(np.uint16)), compress_level=1)
    return place


def _write_mask(view: View, target: Path) -> str:
    if isinstance(view.mask, Path):
        return _copy(view.mask, target, _place(view, "mask_path", "masks", view.mask.suffix))
    mask = read_mask(view)
    assert mask is not None
    place = _place(view, "mask_path", "masks", ".png")
    write_image(_made(target, place), Image.fromarray(mask.astype(np.uint8) * 255))
    return place


def _place(view: View, key: str, folder: str, suffix: str) -> str:
    """Where a file of a view goes, relative to the capture: as before, or ``folder/name``."""
    image, before = (PurePosixPath(str(view.extra.get(k, ""))) for k in ("file_path", key))
    renamed = not may_be_called(view.name, image)
    if before.name and before.suffix == suffix and not renamed and _stays_inside(before):
        return str(before)
    return f"{folder}/{view.name}{suffix}"


def _stays_inside(place: PurePosixPath) -> bool:
    return not place.is_absolute() and ".." not in place.parts


def _made(target: Path, place: str) -> Path:
    path = target / place
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _copy(source: Path, target: Path, place: str) -> str:
    try:
        shutil.copyfile(source, _made(target, place))
    except OSError as error:
        raise InputError(
            source, f"the file cannot be copied ({error.strerror or error})", "Check the file and its permissions"
        ) from error
    return place


def _copy_attached(view: View, target: Path) -> None:
    """Copy the files that a frame's other entries name (``NAME_path``), so that these stay true."""
    own = PurePosixPath(str(view.extra.get("file_path", "")))
    if not isinstance(view.image, Path) or not own.parts or view.image.parts[-len(own.parts) :] != own.parts:
        return
    root = view.image.parents[len(own.parts) - 1]
    for key, value in view.extra.items():
        if not key.endswith("_path") or key in TransformsFrame.model_fields or not isinstance(value, str):
            continue
        place = PurePosixPath(value)
        if _stays_inside(place) and (root / place).is_file():
            _copy(root / place, target, value)

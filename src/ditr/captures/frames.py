"""The frames of ``transforms.json`` as views: their files found, their faults listed, all at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ditr.captures.images import check_depth, image_size, is_turned, read_depth, read_image, read_mask
from ditr.captures.intrinsics import camera_of
from ditr.captures.notes import Notes
from ditr.captures.places import IMAGE_ENDINGS, located
from ditr.captures.transforms import Transforms, TransformsFrame, world_to_camera
from ditr.errors import InputError, few
from ditr.scene import View

__all__ = ["DEPTH_ENDINGS", "gathered", "may_be_called", "read_views", "view_names"]

DEPTH_ENDINGS = (".png", ".npy", ".tif", ".tiff", ".exr")
"""Of depth maps that a capture may name."""
_DEFAULT_DEPTH_UNIT = 0.001
_UNHEEDED_UNITS = ("depth_scale", "depth_factor", "depth_unit", "depth_scale_factor", "depth_units")


def read_views(path: Path, transforms: Transforms, notes: Notes, *, skip_bad: bool) -> tuple[View, ...]:
    """The views of all frames. Images and depth maps stay files; their headers are checked.

    Args:
        path: of ``transforms.json``.
        transforms: what it says.
        notes: is told what was noticed.
        skip_bad: leave out the frames that cannot be used, whose files are read for this, and say so.

    Raises:
        InputError: with all frames that cannot be used.
    """
    frames = [_with_files(path.parent, frame, notes) for frame in transforms.frames]
    names = view_names([frame.file_path for frame in frames], notes)
    made = [
        (frame.file_path, partial(_read_view, path, frame, transforms, name, notes))
        for frame, name in zip(frames, names, strict=True)
    ]
    return gathered(path, made, notes, skip_bad=skip_bad)


def gathered(
    where: Path, made: Sequence[tuple[str, Callable[[], View]]], notes: Notes, *, skip_bad: bool
) -> tuple[View, ...]:
    """Views, each made by a function that may refuse to, which comes with the name of its photograph.

    Args:
        where: for errors, what says which views there are.
        made: the views.
        notes: is told what was left out.
        skip_bad: leave out the views that cannot be made, or whose files cannot be read, and say so.

    Raises:
        InputError: with all views that cannot be used.
    """
    views, faults = [], []
    for name, make in made:
        try:
            view = make()
            if skip_bad:
                _read_files(view)
            views.append(view)
        except InputError as error:
            faults.append((name, error))
    if not faults:
        return tuple(views)
    if not skip_bad or not views:
        raise _all_faults(where, faults, len(made))
    text = f"{len(faults)} of {len(made)} were left out: {_grouped(faults)}"
    notes.warn("views", text)
    return tuple(views)


def _all_faults(path: Path, faults: Sequence[tuple[str, InputError]], count: int) -> InputError:
    """One error for all bad frames; that of a single frame stays as it is."""
    first = faults[0][1]
    remedy = first.remedy
    if len(faults) < count:
        remedy += f"; --skip-bad-views leaves {'it' if len(faults) == 1 else 'them'} out"
    if len(faults) == 1:
        return InputError(first.where, first.fault, remedy)
    if len({error.fault for _, error in faults}) == 1:
        names = few([name for name, _ in faults], 3)
        return InputError(
            first.where, f"{first.fault}; {len(faults)} of {count} frames have this fault ({names})", remedy
        )
    return InputError(path, f"{len(faults)} of {count} frames cannot be used: {_grouped(faults)}", remedy)


def _grouped(faults: Sequence[tuple[str, InputError]]) -> str:
    """The faults, each with the first of its frames."""
    places: dict[str, list[str]] = {}
    for name, error in faults:
        places.setdefault(error.fault, []).append(name)
    told = [f"{fault} ({few(names, 3)})" for fault, names in places.items()]
    return "; ".join(told[:3]) + (f"; and {len(told) - 3} other faults" if len(told) > 3 else "")


def _with_files(root: Path, frame: TransformsFrame, notes: Notes) -> TransformsFrame:
    """The frame with the names of its files as they lie there; names that mean several are left to be refused."""
    found: dict[str, str | None] = {}
    for key, endings in (
        ("file_path", IMAGE_ENDINGS),
        ("depth_file_path", DEPTH_ENDINGS),
        ("mask_path", IMAGE_ENDINGS),
    ):
        name = getattr(frame, key)
        if name is not None:
            blank = key != "file_path" and not name.strip()
            found[key] = None if blank else located(root, name, endings, notes)
    return frame.model_copy(update=found)


def view_names(names: Sequence[str], notes: Notes) -> list[str]:
    """What views are called after their photographs: the file name without suffix, or with folders, or with both where
    these are ambiguous; numbered where a photograph comes again.
    """
    files = [PurePosixPath(name) for name in names]
    distinct = list(dict.fromkeys(files))
    called = {file: _full_name(file) for file in distinct}
    for form in (_long_name, _short_name):
        forms = [form(file) for file in distinct]
        if len(set(forms)) == len(forms):
            called = dict(zip(distinct, forms, strict=True))
    seen: Counter[PurePosixPath] = Counter()
    result = []
    for file in files:
        seen[file] += 1
        result.append(called[file] if seen[file] == 1 else f"{called[file]}.{seen[file]}")
        if seen[file] == 2:
            notes.say("views", "more than one frame names the same photograph", str(file))
    return result


def _short_name(file: PurePosixPath) -> str:
    return file.stem


def _long_name(file: PurePosixPath) -> str:
    return "_".join(part for part in file.with_suffix("").parts if part not in ("/", "..")) if file.name else ""


def _full_name(file: PurePosixPath) -> str:
    return _long_name(file) + file.suffix


def may_be_called(name: str, file: PurePosixPath) -> bool:
    """Whether a view that was read from a frame of this ``file_path`` may have got this name."""
    own = {_short_name(file), _long_name(file), _full_name(file)} - {""}
    before, _, number = name.rpartition(".")
    return name in own or (number.isdigit() and before in own)


def _read_view(path: Path, frame: TransformsFrame, shared: Transforms, name: str, notes: Notes) -> View:
    where = f"{path}, frame {frame.file_path}"
    root = path.parent
    image = root / frame.file_path
    depth = None if frame.depth_file_path is None else root / frame.depth_file_path
    mask = None if frame.mask_path is None else root / frame.mask_path
    size = image_size(image)
    if depth is not None:
        if not depth.is_file():
            fault = f"the depth map of {frame.file_path} is missing"
            raise InputError(depth, fault, "Add the file, or remove its entry")
        check_depth(depth, size)
    if mask is not None:
        _check_mask(where, mask, size)
    turned = size != _stated(frame, shared, size) and is_turned(image)
    camera = camera_of(where, frame, shared, size, notes, turned=turned)
    unit = _depth_unit(where, frame, shared, depth is not None)
    kept = ["file_path", "transform_matrix"]
    kept += [key for key, file in (("depth_file_path", depth), ("mask_path", mask)) if file is not None]
    try:
        return View(
            name=name,
            camera=camera,
            world_to_camera=world_to_camera(where, frame.transform_matrix),
            image=image,
            depth=depth,
            depth_unit=unit,
            extra={**(frame.model_extra or {}), **{key: getattr(frame, key) for key in kept}},
            mask=mask,
        )
    except InputError as error:
        named = error.where if error.where != f"view {name}" else where
        raise InputError(named, error.fault, error.remedy) from None


def _stated(frame: TransformsFrame, shared: Transforms, size: tuple[int, int]) -> tuple[int, int]:
    width = frame.w if frame.w is not None else shared.w
    height = frame.h if frame.h is not None else shared.h
    return size[0] if width is None else width, size[1] if height is None else height


def _check_mask(where: str, mask: Path, size: tuple[int, int]) -> None:
    if not mask.is_file():
        raise InputError(mask, "there is no such mask", "Add the file, or remove its entry")
    width, height = image_size(mask)
    if abs(width * size[1] - height * size[0]) > max(width * size[1], height * size[0]) * 0.05:
        fault = f"the mask is {width}x{height}, but the image is {size[0]}x{size[1]}"
        raise InputError(where, fault, "Give a mask with the aspect ratio of the image")


def _depth_unit(where: str, frame: TransformsFrame, shared: Transforms, has_depth: bool) -> float:
    stated = (frame.depth_unit_scale_factor, shared.depth_unit_scale_factor)
    unit = next((value for value in stated if value is not None), None)
    if unit is None:
        extra: Mapping[str, Any] = {**(shared.model_extra or {}), **(frame.model_extra or {})}
        other = next((key for key in _UNHEEDED_UNITS if extra.get(key) not in (None, _DEFAULT_DEPTH_UNIT, 1000)), None)
        if has_depth and other is not None:
            raise InputError(
                where,
                f"{other} = {extra[other]} may mean metres per depth unit, or depth units per metre",
                "Give depth_unit_scale_factor, the metres of one unit, instead",
            )
        return _DEFAULT_DEPTH_UNIT
    if not (np.isfinite(unit) and unit > 0):
        raise InputError(where, f"depth_unit_scale_factor is {unit}", "Give the metres of one unit, such as 0.001")
    return unit


def _read_files(view: View) -> None:
    """Decode all that a view has, for the errors alone."""
    read_image(view)
    read_depth(view)
    read_mask(view)

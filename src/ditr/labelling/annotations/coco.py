"""COCO's ``instances.json``: polygons, and masks in runs that go down the columns, compressed or not."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError, few
from ditr.labelling.annotations.files import read_json, read_whole
from ditr.labelling.annotations.label_image import Annotations, LabelImage, numbered, require_once, require_size
from ditr.labelling.annotations.runs import coco_counts, from_counts, require_counts
from ditr.labelling.annotations.shapes import Bitmap, Polygons, Shape, box, painted, ring
from ditr.labelling.annotations.values import entries, number, text, whole

__all__ = ["from_values", "read"]


def read(path: Path) -> Annotations:
    """The annotations of a file.

    Raises:
        InputError: as for :func:`from_values`.
    """
    return from_values(read_json(read_whole(path), str(path)), str(path))


def from_values(values: Mapping[str, Any], where: str) -> Annotations:
    """Of what stands in the file. Smaller objects lie over larger ones, crowds below all.

    Raises:
        InputError: damaged entries, ids that are not there, two images of one name, or a panoptic file.
    """
    names, ids = _categories(values, where)
    classes, index = numbered(names, where)
    label = dict(zip(ids, index, strict=True))
    images = [_image(entry, f"{where}, image {row}") for row, entry in enumerate(entries(values, "images", where))]
    require_once([image.name for image in images], where, "images")
    require_once([str(image.number) for image in images], where, "ids of images")
    by_number = {image.number: image for image in images}
    shapes: dict[int, list[tuple[tuple[bool, float], Shape]]] = defaultdict(list)
    for row, entry in enumerate(entries(values, "annotations", where)):
        at = f"{where}, annotation {row}"
        image, category = (whole(entry, key, at) for key in ("image_id", "category_id"))
        if image not in by_number or category not in label:
            what = f"image {image}" if image not in by_number else f"category {category}"
            raise InputError(at, f"there is no {what}", "Export the file again, with all images and categories")
        shape = _shape(entry, label[category], by_number[image].size, at)
        area = number(entry, "area", at) if "area" in entry else _box_area(entry, at)
        shapes[image].append(((not entry.get("iscrowd"), -area), shape))

    def label_image(image: _Image) -> LabelImage:
        ordered = [shape for _, shape in sorted(shapes[image.number], key=lambda one: one[0])]
        return LabelImage(image.name, image.size, partial(painted, ordered, image.size), f"{where}, {image.name}")

    found = tuple(label_image(image) for image in images if shapes[image.number])
    return Annotations("annotations of COCO", classes, found, upright=True)


@dataclass(frozen=True)
class _Image:
    number: int
    name: str
    size: tuple[int, int]


def _categories(values: Mapping[str, Any], where: str) -> tuple[list[str], list[int]]:
    rows = [(entry, f"{where}, category {row}") for row, entry in enumerate(entries(values, "categories", where))]
    names, ids = [text(entry, "name", at) for entry, at in rows], [whole(entry, "id", at) for entry, at in rows]
    require_once(list(map(str, ids)), where, "ids of categories")
    return names, ids


def _image(entry: Mapping[str, Any], at: str) -> _Image:
    size = require_size((whole(entry, "width", at), whole(entry, "height", at)), at)
    return _Image(whole(entry, "id", at), text(entry, "file_name", at), size)


def _shape(entry: Mapping[str, Any], label: int, size: tuple[int, int], at: str) -> Shape:
    segmentation = entry.get("segmentation")
    if "segments_info" in entry:
        raise InputError(at, "this is a panoptic file", "Name the folder of its PNGs, or export instances")
    if isinstance(segmentation, dict):
        return Bitmap(partial(_columns, _counts(segmentation, size, at), size), label)
    if not segmentation:
        left, top, width, height = _box(entry, at)
        return Polygons([ring(box(left, top, left + width, top + height), size, at)], label)
    if not isinstance(segmentation, list) or not all(isinstance(one, list) for one in segmentation):
        raise InputError(at, "its segmentation is neither polygons nor runs", "Export it again")
    numbers = [[number({"point": value}, "point", at) for value in one] for one in segmentation]
    return Polygons([ring(one, size, at) for one in numbers], label)


def _box(entry: Mapping[str, Any], at: str) -> list[float]:
    values = entry.get("bbox")
    if not isinstance(values, list) or len(values) != 4:
        raise InputError(at, "it has neither a segmentation nor a box", "Remove it, or export the file again")
    return [number({"bbox": value}, "bbox", at) for value in values]


def _box_area(entry: Mapping[str, Any], at: str) -> float:
    return math.prod(_box(entry, at)[2:]) if "bbox" in entry else 0.0


def _counts(segmentation: Mapping[str, Any], size: tuple[int, int], at: str) -> NDArray[np.int64]:
    stored, counts = segmentation.get("size"), segmentation.get("counts")
    if stored != [size[1], size[0]]:
        fault = f"its mask has the size {few([str(stored)], 1)[:40]}, but its image {size[1]} x {size[0]}"
        raise InputError(at, fault, "Export it again")
    if isinstance(counts, str):
        counts = coco_counts(counts, at)
    if not isinstance(counts, list):
        raise InputError(at, "its mask has no run lengths", "Export it again")
    return require_counts(counts, size[0] * size[1], at)


def _columns(counts: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.bool_]:
    return from_counts(counts).reshape(size[0], size[1]).T

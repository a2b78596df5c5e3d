"""Label Studio's JSON export: polygons, brushes, rectangles and ellipses, in percent of the photograph."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ditr.errors import Finding, Grade, InputError, few
from ditr.labelling.annotations.files import read_json, read_whole
from ditr.labelling.annotations.label_image import Annotations, LabelImage, numbered, require_once, require_size
from ditr.labelling.annotations.runs import from_label_studio
from ditr.labelling.annotations.shapes import Bitmap, Polygons, Shape, box, ellipse, painted, ring
from ditr.labelling.annotations.values import entries, number, whole

__all__ = ["from_values", "read"]

_AREAS = ("polygonlabels", "brushlabels", "rectanglelabels", "ellipselabels")
_IMAGE = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp)$", re.IGNORECASE)
_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")


def read(path: Path) -> Annotations:
    """The annotations of a file.

    Raises:
        InputError: as for :func:`from_values`.
    """
    return from_values(read_json(read_whole(path), str(path)), str(path))


def from_values(tasks: Sequence[Any], where: str) -> Annotations:
    """Of what stands in the file. Of several annotations of a photograph the one marked as ground truth counts, or else
    the last that was not cancelled; later regions lie over earlier ones.

    Raises:
        InputError: damaged entries, photographs that were turned in the tool, or two tasks of one photograph.
    """
    found: list[tuple[str, str, list[Mapping[str, Any]]]] = []
    several, other = 0, 0
    for row, task in enumerate(tasks):
        at = f"{where}, task {row}"
        stored = task.get("annotations", task.get("completions")) if isinstance(task, dict) else None
        if not isinstance(stored, list):
            raise InputError(at, "it has no annotations", "Export as JSON, not as JSON-MIN")
        given = [one for one in stored if isinstance(one, dict) and not one.get("was_cancelled")]
        several += len(given) > 1
        best = next((one for one in given if one.get("ground_truth")), given[-1] if given else None)
        regions = [] if best is None else entries(best, "result", at)
        areas = [region for region in regions if region.get("type") in _AREAS]
        other += len(regions) - len(areas)
        if areas:
            found.append((_name(task, at), at, areas))
    require_once([name for name, _, _ in found], where, "tasks of the photographs")
    names = list(dict.fromkeys(_label(region, at) for _, at, regions in found for region in regions))
    if not names:
        raise InputError(where, "it has no polygons, brushes or boxes", "Export a project in which some were drawn")
    classes, index = numbered(names, where)
    label = dict(zip(names, index, strict=True))
    images = tuple(_image(name, at, regions, label) for name, at, regions in found)
    notes = [f"{several} photographs have several annotations, of which one is used"] * bool(several)
    notes += [f"{other} regions are not areas (relations, key points, choices) and were left out"] * bool(other)
    findings = tuple(Finding(Grade.NOTED, "annotations", text) for text in notes)
    return Annotations("annotations of Label Studio", classes, images, upright=True, findings=findings)


def _name(task: Mapping[str, Any], at: str) -> str:
    """The photograph's: as it was uploaded, or its address without what a server puts around it."""
    data = task.get("data")
    texts = [value for value in data.values() if isinstance(value, str)] if isinstance(data, dict) else []
    for address in (*texts, task.get("file_upload")):
        if not isinstance(address, str):
            continue
        parts = urlsplit(address)
        query = parse_qs(parts.query).get("d", [])  # of files that the server has itself
        for path in (*query, unquote(parts.path)):
            if _IMAGE.search(path):
                place = PurePosixPath(path)
                return str(place.with_name(_UPLOADED.sub("", place.name)))
    raise InputError(at, "its data names no photograph", "Export as JSON, with the task data")


def _label(region: Mapping[str, Any], at: str) -> str:
    value = region.get("value")
    labels = value.get(region["type"]) if isinstance(value, dict) else None
    if not isinstance(labels, list) or not labels or not isinstance(labels[0], str):
        raise InputError(at, "one of its regions has no label", "Give the region a label, or delete it")
    if len(labels) > 1:
        raise InputError(
            at, f"one of its regions has the labels {few(map(str, labels), 3)}", "Give each region one label"
        )
    return labels[0]


def _image(name: str, at: str, regions: Sequence[Mapping[str, Any]], label: Mapping[str, int]) -> LabelImage:
    sizes = {(whole(region, "original_width", at), whole(region, "original_height", at)) for region in regions}
    if len(sizes) > 1:
        raise InputError(at, "its regions belong to photographs of different sizes", "Export it again")
    size = require_size(sizes.pop(), at)
    shapes = [_shape(region, size, label[_label(region, at)], at) for region in regions]
    return LabelImage(name, size, partial(painted, shapes, size), at)


def _shape(region: Mapping[str, Any], size: tuple[int, int], label: int, at: str) -> Shape:
    if region.get("image_rotation"):
        fault = f"its photograph was turned by {str(region['image_rotation'])[:10]} degrees in the tool"
        raise InputError(at, fault, "Turn it back there, and export again")
    kind, value = region["type"], region["value"]
    if kind == "brushlabels":
        data = value.get("rle")
        if value.get("format", "rle") != "rle" or not isinstance(data, list):
            raise InputError(at, "one of its brush masks has no data", "Export as JSON")
        return Bitmap(partial(from_label_studio, data, size, at), label)
    across, down = size[0] / 100, size[1] / 100
    if kind == "polygonlabels":
        points = value.get("points")
        if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
            raise InputError(at, "one of its polygons has no points", "Draw it again")
        numbers = [number({"point": part}, "point", at) for point in points for part in point]
        corners = [part * (down if row % 2 else across) for row, part in enumerate(numbers)]
    else:
        x, y = number(value, "x", at) * across, number(value, "y", at) * down
        degrees = number({"rotation": value.get("rotation") or 0}, "rotation", at)
        if kind == "ellipselabels":
            radii = number(value, "radiusX", at) * across, number(value, "radiusY", at) * down
            corners = ellipse(x, y, *radii, degrees)
        else:
            width, height = number(value, "width", at) * across, number(value, "height", at) * down
            corners = box(x, y, x + width, y + height, degrees, about=(x, y))
    return Polygons([ring(corners, size, at)], label)

"""CVAT's "CVAT for images 1.1": ``annotations.xml`` with polygons, masks, boxes and ellipses, or the zip with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NoReturn
from xml.parsers import expat

from ditr.errors import Finding, Grade, InputError, few
from ditr.labelling.annotations.files import MOST_BYTES, is_zip, opened, read_whole
from ditr.labelling.annotations.label_image import Annotations, LabelImage, numbered, require_once, require_size
from ditr.labelling.annotations.runs import from_counts, require_counts
from ditr.labelling.annotations.shapes import Bitmap, Polygons, Shape, box, ellipse, painted, ring
from ditr.labelling.annotations.values import number, text, whole

__all__ = ["read", "recognise"]

XML = "annotations.xml"
_AREAS = frozenset({"polygon", "mask", "box", "ellipse"})
_OTHERS = frozenset({"polyline", "points", "cuboid", "skeleton", "tag"})
_DEEPEST = 32
_EXPORT = "Export it as CVAT for images 1.1"


def recognise(path: Path) -> str | None:
    """By its first lines, or by the file of this name in an archive or folder."""
    if is_zip(path) or path.is_dir():
        with opened(path) as files:
            found = _inside(files.names)
        return None if found is None else f"it holds {found}"
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError:
        return None
    return "it begins with <annotations>" if b"<annotations>" in start else None


def read(path: Path) -> Annotations:
    """The annotations of a file, or of the one in an archive or folder; shapes lie over each other as CVAT shows them.

    Raises:
        InputError: an XML file that is damaged or declares a document type, a label that its list lacks, shapes that
            are none, two images of one name, or the annotation of a video.
    """
    if path.is_dir() or is_zip(path):
        with opened(path) as files:
            name = _inside(files.names) or XML
            content, where = files.read(name, MOST_BYTES), files.where(name)
    else:
        content, where = read_whole(path), str(path)
    found = _parsed(content, where)
    require_once([image.name for image in found.images], where, "images")
    used = list(dict.fromkeys(shape["label"] for image in found.images for _, shape in image.shapes))
    if found.labels and (strange := [name for name in used if name not in found.labels]):
        raise InputError(where, f"{few(strange, 3)} is not in its list of labels", _EXPORT)
    names = found.labels or used
    if not names:
        raise InputError(where, "it has no labels", "Draw labels, and export it again")
    classes, index = numbered(names, where)
    label = dict(zip(names, index, strict=True))
    images = tuple(_label_image(image, label, where) for image in found.images if image.shapes)
    notes = [f"{found.others} shapes are not areas (lines, points, cuboids, tags) and were left out"]
    findings = tuple(Finding(Grade.NOTED, "annotations", note) for note in notes if found.others)
    return Annotations("annotations of CVAT", classes, images, upright=True, findings=findings)


def _inside(names: tuple[str, ...]) -> str | None:
    return next((name for name in names if PurePosixPath(name).name == XML), None)


@dataclass
class _Image:
    name: str
    size: tuple[int, int]
    at: str
    shapes: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)


@dataclass
class _Found:
    """What is collected while the file is read."""

    where: str
    labels: list[str] = field(default_factory=list)
    images: list[_Image] = field(default_factory=list)
    others: int = 0
    path: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self.path.append(tag)
        self.words = []
        if len(self.path) > _DEEPEST:
            raise InputError(self.where, "it is nested too deeply", _EXPORT)
        if len(self.path) == 1 and tag != "annotations":
            raise InputError(self.where, f"it begins with <{tag[:40]}> instead of <annotations>", _EXPORT)
        if tag == "track":
            raise InputError(self.where, "it is the annotation of a video", _EXPORT)
        if tag == "image":
            at = f"{self.where}, image {len(self.images)}"
            size = require_size((whole(attributes, "width", at), whole(attributes, "height", at)), at)
            self.images.append(_Image(text(attributes, "name", at), size, at))
        elif self.path[-2:-1] == ["image"]:
            if tag in _AREAS:
                text(attributes, "label", self.images[-1].at)
                self.images[-1].shapes.append((tag, attributes))
            self.others += tag in _OTHERS

    def end(self, tag: str) -> None:
        """An element ends."""
        if self.path[-3:] == ["labels", "label", "name"]:
            self.labels.append("".join(self.words).strip())
        self.path.pop()

    def refuse(self, *_: object) -> NoReturn:
        """What declares entities can name other files, or grow without end."""
        raise InputError(self.where, "it declares a document type, which no export of CVAT does", _EXPORT)


def _parsed(content: bytes, where: str) -> _Found:
    found = _Found(where)
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = found.start, found.end
    parser.CharacterDataHandler = lambda words: found.words.append(words)
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = found.refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(where, f"it is not valid XML ({error})", _EXPORT) from None
    return found


def _label_image(image: _Image, label: Mapping[str, int], where: str) -> LabelImage:
    ordered = sorted(image.shapes, key=lambda one: number({"z_order": one[1].get("z_order", "0")}, "z_order", image.at))
    shapes = [_shape(kind, values, image, label[values["label"]]) for kind, values in ordered]
    return LabelImage(image.name, image.size, partial(painted, shapes, image.size), f"{where}, {image.name}")


def _shape(kind: str, values: Mapping[str, str], image: _Image, label: int) -> Shape:
    at, size = image.at, image.size
    if kind == "mask":
        left, top, width, height = (whole(values, key, at) for key in ("left", "top", "width", "height"))
        if min(left, top) < 0 or min(width, height) < 1 or left + width > size[0] or top + height > size[1]:
            raise InputError(at, f"a mask of it ({width} x {height} at {left}, {top}) leaves the image", _EXPORT)
        words = values.get("rle", "").split(",")
        runs = [int(word) if word.strip().isdecimal() and len(word) < 12 else -1 for word in words]
        counts = require_counts(runs, width * height, at)
        return Bitmap(lambda: from_counts(counts).reshape(height, width), label, left, top)
    degrees = number({"rotation": values.get("rotation", "0")}, "rotation", at)
    if kind == "polygon":
        pairs = [word.split(",") for word in values.get("points", "").split(";")]
        corners = [number({"point": part}, "point", at) for pair in pairs for part in pair]
    elif kind == "box":
        left_, top_, right, bottom = (number(values, key, at) for key in ("xtl", "ytl", "xbr", "ybr"))
        corners = box(left_, top_, right, bottom, degrees)
    else:
        x, y, across, down = (number(values, key, at) for key in ("cx", "cy", "rx", "ry"))
        corners = ellipse(x, y, across, down, degrees)
    return Polygons([ring(corners, size, at)], label)

"""A folder or zip archive of label images, one PNG for each photograph; CVAT's "Segmentation mask 1.1" is one."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ditr.captures.images import opened_image
from ditr.errors import InputError, few
from ditr.labelling.annotations.files import Files, is_zip, opened, read_again
from ditr.labelling.annotations.label_image import VOID, Annotations, LabelImage, require_size
from ditr.labelling.annotations.palette import LABELMAP, PALETTES, Palette, parse_palette

__all__ = ["read", "recognise"]

_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
_MASKS = "SegmentationClass"
_MOST_BYTES, _MOST_LIST = 1 << 28, 16 << 20
_VOID_NUMBERS = (255, 65535)
_FORMATS = ("PNG", "TIFF", "BMP")
_NUMBERS = frozenset({"1", "L", "P", "I;16", "I;16B", "I;16L", "I"})
_COLORS = frozenset({"RGB", "RGBA", "RGBX", "PA", "LA"})


def recognise(path: Path) -> str | None:
    """By images in it that keep every pixel."""
    if not (path.is_dir() or is_zip(path)):
        return None
    with opened(path) as files:
        found = _images(files)
        return None if not found else f"it holds {len(found)} images such as {found[0]}"


def read(path: Path, palette: Palette | None) -> Annotations:
    """The label images of a folder or archive.

    Args:
        path: of it.
        palette: what pixels mean; None for the file that lies with them, or in the folder above.

    Raises:
        InputError: no such file, images that are damaged or too large.
    """
    with opened(path) as files:
        if palette is None:
            palette = _palette_of(files)
        images = tuple(_label_image(files, name, palette) for name in _images(files))
    labelmap = palette is not None and PurePosixPath(palette.where).name == LABELMAP
    title = "CVAT's segmentation masks" if labelmap else "a folder of label images"
    return Annotations(title, palette.classes, images, upright=labelmap)


def _images(files: Files) -> list[str]:
    """Names of the label images; of CVAT's folders the one with classes."""
    names = [name for name in files.names if name.lower().endswith(_SUFFIXES)]
    inside = [name for name in names if _MASKS in PurePosixPath(name).parts]
    return inside or names


def _palette_of(files: Files) -> Palette:
    for wanted in PALETTES:
        if found := [name for name in files.names if PurePosixPath(name).name == wanted]:
            return parse_palette(wanted, files.read(found[0], _MOST_LIST), files.where(found[0]))
        beside = files.path.parent / wanted
        if files.path.is_dir() and beside.is_file():
            return parse_palette(wanted, beside.read_bytes(), str(beside))
    ways = f"Put {PALETTES[0]} or {LABELMAP} beside them, or name the classes 0, 1, ... with --classes wall,floor"
    raise InputError(files.path, "nothing says what the numbers and colours of these label images mean", ways)


def _label_image(files: Files, name: str, palette: Palette) -> LabelImage:
    where = files.where(name)
    content = files.read(name, _MOST_BYTES)
    with opened_image(content, _FORMATS, where) as image:
        size, mode = require_size(image.size, where), image.mode
    if mode not in _NUMBERS | _COLORS:
        raise InputError(where, f"its pixels are neither numbers nor colours (mode {mode})", "Save it as 8-bit PNG")

    def paint() -> NDArray[np.int16]:
        # Read again, so that the images of a capture are not held together.
        with opened_image(read_again(files.path, name, _MOST_BYTES), _FORMATS, where) as image:
            return _labels(image, palette, where)

    return LabelImage(str(PurePosixPath(name).with_suffix("")), size, paint, where)


def _labels(image: Image.Image, palette: Palette, where: str) -> NDArray[np.int16]:
    """(height, width) labels of pixels."""
    if image.mode in _COLORS:
        values = np.array(image.convert("RGBA"))
        found = _of_colors(values[..., :3], palette, where)
        return np.where(values[..., 3] == 0, np.int16(VOID), found)
    values = np.array(image)
    if image.mode == "P" and palette.by_color and (colors := image.getpalette()) is not None:
        return _of_palette(values, np.array(colors, np.uint8).reshape(-1, 3), palette, where)
    return _of_numbers(values, palette, where)


def _of_numbers(values: NDArray[Any], palette: Palette, where: str) -> NDArray[np.int16]:
    numbers, place = np.unique(values.astype(np.int64), return_inverse=True)
    known = {**dict.fromkeys(_VOID_NUMBERS, VOID), **palette.by_number}
    if strange := [str(number) for number in numbers.tolist() if number not in known]:
        fault = f"its pixels have the numbers {few(strange, 5)}, which {palette.where} does not define"
        raise InputError(where, fault, "Name the classes that these images were painted with, with --classes")
    return _looked_up([known[number] for number in numbers.tolist()], place.reshape(values.shape))


def _of_palette(values: NDArray[Any], colors: NDArray[np.uint8], palette: Palette, where: str) -> NDArray[np.int16]:
    """By the colours where these are the classes', since editors sort palettes again; by the numbers where none is."""
    numbers = np.unique(values).tolist()
    shown = {number: _color_of(colors, number) for number in numbers}
    said = {number: palette.by_color[color] for number, color in shown.items() if color in palette.by_color}
    if len(said) == len(numbers):
        return _looked_up([said.get(number, VOID) for number in range(max(numbers) + 1)], values)
    strange = [number for number in numbers if number not in said and number not in _VOID_NUMBERS]
    agree = all(palette.by_number.get(number) == label for number, label in said.items())
    if said and strange and not (agree and all(number in palette.by_number for number in strange)):
        fault = (
            f"its palette does not match {palette.where}: {few([str(shown[n]) for n in strange], 3)} are not classes"
        )
        raise InputError(where, fault, "Name the classes that these images were painted with, with --classes")
    return _of_numbers(values, palette, where)


def _color_of(colors: NDArray[np.uint8], number: int) -> tuple[int, int, int]:
    red, green, blue = colors[number].tolist() if number < len(colors) else (0, 0, 0)
    return red, green, blue


def _looked_up(labels: list[int], place: NDArray[Any]) -> NDArray[np.int16]:
    found: NDArray[np.int16] = np.array(labels, np.int16)[place]
    return found


def _of_colors(values: NDArray[np.uint8], palette: Palette, where: str) -> NDArray[np.int16]:
    red, green, blue = (values[..., i].astype(np.int32) for i in range(3))
    packed, place, count = np.unique(red << 16 | green << 8 | blue, return_inverse=True, return_counts=True)
    colors = [(value >> 16, value >> 8 & 255, value & 255) for value in packed.tolist()]
    strange = [number for number, color in enumerate(colors) if color not in palette.by_color]
    if not strange:
        return _looked_up([palette.by_color[color] for color in colors], place.reshape(red.shape))
    if all(r == g == b for r, g, b in colors):
        return _of_numbers(red, palette, where)
    share = count[strange].sum() / count.sum()
    told = few([str(colors[number]) for number in sorted(strange, key=lambda n: -count[n])], 3)
    remedy = "Save them without anti-aliasing, or name the classes that they were painted with, with --classes"
    fault = f"{share:.1%} of its pixels have colours that {palette.where} does not define: {told}"
    raise InputError(where, fault, remedy)

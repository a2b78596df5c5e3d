"""What mesh files promise, compared with their size before a library believes it; and how large their textures are."""

from __future__ import annotations

import base64
import io
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from ditr.captures.clouds import first_bytes
from ditr.errors import InputError

__all__ = ["check_glb", "texture_pixels"]

_DENSEST = 1100
"""Pixels for each byte of an image, which no image reaches: deflate makes 1032 bytes of one at most."""
_START = 1 << 16
_CUT = "The file is cut off or its header is wrong; copy or export it again"
_FORMATS = ("PNG", "JPEG", "WEBP")


def check_glb(path: Path) -> None:
    """Refuse a GLB file whose chunks do not fit into it.

    Raises:
        InputError: naming it.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        at = 12
        while at + 8 <= size and len(head) == 12:
            file.seek(at)
            length = int.from_bytes(file.read(4), "little")
            if length > size - at - 8:
                fault = f"a chunk of {length} bytes does not fit into its {size} bytes"
                raise InputError(path, fault, _CUT)
            at += 8 + length


def texture_pixels(path: Path) -> int:
    """Of all images that a mesh file has or names, as their headers say; what cannot be looked at does not count."""
    total = 0
    for data, size in _images(path):
        try:
            with warnings.catch_warnings(action="ignore"), Image.open(data, formats=_FORMATS) as image:
                total += min(image.width * image.height, _DENSEST * size)
        except Exception:  # what Pillow raises on damaged files is not documented
            continue
    return total


def _images(path: Path) -> Iterator[tuple[io.BytesIO | Path, int]]:
    """Contents or paths, and their bytes."""
    ending = path.suffix.lower()
    if ending in (".glb", ".gltf"):
        yield from _of_gltf(path, binary=ending == ".glb")
        return
    names: list[str] = []
    start = first_bytes(path, _START).decode("latin-1")
    if ending == ".ply":
        names = re.findall(r"(?m)^comment[ \t]+TextureFile[ \t]+(.+?)[ \t\r]*$", start)
    for library in re.findall(r"(?m)^[ \t]*mtllib[ \t]+(.+?)[ \t\r]*$", start) if ending == ".obj" else ():
        told = first_bytes(path.parent / library, _START).decode("latin-1")
        names += re.findall(r"(?m)^[ \t]*map_K[adsADS][ \t]+(?:.*[ \t])?(\S+?)[ \t\r]*$", told)
    for name in set(names):
        if (image := path.parent / name).is_file():
            yield image, image.stat().st_size


def _of_gltf(path: Path, *, binary: bool) -> Iterator[tuple[io.BytesIO | Path, int]]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(16)[12:], "little") if binary else -1
            file.seek(20 if binary else 0)
            content: Any = json.loads(file.read(min(length, path.stat().st_size) if binary else -1))
            for image in content.get("images", ()):
                if "bufferView" in image and binary:
                    part = content["bufferViews"][image["bufferView"]]
                    file.seek(20 + length + 8 + int(part.get("byteOffset", 0)))
                    size = min(int(part["byteLength"]), path.stat().st_size)
                    yield io.BytesIO(file.read(min(size, _START))), size
                elif (uri := str(image.get("uri", ""))).startswith("data:"):
                    text = uri.partition(",")[2]
                    yield io.BytesIO(base64.b64decode(text[: _START // 4 * 4])), len(text) * 3 // 4
                elif uri and (path.parent / uri).is_file():
                    yield path.parent / uri, (path.parent / uri).stat().st_size
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return

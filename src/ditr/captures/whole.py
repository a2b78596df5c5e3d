"""Are the files of views whole? Asked before the work, and cheaply where a file tells it without being decoded."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ditr.captures.images import read_depth, read_image, read_mask
from ditr.errors import InputError
from ditr.scene import View

__all__ = ["file_faults"]

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


def file_faults(views: Sequence[View], *, photographs: bool = True) -> list[InputError]:
    """What would keep the photographs, depth maps and masks of some views from being read.

    Args:
        views: whose files are looked at.
        photographs: whether photographs are wanted, or the other files alone.
    """
    faults = []
    for view in views:
        wanted = [(view.depth, read_depth), (view.mask, read_mask)]
        for file, read in [(view.image, read_image), *wanted] if photographs else wanted:
            if isinstance(file, Path | bytes) and _is_whole(file):
                continue
            try:
                read(view)
            except InputError as error:
                faults.append(error)
    return faults


def _is_whole(source: Path | bytes) -> bool:
    """Whether this is a PNG with right checksums or a JPEG with its end mark; of other files it is not known."""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            start = file.read(8)
            if start.startswith(_JPEG):
                file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
                return file.read().rstrip(b"\0").endswith(_JPEG_END)
            if start != _PNG:
                return False
            file.seek(0)
            with Image.open(file, formats=("PNG",)) as image:
                image.verify()
            return True
    except Exception:  # Pillow raises almost anything on damaged files; whoever reads the file says what is wrong
        return False

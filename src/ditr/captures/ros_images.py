"""Images of ROS as photographs and depth maps, in the encodings that drivers write."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ditr.errors import InputError

__all__ = ["depth_map", "is_depth", "photograph"]

_CHANNELS: dict[str, tuple[int, ...]] = {
    "rgb8": (0, 1, 2),
    "bgr8": (2, 1, 0),
    "rgba8": (0, 1, 2, 3),
    "bgra8": (2, 1, 0, 3),
    "8UC3": (2, 1, 0),
    "8UC4": (2, 1, 0, 3),
    "mono8": (0,),
    "8UC1": (0,),
}
"""By encoding, which of the bytes of a pixel are red, green, blue and what is left out; those without a name are as
OpenCV has them."""
_BAYER = {"bayer_rggb8": (0, 0), "bayer_grbg8": (0, 1), "bayer_gbrg8": (1, 0), "bayer_bggr8": (1, 1)}
"""By encoding, row and column of the first red pixel."""
_DEPTH = {"16UC1": ("u2", 0.001), "32FC1": ("f4", 1.0)}
"""By encoding, type of the numbers, and the metres of one."""
_PNG, _JPEG = b"\x89PNG", b"\xff\xd8"
_HEAD = 12
"""Bytes before a packed depth map."""
_AGAIN = "The message is damaged; record it again"
_OTHER = "Choose other topics with --topics, or write the images as rgb8, bgr8, mono8, JPEG or PNG"


def is_depth(message: Any) -> bool:
    """Whether an image is a depth map, by what its message says."""
    if hasattr(message, "format"):
        return str(message.format).startswith(tuple(_DEPTH)) or "compressedDepth" in str(message.format)
    return str(message.encoding) in _DEPTH


def photograph(where: str, message: Any) -> bytes | NDArray[np.uint8]:
    """The bytes of an image file, or (h, w, 3) uint8; ``where`` names the message in errors.

    Raises:
        InputError: an encoding that is not known, or sizes that do not fit together.
    """
    if hasattr(message, "format"):
        data = bytes(message.data)
        if not data.startswith((_PNG, _JPEG)):
            raise InputError(where, f"its compressed image ({message.format}) is neither JPEG nor PNG", _OTHER)
        return data
    encoding = str(message.encoding)
    if (channels := _CHANNELS.get(encoding)) is not None:
        pixels = _pixels(where, message, "u1", len(channels))
        return np.ascontiguousarray(
            pixels[:, :, list((*channels, 0, 0)[:3])] if len(channels) > 1 else pixels.repeat(3, 2)
        )
    if encoding == "mono16":
        grey = np.rint(_pixels(where, message, "u2", 1) / 257.0).astype(np.uint8)
        return grey.repeat(3, 2)
    if encoding in _BAYER:
        return _without_mosaic(_pixels(where, message, "u1", 1)[:, :, 0], *_BAYER[encoding])
    raise InputError(where, f"its images are encoded as {encoding or 'nothing'}, which is not supported", _OTHER)


def depth_map(where: str, message: Any) -> NDArray[np.float32]:
    """(h, w) metres along the optical axis, 0 where there is no value.

    Raises:
        InputError: an encoding that is not known, or sizes that do not fit together; ``where`` names the message.
    """
    if hasattr(message, "format"):
        return _unpacked(where, str(message.format), bytes(message.data))
    encoding = str(message.encoding)
    if encoding not in _DEPTH:
        raise InputError(where, f"its depth maps are encoded as {encoding}, which is not supported", _OTHER)
    kind, unit = _DEPTH[encoding]
    values = _pixels(where, message, kind, 1)[:, :, 0].astype(np.float32) * np.float32(unit)
    return np.where(np.isfinite(values) & (values > 0), values, np.float32(0))


def _pixels(where: str, message: Any, kind: str, channels: int) -> NDArray[Any]:
    """(h, w, channels) without what pads the rows.

    Raises:
        InputError: more is promised than there is.
    """
    rows, columns, step, size = int(message.height), int(message.width), int(message.step), len(message.data)
    width = columns * channels * int(kind[1])
    if not rows * columns or width > step or rows * step > size:
        fault = f"its {columns}x{rows} pixels with {step} bytes a row do not fit its {size} bytes"
        raise InputError(where, fault, _AGAIN)
    order = ">" if message.is_bigendian and kind != "u1" else "<"
    lines = np.frombuffer(message.data, np.uint8, rows * step).reshape(rows, step)[:, :width]
    return np.ascontiguousarray(lines).view(order + kind).reshape(rows, columns, channels)


def _without_mosaic(raw: NDArray[np.uint8], row: int, column: int) -> NDArray[np.uint8]:
    """(h, w, 3) of the pixels of a Bayer mosaic, of which ``row`` and ``column`` are the first red one; each colour is
    the mean of its nearest pixels."""
    rows, columns = raw.shape
    high, wide = np.indices(raw.shape)
    high, wide = (high + row) % 2, (wide + column) % 2
    masks = (high + wide == 0, high + wide == 1, high + wide == 2)
    color = np.empty((*raw.shape, 3), np.uint8)
    for index, mask in enumerate(masks):
        total, weight = np.zeros(raw.shape, np.float32), np.zeros(raw.shape, np.float32)
        values, known = (
            np.pad(part, 1) for part in (np.where(mask, raw, 0).astype(np.float32), mask.astype(np.float32))
        )
        for down in (0, 1, 2):
            for across in (0, 1, 2):
                share = 0.5 ** (abs(down - 1) + abs(across - 1))
                total += share * values[down : down + rows, across : across + columns]
                weight += share * known[down : down + rows, across : across + columns]
        color[:, :, index] = np.where(mask, raw, np.rint(total / np.maximum(weight, 1e-6)))
    return color


def _unpacked(where: str, form: str, data: bytes) -> NDArray[np.float32]:
    """A depth map that was packed by compressed_depth_image_transport: PNG behind twelve bytes."""
    start = 0 if data.startswith(_PNG) else _HEAD
    if not data.startswith(_PNG, start):
        raise InputError(where, f"its depth maps are packed as {form!r}, which is not supported", "Write them as PNG")
    try:
        with Image.open(io.BytesIO(data[start:]), formats=("PNG",)) as image:
            values = np.asarray(image).astype(np.float32)
    except Exception as error:  # Pillow raises almost anything on damaged files
        raise InputError(where, f"its depth map cannot be decoded ({error})", _AGAIN) from None
    if values.ndim != 2:
        raise InputError(where, f"its depth map has shape {values.shape}", _AGAIN)
    if not form.startswith("32FC1") or not start:
        return values * np.float32(0.001)
    _, near, far = struct.unpack_from("<iff", data)
    with np.errstate(all="ignore"):
        depth = np.float32(near) / (values - np.float32(far))
    return np.where((values > 0) & np.isfinite(depth) & (depth > 0), depth, np.float32(0))

"""Streams of ScanNet's recorder (``.sens``, versions 3 and 4): colour, depth and the camera's pose, frame by frame.

Little-endian. A header (:class:`SensHeader`), then for each frame 96 bytes (pose, two time stamps, two lengths) and its
colour and depth data, then readings of an inertial sensor, which nobody needs and which may be missing. Frames are
found by their lengths, so those that are not wanted cost a seek.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ditr.errors import InputError

__all__ = ["BrokenFrame", "ColorCodec", "DepthCodec", "SensFrame", "SensHeader", "SensIndex", "SensReader"]


class ColorCodec(IntEnum):
    """How a photograph is stored."""

    RAW = 0
    """Rows of red, green, blue."""
    PNG = 1
    JPEG = 2


class DepthCodec(IntEnum):
    """How a depth map is stored."""

    RAW = 0
    """Rows of uint16."""
    ZLIB = 1


_OCCI = 2
"""A third way to store depth, which only its maker's library reads."""
_NUMBERS = struct.Struct("<64f2i4IfQ")
_FRAME = struct.Struct("<16f4Q")
_MOST_NAME, _MOST_PIXELS, _MOST_FRAMES = 1 << 12, 1 << 23, 1 << 20
_MARKS = {ColorCodec.JPEG: b"\xff\xd8\xff", ColorCodec.PNG: b"\x89PNG\r\n\x1a\n"}
_CHUNK, _MOST_MARKS = 1 << 20, 256
_AGAIN = "Download the file again"
_HEADER = "Download the file again; if the fault remains, report it with the first 400 bytes of the file"


@dataclass(frozen=True, eq=False)
class SensHeader:
    """What holds of all frames.

    Attributes:
        version: of the format.
        sensor: its name.
        color_intrinsic: (4, 4) float64 intrinsics in pixels of the stored size.
        color_codec, depth_codec: how frames are stored.
        color_size, depth_size: width and height in pixels.
        depth_shift: units of depth in a metre.
        frames: how many there should be.
        start: byte of the first.
    """

    version: int
    sensor: str
    color_intrinsic: NDArray[np.float64]
    color_codec: ColorCodec
    depth_codec: DepthCodec
    color_size: tuple[int, int]
    depth_size: tuple[int, int]
    depth_shift: float
    frames: int
    start: int


@dataclass(frozen=True, eq=False)
class SensFrame:
    """Where a frame is.

    Attributes:
        number: of the frame, from 0.
        position: byte at which it begins.
        pose: (4, 4) float32 camera to world, OpenCV's axes; not finite where the recorder had lost it.
        color_bytes, depth_bytes: lengths of its data.
    """

    number: int
    position: int
    pose: NDArray[np.float32]
    color_bytes: int
    depth_bytes: int

    @property
    def has_pose(self) -> bool:
        """Whether the pose is known."""
        return bool(np.isfinite(self.pose).all())


@dataclass(frozen=True)
class BrokenFrame:
    """A frame that cannot be read, at a byte, and why."""

    number: int
    position: int
    why: str


@dataclass(frozen=True)
class SensIndex:
    """The frames of a stream.

    Attributes:
        frames: in order.
        broken: frames whose lengths are damaged; the last may stand for all that follow.
        lost: how many the header declares that were not found, the broken ones among them.
    """

    frames: tuple[SensFrame, ...]
    broken: tuple[BrokenFrame, ...]
    lost: int


class SensReader:
    """A stream that is open; use it with ``with``.

    Raises:
        InputError: no such file, another format or version, or a header that does not fit the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb", buffering=0)
            self._size = path.stat().st_size
        except OSError as error:
            raise InputError(path, f"the file cannot be read ({error.strerror})", "Check the path") from None
        try:
            self.header = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> SensReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def index(self) -> SensIndex:
        """Find all frames, reading 96 bytes of each.

        A frame whose lengths are damaged is skipped where the next one can be recognised by its photograph.
        """
        head, broken, found = self.header, [], []
        position, number = head.start, 0
        while number < head.frames:
            frame = self._frame(number, position)
            if isinstance(frame, SensFrame):
                found.append(frame)
                position += _FRAME.size + frame.color_bytes + frame.depth_bytes
            else:
                broken.append(frame)
                following = self._next(position, number + 1)
                if following is None:
                    break
                position = following
            number += 1
        return SensIndex(tuple(found), tuple(broken), head.frames - len(found))

    def color(self, frame: SensFrame) -> Image.Image:
        """A photograph, of the header's size, RGB.

        Raises:
            InputError: it is damaged; the text names the frame and its byte.
        """
        width, height = self.header.color_size
        data = self._read(frame, frame.position + _FRAME.size, frame.color_bytes)
        if self.header.color_codec is ColorCodec.RAW:
            return Image.frombuffer("RGB", (width, height), data, "raw", "RGB", 0, 1)
        try:
            with Image.open(io.BytesIO(data), formats=[self.header.color_codec.name]) as image:
                if image.size != (width, height):
                    size = f"{image.width}x{image.height}"
                    raise self.damaged(frame, f"its photograph is {size}, but the header says {width}x{height}")
                return image.convert("RGB")
        except InputError:
            raise
        except Exception as error:  # Pillow's decoders raise almost anything on damaged data
            raise self.damaged(frame, f"its photograph cannot be decoded ({error})") from None

    def depth(self, frame: SensFrame) -> NDArray[np.uint16]:
        """A depth map, (h, w) uint16 in units of ``1 / depth_shift`` metres; 0 for "no value".

        Raises:
            InputError: it is damaged; the text names the frame and its byte.
        """
        width, height = self.header.depth_size
        data = self._read(frame, frame.position + _FRAME.size + frame.color_bytes, frame.depth_bytes)
        if self.header.depth_codec is DepthCodec.ZLIB:
            decoder = zlib.decompressobj()
            try:
                # One byte more than there may be, so that more is noticed, and never unpacked.
                data = decoder.decompress(data, 2 * width * height + 1)
            except zlib.error as error:
                raise self.damaged(frame, f"its depth map cannot be unpacked ({error})") from None
            if not decoder.eof or len(data) != 2 * width * height:
                raise self.damaged(frame, f"its depth map is not {width}x{height} numbers")
        return np.frombuffer(data, "<u2").astype(np.uint16, copy=False).reshape(height, width)

    def damaged(self, frame: SensFrame, fault: str) -> InputError:
        """An error that names a frame and its byte."""
        return InputError(f"{self.path}, frame {frame.number} at byte {frame.position}", fault, _AGAIN)

    # ---- the header -------------------------------------------------------------------------------------------------

    def _read_header(self) -> SensHeader:
        version, length = struct.unpack("<IQ", self._at(0, 12))
        if version not in (3, 4):
            fault = f"its version is {version}, but only 3 and 4 are supported"
            raise InputError(self.path, fault, _HEADER if version > 4 else "Download the newer release of ScanNet")
        if length > _MOST_NAME:
            raise InputError(self.path, f"the name of its sensor has {length} bytes", _HEADER)
        name = self._at(12, length).decode("latin-1")
        *matrices, color, depth, wide, high, depth_wide, depth_high, shift, frames = _NUMBERS.unpack(
            self._at(12 + length, _NUMBERS.size)
        )
        sizes = ((wide, high), (depth_wide, depth_high))
        # Extrinsics and the matrices of depth follow. They are not needed: the maps are registered already.
        color_intrinsic = np.array(matrices[:16], dtype=np.float64).reshape(4, 4)
        header = SensHeader(
            version, name, color_intrinsic, self._color_codec(color), self._depth_codec(depth),
            *sizes, shift, frames, 12 + length + _NUMBERS.size,
        )  # fmt: skip
        self._check(header)
        return header

    def _color_codec(self, code: int) -> ColorCodec:
        if code not in tuple(ColorCodec):
            raise InputError(self.path, f"its photographs are stored in an unknown format ({code})", _HEADER)
        return ColorCodec(code)

    def _depth_codec(self, code: int) -> DepthCodec:
        if code == _OCCI:
            fault = "its depth maps are compressed as 'occi', which only its maker's library (uplink) can read"
            raise InputError(self.path, fault, "Convert the stream to zlib with ScanNet's tools")
        if code not in tuple(DepthCodec):
            raise InputError(self.path, f"its depth maps are stored in an unknown format ({code})", _HEADER)
        return DepthCodec(code)

    def _check(self, header: SensHeader) -> None:
        for what, (width, height) in (("photographs", header.color_size), ("depth maps", header.depth_size)):
            if not 0 < width * height <= _MOST_PIXELS:
                raise InputError(self.path, f"its {what} are {width}x{height}, which is impossible", _HEADER)
        (width, height), matrix = header.color_size, header.color_intrinsic
        if not _plausible(matrix, width, height):
            numbers = ", ".join(f"{matrix[place]:g}" for place in ((0, 0), (1, 1), (0, 2), (1, 2)))
            fault = f"the intrinsics of its photographs (fx, fy, cx, cy: {numbers}) do not fit {width}x{height}"
            raise InputError(self.path, fault, _HEADER)
        if not (math.isfinite(header.depth_shift) and header.depth_shift > 0):
            raise InputError(
                self.path,
                f"it says that one metre of depth is {header.depth_shift} units, which is impossible",
                _HEADER,
            )
        held = self._size - header.start
        if not 0 < header.frames <= min(_MOST_FRAMES, held // _FRAME.size):
            raise InputError(self.path, f"it declares {header.frames} frames, but only {held} bytes follow", _AGAIN)

    # ---- frames -----------------------------------------------------------------------------------------------------

    def _frame(self, number: int, position: int) -> SensFrame | BrokenFrame:
        if position + _FRAME.size > self._size:
            return BrokenFrame(number, position, "the file ends before it")
        pose, (_, _, color, depth) = self._numbers(position)
        (most_color, least_color), (most_depth, least_depth) = self._lengths()
        if not (least_color <= color <= most_color and least_depth <= depth <= most_depth):
            return BrokenFrame(number, position, f"its lengths ({color} and {depth} bytes) are impossible")
        if position + _FRAME.size + color + depth > self._size:
            return BrokenFrame(number, position, "the file ends inside it")
        return SensFrame(number, position, pose, color, depth)

    def _numbers(self, position: int) -> tuple[NDArray[np.float32], tuple[int, int, int, int]]:
        row = self._at(position, _FRAME.size)
        return np.frombuffer(row, "<f4", 16).astype(np.float32).reshape(4, 4), struct.unpack_from("<4Q", row, 64)

    def _lengths(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The largest and smallest lengths of colour and of depth data. Compressed, they are hardly more than raw."""
        (wide, high), (depth_wide, depth_high) = self.header.color_size, self.header.depth_size
        color, depth = 3 * wide * high, 2 * depth_wide * depth_high
        return (
            (color, color) if self.header.color_codec is ColorCodec.RAW else (color + color // 4 + (1 << 16), 0),
            (depth, depth) if self.header.depth_codec is DepthCodec.RAW else (depth + depth // 4 + (1 << 16), 0),
        )

    def _next(self, position: int, number: int) -> int | None:
        """Where the frame after a broken one begins, None where that is not known."""
        if number >= self.header.frames:
            return None
        if self.header.color_codec is ColorCodec.RAW and self.header.depth_codec is DepthCodec.RAW:
            (color, _), (depth, _) = self._lengths()
            following = position + _FRAME.size + color + depth
            return following if following < self._size else None
        mark = _MARKS.get(self.header.color_codec)
        if mark is None:
            return None
        (color, _), (depth, _) = self._lengths()
        first = position + 2 * _FRAME.size
        for place in islice(self._places(mark, first, min(first + color + depth + len(mark), self._size)), _MOST_MARKS):
            start = place - _FRAME.size
            frame = self._frame(number, start)
            if isinstance(frame, SensFrame) and frame.color_bytes and self._followed(frame):
                return start
        return None

    def _followed(self, frame: SensFrame) -> bool:
        """Whether another frame follows, as it should, which makes it more likely that this is one."""
        if frame.number + 1 == self.header.frames:
            return True
        after = frame.position + _FRAME.size + frame.color_bytes + frame.depth_bytes
        return isinstance(self._frame(frame.number + 1, after), SensFrame)

    def _places(self, mark: bytes, start: int, end: int) -> Iterator[int]:
        """Where bytes are in the file, from ``start`` to ``end``."""
        while start < end:
            chunk = self._at(start, min(_CHUNK, end - start))
            place = chunk.find(mark)
            while place >= 0:
                yield start + place
                place = chunk.find(mark, place + 1)
            start += max(len(chunk) - len(mark) + 1, 1)

    def _read(self, frame: SensFrame, position: int, count: int) -> bytes:
        try:
            return self._at(position, count)
        except InputError as error:
            raise self.damaged(frame, error.fault) from None

    def _at(self, position: int, count: int) -> bytes:
        try:
            self._file.seek(position)
            data = bytearray()
            while len(data) < count and (part := self._file.read(count - len(data))):
                data += part
        except OSError as error:
            raise InputError(self.path, f"it cannot be read at byte {position} ({error.strerror})", _AGAIN) from None
        if len(data) < count:
            raise InputError(self.path, f"it ends at byte {position + len(data)}, too early", _AGAIN)
        return bytes(data)


def _plausible(matrix: NDArray[np.float64], width: int, height: int) -> bool:
    """Whether these are the intrinsics of a photograph of such a size."""
    if not np.isfinite(matrix).all():
        return False
    focal = np.array([matrix[0, 0] / width, matrix[1, 1] / height])
    center = np.array([matrix[0, 2] / width, matrix[1, 2] / height])
    return bool((focal > 0.1).all() and (focal < 10).all() and (center > 0).all() and (center < 1).all())

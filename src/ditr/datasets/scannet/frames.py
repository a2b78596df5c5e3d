"""Frames of a recording, made ready as the published code takes them: every tenth, at 420 x 560 pixels."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ditr.datasets.raw import Repair
from ditr.datasets.scannet.prepared import IMAGE_SIZE
from ditr.errors import InputError
from ditr.io.files import read_bytes
from ditr.io.sens import SensFrame, SensHeader, SensIndex, SensReader
from ditr.scene import Camera, View

__all__ = [
    "Frame",
    "look_at_stream",
    "lost_pose",
    "matrix_text",
    "png",
    "promised_frames",
    "ready_frames",
    "scaled_intrinsic",
]

_SIZE = (1296, 968)
"""Width and height of the photographs of nearly all scenes."""
_QUALITY = 95
"""Of the JPEGs. Reduced without smoothing, photographs have sharp steps: of four real ones 95 keeps 41 dB in 64 kB, and
Pillow's own 75 keeps 38 dB in 20 kB. Depth maps take more than either."""
_MILLIMETRES = 1000.0


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame, made ready.

    Attributes:
        number: in the recording.
        color: a JPEG of 420 rows and 560 columns.
        depth: (420, 560) uint16 millimetres along the optical axis, 0 for "no value".
        pose: (4, 4) float32 camera to world; not finite where the recorder had lost it.
    """

    number: int
    color: bytes
    depth: NDArray[np.uint16]
    pose: NDArray[np.float32]


def scaled_intrinsic(header: SensHeader) -> NDArray[np.float64]:
    """(4, 4) intrinsics of the photographs of :class:`Frame`."""
    (width, height), (rows, columns) = header.color_size, IMAGE_SIZE
    scale: NDArray[np.float64] = np.diag([columns / width, rows / height, 1.0, 1.0])
    return scale @ header.color_intrinsic


def ready_frames(reader: SensReader, index: SensIndex, every: int, report: Callable[[Repair], None]) -> Iterator[Frame]:
    """The frames with a number divisible by ``every``, made ready. A broken one is left out, and reported.

    Raises:
        InputError: none of them can be read.
    """
    left = 0
    for frame in index.frames:
        if frame.number % every:
            continue
        where = f"{reader.path}, frame {frame.number} at byte {frame.position}"
        try:
            ready = _ready(reader, frame)
        except InputError as error:
            report(Repair("broken frame", error.where, f"{error.fault}; it is left out"))
            continue
        left += 1
        if not frame.has_pose:
            report(lost_pose(reader.path, frame))
        elif not np.isfinite(ready.pose).all():
            report(Repair("invalid pose", where, "it is not a rigid transform; the frame is kept, but shows no points"))
        if not ready.depth.any():
            report(Repair("empty depth map", where, "the frame is kept, but shows no points"))
        yield ready
    if not left:
        raise InputError(reader.path, "none of its frames can be read", "Download the file again")


def look_at_stream(path: Path, header: SensHeader, index: SensIndex) -> list[Repair]:
    """What is damaged or unusual in a stream, of what its header and those of its frames tell.

    Raises:
        InputError: more than a tenth of its frames is not there.
    """
    if index.lost > max(1, header.frames // 10):
        last = index.broken[-1]
        fault = f"{index.lost} of its {header.frames} frames are missing; at byte {last.position}, {last.why}"
        raise InputError(path, fault, "Download the file again")
    found = [
        Repair("broken frame", f"{path}, frame {frame.number} at byte {frame.position}", f"{frame.why}; it is left out")
        for frame in index.broken
    ]
    after = index.lost - len(index.broken)
    if after:
        what = f"the {after} frames after frame {index.broken[-1].number} cannot be found, and are left out"
        found.append(Repair("stream cut off", str(path), what))
    if header.color_size != _SIZE:
        size = "x".join(map(str, header.color_size))
        found.append(Repair(f"photographs of {size}", str(path), "their intrinsics are scaled from that size"))
    return found


def lost_pose(path: Path, frame: SensFrame) -> Repair:
    """A frame whose pose is not known."""
    where = f"{path}, frame {frame.number} at byte {frame.position}"
    return Repair("lost pose", where, "the frame is kept, but shows no points")


def promised_frames(path: Path, frames: int) -> Repair | None:
    """What the text file of a scene says otherwise than its stream about the number of frames.

    The stream is right: in some scenes the text says one more.
    """
    if not path.is_file():
        return None
    text = read_bytes(path, 1 << 16).decode("latin-1")
    found = re.findall(r"^\s*numColorFrames\s*=\s*([0-9]{1,9})\s*$", text, flags=re.MULTILINE)
    if len(found) != 1:
        return Repair("number of frames unreadable", str(path), "that of the stream is used")
    said = int(found[0])
    if said == frames:
        return None
    kind = "number of frames one too high" if said == frames + 1 else "number of frames differs"
    return Repair(kind, str(path), f"it says {said}, but the stream has {frames}, which is used")


def png(depth: NDArray[np.uint16]) -> bytes:
    """A depth map as a PNG of 16 bits; hardly compressed, since more takes far longer."""
    content = io.BytesIO()
    Image.fromarray(depth).save(content, "PNG", compress_level=1)
    return content.getvalue()


def matrix_text(matrix: NDArray[np.floating[Any]]) -> str:
    """A matrix in four lines, with as many digits as give back the same numbers; ``-inf`` is one."""
    return "".join(" ".join(f"{value:.17g}" for value in row) + "\n" for row in matrix.tolist())


def _ready(reader: SensReader, frame: SensFrame) -> Frame:
    rows, columns = IMAGE_SIZE
    content = io.BytesIO()
    _reduced(reader.color(frame)).save(content, "JPEG", quality=_QUALITY)
    depth = reader.depth(frame)
    depth = depth[_places(rows, depth.shape[0])][:, _places(columns, depth.shape[1])]
    unit = _MILLIMETRES / reader.header.depth_shift
    if unit != 1:
        scaled = np.rint(depth * unit)
        depth = np.where(scaled < 1 << 16, scaled, 0).astype(np.uint16)
    pose = frame.pose if _is_rigid(frame.pose) else np.full((4, 4), -np.inf, dtype=np.float32)
    return Frame(frame.number, content.getvalue(), depth, pose)


def _is_rigid(pose: NDArray[np.float32]) -> bool:
    """Whether a view can have this pose."""
    if not np.isfinite(pose).all() or not np.allclose(pose[3], (0, 0, 0, 1), atol=1e-3):
        return False
    try:
        View("", Camera(1, 1, 1.0, 1.0, 0.5, 0.5), np.linalg.inv(pose.astype(np.float64)), b"")
    except (InputError, np.linalg.LinAlgError):
        return False
    return True


def _places(count: int, stored: int) -> NDArray[np.int64]:
    """The stored row (or column) of each new one: the published way to reduce, without a shift by half a pixel."""
    return np.arange(count) * stored // count


def _reduced(image: Image.Image) -> Image.Image:
    """The same for a photograph."""
    rows, columns = IMAGE_SIZE
    across, down = image.width / columns, image.height / rows
    # Pillow takes the middle of a new pixel. A little more than its border makes whole numbers certain.
    start = (1e-6 - across / 2, 1e-6 - down / 2)
    return image.transform((columns, rows), Image.Transform.AFFINE, (across, 0, start[0], 0, down, start[1]))

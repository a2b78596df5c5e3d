"""The photographs, masks and depth maps of a view, decoded to arrays.

EXIF orientation is not applied: a calibration refers to the pixels as they are stored.
"""

from __future__ import annotations

import glob
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, WebPImagePlugin

from ditr.captures.depth_files import DEPTH_LOADERS, SURENESS, load_sureness, present
from ditr.captures.formats import format_of
from ditr.errors import InputError, few
from ditr.geometry.occlusion import DepthBuffer, depth_buffer
from ditr.geometry.projection import Projection, VisibilityRule, see, shown_points
from ditr.geometry.surfels import surfels_of
from ditr.io.array_file import map_array
from ditr.scene import View

__all__ = [
    "check_depth",
    "exif_orientation",
    "image_size",
    "image_suffix",
    "is_turned",
    "opened_image",
    "read_depth",
    "read_image",
    "read_mask",
    "read_pixels",
    "read_sureness",
    "see_with_maps",
    "shown_with_maps",
]

# Naming the formats keeps Pillow's other plugins (some start external programs) away from untrusted files. Pillow
# registers the first ones by itself; importing a plugin registers it too.
_TIFF, _WEBP = TiffImagePlugin.TiffImageFile.format, WebPImagePlugin.WebPImageFile.format
_IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "PPM", _TIFF, _WEBP)
_DEPTH_FORMATS = ("PNG", _TIFF)
_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"})
_ORIENTATION = 0x0112
_SIXTEEN_BIT = frozenset({"I;16", "I;16B", "I;16L", "I"})


def image_size(source: Path | bytes, where: str = "") -> tuple[int, int]:
    """Width and height from the header of an image file, or of its bytes, without decoding it; ``where`` names the
    latter in errors.

    Raises:
        InputError: a missing file, one that is not an image, or one of a kind that is not a photograph.
    """
    with opened_image(source, _IMAGE_FORMATS, where) as image:
        if image.mode not in _EIGHT_BIT | _SIXTEEN_BIT:
            fault = f"the image is not 8 or 16 bit (mode {image.mode})"
            raise InputError(where or str(source), fault, "Convert it to 8-bit RGB")
        return image.size


def image_suffix(content: bytes, where: str) -> str:
    """The ending of a file with these bytes; ``where`` names them in errors.

    Raises:
        InputError: they are not an image.
    """
    with opened_image(content, _IMAGE_FORMATS, where) as image:
        return ".jpg" if image.format == "JPEG" else f".{str(image.format).lower()}"


def exif_orientation(source: Path | bytes, where: str = "") -> int:
    """How the image's EXIF entry asks viewers to turn it, 1 to 8 as EXIF counts; 1 where it does not.

    Raises:
        InputError: as for :func:`image_size`.
    """
    with opened_image(source, _IMAGE_FORMATS, where) as image:
        found = image.getexif().get(_ORIENTATION)
        return found if isinstance(found, int) and 1 <= found <= 8 else 1


def is_turned(path: Path) -> bool:
    """Whether the image's EXIF entry asks viewers to turn it by 90 degrees."""
    return exif_orientation(path) >= 5


def read_image(view: View) -> NDArray[np.uint8]:
    """The photograph of a view, (height, width, 3) uint8 RGB, after the view's quarter turns.

    Grey and palette images become RGB; an alpha channel is dropped; 16 bits are divided by 257.

    Raises:
        InputError: a missing or damaged file, more than 16 bits per channel, or a size other than the camera's.
    """
    return _turned(_stored_image(view), view)


def _turned(array: NDArray[Any], view: View) -> NDArray[Any]:
    """Rows and columns as the view has them."""
    return np.ascontiguousarray(np.rot90(array, view.quarter_turns)) if view.quarter_turns else array


def _stored_size(view: View) -> tuple[int, int]:
    """Width and height of the photograph before the view's quarter turns."""
    size = (view.camera.width, view.camera.height)
    return size if view.quarter_turns % 2 == 0 else size[::-1]


def _stored_image(view: View) -> NDArray[np.uint8]:
    width, height = _stored_size(view)
    if isinstance(view.image, np.ndarray):
        array = view.image
        if array.dtype != np.uint8 or array.shape != (height, width, 3):
            raise InputError(
                f"view {view.name}",
                f"the image is {array.dtype} of shape {array.shape}",
                f"Give uint8 of shape ({height}, {width}, 3), as the camera says",
            )
        return array
    where = str(view.image) if isinstance(view.image, Path) else f"view {view.name}"
    with opened_image(view.image, _IMAGE_FORMATS, where) as image:
        if image.size != (width, height + view.cut_top):
            cut = f" below {view.cut_top} rows that are cropped" if view.cut_top else ""
            raise InputError(
                where,
                f"the image is {image.width}x{image.height}, its camera {width}x{height}{cut}",
                "Scale the intrinsics with the image",
            )
        if image.mode in _SIXTEEN_BIT:
            return _from_sixteen_bit(np.array(image), where)[view.cut_top :]
        if image.mode not in _EIGHT_BIT:
            raise InputError(where, f"the image is not 8 bit (mode {image.mode})", "Convert it to 8-bit RGB")
        return np.array(image.convert("RGB"))[view.cut_top :]


def _from_sixteen_bit(values: NDArray[Any], where: str) -> NDArray[np.uint8]:
    """Grey of 16 bits as (height, width, 3) of 8; Pillow itself would cut everything above 255 off."""
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= 65535:
        raise InputError(where, "the image has more than 16 bits", "Convert it to 8-bit RGB")
    grey = np.rint(values / 257.0).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def read_mask(view: View) -> NDArray[np.bool_] | None:
    """Which pixels of a view count, (h, w); None where all do. The mask may have another size than the image.

    A pixel of a file counts where any of its colour channels is not 0; of JPEG, whose zeros are not exact, where one
    is above the middle.

    Raises:
        InputError: a missing or damaged file, or an array that is not a mask.
    """
    if view.mask is None:
        return None
    if not isinstance(view.mask, Path):
        if view.mask.ndim != 2 or not view.mask.size:
            raise InputError(f"view {view.name}", f"the mask has shape {view.mask.shape}", "Give (h, w) bool")
        return _turned(np.asarray(view.mask != 0), view)
    with opened_image(view.mask, _IMAGE_FORMATS) as image:
        lowest = 127 if image.format == "JPEG" else 0
        values = np.array(image if image.mode in {"1", "L"} | _SIXTEEN_BIT else image.convert("RGB"))
    return _turned(np.asarray((values > lowest) if values.ndim == 2 else (values > lowest).any(axis=2)), view)


def read_sureness(view: View, path: Path) -> NDArray[Any]:
    """How sure the values of a view's depth map are, (h, w) whole numbers from 0.

    Raises:
        InputError: a missing or damaged file.
    """
    if path.suffix.lower() == SURENESS:
        return _turned(load_sureness(path, _stored_size(view)), view)
    with opened_image(path, _DEPTH_FORMATS) as image:
        values = np.array(image)
    if values.ndim != 2:
        raise InputError(path, f"it has shape {values.shape}, which is not one number per pixel", "Export it again")
    return _turned(values, view)


def see_with_maps(
    coord: NDArray[Any], view: View, rule: VisibilityRule, cloud: NDArray[Any] | None = None
) -> Projection:
    """Which points a view shows, by its mask, and by its depth map or a z-buffer where the rule asks for one.

    Args:
        coord: (N, 3) metres.
        view: the view.
        rule: which points it shows.
        cloud: (M, 3) metres, all points that may hide others; None for the same ones.

    Raises:
        InputError: a missing or damaged mask or depth map.
    """
    depth, buffer = _what_hides(coord if cloud is None else cloud, view, rule)
    return see(coord, view, rule, depth, read_mask(view), buffer)


def shown_with_maps(
    coord: NDArray[Any], view: View, rule: VisibilityRule
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The points that :func:`see_with_maps` finds shown: their rows (n,), and (n, 2) image coordinates.

    Raises:
        InputError: a missing or damaged mask or depth map.
    """
    depth, buffer = _what_hides(coord, view, rule)
    return shown_points(coord, view, rule, depth, read_mask(view), buffer)


def _what_hides(
    cloud: NDArray[Any], view: View, rule: VisibilityRule
) -> tuple[NDArray[np.float32] | None, DepthBuffer | None]:
    """The depth map or the z-buffer that the rule asks for in a view; neither where it asks for none."""
    depth = read_depth(view) if rule.depth_margin is not None else None
    if depth is not None or rule.occlusion != "z-buffer":
        return depth, None
    return None, depth_buffer(surfels_of(cloud), view.camera, view.world_to_camera)


def check_depth(path: Path, size: tuple[int, int]) -> None:
    """Look at the header of a depth map, whose photograph is of ``size`` (width, height).

    Raises:
        InputError: as for :func:`read_depth`, except for damage behind the header.
    """
    load = DEPTH_LOADERS.get(path.suffix.lower())
    if load is not None:
        load(path, size)
        return
    with opened_image(path, _DEPTH_FORMATS) as image:
        _check_depth_mode(path, image.mode)


def read_depth(view: View) -> NDArray[np.float32] | None:
    """The depth map of a view, (h, w) float32 metres along the optical axis with 0 for "no value"; None without one.

    Files are 16-bit PNG (or TIFF), a two-dimensional ``.npy``, or a dense map of COLMAP or Record3D; all are multiplied
    by the view's ``depth_unit``.
    Values that are not finite or not positive become 0.

    Raises:
        InputError: a missing or damaged file, or one that is not of these kinds.
    """
    if view.depth is None:
        return None
    if not isinstance(view.depth, Path):
        depth = np.asarray(view.depth, dtype=np.float32)
        if depth.ndim != 2:
            raise InputError(f"view {view.name}", f"the depth map has shape {depth.shape}", "Give (h, w) metres")
        return _turned(_only_positive(depth), view)
    load = DEPTH_LOADERS.get(view.depth.suffix.lower())
    stored = _load_depth_image(view.depth) if load is None else load(view.depth, _stored_size(view))
    if stored.dtype == np.float16 and np.isposinf(stored).all():
        fault = "all its depths are infinite: half precision ends at 65504"
        raise InputError(view.depth, fault, "Store it as float32 or uint16")
    with np.errstate(over="ignore", invalid="ignore"):  # what is not a number then is not a value
        depth = (stored.astype(np.float64) * view.depth_unit).astype(np.float32)
    return _turned(_only_positive(depth), view)


def read_pixels(view: View, points: int) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """The points that a view is said to show, (n,), and where, (n, 2) image coordinates; None for views with a pose.

    Raises:
        InputError: missing or damaged files, lists of different length, numbers of points that the scene has not, or a
            coordinate more than a pixel outside the image (those nearer are left out: float32 rounds onto its border).
    """
    if view.pixels is None:
        return None
    rows, where = _loaded(view.pixels.rows, "iu", view.name)
    pixel, file = _loaded(view.pixels.pixel, "fui", view.name)
    again = "Prepare the images of this scene again"
    if rows.ndim != 1 or pixel.shape != (len(rows), 2):
        raise InputError(file, f"pixels of shape {pixel.shape} for points of shape {rows.shape}", again)
    if rows.size and (rows.min() < 0 or rows.max() >= points):
        raise InputError(where, f"it names points {rows.min()} to {rows.max()}; the scene has {points}", again)
    pixel = pixel.astype(np.float64)
    size = np.array((view.camera.width, view.camera.height))
    if not ((pixel >= -1) & (pixel <= size + 1)).all():
        raise InputError(file, f"pixels lie outside the image of {size[0]}x{size[1]}", again)
    inside = ((pixel >= 0) & (pixel < size)).all(axis=1)
    return rows[inside].astype(np.int64), pixel[inside]


def _loaded(source: Path | NDArray[Any], kinds: str, name: str) -> tuple[NDArray[Any], str]:
    """An array, and where it comes from for errors."""
    if not isinstance(source, Path):
        return source, f"view {name}"
    array = map_array(source, "the pixel positions of the points", "Prepare it again")
    if array.dtype.kind not in kinds:
        raise InputError(source, "this is not an array of pixels and points", "Prepare it again")
    return np.array(array), str(source)


def _load_depth_image(path: Path) -> NDArray[Any]:
    with opened_image(path, _DEPTH_FORMATS) as image:
        _check_depth_mode(path, image.mode)
        return np.array(image)


def _check_depth_mode(path: Path, mode: str) -> None:
    if mode not in _SIXTEEN_BIT:
        raise InputError(
            path,
            f"the depth map is not 16 bit (mode {mode})",
            "Store depth as 16-bit PNG; 8-bit depth images are usually made for viewing only",
        )


def _only_positive(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


@contextmanager
def opened_image(source: Path | bytes, formats: tuple[str, ...], where: str = "") -> Iterator[Image.Image]:
    """Open an image file, or its bytes, which ``where`` names; whatever goes wrong until the block ends is an
    InputError that names it."""
    if isinstance(source, Path):
        _require_there(source)
    try:
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=formats) as image:
            yield image
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files, also for "too large"
        known = format_of(source) if isinstance(source, Path) else None
        if known is None or not known[1]:
            fault, remedy = f"the image cannot be decoded ({error})", "Copy or convert the image again"
        else:
            fault, remedy = f"the image is {known[0]}, which cannot be decoded", known[1]
        raise InputError(where or str(source), fault, remedy) from error


def _require_there(path: Path) -> None:
    if not present(path):
        beside = [other.name for other in path.parent.glob(f"{glob.escape(path.stem)}.*")]
        near = f" (there is {few(beside, 3)})" if beside else ""
        raise InputError(
            path, f"there is no such image{near}", "Add the file, or remove its frame from transforms.json"
        )

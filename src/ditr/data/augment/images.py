"""Augmentations of photographs that keep every point on its pixel.

Each is called once per view, so the views of a sample change independently of each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageStat

from ditr.errors import InputError

__all__ = ["ColorJitter", "HorizontalFlip", "ImageAugmentation", "augment_image", "image_augmentations"]

Pixels = NDArray[np.uint8]
Positions = NDArray[np.float64]


class ImageAugmentation(Protocol):
    """Anything that changes a view; all that it draws comes from ``rng``.

    ``image`` is (H, W, 3) uint8 and is not written into, ``pixel`` (N, 2) float64 are the positions (u, v) of the
    points in it. Positions outside the image, also ones that are not finite, stay outside.
    """

    def __call__(self, image: Pixels, pixel: Positions, rng: np.random.Generator) -> tuple[Pixels, Positions]: ...


def image_augmentations() -> tuple[ImageAugmentation, ...]:
    """The chain of every published recipe."""
    return (ColorJitter(), HorizontalFlip())


def augment_image(
    image: Pixels, pixel: Positions, augmentations: Iterable[ImageAugmentation], rng: np.random.Generator
) -> tuple[Pixels, Positions]:
    """Apply ``augmentations`` to one view, one after the other.

    Args:
        image: (H, W, 3) uint8.
        pixel: (N, 2) float64 positions (u, v) of the points.
        augmentations: in order.
        rng: the same state gives the same result.

    Returns:
        image (H, W, 3) uint8 and pixel (N, 2) float64, new ones where something changed.

    Raises:
        InputError: an image or positions of another type or shape.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise InputError("image", f"{image.dtype} of shape {image.shape}", "Give (H, W, 3) uint8")
    if pixel.ndim != 2 or pixel.shape[1] != 2 or pixel.dtype != np.float64:
        raise InputError("pixel positions", f"{pixel.dtype} of shape {pixel.shape}", "Give (N, 2) float64")
    for augmentation in augmentations:
        image, pixel = augmentation(image, pixel, rng)
    return image, pixel


@dataclass(frozen=True)
class ColorJitter:
    """With probability ``p`` change brightness, contrast, saturation and hue, in random order.

    Brightness, contrast and saturation are factors U(1 - x, 1 + x); 0 would be black, uniform grey (the mean of the
    image's luminance) and colourless. Hue is turned by U(-hue, hue) of the full circle. Values are rounded to uint8
    after each of the four, as in the published code, though not in exactly the same way.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    p: float = 0.5

    def __call__(self, image: Pixels, pixel: Positions, rng: np.random.Generator) -> tuple[Pixels, Positions]:
        """See :class:`ImageAugmentation`; positions do not change."""
        if rng.random() >= self.p:
            return image, pixel
        reach = np.array([self.brightness, self.contrast, self.saturation])
        factors = rng.uniform(np.maximum(0, 1 - reach), 1 + reach)
        turn = rng.uniform(-self.hue, self.hue)
        brightness, contrast, saturation = factors.tolist()
        picture = Image.fromarray(image)
        for number in rng.permutation(4):
            if number == 0:
                picture = _away_from(0, picture, brightness)
            elif number == 1:
                picture = _away_from(_mean(picture), picture, contrast)
            elif number == 2:
                picture = ImageEnhance.Color(picture).enhance(saturation)
            else:
                picture = _turn_hue(picture, turn)
        return np.array(picture), pixel


def _mean(picture: Image.Image) -> int:
    """Mean of the luminance, as Pillow's contrast has it."""
    return int(ImageStat.Stat(picture.convert("L")).mean[0] + 0.5)


def _away_from(grey: int, picture: Image.Image, factor: float) -> Image.Image:
    """Each value's distance from a grey times a factor.

    Pillow's brightness and contrast blend with an image of that grey. What becomes of all 256 values is a table of it.
    """
    values = Image.frombytes("L", (256, 1), bytes(range(256)))
    table = Image.blend(Image.new("L", values.size, grey), values, factor)
    return picture.point(list(table.tobytes()) * 3)


def _turn_hue(picture: Image.Image, turn: float) -> Image.Image:
    """Turn the hue by ``turn`` of the full circle, in the 256 steps of 8-bit HSV."""
    steps = round(turn * 256)
    if steps == 0:  # the way through HSV alone would move values by a few grey levels
        return picture
    hue, saturation, value = picture.convert("HSV").split()
    hue = hue.point([(old + steps) % 256 for old in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


@dataclass(frozen=True)
class HorizontalFlip:
    """With probability ``p`` mirror the image and the positions of the points: u becomes W - u.

    A point in column c comes to column W - 1 - c without exception: where W - u falls on a border between columns (u
    is an integer, or the subtraction rounds to one), the largest float32 below that border is taken, since patches are
    found in float32. The published code
    uses (W - 1) - u, which suits pixel centres at integers but not its own continuous positions: one point in fourteen
    changes its patch there, and points in the last column leave the image.
    """

    p: float = 0.5

    def __call__(self, image: Pixels, pixel: Positions, rng: np.random.Generator) -> tuple[Pixels, Positions]:
        """See :class:`ImageAugmentation`."""
        if rng.random() >= self.p:
            return image, pixel
        width = image.shape[1]
        flipped = pixel.copy()
        column = width - 1 - np.floor(pixel[:, 0])
        border = np.nextafter((column + 1).astype(np.float32), np.float32(-np.inf)).astype(np.float64)
        flipped[:, 0] = np.clip(width - pixel[:, 0], column, border)
        return np.ascontiguousarray(image[:, ::-1]), flipped

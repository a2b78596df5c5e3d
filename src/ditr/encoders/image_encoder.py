"""Frozen image networks behind one small interface: photographs in, a feature per patch out (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ditr.encoders.weights import EncoderWeights, load_weights
from ditr.errors import InputError
from ditr.runtime import choose_device

__all__ = ["PRECISIONS", "EncodedImages", "ImageEncoder", "encoder_dtype", "image_size", "load_image_encoder"]

MAX_TOKENS = 1370
PRECISIONS = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""Precisions of a run, and what the encoder computes in there."""

_AT_ONCE = 8
"""Images in one pass on a GPU: enough to keep one busy."""


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Features of V images of one size: ``patch`` (V, rows, columns, D) and the [cls] token ``cls`` (V, D).

    Networks without [cls] put something else there that stands for the whole image: SigLIP 2 what its head pools, AIMv2
    the mean of its patch tokens.
    """

    patch: Tensor
    cls: Tensor


class ImageEncoder:
    """A frozen image network: tokens after the final norm, never trained, always in eval mode and without gradients.

    It is no ``torch.nn.Module`` on purpose: as part of a segmentation network it would enter that network's state dict
    and optimizer, though it never changes.

    Attributes:
        name: short name of the weights.
        origin: one line for people that says where its weights really come from.
        weights: the same with their SHA-256.
        replaces: which other weights they took the place of, and why; empty where they are those asked for.
        digest: SHA-256 of the weights; see :class:`ditr.encoders.weights.EncoderWeights`.
        patch_size: side of a patch in pixels.
        width: number D of channels of a feature.
        mean, std: per channel, what `prepare` normalises with, for values in 0..1.
        device, dtype: where and in which precision it computes.
    """

    def __init__(
        self, weights: EncoderWeights, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self.device = torch.device(device)
        self.dtype = dtype if dtype is not None else _default_dtype(self.device)
        self.name = weights.name
        self.origin, self.weights = weights.origin, weights.identity
        self.replaces = weights.replaces
        architecture = weights.architecture
        self.patch_size, self.width = architecture.patch_size, architecture.width
        self.mean, self.std = architecture.mean, architecture.std
        self.digest, self._rule = weights.digest, architecture.rule
        self._network = architecture.build(weights.tensors, self.device, self.dtype)

    @property
    def identity(self) -> str:
        """All that decides what features come out for an image of given size; caches use it as a key.

        The digest of the weights (names and values, so that families differ), how `prepare` makes pixels, the
        precision, and the architecture's ``rule`` for what no weight tells.
        """
        return (
            f"{self.digest} patch={self.patch_size} mean={self.mean} std={self.std} {self.dtype} bilinear {self._rule}"
        )

    @property
    def precision(self) -> str:
        """The precision of a run that the encoder computes in, as "32-true"; of other types their name."""
        return next((name for name, dtype in PRECISIONS.items() if dtype == self.dtype), str(self.dtype))

    def image_size(self, height: int, width: int, max_tokens: int = MAX_TOKENS) -> tuple[int, int]:
        """Size (height, width) at which to encode an image of the given size; see `image_size`."""
        return image_size(height, width, patch_size=self.patch_size, max_tokens=max_tokens)

    def prepare(self, images: Sequence[NDArray[np.uint8]], size: tuple[int, int]) -> Tensor:
        """Resize and normalise RGB images (H, W, 3) uint8 of any sizes: (V, 3, *size) float32 on the encoder's device.

        Bilinear without antialiasing, rounded to whole values as in an 8-bit image, like the published resize.

        Raises:
            InputError: an image is not (H, W, 3) uint8, or ``size`` is not made of whole patches.
        """
        self._check_size(size, "size")
        prepared = torch.empty((len(images), 3, *size), device=self.device)
        mean = torch.tensor(self.mean, device=self.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=self.device).view(3, 1, 1)
        for index, image in enumerate(images):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
                raise InputError(
                    f"image {index}", f"{image.dtype} of shape {image.shape}", "Give RGB as uint8 (height, width, 3)"
                )
            pixels = torch.from_numpy(np.array(image)).to(self.device).permute(2, 0, 1).float()
            if pixels.shape[1:] != size:
                pixels = F.interpolate(pixels[None], size, mode="bilinear", align_corners=False)[0].round_()
            prepared[index] = (pixels / 255 - mean) / std
        return prepared

    @torch.no_grad()
    def __call__(self, images: Tensor) -> EncodedImages:
        """Features of ``images`` (V, 3, h, w), normalised as by `prepare`, in the encoder's precision.

        Autocast around the call has no effect. Features do not depend, not in one bit, on what else is in the batch. On
        a CPU images are encoded one by one, which is as fast; a GPU takes other kernels for other numbers of images, so
        there they go in eights, of which the last is filled up.

        Raises:
            InputError: the images are not (V, 3, h, w), or h and w are not multiples of the patch size.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise InputError("images", f"shape {tuple(images.shape)}", "Give (views, 3, height, width)")
        height, width = images.shape[2:]
        self._check_size((height, width), "images")
        rows, columns = height // self.patch_size, width // self.patch_size
        images = images.to(self.device, self.dtype)
        with torch.autocast(self.device.type, enabled=False):
            at_once = 1 if self.device.type == "cpu" else _AT_ONCE
            tokens = [self._tokens(part) for part in torch.split(images, at_once) if len(part)]
        all_tokens = torch.cat(tokens) if tokens else images.new_empty(0, 1 + rows * columns, self.width)
        patch = all_tokens[:, -rows * columns :].reshape(-1, rows, columns, self.width)
        return EncodedImages(patch, all_tokens[:, 0])

    def _tokens(self, images: Tensor) -> Tensor:
        """Of up to ``_AT_ONCE`` images."""
        if self.device.type == "cpu" or len(images) == _AT_ONCE:
            return self._network.tokens(images)
        filled = torch.cat([images, images[-1:].expand(_AT_ONCE - len(images), -1, -1, -1)])
        return self._network.tokens(filled)[: len(images)]

    def _check_size(self, size: tuple[int, ...], where: str) -> None:
        if any(side < 1 or side % self.patch_size for side in size):
            raise InputError(
                where,
                f"{size[0]}x{size[1]} pixels are not a whole number of patches of {self.patch_size}",
                "Use a size from image_size",
            )


def _default_dtype(device: torch.device) -> torch.dtype:
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def encoder_dtype(precision: str | None) -> torch.dtype | None:
    """What the encoder of a run of this precision computes in; None, of None, for what suits the device.

    Raises:
        InputError: there is no such precision.
    """
    if precision is None:
        return None
    if precision not in PRECISIONS:
        raise InputError("precision", f"{precision!r} is not a precision", f"Use one of {', '.join(PRECISIONS)}")
    return PRECISIONS[precision]


def load_image_encoder(
    spec: str, *, device: str | torch.device = "auto", dtype: torch.dtype | None = None
) -> ImageEncoder:
    """The image encoder that ``spec`` names; `ditr.encoders.weights.load_weights` lists what it can be.

    ``device`` "auto" takes a GPU if there is one. ``dtype`` defaults to float32 on a CPU and to bfloat16 (float16 where
    there is none) on a GPU.

    Raises:
        InputError: the weights are unknown, is not available here, or do not fit; or there is no such device.
    """
    return ImageEncoder(load_weights(spec), device=choose_device(str(device)), dtype=dtype)


def image_size(height: int, width: int, *, patch_size: int = 14, max_tokens: int = MAX_TOKENS) -> tuple[int, int]:
    """Size (height, width) in whole patches at which an image of the given size is encoded.

    The largest grid of patches that has at most ``max_tokens`` tokens, [cls] included, is not larger than the image
    (at least one patch per side), and keeps the aspect to a quarter of a patch on its shorter side; where there is no
    such grid (tiny images), the one with the closest aspect. It gives the published 420x560 for ScanNet's 968x1296,
    378x672 for nuScenes' 900x1600 and 518x518 for squares (paper, section 4; published configurations). With patches
    of 16 the grids stay the same: 480x640, 432x768 and 592x592.

    Raises:
        InputError: a side or ``patch_size`` below 1, or ``max_tokens`` below 2.
    """
    if min(height, width, patch_size) < 1 or max_tokens < 2:
        raise InputError(
            "image_size",
            f"an image of {height}x{width} pixels with patches of {patch_size} and at most {max_tokens} tokens",
            "Sides are at least 1, tokens at least 2",
        )
    short, long = sorted((height, width))
    most_short, most_long = max(1, short // patch_size), max(1, long // patch_size)
    best = (-np.inf, 0, 1, 1)
    for across in range(1, min(most_long, max_tokens - 1) + 1):
        exact = across * short / long
        along = max(1, min(round(exact), most_short))
        if across * along <= max_tokens - 1:
            error = abs(along - exact)
            best = max(best, (-error if error > 0.25 else 1.0, across * along, along, across))
    _, _, along, across = best
    rows, columns = (along, across) if height <= width else (across, along)
    return rows * patch_size, columns * patch_size

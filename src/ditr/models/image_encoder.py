"""Frozen image networks behind one small interface: photographs in, a feature per patch out (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ditr.files import InputError
from ditr.models.dinov2 import build_network
from ditr.models.encoder_weights import EncoderWeights, load_weights

__all__ = ["EncodedImages", "ImageEncoder", "image_size", "load_image_encoder"]

MAX_TOKENS = 1370
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_KEPT_GRIDS = 16


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Features of V images of one size: ``patch`` (V, rows, columns, D) and the [cls] token ``cls`` (V, D)."""

    patch: Tensor
    cls: Tensor


class ImageEncoder:
    """A frozen DINOv2: tokens after the final norm, never trained, always in eval mode and without gradients.

    It is no ``torch.nn.Module`` on purpose: as part of a segmentation network it would enter that network's state dict
    and optimizer, though it never changes.

    Attributes:
        name: short name of the weights.
        weights: one line that says which weights it really holds, with their SHA-256.
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
        self.weights = f"{weights.origin}; weights SHA-256 {weights.digest}"
        self.patch_size = weights.architecture.patch_size
        self.width = weights.architecture.width
        self.mean, self.std = IMAGENET_MEAN, IMAGENET_STD
        self._digest = weights.digest
        self._table = weights.architecture.table
        # Kept in float32 whatever the precision: it is resampled before it is rounded.
        self._positions = weights.tensors["embeddings.position_embeddings"].float().to(self.device)
        self._grids: dict[tuple[int, int], Tensor] = {}
        self._network = build_network(weights.architecture, weights.tensors).to(self.device, self.dtype)

    @property
    def identity(self) -> str:
        """All that decides what features come out for an image of given size; caches use it as a key."""
        return (
            f"{self._digest} patch={self.patch_size} mean={self.mean} std={self.std} {self.dtype} bilinear antialiased"
        )

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

        Autocast around the call has no effect. On a CPU images are encoded one by one: that is as fast as a batch, and
        features do not depend, not in one bit, on what else is in the batch.

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
            at_once = 1 if self.device.type == "cpu" else max(1, len(images))
            parts = (images[start : start + at_once] for start in range(0, len(images), at_once))
            tokens = [self._tokens(part, rows, columns) for part in parts]
        all_tokens = torch.cat(tokens) if tokens else images.new_empty(0, 1 + rows * columns, self.width)
        patch = all_tokens[:, -rows * columns :].reshape(-1, rows, columns, self.width)
        return EncodedImages(patch, all_tokens[:, 0])

    def _tokens(self, images: Tensor, rows: int, columns: int) -> Tensor:
        """(V, 1 + registers + rows * columns, D): [cls], registers, patches row by row."""
        embeddings, side = self._network.embeddings, self.patch_size
        # As a product and not as the convolution it is: cuDNN would convolve float32 in TF32.
        pixels = images.reshape(-1, 3, rows, side, columns, side).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        projection = embeddings.patch_embeddings.projection
        patches = F.linear(pixels, projection.weight.flatten(1), projection.bias)
        positions = self._positions_of(rows, columns)
        count = len(images)
        # Registers have no position.
        prefix = [(embeddings.cls_token + positions[:, :1]).expand(count, -1, -1)]
        if hasattr(embeddings, "register_tokens"):
            prefix.append(embeddings.register_tokens.expand(count, -1, -1))
        hidden = torch.cat((*prefix, patches + positions[:, 1:]), dim=1)
        tokens: Tensor = self._network.layernorm(self._network.encoder(hidden).last_hidden_state)
        return tokens

    def _positions_of(self, rows: int, columns: int) -> Tensor:
        """Positions of [cls] and the patches, (1, 1 + rows * columns, D).

        The learned table is resampled bicubically *with antialiasing*, as timm does and hence the published DITR;
        ``transformers`` antialiases the variants with registers only, which is why the embedding is put together here.
        """
        grid = (rows, columns)
        if grid not in self._grids:
            table = self._positions
            if grid != (self._table, self._table):
                square = table[:, 1:].reshape(1, self._table, self._table, self.width).permute(0, 3, 1, 2)
                resampled = F.interpolate(square, grid, mode="bicubic", align_corners=False, antialias=True)
                table = torch.cat((table[:, :1], resampled.flatten(2).mT), dim=1)
            if len(self._grids) == _KEPT_GRIDS:
                del self._grids[next(iter(self._grids))]
            self._grids[grid] = table.to(self.dtype).contiguous()
        return self._grids[grid]

    def _check_size(self, size: tuple[int, ...], where: str) -> None:
        if any(side < 1 or side % self.patch_size for side in size):
            raise InputError(
                where,
                f"{size[0]}x{size[1]} pixels are not whole patches of {self.patch_size}",
                "Take a size from image_size",
            )


def _default_dtype(device: torch.device) -> torch.dtype:
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def load_image_encoder(
    spec: str, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> ImageEncoder:
    """The image encoder that ``spec`` names; `ditr.models.encoder_weights.load_weights` lists what it can be.

    ``dtype`` defaults to float32 on a CPU and to bfloat16 (float16 where there is none) on a GPU.

    Raises:
        InputError: the weights are unknown, cannot be had here, or do not fit.
    """
    return ImageEncoder(load_weights(spec), device=device, dtype=dtype)


def image_size(height: int, width: int, *, patch_size: int = 14, max_tokens: int = MAX_TOKENS) -> tuple[int, int]:
    """Size (height, width) in whole patches at which an image of the given size is encoded.

    The largest grid of patches that has at most ``max_tokens`` tokens, [cls] included, is not larger than the image
    (at least one patch per side), and keeps the aspect to a quarter of a patch on its shorter side; where there is no
    such grid (tiny images), the one with the closest aspect. It gives the published 420x560 for ScanNet's 968x1296,
    378x672 for nuScenes' 900x1600 and 518x518 for squares (paper, section 4; published configurations).

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

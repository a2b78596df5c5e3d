"""The image encoder as the loaders see it: tokens of views, from the cache or, failing that, from the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ditr.encoders.feature_cache import EncodedView, FeatureCache, Unencoded, encode_missing, look_up
from ditr.encoders.image_encoder import ImageEncoder, encoder_dtype, image_size, load_image_encoder
from ditr.encoders.weights import known_variant
from ditr.errors import InputError
from ditr.scene import View

__all__ = ["CachedEncoding", "ImageGrid"]


@dataclass(frozen=True)
class ImageGrid:
    """How images become patches: all that finding points in views has to know of an encoder, without its weights.

    Attributes:
        patch_size: side of a patch in pixels.
        image_size: (height, width) at which every view is encoded; None for the encoder's rule by the view's own size.

    Raises:
        InputError: the size is not made of whole patches.
    """

    patch_size: int
    image_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        side = self.patch_size
        if self.image_size is not None and any(length < 1 or length % side for length in self.image_size):
            height, width = (max(1, round(length / side)) * side for length in self.image_size)
            raise InputError(
                "image_size",
                f"{self.image_size[0]}x{self.image_size[1]} pixels are not a whole number of patches of {side}",
                f"Use multiples of {side}, such as {height}x{width}",
            )

    def size(self, view: View) -> tuple[int, int]:
        """(height, width) at which a view is encoded: the one place that decides it."""
        if self.image_size is not None:
            return self.image_size
        return image_size(view.camera.height, view.camera.width, patch_size=self.patch_size)


@dataclass
class CachedEncoding:
    """Tokens of views by a named encoder.

    Attributes:
        spec: which encoder, as for ``load_image_encoder``.
        cache: where tokens are kept; None to compute them each time.
        device: where the network runs; "auto" takes a GPU if there is one.
        progress: called with the number of views done and their total.
        precision: in which the network computes, as "32-true", "bf16-mixed" or "16-mixed"; None for half precision on a
            GPU and single precision on a CPU.
        image_size: (height, width) at which every view is encoded; None for the encoder's rule by the view's own size.
    """

    spec: str
    cache: FeatureCache | None = None
    device: str = "auto"
    progress: Callable[[int, int], None] | None = None
    image_size: tuple[int, int] | None = None
    precision: str | None = None
    _encoder: ImageEncoder | None = field(default=None, repr=False)

    @property
    def encoder(self) -> ImageEncoder:
        """The network, loaded on first use."""
        if self._encoder is None:
            self._encoder = load_image_encoder(self.spec, device=self.device, dtype=encoder_dtype(self.precision))
        return self._encoder

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels; of a published network it is known before its weights are there."""
        variant = known_variant(self.spec) if self._encoder is None else None
        return self.encoder.patch_size if variant is None else variant.architecture.patch_size

    @property
    def width(self) -> int:
        """Number of channels of a token."""
        return self.encoder.width

    @property
    def grid(self) -> ImageGrid:
        """What finding points in views has to know.

        Raises:
            InputError: ``image_size`` is not made of whole patches of the encoder.
        """
        return ImageGrid(self.patch_size, self.image_size)

    def at(self, image_size: tuple[int, int] | None) -> CachedEncoding:
        """The same encoding with every view at a given size, or by the rule again for None; the network is shared.

        A model's preparation says the size: whoever has both calls this, and asks :meth:`size` for everything else.

        Raises:
            InputError: the size is not made of whole patches of the encoder.
        """
        if image_size == self.image_size:
            return self
        if image_size is not None:
            ImageGrid(self.patch_size, image_size)
        return replace(self, image_size=image_size)

    def computed_in(self, precision: str | None) -> CachedEncoding:
        """The same encoding in the precision of a run; as it is for None.

        Raises:
            InputError: there is no such precision.
        """
        wanted = encoder_dtype(precision)
        if wanted is None or (self._encoder is not None and self._encoder.dtype == wanted):
            return self
        return replace(self, precision=precision, _encoder=None)

    def pinned(self) -> CachedEncoding:
        """The same encoding under the name of what ``auto`` found, for what is kept: another day that is another one.

        Raises:
            InputError: as for :func:`ditr.load_image_encoder`.
        """
        return replace(self, spec=self.encoder.name) if self.spec == "auto" else self

    def size(self, view: View) -> tuple[int, int]:
        """(height, width) at which a view is encoded, as :meth:`ImageGrid.size`.

        Raises:
            InputError: ``image_size`` is not made of whole patches of the encoder.
        """
        return self.grid.size(view)

    def encode(self, views: Sequence[View]) -> list[EncodedView]:
        """Features of each view on the CPU."""
        found = look_up(self.encoder.identity, views, [self.size(view) for view in views], self.cache)
        return self.complete(found)

    def complete(self, found: Sequence[EncodedView | Unencoded]) -> list[EncodedView]:
        """Features of views, of which the cache had some (:func:`ditr.encoders.feature_cache.look_up`)."""
        return encode_missing(self.encoder, found, cache=self.cache, progress=self.progress)

    def tokens(self, views: Sequence[View]) -> list[Tensor]:
        """For each view (rows * columns, D) float32 on the CPU."""
        return self.tokens_and_cls(views)[0]

    def tokens_and_cls(self, views: Sequence[View]) -> tuple[list[Tensor], Tensor]:
        """:meth:`tokens`, and the views' [cls] tokens (V, D) float32 on the CPU."""
        return self.joined(self.encode(views))

    def joined(self, encoded: Sequence[EncodedView]) -> tuple[list[Tensor], Tensor]:
        """The tokens of each view as a list (rows * columns, D), and their [cls] tokens (V, D)."""
        cls = torch.stack([view.cls for view in encoded]) if encoded else torch.zeros(0, self.width)
        return [view.patch.flatten(0, 1) for view in encoded], cls

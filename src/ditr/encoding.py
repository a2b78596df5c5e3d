"""The image encoder as the loaders see it: tokens of views, from the cache or, failing that, from the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ditr.feature_cache import EncodedView, FeatureCache, encode_views
from ditr.models.image_encoder import ImageEncoder, load_image_encoder
from ditr.scene import View

__all__ = ["CachedEncoding"]


@dataclass
class CachedEncoding:
    """Tokens of views by a named encoder.

    Attributes:
        spec: which encoder, as for ``load_image_encoder``.
        cache: where tokens are kept; None to compute them each time.
        device: where the network runs.
        progress: called with the number of views done and their total.
    """

    spec: str
    cache: FeatureCache | None = None
    device: str = "cpu"
    progress: Callable[[int, int], None] | None = None
    _encoder: ImageEncoder | None = field(default=None, repr=False)

    @property
    def encoder(self) -> ImageEncoder:
        """The network, loaded on first use."""
        if self._encoder is None:
            self._encoder = load_image_encoder(self.spec, device=self.device)
        return self._encoder

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return self.encoder.patch_size

    @property
    def width(self) -> int:
        """Number of channels of a token."""
        return self.encoder.width

    def size(self, view: View) -> tuple[int, int]:
        """(height, width) at which a view is encoded."""
        return self.encoder.image_size(view.camera.height, view.camera.width)

    def encode(self, views: Sequence[View]) -> list[EncodedView]:
        """Features of each view on the CPU."""
        sizes = [self.size(view) for view in views]
        return encode_views(self.encoder, views, sizes=sizes, cache=self.cache, progress=self.progress)

    def tokens(self, views: Sequence[View]) -> list[Tensor]:
        """For each view (rows * columns, D) float32 on the CPU."""
        return [encoded.patch.flatten(0, 1) for encoded in self.encode(views)]

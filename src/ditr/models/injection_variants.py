"""The other rows of the paper's Table 5: PTv3 with the image features at other places, or with [cls] tokens.

The paper names the places and no details; here f_2D(X_2D) is the same in all of them, so that nothing but the place
differs from DITR.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from ditr.geometry.pyramid import Pyramid
from ditr.models.injection import ImageBranch, Injection
from ditr.models.ptv3 import DecoderStage, PTv3, PTv3Config, learned_embedding
from ditr.nn.attention import SampleTokens
from ditr.nn.image_features import ImageFeatures
from ditr.nn.norms import Condition, DatasetNorms, layer_norm, normalize
from ditr.nn.products import Linear

__all__ = ["VARIANTS"]


class _OnePlace(PTv3):
    """PTv3, and f_2D(X_2D) of the finest cells added at one place; ``second`` is a network that follows on it."""

    def __init__(self, config: PTv3Config) -> None:
        super().__init__(replace(config, missing_embedding=False))
        self.config = config
        assert config.image_width is not None
        width = config.encoder_channels[0] if self.encodes_images else self.out_channels
        self.image = ImageBranch(config.image_width, width, config.image_drop, config.norms)
        self.second: PTv3 | None = None
        if config.injection is Injection.BETWEEN:
            bare = replace(config, image_width=None, missing_embedding=False, injection=Injection.NONE)
            self.second = PTv3(replace(bare, in_channels=self.out_channels))
        self.missing_embedding = learned_embedding(config)

    def branch(self, image: ImageFeatures | None, condition: Condition | None) -> Tensor:
        """f_2D(X_2D) of the finest cells."""
        return self.image.inject(self.token_table(image), 0, condition)


class BeforeEncoder(_OnePlace):
    """Added to what the stem gives."""

    encodes_images = True

    def embed(
        self, features: Tensor, pyramid: Pyramid, image: ImageFeatures | None, condition: Condition | None
    ) -> Tensor:
        return super().embed(features, pyramid, image, condition) + self.branch(image, condition)


class AfterDecoder(_OnePlace):
    """Added to what the decoder gives; after it there may be a second encoder-decoder of the same sizes."""

    def decode(
        self,
        skips: list[Tensor],
        pyramid: Pyramid,
        image: ImageFeatures | None = None,
        condition: Condition | None = None,
    ) -> Tensor:
        x = super().decode(skips, pyramid, image, condition) + self.branch(image, condition)
        if self.second is not None:
            x = self.second(x, pyramid, None, condition)
        return x


class ClsTokens(nn.Module):
    """[cls] tokens at the width of a decoder stage, for its attention.

    A linear projection and, as before every attention of cells, LayerNorm.

    Args:
        image_width: D of the [cls] tokens.
        channels: width of the stage.
        norms: which norms exist once per dataset.
    """

    def __init__(self, image_width: int, channels: int, norms: DatasetNorms | None = None) -> None:
        super().__init__()
        self.linear = Linear(image_width, channels)
        self.norm = layer_norm(channels, norms)

    def forward(self, cls: Tensor, views: tuple[int, ...], condition: Condition | None = None) -> SampleTokens:
        """(V, D) -> (V, channels)."""
        tokens = self.linear(cls.to(self.linear.weight.dtype))
        return SampleTokens(normalize(self.norm, tokens, condition), views)


class _ClsStage(DecoderStage):
    """A decoder stage with its own projection of the [cls] tokens."""

    def __init__(self, config: PTv3Config, stage: int, drop_path: list[float]) -> None:
        super().__init__(config, stage, drop_path)
        assert config.image_width is not None
        self.cls = ClsTokens(config.image_width, config.decoder_channels[stage], config.norms)


class ClsInDecoder(PTv3):
    """No patch features: the views' [cls] tokens as further tokens in the attention of all decoder stages."""

    decoder_stage = _ClsStage

    def decode(
        self,
        skips: list[Tensor],
        pyramid: Pyramid,
        image: ImageFeatures | None = None,
        condition: Condition | None = None,
    ) -> Tensor:
        if image is None or image.cls is None:
            raise ValueError("this network takes the [cls] tokens of the views and got none")
        if image.cls.shape != (sum(image.views), self.config.image_width) or len(image.views) != pyramid.samples:
            raise ValueError(
                f"[cls] tokens of shape {tuple(image.cls.shape)} for {image.views} views of {pyramid.samples} samples "
                f"and a network of image_width {self.config.image_width}"
            )
        x, conv_input = skips[-1], None
        for number in range(len(self.decoder) - 1, -1, -1):
            stage = self.decoder[number]
            assert isinstance(stage, _ClsStage)
            tokens = stage.cls(image.cls, image.views, condition)
            x, conv_input = stage.fusion(x, skips[number], pyramid, number, None, condition)
            for block in stage.blocks:
                x = block(x, pyramid.levels[number], condition, conv_input=conv_input, extra=tokens)
                conv_input = None
        return x


VARIANTS = {
    Injection.ENCODER: BeforeEncoder,
    Injection.BETWEEN: AfterDecoder,
    Injection.AFTER: AfterDecoder,
    Injection.CLS: ClsInDecoder,
}

"""A backbone and a linear head that gives a score per class."""

from __future__ import annotations

from torch import Tensor, nn

from ditr.geometry.pyramid import Pyramid
from ditr.models.injection import ImageFeatures
from ditr.models.ptv3 import PTv3, PTv3Config

__all__ = ["Segmentation"]


class Segmentation(nn.Module):
    """Semantic segmentation: logits for every voxel.

    Args:
        config: of the backbone.
        classes: number of classes.
    """

    def __init__(self, config: PTv3Config, classes: int) -> None:
        super().__init__()
        self.backbone = PTv3(config)
        self.head = nn.Linear(self.backbone.out_channels, classes)

    def forward(self, features: Tensor, pyramid: Pyramid, image: ImageFeatures | None = None) -> Tensor:
        """(M, in_channels) -> logits (M, classes); arguments as for the backbone."""
        logits: Tensor = self.head(self.backbone(features, pyramid, image))
        return logits

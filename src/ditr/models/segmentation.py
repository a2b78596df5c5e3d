"""A backbone and a linear head that gives a score per class."""

from __future__ import annotations

from torch import Tensor, nn

from ditr.geometry.pyramid import Pyramid
from ditr.models.backbone import NetworkConfig, build_backbone
from ditr.nn.image_features import ImageFeatures
from ditr.nn.norms import Conditions
from ditr.nn.products import Linear

__all__ = ["Segmentation"]


class Segmentation(nn.Module):
    """Semantic segmentation: logits for every voxel.

    Args:
        config: of the backbone.
        classes: number of classes.
        dataset: whose norms serve batches that name no dataset, where norms exist per dataset.
    """

    def __init__(self, config: NetworkConfig, classes: int, dataset: str | None = None) -> None:
        super().__init__()
        self.dataset = dataset
        self.conditions = Conditions(config.norms)
        self.backbone = build_backbone(config)
        self.head = Linear(self.backbone.out_channels, classes)
        if config.head_std is not None:
            nn.init.trunc_normal_(self.head.weight, std=config.head_std)
            nn.init.zeros_(self.head.bias)

    def forward(
        self, features: Tensor, pyramid: Pyramid, image: ImageFeatures | None = None, dataset: str | None = None
    ) -> Tensor:
        """(M, in_channels) -> logits (M, classes).

        Args:
            features: one row per voxel.
            pyramid: their geometry.
            image: what the photographs give; needed by DITR.
            dataset: where the batch comes from; chooses among norms per dataset.

        Raises:
            ValueError: inputs that do not belong together or not to this network, or a dataset that it does not know.
        """
        logits: Tensor = self.head(self.described(features, pyramid, image, dataset))
        return logits

    def described(
        self, features: Tensor, pyramid: Pyramid, image: ImageFeatures | None = None, dataset: str | None = None
    ) -> Tensor:
        """As :meth:`forward`, but for the head: (M, out_channels of the backbone), of which the head takes scores."""
        described: Tensor = self.backbone(features, pyramid, image, self.conditions(dataset or self.dataset))
        return described

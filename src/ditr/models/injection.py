"""The idea of the paper: image features join the decoder's skip connections (section 3.1, "3D Feature Fusion").

    f_D(up(X_D[l+1])) + f_E(X_E[l]) + f_2D(X_2D[l])

where every f is a linear projection, BatchNorm and GELU, and X_2D[l] is the maximum of the image features over the
points of each cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ditr.geometry.lift_pyramid import LiftPyramid
from ditr.geometry.pyramid import Pyramid
from ditr.nn.blocks import DropPath, LinearNormAct
from ditr.nn.norms import Condition, DatasetNorms, normalize

__all__ = ["Fusion", "ImageFeatures", "TokenTable", "pooled_tokens"]


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """What the photographs of a batch give: ``tokens`` (T, D), and the lift that says which cell sees which."""

    tokens: Tensor
    lift: LiftPyramid


@dataclass(frozen=True, eq=False)
class TokenTable:
    """The image features with the feature of points that no view sees as last row: ``rows`` (T + 1, D)."""

    rows: Tensor
    lift: LiftPyramid


def pooled_tokens(tokens: Tensor, lift: LiftPyramid, level: int) -> Tensor:
    """X_2D of a level: the maximum over the distinct tokens that a cell's points see.

    Args:
        tokens: (T + 1, D) as in :class:`TokenTable`.
        lift: of the batch.
        level: 0 is the finest.

    Returns:
        (cells, D).
    """
    pairs = lift.levels[level]
    rows = tokens.index_select(0, torch.where(pairs.token < 0, len(tokens) - 1, pairs.token))
    if level == 0:
        return rows
    return torch.segment_reduce(rows, "max", lengths=pairs.count, unsafe=True)


class Fusion(nn.Module):
    """The input of a decoder stage: coarser features, skip connection and, in DITR, image features, summed.

    Args:
        in_channels: width of the next coarser decoder stage (or of the bottleneck).
        skip_channels: width of the encoder stage of this level.
        channels: width of the decoder stage.
        image_width: D of the image tokens; None for a network without images.
        image_drop: in training, the probability that a cell goes without its image features (for each cell on its own;
            what stays is scaled by 1 / (1 - p)). The published option of this kind is off in all published models.
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        channels: int,
        image_width: int | None,
        image_drop: float = 0.0,
        norms: DatasetNorms | None = None,
    ) -> None:
        super().__init__()
        self.drop = DropPath(image_drop)
        self.up = LinearNormAct(in_channels, channels, norms)
        self.skip = LinearNormAct(skip_channels, channels, norms)
        self.image = None if image_width is None else LinearNormAct(image_width, channels, norms)

    def forward(
        self,
        coarse: Tensor,
        skip: Tensor,
        pyramid: Pyramid,
        stage: int,
        image: TokenTable | None,
        condition: Condition | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Returns the sum (n, channels) and, beside it, the skip branch alone.

        Args:
            coarse: (m, in_channels) features of the next coarser level.
            skip: (n, skip_channels) features of the encoder.
            pyramid: of the batch.
            stage: the level of this decoder stage.
            image: None for a network without images.
            condition: the batch's dataset.
        """
        parent = pyramid.levels[stage].parent
        assert parent is not None
        skip_branch: Tensor = self.skip(skip, condition)
        fused = self.up(coarse, condition).index_select(0, parent) + skip_branch
        if self.image is not None and image is not None:
            fused = fused + self._image_branch(self.image, image, stage, condition)
        return fused, skip_branch

    def _image_branch(
        self, branch: LinearNormAct, image: TokenTable, stage: int, condition: Condition | None
    ) -> Tensor:
        """f_2D(X_2D), (n, channels)."""
        if stage > 0:
            out: Tensor = branch(self.drop(pooled_tokens(image.rows, image.lift, stage)), condition)
            return out
        # Every finest cell sees one token, and a linear layer commutes with the gather: project the few tokens.
        projected = functional.linear(image.rows, branch.linear.weight)
        features: Tensor = self.drop(pooled_tokens(projected, image.lift, 0)) + branch.linear.bias
        result: Tensor = branch.act(normalize(branch.norm, features, condition))
        return result

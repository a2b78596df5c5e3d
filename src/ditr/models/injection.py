"""The idea of the paper: image features join the decoder's skip connections (section 3.1, "3D Feature Fusion").

    f_D(up(X_D[l+1])) + f_E(X_E[l]) + f_2D(X_2D[l])

where every f is a linear projection, BatchNorm and GELU, and X_2D[l] is the maximum of the image features over the
points of each cell.

The other places that the paper's Table 5 compares are in :mod:`ditr.models.injection_variants`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional

from ditr.geometry.lift import gather
from ditr.geometry.lift_pyramid import LiftPyramid
from ditr.geometry.pyramid import Pyramid
from ditr.nn.blocks import DropPath, LinearNormAct
from ditr.nn.norms import Condition, DatasetNorms, normalize

__all__ = ["Fusion", "ImageBranch", "Injection", "TokenTable", "pooled_tokens"]


class Injection(Enum):
    """Where image features join the 3D network (paper, section 4.4 and Table 5), from early to late."""

    NONE = "none"
    """Nowhere: PTv3."""
    ENCODER = "encoder"
    """Before the encoder: added to what the stem gives."""
    BETWEEN = "between"
    """Between two encoder-decoders of the same sizes: added to what the first gives the second."""
    DECODER = "decoder"
    """In all decoder stages: DITR."""
    LAST = "last"
    """In the last decoder stage, the finest."""
    AFTER = "after"
    """After the decoder: added to what it gives."""
    CLS = "cls"
    """No patch features: the views' [cls] tokens as further tokens in the attention of all decoder stages."""


@dataclass(frozen=True, eq=False)
class TokenTable:
    """The image features with the feature of points that no view sees as last row: ``rows`` (T + 1, D).

    T is here the length of the list that the lift's levels index: blended tokens where there is a blend.
    """

    rows: Tensor
    lift: LiftPyramid

    @classmethod
    def of(cls, tokens: Tensor, lift: LiftPyramid, missing: Tensor | None) -> TokenTable:
        """Tokens (T, D), blended where the lift asks for it; ``missing`` (D,) is zeros where None (the paper)."""
        if lift.blend is not None:
            tokens = gather(tokens, lift.blend)
        row = tokens.new_zeros(tokens.shape[1]) if missing is None else missing
        return cls(torch.cat([tokens, row[None]]), lift)


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


class ImageBranch(LinearNormAct):
    """f_2D: image features of a level's cells, projected.

    Args:
        image_width: D of the image tokens.
        channels: width of what they are added to.
        image_drop: in training, the probability that a cell goes without its image features (for each cell on its own;
            what stays is scaled by 1 / (1 - p)). The published option of this kind is off in all published models.
        norms: which norms exist once per dataset.
    """

    def __init__(
        self, image_width: int, channels: int, image_drop: float = 0.0, norms: DatasetNorms | None = None
    ) -> None:
        super().__init__(image_width, channels, norms)
        self.drop = DropPath(image_drop)

    def inject(self, image: TokenTable, level: int, condition: Condition | None = None) -> Tensor:
        """f_2D(X_2D) of a level, (n, channels)."""
        if level > 0:
            out: Tensor = self(self.drop(pooled_tokens(image.rows, image.lift, level)), condition)
            return out
        # Every finest cell sees one token, and a linear layer commutes with the gather: project the few tokens.
        projected = functional.linear(image.rows, self.linear.weight)
        features: Tensor = self.drop(pooled_tokens(projected, image.lift, 0)) + self.linear.bias
        result: Tensor = self.act(normalize(self.norm, features, condition))
        return result


class Fusion(nn.Module):
    """The input of a decoder stage: coarser features, skip connection and, in DITR, image features, summed.

    Args:
        in_channels: width of the next coarser decoder stage (or of the bottleneck).
        skip_channels: width of the encoder stage of this level.
        channels: width of the decoder stage.
        image_width: D of the image tokens; None for a stage without images.
        image_drop: see :class:`ImageBranch`.
        norms: which norms exist once per dataset.
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
        self.up = LinearNormAct(in_channels, channels, norms)
        self.skip = LinearNormAct(skip_channels, channels, norms)
        self.image = None if image_width is None else ImageBranch(image_width, channels, image_drop, norms)

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
            image: None for a stage without images.
            condition: the batch's dataset.
        """
        parent = pyramid.levels[stage].parent
        assert parent is not None
        skip_branch: Tensor = self.skip(skip, condition)
        fused = self.up(coarse, condition).index_select(0, parent) + skip_branch
        if self.image is not None and image is not None:
            fused = fused + self.image.inject(image, stage, condition)
        return fused, skip_branch

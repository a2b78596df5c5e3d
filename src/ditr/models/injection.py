"""The idea of the paper: image features join the decoder's skip connections (section 3.1, "3D Feature Fusion").

    f_D(up(X_D[l+1])) + f_E(X_E[l]) + f_2D(X_2D[l])

where every f is a linear projection, BatchNorm and GELU, and X_2D[l] is the maximum of the image features over the
points of each cell.

The other places that the paper's Table 5 compares are in :mod:`ditr.models.injection_variants`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn

from ditr.geometry.lift import gather
from ditr.geometry.lift_pyramid import LiftLevel, LiftPyramid
from ditr.geometry.pyramid import Pyramid
from ditr.nn.blocks import DropPath, LinearNormAct
from ditr.nn.norms import Condition, DatasetNorms, as_affine, normalize
from ditr.nn.pieces import GATHERED_BYTES, add, keeps_no_gradients, largest
from ditr.nn.products import linear

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
    if level == 0:
        return tokens.index_select(0, _rows(tokens, pairs))
    if tokens.is_cuda or (tokens.requires_grad and torch.is_grad_enabled()):
        # On all cores of a GPU anyway, and where several tokens are largest, each has its share of the gradient.
        rows = tokens.index_select(0, _rows(tokens, pairs))
        return torch.segment_reduce(rows, "max", lengths=pairs.count, unsafe=True)
    out = tokens.new_empty(len(pairs.count), tokens.shape[1])
    for cells, some in _in_pieces(tokens, pairs):
        out.index_copy_(0, cells, some)
    return out


def _rows(tokens: Tensor, pairs: LiftLevel) -> Tensor:
    """(pairs,) which of the (T + 1, D) tokens each pair takes."""
    return torch.where(pairs.token < 0, len(tokens) - 1, pairs.token)


def _in_pieces(tokens: Tensor, pairs: LiftLevel) -> Iterator[tuple[Tensor, Tensor]]:
    """The cells of a level, some at a time, with their largest tokens: (some,) cells and (some, D).

    Cells with about as many tokens come together, so that a table of all their rows has few repetitions; the maximum
    of such a table runs on all cores, where that of segments of any length runs on one.

    Args:
        tokens: (T + 1, D) as in :class:`TokenTable`.
        pairs: of the level.
    """
    row, count = _rows(tokens, pairs), pairs.count
    order = count.argsort()
    sizes, begin = count[order], (count.cumsum(0) - count)[order]
    slot = torch.arange(int(sizes[-1]) if len(sizes) else 0, device=row.device)
    start = 0
    while start < len(order):
        # At most half of such a table repeats rows.
        most = 2 * int(sizes[start])
        at_once = max(1, GATHERED_BYTES // (most * tokens.shape[1] * tokens.element_size()))
        stop = min(start + at_once, int(torch.searchsorted(sizes, most)), len(order))
        stop = max(stop, start + 1)
        lines = torch.minimum(slot[: int(sizes[stop - 1])], sizes[start:stop, None] - 1) + begin[start:stop, None]
        yield order[start:stop], largest(tokens, row[lines])
        start = stop


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
        if level > 0 and keeps_no_gradients(self, image.rows):
            return self._inject_in_pieces(image, level, condition)
        if level > 0:
            out: Tensor = self(self.drop(pooled_tokens(image.rows, image.lift, level)), condition)
            return out
        # Every finest cell sees one token, and a linear layer commutes with the gather: project the few tokens.
        if as_affine(self.norm, condition) is not None:
            return pooled_tokens(self(image.rows, condition), image.lift, 0)
        projected = linear(image.rows, self.linear.weight)
        features: Tensor = self.drop(pooled_tokens(projected, image.lift, 0)) + self.linear.bias
        result: Tensor = self.act(normalize(self.norm, features, condition))
        return result

    def _inject_in_pieces(self, image: TokenTable, level: int, condition: Condition | None) -> Tensor:
        """Of few cells at a time, so that no copy of tokens per cell is ever there."""
        pairs = image.lift.levels[level]
        out = image.rows.new_empty(len(pairs.count), self.linear.out_features)
        for cells, some in _in_pieces(image.rows, pairs):
            out.index_copy_(0, cells, self(some, condition))
        return out


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
        fused = add(self.up(coarse, condition).index_select(0, parent), skip_branch)
        if self.image is not None and image is not None:
            fused = add(fused, self.image.inject(image, stage, condition))
        return fused, skip_branch

"""Fusion: image features pooled as over all points, and the paper's sum of three branches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ditr.geometry.joined_pyramids import join_pyramids
from ditr.geometry.lift_pyramid import LiftPyramid, build_lift_pyramid, join_lift_pyramids
from ditr.geometry.pyramid import Pyramid, PyramidSpec, build_pyramid
from ditr.models.injection import Fusion, ImageBranch, TokenTable, pooled_tokens
from ditr.models.ptv3 import PTv3, PTv3Config
from ditr.nn.image_features import ImageFeatures

SPEC = PyramidSpec(levels=3)
TOKENS, WIDTH = 5, 4

voxel = st.tuples(*[st.integers(0, 5)] * 3, st.integers(-1, TOKENS - 1))
samples = st.lists(voxel, min_size=1, max_size=40).map(torch.tensor)
batches = st.lists(samples, min_size=1, max_size=3)


def build(parts: list[Tensor]) -> tuple[Pyramid, LiftPyramid]:
    pyramids = [build_pyramid(part[:, :3], SPEC) for part in parts]
    lifts = [build_lift_pyramid(part[:, 3], TOKENS, p) for part, p in zip(parts, pyramids, strict=True)]
    return join_pyramids(pyramids), join_lift_pyramids(lifts)


def random_tokens(count: int) -> Tensor:
    """Tokens of ``count`` samples, and the row of points that no view sees."""
    return torch.randn(TOKENS * count + 1, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(count))


def pooled_over_points(tokens: Tensor, parts: list[Tensor], pyramid: Pyramid, level: int) -> Tensor:
    """The paper's way: features of every point, then the maximum over the points of each cell."""
    rows = torch.cat(
        [torch.where(part[:, 3] < 0, len(tokens) - 1, part[:, 3] + TOKENS * i) for i, part in enumerate(parts)]
    )
    features = tokens[rows]
    for fine in pyramid.levels[:level]:
        assert fine.parent is not None
        cells = range(int(fine.parent.max()) + 1)
        features = torch.stack([features[fine.parent == cell].amax(dim=0) for cell in cells])
    return features


@given(parts=batches)
def test_pooling_distinct_tokens_equals_pooling_points(parts: list[Tensor]) -> None:
    """Exactly, since a maximum rounds nothing; with the row for unseen points taking part."""
    pyramid, lift = build(parts)
    tokens = random_tokens(len(parts))
    for level in range(SPEC.levels):
        expected = pooled_over_points(tokens, parts, pyramid, level)
        assert torch.equal(pooled_tokens(tokens, lift, level), expected)


def test_zeros_of_unseen_points_take_part_in_the_maximum() -> None:
    _, lift = build([torch.tensor([[0, 0, 0, 0], [0, 0, 1, -1]])])
    tokens = torch.zeros(TOKENS + 1, WIDTH)
    tokens[0] = torch.tensor([-1.0, 2.0, -3.0, 4.0])
    assert pooled_tokens(tokens, lift, 1).tolist() == [[0, 2, 0, 4]]


@given(parts=batches)
def test_gradients_reach_the_tokens_as_over_points(parts: list[Tensor]) -> None:
    pyramid, lift = build(parts)
    tokens = random_tokens(len(parts)).requires_grad_()
    for level in range(SPEC.levels):
        expected = pooled_over_points(tokens, parts, pyramid, level)
        upstream = torch.cos(torch.arange(expected.numel(), dtype=torch.float64)).view(expected.shape)
        (wanted,) = torch.autograd.grad(expected, tokens, upstream)
        (found,) = torch.autograd.grad(pooled_tokens(tokens, lift, level), tokens, upstream)
        torch.testing.assert_close(found, wanted)


def settled_fusion(image_width: int | None) -> Fusion:
    torch.manual_seed(0)
    fusion = Fusion(6, 3, 5, image_width).double().eval()
    for part in fusion.modules():
        if isinstance(part, nn.BatchNorm1d):
            nn.init.uniform_(part.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 2)  # type: ignore[arg-type]
    return fusion


@settings(max_examples=40)
@given(parts=batches)
def test_fusion_is_the_sum_of_the_papers_branches(parts: list[Tensor]) -> None:
    pyramid, lift = build(parts)
    fusion, tokens = settled_fusion(WIDTH), random_tokens(len(parts))
    assert fusion.image is not None
    for stage in range(SPEC.levels - 1):
        parent = pyramid.levels[stage].parent
        assert parent is not None
        coarse = torch.randn(len(pyramid.levels[stage + 1]), 6, dtype=torch.float64)
        skip = torch.randn(len(parent), 3, dtype=torch.float64)
        image = fusion.image(pooled_over_points(tokens, parts, pyramid, stage))
        expected = fusion.up(coarse)[parent] + fusion.skip(skip) + image
        fused, skip_branch = fusion(coarse, skip, pyramid, stage, TokenTable(tokens, lift))
        torch.testing.assert_close(fused, expected)
        torch.testing.assert_close(skip_branch, fusion.skip(skip))


@pytest.mark.parametrize("stage", [0, 1])
def test_in_training_the_norm_counts_every_cell_and_not_every_token(stage: int) -> None:
    """On the finest level tokens are projected before they are handed out; the statistics are still those of cells."""
    generator = torch.Generator().manual_seed(1)
    part = torch.cat(
        [torch.randint(0, 5, (60, 3), generator=generator), torch.randint(-1, 2, (60, 1), generator=generator)], dim=1
    )
    pyramid, lift = build([part])
    tokens, parent = random_tokens(1), pyramid.levels[stage].parent
    assert parent is not None
    coarse = torch.randn(len(pyramid.levels[stage + 1]), 6, dtype=torch.float64)
    skip = torch.randn(len(parent), 3, dtype=torch.float64)
    one, other = settled_fusion(WIDTH).train(), settled_fusion(WIDTH).train()
    assert one.image is not None and other.image is not None
    by_points = one.image(pooled_over_points(tokens, [part], pyramid, stage))
    expected = one.up(coarse)[parent] + one.skip(skip) + by_points
    found, _ = other(coarse, skip, pyramid, stage, TokenTable(tokens, lift))
    torch.testing.assert_close(found, expected)
    upstream = torch.cos(torch.arange(found.numel(), dtype=torch.float64)).view(found.shape)
    for fused, network in ((expected, one), (found, other)):
        fused.backward(upstream)
        assert all(parameter.grad is not None for parameter in network.parameters())
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(left.grad, right.grad)
    for left, right in zip(one.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(left, right)


def test_without_images_two_branches_are_summed() -> None:
    pyramid, lift = build([torch.tensor([[0, 0, 0, 0], [1, 0, 0, 2], [4, 4, 4, -1]])])
    fusion, parent = settled_fusion(None), pyramid.levels[0].parent
    assert parent is not None
    coarse = torch.randn(len(pyramid.levels[1]), 6, dtype=torch.float64)
    skip = torch.randn(3, 3, dtype=torch.float64)
    for image in (None, TokenTable(random_tokens(1), lift)):
        fused, _ = fusion(coarse, skip, pyramid, 0, image)
        torch.testing.assert_close(fused, fusion.up(coarse)[parent] + fusion.skip(skip))


def test_injection_reaches_every_decoder_stage() -> None:
    """At the published widths: the numbers of parameters that images add for the four sizes of DINOv2."""
    extra = {}
    with torch.device("meta"):
        base = sum(p.numel() for p in PTv3(PTv3Config()).parameters())
        for width in (384, 768, 1024, 1536):
            network = PTv3(PTv3Config(image_width=width))
            extra[width] = sum(p.numel() for p in network.parameters()) - base
    assert extra == {384: 198_144, 768: 394_752, 1024: 525_824, 1536: 787_968}


def test_image_features_need_no_view() -> None:
    pyramid, lift = build([torch.tensor([[0, 0, 0, -1], [3, 3, 3, -1]])])
    empty = build_lift_pyramid(torch.tensor([-1, -1]), 0, pyramid)
    image = ImageFeatures(torch.zeros(0, WIDTH), empty)
    missing = torch.ones(1, WIDTH)
    for level in range(SPEC.levels):
        pooled = pooled_tokens(torch.cat([image.tokens, missing]), empty, level)
        assert torch.equal(pooled, torch.ones(len(pyramid.levels[level]), WIDTH))
    assert lift.tokens == TOKENS


@pytest.mark.parametrize("level", [0, 1])
def test_dropped_cells_go_without_image_features_and_keep_the_bias(level: int) -> None:
    """On every level the features of whole cells are dropped, before they are projected, and the others scaled."""
    grid = torch.cartesian_prod(torch.arange(20), torch.arange(20), torch.arange(2))
    token = torch.arange(len(grid)) % TOKENS
    _, lift = build([torch.cat([grid, token[:, None]], dim=1)])
    tokens, drop = TokenTable(random_tokens(1), lift), 0.25
    torch.manual_seed(0)
    branch = ImageBranch(WIDTH, 6, drop).double().train()
    branch.norm.eval()  # with fixed statistics every cell's row depends on that cell alone
    pooled = pooled_tokens(tokens.rows, lift, level)
    without, scaled = branch(torch.zeros_like(pooled)), branch(pooled / (1 - drop))
    found = branch.inject(tokens, level)
    dropped = torch.isclose(found, without).all(dim=1)
    torch.testing.assert_close(found, torch.where(dropped[:, None], without, scaled))
    cells = len(pooled)
    assert dropped.double().mean().item() == pytest.approx(drop, abs=4 * (drop * (1 - drop) / cells) ** 0.5)
    torch.testing.assert_close(branch.eval().inject(tokens, level), branch(pooled))

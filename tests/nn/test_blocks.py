"""Blocks: their equations, DropPath's statistics, pooling, and the constants of their norms."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from ditr.geometry.joined_pyramids import join_pyramids
from ditr.geometry.pyramid import Level, PyramidSpec, build_pyramid
from ditr.nn.blocks import Block, DropPath, LinearNormAct, Pool, Stem
from ditr.nn.norms import batch_norm

SPEC = PyramidSpec(levels=3, patch_size=8)

cell_lists = st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=40).map(torch.tensor)


def random_level() -> Level:
    grid = torch.unique(torch.randint(0, 5, (40, 3), generator=torch.Generator().manual_seed(0)), dim=0)
    return build_pyramid(grid, SPEC).levels[0]


def settle(module: nn.Module) -> nn.Module:
    """Double precision, evaluation, and running statistics other than 0 and 1."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            nn.init.uniform_(part.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 2)  # type: ignore[arg-type]
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    return module.double().eval()


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def normalized(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    assert norm.running_mean is not None and norm.running_var is not None
    return (x - norm.running_mean) / (norm.running_var + 1e-3).sqrt() * norm.weight + norm.bias


def test_batch_norm_has_the_published_constants() -> None:
    norm = batch_norm(5)
    assert (norm.eps, norm.momentum) == (1e-3, 0.01)


def test_stem_and_projection_are_norm_and_gelu() -> None:
    torch.manual_seed(0)
    level = random_level()
    x = torch.randn(len(level), 6, dtype=torch.float64)
    stem = settle(Stem(6, 8, 5))
    assert isinstance(stem, Stem) and stem.conv.bias is None
    torch.testing.assert_close(stem(x, level), gelu(normalized(stem.norm, stem.conv(x, level))))
    project = settle(LinearNormAct(6, 4))
    assert isinstance(project, LinearNormAct)
    torch.testing.assert_close(project(x), gelu(normalized(project.norm, project.linear(x))))


@pytest.mark.parametrize("separate", [False, True])
def test_block_is_three_residual_branches(separate: bool) -> None:
    torch.manual_seed(0)
    level = random_level()
    block = settle(Block(8, 2, drop_path=0.3, curve=1))
    assert isinstance(block, Block)
    x = torch.randn(len(level), 8, dtype=torch.float64)
    read = torch.randn(len(level), 8, dtype=torch.float64) if separate else None
    position = block.position
    y = x + position.norm(position.linear(position.conv(x if read is None else read, level)))
    y = y + block.attention(functional.layer_norm(y, (8,), block.norm1.weight, block.norm1.bias, 1e-5), level, 1)
    z = functional.layer_norm(y, (8,), block.norm2.weight, block.norm2.bias, 1e-5)
    expected = y + block.mlp[2](gelu(block.mlp[0](z)))
    torch.testing.assert_close(block(x, level, conv_input=read), expected)
    assert block.mlp[0].out_features == 32


@given(parts=st.lists(cell_lists, min_size=1, max_size=3))
def test_pooling_takes_the_maximum_over_each_cell(parts: list[Tensor]) -> None:
    torch.manual_seed(0)
    pyramid = join_pyramids([build_pyramid(grid, SPEC) for grid in parts])
    pool = settle(Pool(3, 4))
    assert isinstance(pool, Pool)
    for level, coarse in zip(pyramid.levels[:-1], pyramid.levels[1:], strict=True):
        x = torch.randn(len(level), 3, dtype=torch.float64)
        projected = pool.linear(x)
        assert level.parent is not None
        best = torch.stack([projected[level.parent == cell].amax(dim=0) for cell in range(len(coarse))])
        torch.testing.assert_close(pool(x, level), gelu(normalized(pool.norm, best)))


def test_pooling_gives_each_gradient_once() -> None:
    """Children are repeated to fill the table; the gradient may not count them twice."""
    level = build_pyramid(torch.tensor([[0, 0, 0], [2, 0, 0], [2, 0, 1]]), SPEC).levels[0]
    pool = settle(Pool(2, 2))
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: pool(x, level), (x,))


def test_the_coarsest_level_is_not_pooled() -> None:
    pyramid = build_pyramid(torch.tensor([[0, 0, 0]]), SPEC)
    with pytest.raises(ValueError, match="coarsest"):
        Pool(2, 2)(torch.zeros(1, 2), pyramid.levels[-1])


def test_drop_path_drops_points_and_scales_the_rest() -> None:
    torch.manual_seed(0)
    x = torch.randn(20_000, 3)
    drop = DropPath(0.3).train()
    out = drop(x)
    kept = (out != 0).any(dim=1)
    torch.testing.assert_close(out[kept], x[kept] / 0.7)
    assert (out[~kept] == 0).all()
    assert float(kept.float().mean()) == pytest.approx(0.7, abs=0.015)


def test_drop_path_does_nothing_in_evaluation_or_at_zero() -> None:
    x = torch.randn(5, 3)
    assert DropPath(0.3).eval()(x) is x
    assert DropPath(0.0).train()(x) is x


@pytest.mark.parametrize("probability", [-0.1, 1.0, 1.5])
def test_drop_path_refuses_what_is_no_probability_to_drop(probability: float) -> None:
    with pytest.raises(ValueError, match="dropped with probability"):
        DropPath(probability)

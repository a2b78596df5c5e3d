"""Attention: the softmax of every patch, written out, on patches taken from their definition."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ditr.geometry.curves import ALL_CURVES, curve_depth, encode
from ditr.geometry.joined_pyramids import join_pyramids
from ditr.geometry.pyramid import Pyramid, PyramidSpec, build_pyramid
from ditr.nn.attention import PatchAttention, position_bound

CHANNELS, HEADS = 8, 2


def make_attention() -> PatchAttention:
    torch.manual_seed(0)
    return PatchAttention(CHANNELS, HEADS).double()


def attend(attention: PatchAttention, rows: Tensor) -> Tensor:
    """Plain attention of some rows among themselves."""
    width = CHANNELS // HEADS
    weight, bias = attention.qkv.weight, attention.qkv.bias
    query, key, value = (rows @ weight.T + bias).split(CHANNELS, dim=1)
    heads = []
    for head in range(HEADS):
        part = slice(head * width, (head + 1) * width)
        scores = query[:, part] @ key[:, part].T / math.sqrt(width)
        likeness = scores.exp() / scores.exp().sum(dim=1, keepdim=True)
        heads.append(likeness @ value[:, part])
    out: Tensor = attention.proj(torch.cat(heads, dim=1))
    return out


def attend_sample(attention: PatchAttention, x: Tensor, order: Tensor, longest: int) -> Tensor:
    """A short sample is one patch; a longer one is cut, and its last patch filled from the end of the one before."""
    n = len(order)
    out = torch.empty_like(x)
    for start in range(0, n, longest):
        own = order[start : start + longest]
        missing = longest - len(own) if n > longest else 0
        borrowed = order[start - missing : start]
        result = attend(attention, x[torch.cat([own, borrowed])])
        out[own] = result[: len(own)]
    return out


def line(n: int) -> Tensor:
    return torch.arange(n)[:, None] * torch.tensor([[1, 0, 0]])


samples = st.one_of(
    st.sampled_from([1, 2, 3, 4, 5, 8, 9]).map(line),
    st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=40).map(torch.tensor),
)


@pytest.mark.parametrize("curve", range(len(ALL_CURVES)))
@settings(max_examples=50)
@given(grids=st.lists(samples, min_size=1, max_size=4), longest=st.sampled_from([1, 4, 9, 64]))
def test_equal_to_a_softmax_over_each_patch(curve: int, grids: list[Tensor], longest: int) -> None:
    spec = PyramidSpec(levels=1, patch_size=longest)
    attention = make_attention()
    x = torch.randn(sum(map(len, grids)), CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = []
    for grid, part in zip(grids, x.split([len(grid) for grid in grids]), strict=True):
        codes = encode(grid, ALL_CURVES[curve], curve_depth(grid))
        expected.append(attend_sample(attention, part, codes.argsort(stable=True), longest))
    level = join_pyramids([build_pyramid(grid, spec) for grid in grids]).levels[0]
    torch.testing.assert_close(attention(x, level, curve), torch.cat(expected))


@pytest.mark.parametrize(
    ("sizes", "pad", "starts"),
    [
        ([10], [*range(10), 6, 7], [0, 4, 8, 12]),
        ([3, 10], [*range(13), 9, 10], [0, 3, 7, 11, 15]),
        ([9, 3], [*range(9), 5, 6, 7, 9, 10, 11], [0, 4, 8, 12, 15]),
    ],
)
def test_equal_on_the_published_vectors(sizes: list[int], pad: list[int], starts: list[int]) -> None:
    """Patches as the published code lists them; along the first curve a line of cells keeps its order."""
    spec = PyramidSpec(levels=1, patch_size=4)
    level = join_pyramids([build_pyramid(line(n), spec) for n in sizes]).levels[0]
    attention = make_attention()
    x = torch.randn(sum(sizes), CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    slots = torch.cat([attend(attention, x[pad[a:b]]) for a, b in pairwise(starts)])
    first_slot = [pad.index(row) for row in range(len(x))]
    torch.testing.assert_close(attention(x, level, 0), slots[first_slot])


def curve_of_cube() -> Pyramid:
    return build_pyramid(torch.cartesian_prod(*[torch.arange(4)] * 3), PyramidSpec(levels=1, patch_size=7))


def test_gradients_are_those_of_finite_differences() -> None:
    level = build_pyramid(line(6), PyramidSpec(levels=1, patch_size=4)).levels[0]
    attention = make_attention()
    x = torch.randn(6, CHANNELS, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: attention(x, level, 2), (x,))


def test_borrowed_rows_read_but_are_not_written() -> None:
    """A cell in the patch before changes the last patch only where it is borrowed, and hears nothing from there."""
    level = build_pyramid(line(10), PyramidSpec(levels=1, patch_size=4)).levels[0]
    attention = make_attention()
    x = torch.randn(10, CHANNELS, dtype=torch.float64, requires_grad=True)
    out = attention(x, level, 0)
    heard = [torch.autograd.grad(out[row].sum(), x, retain_graph=True)[0].abs().sum(dim=1) > 0 for row in (5, 9)]
    assert heard[0].nonzero().squeeze(1).tolist() == [4, 5, 6, 7]
    assert heard[1].nonzero().squeeze(1).tolist() == [6, 7, 8, 9]


def test_curves_differ() -> None:
    level = curve_of_cube().levels[0]
    attention = make_attention()
    x = torch.randn(64, CHANNELS, dtype=torch.float64)
    results = [attention(x, level, curve) for curve in range(4)]
    for i in range(4):
        for j in range(i):
            assert not torch.allclose(results[i], results[j])


def test_width_must_divide_into_heads() -> None:
    with pytest.raises(ValueError, match="8 channels do not divide into 3 heads"):
        PatchAttention(8, 3)


@pytest.mark.parametrize(("patch_size", "bound"), [(48, 11), (64, 12), (128, 15), (1024, 31)])
def test_bound_of_relative_positions_is_the_published_one(patch_size: int, bound: int) -> None:
    assert position_bound(patch_size) == bound


@pytest.mark.parametrize("at_once", [1, 1 << 30])
def test_relative_positions_bias_the_scores(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against loops over pairs of cells: query minus key, clamped, one table per axis, summed."""
    monkeypatch.setattr("ditr.nn.attention._BIAS_BYTES", at_once)
    torch.manual_seed(0)
    bound, width = 2, CHANNELS // HEADS
    attention = PatchAttention(CHANNELS, HEADS, position_bound=bound).double()
    assert attention.position_table is not None
    torch.nn.init.normal_(attention.position_table)
    grid = torch.unique(torch.randint(0, 9, (40, 3)), dim=0)
    pyramid = build_pyramid(grid, PyramidSpec(levels=1, patch_size=8))
    level = pyramid.levels[0]
    x = torch.randn(len(grid), CHANNELS, dtype=torch.float64)
    found = attention(x, level, 2)

    slots, scatter = level.patches.gather[2], level.patches.scatter[2]
    query, key, value = attention.qkv(x).split(CHANNELS, dim=1)
    expected = torch.empty_like(x)
    for row in range(len(grid)):
        patch = slots[scatter[row] // 8 * 8 :][:8]
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            scores = key[patch, part] @ query[row, part] / math.sqrt(width)
            for i, other in enumerate(patch.tolist()):
                for axis in range(3):
                    apart = max(-bound, min(bound, int(grid[row, axis] - grid[other, axis])))
                    scores[i] += attention.position_table[axis * (2 * bound + 1) + apart + bound, head]
            expected[row, part] = scores.softmax(0) @ value[patch, part]
    torch.testing.assert_close(found, attention.proj(expected))


def test_half_precision_is_rounding_before_and_after() -> None:
    """Equal, to one unit in the last place of half precision, to single precision on rounded queries, keys, values."""
    torch.manual_seed(0)
    half = PatchAttention(32, 2, half=True)
    grid = torch.unique(torch.randint(0, 30, (700, 3)), dim=0)
    level = build_pyramid(grid, PyramidSpec(levels=1, patch_size=64)).levels[0]
    x = torch.randn(len(grid), 32)
    outputs: list[Tensor] = []
    half.proj.register_forward_pre_hook(lambda _module, arguments: outputs.append(arguments[0]))
    with torch.no_grad():
        half(x, level, 0)
        exact = PatchAttention(32, 2)
        exact.load_state_dict(half.state_dict())
        exact.qkv.register_forward_hook(lambda _module, _arguments, out: out.half().float())
        exact.proj.register_forward_pre_hook(lambda _module, arguments: outputs.append(arguments[0]))
        exact(x, level, 0)
    found, expected = outputs[0].half(), outputs[1].half()
    assert found.equal(outputs[0].half()) and outputs[0].equal(found.float()), "rounded to half precision"
    steps = found.view(torch.int16).int() - expected.view(torch.int16).int()
    assert steps.abs().max() <= 1
    assert not outputs[0].equal(outputs[1])

"""Single sparse convolutions against the published implementation's, with gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from golden import GoldenCase, error, fill_value
from numpy.typing import NDArray
from torch import Tensor, nn

from ditr.geometry.joined_pyramids import join_pyramids
from ditr.geometry.pyramid import Pyramid, PyramidSpec, build_pyramid
from ditr.models.minkunet_names import MinkUNetNames
from ditr.nn.sparse_conv import InverseConv, StridedConv, SubmanifoldConv

LAYOUT = MinkUNetNames(per_dataset=False)


def rows_of(pyramid: Pyramid, level: int, indices: NDArray[np.integer]) -> Tensor:
    """Our rows of a level, in the order of the published (batch, x, y, z)."""
    offsets = pyramid.levels[level].offsets
    samples = np.repeat(np.arange(pyramid.samples), np.diff(offsets))
    ours = np.concatenate([samples[:, None], pyramid.levels[level].grid.numpy()], axis=1)
    place = {tuple(cell): row for row, cell in enumerate(ours.tolist())}
    assert len(place) == len(ours) == len(indices)
    return torch.tensor([place[tuple(cell)] for cell in indices.tolist()])


def pyramid_of(indices: NDArray[np.integer]) -> Pyramid:
    spec = PyramidSpec(levels=2)
    cells = torch.from_numpy(indices.astype(np.int64))
    assert (cells[:, 0].diff() >= 0).all(), "samples follow each other"
    samples = [cells[cells[:, 0] == sample, 1:] for sample in cells[:, 0].unique()]
    return join_pyramids([build_pyramid(grid, spec) for grid in samples])


def filled(entry: dict[str, Any], conv: nn.Module, bias: Tensor | None) -> None:
    """Set a layer's parameters as the rule says, from the published layout."""
    name, shape = entry["weight"]
    published = torch.from_numpy(fill_value(name, tuple(shape)))
    ours = "shortcut.linear.weight" if isinstance(conv, nn.Linear) else "layer.conv.weight"
    assert isinstance(conv.weight, Tensor)
    conv.weight.data = LAYOUT.from_layout(ours, published).contiguous()
    if bias is not None:
        bias.data = torch.from_numpy(fill_value(entry["bias"][0], tuple(entry["bias"][1])))


def test_sparse_conv(case_sparse_conv: GoldenCase) -> None:
    case = case_sparse_conv
    arrays, weights, tolerance = case.arrays, case.spec["weights"], case.spec["tolerance"]
    indices = arrays["in.indices"]
    pyramid = pyramid_of(indices)
    level = pyramid.levels[0]
    torch.testing.assert_close(rows_of(pyramid, 0, indices), torch.arange(len(indices)))
    x = torch.from_numpy(arrays["in.x"]).requires_grad_()

    for kernel in (3, 5):
        name = f"subm{kernel}"
        conv = SubmanifoldConv(x.shape[1], weights[name]["weight"][1][0], kernel, bias=True)
        filled(weights[name], conv, conv.bias)
        out = conv(x, level)
        assert error(out.detach(), arrays[weights[name]["output"]]) <= tolerance["outputs"], name
        if kernel == 3:
            upstream = torch.from_numpy(arrays[case.spec["upstream_gradient"]])
            dx, dw = torch.autograd.grad(out, (x, conv.weight), upstream)
            published = LAYOUT.from_layout("layer.conv.weight", torch.from_numpy(arrays["out.subm3_dw"]))
            assert error(dx, arrays["out.subm3_dx"]) <= tolerance["subm3_dx"]
            assert error(dw, published) <= tolerance["subm3_dw"]

    linear = nn.Linear(x.shape[1], weights["subm1"]["weight"][1][0])
    filled(weights["subm1"], linear, linear.bias)
    assert error(linear(x).detach(), arrays[weights["subm1"]["output"]]) <= tolerance["outputs"]

    down = StridedConv(x.shape[1], weights["down"]["weight"][1][0])
    filled(weights["down"], down, None)
    coarse = down(x, level)
    rows = rows_of(pyramid, 1, arrays[weights["down"]["rows"]])
    assert error(coarse[rows].detach(), arrays[weights["down"]["output"]]) <= tolerance["outputs"]

    up = InverseConv(coarse.shape[1], weights["up"]["weight"][1][0])
    filled(weights["up"], up, None)
    given = torch.empty_like(coarse).index_copy(0, rows, torch.from_numpy(arrays[weights["up"]["input"]]))
    rows = rows_of(pyramid, 0, arrays[weights["up"]["rows"]])
    assert error(up(given, level)[rows].detach(), arrays[weights["up"]["output"]]) <= tolerance["outputs"]

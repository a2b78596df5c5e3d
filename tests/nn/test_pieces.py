"""Inference in pieces and in place gives the bits of inference of all rows at once, and folded norms nearly so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from ditr.geometry.lift_pyramid import build_lift_pyramid
from ditr.geometry.pyramid import build_pyramid
from ditr.models import injection
from ditr.models.minkunet import MinkUNetConfig
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.nn import attention, blocks, products, sparse_conv
from ditr.nn.image_features import ImageFeatures
from ditr.nn.pieces import ROWS, by_rows, largest
from ditr.nn.products import Products, use_products

SMALL = {
    "encoder_depths": (1, 1, 1),
    "encoder_channels": (16, 32, 64),
    "encoder_heads": (1, 2, 4),
    "decoder_depths": (1, 1),
    "decoder_channels": (32, 32),
    "decoder_heads": (2, 2),
    "patch_size": 256,
}
NETWORKS = {
    "ptv3": PTv3Config(**SMALL),
    "post-norm": PTv3Config(**SMALL, pre_norm=False, layer_scale=0.5, position_bound=3, half_attention=True),
    "ditr": PTv3Config(**SMALL, image_width=48, missing_embedding=True),
    "minkunet": MinkUNetConfig(
        encoder_depths=(1, 1), encoder_channels=(16, 32), decoder_depths=(1, 1), decoder_channels=(24, 32)
    ),
}


@pytest.fixture(params=[Products.TORCH, Products.ONEDNN], ids=lambda choice: choice.value)
def chosen(request: pytest.FixtureRequest) -> Iterator[Products]:
    if request.param is Products.ONEDNN and not products._has_operator():
        pytest.skip("this torch has no oneDNN")
    use_products(request.param)
    yield request.param
    use_products(None)


def network(name: str) -> tuple[Segmentation, tuple[object, ...]]:
    """With norms that have seen data, and a batch of more than one piece of rows."""
    torch.manual_seed(0)
    config = NETWORKS[name]
    model = Segmentation(config, 7).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            for values, low, high in ((module.weight, -1, 2), (module.bias, -1, 1)):
                nn.init.uniform_(values, low, high)
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    grid = torch.unique(
        torch.randint(0, 64, (9000, 3)) * torch.tensor([1, 1, 0]) + torch.randint(0, 3, (9000, 3)), dim=0
    )
    assert len(grid) > ROWS
    pyramid = build_pyramid(grid, config.pyramid)
    image = None
    if name == "ditr":
        lift = build_lift_pyramid(torch.randint(-1, 200, (len(grid),)), 200, pyramid)
        image = ImageFeatures(torch.randn(200, 48), lift)
    return model, (torch.randn(len(grid), 6), pyramid, image)


@pytest.mark.parametrize("name", NETWORKS)
def test_pieces_have_the_bits_of_the_whole(name: str, chosen: Products, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = network(name)
    with torch.no_grad():
        found = model(*inputs)
        assert torch.equal(model(*inputs), found)
        for module in (attention, blocks, sparse_conv, injection):
            monkeypatch.setattr(module, "keeps_no_gradients", lambda *_: False)
        whole = model(*inputs)
    if name == "ditr" and chosen is Products.TORCH:
        # MKL rounds a row by how many there are with it, and tokens are pooled for other numbers of cells.
        torch.testing.assert_close(found, whole, rtol=0, atol=1e-5 * float(whole.square().mean().sqrt()))
    else:
        assert torch.equal(found, whole)


@pytest.mark.parametrize("name", ["ptv3", "ditr", "minkunet"])
def test_folded_norms_differ_by_rounding(name: str, chosen: Products, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = network(name)
    with torch.no_grad():
        found = model(*inputs)
        for module in (blocks, injection):
            monkeypatch.setattr(module, "as_affine", lambda *_: None)
        apart = model(*inputs)
    assert not torch.equal(found, apart)
    assert float((found - apart).abs().max() / apart.square().mean().sqrt()) < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_inference_leaves_its_inputs_as_they_are(name: str) -> None:
    model, (features, pyramid, image) = network(name)
    before = features.clone(), None if image is None else image.tokens.clone()
    with torch.no_grad():
        skips = model.backbone.encode(features, pyramid, image)
        kept = [skip.clone() for skip in skips]
        model.backbone.decode(skips, pyramid, image)
    assert torch.equal(features, before[0]) and all(map(torch.equal, skips, kept))
    assert image is None or torch.equal(image.tokens, before[1])


def test_rows_and_maxima() -> None:
    x = torch.randn(2 * ROWS + 5, 3)

    def double(rows: Tensor) -> Tensor:
        return rows * 2

    assert torch.equal(by_rows(double, x.clone()), x * 2)
    table = torch.randint(0, len(x), (ROWS, 300))
    assert torch.equal(largest(x, table), x[table].amax(dim=1))

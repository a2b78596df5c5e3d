"""The image encoder against the published one (timm's ViT with registers), weights filled by rule."""

from __future__ import annotations

import pytest
import torch

from ditr.models.dinov2 import SIZES, Architecture
from ditr.models.encoder_weights import from_timm
from ditr.models.image_encoder import ImageEncoder
from golden import GoldenCase, error, fill_value

PREFIX = "img_enc.vit."


def known_encoder(case: GoldenCase) -> ImageEncoder:
    """The case's encoder; skips a case whose encoder is not built yet."""
    config = case.spec["encoder_config"]
    described = Architecture(
        width=config["width"],
        depth=config["depth"],
        heads=config["heads"],
        mlp_ratio=config["mlp_ratio"],
        patch_size=config["patch_size"],
        table=config["pos_embed_grid"][0],
    )
    timm_name = case.spec["encoder"].split()[0]
    if described not in SIZES.values():
        pytest.skip(f"image encoder {timm_name} is not built yet")
    tensors = {
        key.removeprefix(PREFIX): torch.from_numpy(fill_value(key, shape)) for key, shape in case.shapes().items()
    }
    return ImageEncoder(from_timm(timm_name, tensors, origin="filled by rule"))


def test_encoder_equals_the_published_one(case_encoder: GoldenCase) -> None:
    encoder = known_encoder(case_encoder)
    arrays = case_encoder.arrays
    for index, key in enumerate(case_encoder.spec["images"]):
        encoded = encoder(torch.from_numpy(arrays[key]))
        feature_map = encoded.patch.permute(0, 3, 1, 2)
        assert error(feature_map, arrays[f"feat_map{index}"]) <= 5e-5
        assert error(encoded.cls, arrays[f"cls_token{index}"]) <= 5e-5

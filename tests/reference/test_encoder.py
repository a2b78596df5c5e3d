"""The image encoder against the published one (timm's ViT with registers), weights filled by rule."""

from __future__ import annotations

import pytest
import torch
from golden import GoldenCase, error
from published import known_encoder


def test_encoder_equals_the_published_one(case_encoder: GoldenCase) -> None:
    encoder = known_encoder(case_encoder)
    if encoder is None:
        pytest.skip(f"not built yet: {case_encoder.spec['encoder']}")
    arrays = case_encoder.arrays
    for index, key in enumerate(case_encoder.spec["images"]):
        encoded = encoder(torch.from_numpy(arrays[key]))
        feature_map = encoded.patch.permute(0, 3, 1, 2)
        assert error(feature_map, arrays[f"feat_map{index}"]) <= 5e-5
        assert error(encoded.cls, arrays[f"cls_token{index}"]) <= 5e-5

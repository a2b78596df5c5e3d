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
    images = case_encoder.keys("images")
    for index, key in enumerate(images):
        encoded = encoder(torch.from_numpy(arrays[key]).flatten(0, -4))
        number = index if f"feat_map{index}" in arrays or len(images) > 1 else ""
        feature_map, cls = arrays[f"feat_map{number}"], arrays[f"cls_token{number}"]
        assert error(encoded.patch.permute(0, 3, 1, 2), feature_map.reshape(-1, *feature_map.shape[-3:])) <= 5e-5
        assert error(encoded.cls, cls.reshape(-1, cls.shape[-1])) <= 5e-5

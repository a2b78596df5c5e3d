"""The whole image path against the published one: photographs, tokens, lift, logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from golden import GoldenCase, error
from published import Prepared, filled_model, known_encoder, pyramid_of
from stages import check_segmentation

from ditr.geometry.lift import choose_view, token_grids, tokens_of
from ditr.geometry.lift_pyramid import build_lift_pyramid, join_lift_pyramids
from ditr.models.injection import pooled_tokens
from ditr.nn.image_features import ImageFeatures


def test_segment_from_images(case_segment_from_images: GoldenCase) -> None:
    case = case_segment_from_images
    arrays, spec = dict(case.arrays), case.spec
    if "inputs_from" in spec:
        arrays = {**case.sibling(spec["inputs_from"]).arrays, **arrays}
    images = torch.from_numpy(arrays[case.keys("images")[0]])
    images = images.reshape(-1, arrays[spec["image_coord"]].shape[1], *images.shape[-3:])
    encoder = known_encoder(case, "encoder_keys")
    if encoder is None:
        pytest.skip(f"not built yet: {spec['encoder']}")
    encoded = encoder(images.flatten(0, 1))
    feature_map = encoded.patch.permute(0, 3, 1, 2).unflatten(0, images.shape[:2])
    assert error(feature_map, arrays["feat_map"].reshape(feature_map.shape)) <= 5e-5

    samples, pyramid = pyramid_of(arrays["in.grid_coord"], arrays["in.offset"], spec)
    height, width = images.shape[-2:]
    views = images.shape[1]
    grids = token_grids([(height, width)] * views, [(height, width)] * views, spec["patch_size_image"])
    count = sum(grid.token_count for grid in grids)
    lifts, start = [], 0
    for end, sample in zip(arrays["in.offset"], samples, strict=True):
        pixel = arrays[spec["image_coord"]][start:end]
        mask = arrays[spec["image_mask"]][start:end]
        of_views = (tokens_of(pixel[:, view], mask[:, view], grids[view]) for view in range(views))
        lift = choose_view(of_views, len(pixel), count, choice="last")
        lifts.append(build_lift_pyramid(lift.patch_index[:, 0], count, sample))
        start = end
    image = ImageFeatures(encoded.patch.reshape(-1, encoded.patch.shape[-1]), join_lift_pyramids(lifts))
    prepared = Prepared(filled_model(case), torch.from_numpy(arrays["in.feat"]), pyramid, image)
    completed = prepared.model.backbone.token_table(image)
    assert completed is not None
    x2d = pooled_tokens(completed.rows, image.lift, 0).detach()
    assert error(x2d[arrays[spec["outputs"]["x2d_rows"]]], arrays[spec["outputs"]["x2d"]]) <= 5e-5
    check_segmentation(case, prepared, np.asarray(x2d))


def test_bundled_cases_are_complete() -> None:
    """The repository's own golden folder holds what its listing names."""
    folder = Path(__file__).parent / "golden"
    assert sorted(path.stem for path in folder.glob("*.npz")) == ["mini_base", "mini_ditr"]

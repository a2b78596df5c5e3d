"""Distillation against the published implementation: features, prediction and both losses."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from golden import GoldenCase, error
from published import filled_student, pyramid_of

from ditr.training.losses import cosine_loss

TOLERANCE = 5e-5


def test_distill(case_distill: GoldenCase) -> None:
    case, spec, arrays = case_distill, case_distill.spec, case_distill.arrays
    model = filled_student(case)
    _, pyramid = pyramid_of(arrays["in.grid_coord"], arrays["in.offset"], spec)
    with torch.no_grad():
        out = model(torch.from_numpy(arrays["in.feat"]), pyramid)
    rows = arrays[spec["outputs"]["rows"]]
    assert error(out.features[rows], arrays[spec["outputs"]["features"]]) <= TOLERANCE
    assert error(out.prediction[rows], arrays[spec["outputs"]["prediction"]]) <= TOLERANCE

    if spec["image_features"] in arrays:
        target = arrays[spec["image_features"]].astype(np.float32)
    else:
        target = case.made_inputs()["image_feat"]
    assert hashlib.sha256(np.ascontiguousarray(target).tobytes()).hexdigest() == str(arrays["in.image_feat_sha256"])
    visible = torch.from_numpy(arrays[spec["view_mask"]]).any(dim=1)
    loss = cosine_loss(out.prediction, torch.from_numpy(target), visible)
    assert loss.item() == pytest.approx(float(arrays[spec["outputs"]["patch_loss"]]), rel=1e-5)
    if spec["cls_tokens_key"]:
        assert out.cls is not None
        teacher = torch.from_numpy(arrays[spec["cls_tokens_key"]])
        cls_loss = cosine_loss(out.cls.flatten(0, 1), teacher.flatten(0, 1))
        assert cls_loss.item() == pytest.approx(float(arrays[spec["outputs"]["cls_loss"]]), rel=1e-5)
        loss = loss + cls_loss
    assert loss.item() == pytest.approx(float(arrays[spec["outputs"]["loss"]]), rel=1e-5)

"""MinkUNet against the published implementation: logits and every stored stage."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from golden import GoldenCase, error
from numpy.typing import NDArray
from published import prepare
from stages import TOLERANCE
from torch import Tensor, nn

from ditr.geometry.pyramid import Pyramid
from ditr.models.minkunet import MinkUNet


def run_stages(backbone: MinkUNet, features: Tensor, pyramid: Pyramid) -> tuple[dict[str, Tensor], Tensor]:
    """Outputs of all stages by their published names, and that of the backbone."""
    names = {
        r"stem": "conv_input",
        r"encoder\.(\d+)\.down": r"down\1",
        r"encoder\.(\d+)": r"enc\1",
        r"decoder\.(\d+)\.up": r"up\1",
        r"decoder\.(\d+)": r"dec\1",
    }
    stages: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            stages[name] = output

        return hook

    handles = []
    for name, module in backbone.named_modules():
        for pattern, published in names.items():
            if re.fullmatch(pattern, name):
                handles.append(module.register_forward_hook(keep(re.sub(pattern, published, name))))
    with torch.no_grad():
        out = backbone(features, pyramid)
    for handle in handles:
        handle.remove()
    return stages, out


def level_of(stage: str, levels: int) -> int:
    """The level on which a stage of the published network gives its output."""
    if stage == "conv_input":
        return 0
    number = int(stage[-1])
    assert number < levels - 1
    return number if stage[:-1] in ("up", "dec") else number + 1


def in_published_order(pyramid: Pyramid, level: int, indices: NDArray[np.integer]) -> Tensor:
    samples = np.repeat(np.arange(pyramid.samples), np.diff(pyramid.levels[level].offsets))
    ours = np.concatenate([samples[:, None], pyramid.levels[level].grid.numpy()], axis=1)
    place = {tuple(cell): row for row, cell in enumerate(ours.tolist())}
    assert len(place) == len(ours) == len(indices)
    return torch.tensor([place[tuple(cell)] for cell in indices.tolist()])


def test_every_stage_and_the_logits(case_segment_minkunet: GoldenCase) -> None:
    case, arrays = case_segment_minkunet, case_segment_minkunet.arrays
    prepared = prepare(case)
    model, pyramid = prepared.model, prepared.pyramid
    assert isinstance(model.backbone, MinkUNet)
    stages, out = run_stages(model.backbone, prepared.features, pyramid)
    stored = [key.removesuffix(".indices") for key in arrays if key.endswith(".indices")]
    assert len(stored) == 1 + 4 * (len(pyramid.levels) - 1)
    for stage in stored:
        order = in_published_order(pyramid, level_of(stage, len(pyramid.levels)), arrays[f"{stage}.indices"])
        features = stages[stage][order]
        rows = arrays.get(f"{stage}.feat_rows", slice(None))
        assert error(features[rows], arrays[f"{stage}.feat"]) <= TOLERANCE, stage
        if f"{stage}.feat_rms" in arrays:
            scale = float(arrays[f"{stage}.feat_rms"])
            assert float(features.double().square().mean().sqrt()) == pytest.approx(scale, rel=TOLERANCE), stage
            means = features.double().mean(dim=0).numpy()
            assert np.abs(means - arrays[f"{stage}.feat_colmean"]).max() / scale <= TOLERANCE, stage
    with torch.no_grad():
        logits = model.head(out)
    outputs = case.spec["outputs"]
    rows = arrays[outputs["rows"]] if outputs["rows"] in arrays else slice(None)
    assert error(logits[rows], arrays[outputs["logits"]]) <= TOLERANCE

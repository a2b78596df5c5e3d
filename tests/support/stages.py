"""Compare a prepared network with a golden case: logits, every stored stage, and the geometry of every level."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import torch
from golden import GoldenCase, error
from numpy.typing import NDArray
from published import Prepared
from torch import Tensor, nn

from ditr.geometry.curves import curve_depth, encode
from ditr.geometry.pyramid import Level
from ditr.models.injection import pooled_tokens

TOLERANCE = 5e-5


def check_segmentation(case: GoldenCase, prepared: Prepared, x2d: NDArray[Any] | None) -> None:
    arrays = case.arrays
    stages, logits = _run(prepared)
    compared = 0
    for key, expected in arrays.items():
        stage, _, quantity = key.partition(".")
        if quantity == "feat" and stage in stages:
            rows = arrays.get(f"{stage}.feat_rows", slice(None))
            assert error(stages[stage][rows], expected) <= TOLERANCE, key
            compared += 1
    assert compared >= 5, "the case stores too few stages"
    rows = arrays[case.spec["outputs"]["rows"]] if case.spec["outputs"].get("rows") in arrays else slice(None)
    assert error(logits[rows], arrays[case.spec["outputs"]["logits"]]) <= TOLERANCE
    if "in.image_feat_sha256" in arrays and x2d is not None:
        assert hashlib.sha256(np.ascontiguousarray(x2d).tobytes()).hexdigest() == str(arrays["in.image_feat_sha256"])
    for index, level in enumerate(prepared.pyramid.levels):
        _check_geometry(case, prepared, index, level)


def _run(prepared: Prepared) -> tuple[dict[str, Tensor], Tensor]:
    """Outputs of all stages by their published names, and the logits."""
    stages: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            stages[name] = output

        return hook

    names = {
        r"backbone\.stem": "stem",
        r"backbone\.encoder\.(\d+)": r"enc\1",
        r"backbone\.encoder\.(\d+)\.pool": r"enc\1_down",
        r"backbone\.encoder\.(\d+)\.blocks\.0": r"enc\1_block0",
        r"backbone\.decoder\.(\d+)": r"dec\1",
    }
    handles = []
    for name, module in prepared.model.named_modules():
        for pattern, published in names.items():
            if re.fullmatch(pattern, name):
                handles.append(module.register_forward_hook(keep(re.sub(pattern, published, name))))
    inputs: dict[str, Tensor] = {}
    for index, stage in enumerate(prepared.model.backbone.decoder):
        # What enters a decoder's first block is the published "up" output.
        def fused(_module: nn.Module, arguments: Any, index: int = index) -> None:
            inputs[f"dec{index}_up"] = arguments[0]

        handles.append(stage.blocks[0].register_forward_pre_hook(fused))
    with torch.no_grad():
        logits = prepared.logits()
    for handle in handles:
        handle.remove()
    return stages | inputs, logits


def _check_geometry(case: GoldenCase, prepared: Prepared, index: int, level: Level) -> None:
    arrays, spec = case.arrays, case.spec
    name = "stem" if index == 0 else f"enc{index}"
    batch = np.repeat(np.arange(len(level.offsets) - 1), np.diff(level.offsets))
    if f"{name}.grid_coord" in arrays:
        np.testing.assert_array_equal(level.grid, arrays[f"{name}.grid_coord"])
        np.testing.assert_array_equal(batch, arrays[f"{name}.batch"])
    if f"{name}.serialized_code" in arrays:
        depth = curve_depth(prepared.pyramid.levels[0].grid) - index
        assert depth == arrays[f"{name}.serialized_depth"]
        curves = list(prepared.model.backbone.config.curves)
        if spec["permutations"]:
            for permutation in arrays[spec["permutations"]][: index + 1]:
                curves = [curves[i] for i in permutation]
        codes = np.stack([(torch.from_numpy(batch) << 3 * depth) | encode(level.grid, c, depth) for c in curves])
        np.testing.assert_array_equal(codes, arrays[f"{name}.serialized_code"])
        np.testing.assert_array_equal(rows_along(level), arrays[f"{name}.serialized_order"])
    if f"{name}.pooling_inverse" in arrays:
        np.testing.assert_array_equal(prepared.pyramid.levels[index - 1].parent, arrays[f"{name}.pooling_inverse"])
    if f"enc{index}.pad" in arrays:
        _check_patches(arrays, f"enc{index}", level)
    if f"{name}.image_feat" in arrays and prepared.image is not None:
        tokens = prepared.model.backbone.token_table(prepared.image)
        assert tokens is not None
        rows = arrays[f"{name}.image_feat_rows"]
        features = pooled_tokens(tokens.rows, prepared.image.lift, index)[rows].detach()
        assert error(features, arrays[f"{name}.image_feat"]) <= TOLERANCE


def rows_along(level: Level) -> torch.Tensor:
    """(curves, n) the rows of a level along each curve: in the order of the slots from which they read."""
    return level.patches.scatter.argsort(dim=1)


def _check_patches(arrays: dict[str, NDArray[Any]], name: str, level: Level) -> None:
    """The same rows in the same patches; the published order within a patch is kept too."""
    for curve, order in enumerate(rows_along(level)):
        np.testing.assert_array_equal(level.patches.gather[curve], order[arrays[f"{name}.pad"]])
        np.testing.assert_array_equal(level.patches.scatter[curve][order], arrays[f"{name}.unpad"])
    ends = [0]
    for run in level.patches.runs:
        ends += [run.start + run.length * (i + 1) for i in range(run.count)]
    np.testing.assert_array_equal(ends, arrays[f"{name}.cu_seqlens_key"])

"""Projection, visibility and the assignment of points to patches against the published code.

Everything is taken from the case's entry in ``cases.json``, so other folders of such files are tested the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from golden import GoldenCase, text_of
from numpy.typing import NDArray

from ditr.geometry.lift import TokenGrid, choose_view, gather, tokens_of
from ditr.geometry.projection import OUTDOOR, VisibilityRule, patch_of, see
from ditr.scene import Camera, View

PIXEL_TOLERANCE = 1e-6


@dataclass(frozen=True)
class _Photograph:
    """One view of the case with what the published code found for it."""

    coord: NDArray[np.float32]
    view: View
    depth_map: NDArray[np.float32] | None
    pixel: NDArray[np.float64]
    visible: NDArray[np.bool_]
    visible_in_frame: NDArray[np.bool_] | None


def _photographs(case: GoldenCase) -> list[_Photograph]:
    spec = case.spec
    keys = spec["camera_keys"]
    found = []
    for scene in spec.get("scenes", [""]):
        for name in spec["views"]:

            def get(pattern: str, scene: str = scene, name: str = name) -> NDArray[np.generic]:
                # "{view}.points_image (x, y)": the key, then a remark
                return case.numbers(pattern.format(scene=scene, view=name).split(" ")[0])

            height, width = get(spec["image_size"]).ravel()
            intrinsics, pose = _calibration(keys, get)
            camera = Camera(
                int(width), int(height), intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
            )
            depth = get(keys["depth"]).astype(np.float64) * spec["depth_unit_metres"] if "depth" in keys else None
            outputs = spec["outputs"]
            free = outputs.get("visible_without_depth_and_range")
            found.append(
                _Photograph(
                    get(spec["coord"]),
                    View(name, camera, pose, Path("none")),
                    None if depth is None else depth.astype(np.float32),
                    get(outputs["pixels"]),
                    get(outputs["visible"]),
                    None if free is None else get(free),
                )
            )
    return found


def _calibration(
    keys: dict[str, str], get: Callable[[str], NDArray[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """K, and the pose (4, 4) that leads to the camera: inverted, in two parts, or in KITTI's ``P2`` and ``Tr``."""
    if "intrinsics" not in keys:
        (text,) = keys.values()
        lines = (line.partition(":") for line in text_of(get(text)).splitlines())
        rows = {name: np.array(numbers.split(), dtype=np.float64) for name, colon, numbers in lines if colon}
        projection, pose = rows["P2"].reshape(3, 4), np.vstack([rows["Tr"].reshape(3, 4), (0, 0, 0, 1)])
        pose[:3, 3] += projection[:, 3] / np.diag(projection[:, :3])
        return projection[:, :3], pose
    pose = np.eye(4)
    if "camera_to_world" in keys:
        pose = get(keys["camera_to_world"])
    else:
        pose[:3, :3] = get(keys["camera_to_lidar_rotation"])
        pose[:3, 3] = get(keys["camera_to_lidar_translation"]).ravel()
    return get(keys["intrinsics"]), np.linalg.inv(pose)


def test_pixels_and_visibility(case_projection: GoldenCase) -> None:
    spec = case_projection.spec
    low, high = spec["range"] or (None, None)
    rule = VisibilityRule(low, high, spec["depth_margin"])
    for photograph in _photographs(case_projection):
        seen = see(photograph.coord, photograph.view, rule, photograph.depth_map)
        np.testing.assert_array_equal(seen.visible, photograph.visible)
        assert np.abs(seen.pixel - photograph.pixel)[seen.visible].max(initial=0) < PIXEL_TOLERANCE
        if photograph.visible_in_frame is not None:
            free = see(photograph.coord, photograph.view, OUTDOOR)
            np.testing.assert_array_equal(free.visible, photograph.visible_in_frame)
            assert np.abs(free.pixel - photograph.pixel)[free.visible].max(initial=0) < PIXEL_TOLERANCE


def test_patches_and_features(case_projection: GoldenCase) -> None:
    spec, arrays = case_projection.spec["assignment"], case_projection.arrays
    height, width = (int(side) for side in arrays[case_projection.spec["image_size"]])
    patch = spec["patch_size"]
    for prefix in spec["prefixes"]:
        new_height, new_width = spec["resize"][prefix]
        scale = (new_width / width, new_height / height)
        coord, mask = arrays[prefix + "image_coord"], arrays[prefix + "image_mask"]
        features = arrays[prefix + "feat_map"]
        _, views, channels, rows, columns = features.shape
        resized = np.where(mask[..., None], coord * scale, coord)
        tolerance = spec["tolerance"]["resized_image_coord"]
        assert np.abs(resized - arrays[prefix + "resized_image_coord"])[mask].max() < tolerance
        np.testing.assert_array_equal(mask, arrays[prefix + "resized_image_mask"])

        ends = arrays[spec["offset"]] if spec["offset"] in arrays else [len(coord)]
        starts = [0, *ends[:-1]]
        embedding = spec["missing_embedding"][prefix]
        missing = None if embedding is None else torch.arange(channels, dtype=torch.float32)
        for sample, (start, end) in enumerate(zip(starts, ends, strict=True)):
            part = slice(start, end)
            grids = [TokenGrid(rows, columns, patch, scale, offset=v * rows * columns) for v in range(views)]
            tokens = [tokens_of(coord[part, v], mask[part, v], grids[v]) for v in range(views)]
            for v in range(views):
                expected = arrays[prefix + "patch_row_col"][part, v].astype(np.int64)
                flat = np.where(expected[:, 0] < 0, -1, expected[:, 0] * columns + expected[:, 1])
                found = patch_of(coord[part, v], scale=scale, patch_size=patch, rows=rows, columns=columns)
                np.testing.assert_array_equal(np.where(mask[part, v], found, -1), flat)
            lift = choose_view(tokens, len(tokens[0]), views * rows * columns, choice="last")
            index = lift.patch_index[:, 0].numpy()
            winner = np.where(index < 0, -1, index // (rows * columns))
            np.testing.assert_array_equal(winner, arrays[prefix + "winning_camera"][part])
            flat_features = torch.from_numpy(features[sample]).permute(0, 2, 3, 1).reshape(-1, channels)
            np.testing.assert_array_equal(gather(flat_features, lift, missing).numpy(), arrays[prefix + "x2d"][part])

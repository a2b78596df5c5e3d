"""Prepared ScanNet folders against the published dataset: what is read, and what becomes of it before the network.

The case holds the files' contents; they are written as it says, and read by the reader that users have.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from golden import GoldenCase, text_of
from numpy.typing import NDArray
from PIL import Image
from tiny_encoder import write_tiny_encoder

from ditr.captures.images import read_image
from ditr.data.sample import Sample, prepare
from ditr.data.scene_views import choose_rows, points_in, scene_views
from ditr.datasets.benchmark import Benchmark
from ditr.datasets.table import by_name, open_dataset
from ditr.encoders.image_encoder import load_image_encoder
from ditr.geometry.lift import token_grids, tokens_of
from ditr.geometry.pyramid import PyramidSpec
from ditr.scene import Scene, View

PATCH = 14
GREY = 1.0
RESIZED_PIXEL_TOLERANCE = 1e-4


def _write(case: GoldenCase, folder: Path) -> Path:
    """The case's files; the dataset's root."""
    layout: dict[str, str] = case.spec["layout"]
    for pattern, contents in layout.items():
        key = re.findall(r"disk\.[\w.{}]*[\w}]", contents)[0]
        (names,) = re.findall(r"{(\w+(?:,\w+)+)}", pattern) or [""]
        frames = case.arrays["disk.frame_index"].tolist() if "{f}" in pattern else [""]
        for name in names.split(","):
            for row, frame in enumerate(frames):
                array = case.arrays[key.format(name=name, f=frame)]
                path = folder / pattern.replace(f"{{{names}}}", name).format(f=frame)
                path.parent.mkdir(parents=True, exist_ok=True)
                _save(path, array[row] if len(frames) > 1 and "{f}" not in key else array)
    return folder / "/".join(next(iter(layout)).split("/")[:2])


def _save(path: Path, array: NDArray[Any]) -> None:
    if path.suffix == ".npy":
        np.save(path, array)
    elif array.dtype.kind in "US":
        path.write_text(text_of(array))
    elif path.suffix == ".txt":
        np.savetxt(path, array, fmt="%f")
    elif array.ndim == 1:
        path.write_bytes(array.tobytes())
    else:
        Image.fromarray(array).save(path)


def _read(case: GoldenCase, folder: Path) -> tuple[Benchmark, Scene, list[View]]:
    """The benchmark, the scene and the photographs of it that validation takes."""
    name, split = case.spec["dataset"].split(", split ")
    data = open_dataset(name, _write(case, folder), split)
    assert (data.name, len(data)) == (name, 1)
    scene = data.scene(0)
    rows = choose_rows(len(scene.views), case.spec["views_per_scene"], None)
    views = [scene.views[row] for row in rows]
    assert [int(view.name) for view in views] == case.spec["frames_used"]
    return by_name(name), scene, views


def test_what_is_read(case_dataset: GoldenCase, tmp_path: Path) -> None:
    benchmark, scene, views = _read(case_dataset, tmp_path)
    arrays, preparation = case_dataset.arrays, benchmark.preparation(True)
    for key, array in (("coord", scene.coord), ("color", scene.color), ("normal", scene.normal)):
        np.testing.assert_array_equal(array, arrays[f"get_data.{key}"])
    np.testing.assert_array_equal(scene.label, arrays["get_data.segment"])
    rule = preparation.rule
    assert [rule.min_depth, rule.max_depth] == case_dataset.spec["range"]
    assert rule.depth_margin == case_dataset.spec["depth_margin"]
    tolerance = case_dataset.spec["tolerance"]["get_data.image_coord"]
    for column, view in enumerate(views):
        difference = np.abs(read_image(view).astype(int) - arrays["get_data.image"][column])
        assert difference.max() <= GREY
        pixel, visible = points_in(scene, view, rule)
        np.testing.assert_array_equal(visible, arrays["get_data.image_mask"][:, column])
        assert np.abs(pixel - arrays["get_data.image_coord"][:, column])[visible].max(initial=0) < tolerance


def test_what_the_network_gets(case_dataset: GoldenCase, tmp_path: Path) -> None:
    """Which point stands for a voxel is not compared (it differs by version of NumPy): any point of it will do."""
    benchmark, scene, views = _read(case_dataset, tmp_path)
    arrays, size = case_dataset.arrays, tuple(case_dataset.spec["image_resize"])
    preparation = replace(benchmark.preparation(True), image_size=size, max_views=len(views))
    parameters = case_dataset.spec["transform_parameters"]
    assert preparation.voxel_size == parameters["grid_size"]
    assert [attribute.value for attribute in preparation.attributes] == parameters["feat"]
    seen = scene_views(scene, views, [size] * len(views), PATCH, preparation.rule)
    sample = prepare(scene, preparation, PyramidSpec(levels=1), views=seen)

    grid, cells = sample.pyramid.levels[0].grid.numpy(), arrays["out.grid_coord"]
    ours = {tuple(cell): voxel for voxel, cell in enumerate(grid.tolist())}
    assert {tuple(cell) for cell in cells.tolist()} == ours.keys() and len(cells) == len(ours) == len(sample)
    voxel_of_row = np.array([ours[tuple(cell)] for cell in cells.tolist()])
    point_of_row = _standing(scene, sample, voxel_of_row, arrays["out.feat"])

    alone = np.bincount(sample.inverse.numpy(), minlength=len(sample))[voxel_of_row] == 1
    assert alone.mean() > 0.9
    rows = voxel_of_row[alone]
    np.testing.assert_allclose(sample.feature.numpy()[rows], arrays["out.feat"][alone], rtol=0, atol=1e-6)
    assert sample.label is not None and scene.label is not None
    np.testing.assert_array_equal(sample.label.numpy()[rows], arrays["out.segment"][alone])
    np.testing.assert_array_equal(scene.label[point_of_row], arrays["out.segment"])

    grids = token_grids([(view.camera.height, view.camera.width) for view in views], seen.sizes, PATCH)
    for column, (view, tokens) in enumerate(zip(views, grids, strict=True)):
        pixel, mask = arrays["out.image_coord"][:, column], arrays["out.image_mask"][:, column]
        at, visible = points_in(scene, view, preparation.rule)
        np.testing.assert_array_equal(visible[point_of_row], mask)
        resized = at[point_of_row] * tokens.scale
        assert np.abs(resized - pixel)[mask].max(initial=0) < RESIZED_PIXEL_TOLERANCE
        theirs = tokens_of(pixel, mask, replace(tokens, scale=(1.0, 1.0)))
        np.testing.assert_array_equal(seen.token_rows[column][point_of_row], theirs)


def _standing(
    scene: Scene, sample: Sample, voxel_of_row: NDArray[np.int64], feature: NDArray[np.float32]
) -> NDArray[np.int64]:
    """The point that stands for a voxel in each row: the one of the voxel's points that has the row's features."""
    assert scene.color is not None and scene.normal is not None
    mine = np.concatenate([scene.color / 127.5 - 1, scene.normal], axis=1)
    inverse = sample.inverse.numpy()
    order = np.argsort(inverse, kind="stable")
    starts = np.searchsorted(inverse[order], np.arange(len(sample) + 1))
    points = np.empty(len(feature), dtype=np.int64)
    for row, voxel in enumerate(voxel_of_row):
        members = order[starts[voxel] : starts[voxel + 1]]
        distance = np.abs(mine[members] - feature[row]).max(axis=1)
        assert distance.min() < 1e-6, "no point of the voxel has these features"
        points[row] = members[distance.argmin()]
    return points


def test_what_the_encoder_gets(case_dataset: GoldenCase, tmp_path: Path) -> None:
    _, _, views = _read(case_dataset, tmp_path)
    encoder = load_image_encoder(str(write_tiny_encoder(tmp_path / "encoder")))
    parameters = case_dataset.spec["transform_parameters"]
    assert (list(encoder.mean), list(encoder.std)) == (parameters["image_mean"], parameters["image_std"])
    prepared = encoder.prepare([read_image(view) for view in views], tuple(case_dataset.spec["image_resize"]))
    difference = np.abs(prepared.numpy() - case_dataset.arrays["out.image"][0]).max(axis=(0, 2, 3))
    assert (difference <= GREY / 255 / np.array(encoder.std) + 1e-5).all()

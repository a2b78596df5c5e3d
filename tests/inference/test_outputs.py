"""What labels are written to, for the tools that open them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_world import CLASSES, make_scene

from ditr.captures.capture import read_capture
from ditr.inference.prediction import Prediction
from ditr.io.ply import read_ply, write_ply
from ditr.scene import Scene


def labelled(scene: Scene, **more: object) -> Prediction:
    """A prediction that is right but for every seventh point, and has no label for every eleventh."""
    assert scene.label is not None
    number = np.arange(len(scene))
    label = np.where(number % 7 == 0, (scene.label + 1) % 3, np.maximum(scene.label, 0)).astype(np.int32)
    label[number % 11 == 0] = -1
    confidence = (0.3 + 0.7 * (number % 5) / 5).astype(np.float32)
    made = Prediction(scene, label, confidence, None, CLASSES, 100, (0.0, 0.0, 1.0), 0)
    return replace(made, **more)  # type: ignore[arg-type]


def far_away(scene: Scene) -> Scene:
    """The scene at coordinates of a survey, with an intensity and columns of its own."""
    extra = {"ring": np.arange(len(scene), dtype=np.uint16), "echo": np.full(len(scene), 0.25, dtype=np.float32)}
    strength = np.linspace(0, 1, len(scene), dtype=np.float32)
    return replace(
        scene, coord=scene.coord + np.array([500_000.125, 5_400_000.5, 300.0]), strength=strength, extra=extra
    )


def test_ids_names_and_colours_are_one_file(tmp_path: Path) -> None:
    colors = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    scene = make_scene()
    other = replace(scene, class_names=("ground", "wall", "box"))
    labelled(other, class_colors=colors).save(tmp_path)
    table = json.loads((tmp_path / "classes.json").read_text())
    assert [(entry["id"], entry["name"], tuple(entry["color"])) for entry in table["classes"]] == [
        (0, "floor", colors[0]), (1, "wall", colors[1]), (2, "box", colors[2]),
    ]  # fmt: skip
    assert [entry["las"] for entry in table["classes"]] == [2, 6, 64]
    assert table["unlabelled"] == {"id": -1, "name": "unlabelled", "color": [150] * 3, "las": 1, "image_id": 255}
    true = table["true_classes"]
    assert [entry["name"] for entry in true] == ["ground", "wall", "box"] and true[1]["color"] == [0, 255, 0]
    assert true[0]["color"] not in [list(color) for color in colors]
    header = (tmp_path / "labels.ply").read_bytes()[:800]
    assert b"comment label 0 floor" in header and b"comment true_label 0 ground" in header
    replace(labelled(scene), scene=replace(scene, label=None)).save(tmp_path)
    assert "true_classes" not in json.loads((tmp_path / "classes.json").read_text())


def test_labels_are_read_again_with_their_names(tmp_path: Path) -> None:
    prediction = labelled(far_away(make_scene()))
    again = read_capture(prediction.save(tmp_path))
    assert again.class_names == CLASSES
    np.testing.assert_array_equal(again.label, prediction.label)
    np.testing.assert_array_equal(again.coord, prediction.scene.coord)
    np.testing.assert_array_equal(again.extra["true_label"], prediction.scene.label)


def test_a_table_of_classes_of_somebody_else_says_nothing(tmp_path: Path) -> None:
    scene = replace(make_scene(), label=None)
    twice = '{"classes": [{"id": 0, "name": "x"}, {"id": 1, "name": "x"}]}'
    others = ('["floor", "wall"]', '{"classes": ["floor"]}', "no JSON", '{"classes": [{"id": 5, "name": "x"}]}', twice)
    for content in others:
        write_ply(tmp_path / "cloud.ply", dict(zip("xyz", scene.coord.T, strict=True)))
        (tmp_path / "classes.json").write_text(content, encoding="utf-8")
        assert read_capture(tmp_path / "cloud.ply").class_names == ()


def as_cloudcompare_does(path: Path, target: Path) -> None:
    """Read and write a PLY as CloudCompare does: coordinates as float32 around a shift, normals as one of many
    directions, colours as bytes, and what is called scalar or intensity as float32; all else is lost."""
    columns = read_ply(path)
    shift = np.array(
        [-np.round(columns[axis][0] / 1000) * 1000 if abs(columns[axis][0]) > 1e4 else 0 for axis in "xyz"]
    )
    written = {}
    for axis, moved in zip("xyz", shift, strict=True):
        local = (columns.pop(axis).astype(np.float64) + moved).astype(np.float32)
        written[axis] = local.astype(np.float64) - moved if shift.any() else local
    for name in ("red", "green", "blue"):
        written[name] = columns.pop(name).astype(np.uint8)
    for name in ("nx", "ny", "nz"):
        written[name] = columns.pop(name).astype(np.float32) + np.float32(0.0009)
    for name, values in columns.items():
        if "scal" in name or "intensity" in name:
            written[f"scalar_{name.removeprefix('scalar_')}"] = values.astype(np.float32)
    write_ply(target, written, comments=("Created by CloudCompare",))


def by_cloudcompare(path: Path, target: Path) -> None:
    """The same by the program itself."""
    command = [
        "CloudCompare",
        "-SILENT",
        "-AUTO_SAVE",
        "OFF",
        "-O",
        "-GLOBAL_SHIFT",
        "AUTO",
        path,
        "-C_EXPORT_FMT",
        "PLY",
    ]
    command += ["-PLY_EXPORT_FMT", "BINARY_LE", "-SAVE_CLOUDS", "FILE", target]
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    subprocess.run(list(map(str, command)), env=environment, capture_output=True, check=True, timeout=60)


@pytest.mark.parametrize("tool", [as_cloudcompare_does, by_cloudcompare])
@pytest.mark.parametrize("colored", [False, True])
@pytest.mark.parametrize("place", [lambda scene: scene, far_away], ids=["near", "far"])
def test_nothing_is_lost_on_the_way_through_cloudcompare(
    tmp_path: Path, tool: Callable[[Path, Path], None], colored: bool, place: Callable[[Scene], Scene]
) -> None:
    if tool is by_cloudcompare and shutil.which("CloudCompare") is None:
        pytest.skip("CloudCompare is not installed")
    scene = place(make_scene())
    prediction = labelled(scene)
    tool(prediction.save(tmp_path, colored=colored, cloudcompare=True), tmp_path / "again.ply")
    again = read_capture(tmp_path / "again.ply")
    assert again.class_names == CLASSES
    np.testing.assert_array_equal(again.label, prediction.label)
    np.testing.assert_allclose(again.coord, scene.coord, atol=1e-4)
    np.testing.assert_allclose(again.normal, scene.normal, atol=2e-3)
    np.testing.assert_array_equal(again.color, prediction.colors() if colored else scene.color)
    np.testing.assert_array_equal(again.extra["scalar_confidence"], prediction.confidence)
    np.testing.assert_array_equal(again.extra["scalar_true_label"], scene.label)
    if colored:
        kept = np.stack([again.extra[f"scalar_original_{name}"] for name in ("red", "green", "blue")], axis=1)
        np.testing.assert_array_equal(kept, scene.color)
    for name, values in scene.extra.items():
        np.testing.assert_array_equal(again.extra[f"scalar_{name}"], values)
    if scene.strength is not None:
        np.testing.assert_array_equal(again.strength, scene.strength)

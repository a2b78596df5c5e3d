"""What labels are written to, for the tools that open them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cloud_files
import numpy as np
import pytest
from small_world import CLASSES, make_scene

from ditr.captures.capture import read_capture, write_capture
from ditr.errors import InputError
from ditr.inference.by_class import write_by_class
from ditr.inference.labelled_captures import labelled_scene
from ditr.inference.measure import measure
from ditr.inference.prediction import Prediction
from ditr.io.ply import read_ply, write_ply
from ditr.scene import PointPixels, Scene, View


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


def test_what_there_is_of_each_class_is_measured(tmp_path: Path) -> None:
    """A floor of 4 x 3 m and a wall of 4 x 2 m on it, of 400 points per square metre."""
    rng = np.random.default_rng(0)
    floor, wall = rng.uniform((0, 0, 0), (4, 3, 0), (4800, 3)), rng.uniform((0, 3, 0), (4, 3, 2), (3200, 3))
    scene = replace(Scene("corner", np.concatenate([floor, wall])), label=np.repeat([0, 1], [4800, 3200]))
    label = np.where(np.arange(8000) % 100 == 0, -1, np.repeat([0, 1], [4800, 3200])).astype(np.int32)
    prediction = Prediction(scene, label, np.full(8000, 0.5, np.float32), None, CLASSES, 100, (0.0, 0.0, 1.0), 0)
    for voxel in (None, 0.1):
        found = measure(prediction, voxel)
        assert 0.09 < found.voxel < 0.16
        flat, upright, none = found.classes
        assert (flat.name, upright.name, none.name, none.id) == ("floor", "wall", "unlabelled", -1)
        assert flat.points + upright.points + none.points == 8000 and flat.confidence == 0.5
        assert flat.area + upright.area + none.area == pytest.approx(20, rel=0.06)
        assert flat.area == pytest.approx(12 * 0.99, rel=0.06) and upright.area == pytest.approx(8 * 0.99, rel=0.08)
        assert flat.footprint == pytest.approx(12, rel=0.08) and upright.footprint < 1.3
        assert flat.volume == pytest.approx(12 * found.voxel, rel=0.1)
    found.write_csv(tmp_path / "classes.csv")
    with (tmp_path / "classes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["floor", "wall", "unlabelled"]
    assert float(rows[0]["area_m2"]) == pytest.approx(flat.area, abs=1e-3) and rows[0]["voxel_m"] == "0.1"
    with pytest.raises(InputError, match="not a length"):
        measure(prediction, -1.0)


def test_a_map_of_footprints_lies_where_the_points_do(tmp_path: Path) -> None:
    """In the coordinate system that the survey has, in its units; and without one in metres of the capture."""
    scene = far_away(make_scene(points=6000))
    prediction = labelled(scene)
    for crs, name, unit in (
        ({"epsg": 25832}, "urn:ogc:def:crs:EPSG::25832", 1.0),
        ({"wkt": 'PROJCS["x"]', "unit": 0.3048}, 'PROJCS["x"]', 0.3048),
        (None, "LOCAL_CS", 1.0),
    ):
        properties = {} if crs is None else {"crs": crs}
        measure(replace(prediction, scene=replace(scene, properties=properties))).write_geojson(tmp_path / "map.json")
        content = json.loads((tmp_path / "map.json").read_text())
        assert content["crs"]["properties"]["name"].startswith(name)
        assert [each["properties"]["name"] for each in content["features"]] == [*CLASSES, "unlabelled"]
        low, high = scene.coord.min(axis=0)[:2] / unit, scene.coord.max(axis=0)[:2] / unit
        for feature in content["features"]:
            assert feature["geometry"]["type"] == "MultiPolygon"
            for polygon in feature["geometry"]["coordinates"]:
                for ring in polygon:
                    assert ring[0] == ring[-1] and len(ring) >= 5
                    corners = np.array(ring)
                    assert (corners > low - 1 / unit).all() and (corners < high + 1 / unit).all()


def test_a_map_of_a_capture_with_y_up_is_seen_from_above() -> None:
    scene = make_scene(points=6000)
    lying = replace(scene, coord=scene.coord[:, [0, 2, 1]] * (1, 1, -1))
    flat, turned = (
        measure(replace(labelled(each), up=up), 0.2)
        for each, up in ((scene, (0.0, 0.0, 1.0)), (lying, (0.0, 1.0, 0.0)))
    )
    for one, other in zip(flat.classes, turned.classes, strict=True):
        assert other.footprint == pytest.approx(one.footprint, rel=0.15)
        assert other.area == pytest.approx(one.area, rel=0.15)


def test_areas_of_a_room_are_those_of_its_mesh() -> None:
    """Of the parts that the scan saw: it has a point for each so many square metres of the mesh."""
    pytest.importorskip("embreex", reason="Rooms needs embreex")
    from ditr.worlds.rooms import RoomsConfig, build_room, make_room

    config = RoomsConfig(train=1, test=1, views=1, width=32, height=32)
    room, mesh = make_room(config, "train", 0), build_room(config, "train", 0).mesh
    unit = mesh.area.sum() / round(mesh.area.sum() / config.spacing**2)
    assert room.label is not None
    ones = np.ones(len(room), np.float32)
    found = measure(Prediction(room, room.label, ones, None, room.class_names, 100, (0.0, 0.0, 1.0), 0))
    assert sum(each.area for each in found.classes) == pytest.approx(len(room) * unit, rel=0.05)
    for each in found.classes:
        if each.name in ("wall", "floor"):
            assert each.area == pytest.approx(each.points * unit, rel=0.05), each.name


def test_each_class_is_a_file(tmp_path: Path) -> None:
    scene = far_away(make_scene())
    prediction = replace(labelled(scene), class_names=("floor", "wall / tiles", "box"))
    paths = write_by_class(prediction, tmp_path / "parts", colored=True)
    assert [path.name for path in paths] == ["0_floor.ply", "1_wall_tiles.ply", "2_box.ply", "unlabelled.ply"]
    whole = prediction.columns(colored=True)
    for number, path in zip((0, 1, 2, -1), paths, strict=True):
        part = read_ply(path)
        assert list(part) == list(whole)
        for name, values in part.items():
            np.testing.assert_array_equal(values, whole[name][prediction.label == number])


@pytest.mark.parametrize("ending", ["las", "laz"])
def test_each_class_of_a_survey_is_a_survey(tmp_path: Path, ending: str) -> None:
    laspy = pytest.importorskip("laspy")
    cloud_files.write_las(make_scene(points=500), tmp_path / f"survey.{ending}")
    source = laspy.read(tmp_path / f"survey.{ending}")
    prediction = labelled(read_capture(tmp_path / f"survey.{ending}"))
    prediction = labelled(replace(prediction.scene, class_names=CLASSES, label=make_scene(points=500).label))
    paths = write_by_class(prediction, tmp_path / "parts", tmp_path / f"survey.{ending}")
    assert [path.name for path in paths] == [
        f"{name}.{ending}" for name in ("0_floor", "1_wall", "2_box", "unlabelled")
    ]
    for number, las, path in zip((0, 1, 2, -1), (2, 6, 64, 1), paths, strict=True):
        part, rows = laspy.read(path), prediction.label == number
        assert len(part.points) == rows.sum() and (part.header.maxs <= source.header.maxs + 1e-9).all()
        assert set(np.asarray(part.classification)) == {las} and set(np.asarray(part["label"])) == {number}
        for name in ("X", "Y", "Z", "red", "intensity"):
            np.testing.assert_array_equal(part[name], source[name][rows])


def test_a_labelled_scene_is_a_capture_though_views_have_no_pose(tmp_path: Path) -> None:
    scene = make_scene()
    size = (scene.views[0].camera.width, scene.views[0].camera.height)
    stray = View.unposed("stray", size, np.zeros((size[1], size[0], 3), np.uint8), PointPixels.none())
    prediction = labelled(replace(scene, views=(*scene.views, stray)))
    write_capture(labelled_scene(prediction), tmp_path / "scan")
    found = read_capture(tmp_path / "scan")
    assert [view.name for view in found.views] == [view.name for view in scene.views]
    np.testing.assert_array_equal(found.label, prediction.label)

"""Things in a labelled scene: what is one, how large it is, and that it does not matter where the scene lies."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cloud_files
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ditr.captures.capture import read_capture
from ditr.errors import InputError
from ditr.inference.object_files import OBJECT_FILES, write_objects
from ditr.inference.object_notes import object_notes
from ditr.inference.object_rules import EVERY, ObjectRules, plural
from ditr.inference.objects import Objects, find_objects
from ditr.inference.prediction import Prediction
from ditr.inference.results import Outputs, write_results
from ditr.io.ply import read_ply, read_ply_mesh, write_ply
from ditr.scene import Scene

NAMES = ("floor", "chair", "table")


def box_of(size: tuple[float, float, float], middle: tuple[float, float, float], spacing: float = 0.05) -> np.ndarray:
    """Points on the six sides of a box, at random."""
    rng = np.random.default_rng(7)
    x, y, z = size
    count = int(2 * (x * y + y * z + x * z) / spacing**2)
    points = rng.uniform(-0.5, 0.5, (count, 3))
    side = rng.choice(3, count, p=np.array([y * z, x * z, x * y]) / (x * y + y * z + x * z))
    points[np.arange(count), side] = rng.choice([-0.5, 0.5], count)
    return points * size + np.array(middle)


def hall() -> tuple[Scene, np.ndarray]:
    """A floor of 6 x 5 m with three chairs in a row, 0.4 m apart, one table, and a stray speck of chair."""
    rng = np.random.default_rng(3)
    floor = np.column_stack([rng.uniform(0, 6, (12_000, 1)), rng.uniform(0, 5, (12_000, 1)), np.zeros((12_000, 1))])
    chairs = [box_of((0.5, 0.45, 0.9 - 0.1 * number), (1 + 0.9 * number, 1, 0.5)) for number in range(3)]
    table = box_of((1.6, 0.8, 0.7), (3, 3.5, 0.8))
    speck = rng.uniform(0, 0.08, (25, 3)) + np.array([5, 4.5, 1])
    parts = [floor, *chairs, speck, table]
    label = np.repeat([0, 1, 1, 1, 1, 2], [len(part) for part in parts]).astype(np.int32)
    return Scene(name="hall", coord=np.concatenate(parts), views=()), label


def found_in(scene: Scene, label: np.ndarray, rules: ObjectRules | None = None) -> Objects:
    return find_objects(scene, label, NAMES, up=(0, 0, 1), rules=rules)


def test_chairs_are_counted_and_the_floor_is_measured() -> None:
    scene, label = hall()
    found = found_in(scene, label)
    assert found.told()[0] == "3 chairs, 1 table" and found.told()[1] in ("30 m² of floor", "31 m² of floor")
    assert [each.name for each in found.objects] == ["chair"] * 3 + ["table"]
    table = found.objects[3]
    assert table.box.size == pytest.approx((1.6, 0.8, 0.7), abs=0.01) and abs(table.box.yaw) < 1
    assert table.centroid == pytest.approx((3, 3.5, 0.8), abs=0.02) and table.plane is None
    assert table.hull_volume == pytest.approx(1.6 * 0.8 * 0.7, rel=0.02)
    assert table.area == pytest.approx(2 * (1.6 * 0.8 + 1.6 * 0.7 + 0.8 * 0.7), rel=0.25)  # edges in voxels of 0.15 m
    assert table.footprint == pytest.approx(1.6 * 0.8, rel=0.15)
    assert (found.of_point[label == 0] == -1).all() and (found.of_point[label == 2] == 3).all()
    floor, chair, _ = found.classes
    assert not floor.counted and floor.objects == 0 and chair.left_out == 25 and chair.objects == 3
    assert sum(each.area for each in found.objects[:3]) == pytest.approx(chair.area, rel=0.02)
    low, high = found.corners(table).min(axis=0), found.corners(table).max(axis=0)
    assert low == pytest.approx((2.2, 3.1, 0.45), abs=0.02) and high == pytest.approx((3.8, 3.9, 1.15), abs=0.02)


def test_what_is_closer_than_the_gap_is_one_thing() -> None:
    """The chairs are 0.4 m apart; a gap of a class's own holds for no other."""
    scene, label = hall()
    assert found_in(scene, label, ObjectRules(gap={"Chair": 0.45})).told()[0] == "1 chair, 1 table"
    assert found_in(scene, label, ObjectRules(gap={EVERY: 0.45, "chair": 0.2})).told()[0] == "3 chairs, 1 table"
    assert found_in(scene, label, ObjectRules(min_size={"chair": 0.05})).told()[0] == "4 chairs, 1 table"
    assert found_in(scene, label, ObjectRules(min_points={EVERY: 100_000})).told()[0] == "no objects"
    assert found_in(scene, label, ObjectRules(by_area=("chair", "table"))).told()[0] == "no objects"
    assert found_in(scene, label, ObjectRules(counted=("floor",))).told()[0] == "3 chairs, 1 floor, 1 table"


@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    st.tuples(*[st.floats(-1e6, 1e6)] * 3), st.floats(0, 360), st.integers(0, 2**32 - 1)
)  # fmt: skip
def test_where_a_scene_lies_and_how_its_points_are_ordered_changes_nothing(
    offset: tuple[float, float, float], yaw: float, seed: int
) -> None:
    scene, label = hall()
    cos, sin = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    order = np.random.default_rng(seed).permutation(len(label))
    moved = Scene(name="moved", coord=(scene.coord @ turn + np.array(offset))[order], views=())
    before, after = found_in(scene, label), found_in(moved, label[order])
    np.testing.assert_array_equal(after.of_point, before.of_point[order])
    for one, two in zip(before.objects, after.objects, strict=True):
        assert two.box.size == pytest.approx(one.box.size, abs=1e-5)
        assert two.hull_volume == pytest.approx(one.hull_volume, rel=1e-5)
        assert two.centroid == pytest.approx(np.array(one.centroid) @ turn + offset, abs=1e-5)


def test_another_up_turns_boxes_with_it() -> None:
    scene, label = hall()
    lying = Scene(name="lying", coord=scene.coord[:, [0, 2, 1]] * (1, 1, -1), views=())
    found = find_objects(lying, label, NAMES, up=(0, 1, 0))
    assert found.told()[0] == "3 chairs, 1 table"
    assert found.objects[3].box.size == pytest.approx((1.6, 0.8, 0.7), abs=0.01)
    corners = found.corners(found.objects[3])
    assert corners.min(axis=0) == pytest.approx((2.2, 0.45, -3.9), abs=0.02)


@pytest.mark.parametrize("count", [1, 2, 12])
def test_a_scene_of_hardly_anything_has_objects_or_none(count: int) -> None:
    rng = np.random.default_rng(0)
    for coord in (np.zeros((count, 3)), np.arange(count)[:, None] * np.ones(3), rng.normal(size=(count, 3))):
        scene = Scene(name="few", coord=coord, views=())
        for label in (np.full(count, -1), np.zeros(count, int), np.ones(count, int)):
            found = find_objects(scene, label, NAMES, up=(0, 0, 1))
            assert len(found.of_point) == count and all(np.isfinite(each.box.corners()).all() for each in found.objects)
            everything = find_objects(
                scene, label, NAMES, up=(0, 0, 1), rules=ObjectRules(gap={EVERY: 99.0}, min_points={EVERY: 1})
            )
            assert len(everything.objects) == (label[0] == 1)


def test_thousands_of_things_are_found() -> None:
    grid = np.stack(np.meshgrid(np.arange(50.0), np.arange(40.0), [0.0]), axis=-1).reshape(-1, 1, 3)
    cube = np.stack(np.meshgrid(*[np.linspace(0, 0.3, 4)] * 3), axis=-1).reshape(1, -1, 3)
    coord = (grid + cube).reshape(-1, 3)
    found = find_objects(Scene(name="many", coord=coord, views=()), np.ones(len(coord), int), NAMES, up=(0, 0, 1))
    assert found.told() == ["2000 chairs"]
    assert len(np.unique(found.of_point)) == 2000 and found.objects[5].hull_volume == pytest.approx(0.027)


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ({"gap": {"chair": 0.0}}, "chair: 0.0 is not a length"),
        ({"gap": {EVERY: float("nan")}}, "not a length"),
        ({"min_size": {"chair": -1}}, "not a length"),
        ({"min_points": {"chair": 0}}, "Give 1 or more"),
        ({"counted": ("chair",), "by_area": ("Chair",)}, "in only one of the two"),
        ({"gap": {"chiar": 0.1}}, "Did you mean 'chair'"),
        ({"by_area": ("sofa",)}, "Name one of floor, chair, table"),
    ],
)
def test_rules_that_mean_nothing_are_refused(rules: dict, text: str) -> None:
    scene, label = hall()
    with pytest.raises(InputError, match=text):
        found_in(scene, label, ObjectRules(**rules))


def test_labels_of_something_else_are_refused() -> None:
    scene, label = hall()
    for wrong, text in ((label[1:], "shape"), (label + 1, "there are 3 classes"), (label - 2, "from -2")):
        with pytest.raises(InputError, match=text):
            found_in(scene, wrong)


def test_names_are_said_as_readers_say_them() -> None:
    said = {name: plural(name, 2) for name in ("chair", "Bus", "bookshelf", "person", "Signs", "couch", "glass bottle")}
    assert list(said.values()) == [
        "2 chairs", "2 buses", "2 bookshelves", "2 people", "2 Signs", "2 couches", "2 glass bottles",
    ]  # fmt: skip
    assert plural("chair", 1) == "1 chair" and plural("traffic_cone", 3) == "3 traffic_cones"
    assert plural("椅子", 3) == "3 椅子" and plural("city", 2) == "2 cities" and plural("toy", 2) == "2 toys"


def test_walls_and_roads_are_no_things_however_they_are_written() -> None:
    rules = ObjectRules()
    for name in ("Wall", "driveable_surface", "Lane Line Marking", "other-ground", "SIDEWALK", "low_vegetation"):
        assert not rules.is_counted(name)
    for name in ("chair", "Car", "traffic-sign", "tree", "pole", "my own thing"):
        assert rules.is_counted(name)


def on_the_earth(scene: Scene) -> Scene:
    """The scene in a coordinate system whose unit is a foot."""
    crs = {"epsg": 2263, "unit": 0.3048006}
    return replace(scene, coord=scene.coord + np.array([300_000.0, 60_000.0, 10.0]), properties={"crs": crs})


def test_files_say_the_same_in_tables_maps_boxes_and_numbers(tmp_path: Path) -> None:
    scene, label = hall()
    found = found_in(on_the_earth(scene), label)
    write_objects(found, tmp_path, len(NAMES), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))
    assert {path.name for path in tmp_path.iterdir()} == set(OBJECT_FILES)
    with (tmp_path / "objects.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["chair"] * 3 + ["table"] and rows[3]["flat"] == "False"
    assert float(rows[3]["x"]) == pytest.approx(300_003, abs=0.03) and float(rows[3]["length_m"]) == pytest.approx(
        1.6, abs=0.01
    )
    with (tmp_path / "objects_by_class.csv").open(encoding="utf-8", newline="") as file:
        floor, chair, _ = csv.DictReader(file)
    assert floor["objects"] == floor["gap_m"] == "" and chair["objects"] == "3" and chair["points_left_out"] == "25"
    content = json.loads((tmp_path / "objects.geojson").read_text(encoding="utf-8"))
    assert content["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::2263"
    assert [feature["id"] for feature in content["features"]] == [0, 1, 2, 3]
    ring = np.array(content["features"][3]["geometry"]["coordinates"][0][0])
    assert (ring[0] == ring[-1]).all() and ring.mean(axis=0) == pytest.approx(
        (300_003 / 0.3048006, 60_003.5 / 0.3048006), abs=1
    )
    np.testing.assert_array_equal(np.load(tmp_path / "object.npy", allow_pickle=False), found.of_point)
    columns, faces = read_ply_mesh(tmp_path / "boxes.ply")
    assert faces.max() == len(columns["x"]) - 1 and len(faces) == 4 * 12 * 12
    of_table = columns["object"] == 3
    assert np.ptp(columns["x"][of_table]) == pytest.approx(1.6, abs=0.03)
    assert set(columns["red"][of_table].tolist()) == {7} and set(columns["red"][~of_table].tolist()) == {4}
    assert enclosed(columns, faces[:12]) > 0


def enclosed(columns: dict[str, np.ndarray], faces: np.ndarray) -> float:
    """The volume inside triangles, positive where they are counterclockwise from outside."""
    corner = np.column_stack([columns[axis] for axis in "xyz"])[faces]
    corner = corner - corner.mean(axis=(0, 1))
    return float(np.einsum("ij,ij->", corner[:, 0], np.cross(corner[:, 1], corner[:, 2]))) / 6


def test_no_objects_are_files_too(tmp_path: Path) -> None:
    scene, label = hall()
    write_objects(found_in(scene, np.full_like(label, -1)), tmp_path, len(NAMES))
    assert (tmp_path / "objects.csv").read_text(encoding="utf-8").startswith("id,class_id,class")
    assert json.loads((tmp_path / "objects.geojson").read_text(encoding="utf-8"))["features"] == []
    assert len(read_ply_mesh(tmp_path / "boxes.ply")[1]) == 0
    assert (np.load(tmp_path / "object.npy", allow_pickle=False) == -1).all()


@pytest.mark.parametrize("kind", ["las", "ply"])
def test_points_keep_the_number_of_their_thing_beside_their_label(kind: str, tmp_path: Path) -> None:
    scene, label = hall()
    scene = replace(scene, class_names=NAMES, label=label, color=np.zeros((len(label), 3), np.uint8))
    prediction = Prediction(scene, label, np.ones(len(label), np.float32), None, NAMES, 9, (0.0, 0.0, 1.0), 0)
    source = tmp_path / f"scan.{kind}"
    if kind == "las":
        cloud_files.write_las(scene, source)
    else:
        write_ply(source, dict(zip("xyz", scene.coord.T, strict=True)))
    outputs = Outputs(pictures=False, objects=ObjectRules(), split_classes=True)
    (tmp_path / "out").mkdir()
    found = write_results(prediction, tmp_path / "out", outputs, source)
    assert found is not None and len(found.objects) == 4
    np.testing.assert_array_equal(read_ply(tmp_path / "out" / "labels.ply")["object"], found.of_point)
    assert json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["objects"] == 4
    if kind == "las":
        again = read_capture(tmp_path / "out" / "labels.las")
        np.testing.assert_array_equal(again.extra["object"], found.of_point)


def test_counts_are_told_with_their_confidence_where_it_is_known(tmp_path: Path) -> None:
    scene, label = hall()
    sure = np.where(label == 0, 0.9, np.where(label == 1, 0.5, 0.25))
    found = find_objects(scene, label, NAMES, up=(0, 0, 1), confidence=sure)
    assert found.told()[0] == "3 chairs (confidence 0.50), 1 table (confidence 0.25)"
    assert found.told()[1].endswith("m² of floor (confidence 0.90)")
    write_objects(found, tmp_path, len(NAMES))
    for name, values in (("objects.csv", ["0.5"] * 3 + ["0.25"]), ("objects_by_class.csv", ["0.9", "0.5", "0.25"])):
        with (tmp_path / name).open(encoding="utf-8", newline="") as file:
            assert [row["mean_confidence"] for row in csv.DictReader(file)] == values
    write_objects(found_in(scene, label), tmp_path, len(NAMES))
    for name in ("objects.csv", "objects_by_class.csv"):
        with (tmp_path / name).open(encoding="utf-8", newline="") as file:
            assert {row["mean_confidence"] for row in csv.DictReader(file)} == {""}


def test_notes_tell_what_is_left_out_and_what_is_doubtful() -> None:
    scene, label = hall()
    (left,) = object_notes(found_in(scene, label))
    assert left.startswith("25 points of counted classes (less than 1%)") and left.endswith("25 of chair")
    assert object_notes(found_in(scene, np.zeros_like(label))) == []
    # A chair that is as long as the hall, of a label that a third of the floor got.
    wrong = np.where((label == 0) & (scene.coord[:, 1] < 1.7), 1, label)
    *_, doubt = object_notes(found_in(scene, wrong))
    assert doubt.startswith("object 0, chair, is 6.0 x 1.7 x ") and "100% of the length" in doubt
    # One thing that is all there is.
    alone = np.ones_like(label)
    assert not any("perhaps several" in note for note in object_notes(found_in(scene, alone)))


def test_one_of_many_that_is_far_longer_than_the_others_is_doubtful() -> None:
    rng = np.random.default_rng(0)
    small = [box_of((0.4, 0.4, 0.4), (at, 2, 0.2)) for at in range(1, 8)]
    floor = np.column_stack([rng.uniform(0, 12, (9_000, 2)), np.zeros(9_000)])
    coord = np.concatenate([floor, *small, box_of((3, 0.4, 0.4), (4, 5, 0.2))])
    label = (np.arange(len(coord)) >= len(floor)).astype(np.int32)
    found = find_objects(Scene("many", coord), label, NAMES, up=(0, 0, 1), rules=ObjectRules(min_size={EVERY: 0.1}))
    assert len(found.objects) == 8
    assert [note.partition(", is")[0] for note in object_notes(found)] == ["object 0, chair"]


def test_the_report_has_the_counts_and_links_the_tables(tmp_path: Path) -> None:
    scene, label = hall()
    ones = np.full(len(label), 0.5, np.float32)
    names = ("floor", "chair <b>", "table")
    prediction = Prediction(scene, label, ones, None, names, 9, (0.0, 0.0, 1.0), 0)
    for objects in (ObjectRules(), None):
        write_results(prediction, tmp_path, Outputs(pictures=False, objects=objects, report=True))
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert ("Points left out" in page) == (objects is not None) == ('href="objects_by_class.csv"' in page)
        assert "<b>" not in page.partition("Points left out")[2].partition("</table>")[0]
    assert "25 points of counted classes" not in page

"""Labels that were painted elsewhere find their points again: moved, parted, joined, sorted again, renamed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cloud_files import mutants, write_las
from numpy.typing import NDArray
from small_world import make_scene

from ditr.captures.capture import read_capture, write_capture
from ditr.captures.las_labels import write_las_labels
from ditr.cli import execute
from ditr.errors import Grade, InputError
from ditr.inference.prediction import Prediction
from ditr.io.ply import read_ply, write_ply
from ditr.labelling.annotations.palette import read_palette
from ditr.labelling.painted import read_painted
from ditr.scene import ReadOptions, Scene

NAMES = ("floor", "wall", "box")
FAR = np.array([691_000.0, 5_337_000.0, 500.0])
Columns = dict[str, NDArray[np.generic]]


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Far from the origin, as surveys are; two points of it at one place."""
    made = make_scene(points=900)
    coord = made.coord + FAR
    coord[1] = coord[0]
    return replace(made, coord=coord, label=None, class_names=())


@pytest.fixture(scope="module")
def label(scene: Scene) -> NDArray[np.int32]:
    return np.random.default_rng(3).integers(-1, 3, len(scene)).astype(np.int32)


@pytest.fixture
def results(scene: Scene, label: NDArray[np.int32], tmp_path: Path) -> Path:
    """What ditr writes, as CloudCompare names it."""
    sure = np.ones(len(scene), np.float32)
    prediction = Prediction(scene, label, sure, None, NAMES, 9, (0.0, 0.0, 1.0), 0)
    prediction.save(tmp_path / "results", cloudcompare=True)
    return tmp_path / "results"


def saved(results: Path, columns: Columns, name: str = "painted.ply") -> Path:
    write_ply(results / name, columns)
    return results / name


def stored(results: Path) -> Columns:
    """As CloudCompare saves: scalars are float."""
    columns: Columns = dict(read_ply(results / "labels.ply"))
    return {n: v.astype(np.float32) if n.startswith("scalar_") else v for n, v in columns.items()}


def test_a_round_trip_is_exact(scene: Scene, label: NDArray[np.int32], results: Path) -> None:
    found = read_painted(scene, saved(results, stored(results)))
    np.testing.assert_array_equal(found.label, label)
    assert found.class_names == NAMES and (found.confidence == (label >= 0)).all()
    for name in ("labels.ply", "label.npy"):
        np.testing.assert_array_equal(read_painted(scene, results / name).label, label)


def test_points_may_be_sorted_anew_cut_out_joined_and_rounded(
    scene: Scene, label: NDArray[np.int32], results: Path
) -> None:
    rng = np.random.default_rng(0)
    columns = stored(results)
    distinct = np.ones(len(scene), bool)
    distinct[:2] = False  # of two points of one place nothing tells which is which
    order = rng.permutation(len(scene))
    found = read_painted(scene, saved(results, {name: values[order] for name, values in columns.items()}))
    np.testing.assert_array_equal(found.label[distinct], label[distinct])
    part = order[:300]
    found = read_painted(scene, saved(results, {name: values[part] for name, values in columns.items()}))
    inside = np.isin(np.arange(len(scene)), part) & distinct
    np.testing.assert_array_equal(found.label[inside], label[inside])
    assert (found.label[~inside & distinct] == -1).all()
    assert any("66.7% of the capture's points are not in the file" in finding.text for finding in found.findings)
    joined = {name: np.concatenate([values, values[order]]) for name, values in columns.items()}
    joined["x"] = np.concatenate([columns["x"], columns["x"][order] + 1000.0])
    found = read_painted(scene, saved(results, joined))
    np.testing.assert_array_equal(found.label[distinct], label[distinct])
    assert any("900 of the file's 1800 points are not in the capture" in finding.text for finding in found.findings)
    for axis in "xyz":
        columns[axis] = np.round(np.asarray(columns[axis], np.float64), 4)
    np.testing.assert_array_equal(read_painted(scene, saved(results, columns)).label, label)


def test_points_of_one_place_with_several_labels_are_counted(
    scene: Scene, label: NDArray[np.int32], results: Path
) -> None:
    columns = stored(results)
    twice = {name: np.concatenate([values, values]) for name, values in columns.items()}
    again = (label + 2) % 3
    twice["scalar_label"] = np.concatenate([np.where(label < 0, np.nan, label), again]).astype(np.float32)
    found = read_painted(scene, saved(results, twice))
    assert found.figures["matched"]["conflicts"] >= (label >= 0).sum() - 2
    # What has a label in one of the clouds alone has that one.
    np.testing.assert_array_equal(found.label[2:][label[2:] < 0], again[2:][label[2:] < 0])


@pytest.mark.parametrize("shift", [(691_000, 5_337_000, 0), (690_990, 5_337_040, 500), (690_987.25, 5_337_001.5, 1.0)])
def test_a_forgotten_shift_is_found_and_said(
    scene: Scene, label: NDArray[np.int32], results: Path, shift: tuple[float, float, float]
) -> None:
    rng = np.random.default_rng(0)
    columns = stored(results)
    for axis, value in zip("xyz", shift, strict=True):
        columns[axis] = (np.asarray(columns[axis], np.float64) - value).astype(np.float32)
    found = read_painted(scene, saved(results, columns))
    np.testing.assert_array_equal(found.label, label)
    told = next(finding for finding in found.findings if finding.about == "shift")
    assert told.grade is Grade.WARNED and f"{shift[0]:.10g}"[:6] in told.text
    if shift[0] == 691_000:  # a rounded one is found for a part of the points, too
        part = rng.permutation(len(scene))[:200]
        found = read_painted(scene, saved(results, {name: values[part] for name, values in columns.items()}))
        np.testing.assert_array_equal(np.sort(found.label[found.label >= 0]), np.sort(label[part][label[part] >= 0]))


def test_other_clouds_are_refused(scene: Scene, results: Path) -> None:
    other = {name: values for name, values in stored(results).items() if name in ("scalar_label",)}
    coord = np.random.default_rng(9).uniform(0, 4, (len(scene), 3))
    with pytest.raises(InputError, match="of its points match points of the capture"):
        read_painted(scene, saved(results, {**dict(zip("xyz", coord.T, strict=True)), **other}))
    with pytest.raises(InputError, match="900 labels, but the capture has 400 points"):
        read_painted(make_scene(), results / "label.npy")


def test_columns_are_found_by_their_names(scene: Scene, label: NDArray[np.int32], results: Path) -> None:
    columns = stored(results)
    painted = columns.pop("scalar_label")
    columns.pop("scalar_confidence")
    for name in ("scalar_Classification", "scalar_Scalar_field", "scalar_my_labels", "Label"):
        found = read_painted(scene, saved(results, {**columns, name: painted}))
        np.testing.assert_array_equal(found.label, label, err_msg=name)
    more = {**columns, "scalar_Scalar_field": painted, "scalar_Constant": np.ones_like(painted)}
    with pytest.raises(InputError, match="several may be labels: scalar_Scalar_field, scalar_Constant"):
        read_painted(scene, saved(results, more))
    assert (read_painted(scene, saved(results, more), column="Constant").label == 1).all()
    with pytest.raises(InputError, match="Did you mean 'scalar_Constant'"):
        read_painted(scene, saved(results, more), column="scalar_constan")
    with pytest.raises(InputError, match="none is called label"):
        read_painted(scene, saved(results, columns))
    with pytest.raises(InputError, match="not whole numbers; perhaps labels were averaged"):
        read_painted(scene, saved(results, {**columns, "label": painted + np.float32(0.25)}))
    with pytest.raises(InputError, match="numbers 7, which are not in"):
        read_painted(scene, saved(results, {**columns, "label": np.where(label == 2, 7, label).astype(np.int32)}))
    both = {**columns, "label": painted, "class": np.where(label == 2, 0, label).astype(np.int32)}
    with pytest.raises(InputError, match="label and class are both labels, and differ at"):
        read_painted(scene, saved(results, both))


def test_names_come_from_an_option_or_the_capture(scene: Scene, label: NDArray[np.int32], results: Path) -> None:
    path = saved(results, stored(results))
    (results / "classes.json").unlink()
    with pytest.raises(InputError, match="nothing says what the numbers of scalar_label mean"):
        read_painted(scene, path)
    found = read_painted(scene, path, read_palette("a,b,background"))
    assert found.class_names == ("a", "b")
    np.testing.assert_array_equal(found.label, np.where(label == 2, -1, label))
    own = replace(scene, label=label, class_names=("one", "two", "three"))
    assert read_painted(own, path).class_names == ("one", "two", "three")


def test_text_that_cloudcompare_writes(scene: Scene, label: NDArray[np.int32], results: Path) -> None:
    rows = np.column_stack([scene.coord, label])
    np.savetxt(results / "a.txt", rows, fmt=["%.4f"] * 3 + ["%.1f"], header="X Y Z Label", comments="//")
    np.testing.assert_array_equal(read_painted(scene, results / "a.txt").label, label)
    np.savetxt(results / "a.csv", rows, "%.4f", ",", header="//X,Y,Z,Classification", comments="")
    np.testing.assert_array_equal(read_painted(scene, results / "a.csv").label, label)


def test_classifications_of_las(scene: Scene, label: NDArray[np.int32], results: Path) -> None:
    pytest.importorskip("laspy")
    import laspy

    source = results.parent / "source.las"
    write_las(replace(scene, label=label, class_names=NAMES), source)
    # Of LAS files coordinates are rounded; those of the capture are.
    there = read_capture(source)
    sure = np.ones(len(scene), np.float32)
    write_las_labels(source, results / "labels.las", label, sure, NAMES)
    np.testing.assert_array_equal(read_painted(there, results / "labels.las").label, label)
    las = laspy.read(results / "labels.las")
    las["classification"] = np.where(label == 1, np.uint8(2), las["classification"])  # walls were painted as floor
    las.write(results / "painted.las")
    with pytest.raises(InputError, match="--column classification"):
        read_painted(there, results / "painted.las")
    found = read_painted(there, results / "painted.las", column="classification")
    np.testing.assert_array_equal(found.label, np.where(label == 1, 0, label))
    plain = results.parent / "plain"
    plain.mkdir()
    las.remove_extra_dims(["label", "confidence"])
    las.write(plain / "painted.las")
    found = read_painted(there, plain / "painted.las")
    names = np.array([*found.class_names, "none"])[found.label]
    assert (
        set(names[label == 0]) == {"ground"}
        and set(names[label == 2]) == {"box"}
        and (names[label < 0] == "none").all()
    )


def test_labels_of_semantic_kitti(scene: Scene, tmp_path: Path) -> None:
    raw = np.resize(np.array([0, 1, 10, 252, 40 | 7 << 16], np.uint32), len(scene))
    raw.astype("<u4").tofile(tmp_path / "000000.label")
    found = read_painted(scene, tmp_path / "000000.label")
    names = [found.class_names[number] if number >= 0 else "" for number in found.label[:5]]
    assert names == ["", "", "car", "car", "road"]


def test_a_file_in_the_unit_of_its_source(scene: Scene, label: NDArray[np.int32], results: Path) -> None:
    columns = stored(results)
    for axis in "xyz":
        columns[axis] = np.asarray(columns[axis], np.float64) * 1000
    found = read_painted(scene, saved(results, columns), reading=ReadOptions(unit=0.001))
    np.testing.assert_array_equal(found.label, label)


def test_from_the_command_and_back(tmp_path: Path) -> None:
    scene = make_scene(points=300)
    write_capture(scene, tmp_path / "scan", image_format="png")
    common = ["label", str(tmp_path / "scan"), "--no-pictures"]
    columns = dict(read_ply(tmp_path / "scan" / "points.ply"))
    columns["label"] = np.where(columns["label"] == 2, 1, columns["label"]).astype(np.float32)
    (tmp_path / "painted").mkdir()
    write_ply(tmp_path / "painted" / "p.ply", columns)
    given = ["--from-cloud", str(tmp_path / "painted" / "p.ply"), "--out", str(tmp_path / "out")]
    execute([*common, *given, "--capture", str(tmp_path / "labelled")])
    labelled = read_capture(tmp_path / "labelled")
    np.testing.assert_array_equal(labelled.label, columns["label"].astype(np.int32))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["made"]["by"] == "a painted cloud" and summary["made"]["matched"]["share_of_points"] == 1.0
    with pytest.raises(InputError, match="label images have no columns"):
        execute([*common, "--from-images", str(tmp_path), "--column", "label"])


def test_damaged_clouds_are_read_or_refused(scene: Scene, results: Path) -> None:
    sound = saved(results, stored(results)).read_bytes()
    refused = 0
    for number, data in enumerate(mutants(sound, 50)):
        path = results / f"{number}.ply"
        path.write_bytes(data)
        try:
            read_painted(scene, path)
        except InputError:
            refused += 1
    assert refused > 5

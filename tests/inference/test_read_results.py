"""What is written of a scene's labels is read again, and what is damaged or missing is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_world import make_scene

from ditr.errors import InputError
from ditr.inference.prediction import Prediction
from ditr.inference.read_results import read_features, read_labels
from ditr.io.ply import read_ply, write_ply
from ditr.scene import ReadOptions, Scene
from ditr.viewer.subject import read_subject

COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def written(folder: Path, *, colored: bool = False, cloudcompare: bool = False) -> Prediction:
    scene = make_scene(points=300)
    scene = replace(scene, strength=np.linspace(0, 1, len(scene), dtype=np.float32))
    label = (np.arange(len(scene)) % 4 - 1).astype(np.int32)
    sure = np.linspace(0, 1, len(scene), dtype=np.float32)
    up = (0.0, 0.0, 1.0)
    prediction = Prediction(scene, label, sure, None, ("a", "b", "c"), 9, up, 0, class_colors=COLORS)
    prediction.save(folder, colored=colored, cloudcompare=cloudcompare)
    return prediction


def same(one: Scene, other: Scene) -> None:
    for name in ("coord", "color", "normal", "strength", "label"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.class_names == other.class_names and not one.extra


@pytest.mark.parametrize("colored", [False, True])
@pytest.mark.parametrize("cloudcompare", [False, True])
def test_labels_are_read_as_they_were_written(tmp_path: Path, colored: bool, cloudcompare: bool) -> None:
    prediction = written(tmp_path / "one", colored=colored, cloudcompare=cloudcompare)
    found = read_labels(tmp_path / "one", ReadOptions(up=(0, 1, 0)))
    same(found.scene, prediction.scene)
    np.testing.assert_array_equal(found.label, prediction.label)
    np.testing.assert_array_equal(found.confidence, prediction.confidence)
    assert (found.class_names, found.class_colors, found.scene.name) == (("a", "b", "c"), COLORS, "one")
    assert found.scene.up is not None and found.scene.up.tolist() == [0, 1, 0]
    subject = read_subject(tmp_path / "one", ReadOptions())
    same(subject.scene, prediction.scene)
    assert subject.class_colors is not None and subject.class_colors.tolist() == [list(color) for color in COLORS]


def test_a_class_list_without_colours_is_enough(tmp_path: Path) -> None:
    prediction = written(tmp_path)
    classes = [{"id": number, "name": name} for number, name in enumerate("abc")]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": classes}))
    found = read_labels(tmp_path)
    assert found.class_colors is None and found.class_names == ("a", "b", "c")
    np.testing.assert_array_equal(found.scene.label, prediction.scene.label)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "there is no such file"),
        ("[]", "not a list of classes"),
        ("{", "it is not JSON"),
        ('{"classes": [1]}', "not a list of classes"),
        ('{"classes": []}', "do not have the ids"),
        ('{"classes": [{"id": 1, "name": "a"}]}', "do not have the ids"),
        ('{"classes": [{"id": 0, "name": "a"}]}', r"outside the class list"),
    ],
)
def test_a_damaged_class_list_is_named(tmp_path: Path, content: str | None, fault: str) -> None:
    written(tmp_path)
    (tmp_path / "classes.json").unlink()
    if content is not None:
        (tmp_path / "classes.json").write_text(content)
    with pytest.raises(InputError, match=fault) as told:
        read_labels(tmp_path)
    assert told.value.where.endswith("labels.ply" if "outside" in fault else "classes.json")


def test_a_damaged_cloud_is_named(tmp_path: Path) -> None:
    written(tmp_path)
    columns = read_ply(tmp_path / "labels.ply")
    for damage, fault in (
        ({name: values for name, values in columns.items() if name != "label"}, "it has no labels"),
        ({name: values for name, values in columns.items() if name != "y"}, "no property y"),
        (columns | {"label": columns["label"] + np.float32(0.5)}, "outside the class list"),
        (columns | {"true_label": columns["label"] + 3}, "outside the class list"),
        (columns | {"x": np.full_like(columns["x"], np.nan)}, "are not finite"),
    ):
        write_ply(tmp_path / "labels.ply", damage)
        with pytest.raises(InputError, match=fault) as told:
            read_labels(tmp_path)
        assert told.value.where == str(tmp_path / "labels.ply")


def test_points_of_results_are_not_moved_again(tmp_path: Path) -> None:
    """They were scaled when they were labelled; the capture beside them may need it again."""
    written(tmp_path)
    with pytest.raises(InputError, match="in metres and in the axes of their capture already"):
        read_subject(tmp_path, ReadOptions(unit=0.001))


def test_features_are_colours_and_not_those_of_the_points(tmp_path: Path) -> None:
    scene, rgb = make_scene(points=50), ("red", "green", "blue")
    columns = dict(zip("xyz", scene.coord.T, strict=True)) | {name: np.arange(50, dtype=np.uint8) for name in rgb}
    write_ply(tmp_path / "features.ply", columns | {"views": np.ones(50, np.int32)})
    found = read_features(tmp_path)
    assert found.color is not None and found.color[7].tolist() == [7, 7, 7] and found.scene.color is None
    subject = read_subject(tmp_path, ReadOptions())
    np.testing.assert_array_equal(subject.features, found.color)
    written(tmp_path / "other")
    with pytest.raises(InputError, match="its 50 points are not the 300 points"):
        read_subject(tmp_path, ReadOptions(), tmp_path / "other" / "labels.ply")


def test_up_and_coordinate_system_are_those_of_the_labels(tmp_path: Path) -> None:
    prediction = written(tmp_path / "one")
    crs = {"wkt": 'PROJCS["x"]', "unit": 0.3048, "geo_keys": [[1024, 1]]}
    scene = replace(prediction.scene, properties={"crs": crs})
    up = (0.1, -0.9, -1 / 3)
    replace(prediction, scene=scene, up=up).save(tmp_path / "one")
    found = read_labels(tmp_path / "one").scene
    assert found.up is not None and tuple(found.up) == up and found.properties["crs"] == crs
    told = read_labels(tmp_path / "one", ReadOptions(up=(0, 1, 0))).scene
    assert told.up is not None and told.up.tolist() == [0, 1, 0]
    summary = tmp_path / "one" / "summary.json"
    content = json.loads(summary.read_text(encoding="utf-8"))
    for damage in ({"crs": 4}, {"crs": {"unit": "m"}}, {"crs": {"unit": 0}}, {"up": [0, 0, 0]}, {"up": "z"}):
        summary.write_text(json.dumps({**content, **damage}), encoding="utf-8")
        with pytest.raises(InputError, match=r"summary.json: its (crs|up) is not"):
            read_labels(tmp_path / "one")
    summary.write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="no JSON object"):
        read_labels(tmp_path / "one")
    summary.unlink()
    assert read_labels(tmp_path / "one").scene.up is None

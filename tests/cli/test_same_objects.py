"""The same labels and points give the same objects, whichever command finds them: the one that labels, ``ditr objects``
and the viewer; and what a folder of results says of its objects never contradicts itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cloud_files
import numpy as np
import pytest
from golden import SHARED
from small_world import CLASSES, make_scene

from ditr.captures.capture import read_capture, write_capture
from ditr.cli import execute
from ditr.errors import InputError
from ditr.geometry.orientation import rotation_to_z
from ditr.inference.object_files import OBJECT_FILES, write_objects
from ditr.inference.objects import find_objects
from ditr.inference.read_results import read_labels
from ditr.io.ply import read_comments, read_ply
from ditr.labelling.clicks import Action, Clicks, write_clicks
from ditr.scene import ReadOptions, Scene
from ditr.viewer.subject import read_subject

KITCHEN = SHARED / "captures" / "sevenscenes_redkitchen"
UP = (0.1, -0.95, -0.3)
COARSE = ("--object-gap", "0.5", "--object-min-points", "1", "--object-min-size", "0")


def leaning(scene: Scene) -> Scene:
    """The scene as a depth camera has it: noisy points that are denser than their noise, and an up that is no axis."""
    noisy = scene.coord + np.random.default_rng(0).normal(0, 0.02, scene.coord.shape)
    return replace(scene, coord=(noisy @ rotation_to_z(np.array(UP))).astype(np.float32).astype(np.float64))


def labelled(folder: Path, source: Path, scene: Scene, *options: str) -> Path:
    """The results that `ditr label --objects` writes of a capture, from three clicks for each class."""
    assert scene.label is not None
    points = [int(np.flatnonzero(scene.label == number)[at]) for number in range(3) for at in (0, 50, 100)]
    actions = tuple(Action(CLASSES[scene.label[point]], "point", point=point) for point in points)
    write_clicks(folder / "clicks.json", Clicks({}, CLASSES, actions))
    label = ["label", str(source), "--clicks", str(folder / "clicks.json"), "--out", str(folder / "out")]
    execute([*label, "--encoder", "none", "--no-pictures", "--no-report", "--force", "--objects", *options])
    return folder / "out"


def files_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OBJECT_FILES}


def written_by_the_viewer(results: Path, capture: Path | None, folder: Path) -> dict[str, bytes]:
    """What its tab of objects finds: it asks with the scene and the labels that the page shows, and nothing else."""
    subject = read_subject(results, ReadOptions(), capture)
    assert subject.label is not None
    found = find_objects(subject.scene, subject.label, subject.class_names, confidence=subject.confidence)
    folder.mkdir()
    write_objects(replace(found, scene=read_labels(results).scene.name), folder, len(subject.class_names))
    return files_of(folder)


def objects_in(path: Path, column: str) -> np.ndarray:
    if path.suffix == ".ply":
        return read_ply(path)[column]
    import laspy

    return np.asarray(laspy.read(path)[column])


def test_three_ways_find_the_same_objects_to_the_bit(tmp_path: Path) -> None:
    scene = leaning(make_scene(points=9000, views=0))
    write_capture(replace(scene, label=None, class_names=()), tmp_path / "scan")
    out = labelled(tmp_path, tmp_path / "scan", scene, f"--up={','.join(map(str, UP))}")
    first = files_of(out)
    execute(["objects", str(out), "--out", str(tmp_path / "again")])
    again = files_of(tmp_path / "again")
    for name in OBJECT_FILES:
        assert again[name].replace(b'"name":"out"', b"") == first[name].replace(b'"name":"scan"', b""), name
    assert written_by_the_viewer(out, None, tmp_path / "alone") == again
    assert written_by_the_viewer(out, tmp_path / "scan", tmp_path / "beside") == again
    # Another up, and none at all, are other boxes.
    execute(["objects", str(out), "--out", str(tmp_path / "lying"), "--up", "z"])
    assert files_of(tmp_path / "lying")["objects.csv"] != again["objects.csv"]


@pytest.mark.slow
@pytest.mark.skipif(not KITCHEN.exists(), reason="needs shared/captures/sevenscenes_redkitchen")
def test_three_ways_find_the_same_objects_in_a_kitchen(tmp_path: Path) -> None:
    """Of a depth camera; its up is found, and is no axis."""
    places = {"floor": (119, 337), "table": (422, 230), "cabinet": (330, 60)}
    clicks = tuple(Action(name, "pixel", view="frame-000000.jpg", pixels=(at,)) for name, at in places.items())
    write_clicks(tmp_path / "clicks.json", Clicks({}, tuple(places), clicks))
    label = ["label", str(KITCHEN), "--clicks", str(tmp_path / "clicks.json"), "--out", str(tmp_path / "out")]
    execute([*label, "--encoder", "none", "--no-pictures", "--no-report", "--objects"])
    execute(["objects", str(tmp_path / "out"), "--out", str(tmp_path / "again")])
    again = files_of(tmp_path / "again")
    for name in set(OBJECT_FILES) - {"objects.geojson"}:  # which has the name of the scene
        assert again[name] == (tmp_path / "out" / name).read_bytes(), name
    assert written_by_the_viewer(tmp_path / "out", KITCHEN, tmp_path / "beside") == again


def test_an_up_that_nothing_tells_is_estimated_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_capture(make_scene(points=900, views=0), tmp_path / "scan")
    out = labelled(tmp_path, tmp_path / "scan", make_scene(points=900, views=0))
    execute(["objects", str(out), "--overwrite"])
    assert "nothing says which direction is up" not in capsys.readouterr().out
    content = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    (out / "summary.json").unlink()
    execute(["objects", str(out), "--overwrite"])
    assert "estimated from the points: (0.00, 0.00, 1.00)" in capsys.readouterr().out
    for wrong in ([0, 0, 0], "up", [1, 2], {"x": 1}):
        (out / "summary.json").write_text(json.dumps({**content, "up": wrong}), encoding="utf-8")
        with pytest.raises(InputError, match=r"summary.json: its up is not a direction"):
            execute(["objects", str(out), "--overwrite"])


@pytest.mark.parametrize("kind", ["ply", "cloudcompare", "las", "laz"])
def test_numbers_of_objects_are_the_same_in_all_files_of_a_folder(kind: str, tmp_path: Path) -> None:
    scene = make_scene(points=3000, views=0)
    if kind in ("las", "laz"):
        pytest.importorskip("laspy")
        source = tmp_path / f"scan.{kind}"
        cloud_files.write_las(scene, source)
    else:
        source = tmp_path / "scan"
        write_capture(scene, source)
    options = ["--split-classes", *(["--cloudcompare"] if kind == "cloudcompare" else [])]
    out = labelled(tmp_path, source, scene, *options)
    before, comments = np.load(out / "object.npy", allow_pickle=False), read_comments(out / "labels.ply")
    columns = read_ply(out / "labels.ply")
    execute(["objects", str(out), "--overwrite", "--object-count", *CLASSES, *COARSE])
    of_point = np.load(out / "object.npy", allow_pickle=False)
    assert (of_point != before).any()
    name = "scalar_object" if kind == "cloudcompare" else "object"
    after = read_ply(out / "labels.ply")
    np.testing.assert_array_equal(after[name], of_point)
    assert list(after) == list(columns) and read_comments(out / "labels.ply") == comments and comments
    for other in set(columns) - {name}:
        np.testing.assert_array_equal(after[other], columns[other])
    content = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert content["objects"] == of_point.max() + 1 and content["points"] == len(scene)
    label = np.load(out / "label.npy", allow_pickle=False)
    parts = sorted((out / "by_class").iterdir())
    assert len(parts) == len(np.unique(label))
    for part in parts:
        rows = label == (-1 if part.stem == "unlabelled" else int(part.stem[0]))
        np.testing.assert_array_equal(objects_in(part, name), of_point[rows])
    if kind in ("las", "laz"):
        np.testing.assert_array_equal(objects_in(out / f"labels.{kind}", name), of_point)
        np.testing.assert_allclose(read_capture(out / f"labels.{kind}").coord, scene.coord, atol=1e-4)


def test_labels_without_objects_get_none(tmp_path: Path) -> None:
    write_capture(make_scene(points=600), tmp_path / "scan")
    out = labelled(tmp_path, tmp_path / "scan", make_scene(points=600))
    content = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    del content["objects"]
    (out / "summary.json").write_text(json.dumps(content), encoding="utf-8")
    before = (out / "labels.ply").read_bytes()
    execute(["objects", str(out), "--overwrite", *COARSE])
    assert (out / "labels.ply").read_bytes() == before

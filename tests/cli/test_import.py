"""``ditr import`` writes our own format; other commands take the sources themselves."""

from __future__ import annotations

import json
from pathlib import Path

import cloud_files
import kitti_trees
import numpy as np
import pytest
from small_world import make_scene, tiny_encoding, write_model, write_world

import ditr
from ditr.cli import main
from ditr.io.ply import read_ply


def refused(capsys: pytest.CaptureFixture[str], *command: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, command)))
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_a_file_becomes_a_capture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room = make_scene(3, views=0)
    cloud_files.write_las(room, tmp_path / "hall.las")
    main(["import", str(tmp_path / "hall.las"), str(tmp_path / "hall")])
    said = capsys.readouterr().out
    assert "read as a LAS or LAZ point cloud, since it begins with LASF" in said
    assert f"hall: {len(room)} points with color, strength, label, 0 views" in said
    first, again = ditr.read(tmp_path / "hall.las"), ditr.read(tmp_path / "hall")
    np.testing.assert_array_equal(again.coord, first.coord)
    assert again.class_names == first.class_names and again.properties["las"] == first.properties["las"]
    assert "it already exists" in refused(capsys, "import", tmp_path / "hall.las", tmp_path / "hall")
    main(["import", str(tmp_path / "hall.las"), str(tmp_path / "hall"), "--overwrite"])


def test_a_folder_of_files_becomes_a_folder_of_captures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.ply", "b.ply"):
        cloud_files.write_points(make_scene(1, views=0), tmp_path / "scans" / name)
    main(["import", str(tmp_path / "scans"), str(tmp_path / "out")])
    assert [len(ditr.read(tmp_path / "out" / name)) for name in "ab"] == [400, 400]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear", encoding="utf-8")
    source = tmp_path / "scans" / "a.ply"
    assert "is not a capture" in refused(capsys, "import", source, tmp_path / "mine", "--overwrite")
    assert (tmp_path / "mine" / "letter.txt").exists()
    assert "Supported are" in refused(capsys, "import", tmp_path / "mine" / "letter.txt", tmp_path / "new")


def test_photographs_come_along(tmp_path: Path) -> None:
    (world,) = write_world(tmp_path / "world", 1)
    main(["import", str(world), str(tmp_path / "copy")])
    assert [view.name for view in ditr.read(tmp_path / "copy").views] == ["photo_0", "photo_1"]


def test_a_cloud_is_labelled_trained_on_evaluated_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "ptv3")
    for seed in range(2):
        room = make_scene(seed, views=0)
        cloud_files.write_array(room, tmp_path / f"scans/room_{seed}.npy")
    (tmp_path / "scans" / "labels.json").write_text(json.dumps({"classes": list(room.class_names)}), encoding="utf-8")
    main(["segment", "scans/room_0.npy", "--model", "ptv3", "--device", "cpu", "--no-pictures"])
    columns = read_ply(tmp_path / "room_0-labels" / "labels.ply")
    assert len(columns["label"]) == 400 and {"true_label", "red", "nx"} <= columns.keys()
    main(["evaluate", "ptv3", "--data", "scans", "--device", "cpu", "--out", "figures"])
    assert "mIoU" in capsys.readouterr().out
    main(["check", "scans/room_1.npy"])
    assert "it has no photographs" in refused(capsys, "features", "scans/room_1.npy")
    assert (tmp_path / "room_1-check" / "check.json").exists()
    options = ["--encoder", "none", "--steps", "1", "--device", "cpu", "--set", "preparation.voxel_size=0.25"]
    main(["train", "small", "run", "--data", "scans", *options])
    assert (tmp_path / "run" / "config.json").exists()


def test_labels_in_colours_and_in_a_copy_of_a_las_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "ptv3")
    cloud_files.write_las(make_scene(0, views=0), tmp_path / "hall.laz")
    options = ["--model", "ptv3", "--device", "cpu", "--no-pictures", "--class-colors", "--profile", "indoor"]
    main(["segment", "hall.laz", *options])
    columns = read_ply(tmp_path / "hall-labels" / "labels.ply")
    colors = np.column_stack([columns[name] for name in ("red", "green", "blue")])
    assert len(np.unique(colors, axis=0)) == len(np.unique(columns["label"]))
    scene = ditr.read(tmp_path / "hall.laz")
    assert scene.color is not None
    np.testing.assert_array_equal(columns["original_red"], scene.color[:, 0])
    copy = ditr.read(tmp_path / "hall-labels" / "labels.laz")
    np.testing.assert_array_equal(copy.extra["confidence"], columns["confidence"])
    np.testing.assert_array_equal(copy.coord, scene.coord)


def test_a_drive_becomes_a_capture_for_each_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweeps = [kitti_trees.rectified_scene(make_scene(seed)) for seed in range(4)]
    kitti_trees.write_odometry(sweeps, tmp_path / "sequences" / "04")
    main(["import", str(tmp_path / "sequences" / "04"), str(tmp_path / "out"), "--every", "2"])
    said = capsys.readouterr().out
    assert said.count("read as a sequence of KITTI odometry") == 1 and said.count("with strength, label, 2 views") == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000000", "000002"]
    assert [view.name for view in ditr.read_capture(tmp_path / "out" / "000002").views] == ["image_2", "image_3"]
    main(["import", str(tmp_path / "sequences"), str(tmp_path / "all"), "--first", "1"])
    assert [path.relative_to(tmp_path).as_posix() for path in (tmp_path / "all").glob("*/*")] == ["all/04/000000"]


def test_a_drive_is_checked_and_looked_at_sweep_by_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sweeps = [kitti_trees.rectified_scene(make_scene(seed)) for seed in range(3)]
    kitti_trees.write_odometry(sweeps, tmp_path / "04")
    main(["check", "04", "--every", "2"])
    said = capsys.readouterr().out
    assert said.count("no problems found") == 2 and "2 scenes: 2 without problems, 0 with problems" in said
    assert said.count("read as a sequence of KITTI odometry") == 1
    assert sorted(path.name for path in (tmp_path / "04-check").iterdir()) == ["000000", "000002"]
    main(["check", "04/000001", "--no-pictures", "--out", "bare"])
    assert [path.name for path in (tmp_path / "bare").iterdir()] == ["check.json"]
    encoder = tiny_encoding(tmp_path).spec
    capsys.readouterr()
    main(["features", "04", "--encoder", encoder, "--first", "2", "--no-pictures", "--no-cache"])
    said = capsys.readouterr().out
    assert said.count("visible is what lies inside the image") == said.count("encoder: ") == 1
    main(["features", "04/000002", "--encoder", encoder, "--no-pictures", "--no-cache", "--out", "one"])
    assert (tmp_path / "04-features" / "000000" / "features.ply").exists()
    assert (tmp_path / "one" / "features.ply").exists()

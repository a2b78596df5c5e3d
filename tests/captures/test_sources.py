"""Files and folders of other formats are recognised, read like captures, and named where they cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from small_world import make_scene

from ditr.captures.capture import read_capture, write_capture
from ditr.captures.folders import find_captures, fingerprint
from ditr.errors import InputError
from ditr.io.ply import write_ply
from ditr.scene import ReadOptions, Scene


def cloud(path: Path, points: int = 60) -> Path:
    rng = np.random.default_rng(0)
    columns = dict(zip("xyz", rng.uniform(0, 4, (3, points)).astype(np.float32), strict=True))
    colors = dict(zip(("red", "green", "blue"), rng.integers(0, 256, (3, points)).astype(np.uint8), strict=True))
    write_ply(path, columns | colors | {"label": np.arange(points, dtype=np.int32) % 3})
    return path


def test_a_cloud_by_its_own_path_is_a_scene_without_views(tmp_path: Path) -> None:
    scene = read_capture(cloud(tmp_path / "hall.ply"))
    assert (scene.name, len(scene), scene.views) == ("hall", 60, ())
    assert scene.color is not None and scene.label is not None and scene.class_names == ()
    assert str(scene.findings[0]) == "format: read as a PLY point cloud, since its first line is 'ply'."


def test_options_and_a_class_list_beside_a_cloud_count(tmp_path: Path) -> None:
    stored = read_capture(cloud(tmp_path / "hall.ply"))
    (tmp_path / "labels.json").write_text('{"classes": ["floor", "wall", "door"]}', encoding="utf-8")
    options = ReadOptions(unit=0.001, up=(0.0, 1.0, 0.0), class_map=(("door", "wall"),))
    scene = read_capture(tmp_path / "hall.ply", options)
    np.testing.assert_array_equal(scene.coord, stored.coord * 0.001)
    assert scene.class_names == ("floor", "wall") and scene.label is not None and scene.up is not None
    assert scene.label.tolist() == [0, 1, 1] * 20 and scene.up.tolist() == [0, 1, 0]


def test_a_folder_of_clouds_is_many_captures(tmp_path: Path) -> None:
    clouds = [cloud(tmp_path / name) for name in ("a.ply", "b.ply")]
    (tmp_path / "notes.txt").write_text("no cloud", encoding="utf-8")
    assert find_captures(tmp_path) == clouds
    assert find_captures(clouds[0]) == [clouds[0]]
    write_capture(Scene("room", np.zeros((1, 3))), tmp_path / "room")
    assert find_captures(tmp_path) == [tmp_path / "room"]


def test_fingerprints_tell_clouds_apart(tmp_path: Path) -> None:
    first, second = cloud(tmp_path / "a.ply"), cloud(tmp_path / "b.ply", points=61)
    assert fingerprint(first) == fingerprint(first) != fingerprint(second)
    before = fingerprint(tmp_path)
    second.unlink()
    assert fingerprint(tmp_path) != before


def test_what_can_be_read_is_listed(tmp_path: Path) -> None:
    (tmp_path / "odd.dat").write_bytes(b"\1\2\3")
    for path in (tmp_path / "odd.dat", tmp_path / "none", tmp_path):
        with pytest.raises(InputError) as caught:
            read_capture(path)
        assert "Supported are a folder with transforms.json" in caught.value.remedy
        assert "a PLY point cloud" in caught.value.remedy


def test_photographs_alone_and_parts_of_a_project_are_named(tmp_path: Path) -> None:
    """People name the folder of their photographs, or a file of what COLMAP made of them."""
    scene = make_scene(1, views=3)
    write_capture(scene, tmp_path / "scan", image_format="png")
    shutil.copytree(tmp_path / "scan" / "images", tmp_path / "alone" / "images")
    (tmp_path / "database.db").write_bytes(b"SQLite format 3\0" + bytes(100))
    (tmp_path / "points3D.bin").write_bytes(bytes(8))
    for name, told in (
        ("alone", "alone/images: there are 3 photographs here, but no poses and no point cloud. Reconstruct"),
        ("alone/images", "alone/images: there are 3 photographs here, but no poses and no point cloud. Reconstruct"),
        ("scan/images", f"Name the folder that they belong to: {tmp_path / 'scan'}."),
        ("database.db", "an SQLite database. Name its folder"),
        ("points3D.bin", "a file of a COLMAP model, not a capture. Name its folder"),
    ):
        with pytest.raises(InputError) as caught:
            read_capture(tmp_path / name)
        assert told in str(caught.value)

"""From what other tools leave to labels and features, by one command each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from colmap_files import Model, points_of, pose_of, write_binary
from phone_folders import save_image, write_record3d
from small_world import ditr, make_scene, tiny_encoding, write_model

from ditr.captures.capture import read_capture
from ditr.io.ply import read_ply


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder, and a model with random weights that takes its features."""
    root = tmp_path_factory.mktemp("scans")
    write_model(root / "model", tiny_encoding(root))
    return root


def test_the_recording_of_a_phone_is_labelled(world: Path, tmp_path: Path) -> None:
    write_record3d(make_scene(2, depth=True, points=20_000), tmp_path / "scan")
    shutil.make_archive(str(tmp_path / "scan"), "zip", tmp_path / "scan")
    recording = (tmp_path / "scan.zip").rename(tmp_path / "scan.r3d")
    options = ["--model", world / "model", "--out", tmp_path / "out", "--cache", tmp_path / "cache", "--no-pictures"]
    done = ditr("segment", recording, *options, "--force")
    assert "read as a recording of Record3D" in done.stdout + done.stderr
    labels, scene = read_ply(tmp_path / "out" / "labels.ply"), read_capture(recording)
    np.testing.assert_allclose(np.stack([labels[axis] for axis in "xyz"], axis=1), scene.coord, atol=1e-6)
    assert set(labels["label"].tolist()) <= {0, 1, 2}
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["views"]


@pytest.mark.slow
def test_a_reconstruction_needs_a_unit_to_be_labelled(world: Path, tmp_path: Path) -> None:
    scene = make_scene(3, points=900)
    model = Model()
    assert scene.color is not None
    for row, view in enumerate(scene.views):
        camera = view.camera
        model.cameras.append((row, "PINHOLE", camera.width, camera.height, (40.0, 40.0, camera.cx, camera.cy)))
        model.images.append((row, pose_of(view.world_to_camera), row, f"{row}.png", []))
        save_image(view, tmp_path / "flat" / "images" / f"{row}.png")
    model.points = points_of(scene.coord, scene.color)
    write_binary(model, tmp_path / "flat" / "sparse" / "0")
    options = ["--model", world / "model", "--out", tmp_path / "out", "--cache", tmp_path / "cache", "--no-pictures"]
    refused = ditr("segment", tmp_path / "flat", *options, check=False)
    assert refused.returncode == 2 and "COLMAP" in refused.stderr and "--scale-by" in refused.stderr
    ditr("segment", tmp_path / "flat", *options, "--scale-by", "0", "1", "1.5", "--force")
    assert len(read_ply(tmp_path / "out" / "labels.ply")["label"]) == 900

"""The whole road in real processes: train on captures, evaluate, label a capture, look at features; and bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from small_world import make_scene, without, write_model, write_world
from tiny_encoder import write_tiny_encoder

from ditr.captures.capture import write_capture
from ditr.io.ply import read_ply

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def ditr(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ditr", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT, check=False)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refusal prints."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("ditr: ")]
    assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    return lines[0]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captures, a tiny encoder and a trained model, made through the command line."""
    root = tmp_path_factory.mktemp("road")
    write_world(root / "train", 2)
    write_capture(make_scene(9, name="unseen"), root / "test" / "unseen", image_format="png")
    write_tiny_encoder(root / "encoder")
    done = train(root, "run")
    assert done.returncode == 0, done.stderr
    return root


def train(root: Path, run: str, *more: object) -> subprocess.CompletedProcess[str]:
    return ditr(*training(root, run), *more, cwd=root)


def training(root: Path, run: str) -> list[object]:
    options = ["--steps", 4, "--checkpoint-every", 1, "--device", "cpu", "--cache", root / "features"]
    network = ["--encoder", root / "encoder", "--set", "preparation.voxel_size=0.1", "--profile", "indoor"]
    return ["train", "small", run, "--data", root / "train", *network, *options]


def test_run_leaves_model_recipe_and_logs(world: Path) -> None:
    run = world / "run"
    config = json.loads((run / "config.json").read_text())
    assert config["class_names"] == ["floor", "wall", "box"] and config["seed"] == 0
    assert config["encoder"]["digest"] in config["encoder"]["weights"]
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert all(np.isfinite(row["loss"]) for row in rows)
    assert "step 4/4" in (run / "train.log").read_text()
    assert list((run / "tensorboard").iterdir())
    assert json.loads((run / "recipe.json").read_text())["recipe"]["steps"] == 4


def test_segment_labels_every_point_without_labels(world: Path, tmp_path: Path) -> None:
    scene = make_scene(5)
    bare = type(scene)(scene.name, scene.coord, scene.views, scene.color, scene.normal)
    write_capture(bare, tmp_path / "capture", image_format="png")
    options = ["--model", world / "run", "--cache", tmp_path / "features", "--device", "cpu"]
    done = ditr("segment", tmp_path / "capture", *options, "--out", tmp_path / "a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ply, label = read_ply(tmp_path / "a" / "labels.ply"), np.load(tmp_path / "a" / "label.npy", allow_pickle=False)
    np.testing.assert_array_equal(np.stack([ply[axis] for axis in "xyz"], axis=1), bare.coord)
    np.testing.assert_array_equal(ply["label"], label)
    assert len(label) == len(bare) and set(np.unique(label)) <= {0, 1, 2}
    assert ((ply["confidence"] > 0) & (ply["confidence"] <= 1)).all() and "true_label" not in ply
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert summary["seed"] == 0 and sum(summary["points_per_class"].values()) == len(bare)
    assert (tmp_path / "a" / "labels.png").stat().st_size > 1000
    # Another process, now with the photographs' features in the cache: the same bits.
    again = ditr("segment", tmp_path / "capture", *options, "--out", tmp_path / "b", "--no-pictures", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    for name in ("labels.ply", "label.npy", "confidence.npy"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_evaluate_counts_every_labelled_point(world: Path, tmp_path: Path) -> None:
    options = ["--data", world / "test", "--cache", world / "features", "--device", "cpu", "--out", tmp_path / "e.json"]
    done = ditr("evaluate", world / "run", *options, "--save-labels", tmp_path / "labels", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "e.json").read_text())
    saved = read_ply(tmp_path / "labels" / "unseen" / "labels.ply")
    known = saved["true_label"] >= 0
    assert figures["points"] == known.sum() == figures["visible"]["points"] + figures["invisible"]["points"]
    hits = (saved["label"] == saved["true_label"])[known].mean()
    assert figures["accuracy"] == pytest.approx(100 * hits, abs=2e-3)
    assert f"mIoU {figures['miou']:.1f}" in done.stdout


def test_features_say_why_points_are_in_no_view(world: Path, tmp_path: Path) -> None:
    options = ["--encoder", world / "encoder", "--cache", tmp_path / "features", "--device", "cpu", "--explain"]
    done = ditr("features", world / "test" / "unseen", *options, "--out", tmp_path / "f", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ply = read_ply(tmp_path / "f" / "features.ply")
    why = ply["why"]
    assert why.dtype == np.uint8
    np.testing.assert_array_equal(why == 0, ply["views"] > 0)
    header = (tmp_path / "f" / "features.ply").read_bytes().partition(b"end_header")[0].decode().splitlines()
    meanings = dict(line.removeprefix("comment why ").split(": ", 1) for line in header if " why " in line[:12])
    summary = json.loads((tmp_path / "f" / "summary.json").read_text())["why_unseen"]
    assert {entry["why"]: entry["points"] for entry in summary} == {
        code: np.count_nonzero(why == code) for code in np.unique(why[why > 0])
    }
    assert len(summary) > 0
    for entry in summary:
        assert meanings[str(entry["why"])] == entry["meaning"]
        assert f"{entry['points'] / len(why):6.1%}  {entry['meaning']}" in done.stdout


def test_features_need_no_label(world: Path, tmp_path: Path) -> None:
    options = ["--encoder", world / "encoder", "--cache", tmp_path / "features", "--device", "cpu", "--dense"]
    done = ditr("features", world / "test" / "unseen", *options, "--out", tmp_path / "f", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "smoother: --choice nearest --interpolate" in done.stdout
    stored = load_file(tmp_path / "f" / "features.safetensors")
    index, seen = stored["patch_index"], stored["patch_index"] >= 0
    np.testing.assert_array_equal(stored["features"][seen], stored["tokens"][index[seen]])
    assert not stored["features"][~seen].any()
    ply = read_ply(tmp_path / "f" / "features.ply")
    np.testing.assert_array_equal(ply["views"] > 0, seen)
    assert "why" not in ply
    assert len(np.unique(np.stack([ply[c][~seen] for c in ("red", "green", "blue")], axis=1), axis=0)) <= 1
    assert sum(json.loads((tmp_path / "f" / "summary.json").read_text())["coverage"].values()) == pytest.approx(1)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(world: Path) -> None:
    whole = (world / "run" / "model.safetensors").read_bytes()
    command = [sys.executable, "-m", "ditr", *map(str, training(world, "killed"))]
    process = subprocess.Popen(
        command, cwd=world, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    checkpoints = world / "killed" / "checkpoints"
    while process.poll() is None and not list(checkpoints.glob("step-*.safetensors")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(checkpoints.glob("step-*.safetensors"))
    done = train(world, "killed")
    assert done.returncode == 0, done.stderr
    assert (world / "killed" / "model.safetensors").read_bytes() == whole
    rows = [json.loads(line)["step"] for line in (world / "killed" / "log.jsonl").read_text().splitlines()]
    assert rows == [0, 1, 2, 3]


def test_bad_input_is_one_line_and_leaves_nothing(world: Path, tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    write_capture(make_scene(3), capture, image_format="png")
    (capture / "images" / "photo_1.png").unlink()
    options = ["--model", world / "run", "--out", tmp_path / "out", "--device", "cpu", "--cache", tmp_path / "features"]
    assert "photo_1.png" in refused(ditr("segment", capture, *options, cwd=tmp_path))

    write_capture(make_scene(3), capture, image_format="png")
    ply = capture / "points.ply"
    ply.write_bytes(ply.read_bytes()[:-10])
    assert "points.ply" in refused(ditr("segment", capture, *options, cwd=tmp_path))

    scene = make_scene(3)
    write_capture(type(scene)(scene.name, scene.coord, scene.views), capture, image_format="png")
    line = refused(ditr("segment", capture, *options, cwd=tmp_path))
    assert "no color" in line and "--substitute color=VALUE normal=VALUE" in line
    assert "no trained model" in refused(ditr("evaluate", tmp_path, "--data", world / "test", cwd=tmp_path))
    assert "no capture" in refused(ditr("train", "small", tmp_path / "r", "--data", tmp_path / "nowhere", cwd=tmp_path))
    assert not (tmp_path / "out").exists() and not (tmp_path / "r").exists()

    # tyro takes the values of a repeated option in one go.
    substitutes = ["--substitute", "color=127.5", "normal=0", "--no-pictures"]
    done = ditr("segment", capture, *options, *substitutes, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_damaged_photograph_costs_a_network_without_images_no_labels(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    write_capture(make_scene(3), tmp_path / "capture", image_format="jpg")
    damaged = tmp_path / "capture" / "images" / "photo_1.jpg"
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size * 2 // 3])
    options = ["--model", tmp_path / "model", "--out", tmp_path / "out", "--device", "cpu"]
    done = ditr("segment", tmp_path / "capture", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("ditr: ")]
    assert len(lines) == 1 and lines[0].startswith(f"ditr: warning: {damaged}: the image cannot be decoded"), lines
    assert lines[0].endswith("It is left out of labels.png.")
    assert len(np.load(tmp_path / "out" / "label.npy", allow_pickle=False)) == 400
    with Image.open(tmp_path / "out" / "labels.png") as picture:
        with_one = picture.height
    write_capture(make_scene(3), tmp_path / "whole", image_format="jpg")
    whole = ditr("segment", tmp_path / "whole", *options[:3], tmp_path / "out2", *options[4:], cwd=tmp_path)
    assert whole.returncode == 0 and "warning" not in whole.stderr
    with Image.open(tmp_path / "out2" / "labels.png") as picture:
        assert picture.height > with_one, "a row for each photograph"


def test_places_that_nothing_tells_of_are_told_of_the_indoor_profile(world: Path, tmp_path: Path) -> None:
    write_capture(without(make_scene(), "color"), tmp_path / "bare" / "scene_0", image_format="png")
    options = ["--data", tmp_path / "bare", "--encoder", "none", "--device", "cpu", "--steps", 1]
    line = refused(ditr("train", "small", "taken-for-outdoors", *options, cwd=world))
    assert "scene_0" in line and "outdoor" in line and "--profile indoor" in line
    assert not (world / "taken-for-outdoors").exists()


def test_a_finished_run_says_so_and_stays(world: Path) -> None:
    model = world / "run" / "model.safetensors"
    before = model.stat().st_mtime_ns
    done = train(world, "run")
    assert done.returncode == 0 and "run is finished already" in done.stderr, done.stderr
    assert model.stat().st_mtime_ns == before


@pytest.mark.parametrize(("points", "views"), [(1, 1), (400, 0)])
def test_one_point_or_no_view_is_labelled(world: Path, tmp_path: Path, points: int, views: int) -> None:
    scene = make_scene(4, views=views)
    few = slice(0, points)
    assert scene.color is not None and scene.normal is not None
    small = type(scene)("few", scene.coord[few], scene.views, scene.color[few], scene.normal[few])
    write_capture(small, tmp_path / "capture", image_format="png")
    options = ["--model", world / "run", "--device", "cpu", "--cache", tmp_path / "features", "--no-pictures"]
    if not views:
        refused = ditr("segment", tmp_path / "capture", *options, "--out", tmp_path / "out", cwd=tmp_path)
        assert refused.returncode == 2 and "it has no photographs" in refused.stderr, refused.stderr
        options.append("--force")
    done = ditr("segment", tmp_path / "capture", *options, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(np.load(tmp_path / "out" / "label.npy", allow_pickle=False)) == len(small)

"""Bad captures: a correct result, or an error that names file, fault and remedy, and no output at all.

In this process, through the function behind the command; ``tests/cli`` has the same in processes of their own.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_world import make_scene, tiny_encoding, without, write_model

from ditr.captures.capture import write_capture
from ditr.cli import main
from ditr.io.ply import read_ply, write_ply


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``ditr`` and ``ptv3``: untrained models as runs leave them."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "ditr", tiny_encoding(folder))
    write_model(folder / "ptv3")
    return folder


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    write_capture(make_scene(depth=True), tmp_path / "capture", image_format="png")
    return tmp_path / "capture"


def segment(capture: Path, models: Path, *options: str, model: str = "ditr") -> Path:
    """Run the command; returns the folder of its results."""
    out = capture.parent / "out"
    command = ["segment", str(capture), "--model", str(models / model), "--out", str(out), "--device", "cpu"]
    main([*command, "--cache", str(models / "features"), "--no-pictures", "--overwrite", *options])
    return out


def labels(out: Path) -> np.ndarray:
    return np.load(out / "label.npy", allow_pickle=False)


def refused(capsys: pytest.CaptureFixture[str], capture: Path, models: Path, *options: str, model: str = "ditr") -> str:
    """The one line of a refusal; checks the exit code, and that nothing was written."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        segment(capture, models, *options, model=model)
    assert stopped.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()
    lines = [line for line in said if not line.startswith("ditr: warning: ")]
    assert len(lines) == 1 and lines[0].startswith("ditr: "), said
    # Place, fault, remedy: two sentences at least.
    assert re.search(r": .+\. .+[.?]$", lines[0]), lines[0]
    assert {path.name for path in capture.parent.iterdir()} == {"capture"}
    return lines[0]


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_the_capture_as_it_is_can_be_labelled(capture: Path, models: Path) -> None:
    for model in ("ditr", "ptv3"):
        assert len(labels(segment(capture, models, model=model))) == 400


# ---- photographs and cameras ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["ditr", "ptv3"])
def test_missing_image(capsys: pytest.CaptureFixture[str], capture: Path, models: Path, model: str) -> None:
    (capture / "images" / "photo_1.png").unlink()
    line = refused(capsys, capture, models, model=model)
    assert "photo_1.png" in line and "no such image" in line


def test_image_cut_off(capsys: pytest.CaptureFixture[str], capture: Path, models: Path) -> None:
    path = capture / "images" / "photo_1.png"
    path.write_bytes(path.read_bytes()[:-3000])
    line = refused(capsys, capture, models)
    assert "photo_1.png" in line and "cannot be decoded" in line


def test_image_whose_size_contradicts_its_intrinsics(
    capsys: pytest.CaptureFixture[str], capture: Path, models: Path
) -> None:
    Image.new("RGB", (112, 84)).save(capture / "images" / "photo_0.png")
    line = refused(capsys, capture, models)
    assert "photo_0.png" in line and "56x42" in line and "112x84" in line
    edit_json(capture / "transforms.json", lambda c: [frame.pop(k) for frame in c["frames"] for k in ("w", "h")])
    assert "principal point" in refused(capsys, capture, models)


def test_missing_depth_map(capsys: pytest.CaptureFixture[str], capture: Path, models: Path) -> None:
    next((capture / "depth").iterdir()).unlink()
    assert "depth map" in refused(capsys, capture, models)


@pytest.mark.parametrize(
    ("row", "fault"),
    [([0, 0, 0, 0], "singular"), ([float("nan"), 0, 0, 0], "not finite"), ([5, 0, 0, 0], "rigid|rotation")],
)
def test_impossible_pose(
    capsys: pytest.CaptureFixture[str], capture: Path, models: Path, row: list[float], fault: str
) -> None:
    edit_json(capture / "transforms.json", lambda c: c["frames"][1]["transform_matrix"].__setitem__(0, row))
    line = refused(capsys, capture, models)
    assert "transforms.json" in line and "photo_1" in line and re.search(fault, line)


def test_zero_views(capsys: pytest.CaptureFixture[str], tmp_path: Path, models: Path) -> None:
    write_capture(make_scene(views=0), tmp_path / "capture")
    line = refused(capsys, tmp_path / "capture", models)
    assert "it has no photographs, but" in line and "Use d-ditr-scannet200 (--model), which needs none" in line
    out = segment(tmp_path / "capture", models, "--force")
    assert len(labels(out)) == 400
    assert json.loads((out / "summary.json").read_text())["share_of_points_seen"] == 0


def test_no_visible_point(tmp_path: Path, models: Path) -> None:
    scene = make_scene()
    away = tuple(
        replace(view, world_to_camera=np.diag([1.0, -1, -1, 1]) @ view.world_to_camera) for view in scene.views
    )
    write_capture(replace(scene, views=away), tmp_path / "capture", image_format="png")
    out = segment(tmp_path / "capture", models, "--up", "0,0,1", "--force")
    assert len(labels(out)) == 400
    assert json.loads((out / "summary.json").read_text())["share_of_points_seen"] == 0


# ---- points ---------------------------------------------------------------------------------------------------------


def change_points(capture: Path, rows: slice = slice(None), **columns: np.ndarray | None) -> None:
    points = {name: values[rows] for name, values in read_ply(capture / "points.ply").items()}
    for name, values in columns.items():
        points.pop(name)
        if values is not None:
            points[name] = values
    write_ply(capture / "points.ply", points)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_points_that_are_not_finite(
    capsys: pytest.CaptureFixture[str], capture: Path, models: Path, value: float
) -> None:
    x = np.zeros(400, dtype=np.float32)
    x[[7, 9]] = value
    change_points(capture, x=x)
    line = refused(capsys, capture, models)
    assert "points.ply" in line and "2 points with coordinates that are not finite" in line and "point 7" in line


def test_empty_cloud(capsys: pytest.CaptureFixture[str], capture: Path, models: Path) -> None:
    change_points(capture, slice(0, 0))
    line = refused(capsys, capture, models)
    assert "points.ply" in line and "no points" in line


@pytest.mark.parametrize("model", ["ditr", "ptv3"])
def test_one_point(capture: Path, models: Path, model: str) -> None:
    change_points(capture, slice(0, 1))
    assert labels(segment(capture, models, model=model)).shape == (1,)


def test_points_beyond_any_grid(capsys: pytest.CaptureFixture[str], capture: Path, models: Path) -> None:
    x = read_ply(capture / "points.ply")["x"]
    x[3] = 1e6
    change_points(capture, x=x)
    line = refused(capsys, capture, models)
    assert "Use voxels of at least" in line


def test_truncated_ply(capsys: pytest.CaptureFixture[str], capture: Path, models: Path) -> None:
    path = capture / "points.ply"
    content = path.read_bytes()
    for kept in (0, 3, 40, len(content) - 1):
        path.write_bytes(content[:kept])
        assert "points.ply" in refused(capsys, capture, models)


def test_ply_that_promises_more_than_it_holds(capsys: pytest.CaptureFixture[str], capture: Path, models: Path) -> None:
    path = capture / "points.ply"
    content = path.read_bytes()
    for count in (401, 10**15):
        path.write_bytes(content.replace(b"element vertex 400", b"element vertex %d" % count))
        line = refused(capsys, capture, models)
        assert f"declares {count} vertices" in line


@pytest.mark.parametrize("label", [3, -2])
def test_label_outside_the_class_list(
    capsys: pytest.CaptureFixture[str], capture: Path, models: Path, label: int
) -> None:
    change_points(capture, label=np.full(400, label, dtype=np.int32))
    line = refused(capsys, capture, models)
    assert "points.ply" in line and "outside the class list" in line and f"is {label}" in line


def test_missing_attributes(capsys: pytest.CaptureFixture[str], tmp_path: Path, models: Path) -> None:
    write_capture(without(make_scene(), "color", "normal"), tmp_path / "capture", image_format="png")
    line = refused(capsys, tmp_path / "capture", models)
    assert "no color and no normal" in line and "--substitute color=VALUE normal=VALUE" in line
    line = refused(capsys, tmp_path / "capture", models, "--substitute", "normal=0")
    assert "no color" in line and "no normal" not in line
    assert "ATTRIBUTE=NUMBER" in refused(capsys, tmp_path / "capture", models, "--substitute", "color=red")
    assert "there is no 'colour'" in refused(capsys, tmp_path / "capture", models, "--substitute", "colour=1")
    out = segment(tmp_path / "capture", models, "--substitute", "color=127.5", "normal=0")
    assert len(labels(out)) == 400 and "normals" not in json.loads((out / "summary.json").read_text())
    out = segment(tmp_path / "capture", models, "--substitute", "color=127.5")
    assert json.loads((out / "summary.json").read_text())["normals"] == "estimated from 16 neighbours"


# ---- models ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the model folders that a test may damage."""
    folder = tmp_path_factory.mktemp("broken")
    for model in ("ditr", "ptv3"):
        (folder / model).mkdir()
        for file in (models / model).iterdir():
            (folder / model / file.name).write_bytes(file.read_bytes())
    return folder


def test_damaged_models(capsys: pytest.CaptureFixture[str], capture: Path, broken: Path) -> None:
    weights, config = (broken / "ditr" / name for name in ("model.safetensors", "config.json"))
    content, text = weights.read_bytes(), config.read_text()
    weights.write_bytes(content[: len(content) // 2])
    assert "model.safetensors" in refused(capsys, capture, broken)
    # A header that promises more than any machine has.
    weights.write_bytes(struct.pack("<Q", 1 << 60) + content[8:])
    assert "model.safetensors" in refused(capsys, capture, broken)
    weights.write_bytes((broken / "ptv3" / "model.safetensors").read_bytes())
    assert "tensors missing" in refused(capsys, capture, broken)
    weights.unlink()
    assert "model.safetensors" in refused(capsys, capture, broken)
    config.write_text(text.replace('"voxel_size"', '"voxel_sise"'))
    assert "Did you mean 'voxel_size'?" in refused(capsys, capture, broken)
    config.unlink()
    assert "no trained model" in refused(capsys, capture, broken)


def test_unknown_encoder(capsys: pytest.CaptureFixture[str], capture: Path, broken: Path) -> None:
    config = broken / "ditr" / "config.json"
    edit_json(config, lambda c: c["encoder"].update(name="dino-nonsense"))
    line = refused(capsys, capture, broken)
    assert "dino-nonsense" in line and "dinov2-small" in line


# ---- options and places ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--seed", "-1"], "seed"),
        (["--up", "0,0,0"], "--up"),
        (["--up", "nan,0,1"], "--up"),
        (["--up", "up"], "--up"),
    ],
)
def test_impossible_options(
    capsys: pytest.CaptureFixture[str], capture: Path, models: Path, options: list[str], named: str
) -> None:
    assert named in refused(capsys, capture, models, *options)


def test_results_cannot_go_where_a_file_is(capsys: pytest.CaptureFixture[str], capture: Path, models: Path) -> None:
    assert "it is a file" in refused(capsys, capture, models, "--out", str(capture / "points.ply"))
    assert read_ply(capture / "points.ply")["x"].shape == (400,)


POINTS = ("--encoder", "none")


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["segment", "nowhere", "--model", "ptv3"], "no such folder"),
        (["features", "nowhere"], "no such folder"),
        (["features", "capture", "--max-views", "0"], "max_views"),
        (["features", "capture", "--seed", "-1"], "seed"),
        (["evaluate", "nowhere", "--data", "capture"], "neither a folder nor a published model"),
        (["evaluate", "ptv3", "--data", "nowhere"], "no capture"),
        (["evaluate", "ditr", "--data", "capture", "--swap-images"], "no other capture"),
        (["train", "small", "run", "--data", "nowhere"], "no capture"),
        (["train", "small", "run", "--data", "capture", *POINTS, "--steps", "0"], "steps"),
        (["train", "small", "run", "--data", "capture", *POINTS, "--set", "preparation.voxel_size=0"], "voxel size"),
        (["train", "small", "run", "--data", "capture", *POINTS, "--set", "batch_size=-2"], "batch_size"),
        (["train", "small", "run", "--data", "capture", *POINTS, "--set", "optimizer.lr=-1"], "schedule"),
        (["train", "small", "run", "--data", "capture", *POINTS, "--set", "preparation.attributes=smell"], "'smell'"),
        (["train", "small", "run", "--data", "capture", "--encoder", "nonsense"], "nonsense"),
        (["train", "run", "--data", "capture"], "ditr train small RUN"),
        (["train", "small", "capture/points.ply", "--data", "capture"], "it is a file"),
        (["rooms", "run", "--views", "0"], "views"),
    ],
)
def test_refusals_of_all_commands(
    capsys: pytest.CaptureFixture[str],
    capture: Path,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    named: str,
) -> None:
    monkeypatch.chdir(capture.parent)
    if command[0] == "features":
        command = [*command, "--encoder", str(models / "encoder")]
    if command[0] != "rooms":
        command = [*command, *(["--cache", str(models / "features")]), "--device", "cpu"]
    with pytest.raises(SystemExit) as stopped:
        main([str(models / part) if part in ("ptv3", "ditr") else part for part in command])
    assert stopped.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ditr: ")]
    assert len(lines) == 1 and named in lines[0], lines
    assert {path.name for path in capture.parent.iterdir()} == {"capture"}

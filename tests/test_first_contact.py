"""First contact: a capture and no model. Which published model is chosen, and what is said of it and of its labels."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import HubServer
from small_world import NETWORK, look_at, make_scene, tiny_config, tiny_encoding, without, write_model

from ditr.captures.capture import read_capture, write_capture
from ditr.cli import main
from ditr.data.preparation import ViewOrder
from ditr.data.training_data import TrainingData
from ditr.datasets.table import by_name
from ditr.errors import InputError
from ditr.geometry.projection import VisibilityRule
from ditr.inference.explain import differences, used_up, used_views
from ditr.inference.prediction import Prediction
from ditr.inference.segmenter import Segmenter
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.nn.norms import DatasetNorms
from ditr.scene import ReadOptions, Scene
from ditr.weights.missing import missing_downloads
from ditr.weights.names import to_published
from ditr.weights.pretrained import find_model
from ditr.weights.published import INDOOR_NORMS, PUBLISHED, REPOSITORY, converted_folder, published_model
from ditr.weights.saved_model import ModelConfig, read_config, save_model
from ditr.weights.suggest import suggest_model

README = Path(__file__).resolve().parents[1] / "README.md"


def sweep(views: int = 2, *, ground: float = -1.84, strongest: float = 200.0) -> Scene:
    """A flat ground about the sensor, as a LiDAR on a car's roof has it."""
    rng = np.random.default_rng(3)
    coord = np.column_stack([rng.uniform(-30, 30, (500, 2)), rng.normal(ground, 0.02, 500)])
    strength = rng.uniform(0, strongest, 500).astype(np.float32)
    return Scene("sweep", coord, make_scene(views=views).views, strength=strength)


def told(scene: Scene, **options: object) -> Scene:
    return replace(scene, reading=ReadOptions(**options))  # type: ignore[arg-type]


# ---- the choice -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scene", "profile", "name"),
    [
        (make_scene(depth=True), None, "ditr-scannet200-dinov2-l"),
        (without(make_scene(depth=True), "normal"), None, "ditr-scannet200-dinov2-l"),
        (make_scene(), None, "ditr-scannet200-dinov2-l"),
        (make_scene(views=0), None, "d-ditr-scannet200"),
        (sweep(), None, "ditr-nuscenes-dinov2-l"),
        (sweep(views=0), None, "d-ditr-nuscenes"),
        (replace(make_scene(), strength=np.ones(400, dtype=np.float32)), None, "ditr-nuscenes-dinov2-l"),
        (replace(make_scene(), strength=np.ones(400, dtype=np.float32)), "indoor", "ditr-scannet200-dinov2-l"),
    ],
    ids=["depth", "no normals", "colour", "no views", "sweep", "sweep, no views", "both", "both, told"],
)
def test_the_choice_follows_what_the_scene_has(scene: Scene, profile: str | None, name: str) -> None:
    chosen = suggest_model(told(scene, profile=profile))
    assert chosen.model == published_model(name)
    assert chosen.model.files
    assert chosen.reason.startswith("indoor" if "scannet" in name else "outdoor")


@pytest.mark.parametrize(
    ("scene", "profile", "fault"),
    [
        (without(make_scene(), "color"), None, "no published model can be chosen"),
        (replace(make_scene(), coord=make_scene().coord * 100), None, "no published model can be chosen"),
        (without(make_scene(depth=True), "color"), None, "no colour"),
        (make_scene(), "outdoor", "no intensity"),
        (replace(sweep(), coord=sweep().coord + 500), None, "not the position of a LiDAR"),
        (make_scene(), "underwater", "no profile"),
    ],
)
def test_a_capture_that_no_published_model_fits_is_told_so(scene: Scene, profile: str | None, fault: str) -> None:
    with pytest.raises(InputError, match=fault) as refused:
        suggest_model(told(scene, profile=profile))
    assert "no profile" in fault or "`ditr label`" in refused.value.remedy


def kitti(**changes: float) -> Scene:
    """64 beams about a sensor on a car, and one camera that looks ahead."""
    settings = {"brightest": 0.99, "ground": -1.73, "turn": 0.0} | changes
    azimuth, beam = np.meshgrid(np.linspace(-np.pi, np.pi, 300), np.radians(np.linspace(-24.8, -2.5, 64)))
    reach = settings["ground"] / np.tan(beam)
    coord = np.stack([reach * np.cos(azimuth), reach * np.sin(azimuth), np.full_like(reach, settings["ground"])], -1)
    rng = np.random.default_rng(5)
    strength = (rng.random(azimuth.size) ** 2 * settings["brightest"]).astype(np.float32)
    first = make_scene().views[0]
    pose = (
        look_at((0.3, 0, 0), (5, 0, 0)),
        look_at((0.3, 0, 0), (5 * np.cos(settings["turn"]), 5 * np.sin(settings["turn"]), 0)),
    )
    views = tuple(replace(first, name=f"v{i}", world_to_camera=p) for i, p in enumerate(pose))
    return Scene("kitti", coord.reshape(-1, 3), views, strength=strength)


@pytest.mark.parametrize(
    ("changes", "dataset"),
    [
        ({}, "SemanticKITTI"),
        ({"ground": -1.6}, "SemanticKITTI"),
        ({"turn": 0.3}, "SemanticKITTI"),
        ({"turn": 2.1}, "nuScenes"),
        ({"brightest": 255.0}, "nuScenes"),
        ({"brightest": 0.01}, "nuScenes"),
        ({"ground": -1.2}, "nuScenes"),
    ],
)
def test_a_sweep_like_those_of_semantickitti_gets_its_model(changes: dict[str, float], dataset: str) -> None:
    scene = kitti(**changes)
    chosen = suggest_model(scene)
    assert chosen.model.dataset == dataset and ("SemanticKITTI" in chosen.reason) == (dataset == "SemanticKITTI")
    if dataset == "SemanticKITTI":
        assert not differences(config_for(dataset), prediction_of(scene))
        assert suggest_model(replace(scene, views=())).model.name == "d-ditr-nuscenes"


def test_a_substitute_counts_as_the_attribute() -> None:
    bare = without(make_scene(), "color")
    assert suggest_model(told(bare, substitute=(("strength", 20.0),))).model.name == "ditr-nuscenes-dinov2-l"
    assert (
        suggest_model(told(bare, profile="indoor", substitute=(("color", 127.5),))).model.name
        == "ditr-scannet200-dinov2-l"
    )


@pytest.mark.parametrize(
    ("capture", "name"),
    [
        ("sevenscenes_redkitchen", "ditr-scannet200-dinov2-l"),
        ("nuscenes_sample", "ditr-nuscenes-dinov2-l"),
        ("ddad_scene_a_0", "ditr-nuscenes-dinov2-l"),
        ("rellis3d_000104", "ditr-nuscenes-dinov2-l"),
    ],
)
def test_real_captures(captures: Path, capture: str, name: str) -> None:
    assert suggest_model(read_capture(captures / capture)).model.name == name


# ---- what is said ---------------------------------------------------------------------------------------------------


def prediction_of(scene: Scene, up: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> Prediction:
    label = np.zeros(len(scene), dtype=np.int32)
    return Prediction(scene, label, np.ones(len(scene), dtype=np.float32), None, ("a",), 1, up, 0)


def config_for(dataset: str | None) -> ModelConfig:
    preparation = by_name(dataset or "nuScenes").preparation(False)
    network = replace(NETWORK, in_channels=preparation.in_channels)
    return ModelConfig(network, preparation, ("a", "b"), dataset=dataset)


def test_a_scene_like_the_training_gets_no_warning() -> None:
    assert not differences(config_for("nuScenes"), prediction_of(sweep()))
    assert not differences(config_for("ScanNet200"), prediction_of(make_scene()))
    assert not differences(config_for(None), prediction_of(sweep(strongest=9000.0)))


@pytest.mark.parametrize(("strongest", "scale"), [(1.0, 1.0), (9000.0, 8960.0), (0.01, 0.01)])
def test_intensities_of_another_range_are_told_with_the_remedy(strongest: float, scale: float) -> None:
    scene = sweep(strongest=strongest)
    (found,) = differences(config_for("nuScenes"), prediction_of(scene))
    remedy = re.search(r"0 to 255 in training \(try --strength-scale ([\d.]+)\)", found)
    assert remedy is not None and float(remedy[1]) == pytest.approx(scale, rel=0.1)
    assert not differences(config_for("nuScenes"), prediction_of(told(scene, strength_scale=float(remedy[1]))))


def test_another_place_of_the_sensor_is_told_whichever_way_is_up() -> None:
    low = sweep(ground=0.0)
    assert "the ground is -0.0 m high" in differences(config_for("nuScenes"), prediction_of(low))[0]
    lying = replace(sweep(), coord=sweep().coord[:, [0, 2, 1]])
    assert not differences(config_for("nuScenes"), prediction_of(lying, (0.0, 1.0, 0.0)))
    far = replace(low, coord=low.coord + np.array([500, 0, 0]))
    assert "500 m from the origin" in differences(config_for("nuScenes"), prediction_of(far))[0]


def test_a_room_in_other_units_is_told() -> None:
    room = make_scene()
    for factor in (0.01, 100.0):
        (found,) = differences(config_for("ScanNet"), prediction_of(replace(room, coord=room.coord * factor)))
        assert "metres" in found


def test_a_scene_unlike_those_of_a_run_is_told_in_the_summary_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(tiny_config(), training_data=TrainingData(3, extent=(4.0, 4.2)))
    save_model(tmp_path / "run", config, config.build())
    small = replace(make_scene(views=0), up=np.array([0.0, 0.0, 1.0]))
    for name, scene in (("like", small), ("unlike", replace(small, coord=small.coord * 4))):
        write_capture(scene, tmp_path / name)
        out = tmp_path / f"{name}-labels"
        main(["segment", str(tmp_path / name), "--model", str(tmp_path / "run"), "--out", str(out), "--no-pictures"])
        said = "m, but 4 to 4.2 m" in capsys.readouterr().err
        about = [found["about"] for found in json.loads((out / "summary.json").read_text()).get("findings", [])]
        assert said == (name == "unlike") == ("training data" in about)


def test_views_are_accounted_for(tmp_path: Path) -> None:
    encoding = tiny_encoding(tmp_path, cache=False)
    config = tiny_config(encoding, max_views=2, image_size=(42, 56), rule=VisibilityRule(0.2, 4.0, 0.1))
    segmenter = Segmenter(config, config.build(), encoding=encoding)
    some, rule = used_views(segmenter, make_scene(views=5, depth=True))
    assert some == "photographs: 2 of 5, equidistant, encoded at 56 x 42 pixels"
    assert (
        rule
        == "visible is what lies inside the image, 0.2 to 4 m in front of the camera, within 0.1 m of the depth map"
    )
    drawn = replace(config, preparation=replace(config.preparation, view_order=ViewOrder.RANDOM))
    said = used_views(Segmenter(drawn, drawn.build(), encoding=encoding), make_scene(views=5))[0]
    assert said.startswith("photographs: 2 of 5, drawn at random,")
    every, rule = used_views(segmenter, make_scene(views=2))
    assert every.startswith("photographs: all 2,") and "no depth maps" in rule
    assert "no depth test" in used_views(segmenter, make_scene(), VisibilityRule())[1]
    points = tiny_config()
    assert "none" in used_views(Segmenter(points, points.build()), make_scene())[0]


def test_up_is_accounted_for() -> None:
    assert used_up(prediction_of(make_scene())) == "up is z, as points and cameras show"
    assert used_up(prediction_of(make_scene(views=0))) == "up is z, as the points show"
    assert used_up(prediction_of(replace(make_scene(), up=np.array([0.0, 0.0, 1.0])))) == "up is z, as told"
    assert "turned" in used_up(prediction_of(make_scene(), (0.0, 1.0, 0.0)))


# ---- the command ----------------------------------------------------------------------------------------------------


def test_segment_without_a_model_takes_the_one_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DITR_CACHE", str(tmp_path / "cache"))
    row = published_model("ditr-scannet200-dinov2-l")
    write_model(converted_folder(row), tiny_encoding(tmp_path))
    write_capture(without(make_scene(depth=True), "normal"), tmp_path / "capture", image_format="png")
    main(["segment", str(tmp_path / "capture"), "--out", str(tmp_path / "out"), "--device", "cpu"])
    said = capsys.readouterr().out
    for words in (
        row.name,
        "41.2 on ScanNet200",
        "nothing to download",
        "not recorded here",
        str(converted_folder(row)),
    ):
        assert words in said
    assert "normals: estimated" in said and "up is z" in said and "photographs: all 2" in said
    assert len(np.load(tmp_path / "out" / "label.npy", allow_pickle=False)) == 400
    assert (tmp_path / "out" / "labels.png").exists()


def test_what_every_row_lacks_is_known() -> None:
    for row in PUBLISHED:
        if row.files and not row.student:
            parts = missing_downloads(row)
            assert len(parts) <= 2 and all(part.weights > 20e6 for part in parts), row.name


def test_a_mistyped_folder_is_not_looked_for_among_models() -> None:
    with pytest.raises(InputError, match="demo/runs/dirt: there is no such folder"):
        find_model("demo/runs/dirt")


def segment(capture: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: where the hub is, is read when its library is imported."""
    command = [sys.executable, "-m", "ditr", "segment", str(capture), "--device", "cpu", "--no-pictures", *options]
    return subprocess.run(
        command, cwd=capture.parent, env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_hub_out_of_reach_is_one_error_with_the_remedy(tmp_path: Path) -> None:
    write_capture(make_scene(depth=True), tmp_path / "capture", image_format="png")
    places = {"HF_HOME": str(tmp_path / "hub"), "DITR_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": ""}
    done = segment(tmp_path / "capture", HF_ENDPOINT="http://127.0.0.1:9", **places)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and done.stderr.count("ditr: ") == 1, done.stderr
    for words in ("cannot be reached", "ditr weights", "ditr train", "scannet200/semseg-ptv3_dino-L"):
        assert words in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"capture"}


@pytest.mark.slow
def test_a_model_comes_from_the_hub_and_labels(tmp_path: Path) -> None:
    row = published_model("d-ditr-scannet200")
    network: PTv3Config = replace(NETWORK, in_channels=6, norms=DatasetNorms(INDOOR_NORMS))
    model = Segmentation(network, 200, "ScanNet")
    checkpoint = tmp_path / "hub" / row.files[0]
    checkpoint.parent.mkdir(parents=True)
    torch.save({"state_dict": to_published(model.state_dict(), network)}, checkpoint)
    (tmp_path / "hub" / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    write_capture(make_scene(views=0), tmp_path / "capture")
    with HubServer({REPOSITORY: tmp_path / "hub"}) as server:
        environment = server.environment(tmp_path / "home") | {"DITR_CACHE": str(tmp_path / "cache")}
        first = segment(tmp_path / "capture", **environment)
        assert first.returncode == 0, first.stdout + first.stderr
        assert f"{checkpoint.stat().st_size / 1e6:,.0f} MB checkpoint" in first.stdout
        assert "licence of the weights: cc-by-4.0" in first.stdout
        asked = len(server.answers)
        second = segment(tmp_path / "capture", "--overwrite", **environment)
        assert second.returncode == 0 and "nothing to download" in second.stdout, second.stdout + second.stderr
        assert len(server.answers) == asked
    folder = tmp_path / "cache" / "models" / row.name
    assert read_config(folder).license == "cc-by-4.0"
    labels = np.load(tmp_path / "capture-labels" / "label.npy", allow_pickle=False)
    assert len(labels) == 400 and labels.max() < 200


# ---- the README -----------------------------------------------------------------------------------------------------


def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.search(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert example is not None
    (name,) = re.findall(r'from_pretrained\("([^"]+)"\)', example[1])
    assert published_model(name).files
    write_model(tmp_path / "model", tiny_encoding(tmp_path))
    write_capture(make_scene(), tmp_path / "CAPTURE", image_format="png")
    monkeypatch.chdir(tmp_path)
    exec(example[1].replace(name, str(tmp_path / "model")), {})
    (ply,) = tmp_path.glob("*/labels.ply")
    assert ply.parent.name == "LABELS"

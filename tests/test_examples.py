"""The examples: short, and doing what they say."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from bags import drive_past, loose, write_bag
from PIL import Image
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore
from small_world import tiny_config, tiny_encoding
from tiny_encoder import write_tiny_encoder

import ditr
from ditr.captures.drives import Drive
from ditr.data.preparation import Attribute
from ditr.inference.stream import StreamSettings
from ditr.training.recipe import read_recipe

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_they_are_short_and_say_what_they_are() -> None:
    numbered = sorted(EXAMPLES.glob("[0-9]*.py"))
    assert [path.name[:2] for path in numbered] == [f"{number:02}" for number in range(1, 12)]
    assert sorted(EXAMPLES.glob("*.py")) == [*numbered, EXAMPLES / "built_in.py"]
    for path in numbered:
        text = path.read_text(encoding="utf-8")
        docstring = text.partition('"""')[2].partition('"""')[0]
        assert len(text.splitlines()) < 100 and text.startswith('"""'), path.name
        assert f"python examples/{path.name}" in docstring, path.name
        for link in re.findall(r"\]\(([^)#]+)", docstring):
            assert (EXAMPLES / link).exists(), (path.name, link)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all results, so that the built-in rooms are made once; with an image encoder."""
    out = tmp_path_factory.mktemp("examples")
    write_tiny_encoder(out / "encoder")
    return out


def run(folder: Path, number: str, *arguments: object, check: bool = True) -> str:
    """What an example prints, as a process of its own."""
    (program,) = EXAMPLES.glob(f"{number}_*.py")
    command = [sys.executable, program, *arguments, "--out", folder, "--encoder", folder / "encoder"]
    paths = os.pathsep.join([str(Path(ditr.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout if check else done.stderr


def require_pictures(*paths: Path) -> None:
    for path in paths:
        with Image.open(path) as picture:
            assert picture.format == "PNG" and min(picture.size) > 300, path


def require_labels(folder: Path) -> None:
    label, names = np.load(folder / "label.npy"), json.loads((folder / "classes.json").read_text())["classes"]
    assert len(label) == len(ditr.read_capture(folder / "labels.ply"))
    assert label.min() >= -1 and label.max() < len(names) and (label >= 0).any()


def test_01_features(folder: Path) -> None:
    assert "points seen by 1 view" in run(folder, "01")
    out = folder / "01_features" / "room_0000"
    require_pictures(out / "features.png", out / "like.png")
    assert len(ditr.read_capture(out / "features.ply")) == len(ditr.read_capture(folder / "rooms/train/room_0000"))


def test_02_segment(folder: Path) -> None:
    printed = run(folder, "02", "--steps", 2)
    assert "<Segmenter" in printed and "% of the labelled points" in printed
    require_labels(folder / "02_segment" / "room_0000")
    require_pictures(folder / "02_segment" / "room_0000" / "labels.png")


def test_03_capture_from_arrays(folder: Path) -> None:
    assert "\nsound; written" in run(folder, "03")
    made, room = (ditr.read_capture(folder / name) for name in ("03_arrays/capture", "rooms/train/room_0000"))
    assert np.allclose(made.coord, room.coord, atol=1e-5)
    assert made.color is not None and np.array_equal(made.color, room.color)
    for ours, theirs in zip(made.views, room.views, strict=True):
        assert np.allclose(ours.world_to_camera, theirs.world_to_camera) and ours.camera == theirs.camera
    require_pictures(folder / "03_arrays" / "check.png")
    named = run(folder, "03", folder / "rooms/train/room_0000")
    assert "\nsound; written" in named  # of a capture that is named, over the earlier one


def test_04_clicks(folder: Path) -> None:
    assert "best to click next: point " in run(folder, "04")
    out = folder / "04_clicks"
    for room in ("room_0000", "room_0001"):
        require_labels(out / room)
        require_pictures(out / room / "labels.png")
    room = ditr.read_capture(folder / "rooms/train/room_0000")
    encoding = ditr.CachedEncoding(str(folder / "encoder"), ditr.FeatureCache(folder / "features"))
    session = ditr.Session(room, ditr.make_cells(room, encoding))
    session.replay(ditr.read_clicks(out / "clicks.json"), "clicks.json")
    assert np.array_equal(session.of_points()[0], np.load(out / "room_0000" / "label.npy"))
    assert set(ditr.read_bank(out / "mine.bank").classes) == set(session.classes)


def test_05_train(folder: Path) -> None:
    printed = run(folder, "05", "--steps", 2)
    assert re.search(r"never trained on: mIoU +[\d.]+ %", printed) and "structure" in printed
    require_labels(folder / "05_train")
    require_pictures(folder / "05_train" / "test.png")
    relabelled = ditr.read_capture(folder / "05_train/captures/train_room_0000")
    assert relabelled.label is not None and set(relabelled.label) == {-1, 0, 1, 2, 3}
    alone = run(folder, "05", folder / "rooms/test/room_0000", check=False)
    assert alone.startswith(f"{folder}/rooms/test/room_0000: there is one capture alone"), alone


def test_06_student(folder: Path) -> None:
    printed = run(folder, "06", "--steps", 2)
    assert "cosine to the teacher" in printed and "no images" in printed and "mIoU" in printed
    require_pictures(folder / "06_student" / "student.png", folder / "06_student" / "test.png")


def test_07_compare(folder: Path) -> None:
    printed = run(folder, "07", "--steps", 2)
    assert re.search(r"^PTv3( +\d+\.\d){3}$", printed, re.MULTILINE)
    assert re.search(r"^DITR( +\d+\.\d){3}$", printed, re.MULTILINE)
    require_pictures(folder / "07_compare" / "difference.png")
    one, other = (read_recipe(folder / "07_compare" / run / "recipe.json") for run in ("ptv3", "ditr"))
    assert replace(one, encoder=other.encoder) == other  # budgets and seeds are equal


@pytest.mark.slow
def test_08_ray(folder: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (ditr[ray])")
    assert run(folder, "08", "--steps", 2).count(": labelled, ") == 2
    require_labels(folder / "08_ray" / "room_0000")
    assert run(folder, "08", "--steps", 2).count(": done, ") == 2


def test_08_asks_for_ray(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    command = [sys.executable, str(EXAMPLES / "08_many_over_ray.py"), str(tmp_path), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100)
    assert done.returncode == 1
    assert done.stderr.strip() == "--ray: Ray is not installed. Install it: pip install 'ditr[ray]'."


def test_09_capture_format(folder: Path, tmp_path: Path) -> None:
    assert "read as a snapshot, since it begins as a snapshot does" in run(folder, "09")
    require_pictures(folder / "09_format" / "check.png", folder / "09_format" / "features.png")
    (tmp_path / "cut.snapshot").write_bytes((folder / "09_format" / "room.snapshot").read_bytes()[:1000])
    assert "Export the snapshot again" in run(folder, "09", tmp_path / "cut.snapshot", check=False)


def test_10_backbone(folder: Path) -> None:
    printed = run(folder, "10", "--steps", 2)
    assert re.search(r"Two, images by .*; accuracy [\d.]+ %", printed)
    require_pictures(folder / "10_backbone" / "test.png")
    assert json.loads((folder / "10_backbone/run/config.json").read_text())["network"]["kind"] == "two"


def recorded(path: Path) -> list[tuple[str, Any]]:
    """Topics and messages of a bag, in the order in which they were written."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    with Reader(path) as reader:
        return [(one.topic, store.deserialize_cdr(data, one.msgtype)) for one, _, data in reader.messages()]


def test_the_node_labels_recorded_messages(tmp_path: Path) -> None:
    assert "rclpy" not in sys.modules
    node = example("11_ros2_node")
    write_bag(tmp_path / "bag", "db3", *drive_past())
    scans, scenes = node.Scans(), []
    for topic, message in recorded(tmp_path / "bag"):
        if topic.startswith("/tf"):
            scans.on_transforms(message, static=topic == "/tf_static")
        elif topic.endswith("camera_info"):
            camera = topic.split("/")[1]
            scans.infos[f"/{camera}/image_raw" + ("/compressed" if camera == "front" else "")] = message
        elif "image" in topic:
            scans.images[topic] = message
        else:
            scans.on_cloud(message)
            scans.on_cloud(message)  # the older one is dropped
            scenes.append(scans.newest.get_nowait())
    drive = ditr.read(tmp_path / "bag")
    assert isinstance(drive, Drive) and len(scenes) == len(drive) == 3
    assert [len(scene.views) for scene in scenes[1:]] == [2, 2]
    for scene, stored in zip(scenes, drive, strict=True):
        assert np.array_equal(scene.coord, stored.coord) and np.array_equal(scene.strength, stored.strength)
    # The front camera has taken its photograph before the cloud came: its pose is that of the bag, motion and all.
    front = next(view for view in scenes[1].views if "front" in view.name)
    stored = next(view for view in drive.scene(1).views if "front" in view.name)
    assert np.allclose(front.world_to_camera, stored.world_to_camera, atol=1e-6) and front.camera == stored.camera

    torch.manual_seed(0)
    config = tiny_config(tiny_encoding(tmp_path, cache=False), attributes=(Attribute.COORD, Attribute.STRENGTH))
    segmenter = ditr.Segmenter(config, config.build(), device="cpu")
    store = loose().store.types
    with segmenter.stream(iter(scenes), StreamSettings(workers=0)) as stream:
        found = list(stream)
    for scene, prediction in zip(scenes, found, strict=True):
        assert np.array_equal(prediction.label, segmenter(scene).label)
        message = node.labelled(prediction, store["sensor_msgs/msg/PointCloud2"], store["sensor_msgs/msg/PointField"])
        rows = np.frombuffer(message.data, "<f4").reshape(-1, 5)
        assert message.header is scene.properties["header"] and message.width * message.point_step == len(message.data)
        assert np.array_equal(rows[:, 3], prediction.label) and np.array_equal(rows[:, 4], prediction.confidence)
        assert [field.name for field in message.fields] == ["x", "y", "z", "label", "confidence"]


def test_the_node_asks_for_ros() -> None:
    with pytest.raises(SystemExit, match="source ROS 2"):
        example("11_ros2_node").main("MODEL", "/points")

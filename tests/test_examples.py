"""The examples: short, and doing what they say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from bags import drive_past, loose, write_bag
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore
from small_world import tiny_config, tiny_encoding

import ditr
from ditr.captures.drives import Drive
from ditr.data.preparation import Attribute
from ditr.inference.stream import StreamSettings

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_they_are_short_and_say_what_they_are() -> None:
    for path in EXAMPLES.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 100 and text.startswith('"""') and path.name[:2].isdigit(), path.name


def recorded(path: Path) -> list[tuple[str, Any]]:
    """Topics and messages of a bag, in the order in which they were written."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    with Reader(path) as reader:
        return [(one.topic, store.deserialize_cdr(data, one.msgtype)) for one, _, data in reader.messages()]


def test_the_node_labels_recorded_messages(tmp_path: Path) -> None:
    assert "rclpy" not in sys.modules
    node = example("01_ros2_node")
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
        example("01_ros2_node").main("MODEL", "/points")

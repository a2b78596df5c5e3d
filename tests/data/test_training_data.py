"""What training scenes were like, and where another scene is unlike them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_world import PREPARATION, make_scene, write_world

from ditr.captures.folders import Captures
from ditr.data.preparation import Attribute, Origin, Preparation
from ditr.data.training_data import TrainingData, facts_of, measured
from ditr.geometry.orientation import find_up
from ditr.io.settings_json import from_plain, to_json_values
from ditr.scene import Scene

UP = np.array([0.0, 0.0, 1.0])
SWEEP = Preparation(0.1, (Attribute.COORD, Attribute.STRENGTH), origin=Origin.SENSOR)


def unlike(data: TrainingData, scene: Scene, preparation: Preparation = PREPARATION, **facts: float) -> list[str]:
    return data.unlike(facts_of(scene, preparation.of(scene), UP, **facts), preparation.of(scene))


def room(factor: float = 1.0, lift: float = 0.0) -> Scene:
    scene = make_scene()
    views = []
    for view in scene.views:
        pose = view.camera_to_world
        pose[:3, 3] = pose[:3, 3] * factor + (0, 0, lift)
        views.append(replace(view, world_to_camera=np.linalg.inv(pose)))
    return replace(scene, coord=scene.coord * factor, views=tuple(views))


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    captures = write_world(tmp_path_factory.mktemp("rooms"), 3)
    found = measured(Captures(captures), PREPARATION, takes_images=True)
    assert found is not None
    return found


def test_a_training_set_is_measured(rooms: TrainingData) -> None:
    assert rooms.scenes == 3
    assert rooms.extent == pytest.approx((4, 4), abs=0.05)
    assert rooms.cameras == pytest.approx((1.2, 1.2), abs=0.05)
    assert rooms.spacing is not None and 0.02 < rooms.spacing < 0.2
    assert rooms.seen is not None and 0.2 < rooms.seen[0] <= rooms.seen[1] <= 1
    size = make_scene().views[0].camera
    assert rooms.image_sizes == ((size.width, size.height),)
    assert (rooms.intensity, rooms.ground, rooms.distance) == (None, None, None)
    assert from_plain(TrainingData, to_json_values(rooms), "x") == rooms


def test_a_scene_like_those_in_training_is_not_unlike_them(rooms: TrainingData) -> None:
    for seed in range(3, 9):
        assert not unlike(rooms, make_scene(seed), seen=0.6)


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        (room(0.01), "in training (coordinates are metres)"),
        (room(100), "in training (coordinates are metres)"),
        (room(100), "m apart"),
        (room(lift=8), "its cameras are 9.2 m above the floor, but 1.2 m"),
    ],
)
def test_other_lengths_are_said(rooms: TrainingData, scene: Scene, said: str) -> None:
    assert said in "; ".join(unlike(rooms, scene, seen=0.6))


def test_few_points_seen_and_small_images_are_said(rooms: TrainingData) -> None:
    assert "5% of its points are seen" in unlike(rooms, make_scene(), seen=0.05)[0]
    larger = replace(rooms, image_sizes=((4000, 3000),))
    (found,) = unlike(larger, make_scene(), seen=0.6)
    assert "pixels a side" in found


def sweep(ground: float = -1.5, brightest: float = 0.3, shift: float = 0.0) -> Scene:
    rng = np.random.default_rng(1)
    coord = np.column_stack([rng.uniform(-30, 30, (3000, 2)) + shift, rng.normal(ground, 0.02, 3000)])
    return Scene("sweep", coord, strength=rng.uniform(0, brightest, 3000).astype(np.float32))


def test_sweeps_are_compared_by_ground_distance_and_intensity() -> None:
    facts = [facts_of(sweep(ground), SWEEP, UP) for ground in (-1.4, -1.6)]
    data = TrainingData.of(facts, 2)
    assert data.extent is None and data.cameras is None
    assert data.ground == pytest.approx((-1.63, -1.43), abs=0.02)
    assert not unlike(data, sweep(), SWEEP)
    assert not unlike(data, sweep(brightest=0.5), SWEEP)
    (found,) = unlike(data, sweep(brightest=255), SWEEP)
    assert found.startswith("intensities of") and "(try --strength-scale 255)" in found
    assert "the ground is" in unlike(data, sweep(0.3), SWEEP)[0]
    assert "m from the origin" in unlike(data, sweep(shift=900), SWEEP)[0]
    assert unlike(data, replace(sweep(), strength=None), SWEEP) == ["one value replaces all intensities"]


def test_scenes_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    captures = write_world(tmp_path, 2)
    (captures[0] / "transforms.json").write_text("{")
    found = measured(Captures(captures), PREPARATION, takes_images=False)
    assert found is not None and found.extent == pytest.approx((4, 4), abs=0.05) and found.seen is None
    (captures[1] / "transforms.json").write_text("{")
    assert measured(Captures(captures), PREPARATION, takes_images=False) is None


def test_measuring_is_the_same_each_time(rooms: TrainingData, tmp_path: Path) -> None:
    again = measured(Captures(write_world(tmp_path, 3)), PREPARATION, takes_images=True)
    assert again == rooms
    assert find_up(make_scene()) == pytest.approx(UP)

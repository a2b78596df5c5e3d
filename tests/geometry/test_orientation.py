"""Which way is up: cameras that are rolled or removed, other frames, flights."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ditr.geometry.orientation import find_up, rotation_to_z, weigh_up
from ditr.scene import Scene
from ditr.worlds.rooms import RoomsConfig, make_room

Z = np.array([0.0, 0.0, 1.0])


@cache
def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "up.py"
    if not path.exists():
        pytest.skip("benchmarks are not part of this copy")
    spec = importlib.util.spec_from_file_location("benchmark_up", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def room() -> Scene:
    return make_room(RoomsConfig(train=0, test=1, views=6, width=70, height=56, spacing=0.1), "test", 0)


def degrees(scene: Scene, up: np.ndarray) -> float:
    return float(np.rad2deg(np.arccos(np.clip(weigh_up(scene).direction @ up, -1, 1))))


@pytest.mark.parametrize("frame", ["as given", "y-up", "z-down"])
def test_a_room_has_the_same_up_however_its_cameras_are_turned(frame: str) -> None:
    up = benchmark()
    matrix = up.FRAMES[frame]
    scene = up.turned(room(), matrix)
    changed = [*(up.rolled(scene, angle) for angle in range(0, 360, 45)), replace(scene, views=())]
    for some in changed:
        np.testing.assert_array_equal(find_up(some), matrix @ Z)


def test_flights_that_look_down_do_not_tip_the_ground() -> None:
    up = benchmark()
    patterns = set()
    for seed in range(12):
        pattern, scene = up.flight(seed)
        patterns.add(pattern)
        np.testing.assert_array_equal(find_up(scene), Z)
        assert degrees(up.turned(scene, up.FRAMES["y-up"]), np.array([0.0, 1.0, 0.0])) < 10
    assert patterns == set(up.PATTERNS)


def test_level_cameras_tell_an_up_that_is_no_axis() -> None:
    tilt = rotation_to_z(np.array([0.1, 0.5, 0.9])).T
    scene = benchmark().turned(room(), tilt)
    found = weigh_up(scene)
    assert found.name == "cameras" and degrees(scene, tilt @ Z) < 3


def test_it_depends_on_nothing_but_the_scene() -> None:
    scene = benchmark().rolled(room(), 105)
    first, second = weigh_up(scene), weigh_up(replace(scene))
    assert first.margin == second.margin and first.evidence == second.evidence
    np.testing.assert_array_equal(first.direction, second.direction)


def test_without_evidence_z_is_kept() -> None:
    blob = Scene("blob", np.random.default_rng(0).normal(size=(2000, 3)))
    found = weigh_up(blob)
    assert found.name == "z" and abs(found.evidence) < 2
    np.testing.assert_array_equal(find_up(Scene("point", np.zeros((1, 3)))), Z)
    np.testing.assert_array_equal(find_up(Scene("line", np.arange(300.0).reshape(-1, 1) * np.array([1, 0, 2]))), Z)
    front = np.random.default_rng(0).uniform(0, [30, 0.5, 12], (2000, 3))
    np.testing.assert_array_equal(find_up(Scene("front", front)), Z)


def test_normals_without_a_side_or_a_value_do_not_matter() -> None:
    scene = room()
    assert scene.normal is not None
    all_up = np.where(scene.normal[:, 2:] < 0, -1, 1) * scene.normal
    for normal in (all_up, np.zeros_like(scene.normal), np.full_like(scene.normal, np.nan)):
        np.testing.assert_array_equal(find_up(replace(scene, normal=normal.astype(np.float32))), Z)

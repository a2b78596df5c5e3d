"""What is said of a capture's up."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from ditr.errors import Finding, Grade
from ditr.geometry.projection import INDOOR
from ditr.plausibility.uprightness import check_up
from ditr.scene import Scene
from ditr.worlds.rooms import RoomsConfig, make_room

LEVEL = np.eye(3)
Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


@cache
def room() -> Scene:
    return make_room(RoomsConfig(train=0, test=2, views=6, width=70, height=56, spacing=0.1), "test", 1)


def turned(scene: Scene, matrix: NDArray[np.float64] = LEVEL, roll: float = 0.0) -> Scene:
    """In another frame, with rolled cameras."""
    back, about_axis = np.eye(4), np.eye(4)
    back[:3, :3] = matrix.T
    cos, sin = np.cos(np.deg2rad(roll)), np.sin(np.deg2rad(roll))
    about_axis[:2, :2] = [[cos, -sin], [sin, cos]]
    views = tuple(replace(view, world_to_camera=about_axis @ view.world_to_camera @ back) for view in scene.views)
    assert scene.normal is not None
    normal = (scene.normal @ matrix.T).astype(np.float32)
    return replace(scene, coord=scene.coord @ matrix.T, normal=normal, views=views)


def found(scene: Scene) -> list[Finding]:
    return check_up(scene, INDOOR)


def test_nothing_is_said_of_a_sound_capture() -> None:
    assert found(room()) == [] == found(replace(room(), views=()))


def test_another_up_is_noted() -> None:
    (finding,) = found(turned(room(), Y_UP))
    assert finding.grade is Grade.NOTED and "y is up" in finding.text and finding.evidence["up"] == [0.0, 1.0, 0.0]
    (finding,) = found(replace(turned(room(), Y_UP), views=()))
    assert finding.grade is Grade.NOTED and "as the points show" in finding.text


def test_cameras_on_their_side_are_noted_and_odd_rolls_are_warned_of() -> None:
    (finding,) = found(turned(room(), roll=90))
    assert finding.grade is Grade.NOTED and "on their side" in finding.text
    for roll in (45, 180):
        finding, *notes = found(turned(room(), roll=roll))
        assert [note.grade for note in notes] == [Grade.NOTED] * (roll == 180)
        assert finding.grade is Grade.WARNED and "all cameras are turned" in finding.text and "--up" in finding.remedy
        assert finding.evidence["roll"] == pytest.approx(roll, abs=3)


def test_what_was_taken_for_granted_is_noted() -> None:
    (finding,) = found(Scene("blob", np.random.default_rng(0).normal(size=(2000, 3))))
    assert finding.grade is Grade.NOTED and "z is assumed to be up" in finding.text


def test_a_given_up_that_everything_contradicts_is_warned_of() -> None:
    assert found(replace(room(), up=np.array([0.0, 0.1, 2.0]))) == []
    finding, *_ = found(replace(room(), up=np.array([0.0, 1.0, 0.0])))
    assert finding.grade is Grade.WARNED and "given as y" in finding.text and "--up z" in finding.remedy

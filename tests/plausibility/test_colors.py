"""Colours of points against pixels tell single wrong poses, poses that are off, and exchanged channels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ditr.data.preparation import profile_rule
from ditr.errors import Finding, Grade
from ditr.plausibility.colors import check_colors
from ditr.scene import Scene
from ditr.worlds.rooms import RoomsConfig, make_room


@pytest.fixture(scope="module")
def room() -> Scene:
    return make_room(RoomsConfig(train=1, test=4, views=8, width=160, height=120, spacing=0.03), "test", 3)


def found_in(scene: Scene) -> list[Finding]:
    return check_colors(scene, profile_rule(scene)[1])


def turned(room: Scene, degrees: float, which: slice) -> Scene:
    """Some cameras turned about their vertical axis."""
    angle, turn = np.deg2rad(degrees), np.eye(4)
    turn[0, 0] = turn[2, 2] = np.cos(angle)
    turn[0, 2], turn[2, 0] = np.sin(angle), -np.sin(angle)
    views = list(room.views)
    views[which] = [replace(view, world_to_camera=turn @ view.world_to_camera) for view in views[which]]
    return replace(room, views=tuple(views))


def test_a_sound_room_and_a_cloud_without_colours_get_no_finding(room: Scene) -> None:
    assert found_in(room) == [] and found_in(replace(room, color=None)) == []


def test_one_camera_that_looks_elsewhere_is_named(room: Scene) -> None:
    (finding,) = found_in(turned(room, 40.0, slice(2, 3)))
    assert finding.grade is Grade.WARNED and f"do not fit the points: {room.views[2].name}" in finding.text


def test_poses_that_are_a_little_off_are_told_with_the_angle(room: Scene) -> None:
    (finding,) = found_in(turned(room, 6.0, slice(None)))
    assert finding.grade is Grade.WARNED and 4 <= finding.evidence["degrees"] <= 8


def test_exchanged_channels_are_told(room: Scene) -> None:
    assert room.color is not None
    (finding,) = found_in(replace(room, color=room.color[:, ::-1]))
    assert finding.about == "colours" and "red and blue" in finding.text

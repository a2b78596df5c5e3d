"""Colours of points against pixels tell exchanged channels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ditr.data.preparation import profile_rule
from ditr.errors import Finding
from ditr.plausibility.colors import check_colors
from ditr.scene import Scene
from ditr.worlds.rooms import RoomsConfig, make_room


@pytest.fixture(scope="module")
def room() -> Scene:
    return make_room(RoomsConfig(train=1, test=4, views=8, width=160, height=120, spacing=0.03), "test", 3)


def found_in(scene: Scene) -> list[Finding]:
    return check_colors(scene, profile_rule(scene)[1])


def test_a_sound_room_and_a_cloud_without_colours_get_no_finding(room: Scene) -> None:
    assert found_in(room) == [] and found_in(replace(room, color=None)) == []


def test_exchanged_channels_are_told(room: Scene) -> None:
    assert room.color is not None
    (finding,) = found_in(replace(room, color=room.color[:, ::-1]))
    assert finding.about == "colours" and "red and blue" in finding.text

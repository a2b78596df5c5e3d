"""Depth maps and colours against points tell single wrong poses, and poses that are all a little off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ditr.captures.capture import read_capture, write_capture
from ditr.captures.images import read_depth, read_image
from ditr.data.preparation import profile_rule
from ditr.errors import Finding, Grade
from ditr.plausibility.judge import judge
from ditr.plausibility.views import check_views
from ditr.scene import Scene, View
from ditr.worlds.rooms import RoomsConfig, make_room


@pytest.fixture(scope="module")
def room() -> Scene:
    return make_room(RoomsConfig(train=1, test=4, views=10, width=160, height=120, spacing=0.04), "test", 3)


def found_in(scene: Scene) -> list[Finding]:
    return check_views(scene, profile_rule(scene)[1])


def turned(room: Scene, degrees: float, which: slice) -> Scene:
    """Some cameras turned about their vertical axis."""
    angle, turn = np.deg2rad(degrees), np.eye(4)
    turn[0, 0] = turn[2, 2] = np.cos(angle)
    turn[0, 2], turn[2, 0] = np.sin(angle), -np.sin(angle)
    views = list(room.views)
    views[which] = [replace(view, world_to_camera=turn @ view.world_to_camera) for view in views[which]]
    return replace(room, views=tuple(views))


def without(scene: Scene, what: str) -> Scene:
    """The capture without the evidence of this kind."""
    if "colours" in what:
        scene = replace(scene, color=None)
    if "depth maps" in what:
        scene = replace(scene, views=tuple(replace(view, depth=None) for view in scene.views))
    return scene


def with_view(scene: Scene, number: int, view: View) -> Scene:
    return replace(scene, views=(*scene.views[:number], view, *scene.views[number + 1 :]))


EVIDENCE = ["nothing", "colours", "depth maps"]


@pytest.mark.parametrize("lacking", [*EVIDENCE, "colours and depth maps"])
def test_a_sound_room_gets_no_finding(room: Scene, lacking: str) -> None:
    assert found_in(without(room, lacking)) == []


@pytest.mark.parametrize("lacking", EVIDENCE)
@pytest.mark.parametrize("number", [0, 3, 8])
def test_one_camera_that_looks_elsewhere_is_named_whichever_it_is(room: Scene, number: int, lacking: str) -> None:
    (finding,) = found_in(turned(without(room, lacking), 40.0, slice(number, number + 1)))
    assert finding.grade is Grade.WARNED and finding.remedy == "Check the poses of these views, or leave them out"
    assert f"1 of the 10 checked views do not match the points: {room.views[number].name};" in finding.text
    assert set(finding.evidence) == {"depth maps", "colours"} - {lacking}


@pytest.mark.parametrize("lacking", EVIDENCE)
def test_poses_that_are_a_little_off_are_told_with_the_angle(room: Scene, lacking: str) -> None:
    (finding,) = found_in(turned(without(room, lacking), 6.0, slice(None)))
    assert finding.grade is Grade.WARNED and 4 <= finding.evidence["degrees"] <= 8
    assert "poses or the intrinsics are off" in finding.text


def test_without_depth_maps_and_colours_poses_that_are_off_hold_no_evidence(room: Scene) -> None:
    assert found_in(turned(without(room, "colours and depth maps"), 6.0, slice(None))) == []


def test_depth_maps_beside_their_photographs_are_told_apart_from_wrong_poses(room: Scene) -> None:
    def beside(view: View) -> View:
        depth = read_depth(view)
        assert depth is not None
        return replace(view, depth=np.roll(depth, 16, axis=1), depth_unit=1.0)

    (finding,) = found_in(replace(room, views=tuple(beside(view) for view in room.views)))
    assert "the depth maps do not line up with the photographs" in finding.text


def test_a_depth_map_that_hides_all_points_of_a_view_is_told(room: Scene) -> None:
    depth = read_depth(room.views[4])
    assert depth is not None
    view = replace(room.views[4], depth=depth / 10, depth_unit=1.0)
    (finding,) = found_in(with_view(room, 4, view))
    assert room.views[4].name in finding.text


def test_a_masked_part_of_a_view_tells_nothing_against_it(room: Scene) -> None:
    # A wrong photograph, all of which is masked but a strip that is right.
    image = read_image(room.views[5])
    wrong, mask = image[::-1, ::-1].copy(), np.zeros(image.shape[:2], dtype=bool)
    wrong[:60], mask[:60] = image[:60], True
    unmasked = replace(room.views[5], image=wrong)
    assert found_in(with_view(room, 5, unmasked)) != []
    assert found_in(with_view(room, 5, replace(unmasked, mask=mask))) == []


def test_the_judge_warns_of_a_capture_on_disk_and_names_the_view(tmp_path: Path, room: Scene) -> None:
    write_capture(turned(room, 40.0, slice(1, 2)), tmp_path / "room")
    scene = read_capture(tmp_path / "room")
    (finding,) = judge(scene, profile_rule(scene)[1]).of(Grade.WARNED)
    assert finding.about == "cameras" and scene.views[1].name in finding.text

"""Cameras that do not look at the points are told, and the usual mistakes are named with the option that helps."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ditr.captures.capture import read_capture, write_capture
from ditr.data.preparation import profile_rule
from ditr.errors import Finding, Grade, InputError
from ditr.inference.check import check_capture
from ditr.plausibility.cameras import agreement, check_cameras
from ditr.plausibility.judge import judge
from ditr.scene import CloudAxes, PoseConvention, ReadOptions, Scene, View
from ditr.worlds.rooms import RoomsConfig, make_room
from ditr.worlds.streets import StreetsConfig
from ditr.worlds.streets.generate import make_scan

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
Matrix = NDArray[np.float64]


@pytest.fixture(scope="module")
def room() -> Scene:
    return make_room(RoomsConfig(train=1, test=2, views=6, width=160, height=120, spacing=0.05), "test", 0)


@pytest.fixture(scope="module")
def street() -> Scene:
    return make_scan(StreetsConfig(count=1), 0)


def found_in(scene: Scene) -> list[Finding]:
    return check_cameras(scene, profile_rule(scene)[1])


def with_images(scene: Scene, others: Sequence[View]) -> Scene:
    """The views with the photographs of others."""
    pairs = zip(scene.views, others, strict=True)
    return replace(scene, views=tuple(replace(view, image=other.image) for view, other in pairs))


def stored_otherwise(scene: Scene, folder: Path, change: Callable[[Matrix], Matrix]) -> Path:
    """The scene as a capture whose file holds other matrices than nerfstudio's."""
    write_capture(scene, folder)
    path = folder / "transforms.json"
    content = json.loads(path.read_text())
    for frame in content["frames"]:
        frame["transform_matrix"] = change(np.array(frame["transform_matrix"])).tolist()
    path.write_text(json.dumps(content))
    return folder


MISTAKES = {
    PoseConvention.OPENCV: lambda pose: pose @ FLIP,
    PoseConvention.WORLD_TO_CAMERA: lambda pose: FLIP @ np.linalg.inv(pose),
    PoseConvention.WORLD_TO_CAMERA_OPENGL: lambda pose: np.linalg.inv(pose),
}


def test_sound_scenes_get_no_finding(room: Scene, street: Scene) -> None:
    bare = replace(room, color=None)
    for scene in (room, street, bare, replace(room, views=tuple(replace(v, depth=None) for v in room.views))):
        assert found_in(scene) == []


@pytest.mark.parametrize("convention", MISTAKES, ids=lambda convention: convention.value)
@pytest.mark.parametrize("without", ["nothing", "depth", "color", "depth and color"])
def test_poses_of_another_convention_are_named_and_mended(
    tmp_path: Path, room: Scene, convention: PoseConvention, without: str
) -> None:
    scene = room
    if "depth" in without:
        scene = replace(scene, views=tuple(replace(view, depth=None) for view in scene.views))
    if "color" in without:
        scene = replace(scene, color=None)
    folder = stored_otherwise(scene, tmp_path / "room", MISTAKES[convention])
    if without == "depth and color":
        # Nothing but shares and upright images to go by: it must not pass, and need not be named.
        assert any(finding.grade is Grade.REFUSED for finding in found_in(read_capture(folder)))
        return
    (finding,) = found_in(read_capture(folder))
    assert finding.grade is Grade.REFUSED and finding.remedy == f"Use --poses {convention.value}"
    corrected = read_capture(folder, ReadOptions(poses=convention))
    assert found_in(corrected) == []
    for view, expected in zip(corrected.views, scene.views, strict=True):
        np.testing.assert_allclose(view.world_to_camera, expected.world_to_camera, atol=1e-9)


def test_a_sweep_without_colours_is_told_by_its_images_that_stand_on_their_heads(tmp_path: Path, street: Scene) -> None:
    folder = stored_otherwise(street, tmp_path / "scan", MISTAKES[PoseConvention.OPENCV])
    (finding,) = found_in(read_capture(folder))
    assert finding.remedy == "Use --poses opencv" and "upside down" in finding.text


@pytest.mark.parametrize("axes", list(CloudAxes)[1:], ids=lambda axes: axes.value)
def test_a_cloud_with_other_axes_than_its_poses_is_named_and_mended(
    tmp_path: Path, room: Scene, axes: CloudAxes
) -> None:
    assert room.normal is not None
    inverse = axes.matrix.T  # what was done to the cloud, so that the option undoes it
    other = replace(room, coord=room.coord @ inverse.T, normal=(room.normal @ inverse.T).astype(np.float32))
    write_capture(other, tmp_path / "room")
    (finding,) = found_in(read_capture(tmp_path / "room"))
    assert finding.grade is Grade.REFUSED and finding.remedy == f"Use --cloud-axes {axes.value}"
    corrected = read_capture(tmp_path / "room", ReadOptions(cloud_axes=axes))
    np.testing.assert_allclose(corrected.coord, room.coord, atol=1e-6)
    assert found_in(corrected) == []
    # Written again, it is as it was corrected, and nothing is done twice.
    write_capture(corrected, tmp_path / "again")
    np.testing.assert_allclose(read_capture(tmp_path / "again").coord, room.coord, atol=1e-6)


@pytest.mark.parametrize("lacking", ["nothing", "colours", "depth maps"])
def test_images_at_the_poses_of_others_are_told(room: Scene, lacking: str) -> None:
    if lacking == "colours":
        room = replace(room, color=None)
    if lacking == "depth maps":
        room = replace(room, views=tuple(replace(view, depth=None) for view in room.views))
    (finding,) = found_in(with_images(room, [*room.views[1:], room.views[0]]))
    assert finding.grade is Grade.REFUSED
    assert f"for example, the pose of {room.views[0].name} fits the image of {room.views[-1].name}" in finding.text
    assert ("edges of images and depth maps" in finding.text) == (lacking == "colours")


def test_images_of_next_views_are_told_among_more_views_than_are_looked_at() -> None:
    room = make_room(RoomsConfig(train=1, test=2, views=20, width=160, height=120, spacing=0.05), "test", 1)
    (finding,) = found_in(with_images(room, [*room.views[1:], room.views[0]]))
    assert finding.grade is Grade.REFUSED and "images have the poses of other views" in finding.text
    assert found_in(room) == []


def test_images_of_some_other_place_are_not_taken_for_swapped_ones(room: Scene) -> None:
    other = make_room(RoomsConfig(train=1, test=9, views=6, width=160, height=120, spacing=0.05), "test", 7)
    for scene in (room, replace(room, color=None)):
        assert not any("other views" in finding.text for finding in found_in(with_images(scene, other.views)))


def test_masks_count_in_what_is_seen_and_in_what_is_expected(room: Scene) -> None:
    mask = np.zeros((120, 160), dtype=bool)
    mask[70:, 60:] = True
    masked = replace(room, views=tuple(replace(view, mask=mask) for view in room.views))
    rule = profile_rule(room)[1]
    up = np.array([0.0, 0.0, 1.0])
    before, after = agreement(room, rule, up), agreement(masked, rule, up)
    assert after.seen < 0.7 * before.seen and after.predicted < 0.7 * before.predicted
    assert found_in(masked) == []
    # All of it masked is what was asked for.
    assert found_in(replace(room, views=tuple(replace(v, mask=np.zeros_like(mask)) for v in room.views))) == []


def test_cameras_somewhere_else_are_refused_and_can_be_forced(room: Scene) -> None:
    away = replace(room, coord=room.coord + np.array([3.0, 0.0, 30.0]))
    judgement = judge(away, profile_rule(away)[1])
    with pytest.raises(InputError, match=r"the views show 0.0% of the points.*--force"):
        judgement.require()
    judgement.require(force=True)
    noted = judge(replace(away, as_published=True), profile_rule(away)[1])
    noted.require()
    assert noted.findings and not noted.of(Grade.REFUSED)


def test_check_says_what_there_is_and_draws_it(tmp_path: Path, room: Scene) -> None:
    found = check_capture(room)
    facts = found.facts()
    assert found.is_sound and facts["points"].startswith(f"{len(room):,}, with colour, normals")
    assert "6 with a depth map" in facts["views"] and facts["profile"] == "indoor"
    assert "another one" not in facts["spacing"]
    rows = np.arange(len(room))
    twice = check_capture(replace(room, coord=room.coord[rows // 2 * 2])).facts()["spacing"]
    assert twice == "0 m between neighbours (median); most points coincide with another one"
    found.draw(tmp_path / "check.png")
    assert (tmp_path / "check.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(json.dumps(found.to_json()))["scene"] == room.name

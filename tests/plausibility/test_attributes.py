"""Points that are not measurements, masks that leave nothing, and clouds elsewhere than their cameras."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_world import RULE, make_scene

from ditr.errors import Finding, Grade
from ditr.plausibility.attributes import check_attributes
from ditr.plausibility.judge import judge
from ditr.plausibility.scale import check_scale
from ditr.scene import Scene


def moved(scene: Scene, rows: slice, to: tuple[float, float, float]) -> Scene:
    coord = scene.coord.copy()
    coord[rows] = to
    return replace(scene, coord=coord)


def found_in(scene: Scene) -> list[Finding]:
    return check_attributes(scene, RULE)


def test_a_sound_scene_has_no_findings() -> None:
    scene = make_scene(0)
    assert (
        not found_in(scene)
        and not found_in(replace(scene, views=()))
        and not found_in(moved(scene, slice(9), (0, 0, 0)))
    )


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("away", [1e3, 5e4, 1e9])
def test_points_far_from_all_others_are_named_and_no_unit(count: int, away: float) -> None:
    scene = moved(make_scene(0), slice(7, 7 + count), (away, 0, 0))
    (finding,) = found_in(scene)
    assert finding.grade is Grade.WARNED and f"{count} of 400 are up to " in finding.text
    assert "the first is number 7" in finding.text and not check_scale(scene, RULE)


def test_points_that_were_not_measured_are_counted() -> None:
    (finding,) = found_in(moved(make_scene(0), slice(40), (0, 0, 0)))
    assert finding.grade is Grade.WARNED and "40 of 400 are at (0, 0, 0)" in finding.text


def test_degrees_are_refused() -> None:
    scene = make_scene(0)
    coord = scene.coord * (1 / 7e4, 1 / 1.1e5, 1) + (9.1, 48.7, 300)
    refused = judge(replace(scene, coord=coord), RULE).of(Grade.REFUSED)
    assert refused and "x and y look like degrees" in refused[0].text


def test_masks_that_take_out_whole_images_are_named() -> None:
    scene = make_scene(0)
    shape = (42, 56)
    views = tuple(replace(view, mask=np.full(shape, i > 0)) for i, view in enumerate(scene.views))
    (finding,) = found_in(replace(scene, views=views))
    assert finding.grade is Grade.NOTED and "the masks of photo_0 exclude" in finding.text


@pytest.mark.parametrize("offset", [(5e5, 5.4e6, 300.0), (-5e5, -2e6, 0.0), (0.0, 1e5, 0.0)])
def test_a_cloud_with_an_offset_that_its_poses_lack(offset: tuple[float, float, float]) -> None:
    scene = make_scene(0)
    (finding,) = check_scale(replace(scene, coord=scene.coord + offset), RULE)
    assert finding.grade is Grade.REFUSED and "points and poses have no common origin" in finding.text


def test_what_a_benchmark_holds_is_taken_as_it_is() -> None:
    scene = moved(make_scene(0), slice(40), (0, 0, 0))
    assert not found_in(replace(scene, as_published=True))

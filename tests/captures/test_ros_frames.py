"""The tree of tf: what is known of frames at a time, and what is not."""

from __future__ import annotations

import numpy as np
import pytest

from ditr.captures.ros_frames import Frames, Transforms, TransformUnknown

SECOND = 10**9


def moving(found: Transforms, parent: str, child: str, times: tuple[float, ...]) -> None:
    """At 2 m/s along x, and half a radian a second about z."""
    for time in times:
        turn = (float(np.cos(time / 4)), 0.0, 0.0, float(np.sin(time / 4)))
        found.add(parent, child, round(time * SECOND), (2 * time, 1.0, 0.0, *turn))


def static(
    found: Transforms, parent: str, child: str, place: tuple[float, float, float] = (0, 0, 1), stamp: int | None = None
) -> None:
    found.add(parent, child, stamp, (*place, 0.5, 0.5, -0.5, 0.5))


def drive() -> Frames:
    found = Transforms()
    moving(found, "odom", "base", (1.4, 0.2, 0.0, 0.1, 0.3, 1.5))
    static(found, "odom", "map_corner")
    static(found, "base", "lidar")
    static(found, "base", "camera", (9.0, 0.0, 0.5))
    static(found, "base", "camera", (1.0, 0.0, 0.5))
    return Frames(found)


def test_what_is_between_two_transforms_is_on_the_way() -> None:
    pose = drive().pose("base", "odom", round(0.27 * SECOND))
    np.testing.assert_allclose(pose[:3, 3], (0.54, 1, 0), atol=1e-12)
    np.testing.assert_allclose(pose[:2, 0], (np.cos(0.135), np.sin(0.135)), atol=1e-12)


def test_frames_at_two_times_by_one_that_stands_still() -> None:
    frames = drive()
    early, late = round(0.12 * SECOND), round(0.25 * SECOND)
    found = frames.between("lidar", early, "camera", late, "odom")
    point = np.array([1.0, 2.0, 3.0, 1.0])
    world = frames.pose("lidar", "odom", early) @ point
    np.testing.assert_allclose(frames.pose("camera", "odom", late) @ found @ point, world, atol=1e-12)
    still = frames.between("lidar", early, "camera", early, "base")
    assert np.abs(still - found).max() > 0.1
    np.testing.assert_allclose(still, frames.between("lidar", late, "camera", late, "base"), atol=1e-12)


@pytest.mark.parametrize(
    ("time", "said"),
    [(-0.5, "base is only known from 0.5 s later on"), (2.0, "known only 0.5 s before"), (0.9, "has a gap of 1.1 s")],
)
def test_nothing_is_extrapolated_and_gaps_are_not_filled(time: float, said: str) -> None:
    with pytest.raises(TransformUnknown, match=said):
        drive().pose("lidar", "odom", round(time * SECOND))


def test_the_tree() -> None:
    frames = drive()
    assert frames.above("camera") == ["camera", "base", "odom"]
    assert frames.common("camera", "lidar") == "base" and frames.common("camera", "map_corner") == "odom"
    assert frames.common("camera", "elsewhere") is None and frames.common("elsewhere", "elsewhere") == "elsewhere"
    assert frames.moves("camera", "odom") and not frames.moves("camera", "base")
    with pytest.raises(TransformUnknown, match="lidar is not above camera"):
        frames.pose("camera", "lidar", 0)


def test_what_is_repeated_and_never_changes_always_holds() -> None:
    found = Transforms()
    for time in (0.0, 0.1, 0.2):
        static(found, "base", "wheel", stamp=round(time * SECOND))
    frames = Frames(found)
    assert not frames.moves("wheel", "base")
    np.testing.assert_array_equal(frames.pose("wheel", "base", 99 * SECOND)[:3, 3], (0, 0, 1))


def test_odd_trees_are_said_and_end() -> None:
    found = Transforms()
    for parent, child in (("a", "b"), ("b", "c"), ("c", "a")):
        static(found, parent, child)
    moving(found, "d", "b", (0.0, 1.0))
    for numbers in ((0.0, float("nan"), 0.0, 1.0, 0.0, 0.0, 0.0), (0.0,) * 7, (1e300, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)):
        found.add("base", "broken", None, numbers)
    frames = Frames(found)
    assert any("3 transforms are not a rotation" in text for text in frames.said)
    assert any("b has several parents; d is used, and a is not" in text for text in frames.said)
    circle = Transforms()
    static(circle, "a", "b")
    static(circle, "b", "a")
    assert Frames(circle).above("a") == ["a", "b"]


def test_of_transforms_that_come_for_ever_the_newest_are_kept() -> None:
    found = Transforms(newest=3)
    moving(found, "odom", "base", tuple(0.1 * number for number in range(50)))
    frames = Frames(found)
    np.testing.assert_allclose(frames.pose("base", "odom", round(4.85 * SECOND))[0, 3], 9.7)
    with pytest.raises(TransformUnknown, match="later"):
        frames.pose("base", "odom", 2 * SECOND)

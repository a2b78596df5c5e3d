"""Do the cameras look at the points? Shares seen, depths, and colours of points against those of pixels.

Poses in another convention are the commonest mistake of all. So the usual conventions are tried, and the one that
explains the scene much better than what was read is named, with the option that uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ditr.captures.as_read import with_cloud_axes, with_poses
from ditr.captures.images import read_mask
from ditr.errors import Finding, Grade
from ditr.geometry.orientation import find_up
from ditr.geometry.projection import VisibilityRule, see
from ditr.plausibility.shown import correlation, sampled, shown_in_all
from ditr.plausibility.swapped_images import check_images
from ditr.scene import CloudAxes, PoseConvention, Scene

__all__ = ["Agreement", "agreement", "check_cameras"]

CLEARLY = 0.35
"""By how much another convention has to explain the scene better; sound captures came no nearer than 0.5."""
REFUSED_BELOW, WARNED_BELOW = 0.1, 0.5
"""Of the share of points that frusta and ranges predict."""
NOTHING = 0.001
"""Share of points seen below which the images serve for nothing, whatever was to be expected."""


@dataclass(frozen=True)
class Agreement:
    """How well cameras and points fit together; None where the capture has nothing to tell it by.

    Attributes:
        seen: share of the points in some view's frustum and range, except for masked pixels.
        predicted: that share for cameras at the same places that are turned together at random.
        depth: among points that have a depth value, the share at that depth less the share that floats before it.
        color: correlation of the points' colours with those of their pixels, over all channels.
        upright: mean of the cosine between the images' upper border and up, -1 for images that stand on their heads.
    """

    seen: float
    predicted: float
    depth: float | None
    color: float | None
    upright: float

    def score(self, most_seen: float) -> float:
        """0 to 1: by depths and colours where there are any, else by what is seen and how the images stand.

        Args:
            most_seen: the largest share that any convention lets the views show.
        """
        told = [max(0.0, value) for value in (self.depth, self.color) if value is not None]
        if told:
            return float(np.mean(told)) * min(1.0, 10 * self.seen)
        enough = 0.7 * min(1.0, self.seen / max(self.predicted, 1e-9)) + 0.3 * self.seen / max(most_seen, 1e-9)
        return enough * (0.5 + 0.25 * (1 + self.upright))


def check_cameras(scene: Scene, rule: VisibilityRule) -> list[Finding]:
    """Poses in another convention, images of other views, and views that see next to nothing.

    Raises:
        InputError: images or depth maps that cannot be read.
    """
    if not scene.posed_views or np.linalg.matrix_rank(scene.coord - scene.coord.mean(axis=0), tol=1e-3) < 2:
        return []
    sample = sampled(scene)
    given = _of(sample, rule, scene.reading.up)
    told = scene.reading.poses is not None or scene.reading.cloud_axes is not None
    found = [] if told else _another_convention(sample, rule, given)
    return (
        found
        or check_images(scene, rule)
        or _little_seen(given, masked=any(view.mask is not None for view in scene.posed_views))
    )


def agreement(scene: Scene, rule: VisibilityRule, up: NDArray[np.float64]) -> Agreement:
    """Of all points and posed views of a scene.

    Args:
        scene: few points and views; see :func:`sampled`.
        rule: whose ranges count; its depth test does not.
        up: (3,) of unit length.
    """
    seen, depth, color = _fits(scene, rule)
    return Agreement(seen, _predicted(scene, rule), depth, color, _upright(scene, up))


def _of(scene: Scene, rule: VisibilityRule, up: tuple[float, float, float] | None, *, short: bool = False) -> Agreement:
    """As :func:`agreement`; where depths and colours tell it, without how the images stand.

    Args:
        scene, rule: likewise.
        up: the direction against gravity, where it is told.
        short: whether what is predicted may be left out then, too.
    """
    seen, depth, color = _fits(scene, rule)
    is_told = depth is not None or color is not None
    predicted = np.nan if is_told and short else _predicted(scene, rule)
    upright = np.nan if is_told else _upright(scene, find_up(replace(scene, views=()), up))
    return Agreement(seen, predicted, depth, color, upright)


def _upright(scene: Scene, up: NDArray[np.float64]) -> float:
    return float(np.mean([-view.world_to_camera[1, :3] @ up for view in scene.posed_views]))


def _fits(scene: Scene, rule: VisibilityRule) -> tuple[float, float | None, float | None]:
    """What is seen, and how depths and colours agree."""
    seen = np.zeros(len(scene), dtype=bool)
    at_depth, colors = [], []
    for view, shown in zip(scene.posed_views, shown_in_all(scene, rule), strict=True):
        seen[shown.rows] = True
        at_depth.append(shown.depth_agreement())
        if scene.color is not None:
            colors.append(shown.colors(scene.color, view))
    depths = np.concatenate(at_depth)
    depth = float(depths.mean()) if len(depths) >= 100 else None if not _has_depth(scene) else 0.0
    return float(seen.mean()), depth, correlation(colors) if scene.color is not None else None


def _has_depth(scene: Scene) -> bool:
    return any(view.depth is not None for view in scene.views)


# ---- other conventions ----------------------------------------------------------------------------------------------


def _conventions(scene: Scene) -> Iterator[tuple[str, str, Scene]]:
    """What the file may have meant: the mistake in words, the option that reads it so, and the scene read so."""
    for convention, mistake in (
        (PoseConvention.OPENCV, "the poses have OpenCV camera axes (y down, z forward)"),
        (PoseConvention.WORLD_TO_CAMERA, "the poses lead from the world to the camera (OpenCV axes)"),
        (PoseConvention.WORLD_TO_CAMERA_OPENGL, "the poses lead from the world to the camera (OpenGL axes)"),
    ):
        yield mistake, f"--poses {convention.value}", with_poses(scene, convention)
    for axes, mistake in (
        (CloudAxes.Y_UP_TO_Z_UP, "the cloud's axes are not those of the poses (y and z are swapped)"),
        (CloudAxes.Z_UP_TO_Y_UP, "the cloud's axes are not those of the poses (y and z are swapped)"),
        (CloudAxes.SWAPPED, "the cloud's y and z are swapped, mirrored"),
    ):
        yield mistake, f"--cloud-axes {axes.value}", with_cloud_axes(scene, axes)


def _another_convention(scene: Scene, rule: VisibilityRule, given: Agreement) -> list[Finding]:
    is_told = given.depth is not None or given.color is not None
    if is_told and given.score(1.0) + CLEARLY > 1:  # nothing can be so much better
        return []
    tried = [
        (mistake, option, _of(other, rule, None if "cloud" in option else scene.reading.up, short=True))
        for mistake, option, other in _conventions(scene)
    ]
    most = max(given.seen, *(found.seen for _, _, found in tried))
    # Of two that explain a scene alike the one that does not mirror it.
    scores = [found.score(most) - 0.02 * ("mirrored" in mistake) for mistake, _, found in tried]
    best, own = max(scores), given.score(most)
    if best < own + CLEARLY:
        return []
    mistake, option, found = tried[scores.index(best)]
    return [
        Finding(
            Grade.REFUSED,
            "cameras",
            f"cameras and points do not match ({_told(given)}); they do if {mistake} ({_told(found)})",
            f"Use {option}",
            {
                "seen": round(given.seen, 4),
                "score": round(own, 3),
                "better": option,
                "its_score": round(best, 3),
            },
        )
    ]


def _told(found: Agreement) -> str:
    parts = [f"{found.seen:.0%} of the points in some view"]
    if found.depth is not None:
        parts.append(f"agreement with depth maps {found.depth:.2f}")
    if found.color is not None:
        parts.append(f"with colours {found.color:.2f}")
    if found.depth is None and found.color is None and found.upright < -0.5:
        parts.append("images upside down")
    return ", ".join(parts)


# ---- what is seen ---------------------------------------------------------------------------------------------------


def _little_seen(given: Agreement, *, masked: bool) -> list[Finding]:
    """Masks may take out all there is, which is not a fault."""
    predicted = given.predicted
    share = given.seen if given.depth is None else given.seen * max(0.0, given.depth)
    evidence = {"seen": round(share, 4), "predicted": round(predicted, 4)}
    least = 0.0 if masked else NOTHING
    if share >= max(least, WARNED_BELOW * predicted):
        return []
    grade = Grade.REFUSED if share < max(least, REFUSED_BELOW * predicted) else Grade.WARNED
    text = f"the views show {share:.1%} of the points, where {predicted:.1%} is expected from frusta, ranges and masks"
    if given.depth is not None and given.depth < WARNED_BELOW:
        text += f"; depth maps and points agree to {max(0.0, given.depth):.2f}"
    return [Finding(grade, "cameras", text, "Check the poses, the unit and the depth maps (`ditr check`)", evidence)]


def _predicted(scene: Scene, rule: VisibilityRule) -> float:
    """The share of points that cameras at these places, turned together at random, would have in view."""
    views = scene.posed_views
    centers = np.stack([view.center for view in views])
    in_range = np.zeros(len(scene), dtype=bool)
    for center in centers:
        distance = np.linalg.norm(scene.coord - center, axis=1)
        in_range |= (distance > (rule.min_depth or 0)) & (distance < (rule.max_depth or np.inf))
    number = np.arange(1000) + 0.5
    z = 1 - number / 500
    angle = np.pi * (1 + 5**0.5) * number
    around = np.stack([np.cos(angle) * np.sqrt(1 - z * z), np.sin(angle) * np.sqrt(1 - z * z), z], axis=1)
    covered = np.zeros(len(around), dtype=bool)
    for view in views:
        turned = np.eye(4)
        turned[:3, :3] = view.world_to_camera[:3, :3]
        covered |= see(around, replace(view, world_to_camera=turned), mask=read_mask(view)).visible
    return float(in_range.mean() * covered.mean())

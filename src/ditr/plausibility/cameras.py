"""Do the cameras look at the points? Shares seen, depths, and colours of points against those of pixels.

Poses in another convention are the commonest mistake of all. So the usual conventions are tried, and the one that
explains the scene much better than what was read is named, with the option that uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ditr.captures.as_read import with_cloud_axes, with_poses
from ditr.captures.images import read_depth, read_image
from ditr.errors import Finding, Grade
from ditr.geometry.orientation import find_up
from ditr.geometry.projection import VisibilityRule, project
from ditr.scene import CloudAxes, PoseConvention, Scene, View

__all__ = ["Agreement", "Shown", "agreement", "check_cameras", "correlation", "sampled"]

POINTS, VIEWS = 20_000, 8
"""How many points and views are looked at: enough for shares of a per cent, and a second of work."""
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
        seen: share of the points in some view's frustum and range.
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
    up = find_up(replace(sample, views=()), scene.reading.up)
    given = agreement(sample, rule, up)
    told = scene.reading.poses is not None or scene.reading.cloud_axes is not None
    found = [] if told else _another_convention(sample, rule, up, given)
    return found or _swapped_images(sample, rule, given) or _little_seen(given)


def agreement(scene: Scene, rule: VisibilityRule, up: NDArray[np.float64]) -> Agreement:
    """Of all points and posed views of a scene.

    Args:
        scene: few points and views; see :func:`sampled`.
        rule: whose ranges count; its depth test does not.
        up: (3,) of unit length.
    """
    seen = np.zeros(len(scene), dtype=bool)
    at_depth, colors = [], []
    for view in scene.posed_views:
        shown = Shown.of(scene, view, rule)
        seen[shown.rows] = True
        at_depth.append(shown.depth_agreement())
        if scene.color is not None:
            colors.append(shown.colors(scene.color, view))
    upright = float(np.mean([-view.world_to_camera[1, :3] @ up for view in scene.posed_views]))
    depths = np.concatenate(at_depth)
    return Agreement(
        seen=float(seen.mean()),
        predicted=_predicted(scene, rule),
        depth=float(depths.mean()) if len(depths) >= 100 else None if not _has_depth(scene) else 0.0,
        color=correlation(colors) if scene.color is not None else None,
        upright=upright,
    )


@dataclass(frozen=True, eq=False)
class Shown:
    """The points in a view's frustum and range: rows, (n, 2) pixels, (n,) depths, (n,) values of the depth map."""

    rows: NDArray[np.int64]
    pixel: NDArray[np.float64]
    depth: NDArray[np.float64]
    stored: NDArray[np.float32] | None

    @classmethod
    def of(cls, scene: Scene, view: View, rule: VisibilityRule) -> Shown:
        found = project(scene.coord, view.camera, view.world_to_camera)
        u, v = found.pixel.T
        with np.errstate(invalid="ignore"):
            inside = (u >= 0) & (u < view.camera.width) & (v >= 0) & (v < view.camera.height) & (found.depth > 0)
            inside &= (found.depth > (rule.min_depth or 0)) & (found.depth < (rule.max_depth or np.inf))
        rows = np.flatnonzero(inside)
        stored = None
        depth_map = read_depth(view) if len(rows) else None
        if depth_map is not None and depth_map.size:
            height, width = depth_map.shape
            column = (u[rows] / view.camera.width * width).astype(np.int64)
            row = (v[rows] / view.camera.height * height).astype(np.int64)
            stored = depth_map[row, column]
        return cls(rows, found.pixel[rows], found.depth[rows], stored)

    def depth_agreement(self) -> NDArray[np.float64]:
        """For each point with a depth value: 1 at that depth, -1 before it, 0 behind."""
        if self.stored is None:
            return np.empty(0)
        known = self.stored > 0
        distance = self.depth[known] - self.stored[known]
        margin = np.maximum(0.2, 0.05 * self.depth[known])
        return np.where(distance < -margin, -1.0, (distance <= margin).astype(np.float64))

    def colors(self, color: NDArray[np.uint8], view: View) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(m, 3) colours of the points that are not hidden, and of their pixels."""
        rows, pixel = self.in_front(view)
        of_points = color[rows].astype(np.float64)
        of_pixels = read_image(view)[pixel[:, 1], pixel[:, 0]].astype(np.float64) if len(rows) else of_points
        return of_points, of_pixels

    def in_front(self, view: View) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and whole pixels of the points at the depth map's depth or, without one, nearest in their part of it."""
        if self.stored is not None:
            front = (self.stored > 0) & (np.abs(self.depth - self.stored) <= 0.2)
        else:
            cells = 32 * (self.pixel[:, 1] / view.camera.height * 24).astype(np.int64)
            cells += (self.pixel[:, 0] / view.camera.width * 32).astype(np.int64)
            nearest = np.full(32 * 24, np.inf)
            np.minimum.at(nearest, cells, self.depth)
            front = self.depth <= 1.1 * nearest[cells]
        return self.rows[front], self.pixel[front].astype(np.int64)


def correlation(pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    """Over all channels, each image's own brightness taken off; 0 where there is too little to tell."""
    kept = [(a - a.mean(axis=0), b - b.mean(axis=0)) for a, b in pairs if len(a) >= 50]
    if not kept:
        return 0.0
    ours, theirs = (np.concatenate(side) for side in zip(*kept, strict=True))
    norm = np.sqrt((ours * ours).sum() * (theirs * theirs).sum())
    return float((ours * theirs).sum() / norm) if norm > 0 else 0.0


@lru_cache(maxsize=1)  # Several checks look at one scene.
def sampled(scene: Scene) -> Scene:
    """The scene with few points and views, both spread evenly; the same ones each time."""
    rows = np.linspace(0, len(scene) - 1, min(len(scene), POINTS)).astype(np.int64)
    posed = scene.posed_views
    picked = [posed[row] for row in np.unique(np.linspace(0, len(posed) - 1, min(len(posed), VIEWS)).astype(np.int64))]
    return replace(
        scene,
        coord=scene.coord[rows],
        views=tuple(replace(view, image=read_image(view), depth=read_depth(view)) for view in picked),
        color=None if scene.color is None else scene.color[rows],
        normal=None if scene.normal is None else scene.normal[rows],
        strength=None,
        label=None,
        extra={},
    )


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


def _another_convention(scene: Scene, rule: VisibilityRule, up: NDArray[np.float64], given: Agreement) -> list[Finding]:
    tried = [
        (mistake, option, agreement(other, rule, find_up(replace(other, views=())) if "cloud" in option else up))
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
            f"cameras and points do not fit ({_told(given)}); they do if {mistake} ({_told(found)})",
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


# ---- images of other views ------------------------------------------------------------------------------------------


def _swapped_images(scene: Scene, rule: VisibilityRule, given: Agreement) -> list[Finding]:
    """Whether images belong to other views: every image is tried under every pose of its size."""
    views = scene.posed_views
    if scene.color is None or given.color is None or given.color > 0.5 or len(views) < 3:
        return []
    if len({(view.camera.width, view.camera.height) for view in views}) > 1:
        return []
    table = np.zeros((len(views), len(views)))
    for row, view in enumerate(views):
        shown = Shown.of(scene, view, rule)
        for column, other in enumerate(views):
            table[row, column] = correlation([shown.colors(scene.color, replace(view, image=other.image))])
    rows, columns = linear_sum_assignment(-table)
    own, best = float(np.diag(table).mean()), float(table[rows, columns].mean())
    moved = [(views[row].name, views[column].name) for row, column in zip(rows, columns, strict=True) if row != column]
    if best < own + CLEARLY or not moved:
        return []
    return [
        Finding(
            Grade.REFUSED,
            "cameras",
            f"images stand at poses of other views: colours of points and pixels agree to {own:.2f} as they are and to "
            f"{best:.2f} otherwise; {moved[0][0]}, say, has the image of {moved[0][1]}",
            "Check which image belongs to which pose",
            {"color": round(own, 3), "color_otherwise": round(best, 3)},
        )
    ]


# ---- what is seen ---------------------------------------------------------------------------------------------------


def _little_seen(given: Agreement) -> list[Finding]:
    predicted = given.predicted
    share = given.seen if given.depth is None else given.seen * max(0.0, given.depth)
    evidence = {"seen": round(share, 4), "predicted": round(predicted, 4)}
    if share >= max(NOTHING, WARNED_BELOW * predicted):
        return []
    grade = Grade.REFUSED if share < max(NOTHING, REFUSED_BELOW * predicted) else Grade.WARNED
    text = f"the views show {share:.1%} of the points, where frusta and ranges let expect {predicted:.1%}"
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
        found = project(around, view.camera, turned)
        u, v = found.pixel.T
        with np.errstate(invalid="ignore"):
            covered |= (u >= 0) & (u < view.camera.width) & (v >= 0) & (v < view.camera.height) & (found.depth > 0)
    return float(in_range.mean() * covered.mean())

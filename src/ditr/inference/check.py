"""Everything that is known of a capture before anything is computed with it, and a sheet to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.classes import LabelCounts
from ditr.captures.images import read_depth, read_image
from ditr.data.preparation import profile_rule
from ditr.errors import Grade, few
from ditr.geometry.bounds import bounding_box
from ditr.geometry.orientation import find_up
from ditr.geometry.projection import Sight, VisibilityRule, see
from ditr.inference.assumptions import is_unit_told
from ditr.pictures.panels import LegendEntry, Panel, save_picture, sheet
from ditr.pictures.pictures import Overlay, spread_views
from ditr.pictures.render import DrawnCloud
from ditr.plausibility.cameras import Agreement, agreement
from ditr.plausibility.judge import Judgement, judge
from ditr.plausibility.shown import sampled
from ditr.scene import Scene, View

__all__ = ["CaptureCheck", "check_capture"]

_GREEN, _BLUE, _RED, _GREY = (60, 170, 75), (70, 110, 220), (225, 50, 45), (150, 150, 150)
_COLORS = {Sight.VISIBLE: _GREEN, Sight.HIDDEN: _BLUE, Sight.IN_FRONT: _RED}
_COLOR_DISTANCE = 90.0
"""Of 0..441, between a point's colour and its pixel's: above it they differ for anybody who looks."""


@dataclass(frozen=True, eq=False)
class CaptureCheck:
    """What a capture holds, and what speaks against it.

    Attributes:
        scene: the capture.
        profile: "indoor" or "outdoor".
        rule: which points a view shows.
        judgement: findings of the reader and of the judge.
        agreement: how well cameras and points fit together; None without cameras.
        views_compared: how many of the views were compared with the points; of many, some that are spread evenly.
    """

    scene: Scene
    profile: str
    rule: VisibilityRule
    judgement: Judgement
    agreement: Agreement | None
    views_compared: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether nothing was refused and nothing warned of."""
        return not self.judgement.of(Grade.REFUSED) and not self.judgement.of(Grade.WARNED)

    def facts(self) -> dict[str, Any]:
        """Plain values by what they are, for a table or a file."""
        scene = self.scene
        low, high = bounding_box(scene.coord)
        names = {"colour": scene.color, "normals": scene.normal, "strength": scene.strength, "labels": scene.label}
        had = [name for name, values in names.items() if values is not None]
        facts: dict[str, Any] = {
            "points": f"{len(scene):,}, with {', '.join(had) or 'nothing else'}",
            "extent": " x ".join(_metres(length) for length in high - low) + " m",
            "unit": _unit_in_words(scene),
            "spacing": _spacing_in_words(scene.coord),
            "up": ", ".join(f"{value:.2f}" for value in find_up(scene)),
            "profile": self.profile,
        }
        if scene.strength is not None and len(scene):
            facts["strength"] = f"{scene.strength.min():.3g} to {scene.strength.max():.3g}"
        if scene.extra:
            facts["other columns"] = ", ".join(scene.extra)
        if scene.views:
            facts["views"] = _views_in_words(scene)
        if self.agreement is not None:
            looked = f"of {self.views_compared} of the {len(scene.posed_views)} views"
            facts["points in some view"] = f"{self.agreement.seen:.1%} (in the frustum and the range {looked})"
            if self.agreement.depth is not None:
                facts["depth maps"] = f"agree with the points to {self.agreement.depth:.2f} (1 is best)"
            if self.agreement.color is not None:
                facts["colours"] = f"of points and pixels correlate with {self.agreement.color:.2f} (1 is best)"
        if scene.label is not None:
            labelled = scene.label >= 0
            present = len(np.unique(scene.label[labelled]))
            known = f" of {len(scene.class_names)}" if scene.class_names else ""
            unnamed = "" if scene.class_names else ", whose names are unknown"
            facts["labels"] = f"{labelled.mean():.1%} of the points; {present}{known} classes occur{unnamed}"
            if scene.class_names and present:
                facts["classes"] = few(_often(scene), 6)
        return facts

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``check.json``."""
        return {"scene": self.scene.name, "facts": self.facts(), "findings": self.judgement.to_json()}

    def draw(self, path: str | Path) -> None:
        """A contact sheet: up to nine images with the points that fall into them, coloured by whether they agree.

        Raises:
            InputError: images or depth maps that cannot be read, or no image at all.
        """
        cloud = DrawnCloud.of(self.scene)
        panels = [
            Panel(Overlay(cloud, view, width=520).paint(self._colors(view)), view.name)
            for view in spread_views(self.scene.posed_views, 9)
        ]
        rows = [panels[start : start + 3] for start in range(0, len(panels), 3)]
        save_picture(
            path, sheet(rows, title=f"{self.scene.name}: do points and images agree?", legends=[self._legend()])
        )

    def _colors(self, view: View) -> NDArray[np.uint8]:
        scene, rule = self.scene, self.rule
        depth = read_depth(view)
        if depth is None and scene.color is not None:
            return _by_color(scene, scene.color, view)
        plain = VisibilityRule(depth_margin=rule.depth_margin or 0.2) if depth is not None else VisibilityRule()
        sight = see(scene.coord, view, plain, depth).sight
        table = np.array([_COLORS.get(kind, _GREY) for kind in Sight], dtype=np.uint8)
        return table[sight]

    def _legend(self) -> tuple[LegendEntry, ...]:
        if any(view.depth is not None for view in self.scene.views):
            return (
                LegendEntry("at the depth map's depth", _GREEN),
                LegendEntry("behind it, so hidden", _BLUE),
                LegendEntry("in front of it: the pose, the unit or the depth map is wrong", _RED),
                LegendEntry("no depth value", _GREY),
            )
        if self.scene.color is not None:
            return (
                LegendEntry("point and pixel have similar colours", _GREEN),
                LegendEntry("different colours: hidden, or the pose is wrong", _RED),
            )
        return (LegendEntry("falls into the image", _GREEN),)


def check_capture(scene: Scene) -> CaptureCheck:
    """Look at a capture as the commands do before they work.

    Args:
        scene: points and views.

    Raises:
        InputError: images or depth maps that cannot be read.
    """
    profile, rule = profile_rule(scene)
    if not scene.posed_views:
        return CaptureCheck(scene, profile, rule, judge(scene, rule), None)
    sample = sampled(scene)
    fit = agreement(sample, rule, find_up(scene))
    return CaptureCheck(scene, profile, rule, judge(scene, rule), fit, len(sample.views))


def _by_color(scene: Scene, color: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    found = see(scene.coord, view, VisibilityRule(), None)
    result = np.full((len(scene), 3), _GREY, dtype=np.uint8)
    rows = np.flatnonzero(found.visible)
    u, v = found.pixel[rows].astype(np.int64).T
    distance = np.linalg.norm(read_image(view)[v, u].astype(np.float64) - color[rows], axis=1)
    result[rows] = np.where((distance < _COLOR_DISTANCE)[:, None], _GREEN, _RED).astype(np.uint8)
    return result


def _spacing(coord: NDArray[np.float64]) -> float:
    """The median distance from a point to its nearest neighbour, of a thousand points."""
    from scipy.spatial import cKDTree

    if len(coord) < 2:
        return 0.0
    rows = np.unique(np.linspace(0, len(coord) - 1, 1000).astype(np.int64))
    return float(np.median(cKDTree(coord).query(coord[rows], k=2)[0][:, 1]))


def _spacing_in_words(coord: NDArray[np.float64]) -> str:
    spacing = _spacing(coord)
    copies = "; most points coincide with another one" if spacing == 0 and len(coord) > 1 else ""
    return f"{spacing:.2g} m between neighbours (median){copies}"


def _metres(length: float) -> str:
    return f"{length:,.0f}" if length >= 1000 else f"{length:.3g}"


def _unit_in_words(scene: Scene) -> str:
    if scene.unscaled:
        return f"none, since {scene.unscaled}"
    return "metres, converted as given" if is_unit_told(scene) else "metres (assumed; --unit changes it)"


def _often(scene: Scene) -> list[str]:
    """The classes that occur, the most frequent first, with their shares of the labelled points."""
    occurring = [entry for entry in LabelCounts.of(scene).by_frequency() if entry[1]]
    total = sum(count for _, count in occurring)
    return [f"{name} {count / total:.0%}" for name, count in occurring]


def _views_in_words(scene: Scene) -> str:
    parts: list[str] = list(_sizes(scene))
    with_depth = sum(view.depth is not None for view in scene.views)
    parts.append(f"{with_depth} with a depth map" if with_depth else "no depth maps")
    return f"{len(scene.views)}: {', '.join(parts)}"


def _sizes(scene: Scene) -> Iterator[str]:
    kinds = sorted({(view.camera.width, view.camera.height, view.camera.model.value) for view in scene.views})
    for width, height, model in kinds[:3]:
        yield f"{width} x {height} {model}"
    if len(kinds) > 3:
        yield f"and {len(kinds) - 3} other sizes"

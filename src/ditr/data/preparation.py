"""Preparation: all settings that decide how a scene becomes a sample, in training and at inference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from ditr.data.augment.points import PointClip
from ditr.errors import InputError
from ditr.geometry.projection import INDOOR, OUTDOOR, VisibilityRule
from ditr.scene import ReadOptions, Scene, View

__all__ = [
    "Attribute",
    "Box",
    "Lookup",
    "Origin",
    "Preparation",
    "ViewChoice",
    "ViewDrop",
    "ViewOrder",
    "how_hidden",
    "profile_of",
    "profile_rule",
]


class ViewChoice(Enum):
    """Which view a point takes its feature from where several see it.

    The paper (section 3.1) found aggregation over all of them to be worse than a random one.
    """

    RANDOM = "random"
    """Any of them, drawn for each point (the paper, section 3.1)."""
    LAST = "last"
    """The last in the capture's order (the published weights)."""
    NEAREST = "nearest"
    """The one whose camera is nearest to the point."""
    MEAN = "mean"
    """None: the mean of what all of them give."""
    MAX = "max"
    """None: the maximum, channel by channel, of what all of them give."""


class Lookup(Enum):
    """How a point takes its feature from the tokens of a view."""

    PATCH = "patch"
    """The token of the patch that the point falls into (the paper, section 3.1)."""
    BILINEAR = "bilinear"
    """Interpolated between the four patches whose centres are around the point; the paper found it to be worse."""


class ViewOrder(Enum):
    """Which views of a scene inference uses where it uses a limited number (paper, appendix B and Table 9)."""

    EQUIDISTANT = "equidistant"
    """At equal steps in the capture's order, which usually is that of time."""
    RANDOM = "random"
    """Drawn from the seed, as in training."""


@dataclass(frozen=True)
class ViewDrop:
    """Leave out views of training samples, so that a network learns to do without (paper, Tables 8 and 9).

    The published models were trained with none left out.

    Attributes:
        all: probability that a sample loses all its views.
        each: probability, for a sample that does not, that it loses a view, for each view on its own.

    Raises:
        InputError: numbers that are not probabilities.
    """

    all: float = 0.1
    each: float = 0.2

    def __post_init__(self) -> None:
        for name, value in (("all", self.all), ("each", self.each)):
            if not 0 <= value <= 1:
                raise InputError(f"view_drop.{name}", f"it is {value}", "Give a probability, 0 to 1")

    def keep(self, rows: Sequence[int], rng: np.random.Generator) -> list[int]:
        """Those of the views that a sample keeps, in their order."""
        if rng.random() < self.all:
            return []
        return [row for row, drawn in zip(rows, rng.random(len(rows)), strict=True) if drawn >= self.each]


BUILDING = 60.0
"""Metres: what is no larger, has colour and no intensities, is taken for a part of a building."""


def profile_of(scene: Scene) -> tuple[str | None, str]:
    """The profile, "indoor" or "outdoor", and the reason for it; None where nothing tells it.

    As the scene says; else indoors with depth maps, outdoors with intensities, and indoors with colours where it is no
    larger than a building. Every command asks here.

    Raises:
        InputError: the scene says another name.
    """
    profile: str | None = scene.reading.profile
    if profile is not None:
        if profile not in ("indoor", "outdoor"):
            raise InputError("profile", f"there is no profile {profile!r}", "Use indoor or outdoor")
        return profile, "as told"
    if any(view.depth is not None for view in scene.views):
        return "indoor", "there are depth maps"
    if scene.strength is not None:
        return "outdoor", "the points have intensities, and no view has a depth map"
    if "strength" in dict(scene.reading.substitute):
        return "outdoor", "there is a substitute for intensities"
    extent = np.ptp(scene.coord, axis=0)
    size = " x ".join(f"{length:.0f}" for length in extent)
    if scene.color is not None and extent.max() <= BUILDING:
        return "indoor", f"the points have colour but no intensity, and span {size} m"
    return None, f"no depth maps, no intensities, {size} m large"


def profile_rule(scene: Scene) -> tuple[str, VisibilityRule]:
    """The profile of a scene, outdoor where nothing tells it, and its visibility rule.

    The published indoor rule is one of depth maps: where there are none, and nobody says that this is indoors, what
    lies inside the image counts as seen. What the scene says of occlusion counts in any case.

    Raises:
        InputError: as for :func:`profile_of`.
    """
    profile = profile_of(scene)[0] or "outdoor"
    told = scene.reading.profile is not None or any(view.depth is not None for view in scene.views)
    rule = INDOOR if profile == "indoor" and told else OUTDOOR
    return profile, replace(rule, occlusion=scene.reading.occlusion or rule.occlusion)


def how_hidden(rule: VisibilityRule, views: Sequence[View]) -> str:
    """How it is found out which points are hidden in views, in words."""
    without = len(views) if rule.depth_margin is None else sum(view.depth is None for view in views)
    compared = f"depth maps, within {rule.depth_margin:g} m" if rule.depth_margin is not None else ""
    if not without and views:
        return compared
    unused = any(view.depth is not None for view in views)
    reason = "the rule does not use depth maps" if rule.depth_margin is None and unused else "there are no depth maps"
    if rule.occlusion == "z-buffer":
        own = "z-buffer of the cloud"
        return (
            f"{own}, since {reason}" if without == len(views) else f"{compared}; {own} in the {without} views without"
        )
    none = "none, so hidden points count as seen"
    return f"{none}, since {reason}" if without == len(views) else f"{compared}; none in the {without} views without"


Box = tuple[float, float, float, float, float, float]
"""Low x, y, z and high x, y, z in metres."""


class Attribute(Enum):
    """What can be an input feature of a point; the value is its name in commands and files."""

    COORD = "coord"
    COLOR = "color"
    NORMAL = "normal"
    STRENGTH = "strength"

    @property
    def width(self) -> int:
        return 1 if self is Attribute.STRENGTH else 3


class Origin(Enum):
    """Where coordinates are counted from: indoors the middle of the floor plan, outdoors the sensor (the file's 0)."""

    CENTER = "center"
    SENSOR = "sensor"


@dataclass(frozen=True)
class Preparation:
    """All that decides how a scene becomes a sample, in training and at inference.

    Attributes:
        voxel_size: metres.
        attributes: input features of a point, in this order.
        substitutes: attributes that a scene may lack, each with the value that stands in for it (colours 0..255).
        rule: which points a view shows.
        view_choice: among the views that show a point.
        lookup: how a point takes its feature from the tokens of a view.
        max_views: at most so many views of a scene (0 for none): random ones in training, and at inference those that
            ``view_order`` says.
        view_order: see :class:`ditr.data.preparation.ViewOrder`.
        view_drop: which views training samples lose; None for none, as published.
        origin: see :class:`Origin`. With the centre, coordinates that are input features are centred once more in x and
            y, over the voxels' points, as published.
        strength_scale: strengths are divided by it (255 for nuScenes).
        image_size: (height, width) in pixels at which every photograph is encoded, whatever its shape; None for the
            rule of ``ditr.encoders.image_encoder.image_size``, by each photograph's own size.
        shuffle_curves: whether the order of the curves is drawn (from the seed) at inference too, as the published
            evaluation does, whose results differ from run to run; in training it is drawn in any case.
        clip_box: points outside are moved onto its surface (SemanticKITTI, Waymo), after the views were asked what
            they show; None for no box.

    Raises:
        InputError: numbers that are not positive, no attribute, or one twice, or a box without volume.
    """

    voxel_size: float = 0.02
    attributes: tuple[Attribute, ...] = (Attribute.COLOR, Attribute.NORMAL)
    substitutes: tuple[tuple[Attribute, float], ...] = ()
    rule: VisibilityRule = INDOOR
    view_choice: ViewChoice = ViewChoice.RANDOM
    lookup: Lookup = Lookup.PATCH
    max_views: int | None = None
    view_order: ViewOrder = ViewOrder.EQUIDISTANT
    view_drop: ViewDrop | None = None
    origin: Origin = Origin.CENTER
    strength_scale: float = 1.0
    image_size: tuple[int, int] | None = None
    clip_box: Box | None = None
    shuffle_curves: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.voxel_size) and self.voxel_size > 0):
            raise InputError("voxel size", f"{self.voxel_size} is not a length", "Give a positive length in metres")
        if not self.attributes or len(set(self.attributes)) < len(self.attributes):
            raise InputError(
                "attributes",
                f"{', '.join(a.value for a in self.attributes) or 'none'}",
                "Name at least one, and each once",
            )
        if self.max_views is not None and self.max_views < 0:
            raise InputError("max_views", f"it is {self.max_views}", "Give 0 or more, or leave it out for all views")
        if not (math.isfinite(self.strength_scale) and self.strength_scale > 0):
            raise InputError("strength_scale", f"it is {self.strength_scale}", "Give a positive number")
        if self.image_size is not None and min(self.image_size) < 1:
            raise InputError("image_size", f"it is {self.image_size}", "Give height and width in pixels, both positive")
        if self.clip_box is not None:
            _check_box(self.clip_box)

    def of(self, scene: Scene) -> Preparation:
        """The preparation of one scene: what the scene says of how it is to be read comes first."""
        return self.reading(scene.reading)

    def reading(self, said: ReadOptions) -> Preparation:
        """The preparation with what ``said`` does not leave open; its profile has no part in it."""
        stated = {name for name, _ in said.substitute}
        return replace(
            self,
            max_views=self.max_views if said.max_views is None else said.max_views,
            rule=self.rule if said.occlusion is None else replace(self.rule, occlusion=said.occlusion),
            strength_scale=self.strength_scale if said.strength_scale is None else said.strength_scale,
            substitutes=(
                *(pair for pair in self.substitutes if pair[0].value not in stated),
                *((Attribute(name), value) for name, value in said.substitute),
            ),
        )

    @property
    def in_channels(self) -> int:
        return sum(attribute.width for attribute in self.attributes)

    @property
    def clip(self) -> PointClip | None:
        """``clip_box`` as an augmentation; in training after the rotation, before the scale (as published)."""
        if self.clip_box is None:
            return None
        low_x, low_y, low_z, high_x, high_y, high_z = self.clip_box
        return PointClip((low_x, low_y, low_z), (high_x, high_y, high_z))


def _check_box(box: Box) -> None:
    if len(box) != 6 or not all(map(math.isfinite, box)) or any(box[axis] >= box[axis + 3] for axis in range(3)):
        raise InputError("clip_box", f"it is {box}", "Give low x, y, z and then high x, y, z, in metres")

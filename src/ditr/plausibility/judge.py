"""The one judge of inputs: is this capture what it claims to be?

Every command that reads captures asks here before it works. Data of a benchmark is taken as published: what is found
there is only noted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ditr.errors import Finding, Grade, InputError
from ditr.geometry.projection import VisibilityRule
from ditr.plausibility.attributes import check_attributes
from ditr.plausibility.cameras import check_cameras
from ditr.plausibility.colors import check_colors
from ditr.plausibility.scale import UNKNOWN_UNIT, check_scale
from ditr.plausibility.uprightness import check_up
from ditr.plausibility.views import check_views
from ditr.scene import Scene

__all__ = ["Judgement", "judge"]

Check = Callable[[Scene, VisibilityRule], list[Finding]]
CHECKS: tuple[Check, ...] = (check_attributes, check_scale, check_up, check_cameras, check_views, check_colors)
"""In the order in which their findings are told."""
NEEDS_SOUND: dict[Check, tuple[str, ...]] = {
    check_cameras: ("scale", "depth"),
    check_views: ("scale", "depth", "cameras"),
    check_colors: ("scale", "depth", "cameras"),
}
"""What must not be refused for a check to say anything: in a wrong unit, say, no camera shows what it should."""


@dataclass(frozen=True)
class Judgement:
    """What was found about a scene.

    Attributes:
        scene: its name.
        findings: of its reader and of the checks.
    """

    scene: str
    findings: tuple[Finding, ...]

    def of(self, grade: Grade) -> tuple[Finding, ...]:
        """The findings of one grade."""
        return tuple(finding for finding in self.findings if finding.grade is grade)

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values for ``summary.json``."""
        return [finding.to_json() for finding in self.findings]

    def require(self, *, force: bool = False) -> None:
        """Go on only where nothing is refused; ``force`` lets what is implausible pass, but nothing that is broken.

        Raises:
            InputError: with all that is refused.
        """
        refused = [finding for finding in self.of(Grade.REFUSED) if finding.is_broken or not force]
        if not refused:
            return
        fault = ". ".join(f"{finding.about}: {finding.text}" for finding in refused)
        remedies = [finding.remedy for finding in refused if finding.remedy]
        if not any(finding.is_broken for finding in refused):
            remedies.append("Add --force to continue anyway")
        raise InputError(f"scene {self.scene}", fault, ". ".join(remedies))


def judge(scene: Scene, rule: VisibilityRule, *, needs_unit: bool = True) -> Judgement:
    """Look at a scene as a whole. Data of a benchmark is taken as it is: findings are notes then.

    Args:
        scene: points and views; some images and depth maps are opened.
        rule: which points a view shows in the work that is to be done.
        needs_unit: whether the work needs metres, as all does that asks a trained network; else it goes on where the
            unit is unknown, with a warning.

    Raises:
        InputError: images or depth maps that cannot be read.
    """
    found: list[Finding] = [*scene.findings]
    for check in CHECKS:
        unfit = {finding.about for finding in found if finding.grade is Grade.REFUSED}
        if unfit.isdisjoint(NEEDS_SOUND.get(check, ())):
            found += check(scene, rule)
    if not needs_unit:
        found = [replace(f, grade=Grade.WARNED) if f.about == UNKNOWN_UNIT else f for f in found]
    if scene.as_published:
        found = [replace(finding, grade=Grade.NOTED) for finding in found]
    return Judgement(scene.name, tuple(found))

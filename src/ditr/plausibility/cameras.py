"""Do the cameras look at the points? Shares seen, and colours of points against those of pixels."""

from __future__ import annotations

from ditr.errors import Finding
from ditr.geometry.projection import VisibilityRule
from ditr.scene import Scene

__all__ = ["check_cameras"]


def check_cameras(scene: Scene, rule: VisibilityRule) -> list[Finding]:
    """What speaks against it."""
    return []

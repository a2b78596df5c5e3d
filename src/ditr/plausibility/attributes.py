"""Per-point attributes and depth maps: finite, of unit length, in range."""

from __future__ import annotations

from ditr.errors import Finding
from ditr.geometry.projection import VisibilityRule
from ditr.scene import Scene

__all__ = ["check_attributes"]


def check_attributes(scene: Scene, rule: VisibilityRule) -> list[Finding]:
    """What speaks against it."""
    return []

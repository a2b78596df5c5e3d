"""Is the unit the metre? Extents, spacing, camera heights, depth maps against distances."""

from __future__ import annotations

from ditr.errors import Finding
from ditr.geometry.projection import VisibilityRule
from ditr.scene import Scene

__all__ = ["check_scale"]


def check_scale(scene: Scene, rule: VisibilityRule) -> list[Finding]:
    """What speaks against it."""
    return []

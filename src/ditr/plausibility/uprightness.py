"""Is up where it is taken to be?"""

from __future__ import annotations

from ditr.errors import Finding
from ditr.geometry.projection import VisibilityRule
from ditr.scene import Scene

__all__ = ["check_up"]


def check_up(scene: Scene, rule: VisibilityRule) -> list[Finding]:
    """What speaks against it."""
    return []

"""In which patches of photographs points lie: cameras that were written and read again are compared by these."""

from __future__ import annotations

import numpy as np

from ditr.geometry.projection import patch_of, project
from ditr.scene import Scene, View


def patches(scene: Scene, view: View) -> np.ndarray:
    """(N,) the patch of 14 pixels in which each point lies, -1 outside."""
    seen = project(scene.coord, view.camera, view.world_to_camera)
    rows, columns = view.camera.height // 14, view.camera.width // 14
    patch = patch_of(seen.pixel, scale=(1.0, 1.0), patch_size=14, rows=rows, columns=columns)
    return np.where(seen.visible, patch, -1)


def same_patches(scene: Scene, read: Scene) -> float:
    """The share of points and views that see the same."""
    assert len(read.views) == len(scene.views) > 0
    pairs = list(zip(scene.views, read.views, strict=True))
    assert all((patches(scene, one) >= 0).mean() > 0.05 for one, _ in pairs)
    return float(np.mean([patches(scene, one) == patches(scene, other) for one, other in pairs]))

"""Which views of a scene are used, and which of their image tokens each point falls into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ditr.data.augment.images import ImageAugmentation, augment_image
from ditr.data.readers.images import read_depth, read_image, read_pixels
from ditr.files import InputError
from ditr.geometry.lift import TokenGrid, token_grids, tokens_of
from ditr.geometry.projection import INDOOR, OUTDOOR, VisibilityRule, see
from ditr.scene import Scene, View

__all__ = ["SceneViews", "choose_rows", "points_in", "profile_rule", "scene_views"]


@dataclass(frozen=True, eq=False)
class SceneViews:
    """The chosen views of a scene and which of their tokens each point of the scene falls into.

    Attributes:
        views: the chosen views.
        sizes: for each, (height, width) at which it is encoded.
        tokens: for each, (N,) int64 rows of the sample's token list, -1 where the view does not show the point.
        token_count: length of the token list.
        photographs: (height, width, 3) uint8 each, at the encoder's size, where they were augmented and so have to be
            encoded anew; empty otherwise.
    """

    views: tuple[View, ...]
    sizes: tuple[tuple[int, int], ...]
    tokens: tuple[NDArray[np.int64], ...]
    token_count: int
    photographs: tuple[NDArray[np.uint8], ...] = ()

    def select(self, rows: Sequence[int], patch_size: int) -> SceneViews:
        """Some of the views, in the order of ``rows``; their tokens are counted anew."""
        ends = np.cumsum([0, *((h // patch_size) * (w // patch_size) for h, w in self.sizes)]).tolist()
        tokens, start = [], 0
        for row in rows:
            old = self.tokens[row]
            tokens.append(np.where(old < 0, old, old - ends[row] + start))
            start += ends[row + 1] - ends[row]
        return SceneViews(
            tuple(self.views[row] for row in rows), tuple(self.sizes[row] for row in rows), tuple(tokens), start
        )

    def seen_by(self, points: int) -> NDArray[np.int64]:
        """(N,) the number of views that show each of the scene's ``points`` points."""
        count = np.zeros(points, dtype=np.int64)
        for tokens in self.tokens:
            count += tokens >= 0
        return count


def profile_rule(scene: Scene, profile: str | None = None) -> tuple[str, VisibilityRule]:
    """The visibility rule by name, "indoor" or "outdoor"; without a name, indoor if the capture has depth maps.

    Raises:
        InputError: another name.
    """
    if profile is None:
        profile = "indoor" if any(view.depth is not None for view in scene.views) else "outdoor"
    rules = {"indoor": INDOOR, "outdoor": OUTDOOR}
    if profile not in rules:
        raise InputError("profile", f"there is no profile {profile!r}", "Use indoor or outdoor")
    return profile, rules[profile]


def choose_rows(count: int, limit: int | None, rng: np.random.Generator | None) -> list[int]:
    """Which of ``count`` views to use: all, or ``limit`` of them, random with ``rng`` and else equidistant.

    Random ones come in random order, and equidistant ones with the step ``count // limit``, both as published.

    Raises:
        InputError: a limit below 1.
    """
    if limit is not None and limit < 1:
        raise InputError("max_views", f"it is {limit}", "Give 1 or more, or leave it out for all views")
    if limit is None or count <= limit:
        return list(range(count))
    if rng is not None:
        return [int(row) for row in rng.choice(count, limit, replace=False)]
    return [index * (count // limit) for index in range(limit)]


def points_in(scene: Scene, view: View, rule: VisibilityRule) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Where a view shows the points of its scene: (N, 2) image coordinates (u, v), and (N,) whether it shows them.

    Where the data say this themselves (``View.pixels``) their word counts, and other points have NaN. Otherwise points
    are projected, and shown by ``rule``; its depth test needs the view's depth map and is left out without one.

    Raises:
        InputError: missing or damaged depth maps or lists of pixels.
    """
    stored = read_pixels(view, len(scene))
    if stored is None:
        seen = see(scene.coord, view, rule, read_depth(view) if rule.depth_margin is not None else None)
        return seen.pixel, seen.visible
    rows, at = stored
    pixel, visible = np.full((len(scene), 2), np.nan), np.zeros(len(scene), dtype=bool)
    pixel[rows], visible[rows] = at, True
    return pixel, visible


def scene_views(
    scene: Scene,
    views: Sequence[View],
    sizes: Sequence[tuple[int, int]],
    patch_size: int,
    rule: VisibilityRule,
    *,
    augmentations: Sequence[ImageAugmentation] = (),
    rng: np.random.Generator | None = None,
) -> SceneViews:
    """Find all points of a scene in views, once.

    Args:
        scene: whose points are projected, in its own coordinates and before any augmentation of points.
        views: the chosen ones.
        sizes: (height, width) at which each is encoded.
        patch_size: of the encoder.
        rule: see :func:`points_in`.
        augmentations: of the photographs; each moves the pixels of points along.
        rng: the augmentations' chance.

    Raises:
        InputError: missing or damaged photographs, depth maps or lists of pixels.
    """
    native = [(view.camera.height, view.camera.width) for view in views]
    grids = token_grids(native, sizes, patch_size)
    tokens, photographs = [], []
    for view, size, grid in zip(views, sizes, grids, strict=True):
        pixel, visible = points_in(scene, view, rule)
        if augmentations:
            if rng is None:
                raise ValueError("augmentations of photographs need a random generator")
            photograph, pixel = _augmented(view, size, grid, pixel, visible, augmentations, rng)
            photographs.append(photograph)
            visible = ~np.isnan(pixel[:, 0])
            grid = replace(grid, scale=(1.0, 1.0))
        tokens.append(tokens_of(pixel, visible, grid))
    total = sum(grid.token_count for grid in grids)
    return SceneViews(tuple(views), tuple(sizes), tuple(tokens), total, tuple(photographs))


def _augmented(
    view: View,
    size: tuple[int, int],
    grid: TokenGrid,
    pixel: NDArray[np.float64],
    visible: NDArray[np.bool_],
    augmentations: Sequence[ImageAugmentation],
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Resize a photograph, then augment it; pixels of visible points follow, those of all others become NaN."""
    image = torch.from_numpy(np.array(read_image(view))).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(image, size, mode="bilinear", align_corners=False)
    array = resized[0].round_().to(torch.uint8).permute(1, 2, 0).numpy()
    # In float32, as the search for the patch has it: a pixel beside the last border may round onto it and be lost.
    at_size = (pixel.astype(np.float32) * np.asarray(grid.scale, dtype=np.float32)).astype(np.float64)
    kept = visible & (at_size < (size[1], size[0])).all(axis=1)
    moved = np.full_like(pixel, np.nan)
    array, moved[kept] = augment_image(array, at_size[kept], augmentations, rng)
    return array, moved

"""The one road from a scene's views to image features: which views, their tokens, which of them each point sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ditr.captures.images import read_image, read_pixels, see_with_maps, shown_with_maps
from ditr.data.augment.images import ImageAugmentation, augment_image
from ditr.data.preparation import Lookup, Preparation, ViewChoice, ViewOrder
from ditr.encoders.encoding import CachedEncoding, ImageGrid
from ditr.errors import InputError
from ditr.geometry.lift import NO_TOKEN, TokenGrid, choose_view, token_grids, tokens_of
from ditr.geometry.lift_pyramid import LiftPyramid, blend_lift_pyramid, build_lift_pyramid
from ditr.geometry.lift_variants import aggregate_views, bilinear_tokens_of, interpolate_view
from ditr.geometry.projection import Projection, Sight, VisibilityRule
from ditr.geometry.pyramid import Pyramid
from ditr.geometry.upright_views import turned, upright_views
from ditr.scene import Scene, View

__all__ = [
    "SceneViews",
    "choose_rows",
    "find_views",
    "inference_rows",
    "lift_points",
    "points_in",
    "scene_views",
    "shown_in",
    "training_rows",
    "view_features",
    "why_unseen",
    "with_tokens",
]


@dataclass(frozen=True, eq=False)
class SceneViews:
    """The chosen views of a scene and which of their tokens each point of the scene falls into.

    Attributes:
        views: the chosen views.
        sizes: for each, (height, width) at which it is encoded.
        token_rows: for each, (N,) int64 rows of the list of tokens, -1 where the view does not show the point; (N, 4)
            where tokens are interpolated.
        token_count: length T of the list of tokens.
        unencoded: (height, width, 3) uint8 images at the encoder's size, where they were augmented and so have to be
            encoded again; empty otherwise.
        weights: for each, (N, 4) float32 of the tokens, where these are interpolated; empty otherwise.
        coord: (N, 3) the scene's own points, in the frame of the cameras.
        tokens: (T, D) float32, the views' patch tokens one after the other, where they are encoded already.
        cls: (V, D) float32, the views' [cls] tokens, where they are encoded already.
    """

    views: tuple[View, ...]
    sizes: tuple[tuple[int, int], ...]
    token_rows: tuple[NDArray[np.int64], ...]
    token_count: int
    unencoded: tuple[NDArray[np.uint8], ...] = ()
    weights: tuple[NDArray[np.float32], ...] = ()
    coord: NDArray[np.float64] | None = None
    tokens: Tensor | None = None
    cls: Tensor | None = None

    def select(self, rows: Sequence[int], patch_size: int) -> SceneViews:
        """Some of the views, in the order of ``rows``; their tokens are counted again."""
        ends = np.cumsum([0, *((h // patch_size) * (w // patch_size) for h, w in self.sizes)]).tolist()
        token_rows, start = [], 0
        for row in rows:
            old = self.token_rows[row]
            token_rows.append(np.where(old < 0, old, old - ends[row] + start))
            start += ends[row + 1] - ends[row]
        tokens = self.tokens
        if tokens is not None:
            tokens = torch.cat([tokens[:0], *(tokens[ends[row] : ends[row + 1]] for row in rows)])
        return SceneViews(
            tuple(self.views[row] for row in rows),
            tuple(self.sizes[row] for row in rows),
            tuple(token_rows),
            start,
            weights=tuple(self.weights[row] for row in rows) if self.weights else (),
            coord=self.coord,
            tokens=tokens,
            cls=None if self.cls is None else self.cls[list(rows)],
        )

    @property
    def interpolated(self) -> bool:
        """Whether points take four tokens of a view; of no views, it does not matter."""
        return bool(self.weights)

    def distances(self, rows: NDArray[np.int64]) -> list[NDArray[np.float64]]:
        """For each view, (M,) metres from its camera's centre to the scene's points ``rows``."""
        if self.coord is None:
            raise ValueError("distances to cameras need the scene's points")
        coord = self.coord[rows]
        poses = [view.world_to_camera for view in self.views]
        return [np.linalg.norm(coord @ pose[:3, :3].T + pose[:3, 3], axis=1) for pose in poses]

    def seen_by(self, points: int) -> NDArray[np.int64]:
        """(N,) the number of views that show each of the scene's ``points`` points."""
        count = np.zeros(points, dtype=np.int64)
        for rows in self.token_rows:
            count += (rows if rows.ndim == 1 else rows[:, 0]) >= 0
        return count


def choose_rows(count: int, limit: int | None, rng: np.random.Generator | None) -> list[int]:
    """Which of ``count`` views to use: all, or ``limit`` of them, random with ``rng`` and else equidistant.

    Random ones come in random order, and equidistant ones with the step ``count // limit``, both as published.

    Raises:
        InputError: a limit below 0.
    """
    if limit is not None and limit < 0:
        raise InputError("max_views", f"it is {limit}", "Give 0 or more, or leave it out for all views")
    if limit is None or count <= limit:
        return list(range(count))
    if rng is not None:
        return [int(row) for row in rng.choice(count, limit, replace=False)]
    return [index * (count // limit) for index in range(limit)]


def inference_rows(scene: Scene, preparation: Preparation, seed: int) -> list[int]:
    """Which of a scene's views are used outside training: at most ``max_views``, as ``view_order`` says."""
    # A stream of its own: which views are used does not change what is drawn among them.
    rng = np.random.default_rng([seed, 1]) if preparation.view_order is ViewOrder.RANDOM else None
    return choose_rows(len(scene.views), preparation.of(scene).max_views, rng)


def training_rows(scene: Scene, preparation: Preparation, rng: np.random.Generator) -> list[int]:
    """Which of a scene's views a sample of training uses: drawn, and some of them dropped where that is asked for."""
    rows = choose_rows(len(scene.views), preparation.of(scene).max_views, rng)
    return rows if preparation.view_drop is None else preparation.view_drop.keep(rows, rng)


def view_features(
    scene: Scene,
    rows: Sequence[int],
    preparation: Preparation,
    encoding: CachedEncoding,
    *,
    augmentations: Sequence[ImageAugmentation] = (),
    rng: np.random.Generator | None = None,
    images_of: Sequence[View] | None = None,
) -> SceneViews:
    """The chosen views with their tokens, and which of these each of the scene's points sees.

    Views that lie on their side are turned upright first (:func:`ditr.geometry.upright_views.upright_views`).

    Args:
        scene: whose points are projected.
        rows: the chosen views, from :func:`inference_rows` or :func:`training_rows`.
        preparation: rule of visibility, and lookup.
        encoding: of the images, at the size that the network takes.
        augmentations: of the images; with any, the images are not encoded here (see ``SceneViews.unencoded``).
        rng: of the augmentations.
        images_of: encode these views in the place of the chosen ones: a control. They must have the same sizes.

    Raises:
        InputError: missing or damaged images, depth maps or lists of pixels, or views to swap with that do not fit.
    """
    found = find_views(scene, rows, preparation, encoding.grid, augmentations=augmentations, rng=rng)
    return found if augmentations else with_tokens(found, encoding, images_of=images_of)


def find_views(
    scene: Scene,
    rows: Sequence[int],
    preparation: Preparation,
    grid: ImageGrid,
    *,
    augmentations: Sequence[ImageAugmentation] = (),
    rng: np.random.Generator | None = None,
) -> SceneViews:
    """As :func:`view_features`, except for the tokens: what can be said without the encoder's weights.

    Raises:
        InputError: missing or damaged depth maps or lists of pixels, and images where these are augmented.
    """
    views = upright_views(scene, [scene.views[row] for row in rows])
    return scene_views(
        scene,
        views,
        [grid.size(view) for view in views],
        grid.patch_size,
        preparation.rule,
        lookup=preparation.lookup,
        augmentations=augmentations,
        rng=rng,
    )


def with_tokens(found: SceneViews, encoding: CachedEncoding, *, images_of: Sequence[View] | None = None) -> SceneViews:
    """The views with their tokens, or with those of ``images_of``, as for :func:`view_features`.

    Raises:
        InputError: missing or damaged images, or views to swap with that do not fit.
    """
    views = list(found.views)
    if images_of is not None:
        views = [turned(other, view.quarter_turns) for other, view in zip(images_of, views, strict=False)]
        if len(images_of) != len(found.views) or tuple(encoding.size(view) for view in views) != found.sizes:
            raise InputError(
                "images to swap with",
                "they differ in size or number",
                "Swap with a scene that has as many images of the same size",
            )
    tokens, cls = encoding.tokens_and_cls(views)
    return replace(found, tokens=torch.cat([torch.zeros(0, encoding.width), *tokens]), cls=cls)


def points_in(scene: Scene, view: View, rule: VisibilityRule) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Where a view shows the points of its scene: (N, 2) image coordinates (u, v), and (N,) whether it shows them.

    Where the data say this themselves (``View.pixels``) their word counts, and other points have NaN. Otherwise points
    are projected, and shown by ``rule``; its depth test needs the view's depth map and is left out without one.

    Raises:
        InputError: missing or damaged depth maps or lists of pixels.
    """
    seen = _seen_in(scene, view, rule)
    return seen.pixel, seen.visible


def why_unseen(scene: Scene, views: Sequence[View], rule: VisibilityRule) -> NDArray[np.uint8]:
    """Why no view shows a point: (N,) the :class:`Sight` in the view that came closest to showing it.

    Raises:
        InputError: as for :func:`points_in`.
    """
    result = np.full(len(scene), Sight.NO_VIEW, dtype=np.uint8)
    for view in views:
        np.minimum(result, _seen_in(scene, view, rule).sight, out=result)
    return result


def _seen_in(scene: Scene, view: View, rule: VisibilityRule) -> Projection:
    stored = read_pixels(view, len(scene))
    if stored is None:
        return see_with_maps(scene.coord, view, rule)
    rows, at = stored
    pixel, sight = np.full((len(scene), 2), np.nan), np.full(len(scene), Sight.NOT_LISTED, dtype=np.uint8)
    pixel[rows], sight[rows] = at, Sight.VISIBLE
    return Projection(pixel, np.full(len(scene), np.nan), sight)


def shown_in(scene: Scene, view: View, rule: VisibilityRule) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """:func:`points_in` without the others: the rows (n,) of the points that are shown, and where (n, 2)."""
    stored = read_pixels(view, len(scene))
    return shown_with_maps(scene.coord, view, rule) if stored is None else stored


def scene_views(
    scene: Scene,
    views: Sequence[View],
    sizes: Sequence[tuple[int, int]],
    patch_size: int,
    rule: VisibilityRule,
    *,
    lookup: Lookup = Lookup.PATCH,
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
        lookup: whether tokens are interpolated.
        augmentations: of the photographs; each moves the pixels of points along.
        rng: of the augmentations.

    Raises:
        InputError: missing or damaged photographs, depth maps or lists of pixels.
    """
    native = [(view.camera.height, view.camera.width) for view in views]
    grids = token_grids(native, sizes, patch_size)
    token_rows, weights, unencoded = [], [], []
    for view, size, grid in zip(views, sizes, grids, strict=True):
        rows, pixel = shown_in(scene, view, rule)
        if augmentations:
            if rng is None:
                raise ValueError("augmentations of photographs need a random generator")
            image, kept, pixel = _augmented(view, size, grid, pixel, augmentations, rng)
            unencoded.append(image)
            rows, grid = rows[kept], replace(grid, scale=(1.0, 1.0))
        everywhere = np.ones(len(rows), dtype=np.bool_)
        if lookup is Lookup.BILINEAR:
            index, weight = bilinear_tokens_of(pixel, everywhere, grid)
            token_rows.append(_spread(index, rows, len(scene), NO_TOKEN))
            weights.append(_spread(weight, rows, len(scene), 0))
        else:
            token_rows.append(_spread(tokens_of(pixel, everywhere, grid), rows, len(scene), NO_TOKEN))
    total = sum(grid.token_count for grid in grids)
    return SceneViews(
        tuple(views), tuple(sizes), tuple(token_rows), total, tuple(unencoded), tuple(weights), scene.coord
    )


def lift_points(
    views: SceneViews, rows: NDArray[np.int64], choice: ViewChoice, rng: np.random.Generator, pyramid: Pyramid
) -> LiftPyramid:
    """Which tokens the cells of a sample see.

    Args:
        views: which tokens the scene's points fall into.
        rows: (M,) the points that stand for the finest cells.
        choice: among the views that show a point.
        rng: of the choice.
        pyramid: of the cells.
    """
    count = views.token_count
    tokens = (of_view[rows] for of_view in views.token_rows)
    weights = [of_view[rows] for of_view in views.weights]
    if choice is ViewChoice.MEAN or choice is ViewChoice.MAX:
        reduce: Literal["mean", "max"] = "mean" if choice is ViewChoice.MEAN else "max"
        lift = aggregate_views(tokens, weights if views.interpolated else None, len(rows), count, reduce=reduce)
        return blend_lift_pyramid(lift, pyramid)
    distances = views.distances(rows) if choice is ViewChoice.NEAREST else None
    if views.interpolated:
        lift = interpolate_view(
            list(tokens), weights, len(rows), count, choice=choice.value, rng=rng, distances=distances
        )
        return blend_lift_pyramid(lift, pyramid)
    lift = choose_view(tokens, len(rows), count, choice=choice.value, rng=rng, distances=distances)
    return build_lift_pyramid(lift.patch_index[:, 0], count, pyramid)


def _spread(values: NDArray[Any], rows: NDArray[np.int64], count: int, fill: int) -> NDArray[Any]:
    """The values of ``rows`` among those of ``count`` points, of which the others have ``fill``."""
    result = np.full((count, *values.shape[1:]), fill, dtype=values.dtype)
    result[rows] = values
    return result


def _augmented(
    view: View,
    size: tuple[int, int],
    grid: TokenGrid,
    pixel: NDArray[np.float64],
    augmentations: Sequence[ImageAugmentation],
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.float64]]:
    """Resize a photograph, then augment it.

    Of the points, (n, 2) pixels, follow which of them stay inside (n,), and where these are then.
    """
    array = _resized(read_image(view), size)
    # In float32, as the search for the patch has it: a pixel beside the last border may round onto it and be lost.
    at_size = (pixel.astype(np.float32) * np.asarray(grid.scale, dtype=np.float32)).astype(np.float64)
    kept = (at_size[:, 0] < size[1]) & (at_size[:, 1] < size[0])
    array, moved = augment_image(array, at_size[kept], augmentations, rng)
    return array, kept, moved


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) at another size (height, width)."""
    if image.shape[:2] == size:
        return image
    channels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(channels, size, mode="bilinear", align_corners=False)
    result: NDArray[np.uint8] = resized[0].round_().to(torch.uint8).permute(1, 2, 0).numpy()
    return result

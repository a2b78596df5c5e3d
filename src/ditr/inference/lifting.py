"""Image features on points, for looking at them and for other people's models: no network in 3D, no labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ditr.data.preparation import Preparation, ViewChoice, how_hidden, profile_rule
from ditr.data.scene_views import SceneViews, inference_rows, points_in, view_features, why_unseen
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.geometry.lift import Lift, choose_view, gather, token_grids
from ditr.geometry.lift_variants import bilinear_tokens_of
from ditr.geometry.orientation import find_up
from ditr.geometry.projection import Sight, VisibilityRule, project
from ditr.geometry.upright_views import turned_degrees
from ditr.io.files import results_folder, write_json, write_tensors
from ditr.io.ply import write_ply
from ditr.scene import Scene

__all__ = ["FEATURE_FILES", "LiftedFeatures", "lift_features"]

FEATURES_PLY = "features.ply"
FEATURE_FILES = ("features.safetensors", FEATURES_PLY, "summary.json")
"""What :meth:`LiftedFeatures.save` writes."""

_ORDER = (
    "Row i of patch_index belongs to point i of the capture's PLY file. It is a row of tokens, or -1 for a point that "
    "no view shows. Tokens are the encoder's patch tokens, view after view in the order of the capture, row by row in "
    "each. Row i of features, where stored, is tokens[patch_index[i]], or zeros."
)
_AROUND = (
    " Row i of around are the tokens of the four patches whose middles are around point i in the same view, row i of "
    "weight their shares, and features, where stored, their weighted sum."
)


@dataclass(frozen=True, eq=False)
class LiftedFeatures:
    """Image features of a scene's points.

    Attributes:
        scene: the scene.
        tokens: (T, D) float32, all tokens of the used views.
        lift: which of them each of the N points takes.
        around: the four tokens between which it is interpolated, in the same view; None where it is not.
        seen_by: (N,) int64, the number of used views that show each point.
        why: (N,) uint8, the :class:`Sight` of each point in the view that came closest to showing it.
        encoder: which weights made the tokens.
        views: names of the used views.
        turned: degrees counterclockwise by which some of their images were turned upright, by view.
        occlusion: how it was found out which points are hidden in a view.
        seed: of the choice among views.
    """

    scene: Scene
    tokens: Tensor
    lift: Lift
    seen_by: NDArray[np.int64]
    why: NDArray[np.uint8]
    encoder: str
    views: tuple[str, ...]
    turned: Mapping[str, int]
    occlusion: str
    seed: int
    around: Lift | None = None

    def features(self) -> Tensor:
        """(N, D) float32, interpolated where that was asked for; zeros for points that no view shows."""
        return gather(self.tokens, self.around or self.lift)

    def coverage(self) -> dict[str, float]:
        """Share of the points seen by no view, by one, and by more."""
        return {
            "0 views": float((self.seen_by == 0).mean()),
            "1 view": float((self.seen_by == 1).mean()),
            "2 or more": float((self.seen_by >= 2).mean()),
        }

    def reasons(self) -> dict[Sight, int]:
        """The number of points for each reason for which no view shows them, largest first."""
        count = np.bincount(self.why, minlength=len(Sight))
        unseen = [sight for sight in Sight if sight is not Sight.VISIBLE and count[sight]]
        return {sight: int(count[sight]) for sight in sorted(unseen, key=lambda sight: -count[sight])}

    def colors(self) -> NDArray[np.uint8]:
        """(N, 3): the first three principal components of the features; grey where there are none."""
        from ditr.pictures.pca import fit_pca, gather_colors

        index = self.lift.patch_index[:, 0].numpy()
        if not (index >= 0).any():
            return np.full((len(index), 3), 128, dtype=np.uint8)
        tokens = self.tokens.numpy()
        # Fit on what the points see, so that sky does not take up a component.
        pca = fit_pca(tokens[np.unique(index[index >= 0])], seed=self.seed)
        if self.around is None or self.around.weight is None:
            return gather_colors(pca.project(tokens), index, pca)
        return gather_colors(pca.project(tokens), self.around.patch_index.numpy(), pca, self.around.weight.numpy())

    def save(self, folder: str | Path, *, dense: bool = False, explain: bool = False) -> None:
        """Write ``features.safetensors``, ``features.ply`` and ``summary.json``, all or none.

        Earlier results of these names are replaced, and other files of the folder stay.

        Args:
            folder: made where there is none.
            dense: whether to write a feature per point, too.
            explain: whether the PLY has the property ``why``; its header says what each number means.

        Raises:
            OSError: they cannot be written; the folder is as it was then.
        """
        tensors = {"tokens": self.tokens.half(), "patch_index": self.lift.patch_index[:, 0].contiguous()}
        if self.around is not None and self.around.weight is not None:
            tensors |= {"around": self.around.patch_index.int(), "weight": self.around.weight}
        if dense:
            tensors["features"] = self.features().half()
        order = _ORDER if self.around is None else _ORDER + _AROUND
        metadata = {"order": order, "encoder": self.encoder, "views": json.dumps(self.views), "seed": str(self.seed)}
        color, coord = self.colors(), self.scene.coord
        columns: dict[str, NDArray[Any]] = {axis: coord[:, i] for i, axis in enumerate("xyz")}
        columns |= {name: color[:, i] for i, name in enumerate(("red", "green", "blue"))}
        columns["views"] = self.seen_by.astype(np.int32)
        comments = [f"why {sight.value}: {sight.meaning}" for sight in Sight] if explain else []
        if explain:
            columns["why"] = self.why
        with results_folder(folder, FEATURE_FILES) as new:
            write_tensors(new / "features.safetensors", tensors, metadata)
            write_ply(new / FEATURES_PLY, columns, comments=comments)
            write_json(new / "summary.json", self.summary())

    def summary(self) -> dict[str, Any]:
        """What there is, in numbers that fit on a page."""
        return {
            "scene": self.scene.name,
            "points": len(self.scene),
            "views": list(self.views),
            "up": find_up(self.scene).tolist(),
            "turned_images": dict(self.turned),
            "occlusion": self.occlusion,
            "tokens": len(self.tokens),
            "width": self.tokens.shape[1],
            "encoder": self.encoder,
            "seed": self.seed,
            "interpolated": self.around is not None,
            "coverage": {name: round(share, 4) for name, share in self.coverage().items()},
            "why_unseen": [
                {"why": sight.value, "meaning": sight.meaning, "points": count}
                for sight, count in self.reasons().items()
            ],
            **({"findings": [finding.to_json() for finding in self.scene.findings]} if self.scene.findings else {}),
        }

    def draw(self, path: str | Path) -> None:
        """One sheet: photographs, features projected into them, and the cloud from two sides."""
        from ditr.pictures.panels import save_picture
        from ditr.pictures.pictures import features_sheet

        used = [view for view in self.scene.views if view.name in self.views]
        shown = used if len(used) <= 4 else None
        save_picture(path, features_sheet(self.scene, self.colors(), shown, seen=self.seen_by > 0))


def lift_features(
    scene: Scene,
    encoding: CachedEncoding,
    rule: VisibilityRule | None = None,
    *,
    choice: ViewChoice = ViewChoice.RANDOM,
    max_views: int | None = None,
    seed: int = 0,
    interpolate: bool = False,
) -> LiftedFeatures:
    """Give every point the feature of the image patch that shows it (paper, section 3.1).

    Args:
        scene: points and views; labels are not needed.
        encoding: of the photographs.
        rule: which points a view shows; by default that of the scene's profile, indoors or outdoors.
        choice: among the views that show a point: one of those that take a single view.
        max_views: at most so many views, equidistant; None for as many as the scene says, or else all.
        seed: of the choice.
        interpolate: whether features are interpolated between patches, for people to look at: networks are trained with
            those of the patch alone.

    Raises:
        InputError: missing or damaged photographs or depth maps, no view at all, or a choice of several.
    """
    if seed < 0:
        raise InputError("seed", f"it is {seed}", "Give 0 or more")
    if rule is None:
        rule = profile_rule(scene)[1]
    limit = scene.reading.max_views if max_views is None else max_views
    if limit is not None and limit < 1:
        raise InputError("max_views", f"it is {limit}", "Give 1 or more, or leave it out for all views")
    if choice is ViewChoice.MEAN or choice is ViewChoice.MAX:
        raise InputError("choice", f"{choice.value} makes one feature of several tokens", "Choose one view per point")
    preparation = Preparation(rule=rule, view_choice=choice, max_views=limit)
    seen = view_features(scene, inference_rows(scene, preparation, seed), preparation, encoding)
    assert seen.tokens is not None
    rng = np.random.default_rng(seed)
    distances = seen.distances(np.arange(len(scene))) if choice is ViewChoice.NEAREST else None
    lift = choose_view(seen.token_rows, len(scene), seen.token_count, choice=choice.value, rng=rng, distances=distances)
    seen_by, why = seen.seen_by(len(scene)), why_unseen(scene, seen.views, rule)
    # A pixel that float32 rounds onto the border of the image has no token.
    why[(why == Sight.VISIBLE) & (seen_by == 0)] = Sight.OUTSIDE
    return LiftedFeatures(
        scene=scene,
        tokens=seen.tokens,
        lift=lift,
        seen_by=seen_by,
        why=why,
        encoder=encoding.encoder.weights,
        views=tuple(view.name for view in seen.views),
        turned=turned_degrees(seen.views),
        occlusion=how_hidden(rule, seen.views),
        seed=seed,
        around=_interpolated(scene, seen, lift, rule, encoding.patch_size) if interpolate else None,
    )


def _interpolated(scene: Scene, seen: SceneViews, lift: Lift, rule: VisibilityRule, patch_size: int) -> Lift:
    """Of each point the four tokens around it, in the view of the one that ``lift`` gives it."""
    native = [(view.camera.height, view.camera.width) for view in seen.views]
    chosen = lift.patch_index[:, 0].numpy()
    index = np.full((len(scene), 4), -1, dtype=np.int64)
    weight = np.zeros((len(scene), 4), dtype=np.float32)
    for view, grid in zip(seen.views, token_grids(native, seen.sizes, patch_size), strict=True):
        rows = np.flatnonzero((chosen >= grid.offset) & (chosen < grid.offset + grid.token_count))
        if view.is_posed:
            pixel = project(scene.coord[rows], view.camera, view.world_to_camera).pixel
        else:
            pixel = points_in(scene, view, rule)[0][rows]
        index[rows], weight[rows] = bilinear_tokens_of(pixel, np.ones(len(rows), dtype=bool), grid)
    return Lift(torch.from_numpy(index), torch.from_numpy(weight), lift.token_count)

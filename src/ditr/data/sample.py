"""From a scene to a sample: voxels, the lift and the pyramid; what a network takes, without batch mates.

Cameras, depth tests, range limits and the choice among views end here. What a loader's worker returns holds features,
indices and image tokens (or the photographs that still have to be encoded), nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ditr.captures.classes import unread_columns
from ditr.data.augment.point_set import PointAugmentation, PointSet, augment
from ditr.data.augment.points import CenterShift, PointClip
from ditr.data.preparation import Attribute, Origin, Preparation, ViewChoice
from ditr.data.scene_views import SceneViews, lift_points
from ditr.errors import InputError
from ditr.geometry.bounds import bounding_box
from ditr.geometry.lift_pyramid import LiftPyramid
from ditr.geometry.pyramid import Pyramid, PyramidSpec, build_pyramid, draw_permutations, published_permutations
from ditr.geometry.voxels import Voxels, voxelize
from ditr.scene import Scene

__all__ = [
    "Sample",
    "ViewChoice",
    "lacking_attributes",
    "make_sample",
    "not_finite",
    "point_set",
    "prepare",
    "require_attributes",
]


@dataclass(frozen=True, eq=False)
class Sample:
    """One scene made ready.

    Attributes:
        name: the scene's.
        feature: (M, F) float32, one row per voxel.
        pyramid: geometry of the voxels.
        lift: which tokens cells see; None without images.
        label: (M,) int64, -1 for unlabelled; None where the scene has none.
        inverse: (N,) int64, the voxel of every point of the scene (-1 for points that augmentation left out).
        tokens: (T, D) float32 image tokens of the chosen views, where they are known already.
        unencoded: the images that have to be encoded to get them, otherwise.
        sizes: (height, width) of the encoder's input for each view.
        cls: (V, D) float32 [cls] tokens of the chosen views, where they are known already.
    """

    name: str
    feature: Tensor
    pyramid: Pyramid
    lift: LiftPyramid | None
    label: Tensor | None
    inverse: Tensor
    tokens: Tensor | None = None
    unencoded: tuple[NDArray[np.uint8], ...] = ()
    sizes: tuple[tuple[int, int], ...] = field(default=())
    cls: Tensor | None = None

    def __len__(self) -> int:
        return len(self.feature)


def prepare(
    scene: Scene,
    preparation: Preparation,
    pyramid: PyramidSpec,
    *,
    views: SceneViews | None = None,
    seed: int | Sequence[int] = 0,
    augmentations: Sequence[PointAugmentation] | None = None,
    crop: Sequence[PointAugmentation] = (),
    rotation: NDArray[np.float64] | None = None,
    pinned: NDArray[np.bool_] | None = None,
) -> Sample:
    """Make a sample of a scene.

    Args:
        scene: the points.
        preparation: how.
        pyramid: the geometry that the network asks for.
        views: from :func:`ditr.data.scene_views.view_features`, for networks that take images.
        seed: of all that is drawn: augmentation, the choice of a voxel's point (in training) and of a point's view.
        augmentations: of the points; None at inference, where also a voxel's first point stands for it and the curves
            keep their order.
        crop: augmentations that work on the voxels, applied after them.
        rotation: (3, 3) turns points and normals first, where a scene's up is not z.
        pinned: (N,) bool, points that training neither drops nor replaces by others of their voxel.

    Raises:
        InputError: an attribute is missing and has no substitute, or the scene is too large for the voxels.
    """
    rng = np.random.default_rng(seed)
    training = augmentations is not None
    points = replace(point_set(scene, preparation, rotation), pinned=pinned)
    points = augment(points, _with_box(augmentations or (), preparation), rng)
    voxels = voxelize(points.coord, preparation.voxel_size)
    rows = _representatives(voxels, points, rng) if training else voxels.first()
    inverse = torch.full((len(scene),), -1, dtype=torch.int64)
    inverse[torch.from_numpy(points.index)] = voxels.inverse
    grid = voxels.grid
    points = points.take(rows.numpy())
    if crop:
        kept = augment(_numbered(points), crop, rng)
        grid, points = grid[kept.index], _renumbered(kept, points)
        grid = grid - grid.min(dim=0).values
        inverse = _follow_crop(inverse, kept.index, len(voxels))
    permutations = draw_permutations(rng, pyramid) if training else None
    if preparation.shuffle_curves and not training:
        permutations = published_permutations(_one_number(seed), pyramid)
    built = build_pyramid(grid, pyramid, permutations=permutations)
    return make_sample(points, built, preparation, name=scene.name, inverse=inverse, views=views, rng=rng)


def _representatives(voxels: Voxels, points: PointSet, rng: np.random.Generator) -> Tensor:
    """(M,) int64: a random point of each voxel, a pinned one where it has any."""
    return voxels.random(rng) if points.pinned is None else voxels.random_of(points.pinned, rng)


def _one_number(seed: int | Sequence[int]) -> int:
    return seed if isinstance(seed, int) else int(np.random.SeedSequence(list(seed)).generate_state(1)[0])


def make_sample(
    points: PointSet,
    pyramid: Pyramid,
    preparation: Preparation,
    *,
    name: str,
    inverse: Tensor,
    views: SceneViews | None,
    rng: np.random.Generator,
) -> Sample:
    """The sample of points that stand for voxels already.

    Args:
        points: M, one per voxel, in the pyramid's order; their ``index`` says which points of ``views`` they are.
        pyramid: of the voxels.
        preparation: how points become features, and which view each takes.
        name: of the scene.
        inverse: (N,) the voxel of every point of the scene.
        views: from :func:`ditr.data.scene_views.view_features`, for networks that take images.
        rng: of the choice of views.
    """
    if preparation.origin is Origin.CENTER and Attribute.COORD in preparation.attributes:
        points = CenterShift(z=False)(points, rng)
    return Sample(
        name=name,
        feature=_features(points, preparation),
        pyramid=pyramid,
        lift=None if views is None else lift_points(views, points.index, preparation.view_choice, rng, pyramid),
        label=None if points.label is None else torch.from_numpy(points.label),
        inverse=inverse,
        tokens=None if views is None else views.tokens,
        unencoded=() if views is None else views.unencoded,
        sizes=() if views is None else views.sizes,
        cls=None if views is None else views.cls,
    )


def _with_box(chain: Sequence[PointAugmentation], preparation: Preparation) -> tuple[PointAugmentation, ...]:
    """The chain after the box, unless it has one of its own, which then is at another place: after the rotation."""
    if preparation.clip is None or any(isinstance(augmentation, PointClip) for augmentation in chain):
        return tuple(chain)
    return (preparation.clip, *chain)


def point_set(scene: Scene, preparation: Preparation, rotation: NDArray[np.float64] | None = None) -> PointSet:
    """All points of a scene with the attributes of ``preparation``, in the frame in which they are voxelised.

    Args:
        scene: the points.
        preparation: which attributes, and where the origin is.
        rotation: (3, 3) turns points and normals first, where a scene's up is not z.

    Raises:
        InputError: an attribute is missing and has no substitute, or the origin is far away.
    """
    preparation = preparation.of(scene)
    coord = scene.coord if rotation is None else scene.coord @ rotation.T
    if preparation.origin is Origin.CENTER:
        low, high = bounding_box(coord)
        middle = (low + high) / 2
        coord = coord - np.array([middle[0], middle[1], low[2]])
    elif np.abs(coord).max() > 1e5:
        raise InputError(
            f"scene {scene.name}",
            f"the coordinates reach {np.abs(coord).max():.3g} m from the origin, where the sensor should be",
            "Move the sensor's position to the origin",
        )
    wanted = preparation.attributes
    normal = _attribute(scene, preparation, Attribute.NORMAL) if Attribute.NORMAL in wanted else None
    if normal is not None and rotation is not None:
        normal = (normal @ rotation.T).astype(np.float32)
    strength = _attribute(scene, preparation, Attribute.STRENGTH) if Attribute.STRENGTH in wanted else None
    return PointSet(
        coord=coord.astype(np.float32),
        index=np.arange(len(coord)),
        color=_attribute(scene, preparation, Attribute.COLOR) if Attribute.COLOR in wanted else None,
        normal=normal,
        strength=None if strength is None else strength / np.float32(preparation.strength_scale),
        label=None if scene.label is None else scene.label.astype(np.int64),
    )


def _attribute(scene: Scene, preparation: Preparation, attribute: Attribute) -> NDArray[np.float32]:
    """(N, width) float32 values of an attribute, or of its declared substitute."""
    value = _stored(scene, attribute)
    if value is not None:
        return np.array(value, dtype=np.float32).reshape(len(scene), attribute.width)
    substitutes = dict(preparation.substitutes)
    if attribute in substitutes:
        return np.full((len(scene), attribute.width), substitutes[attribute], dtype=np.float32)
    require_attributes(scene, preparation)
    raise AssertionError("unreachable")


def require_attributes(scene: Scene, preparation: Preparation, *, estimate: bool = False) -> None:
    """Refuse a scene that lacks an input feature; with ``estimate`` normals may be missing, where they are all.

    Raises:
        InputError: naming all that is missing.
    """
    lacking = lacking_attributes(scene, preparation)
    if not lacking or (estimate and lacking == [Attribute.NORMAL]):
        return
    raise InputError(
        f"scene {scene.name}",
        f"the points have no {' and no '.join(a.value for a in lacking)}, which this model needs as input"
        f"{unread_columns(scene)}",
        "Add it to the point cloud, or declare a substitute "
        f"(--substitute {' '.join(f'{a.value}=VALUE' for a in lacking)})",
    )


def lacking_attributes(scene: Scene, preparation: Preparation) -> list[Attribute]:
    """The input features that a scene has not and that nothing is declared to stand in for."""
    declared = {attribute for attribute, _ in preparation.of(scene).substitutes}
    return [a for a in preparation.attributes if _stored(scene, a) is None and a not in declared]


def not_finite(scene: Scene, preparation: Preparation) -> tuple[Attribute, int] | None:
    """The first input feature that is not finite, and the first point of which it is not; None where all are."""
    for attribute in preparation.attributes:
        values = _stored(scene, attribute)
        if values is not None and not (good := np.isfinite(values.reshape(len(scene), -1)).all(axis=1)).all():
            return attribute, int(np.flatnonzero(~good)[0])
    return None


def _stored(scene: Scene, attribute: Attribute) -> NDArray[Any] | None:
    stored: dict[Attribute, NDArray[Any] | None] = {
        Attribute.COORD: scene.coord,
        Attribute.COLOR: scene.color,
        Attribute.NORMAL: scene.normal,
        Attribute.STRENGTH: scene.strength,
    }
    return stored[attribute]


def _features(points: PointSet, preparation: Preparation) -> Tensor:
    columns = {
        Attribute.COORD: points.coord,
        Attribute.COLOR: None if points.color is None else points.color / np.float32(127.5) - 1,
        Attribute.NORMAL: points.normal,
        Attribute.STRENGTH: points.strength,
    }
    wanted = [columns[attribute] for attribute in preparation.attributes]
    return torch.from_numpy(np.concatenate([column for column in wanted if column is not None], axis=1))


def _numbered(points: PointSet) -> PointSet:
    """The voxels' points with their voxel's number as index, so that a crop can say which voxels it kept."""
    return replace(points, index=np.arange(len(points)))


def _renumbered(kept: PointSet, points: PointSet) -> PointSet:
    return replace(kept, index=points.index[kept.index])


def _follow_crop(inverse: Tensor, kept: NDArray[np.int64], count: int) -> Tensor:
    new = torch.full((count + 1,), -1, dtype=torch.int64)
    new[torch.from_numpy(kept)] = torch.arange(len(kept))
    return new[inverse]

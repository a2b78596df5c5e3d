"""What a model's training scenes were like, and where another scene is unlike them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ditr.data.preparation import Attribute, Origin, Preparation
from ditr.data.scene_views import inference_rows, points_in
from ditr.errors import InputError
from ditr.geometry.orientation import find_up
from ditr.scene import Scene, SceneSource

__all__ = ["SceneFacts", "TrainingData", "facts_of", "ground_height", "measured"]

Range = tuple[float, float]

SCENES, POINTS, VIEWS = 20, 20_000, 400
"""How much of a training set is looked at: scenes, points of each, and views of all of them together."""
FACTOR = 3.0
"""Lengths within this factor of those in training are like them."""
GROUND, CAMERAS = 0.8, 1.0
"""Metres by which the ground and the cameras may lie beyond the heights in training."""
DIMMEST, BRIGHTEST = 0.05, 1.5
"""The part of the highest intensity in training that a scene's may be; thrice the latter where that was measured."""


@dataclass(frozen=True)
class SceneFacts:
    """What a scene is like; lengths in metres, None for what it does not tell.

    Attributes:
        extent: the longest side of its box, where coordinates are not counted from a sensor.
        spacing: median distance from a point to its nearest neighbour.
        distance: of half of the points along the ground, where coordinates are counted from a sensor.
        ground: height of the ground there.
        cameras: median height of the cameras above the floor, where coordinates are not counted from a sensor.
        intensity: 0.5 and 99.5 % quantiles, after the division by the scale; None where they are not an input.
        seen: share of points that some view shows, for models that take images.
        image_sizes: (width, height) in pixels, each once.
    """

    extent: float | None = None
    spacing: float | None = None
    distance: float | None = None
    ground: float | None = None
    cameras: float | None = None
    intensity: Range | None = None
    seen: float | None = None
    image_sizes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class TrainingData:
    """What the scenes were like with which a model was trained.

    Attributes:
        scenes: how many there were; 0 for a published model, of which bounds are known and nothing was measured.
        extent: lowest and highest of the scenes' longest sides, as 5 and 95 % quantiles.
        spacing: median distance from a point to its nearest neighbour, of the middle scene.
        distance: lowest and highest median distance of the points from the sensor.
        ground: lowest and highest height of the ground below the sensor.
        cameras: lowest and highest median height of a scene's cameras above its floor.
        intensity: lowest 0.5 % and highest 99.5 % quantile, after the division by the scale.
        seen: lowest and highest share of points that some view shows.
        image_sizes: (width, height) in pixels, the most frequent ones.
    """

    scenes: int = 0
    extent: Range | None = None
    spacing: float | None = None
    distance: Range | None = None
    ground: Range | None = None
    cameras: Range | None = None
    intensity: Range | None = None
    seen: Range | None = None
    image_sizes: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, facts: Sequence[SceneFacts], scenes: int) -> TrainingData:
        """Of ``scenes`` scenes, some of which were looked at."""
        spacing = [f.spacing for f in facts if f.spacing is not None]
        intensity = [f.intensity for f in facts if f.intensity is not None]
        sizes = [size for f in facts for size in f.image_sizes]
        return cls(
            scenes=scenes,
            extent=_range([f.extent for f in facts], 5),
            spacing=_rounded(float(np.median(spacing))) if spacing else None,
            distance=_range([f.distance for f in facts]),
            ground=_range([f.ground for f in facts]),
            cameras=_range([f.cameras for f in facts]),
            intensity=(min(i[0] for i in intensity), max(i[1] for i in intensity)) if intensity else None,
            seen=_range([f.seen for f in facts]),
            image_sizes=tuple(sorted(set(sizes), key=lambda size: (-sizes.count(size), size))[:5]),
        )

    def unlike(self, scene: SceneFacts, preparation: Preparation) -> list[str]:
        """Where a scene is unlike these, in parts of a sentence.

        Args:
            scene: what it is like.
            preparation: of that scene.
        """
        return [*self._unlike_lengths(scene, preparation), *self._unlike_views(scene), *self._dim(scene, preparation)]

    def _unlike_lengths(self, scene: SceneFacts, preparation: Preparation) -> Iterator[str]:
        if self.extent is not None and scene.extent is not None and not _like(scene.extent, self.extent):
            theirs = _text(self.extent)
            yield f"it spans {scene.extent:.3g} m, but {theirs} m in training (coordinates are metres)"
        if self.spacing is not None and scene.spacing is not None:
            # Voxels hide what is finer.
            here, there = (max(value, preparation.voxel_size) for value in (scene.spacing, self.spacing))
            if not _like(here, (there, there)):
                yield f"its points are {scene.spacing:.2g} m apart, but {self.spacing:.2g} m in training"
        if self.distance is not None and scene.distance is not None and scene.distance > FACTOR * self.distance[1]:
            yield f"half of the points are more than {scene.distance:.0f} m from the origin, where the sensor should be"
        if self.ground is not None and scene.ground is not None and _beyond(scene.ground, self.ground, GROUND):
            yield f"the ground is {scene.ground:.1f} m high, but {_text(self.ground, '.1f')} m in training"
        if self.cameras is not None and scene.cameras is not None and _beyond(scene.cameras, self.cameras, CAMERAS):
            high = f"{scene.cameras:.1f} m above the floor"
            yield f"its cameras are {high}, but {_text(self.cameras, '.1f')} m in training"

    def _unlike_views(self, scene: SceneFacts) -> Iterator[str]:
        if self.seen is not None and scene.seen is not None and scene.seen < self.seen[0] / FACTOR:
            yield f"{scene.seen:.0%} of its points are seen, but {_text(self.seen, '.0%')} in training"
        if self.image_sizes and scene.image_sizes:
            largest = max(max(size) for size in scene.image_sizes)
            if largest < min(max(size) for size in self.image_sizes) / FACTOR:
                yield f"its images have at most {largest} pixels a side, but {self.image_sizes[0]} in training"

    def _dim(self, scene: SceneFacts, preparation: Preparation) -> Iterator[str]:
        if self.intensity is None or Attribute.STRENGTH not in preparation.attributes:
            return
        if scene.intensity is None:
            yield "one value replaces all intensities"
            return
        scale, least, most = preparation.strength_scale, *self.intensity
        low, high = scene.intensity
        brightest = BRIGHTEST * (3 if self.scenes else 1) * most
        if low >= FACTOR * min(least, 0) and DIMMEST * most <= high <= brightest:
            return
        wanted = high * scale / most if most else 1.0
        fitting = next(
            (f"{best:g}" for best in (1.0, 255.0) if DIMMEST * most <= high * scale / best <= brightest),
            f"{wanted:.2g}" if wanted < 1 else f"{wanted:.0f}",
        )
        yield (
            f"intensities of {low * scale:.3g} to {high * scale:.3g}, but "
            f"{least * scale:.3g} to {most * scale:.3g} in training (try --strength-scale {fitting})"
        )


def facts_of(
    scene: Scene, preparation: Preparation, up: NDArray[np.float64], *, seen: float | None = None
) -> SceneFacts:
    """What a scene is like.

    Args:
        scene: points and views; no image is opened.
        preparation: of the scene.
        up: (3,) against gravity.
        seen: share of points that some view shows; None where it is not known.
    """
    coord, up = scene.coord[_even(len(scene), POINTS)], up / np.linalg.norm(up)
    height = coord @ up
    from_sensor = preparation.origin is Origin.SENSOR
    distance = np.sqrt(np.maximum((coord**2).sum(axis=1) - height**2, 0))  # along the ground
    centers = np.array([view.center for view in scene.posed_views]).reshape(-1, 3)
    above = centers @ up - float(np.percentile(height, 1))
    strength = None
    if scene.strength is not None and Attribute.STRENGTH in preparation.attributes:
        low, high = (float(value) for value in np.percentile(scene.strength, [0.5, 99.5]))
        strength = (_rounded(low / preparation.strength_scale), _rounded(high / preparation.strength_scale))
    return SceneFacts(
        extent=None if from_sensor else _rounded(float(np.ptp(scene.coord, axis=0).max())),
        spacing=_spacing(scene.coord),
        distance=_rounded(float(np.median(distance))) if from_sensor else None,
        ground=ground_height(coord, up) if from_sensor else None,
        cameras=_rounded(float(np.median(above))) if len(above) and not from_sensor else None,
        intensity=strength,
        seen=None if seen is None else _rounded(seen),
        image_sizes=tuple(sorted({(view.camera.width, view.camera.height) for view in scene.views})),
    )


def ground_height(coord: NDArray[np.float64], up: NDArray[np.float64]) -> float | None:
    """Height in metres of the ground around the origin; None where too few points lie there."""
    height = coord @ up
    distance = np.sqrt(np.maximum((coord**2).sum(axis=1) - height**2, 0))
    near = height[(distance > 3) & (distance < 20)]
    return _rounded(float(np.percentile(near, 10))) if len(near) >= 100 else None


def measured(source: SceneSource, preparation: Preparation, *, takes_images: bool) -> TrainingData | None:
    """What a training set is like, from some of its scenes; None where none of these can be read.

    Scenes that cannot be read are passed over: training, which needs them, says so.

    Args:
        source: the scenes.
        preparation: of the model.
        takes_images: whether the model does.
    """
    facts, left = [], VIEWS
    for row in _even(len(source), SCENES):
        try:
            scene = source.scene(int(row))
            own = preparation.of(scene)
            rows = inference_rows(scene, own, 0) if takes_images else []
            left -= len(rows)
            seen = _share_seen(scene, own, rows) if takes_images and left >= 0 else None
            facts.append(facts_of(scene, own, find_up(scene), seen=seen))
        except InputError:
            continue
    return TrainingData.of(facts, len(source)) if facts else None


def _share_seen(scene: Scene, preparation: Preparation, rows: Sequence[int]) -> float:
    if all(view.is_posed for view in scene.views):
        scene = Scene(scene.name, scene.coord[_even(len(scene), POINTS)], scene.views)
    seen = np.zeros(len(scene), dtype=bool)
    for row in rows:
        seen |= points_in(scene, scene.views[row], preparation.rule)[1]
    return float(seen.mean())


def _spacing(coord: NDArray[np.float64]) -> float | None:
    """Of a few points, each among its neighbours along x."""
    if len(coord) < 2:
        return None
    order = coord[np.argsort(coord[:, 0], kind="stable")]
    nearest = []
    for row in _even(len(order), 32):
        begin = max(0, row - 10_000)
        square = ((order[begin : row + 10_001] - order[row]) ** 2).sum(axis=1)
        square[row - begin] = np.inf
        nearest.append(square.min())
    return _rounded(float(np.sqrt(np.median(nearest))))


def _even(count: int, most: int) -> NDArray[np.int64]:
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _range(values: Sequence[float | None], tail: float = 0) -> Range | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = np.percentile(known, [tail, 100 - tail])
    return _rounded(float(low)), _rounded(float(high))


def _like(value: float, wanted: Range) -> bool:
    return wanted[0] / FACTOR <= value <= FACTOR * wanted[1]


def _beyond(value: float, wanted: Range, margin: float) -> bool:
    return not wanted[0] - margin <= value <= wanted[1] + margin


def _text(wanted: Range, form: str = ".3g") -> str:
    low, high = (format(value, form) for value in wanted)
    return low if low == high else f"{low} to {high}"

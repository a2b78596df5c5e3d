"""Is the unit the metre? Extents, spacing, camera heights, depth maps against distances."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ditr.captures.depth_ratio import DepthRatio
from ditr.captures.read_options import UNITS
from ditr.errors import Finding, Grade
from ditr.geometry.orientation import find_up
from ditr.geometry.projection import VisibilityRule, project
from ditr.geometry.stance import Stance
from ditr.plausibility.attributes import far_away
from ditr.scene import Scene

__all__ = ["UNKNOWN_UNIT", "check_scale"]

UNKNOWN_UNIT = "unit"
"""What the finding is about that a scene has no unit at all."""
_POINTS, _VIEWS = 20_000, 8
_FLAT = 0.4
"""Thickness over width of ground; rooms are thicker."""
_FAR = 30_000.0
_ELSEWHERE = 300.0
"""Sizes of a cloud from which nobody photographs it."""
_TALL, _HIGH_CEILING, _HIGH_CAMERA, _VERY_HIGH_CAMERA = 500.0, 80.0, 100.0, 400.0
"""Metres that buildings, halls, people and drones do not reach, except for a few."""
_WALLED = 0.05
"""Share of a floor plan with walls: slopes are not as steep."""
_LOW_CEILING, _NEAR = 0.6, 0.08
"""Metres below which no camera fits."""
_TOGETHER, _LONG_WALK = 0.01, 100.0
"""Metres between cameras: a rig or a walk has more than the one, and a capture seldom more than the other."""
_USUAL = {"extent": 10.0, "height": 6.0, "ceiling": 2.6, "camera": 1.5}
"""Metres, by which a unit is guessed; the last ones are the surest."""
_MEANING = {"extent": "a place of", "height": "heights of", "ceiling": "a ceiling at", "camera": "cameras at"}
_DEPTH = 5.0
_DEPTH_UNITS = (1.0, 0.1, 0.01, 0.001, 1e-4, 1e-6, 1 / 256, 1 / 5000, 1 / 4000, 1 / 512)
_LENGTHS = (*UNITS.values(), 1e-6, 1e-4, 0.1, 10.0, 100.0, 1000.0)
"""That files are written in."""


def check_scale(scene: Scene, rule: VisibilityRule) -> list[Finding]:
    """Units that are unknown or not metres, and depth maps in another one.

    Raises:
        InputError: a depth map that cannot be read.
    """
    if scene.unscaled is not None:
        text = f"the scale is unknown: {scene.unscaled}; photographs alone do not determine it"
        remedy = "Give --scale-by A B METRES (two views or two points), --scale auto (by the floor), or --unit"
        return [Finding(Grade.REFUSED, UNKNOWN_UNIT, text, remedy)]
    sample = _sampled(scene)
    spread = np.linalg.svd(sample.coord - sample.coord.mean(axis=0), compute_uv=False)
    if len(sample) < 50 or spread[1] < 1e-6 * spread[0] or not spread[0]:
        return []
    stance = Stance.of(sample.coord, sample.views, _up(sample))
    ratio = DepthRatio.of(sample)
    return _poses_elsewhere(sample, stance) or _depth(ratio) or _implausible(sample, stance, ratio)


def _sampled(scene: Scene) -> Scene:
    """The scene with few points and views, spread evenly."""
    rows = np.linspace(0, len(scene) - 1, min(len(scene), _POINTS)).astype(np.int64)
    rows = rows[~far_away(scene.coord[rows])]
    views = scene.posed_views
    some = np.unique(np.linspace(0, len(views) - 1, min(len(views), _VIEWS)).astype(np.int64))
    return Scene(
        scene.name,
        scene.coord[rows],
        tuple(views[row] for row in some),
        normal=None if scene.normal is None else scene.normal[rows],
        up=scene.up,
        reading=scene.reading,
    )


def _up(scene: Scene) -> NDArray[np.float64]:
    """The direction against gravity; of flat ground it is the one across, whichever way cameras look at it."""
    up = find_up(scene)
    up = up / np.linalg.norm(up)
    middle = np.median(scene.coord, axis=0)
    _, spread, axes = np.linalg.svd(scene.coord - middle, full_matrices=False)
    if spread[2] > _FLAT * spread[1]:
        return up
    across: NDArray[np.float64] = axes[2]
    side = across @ up if abs(across @ up) > 0.5 or not scene.views else across @ (_center(scene) - middle)
    return across if side >= 0 else -across


def _center(scene: Scene) -> NDArray[np.float64]:
    """(3,) the middle of the cameras."""
    return np.asarray(np.median([view.center for view in scene.views], axis=0))


def _poses_elsewhere(scene: Scene, stance: Stance) -> list[Finding]:
    """Poses in another unit than the points: from far away they see nothing, and nearer they would."""
    size = float(np.hypot(np.linalg.norm(stance.extent), stance.height))
    if not scene.views or stance.distance < 1.5 * size:
        return []
    if stance.distance < 30 * size and _seen(scene) > 0.01:
        return []
    text = f"the cameras are {stance.distance:.4g} m away from a cloud of {size:.3g} m"
    evidence = {"distance": stance.distance, "size": size}
    middle, center = np.median(scene.coord, axis=0), _center(scene)
    for factor in (0.001, 0.01):
        if np.linalg.norm(factor * center - middle) < 3 * size and _seen(scene, factor) > 0.1:
            text += f", which they would see well if the poses were in {_name(factor)}"
            return [Finding(Grade.REFUSED, "scale", text, f"Multiply the poses' positions by {factor:g}", evidence)]
    if stance.distance < _ELSEWHERE * size:
        return []
    text += ": points and poses have no common origin"
    return [Finding(Grade.REFUSED, "scale", text, "Subtract one offset from points and poses alike", evidence)]


def _seen(scene: Scene, factor: float = 1.0) -> float:
    """Share of the points inside some image, with the cameras' positions times ``factor``."""
    coord = scene.coord[:: max(1, len(scene) // 2000)]
    seen = np.zeros(len(coord), dtype=bool)
    for view in scene.views:
        pose = view.world_to_camera.copy()
        pose[:3, 3] *= factor
        seen |= project(coord, view.camera, pose).visible
    return float(seen.mean())


def _depth(found: DepthRatio | None) -> list[Finding]:
    """Depth maps in another unit than points and poses, and which of the two is meant in metres."""
    if found is None or found.fits:
        return []
    evidence = {"depth_over_distance": found.ratio, "share": round(found.share, 3)}
    text = f"depth maps have {found.ratio:.3g} times the distances of the points, which are {found.distance:.3g} m"
    depth_unit, unit = _nice(found.unit / found.ratio, _DEPTH_UNITS), _nice(found.ratio, _LENGTHS)
    nearer = abs(math.log(found.distance / _DEPTH)) <= abs(math.log(found.distance * found.ratio / _DEPTH))
    if depth_unit is not None and (unit is None or (nearer and unit != UNITS["ft"])):
        return [Finding(Grade.REFUSED, "depth", text, f"Use --depth-unit {depth_unit:.4g}", evidence)]
    text += "; if these are metres, points and poses are not"
    return [Finding(Grade.REFUSED, "scale", text, f"Use --unit {_name(unit or found.ratio)}", evidence)]


def _implausible(scene: Scene, stance: Stance, ratio: DepthRatio | None) -> list[Finding]:
    """What no place has that people photograph."""
    told = [*_too_large(stance), *_too_small(stance)]
    if not told:
        return []
    measured = {"extent": float(stance.extent.max()), "height": stance.height}
    if stance.ceiling is not None:
        measured["ceiling"] = stance.ceiling
    if len(stance.cameras) and _stands_like_people(stance):
        measured["camera"] = float(np.median(stance.cameras))
    guesses = [(name, _guessed(_USUAL[name] / value)) for name, value in reversed(measured.items())]
    surest, unit = next(((name, unit) for name, unit in guesses if unit != 1), guesses[0])
    remedy = f"Use --unit {_name(unit)} ({_MEANING[surest]} {measured[surest] * unit:.3g} m then)"
    if ratio is not None:
        # Depth maps fit the points, so that they are in the same unit.
        remedy = f"Use --unit {_name(unit)} --depth-unit {ratio.unit * unit:.3g}"
    if unit > 1:
        remedy = f"Use --scale auto or --unit {_name(unit)}"
    apart = max(np.ptp([view.center for view in scene.views], axis=0)) if len(scene.views) > 2 else 0.0
    if 0 < apart * unit < _TOGETHER < apart < _LONG_WALK:
        told.append(f"but its cameras are {apart:.2g} m apart")
        remedy = f"Multiply the points by {unit:g}, if the poses are in metres"
    evidence = {name: float(f"{value:.4g}") for name, value in measured.items()}
    return [Finding(Grade.REFUSED, "scale", f"this is not in metres: {', '.join(told)}", remedy, evidence)]


def _guessed(unit: float) -> float:
    """The unit that people use near ``unit``, which is known to half a power of ten."""
    if 1e-4 < unit < 0.1:
        return UNITS["mm"] if unit < 10**-2.5 else UNITS["cm"]
    return float(10.0 ** round(math.log10(unit)))


def _too_large(stance: Stance) -> Iterator[str]:
    extent = float(stance.extent.max())
    if extent > _FAR:
        yield f"it is {_long(extent)} wide"
    if stance.ceiling is not None and stance.ceiling > _HIGH_CEILING and stance.walled > _WALLED:
        yield f"a room of {_long(extent)} with a ceiling at {_long(stance.ceiling)}"
    elif stance.height > _TALL and stance.walled > _WALLED:
        yield f"walls of {_long(stance.height)} over {_long(extent)}"
    if len(stance.cameras) and _stands_like_people(stance):
        height = float(np.median(stance.cameras))
        if height > _VERY_HIGH_CAMERA or (height > _HIGH_CAMERA and stance.overhead > 0.03):
            yield f"level cameras {_long(height)} above the ground"


def _too_small(stance: Stance) -> Iterator[str]:
    if not len(stance.cameras):
        return
    if stance.distance < _NEAR:
        yield f"cameras {stance.distance:.2g} m from the points"
    if stance.ceiling is not None and stance.ceiling < _LOW_CEILING and stance.overhead > 0.03:
        yield f"cameras in a room with a ceiling at {stance.ceiling:.2g} m"


def _stands_like_people(stance: Stance) -> bool:
    """Cameras at one height that do not look down steeply."""
    height = float(np.median(stance.cameras))
    return height > 0 and stance.looking > -0.5 and float(np.std(stance.cameras)) < 0.3 * height


def _nice(value: float, usual: tuple[float, ...]) -> float | None:
    """The usual unit within 2 % of it."""
    return next((unit for unit in usual if abs(math.log(unit / value)) < 0.02), None)


def _name(unit: float) -> str:
    return next((name for name, metres in UNITS.items() if math.isclose(unit, metres)), f"{unit:.4g}")


def _long(metres: float) -> str:
    return f"{metres / 1000:.3g} km" if metres >= 1000 else f"{metres:.3g} m"

"""Points of a scene packed for the 3D view of a report: few enough, in whole numbers, as text within the page."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.geometry.curves import Curve, codes_along
from ditr.geometry.orientation import rotation_upright
from ditr.pictures.palette import value_colors
from ditr.pictures.panels import LegendEntry, Panel
from ditr.pictures.viewpoint import inward_normals, is_enclosed, two_sides
from ditr.scene import Scene

__all__ = ["MOST_POINTS", "ClassLayer", "ColorLayer", "Layer", "PointsView", "ValueLayer", "even_subset", "points_view"]

MOST_POINTS = 400_000
"""Of all 3D views of a page together: with four layers 6 MB of text."""
_STEPS = 65535
"""Of 16 bits."""
_LEVELS = 16
_FAR = 1.5
"""Points farther than so many extents of the bulk from it are strays, for which the others would lose precision."""
_MOST_ENTRIES = 255
_CEILING = 0.85
"""Share of a room's height up to which it is shown at first."""


@dataclass(frozen=True, eq=False)
class ClassLayer:
    """Colours by class, with a legend.

    Attributes:
        title: what the classes are of.
        index: (N,) integers, rows of ``entries``; -1 is the last of them.
        entries: names and colours.
    """

    title: str
    index: NDArray[np.integer[Any]]
    entries: Sequence[LegendEntry]


@dataclass(frozen=True, eq=False)
class ColorLayer:
    """Colours of their own, (N, 3) uint8."""

    title: str
    color: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ValueLayer:
    """Colours by a number, (N,) of 0..1."""

    title: str
    value: NDArray[np.floating[Any]]


Layer = ClassLayer | ColorLayer | ValueLayer


@dataclass(frozen=True, eq=False)
class PointsView:
    """A block of a report: points to turn and to look at, by the page's own script.

    Attributes:
        title: what is shown.
        settings: JSON that the script reads.
        data: base64 of three uint16 per point, of three int8 for its normal where rooms are looked into by them, then
            the bytes of each layer.
        still: the picture for browsers without WebGL, and for paper; None to do without.
        caption: what the reader needs to know.
    """

    title: str
    settings: str
    data: str
    still: Panel | None = None
    caption: str = ""


def points_view(
    scene: Scene,
    layers: Sequence[Layer],
    *,
    title: str,
    up: NDArray[np.float64],
    still: Panel | None = None,
    most: int = MOST_POINTS,
) -> PointsView:
    """Pack a scene.

    Args:
        scene: its points are turned upright, and seen at first as in :func:`two_sides`.
        layers: what they can be coloured by; the first is shown at first.
        title: what is shown.
        up: (3,) the direction against gravity.
        still: see :class:`PointsView`.
        most: the largest number of points that are packed; see :func:`even_subset`.
    """
    turn = rotation_upright(up)
    turn = np.eye(3) if turn is None else turn
    near = _near(scene.coord)
    chosen = near[even_subset(scene.coord[near], most)]
    coord = scene.coord[chosen] @ turn.T
    low, high = coord.min(axis=0), coord.max(axis=0)
    step = max(float((high - low).max()), 1e-6) / _STEPS
    parts = [np.rint((coord - low) / step).astype("<u2").tobytes()]
    inward = inward_normals(scene) if is_enclosed(scene) else None
    if inward is not None:
        facing = np.nan_to_num(inward[chosen] @ turn.T)
        parts.append(np.rint(np.clip(facing, -1, 1) * 127).astype(np.int8).tobytes())
    described = []
    for layer in layers:
        settings, content = _packed(layer, chosen)
        described.append(settings)
        parts.append(content)
    settings = {
        "count": len(chosen),
        "step": step,
        "extent": (high - low).tolist(),
        "layers": described,
        "inward": inward is not None,
        **_first_look(scene, coord - low, turn, up, whole=inward is not None),
    }
    share = "" if len(chosen) == len(scene) else f"{len(chosen):,} of {len(scene):,} points, evenly chosen. "
    data = base64.b64encode(b"".join(parts)).decode("ascii")
    return PointsView(title, json.dumps(settings), data, still, f"{share}{_HOW}")


_HOW = (
    "Drag to turn, and with the right button or two fingers to move; after a click in the picture, the wheel zooms. "
    "A click shows what a point is, a double click goes there."
)


def even_subset(coord: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Rows of at most so many points, in order: each k-th along a curve that fills space, so that dense places stay
    dense and no part is thinned more than another."""
    if len(coord) <= most:
        return np.arange(len(coord))
    low = coord.min(axis=0)
    extent = max(float((coord.max(axis=0) - low).max()), 1e-6)
    cell = np.minimum((coord - low) * ((1 << _LEVELS) / extent), (1 << _LEVELS) - 1).astype(np.int64)
    order = np.argsort(codes_along(cell, [Curve.Z], _LEVELS)[0], kind="stable")
    return np.sort(order[np.linspace(0, len(coord) - 1, most).astype(np.int64)])


def _near(coord: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of the points that are not strays."""
    low, high = np.percentile(coord[:: max(1, len(coord) // 200_000)], [1, 99], axis=0)
    room = _FAR * max(float((high - low).max()), 1e-6)
    return np.flatnonzero(((coord >= low - room) & (coord <= high + room)).all(axis=1))


def _packed(layer: Layer, chosen: NDArray[np.int64]) -> tuple[dict[str, Any], bytes]:
    """What the script has to know of a layer, and a byte for each point, or three."""
    if isinstance(layer, ColorLayer):
        return {"title": layer.title, "kind": "color"}, layer.color[chosen].astype(np.uint8).tobytes()
    if isinstance(layer, ValueLayer):
        ramp = value_colors(np.linspace(0, 1, 256), low=0.0, high=1.0)
        value = np.rint(np.clip(np.nan_to_num(layer.value[chosen]), 0, 1) * 255).astype(np.uint8)
        return {"title": layer.title, "kind": "value", "colors": ramp.ravel().tolist()}, value.tobytes()
    entries, index = _few_entries(layer)
    count = np.bincount(index, minlength=len(entries))
    # Classes that no point has need no line of the legend.
    kept = np.flatnonzero(count)
    row = np.zeros(len(entries), np.uint8)
    row[kept] = np.arange(len(kept))
    listed = [{"name": entries[i].name, "color": list(entries[i].color), "count": int(count[i])} for i in kept]
    return {"title": layer.title, "kind": "class", "entries": listed}, row[index[chosen]].tobytes()


def _few_entries(layer: ClassLayer) -> tuple[list[LegendEntry], NDArray[np.int64]]:
    """At most as many as a byte can tell apart; the rarest are taken together."""
    entries = list(layer.entries)
    index = np.where(layer.index < 0, len(entries) - 1, layer.index).astype(np.int64)
    count = np.bincount(index, minlength=len(entries))
    if np.count_nonzero(count) <= _MOST_ENTRIES:
        return entries, index
    rare = np.argsort(-count, kind="stable")[_MOST_ENTRIES - 1 :]
    row = np.arange(len(entries))
    row[rare] = len(entries)
    return [*entries, LegendEntry("rarer classes", (110, 110, 110))], row[index]


def _first_look(
    scene: Scene, coord: NDArray[np.float64], turn: NDArray[np.float64], up: NDArray[np.float64], *, whole: bool
) -> dict[str, Any]:
    """Where the camera is at first, and at which height a room is cut open, unless it is shown ``whole``."""
    side = two_sides(scene, up=up)[0].world_to_camera
    x, y, z = -turn @ side[2, :3]
    low, high = np.percentile(coord, [3, 97], axis=0)
    floor, top = np.percentile(coord[:, 2], [0.5, 99.5])
    cut = floor + _CEILING * (top - floor) if is_enclosed(scene) and not whole else float(coord[:, 2].max())
    return {
        "yaw": float(np.arctan2(y, x)),
        "pitch": float(np.arcsin(np.clip(z, -1, 1))),
        "target": ((low + high) / 2).tolist(),
        "radius": max(float(np.linalg.norm(high - low)) / 2, 1e-3),
        "cut": float(cut),
    }

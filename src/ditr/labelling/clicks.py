"""Clicks: what somebody said of a scene, in order, as a JSON file that is read again without a browser.

A file of clicks names the scene that they were made in; those of another one are refused. (Written by hand, it may
leave the scene out.) Each entry is one action::

    {"class": "chair", "point": 1234}                            a point of the cloud, by its number
    {"class": "chair", "view": "0003.jpg", "pixel": [812, 440]}  a place in a photograph
    {"class": "chair", "view": "0003.jpg", "stroke": [[810, 440], [815, 452]]}
    {"class": "chair", "center": [1.0, 2.0, 0.4], "radius": 0.3}  a ball, painted
    {"lock": "floor"}                                             what is a floor now stays one

"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.photograph_names import view_called
from ditr.errors import InputError, few, nearest
from ditr.io.files import atomic_path, read_bytes, write_json
from ditr.scene import Scene

__all__ = ["Action", "Clicks", "FittedClicks", "Journal", "read_clicks", "scene_identity", "write_clicks"]

SCHEMA = 1
_REMEDY = "Click in `ditr view CAPTURE` and save the clicks, or write the file: docs/labelling.md"
_MOST_BYTES = 64 << 20
_MOST_STROKE = 10_000


@dataclass(frozen=True)
class Action:
    """One entry; see the module.

    Attributes:
        name: of the class that is meant or locked.
        gesture: "point", "pixel", "stroke", "ball" or "lock".
        point: number of a point.
        view: name of a photograph.
        pixels: ((u, v), ...) in it, by its own size.
        center: (x, y, z) of a ball, in the scene's frame.
        radius: of a ball in metres.
    """

    name: str
    gesture: str
    point: int = 0
    view: str = ""
    pixels: tuple[tuple[float, float], ...] = ()
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As in the file."""
        if self.gesture == "lock":
            return {"lock": self.name}
        if self.gesture == "point":
            return {"class": self.name, "point": self.point}
        if self.gesture == "ball":
            return {"class": self.name, "center": list(self.center), "radius": self.radius}
        if self.gesture == "pixel":
            return {"class": self.name, "view": self.view, "pixel": list(self.pixels[0])}
        return {"class": self.name, "view": self.view, "stroke": [list(pixel) for pixel in self.pixels]}

    def fitted(self, scene: Scene, where: str) -> Action:
        """The same with its photograph called as the scene calls it: by hand one writes the file's name or path, too.

        Raises:
            InputError: it names a photograph or a point that the scene does not have.
        """
        if self.gesture == "point" and self.point >= len(scene):
            fault = f"there is no point {self.point}, they are counted from 0 to {len(scene) - 1}"
            raise InputError(where, fault, "Give the number of a point in this scene")
        if self.gesture not in ("pixel", "stroke"):
            return self
        if (view := view_called(scene.views, self.view)) is not None:
            return replace(self, view=view.name)
        near = nearest(self.view, [view.name for view in scene.views])
        hint = f"Did you mean {near!r}?" if near else "Name a photograph of this capture"
        raise InputError(where, f"there is no photograph {self.view!r}", hint)


@dataclass(frozen=True)
class Clicks:
    """All that was said of one scene.

    Attributes:
        scene: what tells it from others, of :func:`scene_identity`; a file written by hand may leave out some or all.
        classes: names, in the order in which they were first used.
        actions: in order.
    """

    scene: Mapping[str, Any]
    classes: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()

    def require(self, scene: Scene, where: str) -> None:
        """Refuse another scene than the one they were made in.

        Raises:
            InputError: it is another one.
        """
        now = scene_identity(scene)
        if self.scene.get("points", now["points"]) != now["points"]:
            fault = f"they were made in a scene with {self.scene['points']} points, but this one has {now['points']}"
        elif self.scene.get("sha256", now["sha256"]) != now["sha256"]:
            fault = f"they were made in another scene ({self.scene.get('name')}) with the same number of points"
        else:
            return
        raise InputError(where, fault, "Name the capture that was clicked in, or make new clicks")

    def fitted(self, scene: Scene, where: str) -> FittedClicks:
        """The same for the scene that they were made in, each as :meth:`Action.fitted`.

        Raises:
            InputError: they were made in another scene, name a photograph or a point that it does not have, or name
                more classes than anybody has.
        """
        self.require(scene, where)
        require_classes(self.classes)
        actions = (action.fitted(scene, f"{where}, click {number}") for number, action in enumerate(self.actions))
        return FittedClicks(scene, self.classes, tuple(actions), where)


@dataclass(frozen=True, eq=False)
class FittedClicks:
    """Clicks that were compared with a scene, and mean something in it; see :meth:`Clicks.fitted`.

    Attributes:
        scene: that they were made in.
        classes: as of :class:`Clicks`.
        actions: in order; photographs are called as the scene calls them.
        where: what errors call them.
    """

    scene: Scene
    classes: tuple[str, ...]
    actions: tuple[Action, ...]
    where: str


def scene_identity(scene: Scene) -> dict[str, Any]:
    """What tells a scene from others: its name, and number and digest of its points."""
    coord = np.ascontiguousarray(scene.coord, dtype="<f8")
    return {"name": scene.name, "points": len(scene), "sha256": hashlib.sha256(coord.tobytes()).hexdigest()}


def read_clicks(path: str | os.PathLike[str]) -> Clicks:
    """Read a file of clicks.

    Raises:
        InputError: not such a file; the text names the entry.
    """
    where = Path(path)
    try:
        content = json.loads(read_bytes(where, _MOST_BYTES))
    except InputError as error:
        raise InputError(where, error.fault, _REMEDY) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(where, f"it is not a file of clicks ({error})", _REMEDY) from None
    if not isinstance(content, dict):
        raise InputError(where, "it is not a file of clicks, since it is not a JSON object", _REMEDY)
    if content.get("schema", SCHEMA) != SCHEMA:
        raise InputError(where, f"its schema is {content['schema']!r}, but this version reads {SCHEMA}", "Update ditr")
    scene = content.get("scene", {})
    if not isinstance(scene, dict):
        raise InputError(
            where, f"its scene is {str(scene)[:60]!r}", "Give its name and number of points, or leave it out"
        )
    entries = content.get("clicks")
    if not isinstance(entries, list):
        raise InputError(where, "it has no list of clicks", _REMEDY)
    actions = tuple(action_of(entry, f"{where}, click {number}") for number, entry in enumerate(entries))
    listed = content.get("classes", [])
    if not isinstance(listed, list) or not all(isinstance(name, str) and name for name in listed):
        raise InputError(where, "its classes are not a list of names", "Give a list of strings")
    names = tuple(dict.fromkeys([*listed, *(action.name for action in actions)]))
    return Clicks(scene, names, actions)


def write_clicks(path: str | os.PathLike[str], clicks: Clicks) -> None:
    """Write a file of clicks, whole or not at all."""
    write_json(path, _content(clicks))


def _content(clicks: Clicks) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "scene": dict(clicks.scene),
        "classes": list(clicks.classes),
        "clicks": [action.to_json() for action in clicks.actions],
    }


class Journal:
    """Clicks that are on the disk as soon as they are made: a line for each, beside the file that is saved.

    Args:
        path: of the file of clicks; the journal has its name with ``.journal`` after it.
        scene: what tells the scene from others.
    """

    def __init__(self, path: Path, scene: Mapping[str, Any]) -> None:
        self.path = path.with_name(path.name + ".journal")
        self.scene = dict(scene)
        self._begun = False

    def add(self, actions: Sequence[Action]) -> None:
        """Write the last of all actions so far; after an undo they are fewer than before.

        The first time, and after the clicks have been saved, all of them are written, in the place of what an earlier
        run left.
        """
        if not self._begun:
            lines = [_line({"schema": SCHEMA, "scene": self.scene})]
            lines += [_line({"count": count + 1, "last": one.to_json()}) for count, one in enumerate(actions)]
            with atomic_path(self.path) as path:
                path.write_bytes(b"".join(lines))
            self._begun = True
            return
        with open(self.path, "ab") as file:
            file.write(_line({"count": len(actions), "last": actions[-1].to_json() if actions else None}))
            file.flush()
            os.fsync(file.fileno())

    def unsaved(self) -> tuple[Action, ...] | None:
        """What an earlier run left unsaved in this scene; None where there is nothing.

        Raises:
            InputError: it is of another scene.
        """
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError:
            return None
        found: list[Action] = []
        try:
            other = dict(json.loads(lines[0])["scene"]) if lines else {}
        except (ValueError, KeyError, TypeError):
            return None  # not one line was written
        if lines and other.get("sha256") != self.scene.get("sha256"):
            fault = f"it has unsaved clicks in another scene ({other.get('name')})"
            raise InputError(self.path, fault, "Open that scene and save them, or remove the file")
        try:
            for number, line in enumerate(lines[1:]):
                entry = json.loads(line)
                count, last = int(entry["count"]), entry["last"]
                found = found[: max(0, count - 1)]
                if last is not None:
                    found.append(action_of(last, f"{self.path}, line {number + 2}"))
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # the line in hand when the process ended
        return tuple(found) or None

    def clear(self) -> None:
        """After the clicks have been saved."""
        self.path.unlink(missing_ok=True)
        self._begun = False


def _line(content: dict[str, Any]) -> bytes:
    return (json.dumps(content) + "\n").encode()


def action_of(entry: Any, where: str) -> Action:
    """An action as it is stored.

    Raises:
        InputError: it cannot be understood.
    """
    remedy = 'Give a class with a point, with view and pixel or stroke, or with center and radius; or {"lock": CLASS}'
    if not isinstance(entry, dict):
        raise InputError(where, "it is not an object", remedy)
    name = entry.get("lock") if "lock" in entry else entry.get("class")
    if not isinstance(name, str) or not name.strip() or len(name) > 200:
        raise InputError(where, "it names no class", remedy)
    if "lock" in entry:
        return Action(name, "lock")
    if "point" in entry:
        number = entry["point"]
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise InputError(where, f"{number!r} is not the number of a point", remedy)
        return Action(name, "point", point=number)
    if "radius" in entry:
        center, (radius,) = (
            _numbers(entry.get("center"), 3, where, remedy),
            _numbers([entry["radius"]], 1, where, remedy),
        )
        if radius <= 0:
            raise InputError(where, f"the radius is {radius}", "Give metres above 0")
        return Action(name, "ball", center=(center[0], center[1], center[2]), radius=radius)
    view = entry.get("view")
    if not isinstance(view, str):
        raise InputError(where, "it names no point or pixel", remedy)
    if "pixel" in entry:
        return Action(name, "pixel", view=view, pixels=(_pixel(entry["pixel"], where, remedy),))
    stroke = entry.get("stroke")
    if not isinstance(stroke, list) or not 0 < len(stroke) <= _MOST_STROKE:
        raise InputError(where, "it names no point or pixel", remedy)
    return Action(name, "stroke", view=view, pixels=tuple(_pixel(pixel, where, remedy) for pixel in stroke))


def _pixel(value: Any, where: str, remedy: str) -> tuple[float, float]:
    u, v = _numbers(value, 2, where, remedy)
    return u, v


def _numbers(values: Any, count: int, where: str, remedy: str) -> list[float]:
    good = isinstance(values, list) and len(values) == count
    if not good or not all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < 1e12 for x in values):
        raise InputError(where, f"{str(values)[:60]} are not {count} numbers", remedy)
    return [float(value) for value in values]


def require_classes(names: Sequence[str], limit: int = 1000) -> None:
    """Refuse more classes than anybody has.

    Raises:
        InputError: there are more.
    """
    if len(names) > limit:
        raise InputError("classes", f"there are {len(names)}: {few(names, 3)}", f"Name at most {limit}")


def points_of(action: Action, pixel: NDArray[np.float64], visible: NDArray[np.bool_], near: float) -> NDArray[np.int64]:
    """The visible points nearest to the pixels of an action, without those that have none within ``near`` pixels.

    Args:
        action: of a photograph.
        pixel: (N, 2) where its view shows each point.
        visible: (N,) whether it does.
        near: pixels.
    """
    from scipy.spatial import cKDTree

    rows = np.flatnonzero(visible)
    if not len(rows):
        return rows
    distance, place = cKDTree(pixel[rows]).query(np.asarray(action.pixels), distance_upper_bound=near)
    return np.unique(rows[place[np.isfinite(distance)]])

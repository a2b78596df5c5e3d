"""Small scenes that have been clicked in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from small_world import make_scene

from ditr.encoders.encoding import CachedEncoding
from ditr.labelling.cells import make_cells
from ditr.labelling.clicks import Action
from ditr.labelling.session import Session
from ditr.scene import Scene


def colored(seed: int) -> Scene:
    """Each class of a colour of its own, and all points labelled."""
    made = make_scene(seed, points=900, views=3)
    palette = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], np.uint8)
    label = np.repeat([0, 1, 2], 300).astype(np.int32)
    return replace(made, label=label, color=palette[label])


def clicks(scene: Scene, names: tuple[str, ...] = ("floor", "wall", "box"), each: int = 3) -> list[Action]:
    assert scene.label is not None
    return [
        Action(name, "point", point=int(point))
        for name in names
        for point in np.flatnonzero(scene.label == scene.class_names.index(name))[:each]
    ]


def session_of(
    scene: Scene, encoding: CachedEncoding | None, names: tuple[str, ...] = ("floor", "wall", "box")
) -> Session:
    session = Session(scene, make_cells(scene, encoding, size=0.1))
    for action in clicks(scene, names):
        session.do(action)
    return session

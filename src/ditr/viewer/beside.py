"""Two results side by side: one page with two panes, whose cameras move together.

Both panes show the same page of the same server; the way that a pane's websocket takes says which side it is. Classes
that are hidden in one are hidden in the other, too.
"""

from __future__ import annotations

import html
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.pictures.palette import BOTH_RIGHT, GREY, ONLY_FIRST
from ditr.viewer.layers import Layer, colors_as, layer_makers
from ditr.viewer.subject import Subject

__all__ = ["PATH", "Beside", "compared", "difference", "pane_of", "panes"]

PATH = "/beside"
_SIDES = ("left", "right")
_PANEL = 324
"""Pixels of the panel, which the left pane has outside of what is seen of it."""
_OF_RESULTS = ("label", "confidence", "right or wrong", "features")
"""Layers that each side has of its own."""


@dataclass(frozen=True, eq=False)
class Beside:
    """A second result of the same points.

    Attributes:
        subject: it.
        names: of both sides.
        layers: how its points are coloured, by the names of the first side's layers.
    """

    subject: Subject
    names: tuple[str, str]
    layers: dict[str, Callable[[], Layer]]


def compared(first: Subject, second: Subject, paths: tuple[Path, Path]) -> tuple[Subject, Beside]:
    """The two sides; true labels stand for a result's where a capture is compared.

    Args:
        first: what the left side shows.
        second: what the right side shows.
        paths: where they come from.

    Raises:
        InputError: their points differ, or one has no labels.
    """
    left, right = (_labelled(subject, path) for subject, path in zip((first, second), paths, strict=True))
    coord, other = left.scene.coord, right.scene.coord
    if coord.shape != other.shape or not np.allclose(coord, other, rtol=1e-6, atol=1e-3):
        fault = f"its {len(other)} points differ from the {len(coord)} points of {paths[0]}"
        raise InputError(paths[1], fault, "Name two results of the same capture, read in the same way")
    right = replace(
        right,
        scene=left.scene,
        class_colors=colors_as(right.class_names, left.class_names, left.class_colors),
    )
    names = (paths[0].resolve().name, paths[1].resolve().name)
    if names[0] == names[1]:
        names = (str(paths[0]), str(paths[1]))
    makers = layer_makers(right)
    nothing = Layer(colors=np.broadcast_to(np.array(GREY, np.uint8), (len(coord), 3)))
    layers = {name: makers.get(name, lambda: nothing) for name in _OF_RESULTS}
    return left, Beside(right, names, layers)


def _labelled(subject: Subject, path: Path) -> Subject:
    if subject.label is not None:
        return subject
    scene = subject.scene
    if scene.label is None or not scene.class_names:
        raise InputError(path, "it has no labels to compare", "Name results of `ditr segment` or `ditr label`")
    return replace(subject, label=scene.label, class_names=scene.class_names)


def difference(first: Subject, second: Subject) -> Layer:
    """Where two results say the same."""
    assert first.label is not None and second.label is not None
    number = {name: place for place, name in enumerate(first.class_names)}
    # A class that only the second knows is none of the first's.
    of_second = np.array([*(number.get(name, -2) for name in second.class_names), -1])[second.label]
    none = (first.label < 0) & (of_second == -1)
    same = (first.label == of_second) & ~none
    group: NDArray[np.int32] = np.select([same, none], [0, 2], default=1).astype(np.int32)
    known = max(1, int((~none).sum()))
    return Layer(
        group=group,
        names=("both same", "differ", "no label in both"),
        group_colors=np.array([BOTH_RIGHT, ONLY_FIRST, GREY], np.uint8),
        note=f"They differ in {100 * float((group == 1).sum()) / known:.1f} % of the points.",
    )


def pane_of(path: str) -> tuple[int, str]:
    """Which side the way of a websocket means, 0 or 1, and which pair of panes; "" for a page that stands alone."""
    parts = path.strip("/").split("/")
    if len(parts) == 2 and parts[0] in _SIDES:
        return _SIDES.index(parts[0]), parts[1]
    return 0, ""


def panes(names: tuple[str, str], host: str) -> str:
    """The page that holds both panes.

    Args:
        names: what stands above them.
        host: as the browser names this machine.
    """
    pair = secrets.token_hex(6)
    left, right = (f"/?websocket=ws://{html.escape(host)}/{side}/{pair}" for side in _SIDES)
    first, second = (html.escape(name) for name in names)
    half = f"calc((100% - {_PANEL}px) / 2)"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{first} | {second}</title><style>
html,body{{margin:0;height:100%;overflow:hidden;font:600 14px system-ui,sans-serif;color:#333;background:#fff}}
div{{position:absolute;top:0;bottom:0;overflow:hidden}}
p{{margin:0;height:30px;line-height:30px;padding:0 12px;overflow:hidden;white-space:nowrap;text-overflow:ellipsis}}
iframe{{border:0;position:absolute;left:0;top:30px;height:calc(100% - 30px)}}
.left{{left:0;width:{half};border-right:2px solid #ccc;box-sizing:border-box}}
.left iframe{{width:calc(100% + {_PANEL}px)}}
.right{{left:{half};right:0}}
.right iframe{{width:100%}}
</style></head><body>
<div class="left"><p>{first}</p><iframe title="left" src="{left}"></iframe></div>
<div class="right"><p>{second}</p><iframe title="right" src="{right}"></iframe></div>
</body></html>
"""

"""Is up where it is taken to be?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ditr.errors import Finding, Grade
from ditr.geometry.orientation import Uprightness, weigh_up
from ditr.geometry.projection import VisibilityRule
from ditr.geometry.upright_views import turned_degrees, upright_views
from ditr.scene import Scene

__all__ = ["check_up"]

_CLEAR = 6.0
"""From this margin on, a direction that was given is called into question."""
_FAR = float(np.cos(np.deg2rad(30)))


def check_up(scene: Scene, rule: VisibilityRule) -> list[Finding]:
    """How up was found where it is not z, and where points and cameras contradict each other, or what is given."""
    turned = _turned_images(scene)
    found = weigh_up(scene)
    evidence = {"up": found.direction.tolist(), "margin": round(found.margin, 1)}
    if scene.up is not None:
        if found.margin < _CLEAR or found.direction @ scene.up > _FAR * np.linalg.norm(scene.up):
            return turned
        given = f"up is given as {_named(scene.up)} (by --up, the capture or its format)"
        text = f"{given}, but points and cameras show {_named(found.direction)}"
        remedy = f"If points and cameras are right, give --up {_option(found.direction)}"
        return [Finding(Grade.WARNED, "up", text, remedy, evidence), *turned]
    return [*_stance(found, evidence), *_direction(scene, found, evidence), *turned]


def _turned_images(scene: Scene) -> list[Finding]:
    """That some views lie on their side."""
    turned = turned_degrees(upright_views(scene, scene.posed_views))
    if not turned:
        return []
    text = (
        f"{len(turned)} of {len(scene.views)} images are on their side or upside down; they are turned upright before "
        "encoding"
    )
    return [Finding(Grade.NOTED, "up", text, evidence={"turned_images": turned})]


def _stance(found: Uprightness, evidence: dict[str, object]) -> list[Finding]:
    """Cameras that do not stand as people and vehicles hold them."""
    if found.roll is None:
        return []
    quarters = round(found.roll / 90)
    if quarters % 4 in (1, 3) and abs(found.roll - 90 * quarters) < 30:
        return []
    evidence = {**evidence, "roll": round(found.roll)}
    roll, name = f"{abs(found.roll):.0f} degrees", _named(found.direction)
    text = f"points show {name}, but then all cameras are turned by {roll} about their axes"
    return [Finding(Grade.WARNED, "up", text, "Check the poses, or give the right direction with --up", evidence)]


def _direction(scene: Scene, found: Uprightness, evidence: dict[str, object]) -> list[Finding]:
    name = _named(found.direction)
    if found.name != "z":
        who = "points and cameras" if scene.posed_views else "the points"
        text = f"{name} is up in this capture, as {who} show"
        return [Finding(Grade.NOTED, "up", text, "If that is wrong, give --up", evidence)]
    if found.evidence > 0.5:
        return []
    text = "z is assumed to be up, as in most captures; points and cameras do not tell"
    if found.evidence < -0.5:
        text = f"z is assumed to be up, as in most captures, although {_named(found.rival)} is also possible"
    return [Finding(Grade.NOTED, "up", text, "If that is wrong, give --up", evidence)]


def _named(direction: NDArray[np.float64]) -> str:
    """``y``, or ``(0.01, -0.89, -0.46)``."""
    option = _option(direction)
    return f"({option.replace(',', ', ')})" if "," in option else option


def _option(direction: NDArray[np.float64]) -> str:
    """What --up takes."""
    unit = direction / np.linalg.norm(direction)
    axis = int(np.argmax(np.abs(unit)))
    if abs(unit[axis]) > 1 - 1e-6:
        return f"{'-' if unit[axis] < 0 else ''}{'xyz'[axis]}"
    return ",".join(f"{value:.2f}" for value in unit)

"""How well ``--scale auto`` finds the metre, and how units that are none are told: captures in eight wrong scales.

    python benchmarks/scale.py ROOMS [CAPTURE ...]

ROOMS is a folder of Rooms (made there by ``ditr rooms`` where it is empty); captures are metric, as 7-Scenes. Points,
poses and depth maps are multiplied alike, so that nothing in a capture contradicts. A line for each factor: in how many
captures the unit that was found is within 15 % of the truth, in how many it is farther off, and in how many the floor
was refused as a measure; and in how many ``ditr`` refuses the capture where nothing is told about its unit.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from ditr.captures.as_read import read_as
from ditr.captures.capture import read_capture
from ditr.captures.folders import find_captures
from ditr.captures.images import read_depth
from ditr.data.preparation import profile_rule
from ditr.errors import Grade, InputError
from ditr.plausibility.scale import check_scale
from ditr.scene import ReadOptions, Scene, View
from ditr.worlds.rooms import RoomsConfig, write_rooms

FACTORS = (0.01, 0.03, 0.1, 0.3, 3.0, 10.0, 30.0, 100.0)
MOST_ROOMS = 20


def rescaled(scene: Scene, factor: float) -> Scene:
    """The same place in another unit."""

    def moved(view: View) -> View:
        pose = view.world_to_camera.copy()
        pose[:3, 3] *= factor
        depth = read_depth(view)
        return replace(view, world_to_camera=pose, depth=None if depth is None else depth * np.float32(factor))

    return replace(scene, coord=scene.coord * factor, views=tuple(map(moved, scene.views)))


def found_unit(scene: Scene) -> float | None:
    """Metres of one unit, by the floor; None where that is refused."""
    try:
        return float(read_as(scene, ReadOptions(scale="auto")).findings[-1].evidence["unit"])
    except InputError:
        return None


def main(rooms: Path, captures: list[Path]) -> None:
    """Print the table as Markdown."""
    if not rooms.exists():
        write_rooms(rooms, RoomsConfig(train=1, test=MOST_ROOMS))
        rooms = rooms / "test"
    scenes = [read_capture(path) for path in [*find_captures(rooms)[:MOST_ROOMS], *captures]]
    print(f"{len(scenes)} captures\n")
    print("| factor | within 15 % | farther off | no floor | worst | refused if nothing is told |")
    print("|---|---|---|---|---|---|")
    close = 0
    for factor in FACTORS:
        changed = [rescaled(scene, factor) for scene in scenes]
        ratios = np.array([unit * factor for scene in changed if (unit := found_unit(scene)) is not None])
        near = int((np.abs(ratios - 1) <= 0.15).sum())
        close += near
        told = [check_scale(scene, profile_rule(scene)[1]) for scene in changed]
        refused = sum(any(finding.grade is Grade.REFUSED for finding in found) for found in told)
        worst = float(ratios[np.argmax(np.abs(np.log(ratios)))]) if len(ratios) else float("nan")
        row = (f"{factor:g}", near, len(ratios) - near, len(scenes) - len(ratios), f"{worst:.2f}", refused)
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
    print(f"\nwithin 15 %: {close} of {len(scenes) * len(FACTORS)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(path) for path in sys.argv[2:]])

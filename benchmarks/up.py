"""How often up is found, over cameras that are rolled or removed, three frames, and flights that look straight down.

    python benchmarks/up.py CAPTURE... [--level CAPTURE...] [--rooms 20] [--flights 200] [--more]

Captures are taken to be sound: their own up is what is found in them as they are, and the figure says how often it is
found again. All cameras of a scene are rolled by the same angle, 0 to 345 degrees in steps of 15; then they are
removed. Each of these is given in its own frame, y-up and z-down. With ``--level`` captures are named whose up is no
axis, so that nothing but their level cameras tells it: these are not rolled. Flights are made here: ground with trees
and houses, cameras that look down, four patterns. Of a case that is wrong it is told whether something was said of up.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.capture import read_capture
from ditr.geometry.orientation import weigh_up
from ditr.geometry.projection import INDOOR
from ditr.plausibility.uprightness import check_up
from ditr.scene import Camera, Scene, View
from ditr.worlds.rooms import RoomsConfig, make_room

Array = NDArray[np.float64]

FRAMES = {
    "as given": np.eye(3),
    "y-up": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
    "z-down": np.diag([1.0, -1.0, -1.0]),
}
PATTERNS = ("lines", "crossed lines", "circle", "one heading")
CAMERA = Camera(64, 48, 50.0, 50.0, 32.0, 24.0)
IMAGE = np.zeros((48, 64, 3), np.uint8)


@dataclass(frozen=True)
class Case:
    """A scene of a group, what was done to it, and its true up (3,)."""

    group: str
    what: str
    scene: Scene
    up: Array


def rolled(scene: Scene, degrees: float) -> Scene:
    """The scene with all cameras turned about their axes; the photographs mean nothing then."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[cos, -sin, 0, 0], [sin, cos, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    views = tuple(replace(view, world_to_camera=turn @ view.world_to_camera) for view in scene.views)
    return replace(scene, views=views)


def turned(scene: Scene, matrix: Array) -> Scene:
    """The scene in a frame that is turned by ``matrix`` (3, 3)."""
    back = np.eye(4)
    back[:3, :3] = matrix.T
    views = tuple(replace(view, world_to_camera=view.world_to_camera @ back) for view in scene.views)
    normal = None if scene.normal is None else (scene.normal @ matrix.T).astype(np.float32)
    return replace(scene, coord=scene.coord @ matrix.T, normal=normal, views=views)


def cases_of(group: str, scene: Scene, up: Array, *, level: bool = False) -> Iterator[Case]:
    """The scene rolled and without cameras, in three frames."""
    done = {"roll 0": scene}
    if not level:
        done = {f"roll {angle}": rolled(scene, angle) for angle in range(0, 360, 15)}
        done["no cameras"] = replace(scene, views=())
    for frame, matrix in FRAMES.items():
        for what, changed in done.items():
            yield Case(f"{group}, {frame}", f"{scene.name}, {what}", turned(changed, matrix), matrix @ up)


def flight(seed: int) -> tuple[str, Scene]:
    """Hilly ground with trees and houses, seen from above; and the pattern that was flown."""
    rng = np.random.default_rng(seed)
    pattern, side, height = PATTERNS[seed % len(PATTERNS)], rng.uniform(60, 300), rng.uniform(30, 120)
    points = rng.uniform(0, side, (12_000, 3))
    slope, waves = rng.uniform(-0.05, 0.05, 2), rng.uniform(0, 4)
    points[:, 2] = points[:, :2] @ slope + waves * np.sin(points[:, 0] / rng.uniform(15, 60))
    for _ in range(rng.integers(0, 40)):
        place, size = rng.uniform(0, side, 2), rng.uniform(2, 12)
        far = np.abs(points[:, :2] - place).max(axis=1) if rng.random() < 0.5 else None
        top = rng.uniform(2, 10)
        if far is not None:
            points[far < size / 2, 2] += top
        else:
            off = np.linalg.norm(points[:, :2] - place, axis=1) / size
            points[:, 2] += np.where(off < 1, top * np.sqrt(np.maximum(1 - off**2, 0)) * rng.random(len(points)), 0)
    points[:, 2] += rng.normal(0, 0.03, len(points))
    centers, headings = _path(pattern, side, rng)
    views = []
    for number, (center, heading) in enumerate(zip(centers, headings, strict=True)):
        yaw, tilt = heading + rng.normal(0, 0.05), rng.normal(0, 0.05, 2)
        forward = np.array([*tilt, -1.0]) / np.linalg.norm([*tilt, 1.0])
        right = np.cross(forward, [np.cos(yaw), np.sin(yaw), 0.0])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = [right, np.cross(forward, right), forward]
        pose[:3, 3] = -pose[:3, :3] @ [*center, height + rng.normal(0, 0.5)]
        views.append(View(f"frame_{number:03d}", CAMERA, pose, IMAGE))
    return pattern, Scene(f"flight {seed}", points, tuple(views))


def _path(pattern: str, side: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Places (V, 2) and headings (V,) of the cameras."""
    if pattern == "circle":
        angle = np.linspace(0, 2 * np.pi, rng.integers(8, 40), endpoint=False)
        return side / 2 + side / 3 * np.stack([np.cos(angle), np.sin(angle)], axis=1), angle + np.pi / 2
    steps = np.linspace(0.1 * side, 0.9 * side, rng.integers(3, 7))
    across, along = np.meshgrid(steps, steps)
    places = np.stack([along.ravel(), across.ravel()], axis=1)
    start = rng.uniform(0, 2 * np.pi)
    back = np.where(np.arange(len(steps)) % 2, np.pi, 0.0).repeat(len(steps))
    headings = start + (0 * back if pattern == "one heading" else back)
    if pattern == "crossed lines":
        return np.concatenate([places, places[:, ::-1]]), np.concatenate([headings, headings + np.pi / 2])
    return places, headings


def all_cases(args: argparse.Namespace) -> Iterator[Case]:
    for path in args.captures:
        scene = read_capture(path)
        yield from cases_of("captures", scene, weigh_up(scene).direction)
    for path in args.level:
        scene = read_capture(path)
        yield from cases_of("not along an axis", scene, weigh_up(scene).direction, level=True)
    for number in range(args.rooms):
        room = make_room(RoomsConfig(train=0, test=args.rooms, seed=args.seed), "test", number)
        yield from cases_of("rooms", room, np.array([0.0, 0.0, 1.0]))
        if args.more:
            bare = replace(room, normal=None, name=f"{room.name} without normals")
            yield from cases_of("rooms without normals", bare, np.array([0.0, 0.0, 1.0]))
            few = replace(room, views=room.views[:2], name=f"{room.name} with two views")
            yield from cases_of("rooms with two views", few, np.array([0.0, 0.0, 1.0]))
    for seed in range(args.flights):
        pattern, scene = flight(seed)
        for frame, matrix in FRAMES.items():
            yield Case(f"flights ({pattern}), {frame}", scene.name, turned(scene, matrix), matrix[:, 2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="*", type=Path)
    parser.add_argument("--level", nargs="*", type=Path, default=[])
    parser.add_argument("--rooms", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flights", type=int, default=200)
    parser.add_argument("--more", action="store_true", help="rooms without normals, and with two views")
    args = parser.parse_args()
    right: dict[str, list[bool]] = {}
    wrong: list[str] = []
    seconds: list[float] = []
    for case in all_cases(args):
        start = time.perf_counter()
        found = weigh_up(case.scene)
        seconds.append(time.perf_counter() - start)
        off = float(np.rad2deg(np.arccos(np.clip(found.direction @ case.up, -1, 1))))
        right.setdefault(case.group, []).append(off <= 10)
        if off > 10:
            said = "said" if check_up(case.scene, INDOOR) else "not said"
            kept = f"found {found.name} by {found.margin:.1f}, {off:.0f} degrees off; {said}"
            wrong.append(f"* {case.group}: {case.what}: {kept}")
    print("| group | cases | within 10 degrees |\n|---|---|---|")
    everything = [hit for of_group in right.values() for hit in of_group]
    for group, hits in [*right.items(), ("all", everything)]:
        print(f"| {group} | {len(hits)} | {sum(hits)} ({np.mean(hits):.1%}) |")
    print(f"\n{np.median(seconds):.3f} s for a scene (median), {max(seconds):.3f} s at most", *wrong, sep="\n")


if __name__ == "__main__":
    main()

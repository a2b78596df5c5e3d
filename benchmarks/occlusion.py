"""Whether the z-buffer of a cloud sees what is hidden: precision and recall against true depth maps and rays.

    python benchmarks/occlusion.py rooms                what depth maps of Rooms say, by spacing, margin and class
    python benchmarks/occlusion.py streets              what rays say of sweeps of Streets, from the car and beside it
    python benchmarks/occlusion.py captures CAPTURE...  what depth maps say of captures; or the share that it hides

Counted are pairs of a view and a point inside its frame. Visible is what the depth map says by the rule's margin,
points without a value and those before the map left out; or what a ray to the point meets nothing before, by 0.2 m.
Rooms and Streets of these seeds were not looked at when the z-buffer's constants were chosen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.capture import read_capture
from ditr.captures.images import read_depth, see_with_maps
from ditr.geometry.occlusion import depth_buffer
from ditr.geometry.projection import Sight, VisibilityRule, project, see
from ditr.geometry.surfels import surfels_of
from ditr.scene import Scene, View
from ditr.worlds.common.rays import RayCaster
from ditr.worlds.rooms import CLASS_NAMES, RoomsConfig
from ditr.worlds.rooms.generate import make_room
from ditr.worlds.streets import StreetsConfig
from ditr.worlds.streets.camera import camera_of, sensor_to_camera
from ditr.worlds.streets.generate import build_street, generator, sensor_to_street, sweep

SEED = 21
SLACK = 0.2
"""Metres before a point at which a ray may meet something."""
_WHAT = ("precision", "recall")
Truth = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int32] | None]
"""Of pairs: which are visible, which the z-buffer finds visible, and the points' classes."""


class Table:
    """Counts of pairs, and the time that views take."""

    def __init__(self) -> None:
        self.counts = np.zeros((2, 2))
        self.by_class: dict[int, NDArray[np.float64]] = {}

    def add(self, pairs: Truth) -> None:
        """Count the pairs of one view."""
        true, found, labels = pairs
        np.add.at(self.counts, (true.astype(int), found.astype(int)), 1)
        if labels is not None:
            for label in np.unique(labels[labels >= 0]):
                of = labels == label
                own = self.by_class.setdefault(int(label), np.zeros((2, 2)))
                np.add.at(own, (true[of].astype(int), found[of].astype(int)), 1)

    def row(self, name: str) -> str:
        """Precision and recall of visible and of hidden pairs, as a row of Markdown."""
        (hidden, missed), (lost, kept) = self.counts
        total = self.counts.sum()
        return (
            f"| {name} | {total / 1e6:.2f} | {(hidden + missed) / total:.1%} | **{kept / (kept + missed):.3f}** | "
            f"**{kept / (kept + lost):.3f}** | {hidden / (hidden + lost):.2f} | {hidden / (hidden + missed):.2f} |"
        )

    @staticmethod
    def head() -> str:
        """The rows before the first."""
        names = ("pairs (millions)", "hidden", *(f"{what}, {of}" for of in ("visible", "hidden") for what in _WHAT))
        return f"| | {' | '.join(names)} |\n|---|{'---|' * len(names)}"


def by_depth(scene: Scene, margin: float) -> Iterator[Truth]:
    """Pairs of views with depth maps."""
    for view in scene.views:
        true = see(scene.coord, view, VisibilityRule(depth_margin=margin), read_depth(view)).sight
        rule = VisibilityRule(depth_margin=margin, occlusion="z-buffer")
        found = see_with_maps(scene.coord, replace(view, depth=None), rule).sight
        known = (true == Sight.VISIBLE) | (true == Sight.HIDDEN)
        labels = None if scene.label is None else scene.label[known]
        yield true[known] == Sight.VISIBLE, found[known] == Sight.VISIBLE, labels


def rooms(count: int = 12) -> None:
    """Rooms of three spacings; and how well things of each class are seen."""
    print(Table.head())
    classes = Table()
    for spacing in (0.015, 0.03, 0.08):
        config = RoomsConfig(train=0, test=count, seed=SEED, spacing=spacing)
        scenes = [make_room(config, "test", index) for index in range(count)]
        for margin in (0.2, 0.05):
            table = Table()
            for scene in scenes:
                for pairs in by_depth(scene, margin):
                    table.add(pairs)
            print(table.row(f"Rooms, points {spacing:g} m apart, margin {margin:g} m"), flush=True)
            classes = table if (spacing, margin) == (0.03, 0.2) else classes
    print("\nrecall of visible points by class (0.03 m, margin 0.2 m): " + _recalls(classes, CLASS_NAMES))


def _recalls(table: Table, names: tuple[str, ...]) -> str:
    return ", ".join(f"{names[label]} {own[1, 1] / own[1].sum():.2f}" for label, own in sorted(table.by_class.items()))


def streets(count: int = 6) -> None:
    """Sweeps: cameras on the car of the sweep, and the same ones some metres away from it."""
    print(Table.head())
    for style in ("nuscenes", "kitti"):
        config = StreetsConfig(style=style, count=count, seed=SEED)
        names: tuple[str, ...] = ()
        near = Table()
        for title, offsets in (("on the car", [(0, 0, 0)]), ("4 to 6 m from it", [(4, 1, 0), (-6, 0, 0)])):
            table = Table()
            for index in range(count):
                names = build_street(config, index).style.class_names
                for pairs in by_rays(config, index, offsets):
                    table.add(pairs)
            near = table if title == "on the car" else near
            print(table.row(f"Streets like {style}, cameras {title}"), flush=True)
        print(f"  recall of visible points by class, {style}, on the car: {_recalls(near, names)}")


def by_rays(config: StreetsConfig, index: int, offsets: list[tuple[float, float, float]]) -> Iterator[Truth]:
    """Pairs of a sweep's points and its style's cameras, moved by metres; what is visible is found by rays."""
    street = build_street(config, index)
    style, caster, pose = street.style, RayCaster(street.mesh), sensor_to_street(street)
    found = sweep(
        caster, pose, style.lidar, max(16, round(style.lidar.steps * config.scale)), generator(config, index, 2)
    )
    label = np.array(style.labels(), dtype=np.int32)[street.mesh.label[found.triangle]]
    coord = found.coord
    coord.flags.writeable = False
    for offset in offsets:
        for spec in style.cameras:
            camera, pose_there = camera_of(spec, config.scale), sensor_to_camera(spec)
            moved = np.eye(4)
            moved[:3, 3] = [-metres for metres in offset]
            view = View(spec.name, camera, pose_there @ moved, np.zeros((1, 1, 3), np.uint8))
            rows = np.flatnonzero(project(coord, camera, view.world_to_camera).visible)
            there = pose[:3, :3] @ view.center + pose[:3, 3]
            ray = coord[rows] @ pose[:3, :3].T + pose[:3, 3] - there
            length = np.linalg.norm(ray, axis=1)
            true = caster.nearest(there, ray)[1] * length > length - SLACK
            own = see_with_maps(coord, view, VisibilityRule(occlusion="z-buffer")).visible[rows]
            yield true, own, label[rows]


def captures(folders: list[Path]) -> None:
    """Captures of one's own."""
    print(Table.head())
    for folder in folders:
        scene = read_capture(folder)
        began = time.perf_counter()
        surfels = surfels_of(scene.coord)
        made = time.perf_counter() - began
        began = time.perf_counter()
        for view in scene.views:
            depth_buffer(surfels, view.camera, view.world_to_camera)
        each = (time.perf_counter() - began) / len(scene.views)
        if any(view.depth is not None for view in scene.views):
            for margin in (0.2, 0.05):
                table = Table()
                for pairs in by_depth(scene, margin):
                    table.add(pairs)
                print(table.row(f"{scene.name}, margin {margin:g} m"))
        else:
            print(f"  {scene.name}: {_share(scene)}")
        print(f"  {scene.name}: {len(scene)} points, discs in {made:.1f} s, {1000 * each:.0f} ms a view", flush=True)


def _share(scene: Scene) -> str:
    inside = hidden = 0
    shown = np.zeros(len(scene), dtype=bool)
    framed = np.zeros(len(scene), dtype=bool)
    for view in scene.views:
        sight = see_with_maps(scene.coord, view, VisibilityRule(occlusion="z-buffer")).sight
        inside += int(np.isin(sight, (Sight.VISIBLE, Sight.HIDDEN)).sum())
        hidden += int((sight == Sight.HIDDEN).sum())
        shown |= sight == Sight.VISIBLE
        framed |= np.isin(sight, (Sight.VISIBLE, Sight.HIDDEN))
    unseen = int((framed & ~shown).sum())
    return f"hides {hidden / inside:.1%} of the pairs, and {unseen / len(scene):.1%} of the points in all views"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rooms", "streets", "captures"))
    parser.add_argument("folders", type=Path, nargs="*")
    arguments = parser.parse_args()
    if arguments.what == "rooms":
        rooms()
    elif arguments.what == "streets":
        streets()
    else:
        captures(arguments.folders)


if __name__ == "__main__":
    main()

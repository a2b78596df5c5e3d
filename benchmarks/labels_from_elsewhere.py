"""What labels of photographs are worth on points: of Rooms, where each pixel's class is known, and of labelled sweeps.

    python benchmarks/labels_from_elsewhere.py [--rooms 5] [--views 24] [--spread ENCODER] [--sweeps FOLDER ...]

For each room the label images of all views are lifted onto its points; for sweeps (captures with labels) they are those
that `ditr segment --label-images` would draw of the true labels. A line for each way of asking what is hidden: points
that get a label, how many of these have the right one, and the share of points seen by several views of which these
differ. `--spread` takes the label images of some views alone, and goes on from them to all points with the image
encoder of `ditr label`; and it lifts the label images of another room of the same names, and says what is noticed.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.capture import read_capture
from ditr.encoders.encoding import CachedEncoding
from ditr.labelling import lifted
from ditr.labelling.annotations.label_image import Annotations, LabelImage
from ditr.labelling.cells import make_cells
from ditr.labelling.given import prediction_of_given, session_of
from ditr.labelling.lifted import label_rule, lift_labels
from ditr.pictures.label_images import label_image
from ditr.pictures.render import DrawnCloud
from ditr.scene import Scene
from ditr.worlds.common.rays import RayCaster
from ditr.worlds.rooms.config import RoomsConfig
from ditr.worlds.rooms.generate import make_room
from ditr.worlds.rooms.layout import build_room
from ditr.worlds.rooms.sensor import Sensor

Counts = NDArray[np.float64]


def room(config: RoomsConfig, index: int) -> tuple[Scene, Annotations]:
    """A room, and label images of what rays find in its views."""
    scene = make_room(config, "test", index)
    built = build_room(config, "test", index)
    sensor = Sensor(built, RayCaster(built.mesh))
    images = [sensor.render(view.camera, view.world_to_camera).label.astype(np.int16) for view in scene.views]
    return scene, annotations(scene, images)


def sweep(path: Path) -> tuple[Scene, Annotations]:
    """A labelled capture, and label images that are drawn of its true labels."""
    scene = read_capture(path)
    assert scene.label is not None
    cloud = DrawnCloud.of(scene)
    images = [label_image(cloud, scene.label, view).astype(np.int16) for view in scene.views]
    return scene, annotations(scene, images)


def annotations(scene: Scene, images: list[NDArray[np.int16]]) -> Annotations:
    """As a reader would give them."""
    found = [
        LabelImage(view.name, image.shape[::-1], partial(np.array, image), view.name)
        for view, image in zip(scene.views, images, strict=True)
    ]
    return Annotations("drawn", scene.class_names, tuple(found), upright=False)


def counted(scene: Scene, given: Annotations) -> Counts:
    """Points with a true label, with any, with the right one; those that several views see, and that differ."""
    found = lift_labels(scene, given, "drawn")
    assert scene.label is not None
    known = scene.label >= 0
    got = known & (found.label >= 0)
    right = got & (found.label == scene.label)
    figures = found.figures
    several = [figures["by_several_views"], figures["disagree"]]
    return np.array([known.sum(), got.sum(), right.sum(), *several], np.float64)


def line(name: str, counts: Counts) -> str:
    """For the table."""
    known, got, right, several, differ = counts
    return f"| {name} | {got / known:.1%} | {right / got:.1%} | {differ / several:.1%} |"


def spread(pairs: list[tuple[Scene, Annotations]], encoder: str) -> None:
    """A line for each number of annotated views: what they label themselves, and all points after that."""
    encoding = CachedEncoding(encoder)
    all_cells = [make_cells(scene, encoding) for scene, _ in pairs]
    for wanted in (1, 2, 4, 8, 24):
        rows = []
        for (scene, given), cells in zip(pairs, all_cells, strict=True):
            step = max(1, len(given.images) // wanted)
            found = lift_labels(scene, replace(given, images=given.images[::step][:wanted]), "drawn")
            label = prediction_of_given(scene, found, session_of(scene, cells, found)).label
            assert scene.label is not None
            known, got = scene.label >= 0, found.label >= 0
            right = label == scene.label
            others = known & ~got
            rows.append((got[known].mean(), right[known & got].mean(), right[others].mean(), right[known].mean()))
        shares = " | ".join(f"{share:.1%}" for share in np.mean(rows, axis=0))
        print(f"| {wanted} | {shares} |", flush=True)


def swapped(pairs: list[tuple[Scene, Annotations]]) -> None:
    """Label images of another scene, whose views have the same names."""
    for (scene, _), (_, given) in zip(pairs, [*pairs[1:], pairs[0]], strict=True):
        finding = lift_labels(scene, given, "drawn").findings[0]
        print(f"{scene.name}: {finding.grade.value}: {finding.text}", flush=True)


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rooms", type=int, default=5)
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--sweeps", type=Path, nargs="*", default=[])
    parser.add_argument("--spread", metavar="ENCODER")
    args = parser.parse_args()
    config = RoomsConfig(test=max(1, args.rooms), views=args.views)
    scenes = {"Rooms": [room(config, index) for index in range(args.rooms)]}
    scenes["sweeps"] = [sweep(path) for path in args.sweeps]
    rules = {
        "as lifted": lambda rule: rule,
        "1 to 4 m, as features": lambda rule: replace(rule, min_depth=1.0, max_depth=4.0),
        "depth within 0.1 m": lambda rule: replace(rule, depth_margin=rule.depth_margin and 0.1),
        "depth within 0.05 m": lambda rule: replace(rule, depth_margin=rule.depth_margin and 0.05),
        "no depth maps, z-buffer": lambda rule: replace(rule, depth_margin=None, occlusion="z-buffer"),
        "nothing hidden": lambda rule: replace(rule, depth_margin=None, occlusion="none"),
    }
    for title, pairs in scenes.items():
        for name, change in rules.items() if pairs else ():
            lifted.label_rule = lambda scene, change=change: change(label_rule(scene))
            print(line(f"{title}: {name}", np.sum([counted(*pair) for pair in pairs], axis=0)), flush=True)
    lifted.label_rule = label_rule
    if args.spread is not None:
        swapped(scenes["Rooms"])
        spread(scenes["Rooms"], args.spread)


if __name__ == "__main__":
    main()

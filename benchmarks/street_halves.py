"""One real street in two halves: a network learns the one, and is shown on the other.

    python benchmarks/street_halves.py split SWEEPS FOLDER
    ditr train small FOLDER/ptv3 --data FOLDER/learn --validate FOLDER/try ...
    ditr train small FOLDER/ditr --data FOLDER/learn --validate FOLDER/try ... --encoder dinov2-small-derived
    python benchmarks/street_halves.py table FOLDER
    python benchmarks/street_halves.py picture FOLDER docs/images/pandaset.jpg

SWEEPS are captures of PandaSet's sequence 002. Their points are cut by a plane across the street, through the middle of
the drive: what lies ahead is learnt, what lies behind is for trying out, and 5 m between belong to neither. Sweeps
stay whole otherwise, with all their photographs. Classes are the eight groups of benchmarks/clicks.py.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from benchmarks.clicks import STREET, grouped
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ditr.captures.capture import read_capture, write_capture
from ditr.inference.segmenter import Segmenter
from ditr.pictures.palette import difference_colors, label_colors
from ditr.pictures.panels import Panel, class_legend, difference_legend, save_picture, sheet
from ditr.pictures.pictures import BACKGROUND, Overlay
from ditr.pictures.render import DrawnCloud
from ditr.pictures.viewpoint import Viewpoint, look_at
from ditr.scene import Camera, Scene

WIDTH = 960
COLORS = [
    *((86, 150, 60), (150, 120, 80), (128, 100, 140), (232, 140, 200)),  # vegetation, ground, road, sidewalk
    *((50, 110, 220), (230, 40, 60), (176, 160, 140), (90, 200, 200)),  # vehicle, person, building, other static
]
GAP = 5.0
"""Metres of the street that belong to neither half."""


def where_along(sweeps: list[Path]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The middle of the drive (3,) in metres of the sequence's world, and its direction (3,) over the ground."""
    origins = np.array([origin_of(path) for path in sweeps])
    middle = origins.mean(axis=0)
    _, _, directions = np.linalg.svd(origins - middle)
    ahead = directions[0] * np.sign(directions[0] @ (origins[-1] - origins[0]))
    ahead[2] = 0.0
    return middle, ahead / np.linalg.norm(ahead)


def origin_of(path: Path) -> NDArray[np.float64]:
    """Where the sensor of a sweep was, (3,) metres of the sequence's world."""
    return np.array(json.loads((path / "transforms.json").read_text())["origin_in_world"])


def part(scene: Scene, kept: NDArray[np.bool_]) -> Scene:
    """The scene with some of its points only."""
    arrays = {
        key: getattr(scene, key)[kept]
        for key in ("color", "normal", "strength", "label")
        if getattr(scene, key) is not None
    }
    return replace(
        scene, coord=scene.coord[kept], extra={key: value[kept] for key, value in scene.extra.items()}, **arrays
    )


def split(sweeps: list[Path], folder: Path) -> None:
    """Write the half to learn from, and the one to try the network on, as captures."""
    middle, ahead = where_along(sweeps)
    for path in sweeps:
        scene = grouped(read_capture(path))
        along = (scene.coord + origin_of(path) - middle) @ ahead
        for name, kept in (("learn", along > GAP / 2), ("try", along < -GAP / 2)):
            half = part(scene, kept)
            write_capture(half, folder / name / path.name)
            assert half.label is not None
            counts = np.bincount(half.label[half.label >= 0], minlength=len(half.class_names))
            print(path.name, name, len(half), dict(zip(half.class_names, counts.tolist(), strict=True)))


def labelled(folder: Path, scene: Scene) -> dict[str, NDArray[np.int32]]:
    """What the last state of each network says, (N,) numbers of ``scene``'s classes."""
    found = {}
    for name in ("ptv3", "ditr"):
        prediction = Segmenter.from_pretrained(folder / name)(scene)
        own = np.array([scene.class_names.index(one) for one in prediction.class_names], np.int32)
        found[name] = own[prediction.label]
    return found


def table(folder: Path) -> None:
    """IoU per class of both networks over all sweeps of the half that was not learnt."""
    counts = {name: np.zeros((len(STREET), len(STREET)), np.int64) for name in ("ptv3", "ditr")}
    for path in sorted((folder / "try").iterdir()):
        scene = read_capture(path)
        assert scene.label is not None
        known = scene.label >= 0
        for name, label in labelled(folder, scene).items():
            pairs = scene.label[known].astype(np.int64) * len(STREET) + label[known]
            counts[name] += np.bincount(pairs, minlength=len(STREET) ** 2).reshape(len(STREET), -1)
    learnt = {number for path in (folder / "learn").iterdir() for number in np.unique(read_capture(path).label)}
    rows = {}
    for name, count in counts.items():
        union = count.sum(axis=0) + count.sum(axis=1) - count.diagonal()
        rows[name] = 100 * count.diagonal() / np.maximum(union, 1)
    print("| class | points | PTv3 | DITR |")
    print("|---|---|---|---|")
    for number, title in enumerate(STREET):
        points = counts["ptv3"][number].sum()
        print(f"| {title} | {points} | {rows['ptv3'][number]:.1f} | {rows['ditr'][number]:.1f} |")
    both = [number for number in sorted(learnt) if number >= 0 and counts["ptv3"][number].sum()]
    means = [rows[name][both].mean() for name in ("ptv3", "ditr")]
    print(f"| mIoU of the {len(both)} classes in both halves | | {means[0]:.1f} | {means[1]:.1f} |")


def seen_from(eye: NDArray[np.float64], target: NDArray[np.float64], size: tuple[int, int]) -> Viewpoint:
    """A wide camera at ``eye``, (3,) metres, upright."""
    height, width = size
    focal = 0.75 * width
    camera = Camera(width, height, focal, focal, width / 2, height / 2)
    return Viewpoint(camera, look_at(eye, target, np.array([0.0, 0.0, 1.0])))


def picture(folder: Path, out: Path, sweep: str, camera: str) -> None:
    """Photograph, labels in it, the cloud, and who is right, of a sweep of the half that was not learnt."""
    scene = read_capture(folder / "try" / sweep)
    assert scene.label is not None
    found = labelled(folder, scene)
    view = next(one for one in scene.views if Path(one.name).stem == camera)
    cloud = DrawnCloud.of(scene)
    flat = Overlay(cloud, view, width=WIDTH)
    eye = view.center - 9.0 * view.camera_to_world[:3, 2] + np.array([0.0, 0.0, 9.0])
    free = cloud.from_viewpoint(seen_from(eye, view.center + 16.0 * view.camera_to_world[:3, 2], flat.size))
    count = len(scene.class_names)
    difference = difference_colors(scene.label, found["ptv3"], found["ditr"])
    photo = np.asarray(Image.fromarray(flat.photo).filter(ImageFilter.GaussianBlur(0.8)))
    rows = [
        [
            Panel(photo, "Photograph, one of six of this sweep"),
            Panel(flat.paint(label_colors(found["ditr"], count, COLORS)), "Labels of DITR, in the photograph"),
        ],
        [
            Panel(
                free.paint(label_colors(found["ditr"], count, COLORS), BACKGROUND), "The same in 3D, from above the car"
            ),
            Panel(free.paint(difference, BACKGROUND), "Who is right, PTv3 (points alone) or DITR"),
        ],
    ]
    shown = found["ditr"]
    legends = [class_legend(scene.class_names, shown, colors=COLORS), difference_legend()]
    save_picture(out, sheet(rows, legends=legends, width=1500))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    one = commands.add_parser("split")
    one.add_argument("sweeps", type=Path)
    one.add_argument("folder", type=Path)
    two = commands.add_parser("table")
    two.add_argument("folder", type=Path)
    three = commands.add_parser("picture")
    three.add_argument("folder", type=Path)
    three.add_argument("out", type=Path)
    three.add_argument("--sweep", default="frame_43")
    three.add_argument("--camera", default="back")
    args = parser.parse_args()
    if args.command == "table":
        table(args.folder)
    elif args.command == "picture":
        picture(args.folder, args.out, args.sweep, args.camera)
    else:
        split(sorted(path for path in args.sweeps.iterdir() if (path / "transforms.json").exists()), args.folder)


if __name__ == "__main__":
    main()

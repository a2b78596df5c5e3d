"""A built-in room in the layout of the published code's ScanNet: what a training run of the paper reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ditr.captures.images import read_depth, read_image
from ditr.scene import Scene
from ditr.worlds.rooms import RoomsConfig, make_room

__all__ = ["FRAMES", "write_dataset"]

POINTS, FRAMES, RENDERED = 150_000, 100, 10


def write_dataset(root: Path, scenes: int = 24) -> int:
    """A room under many names: arrays, JPEGs and 16-bit depth maps of 420 x 560; returns its number of points."""
    config = RoomsConfig(train=1, test=1, views=RENDERED, width=560, height=420, spacing=0.017)
    points = _write_scene(root, make_room(config, "train", 0))
    for kind in (root / "scannet" / "train", root / "scannet_images"):
        for number in range(1, scenes):
            (kind / f"scene{number:04}_00").symlink_to(kind / "scene0000_00")
    return points


def _write_scene(root: Path, scene: Scene) -> int:
    """As densely sampled as a mesh of ScanNet; photographs repeat to fill the folder."""
    rows = np.random.default_rng(0).permutation(len(scene))[:POINTS]
    assert scene.color is not None and scene.normal is not None and scene.label is not None
    arrays: dict[str, NDArray[Any]] = {
        "coord": scene.coord.astype(np.float32),
        "color": scene.color,
        "normal": scene.normal,
        "segment20": scene.label.astype(np.int64),
    }
    folder, images = root / "scannet" / "train" / "scene0000_00", root / "scannet_images" / "scene0000_00"
    for place in (folder, *(images / name for name in ("color", "depth", "pose", "intrinsic"))):
        place.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array[rows], allow_pickle=False)
    for number in range(FRAMES):
        view = scene.views[number % len(scene.views)]
        depth = read_depth(view)
        assert depth is not None
        Image.fromarray(read_image(view)).save(images / "color" / f"{10 * number}.jpg", quality=95)
        Image.fromarray((depth * 1000).astype(np.uint16)).save(images / "depth" / f"{10 * number}.png")
        np.savetxt(images / "pose" / f"{10 * number}.txt", view.camera_to_world)
        matrix = np.eye(4)
        matrix[:3, :3] = view.camera.intrinsics
        np.savetxt(images / "intrinsic" / "intrinsic_color.txt", matrix)
    return len(rows)

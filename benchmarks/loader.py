"""Training samples a second of one process: a scene of ScanNet's size with 10 of its 100 photographs.

    python benchmarks/loader.py          # recipe scannet/ditr: decode, augment, map, voxelise, pyramid
    python benchmarks/loader.py profile  # where the time goes

The scene is a built-in room, sampled as densely as a mesh of ScanNet (150,000 points) and written in the layout of the
published code: arrays, JPEGs and 16-bit depth maps of 420 x 560 pixels. Every sample reads its files anew. Photographs
are encoded on the GPU afterwards, which is not counted.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ditr.captures.images import read_depth, read_image
from ditr.data.dataset import Item, TrainingSet
from ditr.datasets.table import open_dataset
from ditr.doctor.machine import describe_machine
from ditr.encoders.encoding import CachedEncoding
from ditr.recipes.table import find_recipe
from ditr.scene import Scene
from ditr.worlds.rooms import RoomsConfig, make_room

POINTS, FRAMES, RENDERED, SAMPLES = 150_000, 100, 10, 20


def make_scene() -> Scene:
    """A room of 5 x 4 m with photographs of ScanNet's size."""
    config = RoomsConfig(train=1, test=1, views=RENDERED, width=560, height=420, spacing=0.017)
    return make_room(config, "train", 0)


def write_scene(root: Path, scene: Scene) -> int:
    """As the published code prepares ScanNet; returns the number of points. Photographs repeat to fill the folder."""
    rows = np.random.default_rng(0).permutation(len(scene))[:POINTS]
    assert scene.color is not None and scene.normal is not None and scene.label is not None
    arrays = {"coord": scene.coord.astype(np.float32), "color": scene.color, "normal": scene.normal}
    folder, images = root / "scannet" / "train" / "scene0000_00", root / "scannet_images" / "scene0000_00"
    for place in (folder, *(images / name for name in ("color", "depth", "pose", "intrinsic"))):
        place.mkdir(parents=True)
    for name, array in {**arrays, "segment20": scene.label.astype(np.int64)}.items():
        np.save(folder / f"{name}.npy", array[rows])
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


def write_dataset(root: Path, scenes: int = 24) -> int:
    """One room under many names; returns its number of points."""
    points = write_scene(root, make_scene())
    for kind in (root / "scannet" / "train", root / "scannet_images"):
        for number in range(1, scenes):
            (kind / f"scene{number:04}_00").symlink_to(kind / "scene0000_00")
    return points


def training_set(root: Path) -> TrainingSet:
    """What the recipe makes of the folder."""
    recipe = find_recipe("scannet/ditr").make()
    return TrainingSet(
        open_dataset("ScanNet", root / "scannet", ("train",), images=True),
        recipe.preparation,
        recipe.network.pyramid,
        seed=0,
        augmentations=recipe.augmentation.of_points(),
        crop=recipe.augmentation.of_voxels(),
        image_augmentations=recipe.augmentation.of_images(),
        encoding=CachedEncoding("random:dinov2-small"),
        keep=False,
    )


def main() -> None:
    """Print one line of JSON, or a profile."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        points = write_scene(Path(folder), make_scene())
        samples = training_set(Path(folder))
        voxels = [len(samples[Item(0, 0)])]
        if sys.argv[1:] == ["profile"]:
            with cProfile.Profile() as profile:
                for epoch in range(1, SAMPLES):
                    _ = samples[Item(epoch, 0)]
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)
            return
        seconds = []
        for epoch in range(1, SAMPLES):
            began = time.perf_counter()
            voxels.append(len(samples[Item(epoch, 0)]))
            seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds)
    result = {
        "points": points,
        "voxels": round(statistics.mean(voxels)),
        "photographs": find_recipe("scannet/ditr").make().preparation.max_views,
        "seconds": round(median, 3),
        "fastest": round(min(seconds), 3),
        "samples_per_second": round(1 / median, 2),
        "machine": str(describe_machine().platform),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

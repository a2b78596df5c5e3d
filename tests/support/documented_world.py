"""Everything that the commands of the documentation name, small, under the names that they give it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from annotation_files import write_cvat_masks, write_pngs
from bags import drive_past, write_bag
from clicked_world import clicks, colored
from cloud_files import write_las
from kitti_trees import rectified_scene, write_odometry
from phone_folders import write_record3d
from prepared_layouts import make_sweep, write_nuscenes, write_scannet
from published_checkpoints import ROWS, SMALL, published_shapes, published_values, write_checkpoint
from raw_nuscenes import NAMES, street_drive, write_nuscenes_raw
from raw_scannet import write_download
from raw_semantic_kitti import street_sweeps, write_raw
from small_world import CLASSES, NETWORK, make_scene, tiny_config, write_model, write_world
from tiny_encoder import TINY, write_tiny_encoder

from ditr.captures.capture import write_capture
from ditr.cli import execute
from ditr.data.preparation import Attribute
from ditr.datasets import nuscenes
from ditr.datasets.scannet import LABELS_200
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import FeatureCache
from ditr.io.ply import write_ply
from ditr.labelling.clicks import Clicks, write_clicks
from ditr.weights.published import REPOSITORY, published_model
from ditr.weights.saved_model import ModelConfig, save_model

SMALL_TRAINING = ["--set", "steps=2", "--set", "batch_size=1", "--set", "preparation.voxel_size=0.2", "--device", "cpu"]
"""Two steps of a network of some thousand weights, in coarse voxels."""
_SIZES = (f"{coder}_{of}" for coder in ("encoder", "decoder") for of in ("depths", "channels", "heads"))
for _name in (*_SIZES, "patch_size"):
    SMALL_TRAINING += ["--set", f"network.{_name}={json.dumps(getattr(NETWORK, _name))}"]
SERVED = (
    "ditr-scannet200-dinov2-l",
    "ditr-nuscenes-dinov2-s",
    "ditr-nuscenes-dinov2-l",
    "d-ditr-scannet",
    "distilled-nuscenes-dinov2-l",
)


def write_hub(folder: Path) -> dict[str, Path]:
    """Published models and image encoders of few weights; folders by the names of their repositories."""
    authors = folder / "authors"
    for name in SERVED:
        path = authors / published_model(name).files[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint(path, name)
    (authors / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    repositories = {REPOSITORY: authors}
    for size, width, heads in (("small", 384, 6), ("large", 1024, 16)):
        name = f"facebook/dinov2-with-registers-{size}"
        architecture = replace(TINY, width=width, heads=heads, depth=1, registers=4)
        repositories[name] = write_tiny_encoder(folder / size, architecture)
    return repositories


def checkpoint(path: Path, name: str) -> None:
    layout = next(row for row in ROWS if row.name == name)
    write_checkpoint(path, published_values(published_shapes(layout, SMALL["PTv3"])), layout)


def write_documented_world(root: Path) -> None:
    """Captures, results, clicks, labels, models and datasets in ``root``."""
    _write_captures(root)
    _write_clouds(root)
    _write_labels(root)
    _write_models(root)
    _write_datasets(root)
    _write_results(root)


def _write_captures(root: Path) -> None:
    for number, name in enumerate(("CAPTURE", "scan", "scan2", "OTHER_CAPTURE")):
        write_capture(replace(colored(number), name=name), root / name, image_format="png")
    for name in ("CAPTURES", "OTHER_CAPTURES", "FOLDER_OF_CAPTURES", "archive", "scans", "SCANS"):
        write_world(root / name, 2)
    write_record3d(make_scene(2, depth=True, points=9000), root / "record")
    shutil.make_archive(str(root / "scan"), "zip", root / "record")
    write_bag(root / "drive.bag", "ros1", *drive_past(2))
    scenes = [
        rectified_scene(replace(make_scene(seed, points=900), strength=np.zeros(900, np.float32))) for seed in range(2)
    ]
    write_odometry(scenes, root / "DRIVE")


def _write_clouds(root: Path) -> None:
    for name in ("plane.laz", "other.laz", "a.las", "scans/a.laz"):
        write_las(replace(colored(3), views=()), root / name)
    scene = colored(4)
    assert scene.color is not None
    columns = dict(zip("xyz", scene.coord.T.astype(np.float32), strict=True))
    columns |= dict(zip(("red", "green", "blue"), scene.color.T, strict=True))
    write_ply(root / "b.ply", columns)
    seen = colored(1)
    assert seen.label is not None
    columns = dict(zip("xyz", seen.coord.T.astype(np.float32), strict=True))
    write_ply(root / "painted.ply", {**columns, "label": seen.label})
    (root / "painted.classes.json").write_text(json.dumps(list(CLASSES)))


def _write_labels(root: Path) -> None:
    """Of the photographs and points of ``scan`` and ``CAPTURE``, and of what lies beside them."""
    # As by hand: no scene is named, so that they fit several.
    given = Clicks({}, CLASSES, tuple(clicks(colored(0))))
    for name in ("scan-clicks.json", "clicks.json", "clicks2.json"):
        write_clicks(root / name, given)
    painted = {view.name: np.repeat(np.arange(3, dtype=np.int16), 14)[:, None] + np.zeros((42, 56), np.int16)
               for view in colored(1).views}  # fmt: skip
    write_pngs(root / "masks", painted, CLASSES)
    write_cvat_masks(root / "task_cvat.zip", painted, CLASSES)


def _write_models(root: Path) -> None:
    """A run as a training leaves it, of a network that takes photographs, and a checkpoint as published."""
    write_tiny_encoder(root / "encoder")
    (root / "FEATURES").mkdir()
    encoding = CachedEncoding(str(root / "encoder"), FeatureCache(root / "features"))
    write_model(root / "RUN", encoding)
    things = replace(
        tiny_config(attributes=(Attribute.COORD,)), class_names=("floor", "wall", "chair", "table", "plant")
    )
    save_model(root / "points-RUN", things, things.build())
    checkpoint(root / "model_best.pth", "d-ditr-nuscenes")
    checkpoint(root / "CHECKPOINT.pth", "ditr-nuscenes-dinov2-s")


def _write_datasets(root: Path) -> None:
    """A download of ScanNet, prepared datasets, and a model of one."""
    rooms = [make_scene(seed, depth=True, points=200) for seed in range(4)]
    splits = {"train": rooms[:2], "val": rooms[2:3], "test": rooms[3:]}
    write_download(root / "RAW", splits, LABELS_200.to_raw, between=1)
    drives = {name: street_drive(name, number, keyframes=2, between=1) for number, name in enumerate(NAMES.values())}
    write_nuscenes_raw(root / "RAW-nuscenes", [drives[NAMES["train"]], drives[NAMES["val"]]])
    write_nuscenes_raw(root / "RAW-nuscenes", [drives[NAMES["test"]]], "v1.0-test")
    sweeps = street_sweeps(2, 0.15)
    write_raw(root / "RAW-semantickitti", dict.fromkeys(range(22), sweeps[:1]))
    for split, scenes in splits.items():
        write_scannet(root / "ROOT" / "scannet", scenes, split)
    for split, seeds in {"train": (0, 1), "val": (2,), "test": (3,)}.items():
        sweeps = [make_sweep(seed, nuscenes.CAMERAS, nuscenes.CLASSES) for seed in seeds]
        write_nuscenes(root / "ROOT" / "nuscenes", sweeps, split)
    torch.manual_seed(0)
    preparation = nuscenes.preparation(False)
    config = ModelConfig(replace(NETWORK, in_channels=preparation.in_channels), preparation, nuscenes.CLASSES)
    save_model(root / "nuscenes-RUN", config, config.build())


def _write_results(root: Path) -> None:
    """Labels of ``scan`` by a network, and a run and a student that commands go on from."""
    network = ["--model", str(root / "points-RUN"), "--no-pictures", "--force"]
    for name in ("scan-labels", "other-labels"):
        execute(["segment", str(root / "scan"), *network, "--out", str(root / name)])
    clicked = ["--clicks", str(root / "scan-clicks.json"), "--encoder", str(root / "encoder")]
    execute(
        ["label", str(root / "scan"), *clicked, "--out", str(root / "from-clicks"), "--bank", str(root / "mine.bank")]
    )
    small = ["--data", str(root / "SCANS"), "--encoder", str(root / "encoder"), *SMALL_TRAINING]
    execute(["train", "small", str(root / "OLD"), *small])
    execute(["train", "small", str(root / "STUDENT"), *small, "--distill"])
    (root / "web" / "scans").mkdir(parents=True)
    shutil.copy(root / "plane.laz", root / "web" / "scans" / "hall.laz")

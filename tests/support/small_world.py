"""Tiny scenes, captures, encoders and recipes: all that a test of the whole chain needs, in a fraction of a second."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tiny_encoder import write_tiny_encoder

from ditr.captures.capture import write_capture
from ditr.data.preparation import Preparation
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import FeatureCache
from ditr.geometry.projection import VisibilityRule
from ditr.models.ptv3 import PTv3Config
from ditr.scene import Camera, Scene, View
from ditr.training.recipe import Augmentation, OptimizerSettings, Recipe
from ditr.weights.saved_model import EncoderConfig, ModelConfig, save_model

CLASSES = ("floor", "wall", "box")
CAMERA = Camera(width=56, height=42, fx=40.0, fy=40.0, cx=28.0, cy=21.0)
NETWORK = PTv3Config(
    encoder_depths=(1, 1),
    encoder_channels=(16, 24),
    encoder_heads=(2, 3),
    decoder_depths=(1,),
    decoder_channels=(16,),
    decoder_heads=(2,),
    patch_size=64,
    stem_kernel=3,
    mlp_ratio=2,
    drop_path=0.2,
)
RULE = VisibilityRule(min_depth=0.2)
PREPARATION = Preparation(voxel_size=0.25, rule=RULE)


def look_at(center: Sequence[float], target: Sequence[float], up: Sequence[float] = (0.0, 0.0, 1.0)) -> np.ndarray:
    """World to camera with OpenCV axes, (4, 4)."""
    position = np.asarray(center, dtype=np.float64)
    forward = np.asarray(target, dtype=np.float64) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ position
    return pose


def photograph(rng: np.random.Generator, camera: Camera = CAMERA) -> np.ndarray:
    """Coloured noise that is not the same from patch to patch."""
    coarse = rng.integers(0, 256, (6, 8, 3))
    rows, columns = np.arange(camera.height) * 6 // camera.height, np.arange(camera.width) * 8 // camera.width
    return (
        (coarse[rows][:, columns] + rng.integers(0, 20, (camera.height, camera.width, 3))).clip(0, 255).astype(np.uint8)
    )


def depth_of(coord: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(21, 28) the distance of the nearest point in each pixel at half of the photograph's size; 0 where none is."""
    x, y, z = (coord @ pose[:3, :3].T + pose[:3, 3]).T
    z = np.where(z > 0.1, z, np.inf)
    column, row = (np.floor((40.0 * a / z + c) / 2).astype(int) for a, c in ((x, 28.0), (y, 21.0)))
    inside = (column >= 0) & (column < 28) & (row >= 0) & (row < 21) & np.isfinite(z)
    depth = np.full((21, 28), np.inf)
    np.minimum.at(depth, (row[inside], column[inside]), z[inside])
    return np.where(np.isfinite(depth), depth, 0).astype(np.float32)


def make_scene(
    seed: int = 0, *, views: int = 2, points: int = 400, name: str | None = None, depth: bool = False
) -> Scene:
    """A floor, a wall and a box of 4 x 3 x 2 m, z up, seen by ``views`` level cameras; a part of it is in no view."""
    rng = np.random.default_rng([seed, 77])
    third = points // 3
    floor = rng.uniform((0, 0, 0), (4, 3, 0.01), (points - 2 * third, 3))
    wall = rng.uniform((0, 2.99, 0), (4, 3, 2), (third, 3))
    box = rng.uniform((1, 1, 0), (2, 1.6, 0.8), (third, 3))
    label = np.repeat([0, 1, 2], [len(floor), third, third]).astype(np.int32)
    label[rng.random(points) < 0.05] = -1
    normal = np.array([(0, 0, 1), (0, -1, 0), (1, 0, 0)], dtype=np.float32)[
        np.repeat([0, 1, 2], [len(floor), third, third])
    ]
    coord = np.concatenate([floor, wall, box]).astype(np.float32).astype(np.float64)
    poses = [look_at((0.5 + 1.5 * i, -1.0, 1.2), (2.0 - 0.5 * i, 2.0, 1.2)) for i in range(views)]
    shots = tuple(
        View(f"photo_{i}", CAMERA, pose, photograph(rng), depth=depth_of(coord, pose) if depth else None)
        for i, pose in enumerate(poses)
    )
    return Scene(
        name=name or f"scene_{seed}",
        coord=coord,
        views=shots,
        color=rng.integers(0, 256, (points, 3)).astype(np.uint8),
        normal=normal,
        label=label,
        class_names=CLASSES,
    )


def write_world(folder: Path, count: int = 3, **kind: int) -> list[Path]:
    """``count`` captures in ``folder``."""
    paths = []
    for seed in range(count):
        paths.append(folder / f"scene_{seed}")
        write_capture(make_scene(seed, **kind), paths[-1], image_format="png")
    return paths


def tiny_encoding(folder: Path, *, cache: bool = True) -> CachedEncoding:
    """A ViT of a few thousand random weights, as a folder that an encoder spec can name."""
    spec = folder / "encoder"
    if not spec.exists():
        write_tiny_encoder(spec)
    return CachedEncoding(str(spec), FeatureCache(folder / "features") if cache else None)


def tiny_config(encoding: CachedEncoding | None = None, **preparation: object) -> ModelConfig:
    """A model's config for scenes of this file."""
    prepared = replace(PREPARATION, **preparation)  # type: ignore[arg-type]
    width = None if encoding is None else encoding.encoder.width
    return ModelConfig(
        network=replace(NETWORK, in_channels=prepared.in_channels, image_width=width),
        preparation=prepared,
        class_names=CLASSES,
        encoder=None if encoding is None else EncoderConfig.of(encoding.encoder, encoding.spec),
    )


def write_model(
    folder: Path, encoding: CachedEncoding | None = None, seed: int = 0, **preparation: object
) -> ModelConfig:
    """A model with random weights in ``folder``, as a run would leave it."""
    import torch

    torch.manual_seed(seed)
    config = tiny_config(encoding, **preparation)
    save_model(folder, config, config.build())
    return config


def tiny_recipe(encoding: CachedEncoding | None = None, **changes: object) -> Recipe:
    """Six steps of two scenes."""
    recipe = Recipe(
        network=NETWORK,
        preparation=PREPARATION,
        encoder=None if encoding is None else encoding.spec,
        augmentation=Augmentation("light"),
        optimizer=OptimizerSettings(lr=4e-3, block_lr=2e-3, warmup=0.2, clip=1.0),
        steps=6,
        batch_size=2,
    )
    return replace(recipe, **changes)  # type: ignore[arg-type]


def without(scene: Scene, *attributes: str) -> Scene:
    """The scene without some attributes of its points."""
    return replace(scene, **dict.fromkeys(attributes))  # type: ignore[arg-type]


def ditr(*arguments: object, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m ditr`` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "ditr", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        timeout=300,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"ditr {arguments} gave {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


class Stopped(Exception):
    """What :func:`stop_after` raises."""


def stop_after(steps: int) -> Callable[[int, int], None]:
    """A run's ``report`` that ends it after so many steps, as if it had been stopped."""

    def report(done: int, _total: int) -> None:
        if done == steps:
            raise Stopped

    return report

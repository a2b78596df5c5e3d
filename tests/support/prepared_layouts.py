"""Scenes written in the layouts of the prepared datasets, as the published code would find them on disk.

Each writer takes scenes whose views hold arrays, and gives the dataset's root.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from small_world import look_at, photograph

from ditr.captures.images import read_depth
from ditr.data.scene_views import points_in
from ditr.datasets import nuscenes, scannetpp, semantic_kitti, waymo
from ditr.geometry.projection import VisibilityRule
from ditr.scene import Camera, Scene, View

FIGURES = "%.17g"


def _save(folder: Path, **arrays: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def _image(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, quality=95)


def _depth_png(path: Path, view: View) -> None:
    depth = read_depth(view)
    assert depth is not None
    _image(path, np.rint(depth * 1000.0).astype(np.uint16))


def _text(path: Path, numbers: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, numbers, fmt=FIGURES)


def _points(scene: Scene) -> dict[str, Any]:
    return {"coord": scene.coord.astype(np.float32), "color": scene.color, "normal": scene.normal}


# ---- rooms ----------------------------------------------------------------------------------------------------------


def write_scannet(
    root: Path, scenes: list[Scene], split: str = "train", labels: tuple[str, ...] = ("segment20", "segment200")
) -> Path:
    """Frames are numbered 0, 10, 20, ..., as every tenth of a recording is."""
    for scene in scenes:
        _save(root / split / scene.name, **_points(scene))
        if scene.label is not None:
            _save(root / split / scene.name, **dict.fromkeys(labels, scene.label.astype(np.int64)))
        folder = root.with_name(f"{root.name}_images") / scene.name
        for number, view in enumerate(scene.views):
            _image(folder / "color" / f"{10 * number}.jpg", np.asarray(view.image))
            _depth_png(folder / "depth" / f"{10 * number}.png", view)
            _text(folder / "pose" / f"{10 * number}.txt", view.camera_to_world)
            matrix = np.eye(4)
            matrix[:3, :3] = view.camera.intrinsics
            _text(folder / "intrinsic" / "intrinsic_color.txt", matrix)
    return root


def write_scannetpp(root: Path, scenes: list[Scene], split: str = "nvs_sem_train") -> Path:
    """Three columns of labels; the classes are called after their number."""
    write_scannet(root, scenes, split, labels=())
    for scene in scenes:
        assert scene.label is not None
        columns = np.stack([scene.label, np.full(len(scene), 99), np.full(len(scene), -1)], axis=1)
        _save(root / split / scene.name, segment=columns.astype(np.int16))
    listing = root / scannetpp.CLASSES_FILE
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text("".join(f"class {k}\n" for k in range(scannetpp.CLASS_COUNT)))
    return root


def write_s3dis(root: Path, scenes: list[Scene], area: int, rule: VisibilityRule) -> Path:
    """Photographs that show no point are left out, as published."""
    for scene in scenes:
        assert scene.label is not None
        _save(root / f"Area_{area}" / scene.name, **_points(scene), segment=scene.label.astype(np.int16)[:, None])
        folder = root.with_name(f"{root.name}_images") / f"Area_{area}" / scene.name
        number = 0
        for view in scene.views:
            pixel, visible = points_in(scene, view, rule)
            if visible.any():
                _image(folder / "color" / f"{number}.png", np.asarray(view.image))
                rows = np.flatnonzero(visible).astype(np.int32)
                lists = {f"{number}_mask": rows, f"{number}_points": pixel[rows].astype(np.float32)}
                _save(folder / "visibility", **lists)
                number += 1
    return root


def write_structured3d(root: Path, scenes: list[Scene], split: str = "train") -> Path:
    """Rooms of one scene each; points are stored with x and y exchanged."""
    for number, scene in enumerate(scenes):
        assert scene.label is not None and scene.normal is not None
        points = _points(scene)
        points |= {key: points[key][:, [1, 0, 2]] for key in ("coord", "normal")}
        place = f"scene_{number:05d}"
        _save(root / split / place / "room_7", **points, segment=scene.label)
        shots = root.with_name(f"{root.name}_images") / place / "2D_rendering" / "7" / "perspective" / "full"
        for index, view in enumerate(scene.views):
            folder = shots / str(index)
            _image(folder / "rgb_rawlight.png", np.asarray(view.image))
            _depth_png(folder / "depth.png", view)
            half = np.arctan([view.camera.width / 2 / view.camera.fx, view.camera.height / 2 / view.camera.fy])
            _, down, front = view.world_to_camera[:3, :3]
            _text(folder / "camera_pose.txt", np.concatenate([view.center * 1000, front, -down, half, [1]])[None])
    return root


# ---- streets --------------------------------------------------------------------------------------------------------

STREET_CAMERA = Camera(width=96, height=54, fx=60.0, fy=62.0, cx=47.0, cy=28.0)


def make_sweep(seed: int, cameras: tuple[str, ...], classes: tuple[str, ...], camera: Camera = STREET_CAMERA) -> Scene:
    """Ground and things around a sensor 1.7 m above it; cameras look around, evenly."""
    rng = np.random.default_rng(seed)
    angle, distance = rng.uniform(0, 2 * np.pi, 900), rng.uniform(2, 40, 900)
    height = np.where(rng.random(900) < 0.6, -1.7, rng.uniform(-1.7, 2, 900))
    coord = np.stack([distance * np.cos(angle), distance * np.sin(angle), height], axis=1).astype(np.float32)
    views = []
    for k, name in enumerate(cameras):
        turn = 2 * np.pi * k / len(cameras)
        eye = np.array([0.3 * np.cos(turn), 0.3 * np.sin(turn), -0.1])
        target = eye + np.array([np.cos(turn), np.sin(turn), -0.05])
        views.append(View(name, camera, look_at(eye, target), photograph(rng, camera)))
    return Scene(
        name=f"sweep{seed}",
        coord=coord.astype(np.float64),
        views=tuple(views),
        strength=rng.integers(0, 255, 900).astype(np.float32),
        label=rng.integers(-1, len(classes), 900).astype(np.int32),
        class_names=classes,
    )


def write_nuscenes(
    root: Path, scenes: list[Scene], split: str = "train", *, prefix: str = "", cams: bool = True
) -> Path:
    """``prefix`` is what the lists have before the files' names."""
    infos = []
    for scene in scenes:
        assert scene.strength is not None and scene.label is not None
        points = np.zeros((len(scene), 5), np.float32)
        points[:, :3], points[:, 3], points[:, 4] = scene.coord, scene.strength, 7
        places = f"samples/LIDAR_TOP/{scene.name}.bin", f"lidarseg/v1.0-trainval/{scene.name}_lidarseg.bin"
        raw = np.array([next(r for r, c in nuscenes.LABELS.to_class.items() if c == k) for k in range(16)] + [0])
        for place, array in zip(places, (points, raw[scene.label].astype(np.uint8)), strict=True):
            (root / "raw" / place).parent.mkdir(parents=True, exist_ok=True)
            array.tofile(root / "raw" / place)
        entry: dict[str, Any] = {"lidar_path": prefix + places[0], "lidar_token": scene.name}
        entry |= {"gt_segment_path": prefix + places[1], "sweeps": [{"lidar_path": "sweeps/LIDAR_TOP/other.bin"}]}
        if cams:
            entry["cams"] = {view.name: _nuscenes_camera(root, scene, view, prefix) for view in reversed(scene.views)}
        infos.append(entry)
    (root / "info").mkdir(parents=True, exist_ok=True)
    (root / "info" / f"nuscenes_infos_10sweeps_{split}.pkl").write_bytes(pickle.dumps(infos))
    return root


def _nuscenes_camera(root: Path, scene: Scene, view: View, prefix: str) -> dict[str, Any]:
    place = f"samples/{view.name}/{scene.name}.jpg"
    _image(root / "raw" / place, np.asarray(view.image))
    pose = view.camera_to_world
    return {
        "data_path": prefix + place,
        "camera_intrinsics": view.camera.intrinsics,
        "sensor2lidar_rotation": pose[:3, :3],
        "sensor2lidar_translation": pose[:3, 3],
    }


def write_semantic_kitti(root: Path, scenes: list[Scene], sequence: int, baseline: float = 0.06) -> Path:
    """The view's camera is ``baseline`` metres beside camera 0, to which ``Tr`` leads."""
    folder = root / "dataset" / "sequences" / f"{sequence:02d}"
    second = root.with_name(f"{root.name}_color") / "dataset" / "sequences" / f"{sequence:02d}"
    for number, scene in enumerate(scenes):
        assert scene.strength is not None
        (folder / "velodyne").mkdir(parents=True, exist_ok=True)
        points = np.column_stack([scene.coord, scene.strength]).astype(np.float32)
        points.tofile(folder / "velodyne" / f"{number:06d}.bin")
        if scene.label is not None:
            (folder / "labels").mkdir(exist_ok=True)
            ids = np.array([*semantic_kitti.LABELS.to_raw, 0])[scene.label].astype(np.uint32)
            (ids | (np.uint32(5) << 16)).tofile(folder / "labels" / f"{number:06d}.label")
        view = scene.views[0]
        _image(second / "image_2" / f"{number:06d}.png", np.asarray(view.image))
        projection = np.column_stack([view.camera.intrinsics, [baseline * view.camera.fx, 0, 0]])
        pose = view.world_to_camera[:3].copy()
        pose[0, 3] -= baseline
        rows = {"P0": projection, "P2": projection, "Tr": pose}
        lines = (f"{key}: {' '.join(FIGURES % value for value in rows[key].ravel())}\n" for key in rows)
        (folder / "calib.txt").write_text("".join(lines))
    return root


def write_waymo(root: Path, scenes: list[Scene], split: str = "training") -> Path:
    """Cameras of 1280 and of 886 rows; a point is in the first camera that shows it alone, at whole pixels."""
    for scene in scenes:
        assert scene.strength is not None and scene.label is not None
        folder = root / split / "segment-1_with_camera_labels" / scene.name
        coord, mask = np.full((len(scene), 2), -1, np.int16), np.zeros((len(scene), len(scene.views)), bool)
        folder.mkdir(parents=True)
        for k, view in enumerate(scene.views):
            pixel, visible = points_in(scene, view, VisibilityRule())
            rows = np.flatnonzero(visible & ~mask.any(axis=1))
            coord[rows], mask[rows, k] = pixel[rows].astype(np.int16), True
            buffer = io.BytesIO()
            Image.fromarray(np.asarray(view.image)).save(buffer, "JPEG", quality=95)
            (folder / f"image_{k}.jpg").write_bytes(buffer.getvalue())
        strength = np.tanh(scene.strength)[:, None]
        _save(folder, coord=scene.coord.astype(np.float32), strength=strength, segment=scene.label.astype(np.int32))
        _save(folder, image_coord=coord, image_mask=mask, pose=np.eye(4, dtype=np.float32))
        np.save(folder / "mask.npy", np.array([{"range": 1}, None], dtype=object))
    return root


def waymo_sweep(seed: int) -> Scene:
    """A sweep whose first three cameras have 1280 rows, the others 886."""
    sweep = make_sweep(seed, waymo.CAMERAS, waymo.CLASSES)
    cameras = [Camera(96, rows, 60.0, 600.0, 48.0, rows / 2) for rows in (1280, 1280, 1280, 886, 886)]
    rng = np.random.default_rng(seed)
    views = [
        replace(view, camera=camera, image=photograph(rng, camera))
        for view, camera in zip(sweep.views, cameras, strict=True)
    ]
    return replace(sweep, views=tuple(views))

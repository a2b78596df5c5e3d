"""Writers of KITTI's layouts, made from descriptions of these formats.

Each takes scenes in the frame of the LiDAR. Their cameras have no distortion and look the same way, as rectified ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ditr.captures.images import read_image
from ditr.scene import Camera, Scene, View

__all__ = ["numbers", "rectified_scene", "write_object", "write_odometry", "write_raw"]

IDS = (10, 40, 50)
"""Of SemanticKITTI: car, road, building."""


def rectified_scene(
    scene: Scene, offsets: Sequence[tuple[float, float, float]] = ((0.06, 0.0, 0.003), (-0.5, 0.01, 0.0))
) -> Scene:
    """The scene with its first view, and others beside it that are moved by ``offsets`` in that camera's frame."""
    first = scene.views[0]
    views = []
    for number, offset in enumerate(offsets):
        pose = np.array(first.world_to_camera)
        pose[:3, 3] += offset
        image = scene.views[number % len(scene.views)].image
        views.append(View(f"image_{number + 2}", first.camera, pose, image))
    return Scene(
        scene.name, scene.coord, tuple(views), strength=scene.strength, label=scene.label, class_names=scene.class_names
    )


def numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.12e}" for value in np.asarray(values, dtype=np.float64).ravel())


def projection(camera: Camera, offset: np.ndarray) -> np.ndarray:
    """(3, 4) K with the principal point counted from the middle of the first pixel, and K times the camera's offset."""
    inner = camera.intrinsics
    inner[:2, 2] -= 0.5
    return np.column_stack([inner, inner @ offset])


def save_sweep(scene: Scene, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    strength = np.linspace(0, 1, len(scene)) if scene.strength is None else scene.strength
    np.column_stack([scene.coord, strength]).astype("<f4").tofile(path)


def save_labels(scene: Scene, path: Path) -> None:
    """With an instance in the upper 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert scene.label is not None
    raw = np.array([*IDS, 0], "<u4")[scene.label]
    (raw | (7 << 16)).astype("<u4").tofile(path)


def save_image(view: View, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(view.image, Path) and view.image.suffix == path.suffix:
        path.write_bytes(view.image.read_bytes())
        return
    Image.fromarray(read_image(view)).save(path, compress_level=1)


def projections(scene: Scene, lidar: np.ndarray, count: int = 4) -> list[np.ndarray]:
    """P0 to P3, where ``lidar`` (4, 4) leads to camera 0; cameras 2 and 3 are the views."""
    found = [projection(scene.views[0].camera, np.zeros(3))] * count
    for number, view in enumerate(scene.views):
        offset = view.world_to_camera @ np.linalg.inv(lidar)
        np.testing.assert_allclose(offset[:3, :3], np.eye(3), atol=1e-9)
        found[number + 2] = projection(view.camera, offset[:3, 3])
    return found


def write_odometry(
    scenes: Sequence[Scene], folder: Path, lidar_to_world: Sequence[np.ndarray] = (), times: Sequence[float] = ()
) -> None:
    """A sequence, of which ``folder`` is ``sequences/NN``; poses are those of camera 0, in the frame of its first."""
    lidar = np.array(scenes[0].views[0].world_to_camera)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"P{number}: {numbers(matrix)}" for number, matrix in enumerate(projections(scenes[0], lidar))]
    (folder / "calib.txt").write_text("\n".join([*lines, f"Tr: {numbers(lidar[:3])}", ""]), encoding="utf-8")
    for number, scene in enumerate(scenes):
        save_sweep(scene, folder / "velodyne" / f"{number:06d}.bin")
        if scene.label is not None:
            save_labels(scene, folder / "labels" / f"{number:06d}.label")
        for view in scene.views:
            save_image(view, folder / view.name / f"{number:06d}.png")
    if times:
        (folder / "times.txt").write_text("".join(f"{time:e}\n" for time in times), encoding="utf-8")
    if lidar_to_world:
        poses = folder.parent.parent / "poses" / f"{folder.name}.txt"
        poses.parent.mkdir(exist_ok=True)
        first = lidar_to_world[0] @ np.linalg.inv(lidar)
        rows = [np.linalg.inv(first) @ pose @ np.linalg.inv(lidar) for pose in lidar_to_world]
        poses.write_text("".join(f"{numbers(row[:3])}\n" for row in rows), encoding="utf-8")


def write_object(scenes: Sequence[Scene], folder: Path, first: int = 0) -> None:
    """A folder such as ``training``: each frame alone, with its own calibration; camera 2 only."""
    turn = np.linalg.qr(np.eye(3) + 0.01 * np.arange(9).reshape(3, 3))[0]
    turn *= np.sign(np.diag(turn))
    for number, scene in enumerate(scenes, start=first):
        stem, view = f"{number:06d}", scene.views[0]
        save_sweep(scene, folder / "velodyne" / f"{stem}.bin")
        save_image(view, folder / "image_2" / f"{stem}.png")
        rectify = np.eye(4)
        rectify[:3, :3] = turn
        lidar = np.linalg.inv(rectify) @ view.world_to_camera
        shown = projections(Scene(scene.name, scene.coord, (view,)), view.world_to_camera)
        lines = [f"P{number}: {numbers(matrix)}" for number, matrix in enumerate(shown)]
        lines += [
            f"R0_rect: {numbers(turn)}",
            f"Tr_velo_to_cam: {numbers(lidar[:3])}",
            f"Tr_imu_to_velo: {numbers(np.eye(4)[:3])}",
        ]
        (folder / "calib").mkdir(exist_ok=True)
        (folder / "calib" / f"{stem}.txt").write_text("\n".join([*lines, "", ""]), encoding="utf-8")


def write_raw(
    scenes: Sequence[Scene], folder: Path, imu_to_world: Sequence[np.ndarray], times: Sequence[float]
) -> None:
    """A drive, of which ``folder`` is ``DATE/DATE_drive_NNNN_sync``; ``imu_to_world`` (4, 4) from its first on, east,
    north, up, and ``times`` in seconds of a day."""
    lidar = np.array(scenes[0].views[0].world_to_camera)
    turn = np.linalg.qr(np.eye(3) + 0.01 * np.arange(9).reshape(3, 3))[0]
    turn *= np.sign(np.diag(turn))
    rectify = np.eye(4)
    rectify[:3, :3] = turn
    velo = np.linalg.inv(rectify) @ lidar
    imu = np.eye(4)
    imu[:3, 3] = (-0.8, 0.3, -0.8)
    date = folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    for name, matrix in (("calib_velo_to_cam", velo), ("calib_imu_to_velo", imu)):
        lines = [
            "calib_time: 15-Mar-2012 11:37:16",
            f"R: {numbers(matrix[:3, :3])}",
            f"T: {numbers(matrix[:3, 3])}",
            "",
        ]
        (date / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
    lines = ["calib_time: 09-Jan-2012 13:57:47", "corner_dist: 9.950000e-02"]
    for number, matrix in enumerate(projections(scenes[0], lidar)):
        camera = scenes[0].views[0].camera
        lines += [f"S_rect_0{number}: {numbers(np.array([camera.width, camera.height]))}"]
        lines += [
            f"R_rect_0{number}: {numbers(turn if number == 0 else turn.T)}",
            f"P_rect_0{number}: {numbers(matrix)}",
        ]
    (date / "calib_cam_to_cam.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    latitude = 49.0
    scale, radius = np.cos(np.radians(latitude)), 6378137.0
    north = scale * radius * np.log(np.tan(np.radians(90 + latitude) / 2))
    for number, (scene, pose, time) in enumerate(zip(scenes, imu_to_world, times, strict=True)):
        stem = f"{number:010d}"
        save_sweep(scene, folder / "velodyne_points" / "data" / f"{stem}.bin")
        for view in scene.views:
            save_image(view, folder / f"image_0{view.name[-1]}" / "data" / f"{stem}.png")
        yaw = np.arctan2(pose[1, 0], pose[0, 0])
        pitch = np.arcsin(-pose[2, 0])
        roll = np.arctan2(pose[2, 1], pose[2, 2])
        east = pose[0, 3] / (scale * radius) * 180 / np.pi + 8.0
        up = np.degrees(2 * np.arctan(np.exp((pose[1, 3] + north) / (scale * radius)))) - 90
        values = [up, east, pose[2, 3] + 110.0, roll, pitch, yaw, *[0.0] * 24]
        save_text(folder / "oxts" / "data" / f"{stem}.txt", " ".join(f"{value:.14g}" for value in values))
        for stream, late in (("oxts", 0.0), ("velodyne_points", 0.004), ("image_02", 0.01)):
            with (folder / stream / "timestamps.txt").open("a", encoding="utf-8") as file:
                file.write(f"2011-09-26 {stamp(time + late)}\n")


def save_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def stamp(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{round((seconds - whole) * 1e9):09d}"

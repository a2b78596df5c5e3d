"""Writers of what phones and RGB-D datasets leave, made from descriptions of these formats.

Each takes a scene whose views have depth maps, in a world that the format has, and writes a folder.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from colmap_files import quaternion_of
from PIL import Image

from ditr.captures.images import read_depth, read_image
from ditr.scene import Scene, View

__all__ = ["WRITERS", "write_arkitscenes", "write_open3d", "write_polycam", "write_record3d", "write_tum"]

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def save_image(view: View, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(read_image(view)).save(path, quality=95)


def save_depth(view: View, path: Path, unit: float) -> None:
    """A 16-bit PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(depth_of(view).astype(np.float64) / unit).astype(np.uint16)).save(path)


def depth_of(view: View) -> np.ndarray:
    depth = read_depth(view)
    assert depth is not None
    return depth


def save_sureness(view: View, path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(depth_of(view).shape, value, np.uint8)).save(path)


def write_polycam(scene: Scene, folder: Path, *, corrected: bool = True) -> None:
    """Camera to world with OpenGL axes, an entry for each number; depth in millimetres, for each time stamp."""
    frames, prefix = folder / "keyframes", "corrected_" if corrected else ""
    for number, view in enumerate(scene.views):
        stem = str(1_650_000_000_000_000 + 33_333 * number)
        save_image(view, frames / f"{prefix}images" / f"{stem}.jpg")
        save_depth(view, frames / "depth" / f"{stem}.png", 0.001)
        save_sureness(view, frames / "confidence" / f"{stem}.png", 255)
        pose = view.camera_to_world @ FLIP
        camera = view.camera
        content = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
        content |= {"width": camera.width, "height": camera.height, "blur_score": 80.5}
        content |= {f"t_{i}{j}": pose[i, j] for i in range(3) for j in range(4)}
        (frames / f"{prefix}cameras").mkdir(parents=True, exist_ok=True)
        (frames / f"{prefix}cameras" / f"{stem}.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "mesh_info.json").write_text("{}", encoding="utf-8")


def write_record3d(scene: Scene, folder: Path) -> None:
    """An unpacked .r3d: quaternions x y z w, camera to world with OpenGL axes, K by columns, depth as it is."""
    poses, lenses = [], []
    (folder / "rgbd").mkdir(parents=True)
    for number, view in enumerate(scene.views):
        save_image(view, folder / "rgbd" / f"{number}.jpg")
        (folder / "rgbd" / f"{number}.depth").write_bytes(depth_of(view).astype("<f4").tobytes())
        (folder / "rgbd" / f"{number}.conf").write_bytes(np.full(depth_of(view).shape, 2, np.uint8).tobytes())
        pose = view.camera_to_world @ FLIP
        w, x, y, z = quaternion_of(pose[:3, :3])
        poses.append([x, y, z, w, *pose[:3, 3].tolist()])
        lenses.append([view.camera.fx, view.camera.fy, view.camera.cx, view.camera.cy])
    camera, depth = scene.views[0].camera, depth_of(scene.views[0])
    fx, fy, cx, cy = lenses[0]
    content = {"w": camera.width, "h": camera.height, "dw": depth.shape[1], "dh": depth.shape[0], "fps": 30}
    content |= {"K": [fx, 0, 0, 0, fy, 0, cx, cy, 1], "perFrameIntrinsicCoeffs": lenses, "poses": poses}
    (folder / "metadata").write_text(json.dumps(content), encoding="utf-8")


def axis_angle(rotation: np.ndarray) -> np.ndarray:
    w, *axis = quaternion_of(rotation)
    length = float(np.linalg.norm(axis))
    return np.asarray(axis) * (2 * np.arctan2(length, w) / length if length > 0 else 2.0)


def write_arkitscenes(scene: Scene, folder: Path) -> None:
    """World to camera as axis times angle; names with the seconds; depth in millimetres."""
    frames = folder / "41048190_frames"
    lines = []
    for number, view in enumerate(scene.views):
        stamp = 6845.2 + 0.1 * number
        stem = f"41048190_{stamp:.3f}"
        save_image(view, frames / "lowres_wide" / f"{stem}.png")
        save_depth(view, frames / "lowres_depth" / f"{stem}.png", 0.001)
        save_sureness(view, frames / "confidence" / f"{stem}.png", 2)
        pose, camera = view.world_to_camera, view.camera
        numbers = (stamp + 0.0004, *axis_angle(pose[:3, :3]).tolist(), *pose[:3, 3].tolist())
        lines.append(" ".join(map(repr, map(float, numbers))) + "\n")
        lens = frames / "lowres_wide_intrinsics" / f"41048190_{stamp + 0.001:.3f}.pincam"
        lens.parent.mkdir(exist_ok=True)
        text = f"{camera.width} {camera.height} {camera.fx} {camera.fy} {camera.cx} {camera.cy}\n"
        lens.write_text(text, encoding="utf-8")
    (frames / "lowres_wide.traj").write_text("".join(lines), encoding="utf-8")


def write_tum(scene: Scene, folder: Path, *, calibration: bool = True) -> None:
    """Lists with time stamps, poses at other times than photographs; position and quaternion x y z w."""
    rgb, depth, truth = (["# a comment\n"] for _ in range(3))
    for number, view in enumerate(scene.views):
        stamp = 1305031102.175304 + 0.2 * number
        save_image(view, folder / "rgb" / f"{stamp:.6f}.png")
        save_depth(view, folder / "depth" / f"{stamp + 0.008:.6f}.png", 1 / 5000)
        rgb.append(f"{stamp:.6f} rgb/{stamp:.6f}.png\n")
        depth.append(f"{stamp + 0.008:.6f} depth/{stamp + 0.008:.6f}.png\n")
        pose = view.camera_to_world
        w, x, y, z = quaternion_of(pose[:3, :3])
        for late in (-0.004, 0.005):  # the camera stands still, so that what lies between is the same
            numbers = (*pose[:3, 3].tolist(), x, y, z, w)
            truth.append(f"{stamp + late:.6f} {' '.join(map(repr, map(float, numbers)))}\n")
    for name, lines in (("rgb", rgb), ("depth", depth), ("groundtruth", truth)):
        (folder / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    if calibration:
        camera = scene.views[0].camera
        text = f"{camera.fx} {camera.fy} {camera.cx - 0.5} {camera.cy - 0.5}\n"
        (folder / "calibration.txt").write_text(text, encoding="utf-8")


def write_open3d(scene: Scene, folder: Path) -> None:
    """Pairs in the order of their names; camera to world, five lines each; the intrinsic matrix by columns."""
    lines = []
    for number, view in enumerate(scene.views):
        save_image(view, folder / "color" / f"{number}.jpg")
        save_depth(view, folder / "depth" / f"{number}.png", 0.001)
        rows = [" ".join(map(repr, row)) + "\n" for row in view.camera_to_world.tolist()]
        lines += [f"{number} {number} {number + 1}\n", *rows]
    (folder / "trajectory.log").write_text("".join(lines), encoding="utf-8")
    camera = scene.views[0].camera
    matrix = [camera.fx, 0, 0, 0, camera.fy, 0, camera.cx - 0.5, camera.cy - 0.5, 1]
    content = {"width": camera.width, "height": camera.height, "intrinsic_matrix": matrix}
    (folder / "camera_intrinsic.json").write_text(json.dumps(content), encoding="utf-8")


WRITERS = {
    "polycam": write_polycam,
    "record3d": write_record3d,
    "arkitscenes": write_arkitscenes,
    "tum": write_tum,
    "open3d": write_open3d,
}

"""Writers of nuScenes as it is downloaded, made from a description of its tables and files.

A drive is written from turns of the LiDAR whose scenes are in the LiDAR's frame (x right, y forward, z up). A scene's
views say where its cameras are; vehicles move between the moment of the LiDAR and that of a camera, so that a reader
which leaves that out puts the cameras elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ditr.scene import Camera, Scene, View

__all__ = ["CAMERAS", "NAMES", "Drive", "Shot", "Turn", "pandaset_drive", "rigid", "street_drive", "write_nuscenes_raw"]

CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_FRONT_LEFT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT")
NAMES = {"train": "scene-0061", "val": "scene-0103", "test": "scene-0077"}
"""A scene of each split."""
SECOND = 1_000_000
START = 1_532_402_927 * SECOND
RAW_OF = (9, 14, 15, 17, 18, 21, 2, 12, 22, 23, 24, 25, 26, 27, 28, 30)
"""A raw id of each of the sixteen classes, in the order of the benchmark."""
NO_CLASS = (31, 0, 1, 10)
CATEGORY_NAMES = """
noise animal human.pedestrian.adult human.pedestrian.child human.pedestrian.construction_worker
human.pedestrian.personal_mobility human.pedestrian.police_officer human.pedestrian.stroller
human.pedestrian.wheelchair movable_object.barrier movable_object.debris movable_object.pushable_pullable
movable_object.trafficcone static_object.bicycle_rack vehicle.bicycle vehicle.bus.bendy vehicle.bus.rigid
vehicle.car vehicle.construction vehicle.emergency.ambulance vehicle.emergency.police vehicle.motorcycle
vehicle.trailer vehicle.truck flat.driveable_surface flat.other flat.sidewalk flat.terrain static.manmade
static.other static.vegetation vehicle.ego
"""
CATEGORIES = CATEGORY_NAMES.split()


@dataclass(frozen=True)
class Shot:
    """A photograph: when, where the vehicle was then (4, 4), and where on it the camera is (4, 4)."""

    channel: str
    image: np.ndarray | Path
    camera: Camera
    stamp: int
    vehicle: np.ndarray
    mount: np.ndarray


@dataclass(frozen=True)
class Turn:
    """A turn of the LiDAR; only keyframes have photographs. ``scene`` is what a reader should give."""

    scene: Scene
    stamp: int
    vehicle: np.ndarray
    shots: tuple[Shot, ...] = ()

    @property
    def is_key(self) -> bool:
        return bool(self.shots)


@dataclass(frozen=True)
class Drive:
    name: str
    turns: tuple[Turn, ...]
    lidar_mount: np.ndarray

    @property
    def scenes(self) -> list[Scene]:
        return [turn.scene for turn in self.turns if turn.is_key]


def token(*parts: object) -> str:
    return hashlib.md5("/".join(map(str, parts)).encode()).hexdigest()


def pose_row(pose: np.ndarray) -> dict[str, Any]:
    """A translation, and a rotation as w, x, y, z."""
    r = pose[:3, :3]
    # The largest of the four is found first, which is safe for any rotation.
    squares = np.array([1 + np.trace(r), *(1 + 2 * np.diag(r) - np.trace(r))])
    k = int(np.argmax(squares))
    size = 2 * math.sqrt(squares[k])
    skew = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    if k == 0:
        q = np.array([size / 4, *(skew / size)])
    else:
        i, j, m = k - 1, k % 3, (k + 1) % 3
        q = np.zeros(4)
        q[0], q[1 + i] = skew[i] / size, size / 4
        q[1 + j], q[1 + m] = (r[i, j] + r[j, i]) / size, (r[i, m] + r[m, i]) / size
    return {"translation": [float(value) for value in pose[:3, 3]], "rotation": [float(value) for value in q]}


# ---- the tree -------------------------------------------------------------------------------------------------------


def write_nuscenes_raw(
    root: Path, drives: Sequence[Drive], version: str = "v1.0-trainval", *, lidarseg: bool = True
) -> Path:
    """The tables of a version, and the files of its drives; ``lidarseg`` is never there for v1.0-test."""
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in (
        "attribute", "calibrated_sensor", "category", "ego_pose", "instance", "log", "map", "sample",
        "sample_annotation", "sample_data", "scene", "sensor", "visibility",
    )}  # fmt: skip
    labelled = lidarseg and version != "v1.0-test"
    if labelled:
        tables["lidarseg"] = []
    for number, name in enumerate(CATEGORIES):
        row = {"token": token("category", name), "name": name, "description": f'Everything that is {name}, "all" ï»¿.'}
        tables["category"].append(row | ({"index": number} if labelled else {}))
    for channel in ("LIDAR_TOP", *CAMERAS, "RADAR_FRONT"):
        modality = {"LIDA": "lidar", "CAM_": "camera", "RADA": "radar"}[channel[:4]]
        tables["sensor"].append({"token": token("sensor", channel), "channel": channel, "modality": modality})
    for drive in drives:
        _write_drive(root, version, drive, tables, labelled)
    folder = root / version
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(rows, indent=0), encoding="utf-8")
    return root


def _write_drive(
    root: Path, version: str, drive: Drive, tables: dict[str, list[dict[str, Any]]], labelled: bool
) -> None:
    log = f"n015-2018-07-24-11-22-45+0800-{drive.name[-4:]}"
    keys = [number for number, turn in enumerate(drive.turns) if turn.is_key]
    samples = {number: token(version, drive.name, "sample", number) for number in keys}
    scene = token(version, drive.name)
    tables["scene"].append(
        {"token": scene, "log_token": token(log), "nbr_samples": len(keys), "first_sample_token": samples[keys[0]],
         "last_sample_token": samples[keys[-1]], "name": drive.name, "description": "A street, twice over."}
    )  # fmt: skip
    order = [samples[number] for number in keys]
    for before, number, after in zip(["", *order], keys, [*order[1:], ""], strict=False):
        tables["sample"].append(
            {"token": samples[number], "timestamp": drive.turns[number].stamp, "prev": before, "next": after,
             "scene_token": scene}
        )  # fmt: skip
    mounts: dict[str, tuple[np.ndarray, list[Any]]] = {"LIDAR_TOP": (drive.lidar_mount, [])}
    for shot in next(turn for turn in drive.turns if turn.is_key).shots:
        mounts[shot.channel] = (shot.mount, shot.camera.intrinsics.tolist())
    mounts["RADAR_FRONT"] = (np.eye(4), [])
    for channel, (mount, intrinsics) in mounts.items():
        row = {"token": token(version, drive.name, channel), "sensor_token": token("sensor", channel)}
        tables["calibrated_sensor"].append(row | pose_row(mount) | {"camera_intrinsic": intrinsics})

    def data(turn: int, channel: str, stamp: int, vehicle: np.ndarray, key: bool, size: tuple[int, int], kind: str,
             chain: tuple[str, str] = ("", "")) -> tuple[str, Path]:  # fmt: skip
        """Rows of a file: its token and path."""
        own = token(version, drive.name, channel, stamp)
        filename = f"{'samples' if key else 'sweeps'}/{channel}/{log}__{channel}__{stamp}.{kind}"
        sample = samples[min((number for number in keys if number >= turn), default=keys[-1])]
        tables["ego_pose"].append({"token": own, "timestamp": stamp} | pose_row(vehicle))
        tables["sample_data"].append(
            {"token": own, "sample_token": sample, "ego_pose_token": own,
             "calibrated_sensor_token": token(version, drive.name, channel), "timestamp": stamp,
             "fileformat": kind.partition(".")[0], "is_key_frame": key, "height": size[1], "width": size[0],
             "filename": filename, "prev": chain[0], "next": chain[1]}
        )  # fmt: skip
        path = root / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        return own, path

    chain = ["", *(token(version, drive.name, "LIDAR_TOP", turn.stamp) for turn in drive.turns), ""]
    for number, turn in enumerate(drive.turns):
        around = chain[number], chain[number + 2]
        args = number, "LIDAR_TOP", turn.stamp, turn.vehicle, turn.is_key, (0, 0), "pcd.bin", around
        lidar, path = data(*args)
        _points(turn.scene).tofile(path)
        if turn.is_key and labelled:
            filename = f"lidarseg/{version}/{lidar}_lidarseg.bin"
            (root / filename).parent.mkdir(parents=True, exist_ok=True)
            raw_labels(turn.scene).tofile(root / filename)
            tables["lidarseg"].append({"token": lidar, "sample_data_token": lidar, "filename": filename})
        for shot in turn.shots:
            size = shot.camera.width, shot.camera.height
            _, path = data(number, shot.channel, shot.stamp, shot.vehicle, True, size, "jpg")
            if isinstance(shot.image, Path):
                path.write_bytes(shot.image.read_bytes())
            else:
                Image.fromarray(shot.image).save(path, quality=90)
            # What no reader of keyframes wants: a photograph in between, and a radar.
            data(number, shot.channel, shot.stamp - 83_000, shot.vehicle, False, size, "jpg")
        data(number, "RADAR_FRONT", turn.stamp - 7_000, turn.vehicle, turn.is_key, (0, 0), "pcd")


def _points(scene: Scene) -> np.ndarray:
    assert scene.strength is not None
    return np.column_stack([scene.coord, scene.strength, scene.extra["ring"]]).astype("<f4")


def raw_labels(scene: Scene) -> np.ndarray:
    """(N,) uint8: of points without a class one of several categories that have none."""
    assert scene.label is not None
    none = np.array(NO_CLASS)[np.arange(len(scene)) % len(NO_CLASS)]
    return np.where(scene.label < 0, none, np.array(RAW_OF)[scene.label]).astype(np.uint8)


# ---- drives ---------------------------------------------------------------------------------------------------------


def rigid(turn: tuple[float, float, float], place: tuple[float, float, float]) -> np.ndarray:
    """Yaw, pitch and roll in radians, and where."""
    (cy, sy), (cp, sp), (cr, sr) = ((math.cos(angle), math.sin(angle)) for angle in turn)
    pose = np.eye(4)
    yaw = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    pose[:3, :3] = yaw @ [[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]] @ [[1, 0, 0], [0, cr, -sr], [0, sr, cr]]
    pose[:3, 3] = place
    return pose


def street_drive(
    name: str, street: int = 0, *, keyframes: int = 2, between: int = 2, scale: float = 0.2, speed: float = 8.0
) -> Drive:
    """A drive through a street of the built-in world, ``between`` turns lying before each keyframe."""
    from ditr.worlds.common.rays import RayCaster
    from ditr.worlds.streets import NUSCENES, StreetsConfig, build_street, sensor_to_street
    from ditr.worlds.streets.camera import Daylight, Photographer, camera_of, sensor_to_camera
    from ditr.worlds.streets.lidar import sweep

    config = StreetsConfig("nuscenes", street + 1, 7, scale)
    built = build_street(config, street)
    caster, rng = RayCaster(built.mesh), np.random.default_rng(street)
    photographer = Photographer(built, caster, Daylight(rng))
    classes = np.array(NUSCENES.labels(), dtype=np.int32)
    mount = rigid((0.004, -0.006, 0.005), (0.9437, 0.02, 1.84))
    turned = np.eye(4)  # from nuScenes' axes of the LiDAR to the world's, x forward
    turned[:3, :3] = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]
    start = sensor_to_street(built) @ np.linalg.inv(mount)
    to_world = rigid((2.1, 0.0, 0.0), (411.3, 1180.9, 0.0))

    begin = START + street * 20 * SECOND

    def vehicle(stamp: int) -> np.ndarray:
        """In the street: onwards, and a little to the left."""
        seconds = (stamp - begin) / SECOND
        return start @ rigid((0.1 * seconds, 0.0, 0.0), (speed * seconds, 0.05 * seconds, 0.0))

    turns = []
    for number in range(keyframes * (between + 1)):
        stamp = begin + number * SECOND // 20 + 137 * number
        found = sweep(caster, vehicle(stamp) @ mount, NUSCENES.lidar, round(NUSCENES.lidar.steps * scale), rng)
        shots, views = [], []
        for spec in NUSCENES.cameras if number % (between + 1) == between else ():
            taken = stamp - 3_000 - 7_000 * CAMERAS.index(spec.name)
            camera, on_vehicle = camera_of(spec, scale), mount @ np.linalg.inv(sensor_to_camera(spec))
            image = photographer.shoot(camera, np.linalg.inv(vehicle(taken) @ on_vehicle), rng).color
            shots.append(Shot(spec.name, image, camera, taken, to_world @ vehicle(taken), on_vehicle))
            pose = np.linalg.inv(vehicle(taken) @ on_vehicle) @ vehicle(stamp) @ mount @ turned
            views.append(View(spec.name, camera, pose, image))
        coord = (found.coord @ turned[:3, :3]).astype(np.float32)
        scene = Scene(
            name=token("v1.0-trainval", name, "LIDAR_TOP", stamp),
            coord=coord.astype(np.float64),
            views=tuple(views),
            strength=np.round(255 * found.strength).astype(np.float32),
            label=classes[built.mesh.label[found.triangle]],
            class_names=NUSCENES.class_names,
            extra={"ring": found.ring},
        )
        turns.append(Turn(scene, stamp, to_world @ vehicle(stamp), tuple(shots)))
    return Drive(name, tuple(turns), mount @ turned)


def pandaset_drive(name: str, frames: Sequence[Scene], images: Callable[[View], Path]) -> Drive:
    """Frames of PandaSet, every second one a keyframe; mounts are those of the first frame.

    What a camera's pose says of the vehicle at its shutter's time is in ``ego_pose``, so that each pose follows from
    the tables and no other way. Their names of cameras become those of nuScenes, in their order.
    """
    lidar_mount = rigid((-1.57, 0.004, 0.002), (0.94, 0.0, 1.84))
    first = frames[0]
    base = np.eye(4)
    base[:3, :3] = np.linalg.inv(first.views[0].world_to_camera)[:3, [2, 0, 1]] * (1, -1, -1)  # forward, left, up
    mounts = [np.linalg.inv(base) @ view.camera_to_world for view in first.views]
    turns = []
    for number, frame in enumerate(frames):
        stamp = START + number * SECOND // 2
        origin = np.eye(4)
        origin[:3, 3] = np.asarray(frame.properties["origin_in_world"])
        shots: list[Shot] = []
        lidar_vehicle = origin @ base
        to_lidar = np.linalg.inv(lidar_vehicle @ lidar_mount) @ origin
        coord = (frame.coord @ to_lidar[:3, :3].T + to_lidar[:3, 3]).astype(np.float32)
        views = []
        for row, view in enumerate(frame.views if number % 2 == 0 else ()):
            at = origin @ view.camera_to_world
            vehicle = at @ np.linalg.inv(mounts[row])
            shots.append(
                Shot(CAMERAS[row], images(view), view.camera, stamp - 14_000 * (row + 1), vehicle, mounts[row])
            )
            views.append(
                replace(view, name=CAMERAS[row], world_to_camera=view.world_to_camera @ np.linalg.inv(to_lidar))
            )
        label = None if frame.label is None else np.where(frame.label % 17 == 16, -1, frame.label % 17).astype(np.int32)
        scene = replace(frame, coord=coord.astype(np.float64), views=tuple(views), label=label, class_names=(),
                        extra={"ring": (np.arange(len(coord)) % 64).astype(np.uint8)})  # fmt: skip
        turns.append(Turn(scene, stamp, lidar_vehicle, tuple(shots)))
    return Drive(name, tuple(turns), lidar_mount)

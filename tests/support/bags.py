"""Bags of ROS 1 and 2, written by rosbags: a vehicle that drives past a scene with a LiDAR and cameras."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from colmap_files import quaternion_of
from PIL import Image
from rosbags.rosbag1 import Writer as FirstWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as SecondWriter
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from small_world import CAMERA, look_at, make_scene, photograph

from ditr.captures.images import read_image
from ditr.scene import Camera, CameraModel, Scene, View

__all__ = [
    "KINDS",
    "Bagged",
    "Shown",
    "cloud_fields",
    "drive_past",
    "info_of",
    "loose",
    "open_bag",
    "stamped",
    "write_bag",
]

TF = "tf2_msgs/msg/TFMessage"
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


@dataclass
class Shown:
    """A photograph: the camera's topics, its frame, when it was taken, and what its calibration is."""

    name: str
    view: View
    stamp: int
    camera_to_base: np.ndarray
    packed: str = "jpeg"


@dataclass
class Bagged:
    """A sweep as the bag has it: its scene in the LiDAR's frame, with the poses that are true when it was taken."""

    scene: Scene
    stamp: int
    shown: list[Shown] = field(default_factory=list)


@dataclass
class OpenBag:
    """A bag that is written: its types, and how a message is put into it."""

    store: Any
    is_first: bool
    put: Callable[[str, str, int, Any], None]

    def make(self, kind: str, **values: Any) -> Any:
        """A message of a type; ``D`` and the like are spelt as its ROS does."""
        if kind.endswith("CameraInfo") and self.is_first:
            values = {key.upper() if key in "dkrp" else key: value for key, value in values.items()}
        return self.store.types[kind](**values)

    def header(self, stamp: int, frame: str) -> Any:
        time = self.make("builtin_interfaces/msg/Time", sec=stamp // SECOND, nanosec=stamp % SECOND)
        more = {"seq": 7} if self.is_first else {}
        return self.make("std_msgs/msg/Header", stamp=time, frame_id=frame, **more)


KINDS = ("bag", "bag.lz4", "bag.bz2", "db3", "mcap", "db3.zstd", "mcap.message")
"""Ways to write a bag: ROS 1 with its compressions, and ROS 2 with its two storages and kinds of compression."""


def loose(*, is_first: bool = False) -> OpenBag:
    """Makes messages that go nowhere."""
    return OpenBag(get_typestore(Stores.ROS1_NOETIC if is_first else Stores.ROS2_HUMBLE), is_first, lambda *_: None)


@contextmanager
def open_bag(path: Path, kind: str) -> Iterator[OpenBag]:
    """A new bag of one of :data:`KINDS`; a file for ROS 1, a folder for ROS 2."""
    is_first = kind.startswith("bag")
    store = get_typestore(Stores.ROS1_NOETIC if is_first else Stores.ROS2_HUMBLE)
    if is_first:
        store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", TF))
        writer: Any = FirstWriter(path)
        if "." in kind:
            writer.set_compression(FirstWriter.CompressionFormat[kind[4:].upper()])
    else:
        plugin = StoragePlugin.MCAP if kind.startswith("mcap") else StoragePlugin.SQLITE3
        writer = SecondWriter(path, version=9, storage_plugin=plugin)
        if "." in kind:
            mode = CompressionMode.MESSAGE if kind.endswith("message") else CompressionMode.FILE
            writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}

        def put(topic: str, kind: str, time: int, message: Any) -> None:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            write = store.serialize_ros1 if is_first else store.serialize_cdr
            writer.write(connections[topic], time, write(message, kind))

        yield OpenBag(store, is_first, put)


def stamped(bag: OpenBag, stamp: int, parent: str, child: str, pose: np.ndarray) -> Any:
    """A transform of tf of points in ``child`` to ``parent``."""
    w, x, y, z = quaternion_of(pose[:3, :3])
    vector = bag.make("geometry_msgs/msg/Vector3", **dict(zip("xyz", pose[:3, 3].tolist(), strict=True)))
    turn = bag.make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)
    transform = bag.make("geometry_msgs/msg/Transform", translation=vector, rotation=turn)
    return bag.make("geometry_msgs/msg/TransformStamped", header=bag.header(stamp, parent), child_frame_id=child,
                    transform=transform)  # fmt: skip


def cloud_fields(bag: OpenBag, fields: Sequence[tuple[str, int, int, int]]) -> list[Any]:
    """Name, offset, type and count of each."""
    keys = ("name", "offset", "datatype", "count")
    return [bag.make("sensor_msgs/msg/PointField", **dict(zip(keys, one, strict=True))) for one in fields]


def cloud_message(bag: OpenBag, scene: Scene, stamp: int, frame: str) -> Any:
    """x y z and intensity as float32, a ring as uint16, and the label as uint8, 4 bytes apart from each other at least,
    22 bytes a point."""
    layout = {"names": ["xyz", "intensity", "ring", "label"], "formats": [("<f4", 3), "<f4", "<u2", "u1"]}
    rows = np.zeros(len(scene), np.dtype(layout | {"offsets": [0, 12, 16, 20], "itemsize": 22}))
    rows["xyz"] = scene.coord
    rows["intensity"] = 0 if scene.strength is None else scene.strength
    rows["ring"] = np.arange(len(scene)) % 64
    rows["label"] = 255 if scene.label is None else np.where(scene.label < 0, 255, scene.label)
    fields = [
        ("x", 0, 7, 1),
        ("y", 4, 7, 1),
        ("z", 8, 7, 1),
        ("intensity", 12, 7, 1),
        ("ring", 16, 4, 1),
        ("label", 20, 2, 1),
    ]
    return bag.make(
        "sensor_msgs/msg/PointCloud2",
        header=bag.header(stamp, frame), height=1, width=len(scene), fields=cloud_fields(bag, fields),
        is_bigendian=False, point_step=22, row_step=22 * len(scene), data=rows.view(np.uint8), is_dense=True,
    )  # fmt: skip


def info_of(bag: OpenBag, camera: Camera, stamp: int, frame: str, **other: Any) -> Any:
    """A CameraInfo of a camera; ROS counts pixels from the middle of the first one."""
    inner = camera.intrinsics
    inner[:2, 2] -= 0.5
    model = {CameraModel.OPENCV_FISHEYE: "equidistant", CameraModel.FULL_OPENCV: "rational_polynomial"}.get(
        camera.model, "plumb_bob"
    )
    d = camera.distortion if len(camera.distortion) != 4 or model == "equidistant" else (*camera.distortion, 0.0)
    whole = bag.make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    values = {
        "header": bag.header(stamp, frame), "height": camera.height, "width": camera.width, "distortion_model": model,
        "d": np.array(d or [0.0] * 5), "k": inner.ravel(), "r": np.eye(3).ravel(),
        "p": np.column_stack([inner, np.zeros(3)]).ravel(), "binning_x": 0, "binning_y": 0, "roi": whole,
    }  # fmt: skip
    return bag.make("sensor_msgs/msg/CameraInfo", **(values | other))


def image_message(bag: OpenBag, view: View, stamp: int, frame: str, packed: str) -> tuple[str, Any]:
    """The type and the message of a photograph, as a compressed image or in one of ROS' encodings."""
    header = bag.header(stamp, frame)
    if packed in ("jpeg", "png"):
        data = view.image.read_bytes() if isinstance(view.image, Path) else None
        if data is None:
            stream = io.BytesIO()
            Image.fromarray(read_image(view)).save(stream, packed, **({"quality": 95} if packed == "jpeg" else {}))
            data = stream.getvalue()
        values = {"format": f"rgb8; {packed} compressed bgr8", "data": np.frombuffer(data, np.uint8)}
        return "sensor_msgs/msg/CompressedImage", bag.make("sensor_msgs/msg/CompressedImage", header=header, **values)
    pixels = read_image(view)[:, :, ::-1] if packed == "bgr8" else read_image(view)
    rows = np.pad(np.ascontiguousarray(pixels).reshape(view.camera.height, -1), ((0, 0), (0, 5)))
    values = {"height": view.camera.height, "width": view.camera.width, "encoding": packed, "is_bigendian": 0}
    values |= {"step": rows.shape[1], "data": rows.ravel()}
    return "sensor_msgs/msg/Image", bag.make("sensor_msgs/msg/Image", header=header, **values)


def write_bag(
    path: Path,
    kind: str,
    sweeps: Sequence[Bagged],
    base_to_map: Sequence[tuple[int, np.ndarray]],
    lidar_to_base: np.ndarray,
    *,
    late: int = 3_000_000,
) -> None:
    """A bag of a vehicle whose pose in ``map`` is known at some times; messages are written ``late`` nanoseconds after
    what they are of."""
    with open_bag(path, kind) as bag:
        put = []
        known: dict[str, np.ndarray] = {"lidar": lidar_to_base}
        known |= {shown.name: shown.camera_to_base for sweep in sweeps for shown in sweep.shown}
        first = min([sweep.stamp for sweep in sweeps] + [stamp for stamp, _ in base_to_map])
        static = [
            stamped(bag, first, "base_link", f"{name}_optical" if name != "lidar" else name, pose)
            for name, pose in known.items()
        ]
        put.append((first, "/tf_static", TF, bag.make(TF, transforms=static)))
        for stamp, pose in base_to_map:
            put.append((stamp, "/tf", TF, bag.make(TF, transforms=[stamped(bag, stamp, "map", "/base_link", pose)])))
        for sweep in sweeps:
            cloud = cloud_message(bag, sweep.scene, sweep.stamp, "lidar")
            put.append((sweep.stamp, "/points", "sensor_msgs/msg/PointCloud2", cloud))
            for shown in sweep.shown:
                frame, stamp = f"{shown.name}_optical", shown.stamp
                kind_of, image = image_message(bag, shown.view, stamp, frame, shown.packed)
                topic = f"/{shown.name}/image_raw"
                put.append((stamp, f"{topic}/compressed" if "Compressed" in kind_of else topic, kind_of, image))
                info = info_of(bag, shown.view.camera, stamp, frame)
                put.append((stamp, f"/{shown.name}/camera_info", "sensor_msgs/msg/CameraInfo", info))
        for stamp, topic, message_kind, message in sorted(put, key=lambda one: one[0]):
            bag.put(topic, message_kind, stamp + late, message)


def drive_past(count: int = 3, *, speed: float = 8.0) -> tuple[list[Bagged], list[tuple[int, np.ndarray]], np.ndarray]:
    """Sweeps, poses of the vehicle in the map, and that of the LiDAR on it: it drives past a scene in a straight line
    and turns on the way. The cameras take their photographs between the sweeps."""
    world, rng = make_scene(1, views=0, points=1500), np.random.default_rng(3)
    lens = replace(CAMERA, model=CameraModel.OPENCV, distortion=(0.05, -0.02, 0.001, -0.002))

    def base_to_map(stamp: int) -> np.ndarray:
        seconds = (stamp - START) / SECOND
        angle, pose = 0.3 * seconds, np.eye(4)
        pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        pose[:3, 3] = (speed * seconds, -3.0, 0.1)
        return pose

    lidar_to_base = np.eye(4)
    lidar_to_base[:3, :3] = look_at((0, 0, 0), (0.2, 1, 0.1))[:3, :3].T @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    lidar_to_base[:3, 3] = (0.3, 0.0, 1.4)
    mounts = {
        "front": (np.linalg.inv(look_at((0.5, 0.1, 1.2), (1.5, 3.0, 1.0))), CAMERA, -40_000_000, "jpeg"),
        "side": (np.linalg.inv(look_at((0.2, 0.4, 1.3), (-0.1, 3.0, 1.1))), lens, 25_000_000, "bgr8"),
    }
    sweeps = []
    for number in range(count):
        stamp = START + 200_000_000 + 100_000_000 * number
        there = np.linalg.inv(base_to_map(stamp) @ lidar_to_base)
        coord = (world.coord @ there[:3, :3].T + there[:3, 3]).astype(np.float32)
        bagged = Bagged(replace(world, coord=coord, strength=np.linspace(0, 1, len(world), dtype=np.float32)), stamp)
        views = []
        for name, (mount, camera, late, packed) in mounts.items():
            taken = base_to_map(stamp + late) @ mount
            pose = np.linalg.inv(taken) @ base_to_map(stamp) @ lidar_to_base
            view = View(name, camera, pose, photograph(rng, camera))
            views.append(view)
            bagged.shown.append(Shown(name, view, stamp + late, mount, packed))
        bagged.scene = replace(bagged.scene, views=tuple(views))
        sweeps.append(bagged)
    stamps = range(START + 100_000_000, START + 300_000_000 + 100_000_000 * count, 20_000_000)
    return sweeps, [(stamp, base_to_map(stamp)) for stamp in stamps], lidar_to_base

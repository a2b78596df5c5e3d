"""Which topics of a bag are its clouds, its cameras with their calibrations, and their depth maps: guessed and said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ditr.captures.bag import Topic
from ditr.captures.bag_apart import Found
from ditr.captures.ros_messages import CAMERA_INFO, COMPRESSED, IMAGE, POINT_CLOUD
from ditr.errors import InputError, few, nearest

__all__ = ["CameraTopics", "cameras_of", "cloud_of_bag", "wanted_topics"]

_PACKETS = {
    "velodyne_msgs/msg/VelodyneScan": "velodyne_pointcloud",
    "ouster_sensor_msgs/msg/PacketMsg": "ouster_ros",
    "ouster_ros/msg/PacketMsg": "ouster_ros",
    "livox_ros_driver/msg/CustomMsg": "livox_ros_driver (xfer_format 0)",
    "livox_ros_driver2/msg/CustomMsg": "livox_ros_driver2 (xfer_format 0)",
    "hesai_ros_driver/msg/UdpFrame": "hesai_ros_driver",
    "rslidar_msg/msg/RslidarPacket": "rslidar_sdk",
    "sensor_msgs/msg/LaserScan": "laser_geometry (but one line of points is not a sweep)",
    "sensor_msgs/msg/PointCloud": "point_cloud_converter",
}
"""Types of a LiDAR's messages that are not a PointCloud2, and what makes one of them."""
_TRANSPORTS = frozenset({"compressed", "compressedDepth", "theora", "ffmpeg", "zstd", "avif"})
"""Last parts of topics that carry the images of the topic before them."""
_IMAGES = (
    "image_color", "image_raw_color", "image_raw", "image", "rgb", "color", "image_rect_color", "image_color_rect",
    "image_rect", "image_rect_raw", "image_mono", "image_rect_mono", "image_rect_gray",
)  # fmt: skip
"""Last parts of topics of a camera's images, the one that is preferred first."""


@dataclass(frozen=True)
class CameraTopics:
    """A camera, by its topics.

    Attributes:
        name: of the camera, which its view is called after.
        image: of the photographs.
        info: of their calibration.
        rectified: whether the photographs have been rectified.
        depth: of depth maps in the camera's frame; None without.
    """

    name: str
    image: Topic
    info: Topic
    rectified: bool
    depth: Topic | None = None


def wanted_topics(path: Path, topics: Sequence[Topic], named: Sequence[str]) -> list[Topic]:
    """The clouds and images among the topics, or those of them that are named.

    Raises:
        InputError: a name that is not a topic, or that there is no cloud.
    """
    there = [topic.name for topic in topics]
    for name in named:
        if name not in there:
            likely = nearest(name, there)
            remedy = f"Did you mean {likely}?" if likely else f"It has {few(there, 12)}"
            raise InputError(path, f"there is no topic {name}", remedy)
    chosen = [t for t in topics if t.count and t.type in (POINT_CLOUD, IMAGE, COMPRESSED)]
    chosen = [topic for topic in chosen if not named or topic.name in named]
    if not any(topic.type == POINT_CLOUD for topic in chosen):
        raise InputError(path, "it has no clouds (sensor_msgs/PointCloud2)", _instead(topics))
    return chosen


def _instead(topics: Sequence[Topic]) -> str:
    """What to do about a bag without clouds."""
    packets = next((topic for topic in topics if topic.type in _PACKETS), None)
    if packets is not None:
        return f"Convert {packets.name} ({packets.type}) to clouds, as {_PACKETS[packets.type]} does, and record those"
    clouds = [topic.name for topic in topics if topic.type == POINT_CLOUD]
    if clouds:
        return f"Name {few(clouds, 3)} with --topics as well" if any(t.count for t in topics) else "Record it again"
    return f"Record such a topic; the bag has {few([topic.name for topic in topics], 8) or 'no topics'}"


def cloud_of_bag(chosen: Sequence[Topic], found: Mapping[str, Found]) -> tuple[Topic, str]:
    """The topic of the sweeps, the one with most bytes, and what is to be said of this."""
    clouds = [topic for topic in chosen if topic.type == POINT_CLOUD]
    cloud = max(clouds, key=lambda topic: found[topic.name].size)
    if len(clouds) == 1:
        return cloud, f"the sweeps are the clouds of {cloud.name}"
    others = few([topic.name for topic in clouds if topic != cloud], 3)
    return cloud, f"the sweeps are the clouds of {cloud.name}, the largest; choose another with --topics ({others})"


def cameras_of(
    topics: Sequence[Topic],
    chosen: Sequence[Topic],
    found: Mapping[str, Found],
    depth: frozenset[str],
    info_frames: Mapping[str, str],
) -> tuple[list[CameraTopics], list[str]]:
    """The cameras whose images are to be used, and what is to be said of this.

    Args:
        topics: all of the bag.
        chosen: those that may be used.
        found: what is known of them.
        depth: names of those whose images are depth maps.
        info_frames: topics of calibrations, with the frames of their messages.
    """
    infos = {topic.name: topic for topic in topics if topic.type == CAMERA_INFO and topic.name in info_frames}
    images = [topic for topic in chosen if topic.type in (IMAGE, COMPRESSED) and topic.name in found]
    by_camera: dict[str, list[Topic]] = {}
    for topic in images:
        if topic.name not in depth:
            by_camera.setdefault(_camera_of(topic.name), []).append(topic)
    cameras, said = [], []
    for place, alike in by_camera.items():
        topic = min(alike, key=_rank)
        info = next((infos[name] for name in _info_names(topic.name) if name in infos), None)
        if info is None:
            info = _only(
                infos[name] for name, frame in info_frames.items() if frame and frame in found[topic.name].frames
            )
        if info is None:
            said.append(f"{topic.name} has no calibration (CameraInfo), so its images are not used")
            continue
        maps = [d for d in images if d.name in depth and set(found[d.name].frames) & set(found[topic.name].frames)]
        name = place.strip("/").replace("/", "_") or "camera"
        rectified = "rect" in _last(topic.name)
        cameras.append(CameraTopics(name, topic, info, rectified, maps[0] if maps else None))
    used = {camera.depth.name for camera in cameras if camera.depth is not None}
    if unused := sorted(depth - used):
        said.append(f"the depth maps of {few(unused, 3)} are in no camera's frame, and are not used")
    return sorted(cameras, key=lambda camera: camera.name), said


def _only(topics: Iterable[Topic]) -> Topic | None:
    listed = list(topics)
    return listed[0] if len(listed) == 1 else None


def _plain(name: str) -> PurePosixPath:
    """A topic without the way in which its images are packed."""
    path = PurePosixPath(name)
    return path.parent if path.name in _TRANSPORTS else path


def _last(name: str) -> str:
    return _plain(name).name


def _camera_of(name: str) -> str:
    """What a camera's topics have in common: what is before "image_raw" and the like, else the whole."""
    path = _plain(name)
    return str(path.parent if path.name in _IMAGES else path)


def _info_names(name: str) -> tuple[str, ...]:
    path = _plain(name)
    return str(path.parent / "camera_info"), str(path / "camera_info")


def _rank(topic: Topic) -> tuple[int, bool]:
    """As they were taken, in colour, and not packed: these first."""
    last = _last(topic.name)
    return (_IMAGES.index(last) if last in _IMAGES else len(_IMAGES), topic.type == COMPRESSED)

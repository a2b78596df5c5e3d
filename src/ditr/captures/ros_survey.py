"""A look through a bag before its sweeps are read: topics, calibrations, frames, and the times of everything."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ditr.captures.bag import Message, Topic
from ditr.captures.bag_apart import BagAsked, Found, Place
from ditr.captures.notes import Notes
from ditr.captures.ros_cameras import Calibration, calibration_of
from ditr.captures.ros_frames import Frames, Transforms, plain_name
from ditr.captures.ros_images import is_depth
from ditr.captures.ros_messages import CAMERA_INFO, COMPRESSED, IMAGE, ODOMETRY, POINT_CLOUD, TF_KINDS, decoded
from ditr.captures.ros_topics import CameraTopics, cameras_of, cloud_of_bag, wanted_topics
from ditr.errors import InputError, few
from ditr.scene import ReadOptions

__all__ = ["BagCamera", "Survey", "place_of", "survey"]

_CLOCKS = 5 * 10**9
"""Nanoseconds by which clocks of one machine do not differ."""
_BY_HAND = (
    "Give the missing transform with --transform 'PARENT CHILD X Y Z QX QY QZ QW', or read only the cloud by naming "
    "its topic with --topics"
)


@dataclass(frozen=True, eq=False)
class BagCamera:
    """A camera of a bag.

    Attributes:
        topics: of it.
        calibration: of its images.
        frame: in which it stands.
        found: its images.
        depth: its depth maps; None without.
    """

    topics: CameraTopics
    calibration: Calibration
    frame: str
    found: Found
    depth: Found | None


@dataclass(frozen=True, eq=False)
class Survey:
    """What a bag holds.

    Attributes:
        cloud: topic of the sweeps.
        sweeps: all of them.
        frame: of the sweeps.
        cameras: those that can be used.
        frames: the tree of tf.
        fixed: frame that stands still while the sensors move; None where nothing moves.
        notes: what was noticed.
    """

    cloud: Topic
    sweeps: Found
    frame: str
    cameras: tuple[BagCamera, ...]
    frames: Frames
    fixed: str | None
    notes: Notes


def place_of(topic: Topic, found: Found, row: int) -> Place:
    """Where a topic's message is."""
    return Place(topic.name, int(found.time[row]), int(found.among[row]))


def survey(path: Path, bag: BagAsked, options: ReadOptions) -> Survey:
    """Look through a bag.

    Raises:
        InputError: a damaged bag, no clouds, topics or frames that are named and not there, or cameras of which none
            can be used.
    """
    notes = Notes()
    topics = {topic.name: topic for topic in bag.topics}
    chosen = wanted_topics(path, bag.topics, options.topics)
    moving = [topic.name for topic in bag.topics if topic.type in (*TF_KINDS, ODOMETRY)]
    infos = [topic.name for topic in bag.topics if topic.type == CAMERA_INFO]
    found, kept = bag.look_through([topic.name for topic in chosen], moving, infos)
    found = {name: rows for name, rows in found.items() if len(rows.time)}
    chosen = [topic for topic in chosen if topic.name in found]
    if not any(topic.type == POINT_CLOUD for topic in chosen):
        raise InputError(
            path,
            "none of its clouds can be found, so its index is damaged",
            "Repair the bag (`rosbag reindex`, `ros2 bag reindex`) or record it again",
        )
    transforms = _transforms(path, [message for message in kept if message.topic in moving], topics)
    found = _on_one_clock(found, transforms, notes)
    _add_by_hand(transforms, options)
    frames = Frames(transforms)
    for text in frames.said:
        notes.say("frames", text)
    cloud, text = cloud_of_bag(chosen, found)
    notes.say("topics", text)
    sweeps = found[cloud.name]
    frame = sweeps.frames[0]
    if len(sweeps.frames) > 1:
        notes.warn(
            "frames", f"the clouds are in several frames ({few(sweeps.frames, 3)}); all are taken to be in {frame}"
        )
    fixed = _fixed_frame(path, frames, frame, options, notes)
    calibrations = _calibrations(path, [message for message in kept if message.topic in infos], topics, notes)
    info_frames = {name: _frame_of(info) for name, info in calibrations.items()}
    cameras, texts = cameras_of(bag.topics, chosen, found, _depth_topics(path, bag, chosen, found), info_frames)
    faults = []
    placed = []
    for camera in cameras:
        try:
            placed.append(_placed(camera, found, calibrations[camera.info.name], frames, frame))
        except InputError as error:
            faults.append(f"{camera.name} is left out: {error.fault}")
    for text in (*texts, *faults):
        notes.warn("cameras", text)
    if not placed and any(topic.type in (IMAGE, COMPRESSED) for topic in chosen):
        raise InputError(path, f"none of its cameras can be used: {'; '.join((*texts, *faults)[:6])}", _BY_HAND)
    return Survey(cloud, sweeps, frame, _with_baselines(placed, notes), frames, fixed, notes)


# ---- frames ---------------------------------------------------------------------------------------------------------


def _transforms(path: Path, messages: Sequence[Message], topics: Mapping[str, Topic]) -> Transforms:
    """All that is said of how frames lie: by tf, and by odometry what tf lacks.

    Raises:
        InputError: a damaged message.
    """
    found, odometry, known = Transforms(), [], set()
    for message in messages:
        topic = topics[message.topic]
        value = decoded(str(path), message, topic.type, topic.encoding)
        if topic.type == ODOMETRY:
            if value.child_frame_id and value.header.frame_id:
                odometry.append((message.time, value))
            continue
        static = message.topic.rstrip("/").endswith("tf_static")
        for stamped in value.transforms:
            known.add(plain_name(stamped.child_frame_id))
            found.add_stamped(stamped, static=static, written=message.time)
    for written, value in odometry:
        if (child := plain_name(value.child_frame_id)) not in known:
            place, turn = value.pose.pose.position, value.pose.pose.orientation
            found.add_parts(value.header, child, place, turn, written=written)
    return found


def _add_by_hand(transforms: Transforms, options: ReadOptions) -> None:
    """What is given by hand counts before what the bag says."""
    for _, child, *_rest in options.transforms:
        transforms.drop(plain_name(child))
    for parent, child, x, y, z, qx, qy, qz, qw in options.transforms:
        length = math.hypot(qx, qy, qz, qw)
        turn = (qw / length, qx / length, qy / length, qz / length)
        transforms.add(plain_name(parent), plain_name(child), None, (x, y, z, *turn))


def _on_one_clock(found: Mapping[str, Found], transforms: Transforms, notes: Notes) -> dict[str, Found]:
    """The same by the times of writing, where headers are of different clocks; so the transforms then."""
    late = {name: float(np.median(rows.time - rows.stamp)) for name, rows in found.items()}
    if len(moved := transforms.late()):
        late["tf"] = float(np.median(moved))
    if max(late.values()) - min(late.values()) < _CLOCKS:
        unstamped = [name for name, rows in found.items() if rows.unstamped]
        if unstamped:
            notes.warn(
                "times",
                f"the messages of {few(unstamped, 3)} have no time in their headers; the time of recording is used",
            )
        return dict(found)
    first, last = min(late, key=late.__getitem__), max(late, key=late.__getitem__)
    text = f"the clocks of {first} and {last} differ by {(late[last] - late[first]) / 1e9:.3g} s"
    notes.warn("times", f"{text}, so the times of recording are used", "Synchronise the clocks of the sensors")
    transforms.by_writing()
    return {name: replace(rows, stamp=rows.time) for name, rows in found.items()}


def _fixed_frame(path: Path, frames: Frames, frame: str, options: ReadOptions, notes: Notes) -> str | None:
    """The frame that stands still while the one of the sweeps moves; None where nothing above it moves.

    Raises:
        InputError: a named one that is not above it.
    """
    chain = frames.above(frame)
    if options.fixed_frame is not None:
        named = options.fixed_frame.lstrip("/")
        if named not in chain:
            fault = f"the frame {named} is not an ancestor of the clouds' frame in tf"
            raise InputError(path, fault, f"Name one of {', '.join(chain)} with --fixed-frame")
        return named if frames.moves(frame, named) else None
    still = [name for name in chain[1:] if frames.moves(frame, name)]
    if not still:
        text = f"nothing moves above {frame} in tf, so photographs are treated as taken at the time of their sweep"
        notes.warn("motion", text, "Record /tf with the vehicle's motion, if it moved")
        return None
    smooth = [name for name in still if name.rpartition("/")[2] == "odom"]
    fixed = (smooth or still)[-1]
    notes.say(
        "motion", f"the motion between a sweep and its photographs is compensated, in the frame {fixed} (--fixed-frame)"
    )
    return fixed


# ---- cameras --------------------------------------------------------------------------------------------------------


def _frame_of(value: Any) -> str:
    return plain_name(value.header.frame_id)


def _calibrations(path: Path, messages: Sequence[Message], topics: Mapping[str, Topic], notes: Notes) -> dict[str, Any]:
    """By topic the first message of a camera that is calibrated, or else the first.

    Raises:
        InputError: a damaged message.
    """
    by_topic: dict[str, list[Any]] = {}
    for message in messages:
        topic = topics[message.topic]
        by_topic.setdefault(topic.name, []).append(decoded(str(path), message, topic.type, topic.encoding))
    result = {}
    for name, values in by_topic.items():
        good = [value for value in values if np.any(value.k if hasattr(value, "k") else value.K)]
        if len(good) > 1:
            notes.warn("cameras", f"the calibration of {name} changes during the recording; the first one is used")
        result[name] = (good or values)[0]
    return result


def _depth_topics(path: Path, bag: BagAsked, chosen: Sequence[Topic], found: Mapping[str, Found]) -> frozenset[str]:
    """Those whose images are depth maps, by the first of each."""
    images = [topic for topic in chosen if topic.type in (IMAGE, COMPRESSED)]
    places = [place_of(topic, found[topic.name], 0) for topic in images]
    messages = [Message(p.topic, p.time, data) for p, data in zip(places, bag.fetch(places), strict=True)]
    pairs = zip(images, messages, strict=True)
    return frozenset(t.name for t, message in pairs if is_depth(decoded(str(path), message, t.type, t.encoding)))


def _placed(camera: CameraTopics, found: Mapping[str, Found], info: Any, frames: Frames, frame: str) -> BagCamera:
    """A camera with its calibration and frame.

    Raises:
        InputError: it is not calibrated, its lens is not known, or it stands in no frame that is connected with that of
            the sweeps.
    """
    calibration = calibration_of(camera.info.name, info, rectified=camera.rectified)
    images = found[camera.image.name]
    own = _frame_of(info)
    known = [name for name in (own, *images.frames) if name and frames.common(name, frame) is not None]
    if not known:
        named = own or (images.frames[0] if images.frames else "") or "without a name"
        raise InputError(camera.image.name, f"tf does not connect its frame {named} with {frame}", _BY_HAND)
    depth = None if camera.depth is None else found[camera.depth.name]
    return BagCamera(camera, calibration, known[0], images, depth)


def _with_baselines(cameras: Sequence[BagCamera], notes: Notes) -> tuple[BagCamera, ...]:
    """Cameras of a stereo pair whose projections count from the other one's frame are moved by them; where each has a
    frame of its own, tf says it already."""
    shared = Counter(camera.frame for camera in cameras)
    result = []
    for camera in cameras:
        moved = camera.calibration.baseline
        if shared[camera.frame] > 1 and moved.any():
            pose = camera.calibration.from_frame.copy()
            pose[:3, 3] += moved
            notes.say(
                "cameras",
                f"{camera.topics.name} is {np.linalg.norm(moved):.3g} m from {camera.frame}, by its projection matrix "
                "P",
            )
            camera = replace(camera, calibration=replace(camera.calibration, from_frame=pose))
        result.append(camera)
    return tuple(result)

"""Bags of ROS 1 and 2 and MCAP files: each sweep with the photographs nearest in time, where the cameras were then."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.bag import Message, Topic
from ditr.captures.bag_apart import BagAsked, Place, RemoteBag
from ditr.captures.clouds import cloud_scene, first_bytes, require_library
from ditr.captures.images import image_size
from ditr.captures.intrinsics import resized
from ditr.captures.notes import Notes
from ditr.captures.ros_clouds import cloud_of
from ditr.captures.ros_frames import TransformUnknown
from ditr.captures.ros_images import depth_map, photograph
from ditr.captures.ros_messages import decoded
from ditr.captures.ros_survey import BagCamera, place_of, survey
from ditr.captures.tables import nearest_in_time
from ditr.errors import InputError
from ditr.geometry.rotations import inverse
from ditr.scene import ReadOptions, Scene, View

__all__ = ["BagDrive", "open_drive", "recognise"]

_FIRST, _MCAP, _SQLITE = b"#ROSBAG V", b"\x89MCAP0\r\n", b"SQLite format 3\0"
_TABLES = (b"CREATE TABLE messages", b"CREATE TABLE topics")
_SECTION = b"rosbag2_bagfile_information"
_TOLERANCE = 0.1
"""Seconds between a sweep and a photograph at most."""
_DEPTH_TOLERANCE = 0.02
"""The same of a photograph and its depth map."""
_ROUNDING = 1e-6
_LOOKED_AT = 1 << 16
_KEPT_OPEN = 8
"""Bags that stay open in a process, so that their sweeps can be read one by one."""


def recognise(path: Path) -> str | None:
    """By its first bytes, or the metadata of a folder."""
    if path.is_dir():
        inside = first_bytes(path / "metadata.yaml", _LOOKED_AT)
        return "it has the metadata.yaml of a rosbag2" if _SECTION in inside else None
    start = first_bytes(path, 16)
    if start.startswith(_FIRST):
        return "it begins with #ROSBAG"
    if start.startswith(_MCAP):
        return "it begins with MCAP's magic bytes"
    if start == _SQLITE and all(table in first_bytes(path, _LOOKED_AT) for table in _TABLES):
        return "it is a database with the tables of a rosbag2"
    return None


def open_drive(path: Path, options: ReadOptions) -> BagDrive:
    """A bag, which is looked through once, and then stays open in a process of its own.

    Raises:
        InputError: rosbags is not installed; or as for :class:`BagDrive`.
    """
    require_library(path, "rosbags", "ros")
    for mark, ending in ((_MCAP, ".mcap"), (_SQLITE, ".db3")):
        if path.is_file() and path.suffix != ending and first_bytes(path, 16).startswith(mark):
            raise InputError(
                path,
                f"its name does not end with {ending}, which rosbags requires",
                f"Rename it to {path.stem}{ending}",
            )
    _refuse_profile(path)
    held = path.stat()
    # Nothing else of the options matters to what is looked for.
    own = ReadOptions(
        topics=options.topics,
        fixed_frame=options.fixed_frame,
        tolerance=options.tolerance,
        transforms=options.transforms,
    )
    return _opened(path.resolve(), path, own, held.st_size, held.st_mtime_ns, os.getpid())


def _refuse_profile(path: Path) -> None:
    """Refuse an MCAP file that says that its messages are not of ROS 2.

    Raises:
        InputError: naming what they are of.
    """
    start = first_bytes(path, 64)
    if not path.is_file() or not start.startswith(_MCAP) or len(start) < 21:
        return
    profile = start[21 : 21 + int.from_bytes(start[17:21], "little")]
    if profile != b"ros2":
        fault = f"its messages are of {profile.decode(errors='replace')[:20] or 'an unknown kind'}, not of ROS 2"
        raise InputError(path, fault, "Record or convert it as a bag of ROS 2 (`ros2 bag convert`)")


@lru_cache(maxsize=_KEPT_OPEN)
def _opened(_resolved: Path, path: Path, options: ReadOptions, _size: int, _changed: int, _process: int) -> BagDrive:
    return BagDrive(path, RemoteBag(path), options)


class BagDrive:
    """Sweeps, called by their numbers in the order of time: ``000012``; see :class:`~ditr.scene.SceneSource`.

    Raises:
        InputError: a damaged bag, no clouds, topics or frames that are named and not there, or cameras of which none
            can be used.
    """

    def __init__(self, path: Path, bag: BagAsked, options: ReadOptions) -> None:
        self.path = path
        self.name = path.resolve().name if path.is_dir() else path.stem
        self._bag = bag
        self._survey = found = survey(path, bag, options)
        self._order = np.argsort(found.sweeps.stamp, kind="stable")
        self._stamps = found.sweeps.stamp[self._order]
        tolerance = _TOLERANCE if options.tolerance is None else options.tolerance
        self._nearest = [_nearest(self._stamps, camera.found.stamp, tolerance) for camera in found.cameras]

    def __len__(self) -> int:
        return len(self._order)

    def names(self) -> list[str]:
        return [f"{number:06d}" for number in range(len(self))]

    def scene(self, index: int) -> Scene:
        """A sweep in its own frame, with the photographs nearest in time from where they were taken.

        ``time`` (seconds) of ``Scene.properties`` is that of the sweep, and where a frame stands still, which is
        ``world_frame``, ``lidar_to_world`` (4, 4) is the sweep's pose in it.

        Raises:
            InputError: damaged messages, or images that are not known here.
        """
        found = self._survey
        where = f"{self.path}, sweep {index}"
        notes = Notes()
        wanted = [(found.cloud, place_of(found.cloud, found.sweeps, int(self._order[index])))]
        shown = []
        for camera, nearest in zip(found.cameras, self._nearest, strict=True):
            if (row := int(nearest[index])) < 0:
                notes.say("views", f"{camera.topics.name} has no photograph close enough in time (--tolerance)")
                continue
            depth = self._depth_row(camera, row)
            shown.append((camera, row, depth))
            wanted.append((camera.topics.image, place_of(camera.topics.image, camera.found, row)))
            if depth is not None and camera.depth is not None and camera.topics.depth is not None:
                wanted.append((camera.topics.depth, place_of(camera.topics.depth, camera.depth, depth)))
        messages = iter(self._read(where, wanted))
        scene = cloud_scene(self.path, cloud_of(where, next(messages)))
        time = int(self._stamps[index])
        views = []
        for camera, row, depth in shown:
            image, own = next(messages), next(messages) if depth is not None else None
            pose = self._pose(camera, int(camera.found.stamp[row]), time, notes)
            if pose is not None:
                views.append(_view(f"{where}, {camera.topics.image.name}", camera, pose, image, own))
        facts = {"time": time / 1e9, "frame": found.frame, **self._world(time, notes)}
        return replace(
            scene,
            name=f"{self.name}_{index:06d}",
            views=tuple(views),
            up=self._up(time),
            properties={**scene.properties, **facts},
            findings=(*found.notes.findings(), *scene.findings, *notes.findings()),
        )

    def _read(self, where: str, wanted: Sequence[tuple[Topic, Place]]) -> list[Any]:
        data = self._bag.fetch([place for _, place in wanted])
        return [
            decoded(where, Message(topic.name, place.time, piece), topic.type, topic.encoding)
            for (topic, place), piece in zip(wanted, data, strict=True)
        ]

    def _depth_row(self, camera: BagCamera, row: int) -> int | None:
        """The depth map that belongs to a photograph."""
        if camera.depth is None:
            return None
        near = int(_nearest(camera.found.stamp[row : row + 1], camera.depth.stamp, _DEPTH_TOLERANCE)[0])
        return None if near < 0 else near

    def _pose(self, camera: BagCamera, taken: int, time: int, notes: Notes) -> NDArray[np.float64] | None:
        """(4, 4) of a sweep's points to a camera that took its photograph at another time; None where it is unknown."""
        found, name = self._survey, camera.topics.name
        frames, fixed = found.frames, found.fixed
        why = ""
        if fixed is not None and fixed in frames.above(camera.frame):
            try:
                return camera.calibration.from_frame @ frames.between(found.frame, time, camera.frame, taken, fixed)
            except TransformUnknown as unknown:
                why = str(unknown)
        above = frames.common(found.frame, camera.frame)
        assert above is not None  # cameras in other trees were left out
        try:
            pose = frames.between(found.frame, time, camera.frame, time, above)
        except TransformUnknown as unknown:
            notes.warn("views", f"{name} is left out, since {unknown}")
            return None
        if why:
            late = (taken - time) / 1e9
            notes.warn(
                "motion", f"it is not compensated for {name}, whose photograph is {late:+.3f} s off, since {why}"
            )
        return camera.calibration.from_frame @ pose

    def _world(self, time: int, notes: Notes) -> dict[str, Any]:
        found = self._survey
        if found.fixed is None:
            return {}
        try:
            pose = found.frames.pose(found.frame, found.fixed, time)
        except TransformUnknown as unknown:
            notes.say("motion", f"the pose of the sweep is unknown, since {unknown}")
            return {}
        return {"world_frame": found.fixed, "lidar_to_world": pose.tolist()}

    def _up(self, time: int) -> NDArray[np.float64]:
        """The z axis of the highest frame that is known at a time, or for an optical frame the opposite of its y."""
        found = self._survey
        for name in reversed(found.frames.above(found.frame)):
            try:
                turn = inverse(found.frames.pose(found.frame, name, time))[:3, :3]
            except TransformUnknown:
                continue
            axis = (0.0, -1.0, 0.0) if "optical" in name else (0.0, 0.0, 1.0)
            return np.asarray(turn @ axis)
        return np.array([0.0, 0.0, 1.0])


def _nearest(wanted: NDArray[np.int64], known: NDArray[np.int64], seconds: float) -> NDArray[np.int64]:
    """(n,) the number of the nearest of the known times; -1 where none is so near. Seconds since 1970 as floats would
    be exact to a tenth of a microsecond alone, so they count from the first."""
    origin = int(wanted[0])
    return nearest_in_time((wanted - origin) / 1e9, (known - origin) / 1e9, seconds + _ROUNDING)


def _view(where: str, camera: BagCamera, pose: NDArray[np.float64], image: Any, depth: Any) -> View:
    """The view of a camera.

    Raises:
        InputError: an image that is damaged, not known here, or of other proportions than its calibration.
    """
    content = photograph(where, image)
    size = image_size(content, where) if isinstance(content, bytes) else (content.shape[1], content.shape[0])
    calibrated = camera.calibration.camera
    fitted = calibrated if (calibrated.width, calibrated.height) == size else resized(calibrated, size)
    if fitted is None:
        fault = f"the image is {size[0]}x{size[1]}, but its calibration is for {calibrated.width}x{calibrated.height}"
        raise InputError(where, fault, "Leave this camera out with --topics, or correct its CameraInfo")
    maps = None if depth is None else depth_map(where, depth)
    try:
        return View(camera.topics.name, fitted, pose, content, maps)
    except InputError as error:
        raise InputError(
            where, error.fault, "Correct tf or the calibration, or leave this camera out with --topics"
        ) from None

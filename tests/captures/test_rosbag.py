"""Bags of ROS, in all their containers: sweeps with the photographs nearest in time, from where they were taken."""

from __future__ import annotations

import bz2
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bags import (
    KINDS,
    SECOND,
    START,
    TF,
    Bagged,
    cloud_message,
    drive_past,
    image_message,
    info_of,
    open_bag,
    stamped,
    write_bag,
)
from colmap_files import quaternion_of
from pandaset_drives import PANDASET, frames_of, write_pandaset
from seen_patches import patches, same_patches
from small_world import CAMERA

import ditr
from ditr.captures.bag_apart import OpenBag, RemoteBag
from ditr.captures.capture import read_capture, write_capture
from ditr.captures.drives import Drive
from ditr.captures.folders import find_captures
from ditr.captures.images import read_depth, read_image
from ditr.captures.rosbag import BagDrive, recognise
from ditr.errors import Grade, InputError
from ditr.scene import ReadOptions, Scene


def place_of(folder: Path, kind: str) -> Path:
    return folder / ("drive.bag" if kind.startswith("bag") else "drive")


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """Of ROS 2, with MCAP."""
    write_bag(tmp_path / "drive", "mcap", *drive_past())
    return tmp_path / "drive"


@pytest.fixture
def opened() -> Iterator[Callable[..., BagDrive]]:
    """Opens bags in this process, which is quicker than in one of their own."""
    bags = []

    def open_here(path: Path, **options: Any) -> BagDrive:
        bags.append(OpenBag(path))
        return BagDrive(path, bags[-1], ReadOptions(**options))

    yield open_here
    for bag in bags:
        bag.close()


def texts(scene: Scene, about: str, grade: Grade | None = None) -> str:
    return "; ".join(f.text for f in scene.findings if f.about == about and grade in (None, f.grade))


@pytest.mark.parametrize("kind", KINDS)
def test_sweeps_and_photographs_are_those_that_were_written(
    tmp_path: Path, kind: str, opened: Callable[..., BagDrive]
) -> None:
    sweeps, poses, lidar = drive_past()
    path = place_of(tmp_path, kind)
    write_bag(path, kind, sweeps, poses, lidar)
    assert recognise(path) is not None
    drive = opened(path)
    assert drive.names() == ["000000", "000001", "000002"]
    for number, sweep in enumerate(sweeps):
        scene = drive.scene(number)
        assert same_patches(sweep.scene, scene) >= 0.999
        np.testing.assert_array_equal(scene.coord, sweep.scene.coord)
        np.testing.assert_array_equal(scene.strength, sweep.scene.strength)
        assert scene.name == f"drive_00000{number}"
        assert scene.properties["time"] == pytest.approx(sweep.stamp / SECOND)
        for before, view in zip(sweep.scene.views, scene.views, strict=True):
            np.testing.assert_allclose(view.world_to_camera, before.world_to_camera, atol=1e-9)
            assert view.camera.model == before.camera.model
            assert view.camera.distortion == pytest.approx(before.camera.distortion)
        np.testing.assert_array_equal(read_image(scene.views[1]), sweep.scene.views[1].image)
        pose = dict(poses)[sweep.stamp] @ lidar
        np.testing.assert_allclose(scene.properties["lidar_to_world"], pose, atol=1e-9)
        assert scene.up is not None
        np.testing.assert_allclose(scene.up, pose[2, :3], atol=1e-9)  # z of the map, in the LiDAR's frame


@pytest.mark.skipif(not PANDASET.exists(), reason="../shared is missing")
@pytest.mark.parametrize("kind", ["bag.lz4", "db3", "mcap"])
def test_two_frames_of_pandaset(tmp_path: Path, kind: str, opened: Callable[..., BagDrive]) -> None:
    compare_with_pandaset(tmp_path, kind, 2 if kind == "mcap" else 1, opened)


@pytest.mark.slow
@pytest.mark.skipif(not PANDASET.exists(), reason="../shared is missing")
@pytest.mark.parametrize("kind", KINDS)
def test_all_frames_of_pandaset(tmp_path: Path, kind: str, opened: Callable[..., BagDrive]) -> None:
    compare_with_pandaset(tmp_path, kind, 8, opened)


def compare_with_pandaset(folder: Path, kind: str, count: int, opened: Callable[..., BagDrive]) -> None:
    """The same patch for nearly all points in all six cameras, as the captures that the bag was written from have."""
    frames = frames_of(count)
    write_pandaset(place_of(folder, kind), kind, frames)
    drive = opened(place_of(folder, kind))
    assert len(drive) == count
    for number, frame in enumerate(frames):
        scene = drive.scene(number)
        assert len(scene) == len(frame) and len(scene.views) == 6
        shown = {view.name: view for view in scene.views}
        same = [patches(frame, view) == patches(scene, shown[view.name]) for view in frame.views]
        print(f"{kind}, frame {number}: {np.mean(same):.6f} of points and views have the same patch")
        assert np.mean(same) >= 0.999
        np.testing.assert_array_equal(scene.strength, frame.strength)


def test_a_bag_is_a_drive_whose_sweeps_have_addresses(bag: Path, tmp_path: Path) -> None:
    drive = ditr.read(bag)
    assert isinstance(drive, Drive) and drive.name == "drive" and len(drive) == 3
    assert find_captures(bag) == [bag / f"00000{number}" for number in range(3)]
    assert find_captures(tmp_path, ReadOptions(every=2)) == [bag / "000000", bag / "000002"]
    scene = read_capture(bag / "000002")
    assert scene.findings[0].text == "read as a bag of ROS, since it has the metadata.yaml of a rosbag2"
    write_capture(scene, tmp_path / "ours")
    again = read_capture(tmp_path / "ours")
    assert [view.name for view in again.views] == [view.name for view in scene.views]
    assert same_patches(scene, again) == 1
    assert isinstance(scene.views[0].image, bytes) and isinstance(again.views[0].image, Path)
    assert again.views[0].image.read_bytes() == scene.views[0].image
    (file,) = bag.glob("*.mcap")
    assert same_patches(scene, read_capture(file / "000002")) == 1


def test_motion_that_is_not_compensated_would_be_seen(bag: Path, opened: Callable[..., BagDrive]) -> None:
    sweep = drive_past()[0][1].scene
    still = opened(bag, fixed_frame="base_link").scene(1)
    assert same_patches(sweep, still) < 0.9
    assert "nothing moves" not in texts(still, "motion")
    with pytest.raises(
        InputError,
        match=r"the frame odom is not an ancestor of the clouds' frame in tf. Name one of lidar, base_link, map",
    ):
        opened(bag, fixed_frame="odom")


def test_without_motion_one_calibration_is_used_and_said(tmp_path: Path, opened: Callable[..., BagDrive]) -> None:
    sweeps, _, lidar = drive_past(1, speed=0.0)
    write_bag(tmp_path / "drive", "db3", sweeps, [], lidar)
    scene = opened(tmp_path / "drive").scene(0)
    assert "nothing moves above lidar" in texts(scene, "motion", Grade.WARNED)
    assert len(scene.views) == 2 and "world_frame" not in scene.properties


def test_where_tf_is_silent_the_photograph_is_taken_for_one_of_the_sweep(
    tmp_path: Path, opened: Callable[..., BagDrive]
) -> None:
    sweeps, poses, lidar = drive_past()
    write_bag(tmp_path / "drive", "db3", sweeps, [one for one in poses if one[0] >= sweeps[0].stamp], lidar)
    first, second = (opened(tmp_path / "drive").scene(number) for number in (0, 1))
    assert "not compensated for front, whose photograph is -0.040 s off" in texts(first, "motion", Grade.WARNED)
    assert len(first.views) == 2 and not texts(second, "motion", Grade.WARNED)


def test_photographs_that_are_too_far_in_time_are_left_out(bag: Path, opened: Callable[..., BagDrive]) -> None:
    scene = opened(bag, tolerance=0.03).scene(1)
    assert [view.name for view in scene.views] == ["side"]
    assert "front has no photograph close enough in time" in texts(scene, "views")


def test_topics_that_are_named(bag: Path, opened: Callable[..., BagDrive]) -> None:
    scene = opened(bag, topics=("/points", "/side/image_raw")).scene(0)
    assert [view.name for view in scene.views] == ["side"]
    assert opened(bag, topics=("/points",)).scene(0).views == ()
    with pytest.raises(InputError, match=r"there is no topic /pionts. Did you mean /points"):
        opened(bag, topics=("/pionts",))
    with pytest.raises(InputError, match=r"it has no clouds .* Name /points with --topics as well"):
        opened(bag, topics=("/side/image_raw",))


def test_transforms_by_hand_are_for_what_tf_lacks(tmp_path: Path, opened: Callable[..., BagDrive]) -> None:
    sweeps, poses, lidar = drive_past(1)
    for shown in sweeps[0].shown:
        shown.camera_to_base = np.eye(4)
    shown = sweeps[0].shown[0]
    write_bag(tmp_path / "drive", "mcap", sweeps, poses, lidar)
    wrong = opened(tmp_path / "drive").scene(0)
    assert np.abs(wrong.views[0].world_to_camera - sweeps[0].scene.views[0].world_to_camera).max() > 0.5
    true = drive_past(1)[0][0].shown[0].camera_to_base
    w, x, y, z = quaternion_of(true[:3, :3])
    by_hand = ("base_link", "front_optical", *true[:3, 3].tolist(), x, y, z, w)
    scene = opened(tmp_path / "drive", transforms=(by_hand,)).scene(0)
    np.testing.assert_allclose(scene.views[0].world_to_camera, shown.view.world_to_camera, atol=1e-9)


# ---- what bags lack -------------------------------------------------------------------------------------------------


def write_single(
    folder: Path,
    fill: Callable[[Any, Bagged], None],
    kind: str = "mcap",
    *,
    frames: tuple[str, ...] = ("lidar", "front_optical"),
) -> Path:
    """A bag with a cloud and its static frames, and what ``fill`` puts into it."""
    (sweep,), _, lidar = drive_past(1)
    path = place_of(folder, kind)
    with open_bag(path, kind) as bag:
        poses = {"lidar": lidar, **{f"{shown.name}_optical": shown.camera_to_base for shown in sweep.shown}}
        static = [stamped(bag, START, "base_link", name, poses[name]) for name in frames]
        bag.put("/tf_static", TF, START, bag.make(TF, transforms=static))
        bag.put(
            "/points", "sensor_msgs/msg/PointCloud2", sweep.stamp, cloud_message(bag, sweep.scene, sweep.stamp, "lidar")
        )
        fill(bag, sweep)
    return path


def front(bag: Any, sweep: Bagged, topic: str = "/front/image_raw", packed: str = "rgb8", **info: Any) -> None:
    shown = sweep.shown[0]
    kind, message = image_message(bag, shown.view, sweep.stamp, "front_optical", packed)
    bag.put(topic, kind, sweep.stamp, message)
    if info.pop("calibrated", True):
        where = info.pop("where", "/front/camera_info")
        bag.put(
            where,
            "sensor_msgs/msg/CameraInfo",
            sweep.stamp,
            info_of(bag, shown.view.camera, sweep.stamp, "front_optical", **info),
        )


BOTH = ("lidar", "front_optical")
UNUSABLE: dict[str, tuple[Callable[[Any, Bagged], None], tuple[str, ...]]] = {
    "/front/image_raw has no calibration": (lambda bag, sweep: front(bag, sweep, calibrated=False), BOTH),
    "the camera is not calibrated": (lambda bag, sweep: front(bag, sweep, k=np.zeros(9)), BOTH),
    "its lens is odd with 3 terms": (lambda bag, sweep: front(bag, sweep, distortion_model="odd", d=np.ones(3)), BOTH),
    "tf does not connect its frame front_optical with lidar": (lambda bag, sweep: front(bag, sweep), ("lidar",)),
}


@pytest.mark.parametrize("said", UNUSABLE)
def test_cameras_that_cannot_be_used_are_told_with_what_to_do(
    tmp_path: Path, opened: Callable[..., BagDrive], said: str
) -> None:
    fill, frames = UNUSABLE[said]
    path = write_single(tmp_path, fill, frames=frames)
    with pytest.raises(InputError, match=f"none of its cameras can be used: .*{said}.*--transform"):
        opened(path)
    assert opened(path, topics=("/points",)).scene(0).views == ()


def test_calibrations_are_found_by_their_frame_and_of_other_sizes(
    tmp_path: Path, opened: Callable[..., BagDrive]
) -> None:
    twice = replace(CAMERA, width=112, height=84, fx=80.0, fy=80.0, cx=56.0, cy=42.0)

    def fill(bag: Any, sweep: Bagged) -> None:
        kind, message = image_message(bag, sweep.shown[0].view, sweep.stamp, "front_optical", "rgb8")
        bag.put("/photos/left", kind, sweep.stamp, message)
        bag.put(
            "/elsewhere/info",
            "sensor_msgs/msg/CameraInfo",
            sweep.stamp,
            info_of(bag, twice, sweep.stamp, "front_optical"),
        )

    scene = opened(write_single(tmp_path, fill)).scene(0)
    assert [view.name for view in scene.views] == ["photos_left"]
    np.testing.assert_allclose(scene.views[0].camera.intrinsics, CAMERA.intrinsics)


def test_of_a_cameras_topics_the_colours_as_they_were_taken_count(
    tmp_path: Path, opened: Callable[..., BagDrive]
) -> None:
    def fill(bag: Any, sweep: Bagged) -> None:
        front(bag, sweep, "/front/image_mono", "rgb8")
        front(bag, sweep, "/front/image_rect_color")
        front(bag, sweep, "/front/image_color/compressed", "jpeg")
        front(bag, sweep, "/front/image_color", "bgr8")

    scene = opened(write_single(tmp_path, fill)).scene(0)
    assert len(scene.views) == 1 and isinstance(scene.views[0].image, np.ndarray)


def test_depth_maps_in_the_frame_of_a_camera(tmp_path: Path, opened: Callable[..., BagDrive]) -> None:
    def fill(bag: Any, sweep: Bagged) -> None:
        front(bag, sweep)
        depth = np.full((21, 28), 2500, "<u2")
        values = {"height": 21, "width": 28, "encoding": "16UC1", "is_bigendian": 0, "step": 56}
        message = bag.make(
            "sensor_msgs/msg/Image",
            header=bag.header(sweep.stamp + 1, "front_optical"),
            data=depth.view(np.uint8).ravel(),
            **values,
        )
        bag.put("/front/depth/image_rect_raw", "sensor_msgs/msg/Image", sweep.stamp, message)
        other = bag.make(
            "sensor_msgs/msg/Image", header=bag.header(sweep.stamp, "else"), data=depth.view(np.uint8).ravel(), **values
        )
        bag.put("/other/depth", "sensor_msgs/msg/Image", sweep.stamp, other)

    scene = opened(write_single(tmp_path, fill, "bag")).scene(0)
    depth = read_depth(scene.views[0])
    assert depth is not None and depth.shape == (21, 28)
    np.testing.assert_allclose(depth, 2.5)
    assert "the depth maps of /other/depth are in no camera's frame" in texts(scene, "cameras")


def test_the_second_camera_of_a_stereo_pair_stands_beside_the_frame_of_both(
    tmp_path: Path, opened: Callable[..., BagDrive]
) -> None:
    projection = np.column_stack([info_free := CAMERA.intrinsics - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]], np.zeros(3)])
    beside = projection.copy()
    beside[0, 3] = -0.3 * info_free[0, 0]

    def fill(bag: Any, sweep: Bagged) -> None:
        front(bag, sweep, "/stereo/left/image_rect", where="/stereo/left/camera_info", p=projection.ravel())
        front(bag, sweep, "/stereo/right/image_rect", where="/stereo/right/camera_info", p=beside.ravel())

    left, right = opened(write_single(tmp_path, fill)).scene(0).views
    np.testing.assert_allclose(
        right.world_to_camera - left.world_to_camera, [[0, 0, 0, -0.3], *[[0] * 4] * 3], atol=1e-9
    )


def test_odometry_stands_in_for_tf(tmp_path: Path, opened: Callable[..., BagDrive]) -> None:
    sweeps, poses, _ = drive_past(1)

    def fill(bag: Any, sweep: Bagged) -> None:
        shown = sweep.shown[0]
        kind, message = image_message(bag, shown.view, shown.stamp, "front_optical", "jpeg")
        bag.put("/front/image_raw/compressed", kind, shown.stamp, message)
        info = info_of(bag, shown.view.camera, shown.stamp, "front_optical")
        bag.put("/front/camera_info", "sensor_msgs/msg/CameraInfo", shown.stamp, info)
        for stamp, pose in poses:
            of_tf = stamped(bag, stamp, "odom", "base_link", pose).transform
            place = bag.make(
                "geometry_msgs/msg/Point", x=of_tf.translation.x, y=of_tf.translation.y, z=of_tf.translation.z
            )
            unsure = np.zeros(36)
            pose_of = bag.make("geometry_msgs/msg/Pose", position=place, orientation=of_tf.rotation)
            zero = bag.make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
            twist = bag.make(
                "geometry_msgs/msg/TwistWithCovariance",
                twist=bag.make("geometry_msgs/msg/Twist", linear=zero, angular=zero),
                covariance=unsure,
            )
            odometry = bag.make(
                "nav_msgs/msg/Odometry", header=bag.header(stamp, "odom"), child_frame_id="base_link", twist=twist,
                pose=bag.make("geometry_msgs/msg/PoseWithCovariance", pose=pose_of, covariance=unsure),
            )  # fmt: skip
            bag.put("/odometry", "nav_msgs/msg/Odometry", stamp, odometry)

    scene = opened(write_single(tmp_path, fill)).scene(0)
    assert scene.properties["world_frame"] == "odom"
    np.testing.assert_allclose(scene.views[0].world_to_camera, sweeps[0].scene.views[0].world_to_camera, atol=1e-9)


def test_clocks_that_differ_are_said_and_times_of_writing_count(
    tmp_path: Path, opened: Callable[..., BagDrive]
) -> None:
    def fill(bag: Any, sweep: Bagged) -> None:
        shown = sweep.shown[0]
        booted = sweep.stamp - START
        kind, message = image_message(bag, shown.view, booted, "front_optical", "jpeg")
        bag.put("/front/image_raw/compressed", kind, sweep.stamp, message)
        bag.put(
            "/front/camera_info",
            "sensor_msgs/msg/CameraInfo",
            sweep.stamp,
            info_of(bag, shown.view.camera, booted, "front_optical"),
        )

    scene = opened(write_single(tmp_path, fill)).scene(0)
    assert len(scene.views) == 1
    assert "differ by 1.7e+09 s, so the times of recording are used" in texts(scene, "times", Grade.WARNED)


def test_a_lidars_packets_are_named_with_what_makes_clouds_of_them(
    tmp_path: Path, opened: Callable[..., BagDrive]
) -> None:
    with open_bag(tmp_path / "drive.bag", "bag") as bag:
        angles = ("angle_min", "angle_max", "angle_increment", "time_increment", "scan_time", "range_min", "range_max")
        values = {"ranges": np.ones(3, np.float32), "intensities": np.ones(0, np.float32), **dict.fromkeys(angles, 0.0)}
        scan = bag.make("sensor_msgs/msg/LaserScan", header=bag.header(START, "laser"), **values)
        bag.put("/scan", "sensor_msgs/msg/LaserScan", START, scan)
    with pytest.raises(InputError, match=r"it has no clouds .* Convert /scan \(sensor_msgs/msg/LaserScan\) to clouds"):
        opened(tmp_path / "drive.bag")


# ---- a process of its own -------------------------------------------------------------------------------------------


def test_damaged_bags_are_errors_that_name_the_file(tmp_path: Path) -> None:
    write_bag(tmp_path / "drive.bag", "bag", *drive_past(1))
    whole = (tmp_path / "drive.bag").read_bytes()
    for data, said in ((whole[:200], "its reader refuses it"), (whole[:-300], "its reader refuses it")):
        (tmp_path / "drive.bag").write_bytes(data)
        with pytest.raises(InputError, match=said) as caught:
            ditr.read(tmp_path / "drive.bag")
        assert caught.value.where == str(tmp_path / "drive.bag")


def test_a_chunk_that_unpacks_to_more_than_a_bag_can_hold_is_refused(tmp_path: Path) -> None:
    write_bag(tmp_path / "drive.bag", "bag.bz2", *drive_past(1))
    data = (tmp_path / "drive.bag").read_bytes()
    start = data.index(b"BZh")
    bomb = bz2.compress(bytes(1 << 25)) * 20
    assert len(bomb) < len(data) - start
    (tmp_path / "drive.bag").write_bytes(data[:start] + bomb + data[start + len(bomb) :])
    with pytest.raises(InputError, match="it needs more memory than any intact file of its size"):
        ditr.read(tmp_path / "drive.bag")


def test_a_bag_that_unpacks_to_more_on_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zstd = pytest.importorskip("backports.zstd")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    write_bag(tmp_path / "drive", "db3.zstd", *drive_past(1))
    (packed,) = (tmp_path / "drive").glob("*.zstd")
    packed.write_bytes(zstd.compress(bytes(1 << 24)) * 40)
    with pytest.raises(InputError, match=r"its reader stopped .*File too large"):
        ditr.read(tmp_path / "drive")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_names_that_rosbags_does_not_take(bag: Path, tmp_path: Path) -> None:
    (file,) = bag.glob("*.mcap")
    shutil.copy(file, tmp_path / "recording.dat")
    with pytest.raises(
        InputError, match=r"its name does not end with .mcap, which rosbags requires. Rename it to recording.mcap"
    ):
        ditr.read(tmp_path / "recording.dat")


def test_an_mcap_file_of_something_else_is_named(bag: Path) -> None:
    (file,) = bag.glob("*.mcap")
    file.write_bytes(file.read_bytes().replace(b"ros2", b"ros1", 1))
    with pytest.raises(InputError, match="its messages are of ros1, not of ROS 2"):
        ditr.read(file)


def test_the_process_of_a_bag_ends_with_it(bag: Path) -> None:
    with closing(RemoteBag(bag)) as remote:
        assert {topic.name for topic in remote.topics} >= {"/points", "/tf"}
        process = remote._process
        assert process.poll() is None
    assert process.poll() == 0

"""Streams of ScanNet's recorder: what was written is read, and damage costs the frame that has it."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import raw_scannet
from raw_scannet import Shot, patch, places, write_sens
from small_world import make_scene

from ditr.errors import InputError
from ditr.io.sens import ColorCodec, DepthCodec, SensReader

COUNT = 6
SCENE = make_scene(3, views=COUNT, depth=True)
SHOTS = [Shot(np.asarray(v.image), np.asarray(v.depth), v.camera_to_world) for v in SCENE.views]
CODEC_AT = 12 + 15 + 4 * 64


def stream(folder: Path, **kind: object) -> Path:
    write_sens(folder / "a.sens", SCENE, SHOTS, **kind)  # type: ignore[arg-type]
    return folder / "a.sens"


@pytest.mark.parametrize("color", ColorCodec)
@pytest.mark.parametrize("depth", DepthCodec)
@pytest.mark.parametrize(("version", "imu"), [(3, None), (4, 0), (4, 5), (4, None)])
def test_what_was_written_is_read(
    tmp_path: Path, color: ColorCodec, depth: DepthCodec, version: int, imu: int | None
) -> None:
    path = stream(tmp_path, color_codec=int(color), depth_codec=int(depth), version=version, imu=imu)
    with SensReader(path) as reader:
        head, index = reader.header, reader.index()
        assert (head.version, head.sensor, head.frames) == (version, "StructureSensor", COUNT)
        assert (head.color_size, head.depth_size, head.depth_shift) == ((56, 42), (28, 21), 1000.0)
        np.testing.assert_allclose(head.color_intrinsic[:3, :3], SCENE.views[0].camera.intrinsics)
        assert index.broken == () and index.lost == 0
        for number, (frame, shot) in enumerate(zip(index.frames, SHOTS, strict=True)):
            assert (frame.number, frame.has_pose) == (number, True)
            np.testing.assert_array_equal(frame.pose, shot.pose.astype(np.float32))
            found = np.asarray(reader.color(frame))
            assert found.shape == shot.color.shape
            difference = np.abs(found.astype(int) - shot.color)
            assert difference.mean() < 25 if color is ColorCodec.JPEG else difference.max() == 0
            np.testing.assert_array_equal(reader.depth(frame), np.rint(shot.depth * 1000).astype(np.uint16))


COUNTED = pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="bytes that are read are counted by Linux")


def count() -> int:
    """Bytes that this process has read."""
    return int(Path("/proc/self/io").read_text().split()[1])


@COUNTED
def test_frames_that_are_not_wanted_cost_a_seek(tmp_path: Path) -> None:
    path = stream(tmp_path, color_codec=0, depth_codec=0)
    with SensReader(path) as reader:
        itself = -count() + count()
        before = count()
        reader.index()
        assert count() - before - itself <= COUNT * 96 < path.stat().st_size / 50


@pytest.mark.parametrize(
    ("at", "content", "message"),
    [
        (0, struct.pack("<I", 2), "its version is 2, but only 3 and 4 are supported. Download the newer"),
        (0, struct.pack("<I", 9), "its version is 9.*report it with the first 400 bytes"),
        (4, struct.pack("<Q", 2**63), "the name of its sensor has 9223372036854775808 bytes"),
        (CODEC_AT, struct.pack("<i", -1), r"its photographs are stored in an unknown format \(-1\).*first 400 bytes"),
        (CODEC_AT + 4, struct.pack("<i", 2), "compressed as 'occi', which only its maker's library"),
        (CODEC_AT + 4, struct.pack("<i", 7), r"its depth maps are stored in an unknown format \(7\)"),
        (
            CODEC_AT + 8,
            struct.pack("<II", 2**31, 2**31),
            "its photographs are 2147483648x2147483648, which is impossible",
        ),
        (CODEC_AT + 16, struct.pack("<II", 0, 21), "its depth maps are 0x21"),
        (CODEC_AT + 24, struct.pack("<f", 0.0), "one metre of depth is 0.0 units"),
        (CODEC_AT + 28, struct.pack("<Q", 2**40), r"it declares 1099511627776 frames, but only \d+ bytes follow"),
        (CODEC_AT + 28, struct.pack("<Q", 0), "it declares 0 frames"),
        (27, struct.pack("<f", np.nan), r"the intrinsics of its photographs \(fx, fy, cx, cy: nan, 40, 28, 21\)"),
        (27 + 8, struct.pack("<f", 900.0), "do not fit 56x42"),
    ],
)
def test_a_header_that_cannot_be(tmp_path: Path, at: int, content: bytes, message: str) -> None:
    path = stream(tmp_path)
    patch(path, at, content)
    with pytest.raises(InputError, match=f"a.sens: .*{message}"):
        SensReader(path)


def test_no_stream(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        SensReader(tmp_path / "b.sens")
    (tmp_path / "b.sens").write_bytes(b"\x04\0\0\0")
    with pytest.raises(InputError, match="it ends at byte 4, too early"):
        SensReader(tmp_path / "b.sens")


@pytest.mark.parametrize(("color", "depth"), [(2, 1), (1, 0), (0, 0)])
@pytest.mark.parametrize("frame", [0, 2, 4])
def test_broken_lengths_cost_one_frame(tmp_path: Path, color: int, depth: int, frame: int) -> None:
    path = stream(tmp_path, color_codec=color, depth_codec=depth)
    raw_scannet.break_lengths(path, frame)
    with SensReader(path) as reader:
        index = reader.index()
        assert [found.number for found in index.frames] == [n for n in range(COUNT) if n != frame]
        assert [(found.number, found.position) for found in index.broken] == [(frame, index.broken[0].position)]
        assert index.lost == 1 and "bytes) are impossible" in index.broken[0].why
        for found in index.frames:
            np.testing.assert_array_equal(found.pose, SHOTS[found.number].pose.astype(np.float32))


@COUNTED
def test_a_stream_full_of_marks_is_not_read_on_and_on(tmp_path: Path) -> None:
    """What looks like the beginning of a photograph, a million times, behind a broken frame."""
    path = stream(tmp_path)
    at = places(path)[1][0]
    path.write_bytes(path.read_bytes()[: at + 96] + b"\xff\xd8\xff" * 1_000_000)
    patch(path, at + 80, struct.pack("<QQ", 2**60, 0))
    with SensReader(path) as reader:
        before = count()
        index = reader.index()
        assert count() - before < 500_000
    assert [frame.number for frame in index.frames] == [0] and index.lost == COUNT - 1


def test_a_stream_that_is_cut_off(tmp_path: Path) -> None:
    path = stream(tmp_path)
    at = places(path)[3][0]
    raw_scannet.cut_in_frame(path, 3)
    with SensReader(path) as reader:
        index = reader.index()
    assert len(index.frames) == 3 and index.lost == 3
    assert (index.broken[0].number, index.broken[0].position) == (3, at)
    assert index.broken[0].why == "the file ends inside it"


def bomb(size: int) -> bytes:
    return zlib.compress(bytes(size))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted by Linux")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("color", "its photograph cannot be decoded"),
        ("size", "its photograph is 60x42, but the header says 56x42"),
        ("depth", "its depth map cannot be unpacked"),
        ("bomb", "its depth map is not 28x21 numbers"),
        ("short", "its depth map is not 28x21 numbers"),
        ("cut", "its depth map is not 28x21 numbers"),
        ("empty", "its depth map is not 28x21 numbers"),
    ],
)
def test_a_broken_frame_is_named(tmp_path: Path, kind: str, message: str) -> None:
    path, whole = stream(tmp_path), zlib.compress(bytes(2 * 28 * 21))
    if kind == "color":
        raw_scannet.break_color(path, 2)
    elif kind == "size":
        other = [Shot(np.zeros((42, 60, 3), np.uint8) if n == 2 else s.color, s.depth, s.pose) for n, s in
                 enumerate(SHOTS)]  # fmt: skip
        write_sens(path, SCENE, other)
    elif kind == "depth":
        raw_scannet.break_depth(path, 2)
    else:
        packed = {"bomb": bomb(60_000_000), "short": bomb(100), "cut": whole[:-5], "empty": b""}[kind]
        raw_scannet.replace_depth(path, 2, packed)
    with SensReader(path) as reader:
        frames = reader.index().frames
        assert len(frames) == COUNT
        where = rf"a.sens, frame 2 at byte {places(path)[2][0]}: {message}"
        read = reader.color if kind in ("color", "size") else reader.depth
        with pytest.raises(InputError, match=where):
            read(frames[2])
        reader.color(frames[3])
        reader.depth(frames[3])

"""Single messages of ROS: clouds, images and calibrations in all their encodings, or a reason."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bags import START, cloud_fields, info_of, loose
from PIL import Image
from small_world import CAMERA

from ditr.captures.bag import Message, header_of
from ditr.captures.clouds import cloud_scene
from ditr.captures.ros_cameras import calibration_of
from ditr.captures.ros_clouds import cloud_of
from ditr.captures.ros_images import depth_map, is_depth, photograph
from ditr.captures.ros_messages import POINT_CLOUD, decoded
from ditr.errors import InputError
from ditr.scene import Camera, CameraModel

BAG = loose()
HEADER = BAG.header(START, "lidar")
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


# ---- clouds ---------------------------------------------------------------------------------------------------------


def cloud(rows: np.ndarray, described: list[tuple[str, int, int, int]], **other: Any) -> Any:
    """A message of structured rows (h, w)."""
    values = {
        "header": HEADER, "height": rows.shape[0], "width": rows.shape[1], "fields": cloud_fields(BAG, described),
        "is_bigendian": False, "point_step": rows.itemsize, "row_step": rows.itemsize * rows.shape[1],
        "data": np.ascontiguousarray(rows).view(np.uint8).ravel(), "is_dense": False,
    }  # fmt: skip
    return BAG.make(POINT_CLOUD, **(values | other))


XYZ = [("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1)]


def placed(order: str = "<") -> np.ndarray:
    rows = np.zeros((2, 5), np.dtype([("xyz", f"{order}f4", 3), ("rgb", f"{order}u4")]))
    rows["xyz"] = np.arange(30).reshape(2, 5, 3)
    rows["rgb"] = 0x0A141E
    return rows


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [6, 7])
def test_organised_clouds_with_colours_in_either_order_of_bytes(order: str, kind: int) -> None:
    rows = placed(order)
    rows["xyz"][0, 1] = np.nan
    message = cloud(rows, [*XYZ, ("rgb", 12, kind, 1)], is_bigendian=order == ">")
    scene = cloud_scene(Path("none"), cloud_of("here", message))
    np.testing.assert_array_equal(scene.coord, np.delete(np.arange(30.0).reshape(10, 3), 1, axis=0))
    assert scene.color is not None and scene.color.tolist() == [[10, 20, 30]] * 9
    assert any("1 of 10 are not measured" in finding.text for finding in scene.findings)


def test_all_types_with_padding_of_points_and_rows() -> None:
    kinds = dict(zip((1, 2, 3, 4, 5, 6, 7, 8), ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"), strict=True))
    offsets, at = [0, 4, 8], 13
    for kind in kinds.values():
        offsets.append(at)
        at += int(kind[1]) + 1
    rows = np.zeros((3, 4), np.dtype({
        "names": ["x", "y", "z", *kinds.values()], "formats": ["<f4"] * 3 + [f"<{kind}" for kind in kinds.values()],
        "offsets": offsets, "itemsize": at + 6,
    }))  # fmt: skip
    for number, name in enumerate(rows.dtype.names):
        rows[name] = np.arange(12).reshape(3, 4) + number
    padded = np.pad(np.ascontiguousarray(rows).view(np.uint8).reshape(3, -1), ((0, 0), (0, 11)), constant_values=9)
    fields = [(name, offset, 7, 1) for name, offset in zip("xyz", offsets, strict=False)]
    fields += [(f"field_{kind}", offset, kind, 1) for kind, offset in zip(kinds, offsets[3:], strict=True)]
    fields += [("", 0, 2, 1), ("unknown", 0, 77, 1), ("pair", 0, 7, 2)]
    found = cloud_of("here", cloud(rows, fields, row_step=padded.shape[1], data=padded.ravel())).columns
    for kind, name in kinds.items():
        np.testing.assert_array_equal(found[f"field_{kind}"], rows[name].ravel())
        assert found[f"field_{kind}"].dtype == np.dtype(name)
    np.testing.assert_array_equal(found["pair_1"], rows["y"].ravel())
    assert "unknown" not in found


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"width": 6}, "are more than its"),
        ({"height": 2**31}, "are more than its"),
        ({"row_step": 2**32 - 1}, "are more than its"),
        ({"point_step": 0}, "beyond the 0 bytes"),
        ({"width": 0}, "no points"),
        ({"fields": []}, "0 fields"),
        ({"fields": cloud_fields(BAG, [("x", 14, 7, 1)])}, "field x of 1 x 4 bytes at 14 is beyond the 16"),
        ({"fields": cloud_fields(BAG, [("x", 0, 7, 2**31)])}, "is beyond the 16"),
        ({"fields": cloud_fields(BAG, XYZ[:2])}, "no field z"),
    ],
)
def test_clouds_whose_sizes_do_not_fit_are_refused(other: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        cloud_of("here", cloud(placed(), XYZ, **other))


# ---- images ---------------------------------------------------------------------------------------------------------


def image(encoding: str, values: np.ndarray, *, big: bool = False, pad: int = 3, **other: Any) -> Any:
    rows = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    rows = np.pad(rows, ((0, 0), (0, pad)), constant_values=7)
    given = {
        "header": HEADER, "height": values.shape[0], "width": values.shape[1], "encoding": encoding,
        "is_bigendian": int(big), "step": rows.shape[1], "data": rows.ravel(),
    }  # fmt: skip
    return BAG.make("sensor_msgs/msg/Image", **(given | other))


def test_colours_and_greys() -> None:
    alpha = np.dstack([PIXELS, PIXELS[:, :, 0]])
    bgr, bgra = PIXELS[:, :, ::-1], alpha[:, :, [2, 1, 0, 3]]
    for encoding, values in (("rgb8", PIXELS), ("bgr8", bgr), ("rgba8", alpha), ("bgra8", bgra), ("8UC3", bgr)):
        np.testing.assert_array_equal(photograph("here", image(encoding, values)), PIXELS)
    grey = PIXELS[:, :, 0]
    for encoding, values, big in (("mono8", grey, False), ("mono16", grey.astype(">u2") * 257, True)):
        found = photograph("here", image(encoding, values, big=big))
        np.testing.assert_array_equal(found, np.dstack([grey] * 3))


@pytest.mark.parametrize(
    ("encoding", "red"),
    [("bayer_rggb8", (0, 0)), ("bayer_bggr8", (1, 1)), ("bayer_gbrg8", (1, 0)), ("bayer_grbg8", (0, 1))],
)
def test_mosaics(encoding: str, red: tuple[int, int]) -> None:
    color = np.array([200, 100, 30], np.uint8)
    high, wide = np.indices((6, 8))
    channel = (high + red[0]) % 2 + (wide + red[1]) % 2
    np.testing.assert_array_equal(photograph("here", image(encoding, color[channel])), np.tile(color, (6, 8, 1)))


def packed(form: str, data: bytes) -> Any:
    values = {"header": HEADER, "format": form, "data": np.frombuffer(data, np.uint8)}
    return BAG.make("sensor_msgs/msg/CompressedImage", **values)


def png(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def test_depth_maps() -> None:
    metres = np.linspace(0.5, 5, 48).reshape(6, 8).astype(np.float32)
    for order in "<>":
        big = order == ">"
        millimetres = np.rint(metres * 1000).astype(f"{order}u2")
        for message in (image("16UC1", millimetres, big=big), image("32FC1", metres.astype(f"{order}f4"), big=big)):
            assert is_depth(message)
            np.testing.assert_allclose(depth_map("here", message), metres, atol=0.0006)
    holes = metres.copy()
    holes[0, :3] = (np.nan, np.inf, -1)
    assert depth_map("here", image("32FC1", holes))[0, :3].tolist() == [0, 0, 0]
    whole = np.rint(metres * 1000).astype(np.uint16)
    for form, head in (
        ("16UC1; compressedDepth png", bytes(12)),
        ("16UC1; compressedDepth", b""),
        ("16UC1; png compressed ", b""),
    ):
        message = packed(form, head + png(whole))
        assert is_depth(message)
        np.testing.assert_allclose(depth_map("here", message), metres, atol=0.0006)
    near, far = 1000.0, 10.0
    inverse = np.rint(near / metres + far).astype(np.uint16)
    inverse[2, 2] = 0
    found = depth_map("here", packed("32FC1; compressedDepth png", struct.pack("<iff", 0, near, far) + png(inverse)))
    assert found[2, 2] == 0
    np.testing.assert_allclose(np.delete(found.ravel(), 18), np.delete(metres.ravel(), 18), rtol=0.006)
    with pytest.raises(InputError, match="packed as '16UC1; compressedDepth rvl'"):
        depth_map("here", packed("16UC1; compressedDepth rvl", bytes(40)))


def test_compressed_photographs_stay_as_they_are() -> None:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "JPEG")
    for data in (stream.getvalue(), png(PIXELS)):
        message = packed("bgr8; jpeg compressed bgr8", data)
        assert photograph("here", message) == data and not is_depth(message)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (image("yuv422", PIXELS), "encoded as yuv422, which is not supported"),
        (image("rgb8", PIXELS, step=20), "do not fit"),
        (image("rgb8", PIXELS, height=7), "do not fit"),
        (image("rgb8", PIXELS, height=2**31, width=2**31), "do not fit"),
        (image("mono8", PIXELS, width=0), "do not fit"),
        (packed("rgb8; tiff compressed", b"II*\0 and so on"), "neither JPEG nor PNG"),
    ],
)
def test_images_that_cannot_be_read_are_named(message: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        photograph("here", message)


# ---- calibrations ---------------------------------------------------------------------------------------------------

RATIONAL = (0.1, -0.05, 0.001, 0.002, 0.01, 0.2, 0.3, -0.1)
LENSES = {
    "plumb_bob": ((0.1, -0.05, 0.001, 0.002, 0.0), CameraModel.OPENCV, (0.1, -0.05, 0.001, 0.002)),
    "rational_polynomial": (RATIONAL, CameraModel.FULL_OPENCV, RATIONAL),
    "equidistant": ((0.1, -0.05, 0.001, 0.002), CameraModel.OPENCV_FISHEYE, (0.1, -0.05, 0.001, 0.002)),
    "none": ((), CameraModel.PINHOLE, ()),
    "": ((0.0,) * 5, CameraModel.PINHOLE, ()),
}  # fmt: skip


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("name", LENSES)
def test_lenses(is_first: bool, name: str) -> None:
    numbers, model, distortion = LENSES[name]
    message = info_of(loose(is_first=is_first), CAMERA, START, "camera", distortion_model=name, d=np.array(numbers))
    found = calibration_of("/camera_info", message, rectified=False)
    assert found.camera == Camera(56, 42, 40.0, 40.0, 28.0, 21.0, model, distortion)
    np.testing.assert_array_equal(found.from_frame, np.eye(4))


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("omnidirectional", (1.0, 0.1)), ("rational_polynomial", (0.1,) * 12), ("equidistant", (0.1, 0.1))],
)
def test_other_lenses_are_refused_by_name(name: str, numbers: tuple[float, ...]) -> None:
    message = info_of(BAG, CAMERA, START, "camera", distortion_model=name, d=np.array(numbers))
    with pytest.raises(InputError, match=f"its lens is {name} with {len(numbers)} terms"):
        calibration_of("/camera_info", message, rectified=False)
    with pytest.raises(InputError, match="not calibrated"):
        calibration_of("/camera_info", info_of(BAG, CAMERA, START, "c", k=np.zeros(9)), rectified=False)


def test_a_part_of_the_sensor_with_pixels_put_together() -> None:
    part = BAG.make("sensor_msgs/msg/RegionOfInterest", x_offset=8, y_offset=2, width=40, height=36, do_rectify=False)
    message = info_of(BAG, CAMERA, START, "camera", roi=part, binning_x=2, binning_y=4)
    camera = calibration_of("/camera_info", message, rectified=False).camera
    # A point at the sensor's (30, 12) from its corner is at (11, 2.5) of the image.
    assert (camera.width, camera.height) == (20, 9)
    x, y = (30 - CAMERA.cx) / CAMERA.fx, (12 - CAMERA.cy) / CAMERA.fy
    np.testing.assert_allclose([camera.fx * x + camera.cx, camera.fy * y + camera.cy], [11, 2.5])


def test_rectified_images_are_those_of_p() -> None:
    angle = 0.02
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    projection = np.array([[50.0, 0, 27.0, -6.0], [0, 51.0, 20.0, 0], [0, 0, 1, 0]])
    message = info_of(BAG, CAMERA, START, "camera", d=np.array([0.3] * 5), r=turn.ravel(), p=projection.ravel())
    found = calibration_of("/camera_info", message, rectified=True)
    assert found.camera == Camera(56, 42, 50.0, 51.0, 27.5, 20.5)
    np.testing.assert_allclose(found.from_frame[:3, :3], turn)
    np.testing.assert_allclose(found.baseline, (-0.12, 0, 0))


# ---- bytes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_first", [True, False])
def test_headers_are_read_from_the_first_bytes(is_first: bool) -> None:
    bag = loose(is_first=is_first)
    message = bag.make(
        "sensor_msgs/msg/CompressedImage", header=bag.header(START + 5, "/cam"), format="", data=np.zeros(9, np.uint8)
    )
    write = bag.store.serialize_ros1 if is_first else bag.store.serialize_cdr
    data, encoding = bytes(write(message, "sensor_msgs/msg/CompressedImage")), "ros1" if is_first else "cdr"
    found = header_of(data, encoding)
    assert found is not None and (found.stamp, found.frame) == (START + 5, "cam")
    for length in range(20):
        assert header_of(data[:length], encoding) is None
    with pytest.raises(InputError, match=r"a message of /points is not a valid sensor_msgs/msg/PointCloud2"):
        decoded("here", Message("/points", 0, data[:15]), POINT_CLOUD, encoding)

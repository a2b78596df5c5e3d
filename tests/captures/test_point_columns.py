"""Attributes of points that are stored otherwise than ours: colours, normals and coordinates of other tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_world import make_scene

from ditr.captures.capture import read_capture, write_capture
from ditr.data.preparation import Attribute, Preparation
from ditr.data.sample import require_attributes
from ditr.errors import Grade, InputError
from ditr.io.ply import read_ply, write_ply
from ditr.scene import Scene

COLOR, NORMAL = ("red", "green", "blue"), ("nx", "ny", "nz")


@pytest.fixture
def room(tmp_path: Path) -> Path:
    write_capture(make_scene(3), tmp_path / "room", image_format="png")
    return tmp_path / "room"


def change(folder: Path, drop: tuple[str, ...] = (), **changes: np.ndarray) -> Scene:
    """Change and drop columns of the PLY, and read the capture."""
    stored = read_ply(folder / "points.ply") | changes
    write_ply(folder / "points.ply", {name: values for name, values in stored.items() if name not in drop})
    return read_capture(folder)


def stacked(folder: Path, names: tuple[str, ...]) -> np.ndarray:
    stored = read_ply(folder / "points.ply")
    return np.stack([stored[name] for name in names], axis=1)


def said(scene: Scene, grade: Grade = Grade.NOTED) -> str:
    return "\n".join(str(finding) for finding in scene.findings if finding.grade is grade)


def test_colours_of_a_gaussian_splat(room: Path) -> None:
    color = stacked(room, COLOR)
    harmonics = ((color / 255 - 0.5) / 0.28209479177387814).astype(np.float32)
    harmonics[0], harmonics[1] = 9, -9
    splat = dict(zip(("f_dc_0", "f_dc_1", "f_dc_2"), harmonics.T, strict=True))
    found = change(room, COLOR, opacity=np.ones(400, np.float32), **splat)
    assert found.color is not None and found.color[0].tolist() == [255] * 3 and found.color[1].tolist() == [0] * 3
    np.testing.assert_array_equal(found.color[2:], color[2:])
    assert "f_dc_0 f_dc_1 f_dc_2 are read as red green blue" in said(found)
    assert "columns that are not read: opacity" in said(found)
    assert set(found.extra) == {"f_dc_0", "f_dc_1", "f_dc_2", "opacity"}
    splat["f_dc_1"] = np.full(400, np.nan, np.float32)
    with pytest.raises(InputError, match=r"f_dc_0\.\.2 of 400 points are not finite"):
        change(room, **splat)


@pytest.mark.parametrize(("name", "kind"), [("rgb", "f4"), ("rgb", "u4"), ("rgba", "u4"), ("rgba", "i4")])
def test_packed_colours(room: Path, name: str, kind: str) -> None:
    color = stacked(room, COLOR)
    red, green, blue = color.astype(np.uint32).T
    found = change(room, COLOR, **{name: (red << 16 | green << 8 | blue).view(kind)})
    np.testing.assert_array_equal(found.color, color)
    assert f"{name} is read as red green blue" in said(found)


@pytest.mark.parametrize("stem", ["color", "ambient"])
def test_colours_with_a_word_before(room: Path, stem: str) -> None:
    color = stacked(room, COLOR)
    found = change(room, COLOR, **{f"{stem}_{name}": color[:, i] for i, name in enumerate(COLOR)})
    np.testing.assert_array_equal(found.color, color)


def test_channels_of_different_types_are_refused(room: Path) -> None:
    with pytest.raises(InputError, match=r"points.ply: the colours are of different types \(float32, uint8, uint8\)"):
        change(room, red=np.linspace(0, 1, 400, dtype=np.float32))


def test_black_counts_as_missing_and_one_colour_is_said(room: Path) -> None:
    black = np.zeros(400, np.uint16)
    found = change(room, red=black, green=black, blue=black)
    assert found.color is None and "all 400 are black" in said(found)
    with pytest.raises(
        InputError, match=r"the points have no color.*all 400 are black, so they are treated as missing"
    ):
        require_attributes(found, Preparation(0.2, (Attribute.COLOR,)))
    grey = np.full(400, 128, np.uint8)
    found = change(room, red=grey, green=grey, blue=grey)
    assert found.color is not None and "all 400 are the same, (128, 128, 128)" in said(found)


def test_ten_bits_in_sixteen_are_warned_of(room: Path) -> None:
    values = np.arange(400, dtype=np.uint16) * 2
    found = change(room, red=values, green=values, blue=values)
    assert "they are nearly black: 16-bit values that reach only 798" in said(found, Grade.WARNED)


@pytest.mark.parametrize(("scale", "kind"), [(1.0, "f4"), (1.0, "f8"), (255.0, "u1"), (255.0, "f4")])
def test_normals_stored_like_colours(room: Path, scale: float, kind: str) -> None:
    normal = stacked(room, NORMAL)
    stored = ((normal * 0.5 + 0.5) * scale).round(6 if kind != "u1" else 0).astype(kind)
    found = change(room, **dict(zip(NORMAL, stored.T, strict=True)))
    np.testing.assert_allclose(found.normal, normal, atol=0.01)
    assert "they are stored as 0..255, like colours, and were scaled to -1..1" in said(found)


def test_normals_that_face_one_way_are_left_alone(room: Path) -> None:
    up = np.tile(np.array([0.6, 0.0, 0.8], np.float32), (400, 1))
    np.testing.assert_array_equal(change(room, **dict(zip(NORMAL, up.T, strict=True))).normal, up)
    longer = change(room, **dict(zip(NORMAL, 2 * up.T, strict=True)))
    np.testing.assert_allclose(longer.normal, up, atol=1e-6)
    assert "400 are not of unit length" in said(longer)


def test_coordinates_that_were_rounded_are_warned_of(room: Path) -> None:
    coord = stacked(room, ("x", "y", "z"))
    metres = dict(zip("xyz", np.rint(coord).astype(np.int32).T, strict=True))
    assert "they are whole numbers, 4 steps in all" in said(change(room, **metres), Grade.WARNED)
    millimetres = dict(zip("xyz", np.rint(1000 * coord).astype(np.int32).T, strict=True))
    assert not said(change(room, **millimetres), Grade.WARNED)


def test_what_lacks_is_refused_with_the_columns_that_may_be_meant(room: Path) -> None:
    found = change(room, COLOR, colour_index=np.zeros(400, np.uint8))
    with pytest.raises(InputError, match=r"no color, which.*; columns that are not read: colour_index"):
        require_attributes(found, Preparation(0.2, (Attribute.COLOR,)))

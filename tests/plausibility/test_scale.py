"""Captures in another unit than metres are told, with the option that helps; what is in metres is left alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_world import look_at, make_scene, photograph, tiny_encoding, write_model

from ditr.captures.as_read import read_as
from ditr.captures.capture import read_capture, write_capture
from ditr.captures.images import read_depth
from ditr.cli.features import Features
from ditr.cli.features import run as features
from ditr.cli.options import Reading, Writing
from ditr.cli.segment import Segment
from ditr.cli.segment import run as segment
from ditr.data.preparation import profile_rule
from ditr.errors import Finding, Grade, InputError
from ditr.plausibility.judge import judge
from ditr.plausibility.scale import check_scale
from ditr.scene import Camera, ReadOptions, Scene, View
from ditr.worlds.rooms import RoomsConfig, make_room
from ditr.worlds.streets import StreetsConfig
from ditr.worlds.streets.generate import make_scan

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
CONFIG = RoomsConfig(train=1, test=2, views=6, width=160, height=120, spacing=0.05)


@pytest.fixture(scope="module")
def room() -> Scene:
    return make_room(CONFIG, "test", 0)


@pytest.fixture(scope="module")
def street() -> Scene:
    return make_scan(StreetsConfig(count=1), 0)


def times(scene: Scene, factor: float, depth: float = 1.0, poses: float | None = None) -> Scene:
    """Points and poses times ``factor``, depth maps times ``depth``."""

    def moved(view: View) -> View:
        pose = view.world_to_camera.copy()
        pose[:3, 3] *= factor if poses is None else poses
        stored = None if view.depth is None else read_depth(view) * np.float32(depth)
        return replace(view, world_to_camera=pose, depth=stored)

    return replace(scene, coord=scene.coord * factor, views=tuple(map(moved, scene.views)))


def bare(scene: Scene) -> Scene:
    return replace(scene, views=tuple(replace(view, depth=None) for view in scene.views))


def edited(folder: Path, change: Callable[[dict[str, object]], object]) -> Path:
    path = folder / "transforms.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder


def found_in(scene: Scene) -> list[Finding]:
    return check_scale(scene, profile_rule(scene)[1])


def refused(scene: Scene) -> str:
    (finding,) = found_in(scene)
    assert finding.grade is Grade.REFUSED and not finding.is_broken
    return finding.remedy


def test_metres_are_left_alone(room: Scene, street: Scene) -> None:
    for scene in (room, bare(room), replace(room, views=()), street, replace(street, views=()), make_scene(depth=True)):
        assert found_in(scene) == []
    far = replace(room, coord=room.coord + np.array([432_100, 5_412_345, 310]), views=())
    assert found_in(far) == []


@pytest.mark.parametrize(("factor", "name"), [(1000, "mm"), (100, "cm")])
def test_millimetres_and_centimetres_are_named(room: Scene, street: Scene, factor: float, name: str) -> None:
    assert f"--unit {name}" in refused(times(room, factor))  # depth maps in metres contradict
    assert f"--unit {name}" in refused(times(bare(room), factor))  # people are not that tall
    assert f"--unit {name}" in refused(times(street, factor))
    both = refused(times(room, factor, depth=factor))
    assert f"--unit {name}" in both and f"--depth-unit {0.001 / factor:.3g}" in both


def test_millimetres_without_cameras(room: Scene, street: Scene) -> None:
    assert "--unit mm" in refused(times(replace(room, views=()), 1000))
    assert "--unit mm" in refused(times(replace(street, views=()), 1000))


def test_the_option_mends_it(room: Scene, tmp_path: Path) -> None:
    write_capture(times(bare(room), 1000), tmp_path / "mm")
    assert "--unit mm" in refused(read_capture(tmp_path / "mm"))
    corrected = read_capture(tmp_path / "mm", ReadOptions(unit=0.001))
    assert found_in(corrected) == []
    np.testing.assert_allclose(corrected.coord, room.coord, atol=1e-6)
    for view, before in zip(corrected.views, room.views, strict=True):
        np.testing.assert_allclose(view.world_to_camera, before.world_to_camera, atol=1e-9)
    assert [finding.evidence for finding in corrected.findings] == [{"unit": 0.001}]
    (tmp_path / "mm" / "capture.json").write_text('{"unit": "mm"}')
    assert np.array_equal(read_capture(tmp_path / "mm").coord, corrected.coord)
    write_capture(corrected, tmp_path / "m")
    assert np.array_equal(read_capture(tmp_path / "m").coord, corrected.coord)


@pytest.mark.parametrize(("said", "metres"), [("mm", 0.001), ("Centimeters", 0.01), ("feet", 0.3048), ("metres", 1.0)])
def test_a_unit_in_the_file_is_heeded(room: Scene, tmp_path: Path, said: str, metres: float) -> None:
    write_capture(times(bare(room), 1 / metres), tmp_path / "capture")
    folder = edited(tmp_path / "capture", lambda content: content.update(units=said, aabb_scale=4))
    scene = read_capture(folder)
    np.testing.assert_allclose(scene.coord, room.coord, atol=1e-5)
    assert found_in(scene) == [] and len(scene.findings) == (metres != 1)
    assert found_in(read_capture(folder, ReadOptions(unit=metres))) == []
    write_capture(scene, tmp_path / "again")
    assert np.array_equal(read_capture(tmp_path / "again").coord, scene.coord)


@pytest.mark.parametrize("factor", [0.001, 0.1, 10.0, 1000.0, 5.0, 1000 / 256])
def test_depth_maps_in_another_unit(room: Scene, tmp_path: Path, factor: float) -> None:
    stated = tuple(replace(view, depth_unit=1e-3 * factor) for view in room.views)
    write_capture(times(replace(room, views=stated), 1.0, depth=factor), tmp_path / "capture")
    capture = read_capture(tmp_path / "capture")
    assert refused(capture) == "Use --depth-unit 0.001"
    assert found_in(read_capture(tmp_path / "capture", ReadOptions(depth_unit=0.001))) == []
    judged = judge(capture, profile_rule(capture)[1]).of(Grade.REFUSED)
    assert [finding.about for finding in judged] == ["depth"]  # the cameras are not blamed, too


def test_poses_in_another_unit_than_the_points(room: Scene, street: Scene) -> None:
    for scene in (bare(room), street):
        assert "poses' positions by 0.001" in refused(times(scene, 1.0, poses=1000.0))
    assert "Multiply the points by 0.001" in refused(times(bare(room), 1000.0, poses=1.0))


def test_rooms_for_insects(room: Scene) -> None:
    assert "--scale auto" in refused(times(bare(room), 0.001))


CAMERA = Camera(320, 240, 250.0, 250.0, 160.0, 120.0)


def ground(extent: float, relief: float, *, points: int = 20_000) -> np.ndarray:
    rng = np.random.default_rng(3)
    plan = rng.uniform(-extent / 2, extent / 2, (points, 2))
    waves = np.sin(plan @ (rng.normal(size=(2, 6)) * 8 / extent) + rng.uniform(0, 6, 6)).sum(axis=1)
    return np.column_stack([plan, (waves - waves.min()) / np.ptp(waves) * relief])


def flight(extent: float, height: float, pitch: float) -> tuple[View, ...]:
    views = []
    for number in range(9):
        x, y = (number % 3 - 1) * extent / 4, (number // 3 - 1) * extent / 4
        ahead = np.cos(np.deg2rad(pitch)), 0.0, np.sin(np.deg2rad(pitch))
        pose = look_at(
            (x, y, height), np.add((x, y, height), ahead), (1.0, 0.0, 0.0) if pitch < -80 else (0.0, 0.0, 1.0)
        )
        views.append(View(f"v{number}", CAMERA, pose, photograph(np.random.default_rng(number), CAMERA)))
    return tuple(views)


@pytest.mark.parametrize("points", [1500, 20_000])
@pytest.mark.parametrize(("extent", "relief"), [(1000.0, 20.0), (4000.0, 300.0), (10_000.0, 2000.0)])
def test_places_seen_from_the_air_are_large(extent: float, relief: float, points: int) -> None:
    scene = Scene("air", ground(extent, relief, points=points))
    assert found_in(scene) == []
    for height, pitch in ((120.0, -90.0), (1000.0, -90.0), (120.0, -45.0)):
        seen = replace(scene, views=flight(extent, relief + height, pitch))
        assert found_in(seen) == []


def test_a_small_object_is_one() -> None:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 5000)
    cup = np.column_stack([0.1 * np.cos(angle), 0.1 * np.sin(angle), rng.uniform(0, 0.2, 5000)])
    around = [(0.5 * np.cos(a), 0.5 * np.sin(a), 0.4) for a in np.arange(0, 6, 0.7)]
    views = (
        View(f"v{a:.1f}", CAMERA, look_at(a_, (0, 0, 0.1)), photograph(rng, CAMERA)) for a, a_ in enumerate(around)
    )
    assert found_in(Scene("cup", cup, tuple(views))) == []


# ---- captures without a scale -------------------------------------------------------------------------------------


def colmap(content: dict[str, object]) -> None:
    for number, frame in enumerate(content["frames"]):  # type: ignore[arg-type, var-annotated]
        frame["colmap_im_id"] = number


PHOTOGRAPHS = {
    "nerfstudio": colmap,
    "instant-ngp": lambda content: content.update(aabb_scale=4),
    "scaled": lambda content: content.update(applied_scale=0.7),
}


@pytest.mark.parametrize("tool", PHOTOGRAPHS)
def test_captures_from_photographs_have_no_scale(room: Scene, tmp_path: Path, tool: str) -> None:
    write_capture(times(bare(room), 0.31), tmp_path / "photos")
    folder = edited(tmp_path / "photos", PHOTOGRAPHS[tool])
    scene = read_capture(folder)
    rule = profile_rule(scene)[1]
    (finding,) = judge(scene, rule).of(Grade.REFUSED)
    assert "scale is unknown" in finding.text and "--scale auto" in finding.remedy
    assert [f.about for f in judge(scene, rule, needs_unit=False).of(Grade.WARNED)] == ["unit"]

    auto = read_capture(folder, ReadOptions(scale="auto"))
    assert not judge(auto, rule).of(Grade.REFUSED) and auto.findings[-1].grade is Grade.NOTED
    assert np.linalg.norm(np.ptp(auto.coord, axis=0)) == pytest.approx(
        np.linalg.norm(np.ptp(room.coord, axis=0)), rel=0.15
    )
    write_capture(auto, tmp_path / "again")
    assert read_capture(tmp_path / "again").unscaled is None

    first, second = (view.name for view in room.views[:2])
    apart = float(np.linalg.norm(room.views[0].center - room.views[1].center))
    for by in ((first, second, apart), ("0", "9", float(np.linalg.norm(room.coord[0] - room.coord[9])))):
        told = read_capture(folder, ReadOptions(scale_by=by))
        np.testing.assert_allclose(told.coord, room.coord, atol=1e-5)
    with pytest.raises(InputError, match="not two views or points"):
        read_capture(folder, ReadOptions(scale_by=("nobody", second, 1.0)))


def test_depth_maps_and_other_tools_have_one(room: Scene, tmp_path: Path) -> None:
    write_capture(room, tmp_path / "depth")
    assert read_capture(edited(tmp_path / "depth", colmap)).unscaled is None
    write_capture(bare(room), tmp_path / "blender")
    blender = edited(tmp_path / "blender", lambda content: content.update(aabb_scale=16, scale=0.15))
    assert read_capture(blender).unscaled is None


@pytest.mark.parametrize("factor", [0.01, 0.1, 3.0, 100.0])
def test_the_floor_gives_the_scale(factor: float) -> None:
    """A small instance of benchmarks/scale.py."""
    for number in range(2):
        room = make_room(CONFIG, "test", number)
        found = read_as(times(room, factor, depth=factor), ReadOptions(scale="auto"))
        assert found.findings[-1].evidence["unit"] * factor == pytest.approx(1.0, rel=0.15)
        assert "give or take" in found.findings[-1].text and found_in(found) == []


def test_no_floor_no_scale(room: Scene) -> None:
    upper = room.coord[:, 2] > 0.5
    scene = Scene("upper", room.coord[upper], bare(room).views)
    for without in (scene, replace(room, views=())):
        with pytest.raises(InputError, match=r"--scale auto: .*--scale-by"):
            read_as(without, ReadOptions(scale="auto"))
    hall = np.concatenate([room.coord, room.coord[room.coord[:, 2] > 2] + (0, 0, 6)])
    with pytest.raises(InputError, match="--scale auto"):
        read_as(Scene("hall", hall, bare(room).views), ReadOptions(scale="auto"))


def test_options_that_say_the_same_thing() -> None:
    with pytest.raises(InputError, match="Give one of them"):
        ReadOptions(unit=0.001, scale="auto")
    assert ReadOptions(unit=0.001).over(ReadOptions(scale="auto", depth_unit=1.0)) == ReadOptions(
        unit=0.001, depth_unit=1.0
    )
    with pytest.raises(InputError, match=r"^--unit: 'parsec' is not a unit"):
        Reading(unit="parsec").options()
    for bad in ({"unit": 0.0}, {"depth_unit": -1.0}, {"scale_by": ("a", "b", float("nan"))}):
        with pytest.raises(InputError, match="not a length"):
            ReadOptions(**bad)  # type: ignore[arg-type]


def test_commands_refuse_and_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoding = tiny_encoding(tmp_path)
    write_model(tmp_path / "model", encoding)
    folder = tmp_path / "photos"
    write_capture(times(make_scene(1, views=3), 1000.0), folder, image_format="png")
    model, out = str(tmp_path / "model"), tmp_path / "out"
    labels = Segment((folder,), model, out, device="cpu", no_cache=True, writing=Writing(no_pictures=True))
    with pytest.raises(InputError, match="--unit mm"):
        segment(labels)
    assert not (tmp_path / "out").exists()
    segment(replace(labels, reading=Reading(unit="mm")))
    assert "note: scale: one unit of the capture is 0.001 m" in capsys.readouterr().out
    edited(folder, colmap)
    with pytest.raises(InputError, match="scale is unknown"):
        segment(replace(labels, out=tmp_path / "no"))
    assert not (tmp_path / "no").exists()
    features(Features(folder, tmp_path / "features", encoder=encoding.spec, device="cpu", no_cache=True))
    assert "warning: unit: the scale is unknown" in capsys.readouterr().err
    assert '"unit"' in (tmp_path / "features" / "summary.json").read_text()


ROWS = {
    "00_base": None,
    "12_utm_double": None,
    "12_utm_float": None,
    "14_camera_angle_only": None,
    "19_depth_npy_metres": (Grade.REFUSED, "0.001 times", "--depth-unit 1"),
    "19_depth_npy_millimetres": None,
    "27_millimetres": (Grade.REFUSED, "3.95 km", "--unit mm"),
    "33_small_object/a": None,
}


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize("case", ROWS)
def test_cases(case: str) -> None:
    found, row = found_in(read_capture(CASES / case)), ROWS[case]
    assert len(found) == (row is not None)
    if row is not None:
        assert found[0].grade is row[0] and row[1] in found[0].text and row[2] in found[0].remedy


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
def test_cases_mended() -> None:
    base = read_capture(CASES / "00_base")
    mm = read_capture(CASES / "27_millimetres", ReadOptions(unit=0.001))
    np.testing.assert_allclose(mm.coord, base.coord, atol=1e-6)
    metres = read_capture(CASES / "19_depth_npy_metres", ReadOptions(depth_unit=1.0))
    assert found_in(mm) == [] and found_in(metres) == []

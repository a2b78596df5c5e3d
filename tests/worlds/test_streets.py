"""Streets: the same in every process, the LiDAR's pattern, points on the pixels of their own objects, whole on disk."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("embreex", reason="Streets need embreex")

from ditr.captures.capture import read_capture
from ditr.cli import main
from ditr.errors import InputError
from ditr.geometry.projection import OUTDOOR, see
from ditr.scene import Scene, View
from ditr.worlds.common.rays import Hits, RayCaster
from ditr.worlds.streets import (
    Kind,
    Street,
    StreetsConfig,
    StyleName,
    build_street,
    make_scan,
    sensor_to_street,
    style_of,
    write_streets,
)
from ditr.worlds.streets.camera import Daylight, Photographer, camera_of, sensor_to_camera
from ditr.worlds.streets.layout import generator
from ditr.worlds.streets.lidar import directions, sweep

STYLES: tuple[StyleName, ...] = ("nuscenes", "waymo", "kitti")


def digest(scene: Scene) -> str:
    """A hash of points, strengths, labels, rings and pixels."""
    assert scene.strength is not None and scene.label is not None
    parts = [scene.coord.tobytes(), scene.strength.tobytes(), scene.label.tobytes(), scene.extra["ring"].tobytes()]
    parts += [np.asarray(view.image).tobytes() for view in scene.views]
    return hashlib.sha256(b"".join(parts)).hexdigest()


@lru_cache(maxsize=8)
def street(style: StyleName, index: int = 0) -> tuple[Street, RayCaster]:
    built = build_street(StreetsConfig(style=style, count=100), index)
    return built, RayCaster(built.mesh)


@lru_cache(maxsize=8)
def tiny(style: StyleName) -> Scene:
    return make_scan(StreetsConfig(style=style, count=100, scale=0.1), 0)


# --- the same everywhere -------------------------------------------------------------------------------------------

_CHILD = """
import hashlib
from ditr.worlds.streets import StreetsConfig, make_scan
scene = make_scan(StreetsConfig(style="kitti", count=1, scale=0.1), 0)
parts = [scene.coord.tobytes(), scene.strength.tobytes(), scene.label.tobytes(), scene.extra["ring"].tobytes()]
parts += [view.image.tobytes() for view in scene.views]
print(hashlib.sha256(b"".join(parts)).hexdigest())
"""


def test_another_process_makes_the_same_scan() -> None:
    child = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == digest(tiny("kitti"))  # which is of another count: that changes nothing


def test_scans_differ_by_index_seed_and_style() -> None:
    scans = [
        tiny("kitti"),
        make_scan(StreetsConfig(style="kitti", count=2, scale=0.1), 1),
        make_scan(StreetsConfig(style="kitti", count=1, seed=1, scale=0.1), 0),
        tiny("nuscenes"),
    ]
    assert len({digest(scan) for scan in scans}) == 4


class ShakyCaster(RayCaster):
    """Embree on a processor that rounds otherwise: rays are off by a few units of float32's last place."""

    def cast(self, origin: np.ndarray, direction: np.ndarray) -> Hits:
        shift = np.random.default_rng(len(direction)).uniform(-2e-7, 2e-7, direction.shape)
        return super().cast(origin, direction + shift)


def test_points_do_not_depend_on_the_processors_rounding() -> None:
    built, caster = street("kitti")
    shaky = ShakyCaster(built.mesh)
    origin = sensor_to_street(built)[:3, 3]
    # Aimed at corners, where embree's answer is a matter of rounding, and everywhere else.
    ray = built.mesh.corner[::500].reshape(-1, 3) - origin
    ray = np.concatenate([ray, directions(built.style.lidar, 40).reshape(-1, 3)])
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    assert (caster.cast(origin, ray).triangle != shaky.cast(origin, ray).triangle).any()
    one, other = caster.nearest(origin, ray), shaky.nearest(origin, ray)
    same = one[0] == other[0]
    # Where two triangles meet in one place, either may be the one; the point is the same.
    assert same.mean() > 0.99
    np.testing.assert_allclose(one[1], other[1], atol=1e-9)


# --- the LiDAR -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_points_lie_on_the_beams(style: StyleName) -> None:
    built, caster = street(style)
    spec = built.style.lidar
    found = sweep(caster, sensor_to_street(built), spec, 120, np.random.default_rng(0))
    distance = np.linalg.norm(found.coord, axis=1)
    assert distance.max() < spec.max_range + 0.2 and distance.min() > 0.8
    elevation = np.degrees(np.arcsin(found.coord[:, 2] / distance))
    np.testing.assert_allclose(elevation, np.asarray(spec.elevations)[found.ring], atol=0.02)
    azimuth = np.degrees(np.arctan2(found.coord[:, 1], found.coord[:, 0]))
    np.testing.assert_allclose(azimuth, 180 - (found.step + 0.5) * 3.0, atol=0.02)
    assert list(spec.elevations) == sorted(spec.elevations)
    assert len(spec.elevations) == (32 if style == "nuscenes" else 64)
    assert 0.4 < len(found.coord) / (120 * len(spec.elevations)) < 0.95


def test_the_lidar_loses_returns_and_its_ranges_are_noisy() -> None:
    built, caster = street("nuscenes")
    spec = built.style.lidar
    pose = sensor_to_street(built)
    found = sweep(caster, pose, spec, 120, np.random.default_rng(0))
    ray = directions(spec, 120)[found.step, found.ring]
    _, true = caster.nearest(pose[:3, 3], ray @ pose[:3, :3].T)
    error = np.linalg.norm(found.coord, axis=1) - true
    assert abs(error.mean()) < 0.002 and 0.8 < error.std() / spec.noise < 1.2
    road = built.mesh.label[found.triangle] == Kind.ROAD
    assert road.any() and np.abs(found.coord[road, 2] + spec.height).max() < 0.1
    # Signs send back more than asphalt.
    signs = np.isin(built.mesh.label[found.triangle], (Kind.SIGN, Kind.CAR))
    assert found.strength[signs].mean() > found.strength[road].mean()


# --- points and pixels ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_visible_points_land_on_pixels_of_their_own_object(style: StyleName) -> None:
    config = StreetsConfig(style=style, count=100)
    built, caster = street(style)
    pose = sensor_to_street(built)
    steps = round(built.style.lidar.steps * 0.4)
    found = sweep(caster, pose, built.style.lidar, steps, generator(config, 0, 2))
    photographer = Photographer(built, caster, Daylight(np.random.default_rng(0)))
    own = strict = ground = shown = 0
    for spec in built.style.cameras:
        camera = camera_of(spec, 1.0)
        blank = np.zeros((camera.height, camera.width, 3), np.uint8)
        view = View(spec.name, camera, sensor_to_camera(spec), blank)
        shot = photographer.shoot(camera, view.world_to_camera @ np.linalg.inv(pose))
        seen = see(found.coord, view, OUTDOOR)
        column, row = np.floor(seen.pixel[seen.visible]).astype(int).T
        world = found.coord[seen.visible] @ pose[:3, :3].T + pose[:3, 3]
        center = (pose @ np.append(view.center, 1))[:3]
        clear = caster.sees(center, world, slack=0.15)
        triangle = found.triangle[seen.visible][clear]
        item = shot.item[row[clear], column[clear]]
        depth = shot.depth[row[clear], column[clear]]
        same = (item == built.mesh.item[triangle]) | (np.abs(depth - seen.depth[seen.visible][clear]) < 0.15)
        strict += int((item == built.mesh.item[triangle]).sum())
        own, shown = own + int(same.sum()), shown + len(same)
        ground += int(np.isin(built.mesh.label[triangle], (Kind.ROAD, Kind.SIDEWALK)).sum())
    assert shown > 1000 and ground < 0.8 * shown
    assert own / shown >= 0.97 and strict / shown >= 0.93, (own / shown, strict / shown)


def test_cameras_look_where_they_say() -> None:
    for style, covered in (("nuscenes", 1.0), ("waymo", 0.7), ("kitti", 0.25)):
        scene = tiny(style)  # type: ignore[arg-type]
        angle = np.radians(np.arange(0.5, 360))
        far = np.stack([20 * np.cos(angle), 20 * np.sin(angle), -1.0 + 0 * angle], axis=1)
        seen = np.any([see(far, view, OUTDOOR).visible for view in scene.views], axis=0)
        assert covered - 0.1 <= seen.mean() <= covered
        assert seen[0] and seen[180] == (style == "nuscenes")
        for view in scene.views:
            assert view.depth is None


# --- classes -------------------------------------------------------------------------------------------------------


def test_labels_are_those_of_the_dataset() -> None:
    for style in STYLES:
        names = style_of(style).class_names
        assert len(names) == {"nuscenes": 16, "waymo": 22, "kitti": 19}[style]
        scene = tiny(style)
        assert scene.label is not None and scene.class_names == names
        assert scene.label.min() >= -1 and scene.label.max() < len(names)
        assert (scene.label >= 0).mean() > 0.9
        assert set(style_of(style).labels()) - {-1} == set(range(len(names)))


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_every_class_has_enough_points_over_twenty_seeds(style: StyleName) -> None:
    names = style_of(style).class_names
    points, scans = np.zeros(len(names), dtype=int), np.zeros(len(names), dtype=int)
    for seed in range(20):
        built = build_street(StreetsConfig(style=style, count=1, seed=seed), 0)
        found = sweep(RayCaster(built.mesh), sensor_to_street(built), built.style.lidar, built.style.lidar.steps,
                      np.random.default_rng(seed))  # fmt: skip
        label = np.array(built.style.labels())[built.mesh.label[found.triangle]]
        count = np.bincount(label[label >= 0], minlength=len(names))
        points, scans = points + count, scans + (count >= 5)
        assert 12_000 < len(label) < 30_000
    table = dict(zip(names, zip(points.tolist(), scans.tolist(), strict=True), strict=True))
    assert points.min() >= 100 and scans.min() >= 5, table


# --- on disk -------------------------------------------------------------------------------------------------------


def test_captures_hold_what_was_made(tmp_path: Path) -> None:
    config = StreetsConfig(style="kitti", count=2, seed=3, scale=0.2)
    options = ["--style", "kitti", "--count", "2", "--seed", "3", "--scale", "0.2", "--workers", "1"]
    main(["streets", str(tmp_path / "set"), *options])
    paths = sorted((tmp_path / "set").iterdir())
    assert [path.name for path in paths] == ["scan_0000", "scan_0001"]
    made, read = make_scan(config, 1), read_capture(paths[1])
    for one, other in ((made.coord, read.coord), (made.strength, read.strength), (made.label, read.label)):
        assert one is not None and other is not None
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(made.extra["ring"], read.extra["ring"])
    assert read.class_names == made.class_names and read.color is None and read.normal is None
    for one, other in zip(made.views, read.views, strict=True):
        assert (one.name, one.camera) == (other.name, other.camera)
        np.testing.assert_allclose(one.world_to_camera, other.world_to_camera, atol=1e-12)
    labels = json.loads((paths[1] / "labels.json").read_text())
    assert labels["world"] == "streets" and labels["config"] == {"style": "kitti", "seed": 3, "scale": 0.2}

    before = (paths[0] / "points.ply").stat().st_mtime_ns
    write_streets(tmp_path / "set", config, workers=1)
    assert (paths[0] / "points.ply").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="scan_0000: it holds something other than this scan"):
        write_streets(tmp_path / "set", StreetsConfig(style="kitti", count=2, seed=4, scale=0.2), workers=1)


@pytest.mark.slow
def test_workers_write_what_one_process_writes(tmp_path: Path) -> None:
    config = StreetsConfig(style="nuscenes", count=2, scale=0.2)
    alone = write_streets(tmp_path / "alone", config, workers=1)
    together = write_streets(tmp_path / "together", config, workers=2)
    for one, other in zip(alone, together, strict=True):
        for path in (p for p in one.rglob("*") if p.is_file()):
            assert path.read_bytes() == (other / path.relative_to(one)).read_bytes()


@pytest.mark.parametrize(
    "wrong", [{"count": -1}, {"seed": -1}, {"scale": 0.0}, {"scale": float("nan")}, {"style": "x"}]
)
def test_configurations_that_cannot_be_made(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        StreetsConfig(**wrong)  # type: ignore[arg-type]


def test_a_scan_beyond_the_count() -> None:
    with pytest.raises(InputError, match="no scan 2"):
        make_scan(StreetsConfig(count=2), 2)

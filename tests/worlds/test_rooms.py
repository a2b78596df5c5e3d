"""Rooms: the same everywhere, consistent between cloud and pictures, fair in what test rooms add, whole on disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("embreex", reason="Rooms needs embreex")

from ditr.captures.capture import read_capture
from ditr.errors import InputError
from ditr.scene import Scene
from ditr.worlds.common.mesh import Frame, Material, MeshBuilder
from ditr.worlds.common.rays import Hits, RayCaster
from ditr.worlds.common.workshop import Workshop
from ditr.worlds.rooms import (
    CLASS_NAMES,
    Label,
    RoomsConfig,
    build_room,
    fittings,
    furniture,
    layout,
    make_room,
    write_rooms,
)
from ditr.worlds.rooms.sensor import Sensor

SMALL = RoomsConfig(train=3, test=2, views=4, width=80, height=60, spacing=0.06)


def digest(scene: Scene) -> str:
    """A hash of what is promised to be equal on every machine: points, normals and labels."""
    assert scene.normal is not None and scene.label is not None
    parts = (scene.coord.tobytes(), scene.normal.tobytes(), scene.label.tobytes())
    return hashlib.sha256(b"".join(parts)).hexdigest()


# --- geometry ------------------------------------------------------------------------------------------------------


def test_bodies_face_outward() -> None:
    for build, center in (
        (lambda b: b.box((0, 0, 0), (1, 2, 3), Material(0)), (0.5, 1, 1.5)),
        (lambda b: b.prism((0, 0, 0), (0.5, 0.3), (0, 1), Material(0)), (0, 0, 0.5)),
    ):
        builder = MeshBuilder()
        builder.frame = Frame(4.0, -2.0, 1.0, 0.7)
        build(builder)
        mesh = builder.build()
        outward = mesh.corner.mean(axis=1) - builder.frame.to_world(np.array(center, dtype=float))
        assert (np.einsum("ij,ij->i", outward, mesh.normal) > 0).all()


def test_visibility_agrees_with_plain_ray_casting() -> None:
    room = build_room(SMALL, "train", 0)
    caster = RayCaster(room.mesh)
    origin = np.array([1.4, 1.3, 1.9])
    rng = np.random.default_rng(0)
    mesh = room.mesh
    triangle = rng.choice(len(mesh), 5000, p=mesh.area / mesh.area.sum())
    point = np.einsum("ij,ijk->ik", rng.dirichlet((1, 1, 1), 5000), mesh.corner[triangle])
    facing = np.einsum("ij,ij->i", origin - point, mesh.normal[triangle]) > 0.05
    point = point[facing]
    seen = caster.sees(origin, point)
    plain = caster.cast(origin, point - origin).distance >= 1 - 0.003 / np.linalg.norm(point - origin, axis=1)
    assert (seen == plain).mean() > 0.995
    assert 0.3 < seen.mean() < 0.95


def test_visibility_ignores_the_rim_of_what_hides() -> None:
    builder = MeshBuilder()
    builder.box((-1, 1, -1), (1, 1.1, 1), Material(0))
    caster = RayCaster(builder.build())
    behind = np.array([[0.9, 2.0, 0.0], [2.0 - 5e-5, 2.0, 0.0], [2.1, 2.0, 0.0]])
    assert caster.sees(np.zeros(3), behind).tolist()[::2] == [False, True]


class ShakyCaster(RayCaster):
    """Embree on a processor that rounds otherwise: rays are off by a few units of float32's last place."""

    def cast(self, origin: np.ndarray, direction: np.ndarray) -> Hits:
        shift = np.random.default_rng(len(direction)).uniform(-4e-7, 4e-7, direction.shape)
        return super().cast(origin + shift, direction)


def test_visibility_does_not_depend_on_the_processors_rounding() -> None:
    room = build_room(SMALL, "train", 0)
    mesh = room.mesh
    # Aimed at the edges of what hides, where embree's answer is a matter of rounding.
    origin = np.array([1.4, 1.3, 1.6])
    edge = mesh.corner.reshape(-1, 3)
    point = np.concatenate([origin + (edge - origin) * stretch for stretch in (1.2, 1.5)])
    plain, shaky = RayCaster(mesh), ShakyCaster(mesh)
    assert (plain.cast(origin, point - origin).triangle != shaky.cast(origin, point - origin).triangle).any()
    assert np.array_equal(plain.sees(origin, point), shaky.sees(origin, point))


# --- the same on every machine -------------------------------------------------------------------------------------

_CHILD = """
import sys
sys.path.insert(0, {tests!r})
from ditr.worlds.rooms import RoomsConfig, make_room
import hashlib
scene = make_room(RoomsConfig(train=3, test=2, views=4, width=80, height=60, spacing=0.06), "test", 1)
parts = (scene.coord.tobytes(), scene.normal.tobytes(), scene.label.tobytes())
print(hashlib.sha256(b"".join(parts)).hexdigest())
"""


def test_another_process_makes_the_same_room() -> None:
    here = digest(make_room(SMALL, "test", 1))
    child = subprocess.run(
        [sys.executable, "-c", _CHILD.format(tests=str(Path(__file__).parent))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == here


def test_geometry_does_not_depend_on_the_photographs_or_on_other_rooms() -> None:
    few = RoomsConfig(train=1, test=0, views=1, width=32, height=24, spacing=0.06)
    assert digest(make_room(few, "train", 0)) == digest(make_room(SMALL, "train", 0))


def test_rooms_differ_by_index_split_and_seed() -> None:
    other_seed = RoomsConfig(train=3, test=2, views=4, width=80, height=60, spacing=0.06, seed=1)
    scenes = [
        make_room(SMALL, "train", 0),
        make_room(SMALL, "train", 1),
        make_room(SMALL, "test", 0),
        make_room(other_seed, "train", 0),
    ]
    assert len({digest(scene) for scene in scenes}) == 4


# --- cloud and pictures --------------------------------------------------------------------------------------------


def test_depth_leads_to_points_of_the_same_class() -> None:
    room = build_room(SMALL, "train", 1)
    scene = make_room(SMALL, "train", 1)
    assert scene.label is not None
    agree = []
    for view in scene.views:
        shot = Sensor(room, RayCaster(room.mesh)).render(view.camera, view.world_to_camera)
        row, column = np.nonzero(shot.depth > 0)
        depth = shot.depth[row, column].astype(np.float64)
        camera = view.camera
        local = np.stack(
            [(column + 0.5 - camera.cx) / camera.fx, (row + 0.5 - camera.cy) / camera.fy, np.ones(len(row))]
        )
        world = (local * depth).T @ view.camera_to_world[:3, :3].T + view.center
        chosen = np.arange(0, len(world), 37)
        distance = np.linalg.norm(world[chosen, None] - scene.coord[None], axis=2)
        near = distance.min(axis=1) < 0.05  # where the scan has been, too
        assert near.mean() > 0.4
        agree.append((scene.label[distance.argmin(axis=1)] == shot.label[row, column][chosen])[near])
    assert np.concatenate(agree).mean() > 0.9


def test_the_sensor_adds_noise_and_holes() -> None:
    room = build_room(SMALL, "train", 0)
    view = make_room(SMALL, "train", 0).views[0]
    clean = Sensor(room, RayCaster(room.mesh)).render(view.camera, view.world_to_camera)
    noisy = Sensor(room, RayCaster(room.mesh)).render(view.camera, view.world_to_camera, np.random.default_rng(0))
    assert (clean.depth > 0).mean() > 0.99
    assert 0.005 < (noisy.depth == 0).mean() < 0.5
    both = (clean.depth > 0) & (noisy.depth > 0)
    error = np.abs(clean.depth - noisy.depth)[both]
    assert 0.0005 < error.mean() < 0.02
    np.testing.assert_array_equal(clean.label, noisy.label)
    assert 1 < np.abs(clean.color.astype(int) - noisy.color.astype(int)).mean() < 40


def test_some_points_are_unseen() -> None:
    from ditr.geometry.projection import INDOOR, see

    config = RoomsConfig(train=2, test=0, spacing=0.06, width=154, height=112)
    shares = []
    for index in range(config.train):
        scene = make_room(config, "train", index)
        seen = np.zeros(len(scene), dtype=bool)
        for view in scene.views:
            assert isinstance(view.depth, np.ndarray)
            seen |= see(scene.coord, view, INDOOR, view.depth).visible
        shares.append(1 - seen.mean())
    assert 0.05 < np.mean(shares) < 0.5


def test_clouds_look_like_scans() -> None:
    scene = make_room(SMALL, "train", 0)
    assert scene.label is not None and scene.normal is not None and scene.color is not None
    assert scene.class_names == CLASS_NAMES and len(CLASS_NAMES) >= 17
    assert (scene.coord > -0.05).all() and (scene.coord < 5).all()
    assert np.abs(np.linalg.norm(scene.normal, axis=1) - 1).max() < 1e-3
    floor = scene.label == Label.FLOOR
    assert np.abs(scene.coord[floor, 2]).max() < 0.04 and (scene.normal[floor, 2] > 0.7).all()
    dense = make_room(RoomsConfig(views=1, width=32, height=24, spacing=0.03), "train", 0)
    assert 3 < len(dense) / len(scene) < 5


@pytest.mark.slow
def test_every_class_occurs_in_both_splits() -> None:
    config = RoomsConfig(views=1, width=32, height=24, spacing=0.06)
    for split, least in (("train", 8), ("test", 3)):
        rooms = np.zeros(len(CLASS_NAMES), dtype=int)
        for index in range(config.count(split)):  # type: ignore[arg-type]
            label = make_room(config, split, index).label  # type: ignore[arg-type]
            assert label is not None
            rooms[np.unique(label[label >= 0])] += 1
        assert rooms.min() >= least, dict(zip(CLASS_NAMES, rooms, strict=True))


# --- what is new in test rooms -------------------------------------------------------------------------------------


def test_new_families_are_for_test_rooms_only() -> None:
    def picks(new_share: float) -> set[str]:
        shop = Workshop(np.random.default_rng(0), np.random.default_rng(1), new_share)
        return {shop.pick(("known",), ("new",)) for _ in range(50)}

    assert picks(0.0) == {"known"}
    assert picks(0.3) == {"known", "new"}
    for module in (fittings, furniture):
        for known, new in (v for k, v in vars(module).items() if k.isupper() and not k.startswith("_")):
            assert known and not set(known) & set(new)


def test_train_rooms_do_not_depend_on_the_share_of_new_families() -> None:
    def corners(share: float, split: layout.Split) -> np.ndarray:
        return build_room(RoomsConfig(new_share=share), split, 0).mesh.corner

    assert np.array_equal(corners(0.0, "train"), corners(1.0, "train"))
    assert not np.array_equal(corners(0.0, "test"), corners(1.0, "test"))


# --- on disk -------------------------------------------------------------------------------------------------------


def test_workers_write_what_one_process_writes(tmp_path: Path) -> None:
    config = RoomsConfig(train=2, test=1, views=2, width=48, height=32, spacing=0.1)
    alone = write_rooms(tmp_path / "alone", config, workers=1)
    together = write_rooms(tmp_path / "together", config, workers=2)
    names = ["train/room_0000", "train/room_0001", "test/room_0000"]
    assert [p.relative_to(tmp_path / "alone").as_posix() for p in alone] == names
    for one, two in zip(alone, together, strict=True):
        first, second = read_capture(one), read_capture(two)
        assert digest(first) == digest(second)
        for a, b in zip(first.views, second.views, strict=True):
            assert Path(str(a.image)).read_bytes() == Path(str(b.image)).read_bytes()
    made, read = make_room(config, "test", 0), read_capture(alone[2])
    assert digest(made) == digest(read) and read.class_names == CLASS_NAMES
    labels = json.loads((alone[2] / "labels.json").read_text())
    assert labels["config"]["seed"] == 0 and labels["split"] == "test"


def test_finished_rooms_are_kept_and_foreign_ones_are_refused(tmp_path: Path) -> None:
    config = RoomsConfig(train=1, test=0, views=1, width=32, height=24, spacing=0.2)
    (room,) = write_rooms(tmp_path, config, workers=1)
    before = (room / "points.ply").stat().st_mtime_ns
    more = RoomsConfig(train=2, test=0, views=1, width=32, height=24, spacing=0.2)
    assert len(write_rooms(tmp_path, more, workers=1)) == 2
    assert (room / "points.ply").stat().st_mtime_ns == before
    other = RoomsConfig(train=1, test=0, views=1, width=32, height=24, spacing=0.2, seed=5)
    with pytest.raises(InputError, match="room_0000: it holds something other"):
        write_rooms(tmp_path, other, workers=1)


_WRITER = """
import sys
from ditr.worlds.rooms import RoomsConfig, write_rooms
if __name__ == "__main__":
    write_rooms(sys.argv[1], RoomsConfig(train=40, test=0, views=2, width=64, height=48, spacing=0.1), workers=2)
"""


def test_a_killed_run_leaves_whole_rooms_only(tmp_path: Path) -> None:
    script, out = tmp_path / "writer.py", tmp_path / "out"
    script.write_text(_WRITER)
    child = subprocess.Popen([sys.executable, str(script), str(out)])
    try:
        deadline = time.monotonic() + 60
        while not list((out / "train").glob("room_*")) and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert child.poll() is None
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    time.sleep(0.5)  # the workers notice and end
    whole = list((out / "train").glob("room_*"))
    count = len(whole)
    time.sleep(0.5)
    assert 1 <= count < 40 and len(list((out / "train").glob("room_*"))) == count
    for room in whole:
        assert len(read_capture(room).views) == 2
    host = re.sub(r"[^\w-]", "_", socket.gethostname())
    (out / "train" / f".room_0007.{host}-999999999-0123abcd.part").mkdir()
    config = RoomsConfig(train=count + 1, test=0, views=2, width=64, height=48, spacing=0.1)
    assert len(write_rooms(out, config, workers=1)) == count + 1
    assert not list((out / "train").glob(".room_*"))


@pytest.mark.parametrize(
    "wrong",
    [{"train": -1}, {"views": 0}, {"width": 8}, {"spacing": 0.0}, {"spacing": float("nan")}, {"new_share": 1.5}],
)
def test_configurations_that_cannot_be_made(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        RoomsConfig(**wrong)  # type: ignore[arg-type]


def test_a_room_beyond_the_count() -> None:
    with pytest.raises(InputError, match="no test room 2"):
        make_room(SMALL, "test", 2)

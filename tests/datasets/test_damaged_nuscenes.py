"""Damaged files of nuScenes are an error that names the file, or read: never a crash, a wrong label, or much memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mutants import mutated
from prepared_layouts import make_sweep
from raw_nuscenes import CAMERAS, NAMES, RAW_OF, Drive, Shot, Turn, rigid, write_nuscenes_raw
from watched import Watched

from ditr.captures.images import read_image
from ditr.datasets import nuscenes
from ditr.datasets.nuscenes.raw import open_download
from ditr.datasets.prepare import prepare
from ditr.datasets.raw import PrepareOptions
from ditr.datasets.table import open_dataset
from ditr.errors import InputError
from ditr.scene import Scene, SceneSource

TABLES = ("category", "lidarseg", "scene", "sample", "sensor", "calibrated_sensor", "sample_data", "ego_pose")


def download(root: Path) -> dict[str, Scene]:
    """A drive of two keyframes and a turn before each; scenes by name."""
    turns = []
    for number in range(4):
        sweep = make_sweep(number, CAMERAS, nuscenes.CLASSES)
        stamp, vehicle = 1_000_000 + 50_000 * number, rigid((0.1 * number, 0.0, 0.0), (900.0 + number, 50.0, 0.0))
        object.__setattr__(sweep, "extra", {"ring": np.zeros(len(sweep), np.uint8)})
        shots = [
            Shot(view.name, np.asarray(view.image), view.camera, stamp - 9_000, vehicle, view.camera_to_world)
            for view in sweep.views
        ]
        turns.append(Turn(sweep, stamp, vehicle, tuple(shots) if number % 2 else ()))
    write_nuscenes_raw(root, [Drive(NAMES["val"], tuple(turns), np.eye(4))])
    source = raw(root)
    assert [len(scene) for scene in scenes(source)] == [900, 900]
    return dict(zip(source.names(), scenes(source), strict=True))


def raw(root: Path) -> SceneSource:
    return open_download(root, PrepareOptions(splits=("val",))).source(["val"], True)


def scenes(source: SceneSource) -> list[Scene]:
    found = [source.scene(index) for index in range(len(source))]
    for scene in found:
        assert len(scene.views) == 6
    return found


def same(found: Scene, written: Scene) -> bool:
    assert found.label is not None and written.label is not None
    return np.array_equal(found.coord, written.coord) and np.array_equal(found.label, written.label)


def survive(folder: Path, kind: str, count: int) -> None:
    """Read a download, or what was prepared of it, of which one file is damaged, and judge what came of it."""
    root = folder / "download"
    written = download(root)
    read: Callable[[], SceneSource]
    if kind == "list":
        prepare("nuScenes", open_download(root, PrepareOptions()), folder / "out", PrepareOptions(), workers=0)
        files = [folder / "out" / "info" / "nuscenes_infos_10sweeps_val.json"]
        read = lambda: open_dataset("nuScenes", folder / "out", "val")  # noqa: E731
    else:
        patterns = {"points": "samples/LIDAR_TOP/*", "labels": "lidarseg/*/*", "image": "samples/CAM_BACK/*"}
        tables = [root / "v1.0-trainval" / f"{name}.json" for name in TABLES]
        files = tables if kind == "tables" else sorted(root.glob(patterns[kind]))
        read = lambda: raw(root)  # noqa: E731
    rng, worst, survived = np.random.default_rng(11), Watched(), 0
    for number in range(count):
        path = files[number % len(files)]
        sound = path.read_bytes()
        damaged = mutated(sound, rng)
        path.write_bytes(damaged)
        found, said = [], ""
        with worst.reading(sum(len(damaged) if file == path else file.stat().st_size for file in files)):
            try:
                found = scenes(read())
                if kind == "image":
                    read_image(found[0].views[3])
            except InputError as error:
                said = str(error)
        path.write_bytes(sound)
        if said:
            assert str(folder) in said, (number, said)
            continue
        survived += 1
        for scene in found:
            if kind in ("tables", "list", "image"):
                assert same(scene, written[scene.name]), number
            elif kind == "labels":
                assert_labels(scene, written, path, damaged)
            else:
                assert len(scene) * 20 in (len(damaged), 20 * len(written[scene.name]))
        assert len(found) == 2 or kind == "list", number
    print(f"nuScenes, {kind}: {count} damaged files, {survived} of them read, {worst}")
    assert worst.seconds < 1 and worst.beyond < 0


def assert_labels(scene: Scene, written: dict[str, Scene], path: Path, damaged: bytes) -> None:
    """Those that the bytes say, one by one."""
    if scene.name not in path.name:
        assert same(scene, written[scene.name])
        return
    classes = {raw_id: k for k, raw_id in enumerate(RAW_OF)} | {16: 2, 3: 6, 4: 6, 6: 6}
    assert scene.label is not None
    assert scene.label.tolist() == [classes.get(byte, -1) for byte in damaged] and max(damaged) < 32


KINDS = ("tables", "points", "labels", "image", "list")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(tmp_path: Path, kind: str) -> None:
    survive(tmp_path, kind, 50)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files(tmp_path: Path, kind: str) -> None:
    survive(tmp_path, kind, 10_000)

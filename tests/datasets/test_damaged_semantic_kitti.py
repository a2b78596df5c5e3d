"""Damaged files of SemanticKITTI are an error that names the file, or read as their bytes say: never a wrong label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mutants import mutated
from prepared_layouts import make_sweep
from raw_semantic_kitti import IDS, MOVING, NOTHING, write_raw
from watched import Watched

from ditr.captures.images import read_image
from ditr.datasets import semantic_kitti
from ditr.datasets.prepare import check
from ditr.datasets.raw import PrepareOptions
from ditr.datasets.semantic_kitti.raw import RAW
from ditr.errors import InputError
from ditr.scene import Scene

FILES = {
    "sweep": "velodyne/000001.bin",
    "labels": "labels/000001.label",
    "calibration": "calib.txt",
    "poses": "poses.txt",
    "times": "times.txt",
    "image": "image_2/000001.png",
}
CLASS_OF = {
    **{number: row for row, number in enumerate(IDS)}, **{moving: IDS.index(raw) for raw, moving in MOVING.items()},
    **dict.fromkeys((13, 16, 256, 257), 4), 60: 8, **dict.fromkeys(NOTHING, -1),
}  # fmt: skip


def download(root: Path) -> Scene:
    """A sequence of two sweeps; the second one."""
    sweeps = [make_sweep(seed, ("image_2",), semantic_kitti.CLASSES) for seed in range(2)]
    write_raw(root, {8: [sweeps[0], replace(sweeps[1], views=sweeps[0].views)]})
    return sweeps[1]


def read(root: Path, kind: str) -> Scene:
    """The second sweep, with its photograph where that is damaged; all checks are made, too."""
    scene = RAW.open(root, PrepareOptions()).source(["val"], images=True).scene(1)
    if kind == "image":
        read_image(scene.views[0])
    return scene


def survive(folder: Path, kind: str, count: int) -> None:
    root = folder / "download"
    written = download(root)
    path = root / "dataset" / "sequences" / "08" / FILES[kind]
    sound, rng, worst, survived, unseen = path.read_bytes(), np.random.default_rng(5), Watched(), 0, 0
    assert written.label is not None
    np.testing.assert_array_equal(read(root, kind).label, written.label)
    for number in range(count):
        damaged = mutated(sound, rng)
        path.write_bytes(damaged)
        scene, said = None, ""
        with worst.reading(max(len(sound), len(damaged))):
            looked = check(RAW.open(root, PrepareOptions()), workers=0)
            try:
                scene = read(root, kind)
            except InputError as error:
                said = str(error)
        assert all(str(folder) in str(fault) for fault in looked.faults), number
        assert str(folder) in said or not said, (number, said)
        if scene is None:
            unseen += not looked.faults  # what is in a photograph or a sweep is looked at when it is read
            continue
        survived += 1
        assert scene.label is not None
        if kind == "labels":
            raw = np.frombuffer(damaged, "<u4") & 0xFFFF
            assert scene.label.tolist() == [CLASS_OF[int(one)] for one in raw], number
        else:
            np.testing.assert_array_equal(scene.label, written.label)
        if kind != "sweep":
            np.testing.assert_array_equal(scene.coord, written.coord)
        else:
            values = np.frombuffer(damaged, "<f4").reshape(-1, 4)
            np.testing.assert_array_equal(scene.coord, values[:, :3].astype(np.float64))
        turn = scene.views[0].world_to_camera[:3, :3]
        assert np.abs(turn @ turn.T - np.eye(3)).max() < 0.02
    print(
        f"SemanticKITTI, {kind}: {count} damaged files, {survived} of them read, {unseen} seen by reading only, {worst}"
    )
    assert worst.seconds < 1 and worst.beyond < 0
    assert unseen == 0 or kind in ("image", "sweep")


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files(tmp_path: Path, kind: str) -> None:
    survive(tmp_path, kind, 50)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_many_damaged_files(tmp_path: Path, kind: str) -> None:
    survive(tmp_path, kind, 10_000)

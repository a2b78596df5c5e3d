"""From a raw download to a submission that its checker takes, by the commands that a user types."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from raw_nuscenes import NAMES, street_drive, write_nuscenes_raw
from raw_scannet import write_download
from raw_semantic_kitti import street_sweeps, write_raw
from small_world import make_scene
from tiny_encoder import write_tiny_encoder

from ditr.cli import execute
from ditr.datasets.scannet import LABELS_200
from ditr.datasets.table import open_dataset
from ditr.errors import InputError

NETWORK = {
    "patch_size": 64,
    "encoder_depths": [1, 1],
    "encoder_channels": [16, 24],
    "encoder_heads": [2, 3],
    "decoder_depths": [1],
    "decoder_channels": [16],
    "decoder_heads": [2],
}


@dataclass(frozen=True)
class Road:
    """A dataset: its name, its recipe, a writer of its download, voxels in which that is small, and what is said
    of an archive that is not of the whole split."""

    name: str
    recipe: str
    write: Callable[[Path], object]
    voxel: float
    lacking: str


def _scannet(root: Path) -> None:
    rooms = [make_scene(seed, depth=True, points=200) for seed in range(4)]
    write_download(root, {"train": rooms[:2], "val": rooms[2:3], "test": rooms[3:]}, LABELS_200.to_raw, between=1)


def _nuscenes(root: Path) -> None:
    drives = {name: street_drive(name, number, keyframes=2, between=1) for number, name in enumerate(NAMES.values())}
    write_nuscenes_raw(root, [drives[NAMES["train"]], drives[NAMES["val"]]])
    write_nuscenes_raw(root, [drives[NAMES["test"]]], "v1.0-test")


def _semantic_kitti(root: Path) -> None:
    sweeps = street_sweeps(3, 0.15)
    numbers = dict.fromkeys(range(8), sweeps[:1]) | {9: sweeps[1:2], 10: sweeps[2:], 8: sweeps[:2]}
    write_raw(root, numbers | dict.fromkeys(range(11, 22), sweeps[:1]))


ROADS = (
    Road("ScanNet", "scannet/ditr", _scannet, 0.25, "Label all 100 scenes"),
    Road("ScanNet200", "scannet200/ditr", _scannet, 0.25, "Label all 100 scenes"),
    Road("SemanticKITTI", "semantic_kitti/ditr", _semantic_kitti, 0.1, "there are 1 of 921 sweeps"),
    Road("nuScenes", "nuscenes/ditr", _nuscenes, 0.1, "2 label files, but 6,008"),
)


@pytest.mark.parametrize(
    "road",
    [
        pytest.param(road, id=road.name, marks=[] if number < 2 else pytest.mark.slow)
        for number, road in enumerate(ROADS)
    ],
)
def test_from_the_download_to_a_submission(road: Road, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("embreex", reason="the built-in worlds need embreex")
    raw, run = tmp_path / "raw", tmp_path / "run"
    out = tmp_path / "data" / road.recipe.partition("/")[0].replace("200", "")
    road.write(raw)
    name = road.name.lower()
    execute(["prepare", name, str(raw), "--check-only", "--workers", "0"])
    assert "no problems found" in capsys.readouterr().out
    with pytest.raises(InputError, match=f"ditr prepare {name}"):
        execute(["train", road.recipe, str(run), "--data", str(raw)])
    execute(["prepare", name, str(raw), str(out), "--workers", "0"])
    assert json.loads((out / "manifest.json").read_text())["dataset"] == out.name
    _train(road, out.parent, run, write_tiny_encoder(tmp_path / "encoder"))
    _evaluate(road, out, run, capsys)
    _submit(road, out, run, tmp_path, capsys)


def _train(road: Road, data: Path, run: Path, encoder: Path) -> None:
    """Two steps of the paper's recipe, of a small network."""
    changes = [f"network.{key}={json.dumps(value)}" for key, value in NETWORK.items()]
    changes += ["steps=2", "batch_size=2", "validate_epochs=null", f"preparation.voxel_size={road.voxel}"]
    changes.append("preparation.image_size=[42, 56]")
    sets = [part for change in changes for part in ("--set", change)]
    execute(["train", road.recipe, str(run), "--data", str(data), "--encoder", str(encoder), *sets, "--quiet"])
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and all(np.isfinite(row["loss"]) for row in rows)


def _evaluate(road: Road, out: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With votes, as published."""
    common = ["evaluate", str(run), "--data", str(out), "--dataset", road.name, "--vote", "--quiet"]
    figures = out.parent / "figures.json"
    execute([*common, "--out", str(figures)])
    found = json.loads(figures.read_text())
    source = open_dataset(road.name, out, "val")
    points = sum(
        int((scene.label >= 0).sum()) for scene in map(source.scene, range(len(source))) if scene.label is not None
    )
    assert found["points"] == points > 0 and 0 <= found["miou"] <= 100
    capsys.readouterr()


def _submit(road: Road, out: Path, run: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The test split; and that of validation, whose labels are known."""
    archive = folder / "submission.zip"
    common = ["submit", str(run), "--benchmark", road.name, "--data", str(out)]
    assert incomplete([*common, "--out", str(archive), "--quiet"])
    said = capsys.readouterr().out
    # A download of a few scenes is not a whole test split; that is said, and nothing else is wrong with the archive.
    assert archive.exists() and road.lacking in said, said
    assert len(list((folder / "submission").rglob("*.npy"))) == len(open_dataset(road.name, out, "test"))
    before = archive.read_bytes()
    incomplete([*common, "--out", str(archive), "--quiet", "--overwrite"])
    assert archive.read_bytes() == before
    known = folder / "known.zip"
    incomplete([*common, "--split", "val", "--out", str(known), "--quiet"])
    capsys.readouterr()
    check = ["submit", "--check", str(known), "--benchmark", road.name, "--data", str(out)]
    incomplete([*check, "--split", "val", "--score"])
    assert "mIoU" in capsys.readouterr().out


def incomplete(arguments: list[str]) -> bool:
    """Run a command; whether it ends with the status of an archive in which something is wrong."""
    try:
        execute(arguments)
    except SystemExit as end:
        return end.code == 1
    return False


def test_the_world_is_what_is_read(tmp_path: Path) -> None:
    """Labels exactly, poses to 1e-6, of the fast road."""
    pytest.importorskip("embreex", reason="the built-in worlds need embreex")
    sweeps = street_sweeps(3, 0.15)
    write_raw(tmp_path / "raw", {8: sweeps})
    execute(["prepare", "semantickitti", str(tmp_path / "raw"), str(tmp_path / "out"), "--workers", "0", "--quiet"])
    source = open_dataset("SemanticKITTI", tmp_path / "out", "val")
    for index, sweep in enumerate(sweeps):
        scene = source.scene(index)
        assert scene.label is not None and sweep.label is not None
        np.testing.assert_array_equal(scene.label, sweep.label)
        view, own = scene.views[0], replace(sweep).views[0]
        np.testing.assert_allclose(view.world_to_camera[:3, :3], own.world_to_camera[:3, :3], atol=1e-6)

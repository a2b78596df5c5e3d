"""Damaged files of ScanNet's download are an error that names one, or what the files say: no crash, no wrong label."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import cloud_files
import pytest
from raw_scannet import TABLE, write_download
from small_world import make_scene
from watched import Watched

from ditr.datasets.scannet import LABELS_200

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by a call of Linux")

# Reads the part of a scene that a file belongs to. Labels are compared with what a plain reading of the files says, in
# which nothing is checked.
_SET_UP = """
import json, resource, sys
from pathlib import Path
import numpy as np
import PIL.Image, PIL.JpegImagePlugin
from ditr.datasets.raw import PrepareOptions
from ditr.datasets.scannet import LABELS, LABELS_200
from ditr.datasets.table import by_name
from ditr.errors import InputError
from ditr.io.sens import SensReader

def root_of(path):
    return next(folder for folder in path.parents if (folder / "scans").is_dir())

def read(path):
    piece = by_name("ScanNet").raw.open(root_of(path), PrepareOptions(every=1)).pieces[0]
    if path.suffix in (".sens", ".txt"):
        with SensReader(piece.file(".sens")) as reader:
            return sum(frame.depth.shape == (420, 560) for frame in piece.frames(reader, lambda repair: None))
    mesh = piece.mesh()
    labels = piece.labels(len(mesh.coord), lambda repair: None)
    said = plainly(piece, root_of(path), len(mesh.coord))
    assert labels.segment20.tolist() == said[0] and labels.segment200.tolist() == said[1]
    return len(mesh.coord)

def plainly(piece, root, count):
    text = piece.table.read_bytes().decode()
    lines = [line.strip("\\r").split("\\t") for line in text.split("\\n") if line.strip("\\r")]
    name, nyu40, raw = map(lines[0].index, ("raw_category", "nyu40id", "id"))
    ids = {line[name]: (int(line[nyu40]), int(line[raw])) for line in lines[1:]}
    segments = json.loads(piece.file("_vh_clean_2.0.010000.segs.json").read_text())["segIndices"]
    of = dict.fromkeys(segments, (-1, -1))
    for group in json.loads(piece.file(".aggregation.json").read_text())["segGroups"]:
        of |= {segment: ids.get(group["label"], (-1, -1)) for segment in group["segments"]}
    found = [of[segment] for segment in segments]
    assert len(found) == count
    return [[labels.to_class.get(pair[at], -1) for pair in found] for at, labels in enumerate((LABELS, LABELS_200))]
"""
_SCENE = "scans/scene0000_00/scene0000_00"
FILES = {
    "stream": f"{_SCENE}.sens",
    "mesh": f"{_SCENE}_vh_clean_2.ply",
    "segments": f"{_SCENE}_vh_clean_2.0.010000.segs.json",
    "groups": f"{_SCENE}.aggregation.json",
    "table": TABLE,
    "text": f"{_SCENE}.txt",
}


def survive(folder: Path, kind: str, count: int, victim: cloud_files.Victim) -> None:
    """Read a scene with one damaged file, and judge what came of it."""
    write_download(folder, {"train": [make_scene(5, views=2, points=120, depth=True)]}, LABELS_200.to_raw, between=1)
    file, worst, read = folder / FILES[kind], Watched(), 0
    sound = file.read_bytes()
    outcome, *_ = victim.read(file)
    assert outcome.startswith("read "), outcome
    for number, data in enumerate(cloud_files.mutants(sound, count)):
        file.write_bytes(data)
        outcome, seconds, memory = victim.read(file)
        worst.see(seconds, memory, sum(path.stat().st_size for path in folder.rglob("*")))
        read += outcome.startswith("read ")
        good = outcome.startswith("read ") or (outcome.startswith("InputError") and str(folder) in outcome)
        kept = folder.parent / f"kept_{kind}_{number}"
        if not good:
            shutil.copytree(folder, kept)
        assert good, f"{kept}: {outcome}"
    print(f"{kind}: {count} damaged scenes, {read} of them read, {worst}")
    assert worst.seconds < 1 and worst.beyond < 0


@pytest.fixture(scope="module")
def victim() -> Iterator[cloud_files.Victim]:
    with cloud_files.Victim(_SET_UP) as process:
        yield process


@pytest.mark.parametrize("kind", FILES)
def test_damaged_scenes(tmp_path: Path, kind: str, victim: cloud_files.Victim) -> None:
    survive(tmp_path / "raw", kind, 50, victim)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_many_damaged_scenes(tmp_path: Path, kind: str, victim: cloud_files.Victim) -> None:
    survive(tmp_path / "raw", kind, 10_000, victim)

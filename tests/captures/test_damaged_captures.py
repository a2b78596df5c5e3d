"""Damaged captures of our own format, and of nerfstudio's and instant-ngp's: their own error, or a scene."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mutants import read_damaged
from small_world import make_scene

from ditr.captures.capture import write_capture

KINDS = ("ours", "nerfstudio", "instant-ngp")


def write(folder: Path, kind: str) -> None:
    """A capture with what tools of this kind leave in ``transforms.json``."""
    write_capture(make_scene(2, views=2, points=60, depth=kind == "ours"), folder, image_format="png")
    path = folder / "transforms.json"
    content = json.loads(path.read_bytes())
    if kind == "ours":
        (folder / "capture.json").write_text('{"up": [0, 0, 1], "substitute": {"color": 127.5}}', encoding="utf-8")
    if kind == "nerfstudio":
        (folder / "points.ply").rename(folder / "sparse_pc.ply")
        content["ply_file_path"] = "sparse_pc.ply"
        content["applied_transform"] = [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0]]
        for number, frame in enumerate(content["frames"]):
            frame["colmap_im_id"] = number + 1
    if kind == "instant-ngp":
        content |= {"aabb_scale": 4, "camera_angle_x": 0.7, "k1": 0.01, "k2": 0.0, "p1": 0.0, "p2": 0.0}
        for frame in content["frames"]:
            frame["sharpness"] = 30.0
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [50, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_captures_are_refused_or_read(tmp_path: Path, kind: str, count: int) -> None:
    write(tmp_path / "scan", kind)
    files = [path for path in sorted((tmp_path / "scan").rglob("*")) if path.suffix in (".json", ".ply")]
    read, worst = read_damaged(tmp_path / "scan", count, seed=4, files=files)
    print(f"{kind}: {count} damaged captures, {read} of them read, {worst}")
    assert 0 < read < count and worst.beyond < 0

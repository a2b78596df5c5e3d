"""Every real file of ``../shared/samples`` is read, or refused with what it is and what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from golden import SHARED
from small_world import ditr

from ditr.captures.capture import read_capture, write_capture
from ditr.errors import InputError

SAMPLES = SHARED / "samples"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared/samples is not here")

READ = {
    "las/1_4_w_evlr.laz": (1000, "strength label"),
    "las/extrabytes.las": (1065, "color strength label"),
    "las/plane.laz": (28185, "strength"),
    "las/simple1_1.las": (1065, "strength label"),
    "las/simple1_3.las": (999, "strength"),
    "las/unregistered_extra_bytes.las": (4, ""),
    "pcd/ascii.pcd": (213, "color"),
    "pcd/ascii_multi_count.pcd": (8, ""),
    "pcd/ascii_organized.pcd": (8, "strength"),
    "pcd/binary.pcd": (213, "color"),
    "pcd/binary_compressed.pcd": (213, "color"),
    "e57/testWithNormals.e57": (2, "normal"),
    "kitti_object_000008/000008.bin": (17238, "strength"),
    "semantickitti_tiny/sequences/00/velodyne/000000.bin": (50, "strength label"),
    "nuscenes_keyframe/*LIDAR_TOP__1532402927647951.pcd.bin": (34688, "strength"),
    "nuscenes_keyframe/tests/samples/LIDAR_TOP/*.bin": (100, "strength"),
    "nuscenes_keyframe/tests/sweeps/LIDAR_TOP/n008*.bin": (400, "strength"),
    "nuscenes_keyframe/tests/sweeps/LIDAR_TOP/n015*.bin": (100, "strength"),
    "lyft_tables_nuscenes_schema/lidar/*.bin": (5, "strength"),
}
"""Files by patterns: their points, and what these have."""
TEXT = "Supported are"
REFUSED = {
    "instant_ngp_fox": ("names no point cloud", "COLMAP"),
    "instant_ngp_fox/images/*.jpg": ("a JPEG image", TEXT),
    "instant_ngp_fox/transforms.json": ("a file of a capture", "Name its folder"),
    "av2_lidar": ("a log of Argoverse 2", "to_csv"),
    "av2_lidar/**/*.feather": ("an Arrow table", "to_csv"),
    "waymo": ("records of Waymo", "ditr verify --help"),
    "waymo/v1": ("records of Waymo", "ditr verify --help"),
    "waymo/v1/*.tfrecord": ("TensorFlow's records", "ditr verify --help"),
    "waymo/v2/*/*.parquet": ("a Parquet table", "to_csv"),
    "waymo/submission/*.bin": ("a file", TEXT),
    "lyft_tables_nuscenes_schema": ("nuScenes or Lyft", "ditr verify --help"),
    "lyft_tables_nuscenes_schema/v1.01-train/v1.01-train": ("nuScenes or Lyft", "ditr verify --help"),
    "lyft_tables_nuscenes_schema/v1.01-train/v1.01-train/*.json": ("a file", TEXT),
    "nuscenes_keyframe": ("LIDAR_TOP__1532402927647951.pcd.bin", "Name one of them"),
    "nuscenes_keyframe/tests": ("nuScenes or Lyft", "samples/LIDAR_TOP"),
    "nuscenes_keyframe/*.jpg": ("a JPEG image", TEXT),
    "**/*.pkl": ("a pickle", "as .npy or CSV"),
    "scannet_frames": ("ScanNet's exporter", "transforms.json"),
    "scannet_frames/color/*.png": ("a PNG image", TEXT),
    "scannet_frames/*/*.txt": ("4 x 4 matrix, such as a pose or intrinsics", "the points"),
    "scannet_frames/*.tsv": ("a file", TEXT),
    "kitti_object_000008/000008.png": ("a PNG image", TEXT),
    "kitti_object_000008/000008.txt": ("16 columns without names", "Name the columns"),
    "pcd/ascii_empty.pcd": ("an empty file", "Copy or write it again"),
    "las": ("holds 1_4_w_evlr.laz", "Name one of them"),
    "pcd": ("holds ascii.pcd", "Name one of them"),
    "e57": ("holds testWithNormals.e57", "Name one of them"),
    "semantickitti_tiny/sequences/00/labels/*.label": ("a file", TEXT),
    "*/SOURCE.md": ("a file|one of its files", ""),
}
"""Files and folders by patterns: the fault that is told, and part of the remedy."""


def test_every_sample_has_its_line() -> None:
    """So a sample that is added cannot be forgotten."""
    known = {path for pattern in (*READ, *REFUSED) for path in SAMPLES.glob(pattern)}
    assert {path for path in SAMPLES.rglob("*") if path.is_file()} <= known


@pytest.mark.parametrize("pattern", READ)
def test_a_sample_is_read(tmp_path: Path, pattern: str) -> None:
    points, has = READ[pattern]
    found = sorted(SAMPLES.glob(pattern))
    assert found
    for path in found:
        scene = read_capture(path)
        assert len(scene) == points
        attributes = [name for name in ("color", "normal", "strength", "label") if getattr(scene, name) is not None]
        assert attributes == has.split()
        write_capture(scene, tmp_path / path.stem)
        again = read_capture(tmp_path / path.stem)
        np.testing.assert_array_equal(again.coord, scene.coord)
        for name in attributes:
            np.testing.assert_array_equal(getattr(again, name), getattr(scene, name))


@pytest.mark.parametrize("pattern", REFUSED)
def test_a_sample_is_refused(pattern: str) -> None:
    fault, remedy = REFUSED[pattern]
    found = sorted(SAMPLES.glob(pattern))
    assert found
    for path in found:
        with pytest.raises(InputError, match=fault) as caught:
            read_capture(path)
        assert remedy in caught.value.remedy


@pytest.mark.slow
@pytest.mark.parametrize("sample", ["las/simple1_1.las", "pcd/binary.pcd", "kitti_object_000008/000008.bin"])
def test_commands_take_samples(tmp_path: Path, sample: str) -> None:
    """`check` and `import` read a cloud, and `features` says that it has no photographs."""
    ditr("check", SAMPLES / sample, "--out", tmp_path / "check")
    ditr("import", SAMPLES / sample, tmp_path / "ours")
    refused = ditr("features", SAMPLES / sample, "--out", tmp_path / "features", check=False)
    assert refused.returncode == 2 and "it has no photographs" in refused.stderr

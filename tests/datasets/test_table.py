"""The conventions of the datasets, against the published facts written down a second time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ditr.data.augment import variants
from ditr.data.preparation import Attribute, Origin, Preparation
from ditr.data.sample import ViewChoice
from ditr.datasets import nuscenes, scannet, scannetpp, semantic_kitti, structured3d, waymo
from ditr.datasets.benchmark import Benchmark
from ditr.datasets.table import BENCHMARKS, by_name
from ditr.errors import InputError
from ditr.geometry.projection import INDOOR, OUTDOOR, VisibilityRule
from ditr.io.settings_json import from_plain, to_json_values

# name: classes, voxel, token grid, views, rule, votes, thinned to
FACTS = {
    "ScanNet": (20, 0.02, (30, 40), 10, INDOOR, variants.INDOOR, None),
    "ScanNet200": (200, 0.02, (30, 40), 10, INDOOR, variants.INDOOR, None),
    "S3DIS": (13, 0.02, (37, 37), 10, VisibilityRule(depth_margin=0.2), variants.S3DIS, None),
    "Structured3D": (25, 0.02, (25, 45), 3, INDOOR, None, None),
    "nuScenes": (16, 0.05, (27, 48), None, OUTDOOR, variants.S3DIS, 0.025),
    "SemanticKITTI": (19, 0.05, (27, 89), None, OUTDOOR, variants.ROTATIONS, 0.01),
    "Waymo": (22, 0.05, (22, 48), None, OUTDOOR, variants.ROTATIONS, 0.025),
    "ScanNet++": (100, 0.02, None, None, INDOOR, variants.INDOOR, 0.01),
}
OUTDOORS = {"nuScenes", "SemanticKITTI", "Waymo"}


@pytest.mark.parametrize("name", FACTS)
def test_benchmark(name: str) -> None:
    benchmark = by_name(name)
    count, voxel, grid, views, rule, voting, thinned = FACTS[name]
    assert benchmark.name == name and benchmark.class_count == count
    assert benchmark.voting == voting and benchmark.test_voxel_size == thinned
    assert len(set(benchmark.classes)) == len(benchmark.classes) == (0 if name == "ScanNet++" else count)
    preparations = [benchmark.preparation(False)]
    if grid is None:
        with pytest.raises(InputError, match="no model that uses photographs"):
            benchmark.preparation(True)
    else:
        preparations.append(benchmark.preparation(True))
        assert preparations[1].image_size == (14 * grid[0], 14 * grid[1])
        assert benchmark.preparation(True, patch_size=16).image_size == (16 * grid[0], 16 * grid[1])
        assert preparations[1].max_views == views and preparations[1].view_choice is ViewChoice.LAST
        assert preparations[1].rule == rule
    for preparation in preparations:
        assert preparation.voxel_size == voxel
        assert preparation.in_channels == (4 if name in OUTDOORS else 6)
        assert preparation.origin is (Origin.SENSOR if name in OUTDOORS else Origin.CENTER)
        assert preparation.substitutes == ()
        assert from_plain(Preparation, to_json_values(preparation), "config.json") == preparation
    assert preparations[0].image_size is None and preparations[0].max_views is None


def test_every_benchmark_is_checked() -> None:
    assert [benchmark.name for benchmark in BENCHMARKS] == list(FACTS)


def test_what_only_some_datasets_do() -> None:
    assert by_name("SemanticKITTI").without_images.clip_box == (-35.2, -35.2, -4, 35.2, 35.2, 2)
    assert by_name("Waymo").without_images.clip_box == (-75.2, -75.2, -4, 75.2, 75.2, 2)
    boxed = {b.name for b in BENCHMARKS if b.preparation(b.with_images is not None).clip_box is not None}
    assert boxed == {"SemanticKITTI", "Waymo"}
    assert {b.name: b.without_images.strength_scale for b in BENCHMARKS if b.name in OUTDOORS} == {
        "nuScenes": 255.0,
        "SemanticKITTI": 1.0,
        "Waymo": 1.0,
    }
    assert by_name("nuScenes").without_images.attributes == (Attribute.COORD, Attribute.STRENGTH)
    assert by_name("S3DIS").without_images.attributes == (Attribute.COLOR, Attribute.NORMAL)
    minkunet = scannet.minkunet_preparation()
    assert minkunet.attributes == (Attribute.COORD, Attribute.COLOR, Attribute.NORMAL)
    assert minkunet.in_channels == 9 and minkunet.origin is Origin.CENTER and minkunet.voxel_size == 0.02


def test_a_name_is_found_in_any_case_and_a_near_one_is_proposed() -> None:
    assert by_name("semantickitti") is by_name("SEMANTICKITTI") is by_name("SemanticKITTI")
    assert by_name("scannet++").name == "ScanNet++"
    for wrong, meant in (("nuscene", "nuScenes"), ("scan-net200", "ScanNet200"), ("Structure3D", "Structured3D")):
        with pytest.raises(InputError, match=f"no.* called '{wrong}'. Did you mean '{meant}'"):
            by_name(wrong)
    with pytest.raises(InputError, match=r"Use one of ScanNet, ScanNet200, S3DIS, .*ScanNet\+\+"):
        by_name("Cityscapes")


# ---- classes and raw ids --------------------------------------------------------------------------------------------


def test_scannet_ids() -> None:
    assert scannet.LABELS.to_raw == (*range(1, 13), 14, 16, 24, 28, 33, 34, 36, 39)
    raw = scannet.LABELS_200.to_raw
    assert len(raw) == len(set(raw)) == 200 and list(raw) == sorted(raw)
    assert raw[:11] == (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11) and raw[11] == 13
    assert raw[-29:] == (1156, *range(1163, 1177), *range(1178, 1192))
    named = dict(zip(scannet.CLASSES_200, raw, strict=True))
    for name, number in (("wall", 1), ("floor", 3), ("pillow", 13), ("bathtub", 42), ("mattress", 1191)):
        assert named[name] == number
    assert scannet.CLASSES[0] == "wall" and scannet.CLASSES[19] == "otherfurniture"


def test_other_ids() -> None:
    assert structured3d.LABELS.to_raw == (*range(1, 10), 11, *range(14, 20), 22, 24, 25, 32, 34, 35, 38, 39, 40)
    kitti = (10, 11, 15, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 70, 71, 72, 80, 81)
    assert semantic_kitti.LABELS.to_raw == kitti
    assert nuscenes.LABELS.to_raw == tuple(range(1, 17))
    assert waymo.LABELS.to_raw == tuple(range(1, 23))


KITTI_MAP = {
    **dict.fromkeys((0, 1, 52, 99), -1),
    **dict.fromkeys((10, 252), 0),
    11: 1,
    15: 2,
    18: 3,
    258: 3,
    **dict.fromkeys((13, 16, 20, 256, 257, 259), 4),
    30: 5,
    254: 5,
    31: 6,
    253: 6,
    32: 7,
    255: 7,
    40: 8,
    60: 8,
    44: 9,
    48: 10,
    49: 11,
    50: 12,
    51: 13,
    70: 14,
    71: 15,
    72: 16,
    80: 17,
    81: 18,
}
NUSCENES_MAP = {
    **dict.fromkeys((0, 1, 5, 7, 8, 10, 11, 13, 19, 20, 29, 31), -1),
    **dict.fromkeys((2, 3, 4, 6), 6),
    9: 0,
    12: 7,
    14: 1,
    15: 2,
    16: 2,
    17: 3,
    18: 4,
    21: 5,
    22: 8,
    23: 9,
    24: 10,
    25: 11,
    26: 12,
    27: 13,
    28: 14,
    30: 15,
}


@pytest.mark.parametrize(
    ("benchmark", "table"), [("SemanticKITTI", KITTI_MAP), ("nuScenes", NUSCENES_MAP)], ids=["kitti", "nuscenes"]
)
def test_the_published_label_maps(benchmark: str, table: dict[int, int]) -> None:
    labels = by_name(benchmark).labels
    assert labels is not None
    raw = np.array(list(table), dtype=np.uint16)
    np.testing.assert_array_equal(labels.train(raw), list(table.values()))


@pytest.mark.parametrize("benchmark", [b for b in BENCHMARKS if b.labels is not None], ids=lambda b: b.name)
def test_labels_go_to_raw_ids_and_back(benchmark: Benchmark) -> None:
    labels = benchmark.labels
    assert labels is not None
    classes = np.arange(benchmark.class_count, dtype=np.int32)
    assert set(labels.to_class.values()) == set(classes.tolist()) and len(labels.to_raw) == benchmark.class_count
    if benchmark.name != "nuScenes":  # whose submissions count classes and not categories
        np.testing.assert_array_equal(labels.train(labels.raw(classes)), classes)
    assert labels.train(np.array([[0, 60_000]], dtype=np.uint16)).tolist() == [[-1, -1]]
    assert labels.train(np.zeros(0, dtype=np.uint8)).shape == (0,) and labels.raw(np.zeros(0, dtype=int)).shape == (0,)
    for bad in (-1, benchmark.class_count):
        with pytest.raises(InputError, match="labels: they range from"):
            labels.raw(np.array([0, bad]))


def test_the_order_of_cameras() -> None:
    """The last one that shows a point gives its feature, so the order is part of the weights."""
    sides = ("FRONT", "FRONT_RIGHT", "FRONT_LEFT", "BACK", "BACK_LEFT", "BACK_RIGHT")
    assert tuple(f"CAM_{side}" for side in sides) == nuscenes.CAMERAS
    assert waymo.CAMERAS == ("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "SIDE_LEFT", "SIDE_RIGHT")
    assert semantic_kitti.CAMERAS == ("image_2",)
    assert semantic_kitti.SEQUENCES["val"] == (8,)
    assert sorted(n for part in semantic_kitti.SEQUENCES.values() for n in part) == list(range(22))


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda b: b.name)
def test_colors(benchmark: Benchmark) -> None:
    if benchmark.colors is not None:
        assert len(benchmark.colors) == benchmark.class_count == len(set(benchmark.colors))
        assert all(len(c) == 3 and min(c) >= 0 and max(c) <= 255 for c in benchmark.colors)
    assert (benchmark.colors is None) == (benchmark.name in {"ScanNet200", "Structured3D", "Waymo", "ScanNet++"})


# ---- ScanNet++ ------------------------------------------------------------------------------------------------------


def test_the_class_list_of_scannetpp_is_read_from_the_dataset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"top100.txt: the class list cannot be read .* dataset's folder"):
        scannetpp.read_classes(tmp_path)
    path = tmp_path / scannetpp.CLASSES_FILE
    path.parent.mkdir(parents=True)
    names = [f"thing {i}" for i in range(100)]
    path.write_text("\n".join(names) + "\n")
    assert scannetpp.read_classes(tmp_path) == tuple(names)
    path.write_text("\n".join(names[:-1]))
    with pytest.raises(InputError, match="it holds 99 different names, not 100"):
        scannetpp.read_classes(tmp_path)
    with pytest.raises(InputError, match="not published"):
        scannetpp.preparation(True)

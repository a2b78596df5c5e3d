"""The blocks and baselines of the study on one LiDAR scan."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from ditr.scene import Scene

_SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "rellis_blocks.py"
_SPEC = importlib.util.spec_from_file_location("rellis_blocks", _SCRIPT)
assert _SPEC is not None and _SPEC.loader is not None
study = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(study)


def test_blocks_alternate_around_the_sensor() -> None:
    azimuth = np.radians(np.arange(0, 360, 0.5) + 0.25)
    coord = np.stack([10 * np.cos(azimuth), 10 * np.sin(azimuth), np.zeros_like(azimuth)], axis=1)
    in_test = study.test_blocks(coord, 4.0)
    changes = np.flatnonzero(np.diff(in_test.astype(int)))
    assert in_test.mean() == 0.5 and (np.diff(changes) == 8).all()
    # The distance from the sensor does not matter.
    np.testing.assert_array_equal(study.test_blocks(coord * 7, 4.0), in_test)


def test_the_two_sides_share_no_label() -> None:
    rng = np.random.default_rng(0)
    scene = Scene(
        "s", rng.normal(size=(300, 3)), label=rng.integers(-1, 3, 300).astype(np.int32), class_names=("a", "b", "c")
    )
    in_test = study.test_blocks(scene.coord, 4.0)
    sides = study.split(scene, in_test)
    train, test = sides["train"].label, sides["test"].label
    assert not ((train >= 0) & (test >= 0)).any()
    np.testing.assert_array_equal(np.maximum(train, test), scene.label)


def test_nearest_label_is_the_nearest_points() -> None:
    rng = np.random.default_rng(1)
    train, query = rng.uniform(-5, 5, (200, 3)), rng.uniform(-5, 5, (700, 3))
    label = rng.integers(0, 4, 200).astype(np.int32)
    brute = label[np.linalg.norm(query[:, None] - train[None], axis=2).argmin(axis=1)]
    np.testing.assert_array_equal(study.nearest_label(train, label, query), brute)

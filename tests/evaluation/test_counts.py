"""Figures of a split: against a count of single points, all of them and apart."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ditr.datasets.counting import Absent, Counting
from ditr.evaluation.counts import Counts
from ditr.scene import Scene

NAMES = ("a", "b", "c", "d", "e")


def by_hand(label: np.ndarray, given: np.ndarray) -> dict[str, float]:
    """In percent, of the points that have a label."""
    counted = label >= 0
    label, given = label[counted], given[counted]
    true = [label == k for k in range(5)]
    got = [given == k for k in range(5)]
    union = np.array([(t | g).sum() for t, g in zip(true, got, strict=True)])
    hit = np.array([(t & g).sum() for t, g in zip(true, got, strict=True)])
    size = np.array([t.sum() for t in true])
    iou, accuracy = hit / np.maximum(union, 1), hit / np.maximum(size, 1)
    left = iou[union > 0]
    fractions = {
        "miou": iou.mean(),
        "miou_present": iou[size > 0].mean() if size.any() else 0.0,
        "left_out": left.mean() if len(left) else np.nan,
        "first": iou[:2][union[:2] > 0].mean() if (union[:2] > 0).any() else np.nan,
        "macc": accuracy.mean(),
        "macc_present": accuracy[size > 0].mean() if size.any() else 0.0,
        "accuracy": (label == given).mean() if len(label) else 0.0,
    }
    return {name: 100 * float(value) for name, value in fractions.items()}


def scene_of(rng: np.random.Generator, points: int) -> Scene:
    coord = rng.normal(0, 25, (points, 3))
    # Some classes are absent from a scene, and some distances.
    return Scene("s", coord, label=rng.integers(-1, rng.integers(1, 5), points).astype(np.int32), class_names=NAMES)


@given(seed=st.integers(0, 9999), outside=st.booleans())
def test_figures_are_those_of_single_points(seed: int, outside: bool) -> None:
    rng = np.random.default_rng(seed)
    counts = Counts.empty(5, visible=True, distance=True)
    labels, predictions, seen, distance = [], [], [], []
    for points in rng.integers(1, 40, 3):
        scene, prediction = scene_of(rng, points), rng.integers(-1 if outside else 0, 5, points).astype(np.int32)
        visible = rng.random(points) < rng.random()
        counts.update(scene, prediction, visible, outside=outside)
        assert scene.label is not None
        labels.append(scene.label)
        predictions.append(prediction)
        seen.append(visible)
        distance.append(np.sqrt((scene.coord**2).sum(axis=1)))
    label, prediction, visible, metres = map(np.concatenate, (labels, predictions, seen, distance))
    found = counts.figures(NAMES, Counting(Absent.LEFT_OUT, {"first": (0, 1)}, (4,)))
    parts = {
        "all": (found, np.ones(len(label), bool)),
        "visible": (found["visible"], visible),
        "invisible": (found["invisible"], ~visible),
        "near": (found["by_distance"]["0 to 20 m"], metres < 20),
        "middle": (found["by_distance"]["20 to 40 m"], (metres >= 20) & (metres < 40)),
        "far": (found["by_distance"]["40 m and more"], metres >= 40),
    }
    for name, (figures, rows) in parts.items():
        expected = by_hand(label[rows], prediction[rows])
        for key in ("miou", "miou_present", "macc", "macc_present", "accuracy"):
            assert figures[key] == pytest.approx(expected[key], abs=1e-3), (name, key)
        assert figures["points"] == ((label >= 0) & rows).sum()
        assert figures["class_points"] == {c: int(((label == k) & rows).sum()) for k, c in enumerate(NAMES)}
    expected = by_hand(label, prediction)
    own = found["benchmark"]
    assert own["miou"] == pytest.approx(expected["left_out"], abs=1e-3, nan_ok=True)
    assert own["groups"]["first"] == pytest.approx(expected["first"], abs=1e-3, nan_ok=True)
    assert own["without_validation_points"] == ["e"] and own["absent_class"] == "is left out"
    zero = counts.figures(NAMES, Counting(Absent.ZERO))["benchmark"]
    assert zero["miou"] == found["miou"] and zero["groups"] == {}


@given(seed=st.integers(0, 9999))
def test_counts_of_files_add_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole, parts = (Counts.empty(5, visible=True, distance=True) for _ in range(2))
    for _ in range(3):
        scene, one = scene_of(rng, 30), parts.like()
        prediction, visible = rng.integers(0, 5, 30).astype(np.int32), rng.random(30) < 0.5
        whole.update(scene, prediction, visible)
        one.update(scene, prediction, visible)
        parts.read(json.loads(json.dumps(one.cells())))
    assert parts.cells() == whole.cells() and parts.figures(NAMES) == whole.figures(NAMES)


@pytest.mark.parametrize(
    "cells", [[], [[]], [[], [], []], [[[5, 0, 1]]], [[[0, -1, 1]]], [[[0, 0]]], 3, [[["a", 0, 0]]]]
)
def test_what_are_no_counts(cells: object) -> None:
    counts = Counts.empty(5)
    if cells == [[]]:
        counts.read(cells)
        assert counts.all_points.points == 0
        return
    with pytest.raises((ValueError, TypeError)):
        counts.read(cells)

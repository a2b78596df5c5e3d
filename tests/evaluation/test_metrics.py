"""The confusion matrix: against counting by hand, and what it makes of absent classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ditr.errors import InputError
from ditr.evaluation.metrics import ConfusionMatrix


@given(classes=st.integers(1, 7), points=st.integers(0, 60), seed=st.integers(0, 999))
def test_equals_counting_by_hand(classes: int, points: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, prediction = rng.integers(-1, classes, points), rng.integers(0, classes, points)
    mask = rng.random(points) < 0.7
    matrix = ConfusionMatrix(classes)
    matrix.update(prediction, label, mask)

    counted = mask & (label >= 0)
    assert matrix.points == counted.sum()
    ious, hits = [], 0
    for c in range(classes):
        truth, guess = (label == c) & counted, (prediction == c) & counted
        ious.append((truth & guess).sum() / max((truth | guess).sum(), 1))
        hits += (truth & guess).sum()
        assert matrix.present[c] == truth.any()
        assert matrix.class_accuracy[c] == pytest.approx((truth & guess).sum() / max(truth.sum(), 1))
    np.testing.assert_allclose(matrix.iou, ious, atol=1e-9)
    assert matrix.miou == pytest.approx(np.mean(ious))
    assert matrix.accuracy == pytest.approx(hits / max(counted.sum(), 1))
    assert matrix.mean_class_accuracy == pytest.approx(matrix.class_accuracy.mean())


def test_absent_classes_count_as_zero_unless_asked_otherwise() -> None:
    matrix = ConfusionMatrix(4)
    matrix.update(np.array([0, 0, 1, 2]), np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(matrix.iou, [1, 0.5, 0, 0], atol=1e-9)
    assert matrix.miou == pytest.approx(1.5 / 4)
    assert matrix.miou_present == pytest.approx(1.5 / 2)
    assert matrix.present.tolist() == [True, True, False, False]


def test_nothing_counted_gives_zeros() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(np.zeros(0, int), np.zeros(0, int))
    matrix.update(np.array([9]), np.array([-1]))
    assert (matrix.points, matrix.miou, matrix.miou_present, matrix.accuracy) == (0, 0, 0, 0)


def test_scenes_add_up_in_any_order() -> None:
    rng = np.random.default_rng(0)
    label, prediction = rng.integers(-1, 5, 900), rng.integers(0, 5, 900)
    whole, merged = ConfusionMatrix(5), ConfusionMatrix(5)
    whole.update(prediction, label)
    for part in (slice(600, None), slice(0, 250), slice(250, 600)):
        scene = ConfusionMatrix(5)
        scene.update(prediction[part], label[part])
        merged.merge(scene)
    assert merged == whole
    assert merged.miou == whole.miou


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64])
def test_small_integer_types_do_not_overflow(dtype: type) -> None:
    matrix = ConfusionMatrix(100)
    matrix.update(np.full(10, 99, dtype), np.full(10, 98, dtype))
    assert matrix.counts[98, 99] == 10


def test_a_json_file_keeps_it_exactly() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(np.array([0, 1, 2, 2]), np.array([0, 2, 2, 1]))
    assert ConfusionMatrix.from_json(json.loads(json.dumps(matrix.to_json()))) == matrix


@pytest.mark.parametrize(
    "document",
    [{}, {"counts": []}, {"counts": [[1, 2]]}, {"counts": [[1.5]]}, {"counts": [[-1]]}, {"counts": [[True]]}],
)
def test_foreign_json_is_an_error(document: dict) -> None:
    with pytest.raises(InputError, match="square matrix"):
        ConfusionMatrix.from_json(document)


@pytest.mark.parametrize(
    ("prediction", "label", "mask", "fault"),
    [
        ([0, 1], [0], None, "shapes"),
        ([0, 1], [0, 1], [True], "shapes"),
        ([[0]], [[0]], None, "shapes"),
        ([0, 1], [0, 3], None, "label lie outside -1..2, the first is 3"),
        ([0, 1], [0, -2], None, "the first is -2"),
        ([0, -1], [0, 1], None, "prediction lie outside 0..2, the first is -1"),
        ([0, 3], [0, 1], None, "the first is 3"),
        ([0.5, 1], [0, 1], None, "float64"),
    ],
)
def test_bad_values_are_errors_and_add_nothing(prediction, label, mask, fault: str) -> None:
    matrix = ConfusionMatrix(3)
    with pytest.raises(InputError, match=fault):
        matrix.update(np.array(prediction), np.array(label), None if mask is None else np.array(mask))
    assert matrix.points == 0


def test_other_class_lists_do_not_merge() -> None:
    with pytest.raises(InputError, match="4 classes against 3"):
        ConfusionMatrix(3).merge(ConfusionMatrix(4))
    with pytest.raises(InputError, match="0 classes"):
        ConfusionMatrix(0)

"""The confusion matrix: against counting by hand, and what it makes of absent classes."""

from __future__ import annotations

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
    np.testing.assert_allclose(matrix.iou, ious, atol=1e-9)
    assert matrix.miou == pytest.approx(np.mean(ious))
    assert matrix.accuracy == pytest.approx(hits / max(counted.sum(), 1))


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
    whole, parts = ConfusionMatrix(5), ConfusionMatrix(5)
    whole.update(prediction, label)
    for part in (slice(600, None), slice(0, 250), slice(250, 600)):
        parts.update(prediction[part], label[part])
    np.testing.assert_array_equal(parts.counts, whole.counts)
    assert parts.miou == whole.miou


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64])
def test_small_integer_types_do_not_overflow(dtype: type) -> None:
    matrix = ConfusionMatrix(100)
    matrix.update(np.full(10, 99, dtype), np.full(10, 98, dtype))
    assert matrix.counts[98, 99] == 10


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


def test_no_classes_are_an_error() -> None:
    with pytest.raises(InputError, match="0 classes"):
        ConfusionMatrix(0)

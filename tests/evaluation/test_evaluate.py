"""Evaluation: figures over every original point, visible and invisible ones apart, and the swap of images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import CLASSES, RULE, make_scene, tiny_config, tiny_encoding, without, write_world

from ditr.captures.capture import read_capture, write_capture
from ditr.data.sample import prepare
from ditr.data.scene_views import scene_views
from ditr.errors import InputError
from ditr.evaluation.evaluate import evaluate, visible_points
from ditr.evaluation.metrics import ConfusionMatrix
from ditr.geometry.projection import see
from ditr.inference.prediction import Prediction
from ditr.inference.segmenter import Segmenter


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """With a head whose mean is the same for all three classes, so that all of them are given to some points."""
    encoding = tiny_encoding(tmp_path_factory.mktemp("encoder"))
    torch.manual_seed(0)
    config = tiny_config(encoding)
    found = Segmenter(config, config.build(), encoding=encoding)
    scene = make_scene()
    views = scene_views(scene, scene.views, [(42, 56)] * 2, 14, RULE)
    tokens = torch.cat(encoding.tokens(scene.views))
    sample = prepare(scene, config.preparation, config.network.pyramid, views=replace(views, tokens=tokens))
    found.model.head.bias.data -= found.logits(sample).mean(dim=0)
    return found


def test_figures_are_those_of_one_confusion_matrix(captures: list[Path], segmenter: Segmenter) -> None:
    kept: dict[int, Prediction] = {}
    told: list[tuple[int, int]] = []
    found = evaluate(segmenter, captures, seed=4, keep=kept.__setitem__, progress=lambda *s: told.append(s))
    whole, visible, invisible = (ConfusionMatrix(3) for _ in range(3))
    for index, capture in enumerate(captures):
        scene = read_capture(capture)
        assert scene.label is not None
        label = segmenter(scene, seed=4).label
        np.testing.assert_array_equal(kept[index].label, label)
        seen = np.any([see(scene.coord, view, RULE).visible for view in scene.views], axis=0)
        np.testing.assert_array_equal(visible_points(scene, segmenter), seen)
        whole.update(label, scene.label)
        visible.update(label[seen], scene.label[seen])
        invisible.update(label[~seen], scene.label[~seen])
    for ours, expected in ((found.all_points, whole), (found.visible, visible), (found.invisible, invisible)):
        np.testing.assert_array_equal(ours.counts, expected.counts)
    assert visible.points > 0 and invisible.points > 0 and visible.points + invisible.points == whole.points
    assert told == [(1, 3), (2, 3), (3, 3)] and found.scenes == 3
    assert len(np.unique(kept[0].label)) > 1, "a test on one class would say little"
    figures = found.to_json()
    assert figures["miou"] == pytest.approx(100 * whole.miou, abs=1e-3)
    assert figures["visible"]["accuracy"] == pytest.approx(100 * visible.accuracy, abs=1e-3)
    assert list(figures["iou"]) == list(CLASSES) and figures["scenes"] == 3


def test_swapped_images_are_those_of_the_next_scene(captures: list[Path], segmenter: Segmenter) -> None:
    kept: dict[int, Prediction] = {}
    evaluate(segmenter, captures, swap_images=True, keep=kept.__setitem__)
    for index, capture in enumerate(captures):
        other = read_capture(captures[(index + 1) % 3])
        expected = segmenter(read_capture(capture), images_of=other)
        np.testing.assert_array_equal(kept[index].confidence, expected.confidence)
        assert (expected.confidence != segmenter(read_capture(capture)).confidence).any()


def test_a_single_capture_has_nothing_to_swap_with(captures: list[Path], segmenter: Segmenter) -> None:
    with pytest.raises(InputError, match="no other capture"):
        evaluate(segmenter, captures[:1], swap_images=True)


def test_captures_that_cannot_be_evaluated_are_named(segmenter: Segmenter, tmp_path: Path) -> None:
    for name, scene, fault in (
        ("bare", without(make_scene(), "label"), "the points have no labels"),
        ("other", replace(make_scene(), class_names=("a", "b", "c")), "its classes are a, b, c"),
    ):
        write_capture(scene, tmp_path / name)
        with pytest.raises(InputError, match=fault) as refused:
            evaluate(segmenter, [tmp_path / name])
        assert refused.value.where == str(tmp_path / name)

"""Two results side by side: in a real browser, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, chromium
from numpy.typing import NDArray

pytest.importorskip("viser", reason="needs viser: pip install 'ditr[view]'")

from ditr.errors import InputError
from ditr.scene import Scene
from ditr.viewer.beside import compared, difference, pane_of, panes
from ditr.viewer.layers import class_layer, layer_makers, opens_on
from ditr.viewer.page import Page
from ditr.viewer.subject import Subject

HERE = (Path("one"), Path("two"))


def subject(label: NDArray[Any], *names: str) -> Subject:
    rng = np.random.default_rng(0)
    scene = Scene("plane", np.column_stack([rng.random((len(label), 2)) * 4, np.zeros(len(label))]))
    return Subject(scene, label=label.astype(np.int32), class_names=names)


def test_classes_are_compared_by_name() -> None:
    first = subject(np.array([0, 0, 1, -1, -1, 1]), "car", "tree")
    second = subject(np.array([1, 0, 2, -1, 0, -1]), "tree", "car", "sign")
    left, beside = compared(first, second, HERE)
    layer = difference(left, beside.subject)
    assert layer.group is not None and left.label is not None
    assert layer.group.tolist() == [0, 1, 1, 2, 1, 1]
    assert "80.0 %" in layer.note
    colors = beside.layers["label"]().group_colors
    own = class_layer(left.label, left.class_names).group_colors
    assert colors is not None and own is not None
    assert (colors[[1, 0]] == own[[0, 1]]).all(), "a name has one colour"


def test_results_open_on_what_they_are_about() -> None:
    """And not on the true labels of their capture."""
    capture = subject(np.zeros(5), "car").scene
    capture = replace(capture, label=np.zeros(5, np.int32), class_names=("car",), color=np.zeros((5, 3), np.uint8))
    of_points = Subject(capture, features=np.zeros((5, 3), np.uint8))
    for shown, first in (
        (Subject(capture), "true label"),
        (of_points, "features"),
        (replace(of_points, features=None, label=np.zeros(5, np.int32), class_names=("car",)), "label"),
        (Subject(replace(capture, label=None)), "colour"),
        (Subject(replace(capture, label=None, color=None)), "height"),
    ):
        assert opens_on(layer_makers(shown)) == first


def test_other_points_and_no_labels_are_refused() -> None:
    first = subject(np.zeros(5), "car")
    with pytest.raises(InputError, match="its 6 points differ from the 5 points of one"):
        compared(first, subject(np.zeros(6), "car"), HERE)
    with pytest.raises(InputError, match="it has no labels to compare"):
        compared(first, Subject(first.scene), HERE)
    true = Subject(replace(first.scene, label=first.label, class_names=("car",)))
    assert compared(true, first, HERE)[0].class_names == ("car",)


def test_names_stay_text_and_each_page_has_a_pair_of_its_own() -> None:
    page = panes(("<script>", "b"), "localhost:1")
    assert "<script>" not in page and "ws://localhost:1/right/" in page
    assert page != panes(("<script>", "b"), "localhost:1")
    assert pane_of("/right/ab") == (1, "ab") and pane_of("/") == (0, "") and pane_of("/x/y/z") == (0, "")


@pytest.fixture
def window() -> Iterator[Any]:
    pytest.importorskip("playwright", reason="needs playwright, of the extra dev")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with chromium(1200, 500) as new:
        yield new()


def wait(what: Callable[[], Any], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


@pytest.mark.slow
def test_cameras_move_together_and_a_class_is_hidden_in_both(window: Any) -> None:
    half = np.arange(4000) % 2
    left, beside = compared(subject(half, "car", "tree"), subject(np.zeros(4000), "car"), HERE)
    page = Page(left, port=0, beside=beside)
    try:
        window.goto(page.address)
        wait(lambda: len(page.browsers.all()) == 2)
        one, two = sorted(page.browsers.all(), key=lambda browser: browser.cloud.look is page.looks[1])
        assert one.cloud.look is page.looks[0] and two.cloud.look is page.looks[1] and one.pair == two.pair
        wait(lambda: one.cloud.rows().size == 4000 and two.cloud.rows().size == 4000)
        wait(lambda: abs(one.client.camera.aspect - two.client.camera.aspect) < 0.05)
        row = window.frame_locator("iframe[title=right]").locator("label", has_text="car").first
        row.wait_for()
        assert "2,000  |  4,000" in row.text_content()
        time.sleep(2)
        before = np.asarray(two.client.camera.position)
        window.mouse.move(200, 300)
        window.mouse.wheel(0, 600)
        wait(lambda: np.linalg.norm(np.asarray(two.client.camera.position) - before) > 0.2)
        time.sleep(1)
        assert np.allclose(one.client.camera.position, two.client.camera.position, atol=0.05)
        row.click()
        wait(lambda: one.cloud.rows().size == 2000 and two.cloud.rows().size == 0)
    finally:
        page.stop()

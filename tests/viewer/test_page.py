"""The page in a real browser: what is drawn, and what clicks in it do."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, chromium
from PIL import Image

pytest.importorskip("viser", reason="needs viser: pip install 'ditr[view]'")
pytest.importorskip("playwright", reason="needs playwright, of the extra dev")
if CHROMIUM is None:
    pytest.skip("needs Chromium", allow_module_level=True)

from small_world import look_at

from ditr.scene import Camera, Scene, View
from ditr.viewer.page import Page
from ditr.viewer.subject import Subject

RED, BLUE = (230, 30, 30), (40, 60, 230)


def two_walls() -> Scene:
    """A floor and a wall, photographed once."""
    rng = np.random.default_rng(0)
    plan = rng.random((8_000, 2)) * 4
    floor = np.column_stack([plan, np.zeros(len(plan))])
    wall = np.column_stack([plan[:, 0], np.full(len(plan), 4.0), plan[:, 1] / 2])
    label = np.repeat([0, 1], len(plan)).astype(np.int32)
    camera = Camera(160, 120, 120.0, 120.0, 80.0, 60.0)
    image = np.full((120, 160, 3), 200, np.uint8)
    view = View("front.png", camera, look_at((2, -3, 2), (2, 3, 0.5)), image)
    color = np.where(label[:, None] == 0, (90, 90, 90), (200, 200, 200)).astype(np.uint8)
    names = ("floor", "<b>wall</b>")
    return Scene("two_walls", np.concatenate([floor, wall]), (view,), color=color, label=label, class_names=names)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    made = Page(Subject(two_walls()), port=0)
    # Colours that no other part of the page has.
    made.legend._own |= {"floor": RED, "<b>wall</b>": BLUE}
    made.legend._paint()
    made.repaint()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def windows() -> Iterator[Callable[[], Any]]:
    with chromium(800, 500) as new:
        yield new


def share(window: Any, color: tuple[int, int, int]) -> float:
    """Of the cloud's part of the window that has about a colour."""
    picture = np.asarray(Image.open(io.BytesIO(window.screenshot())).convert("RGB"), np.int64)[:, :470]
    return float((np.abs(picture - color).max(axis=2) < 45).mean())


def wait(what: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.15)


def opened(page: Page, window: Any) -> Any:
    window.goto(page.address)
    wait(lambda: share(window, RED) > 0.08 and share(window, BLUE) > 0.04)
    return window


def test_classes_are_hidden_shown_and_isolated(page: Page, windows: Callable[[], Any]) -> None:
    window = windows()
    asked: list[str] = []
    window.on("request", lambda request: asked.append(request.url))
    opened(page, window)
    floor = share(window, RED)
    window.get_by_label("floor  ·  8,000").click()
    wait(lambda: share(window, RED) < 0.005)
    assert share(window, BLUE) > 0.04
    window.get_by_label("floor  ·  8,000").click()
    wait(lambda: share(window, RED) > 0.9 * floor)
    window.get_by_label("<b>wall</b>  ·  8,000").click()
    wait(lambda: share(window, BLUE) < 0.005)
    window.get_by_label("<b>wall</b>  ·  8,000").click()
    wait(lambda: share(window, BLUE) > 0.04)
    own = f"http://127.0.0.1:{page.server.get_port()}/"
    assert asked and all(url.startswith((own, "blob:", "data:")) for url in asked), "it asks nobody else for anything"
    window.context.close()

"""The tab of objects, in a real browser: they are counted, and the camera goes to each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, chromium, press, share, tab, wait

pytest.importorskip("viser", reason="needs viser: pip install 'ditr[view]'")
pytest.importorskip("playwright", reason="needs playwright, of the extra dev")
if CHROMIUM is None:
    pytest.skip("needs Chromium", allow_module_level=True)

from ditr.scene import Scene
from ditr.viewer.page import Page
from ditr.viewer.subject import Subject

BOX = (255, 60, 20)


def two_crates() -> Scene:
    """A floor, and two crates of different size on it."""
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.random((6_000, 2)) * 6, np.zeros(6_000)])
    crates = [
        np.array([x, 3, 0]) + size * surface
        for x, size in ((1.0, 0.6), (4.0, 1.2))
        for surface in [cube_surface(rng, 3_000)]
    ]
    label = np.repeat([0, 1], [6_000, 6_000]).astype(np.int32)
    coord = np.concatenate([floor, *crates])
    return Scene("crates", coord, label=label, class_names=("floor", "crate"), up=np.array([0.0, 0.0, 1.0]))


def cube_surface(rng: np.random.Generator, count: int) -> np.ndarray:
    points = rng.random((count, 3))
    axis = rng.integers(0, 3, count)
    points[np.arange(count), axis] = rng.integers(0, 2, count)
    return points


def looked_at(page: Page, client: Any) -> np.ndarray:
    """What a browser's camera looks at, in the scene's frame."""
    return np.asarray(client.camera.look_at) + page.origin


@pytest.fixture(scope="module")
def window() -> Iterator[tuple[Page, Any]]:
    page = Page(Subject(two_crates()), port=0)
    try:
        page.legend._own |= {"floor": (90, 90, 200), "crate": (60, 160, 60)}
        page.legend._paint()
        page.repaint()
        with chromium(1000, 600) as new:
            window = new()
            window.goto(page.address)
            window.locator(".mantine-Notification-closeButton").first.click(timeout=90_000)
            wait(lambda: share(window, (60, 160, 60)) > 0.01)
            yield page, window
    finally:
        page.stop()


def test_objects_are_counted_and_flown_to(window: tuple[Page, Any]) -> None:
    page, shown = window
    tab(shown, "Objects")
    press(shown, "Find objects")
    wait(lambda: shown.get_by_text("2 crates").count() > 0)
    assert shown.get_by_text("m² of floor").count() == 1
    before = share(shown, (60, 160, 60))
    places: list[np.ndarray] = []
    for _ in range(2):
        press(shown, "Next object")
        wait(lambda: share(shown, BOX) > 0.001, 90)
        wait(lambda: share(shown, (60, 160, 60)) > 1.5 * before, 90)
        (client,) = page.server.get_clients().values()
        wait(lambda client=client: min(abs(looked_at(page, client)[0] - x) for x in (1.3, 4.6)) < 0.1, 90)
        wait(lambda client=client: not places or abs(looked_at(page, client)[0] - places[-1][0]) > 1, 90)
        places.append(looked_at(page, client))
    assert {round(float(place[0]), 1) for place in places} == {1.3, 4.6}

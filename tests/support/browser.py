"""A real browser for tests of the page: headless Chromium with its software renderer."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@contextmanager
def chromium(width: int = 1280, height: int = 800) -> Iterator[Any]:
    """Makes windows: a function without arguments that returns a page of playwright, each with cookies of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield lambda: browser.new_context(viewport={"width": width, "height": height}).new_page()
        finally:
            browser.close()


def canvas(window: Any) -> dict[str, float]:
    box: dict[str, float] = window.locator("canvas").first.bounding_box()
    return box


def picture(window: Any) -> NDArray[np.int64]:
    """What the window shows of the cloud."""
    box = canvas(window)
    content = Image.open(io.BytesIO(window.screenshot())).convert("RGB")
    left, top = round(box["x"]), round(box["y"])
    part = np.asarray(content, np.int64)[top : top + round(box["height"]), left : left + round(box["width"])]
    return np.asarray(part, np.int64)


def share(window: Any, color: tuple[int, int, int]) -> float:
    """Of the picture that has about a colour."""
    return float((np.abs(picture(window) - color).max(axis=2) < 45).mean())


def wait(what: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def tab(window: Any, name: str) -> None:
    window.get_by_role("tab", name=name).click()


def press(window: Any, name: str) -> None:
    window.get_by_role("button", name=name, exact=True).click()

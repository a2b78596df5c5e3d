"""A real browser for tests of the page: headless Chromium with its software renderer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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

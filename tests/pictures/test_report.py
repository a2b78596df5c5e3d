"""The HTML report: well-formed, self-contained, escaped, and shown by a browser."""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ditr.errors import InputError
from ditr.pictures.panels import LegendEntry, Panel
from ditr.pictures.report import (
    Bar,
    Change,
    Code,
    Compare,
    Facts,
    Legend,
    Pictures,
    Report,
    Row,
    Section,
    Table,
    Text,
    Tile,
    Tiles,
    data_uri,
    write_report,
)

VOID = {"meta", "img", "input", "br", "hr", "link"}
NASTY = "<script>alert('x')</script> & \"quoted\" ünïcode 墙"


class Page(HTMLParser):
    """Checks that tags close in order; keeps text and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def picture(shade: int = 90) -> np.ndarray:
    return np.full((30, 40, 3), (shade, 120, 200), dtype=np.uint8)


def report() -> Report:
    table = Table(
        ["Class", "Points", "PTv3", "DITR", "Difference", "Note"],
        [
            Row(NASTY, [1234567, Bar(12.34), Bar(45.6, better=True), Change(33.26), "a `b` **c**"], color=(1, 2, 255)),
            Row("door", [0, Bar(None), Bar(float("nan"), better=False), Change(-0.04), ""], strong=True),
            Row("none", [None, Bar(250.0), Bar(-3.0), Change(None), NASTY]),
        ],
        caption="Percent.",
    )
    blocks = [
        Text("One.\n\nTwo with `code` and **weight**."),
        Tiles([Tile("DITR", "77.6", "mIoU", strong=True), Tile(NASTY, "1")]),
        table,
        Legend([LegendEntry("wall", (10, 200, 30))]),
        Pictures([Panel(picture(), NASTY), Panel(picture(20), "two")]),
        Compare(Panel(picture(), "left"), Panel(picture(200), "right"), "slide"),
        Facts([("Seed", "0"), (NASTY, NASTY)]),
        Code("ditr demo --out <folder>"),
    ]
    return Report(f"Report {NASTY}", "Lead.", [Section("Result", blocks)], footer="End.")


def test_the_page_is_well_formed_and_says_what_was_given() -> None:
    page = Page(report().html())
    assert page.tags.count("script") == 1 and page.text.count(NASTY) >= 5
    assert page.tags.count("img") == 4 and page.tags.count("section") == 1 and page.tags.count("tr") == 4
    for expected in ("1,234,567", "12.3", "45.6", "+33.3", "0.0", "ditr demo --out <folder>", "–"):
        assert expected in page.text
    assert "−0.0" not in page.text
    assert [(t, v) for t, n, v in page.attributes if n == "lang"] == [("html", "en")]
    assert all(v for t, n, v in page.attributes if t == "img" and n == "alt")


def test_the_page_refers_to_nothing_outside_itself() -> None:
    text = report().html()
    page = Page(text)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "srcset", "action", "data", "poster"):
            assert tag == "img" and value.startswith("data:image/")
    assert "link" not in page.tags and "iframe" not in page.tags
    assert "http://" not in text and "https://" not in text and "url(" not in text and "@import" not in text


def test_bars_are_as_long_as_their_numbers() -> None:
    shares = [v for t, n, v in Page(report().html()).attributes if n == "style" and "--share" in v]
    assert shares == [f"--share:{x}%" for x in ("12.3", "45.6", "0.0", "0.0", "100.0", "0.0")]


def test_dark_phones_and_paper_are_provided_for() -> None:
    text = report().html()
    for rule in ("prefers-color-scheme: dark", "max-width: 640px", "@media print", 'name="viewport"'):
        assert rule in text


def test_pictures_survive_in_their_uri() -> None:
    rng = np.random.default_rng(0)
    smooth = np.repeat(np.linspace(0, 255, 300).astype(np.uint8)[None, :, None], 3, axis=2).repeat(200, axis=0)
    for image, kind in ((picture(), "png"), (np.maximum(smooth, rng.integers(0, 90, smooth.shape, np.uint8)), "jpeg")):
        head, data = data_uri(image).split(",")
        assert head == f"data:image/{kind};base64"
        back = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
        assert np.abs(back.astype(int) - image).mean() < 8


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_text_is_shown_as_it_is(text: str) -> None:
    page = Report("t", "l", [Section("s", [Code(text), Facts([("k", text)]), Table(["a"], [Row(text, [])])])]).html()
    assert Page(page).tags.count("pre") == 1


def test_a_row_of_the_wrong_length_is_named() -> None:
    with pytest.raises(InputError, match="row door"):
        Table(["a", "b"], [Row("door", [])]).html()


def test_the_file_is_written_whole_and_equal_every_time(tmp_path: Path) -> None:
    write_report(tmp_path / "a.html", report())
    write_report(tmp_path / "b.html", report())
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(InputError):
        write_report(tmp_path / "c.html", Report("t", "l", [Section("s", [Table(["a", "b"], [Row("door", [])])])]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "b.html"]


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_the_page(tmp_path: Path, dark: bool) -> None:
    assert CHROMIUM is not None
    write_report(tmp_path / "report.html", report())
    shot = tmp_path / "shot.png"
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --hide-scrollbars"
    flags += " --disable-component-update --disable-sync --window-size=900,1400"
    flags += f" --blink-settings=preferredColorScheme={0 if dark else 1}"
    command = [CHROMIUM, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={shot}"]
    subprocess.run([*command, (tmp_path / "report.html").as_uri()], check=True, capture_output=True, timeout=120)
    image = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    corner = image[-5, 5]
    assert (corner < 60).all() if dark else (corner > 240).all()
    blue = (np.abs(image - [90, 120, 200]).max(axis=2) < 12).sum()
    assert blue > 40_000, "the pictures are shown at the width of their column"

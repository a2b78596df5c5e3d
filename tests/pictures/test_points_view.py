"""The 3D view, tables and curves of a report, in a real browser without a network; and how points are packed."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, chromium
from PIL import Image

from ditr.pictures.charts import Curve, Matrix, Plot, moving_mean
from ditr.pictures.panels import LegendEntry, Panel
from ditr.pictures.points_view import ClassLayer, ColorLayer, PointsView, ValueLayer, even_subset, points_view
from ditr.pictures.report import Bar, Compare, Report, Row, Section, Table, Verbatim, write_report
from ditr.scene import Scene

RED, BLUE, GREEN = (230, 30, 30), (40, 60, 230), (20, 200, 60)
NASTY = '<script>document.title="taken"</script>"\' </template> `a` **b**'
KEPT = Path(__file__).with_name("points_view.png")


def two_floors(points: int = 20_000) -> Scene:
    """Two squares one above the other, on a slant in their own frame."""
    rng = np.random.default_rng(0)
    plan = rng.random((points, 2)) * 30
    upper = np.arange(points) % 3 == 0
    coord = np.column_stack([plan, np.where(upper, 6.0, 0.0)])
    coord[upper, 0] *= 0.5
    color = np.tile(np.array(GREEN, np.uint8), (points, 1))
    return Scene("two floors", coord, (), color=color, label=upper.astype(np.int32), class_names=("low", NASTY))


def view_of(scene: Scene, *, most: int = 400_000) -> PointsView:
    assert scene.label is not None and scene.color is not None
    entries = [LegendEntry("low", RED), LegendEntry(NASTY, BLUE), LegendEntry("no label", (150, 150, 150))]
    layers = [
        ClassLayer("Label", scene.label, entries),
        ColorLayer("Colour", scene.color),
        ValueLayer("Confidence", np.where(scene.label == 1, 1.0, 0.0)),
    ]
    still = Panel(np.full((40, 60, 3), 90, np.uint8), NASTY)
    return points_view(scene, layers, title=Verbatim(NASTY), up=np.array([0.0, 0, 1]), still=still, most=most)


def report() -> Report:
    rows = [
        Row(Verbatim(NASTY), [Bar(20.0), 3, None]),
        Row("b", [Bar(70.0), 11, 1.5]),
        Row("c", [Bar(None), 2, -4.0]),
    ]
    table = Table(["Class", "IoU, %", "Points", "More"], rows, sortable=True)
    plot = Plot("Loss", "step", "loss", [Curve(NASTY, np.arange(900.0), np.geomspace(4, 0.1, 900))], floor=0.0)
    matrix = Matrix([NASTY, "b", "c"], np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]]), caption="Percent.")
    image = np.full((20, 30, 3), 200, np.uint8)
    compare = Compare(Panel(image, Verbatim(NASTY)), Panel(image // 2, "b"))
    return Report(Verbatim(NASTY), "Lead.", [Section("All", [view_of(two_floors()), table, plot, matrix, compare])])


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, list[str]]]:
    """The page from its file, with the network off; and what the browser complains of."""
    pytest.importorskip("playwright", reason="needs playwright, of the extra dev")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, report())
    said: list[str] = []
    with chromium(900, 800) as new:
        window = new()
        window.context.set_offline(True)
        window.on("console", lambda message: said.append(message.text))
        window.on("pageerror", lambda error: said.append(str(error)))
        window.on("request", lambda request: said.append(request.url) if not _own(request.url) else None)
        window.goto(path.as_uri())
        window.wait_for_selector(".points.live")
        yield window, said


def _own(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:"))


def canvas(window: Any) -> np.ndarray:
    window.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return np.asarray(Image.open(io.BytesIO(window.locator("canvas").screenshot())).convert("RGB"), np.int64)


def share(window: Any, color: tuple[int, int, int]) -> float:
    return float((np.abs(canvas(window) - color).max(axis=2) < 60).mean())


def test_points_are_drawn_hidden_and_coloured_without_a_network(opened: tuple[Any, list[str]]) -> None:
    window, said = opened
    assert share(window, RED) > 0.05 and share(window, BLUE) > 0.03
    assert [text.split("\n")[0] for text in window.locator(".classes .name").all_inner_texts()] == ["low", NASTY]
    window.locator(".classes input").nth(1).click()
    assert share(window, BLUE) < 0.001 < share(window, RED)
    window.locator(".classes button").nth(1).click()
    assert share(window, RED) < 0.001 < share(window, BLUE)
    window.get_by_role("button", name="Colour", exact=True).click()
    assert share(window, BLUE) < 0.001 < share(window, GREEN), "a legend goes on to hide in other colours"
    window.locator(".classes button").nth(1).click()
    window.get_by_role("button", name="Confidence").click()
    assert window.locator(".ramp").is_visible() and share(window, GREEN) < 0.001
    window.get_by_role("button", name="Label", exact=True).click()
    before = canvas(window)
    window.locator("canvas").drag_to(
        window.locator("canvas"), source_position={"x": 300, "y": 200}, target_position={"x": 420, "y": 230}
    )
    assert np.abs(canvas(window) - before).mean() > 2, "it turns"
    window.get_by_role("button", name="Reset view").click()
    assert np.abs(canvas(window) - before).mean() < 0.5
    rows, columns = np.nonzero(np.abs(before - BLUE).max(axis=2) < 60)
    middle = len(rows) // 2
    window.locator("canvas").click(position={"x": int(columns[middle]), "y": int(rows[middle])})
    assert window.locator(".told").inner_text() == f"Label: {NASTY} · Confidence 1.00"
    assert said == [] and window.title() != "taken"


def test_the_picture_is_that_of_before(opened: tuple[Any, list[str]]) -> None:
    window, _ = opened
    window.evaluate("document.querySelector('.told').textContent = ''")
    found = Image.fromarray(canvas(window).astype(np.uint8)).resize((225, 125), Image.Resampling.BOX)
    with Image.open(KEPT) as kept:
        assert np.abs(np.asarray(kept.convert("RGB"), np.int64) - np.asarray(found, np.int64)).mean() < 6


def test_a_click_sorts_a_table(opened: tuple[Any, list[str]]) -> None:
    window, said = opened

    def names() -> list[str]:
        return [text[0] for text in window.locator("table.sortable tbody th").all_inner_texts()]

    assert names() == ["<", "b", "c"]
    orders = []
    for title in ("IoU, %", "IoU, %", "Points", "More", "Class"):
        window.get_by_role("button", name=title).click()
        orders.append("".join(names()))
    assert orders == ["b<c", "<bc", "b<c", "bc<", "<bc"], "unknown numbers stay last"
    assert said == []


def test_curves_confusion_phones_paper_and_browsers_without_3d(opened: tuple[Any, list[str]]) -> None:
    window, said = opened
    assert window.locator(".plot polyline").count() == 1 and window.locator(".plot text").count() > 8
    assert window.locator(".matrix td").all_inner_texts() == ["80.0", "20.0", "10.0", "90.0"]
    window.set_viewport_size({"width": 360, "height": 700})
    assert window.evaluate("document.documentElement.scrollWidth") == 360
    window.emulate_media(media="print")
    assert window.locator(".still").is_visible() and not window.locator("canvas").is_visible()
    window.emulate_media(media="screen")
    window.set_viewport_size({"width": 900, "height": 800})
    # As in a browser without WebGL.
    window.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    window.reload()
    window.wait_for_selector(".points:not(.waits)")
    assert window.locator(".without").is_visible() and window.locator(".still").is_visible()
    assert not window.locator("canvas").is_visible() and said == []


def test_a_page_allows_its_own_scripts_alone() -> None:
    page = report().html()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    allowed = policy[1].replace("&#39;", "'")
    assert allowed.startswith("default-src 'none'") and "connect-src" not in allowed and "unsafe-eval" not in allowed
    scripts = allowed.split("script-src ")[1].split(";")[0]
    assert scripts.count("sha256-") == 2 and "unsafe" not in scripts
    assert "script-src 'none'" in Report("t", "l", []).html().replace("&#39;", "'")
    assert NASTY not in page and page.count("<script>") == 2


def test_points_are_chosen_evenly_and_pages_stay_small() -> None:
    scene = two_floors(1_000_000)
    rows = even_subset(scene.coord, 50_000)
    assert len(rows) == 50_000 and (np.diff(rows) > 0).all()
    parts = np.histogram2d(*scene.coord[rows][:, :2].T, bins=6)[0] / np.histogram2d(*scene.coord[:, :2].T, bins=6)[0]
    assert np.abs(parts / 0.05 - 1).max() < 0.05
    page = Report("t", "l", [Section("s", [view_of(scene)])]).html()
    assert 4e6 < len(page) < 15e6
    assert "400,000 of 1,000,000 points" in page


def test_strays_do_not_cost_the_others_their_precision() -> None:
    scene = two_floors(2_000)
    coord = scene.coord.copy()
    coord[7] = 1e7
    packed = view_of(replace(scene, coord=coord))
    assert '"count": 1999' in packed.settings
    assert float(packed.settings.split('"step": ')[1].split(",")[0]) < 0.001


def test_means_of_what_is_known() -> None:
    values = np.array([1.0, np.nan, 3.0, 5.0])
    assert moving_mean(values, 2).tolist() == [1, 1, 3, 4]
    plot = Plot("t", "x", "y", [Curve("", np.arange(4.0), values)])
    assert len(plot.drawn["lines"][0][1]) == 3

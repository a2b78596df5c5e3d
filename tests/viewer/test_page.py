"""The page in a real browser: what is drawn, and what clicks in it do."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, canvas, chromium, picture, press, share, tab, wait

pytest.importorskip("viser", reason="needs viser: pip install 'ditr[view]'")
pytest.importorskip("playwright", reason="needs playwright, of the extra dev")
if CHROMIUM is None:
    pytest.skip("needs Chromium", allow_module_level=True)

from small_world import look_at

from ditr.captures.capture import write_capture
from ditr.data.scene_views import points_in
from ditr.geometry.projection import VisibilityRule
from ditr.labelling.bank import read_bank
from ditr.labelling.cells import make_cells
from ditr.labelling.clicks import Clicks, read_clicks, scene_identity, write_clicks
from ditr.labelling.session import Session
from ditr.pictures.render import DrawnCloud
from ditr.pictures.viewpoint import Viewpoint
from ditr.pictures.viewpoint import look_at as free_pose
from ditr.scene import Camera, ReadOptions, Scene, View
from ditr.viewer.desk import Desk, Places
from ditr.viewer.page import Page
from ditr.viewer.subject import Subject, read_subject

RED, BLUE = (230, 30, 30), (40, 60, 230)
WALL = "<b>wall</b>"


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
    names = ("floor", WALL)
    return Scene("two_walls", np.concatenate([floor, wall]), (view,), color=color, label=label, class_names=names)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    yield from served(two_walls(), tmp_path)


def served(scene: Scene, folder: Path) -> Iterator[Page]:
    made = Page(Subject(scene), port=0)
    try:
        places = Places(folder / "clicks.json", folder / "labels", folder / "capture", folder / "mine.bank")
        Desk(made, places, folder, None, None, 0.1)
        # Colours that no other part of the page has.
        made.legend._own |= {"floor": RED, WALL: BLUE, "ground": RED}
        made.legend._paint()
        made.repaint()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def windows() -> Iterator[Callable[[], Any]]:
    with chromium(1000, 600) as new:
        yield new


def opened(page: Page, window: Any) -> Any:
    window.goto(page.address)
    # Chromium without a GPU gets a note that lies over the picture.
    window.locator(".mantine-Notification-closeButton").first.click()
    wait(lambda: share(window, RED) > 0.06 and share(window, BLUE) > 0.04)
    return window


def first_view(page: Page, window: Any) -> Viewpoint:
    """The camera that the page begins with, in a window."""
    first, box = page._camera, canvas(window)
    width, height = round(box["width"]), round(box["height"])
    focal = height / 2 / np.tan(first.field / 2)
    camera = Camera(width, height, focal, focal, width / 2, height / 2)
    return Viewpoint(camera, free_pose(first.position + page.origin, first.look_at + page.origin, first.up))


def click_on(page: Page, window: Any, place: tuple[float, float, float]) -> None:
    """Click where the window shows a place of the scene."""
    view, box = first_view(page, window), canvas(window)
    x, y, z = view.world_to_camera[:3, :3] @ place + view.world_to_camera[:3, 3]
    window.mouse.click(
        box["x"] + view.camera.cx + view.camera.fx * x / z, box["y"] + view.camera.cy + view.camera.fy * y / z
    )


def field_of(window: Any, label: str) -> Any:
    return window.locator(".mantine-Flex-root", has_text=label).locator("input:visible").first


def chosen_class(window: Any) -> str:
    row = window.locator(".mantine-Flex-root", has_text=re.compile("^Class$"))
    value: str = row.locator("input:visible").first.input_value()
    return value


def test_clicks_become_labels_and_classes_are_hidden(page: Page, windows: Callable[[], Any], tmp_path: Path) -> None:
    window, asked = windows(), list[str]()
    window.on("request", lambda request: asked.append(request.url))
    opened(page, window)
    tab(window, "Label")
    press(window, "Start labelling")
    for name, place in (("ground", (1.0, 1.0, 0.0)), (WALL, (2.0, 4.0, 1.0))):
        field_of(window, "New class").fill(name)
        press(window, "Add the class")
        wait(lambda name=name: chosen_class(window) == name)
        click_on(page, window, place)
    wait(lambda: window.get_by_text("2 clicks, not saved yet").count() > 0)
    wait(lambda: share(window, RED) > 0.06 and share(window, BLUE) > 0.04)
    assert (tmp_path / "clicks.json.journal").exists()
    press(window, "Save the clicks")
    wait(lambda: window.get_by_text("2 clicks, saved").count() > 0)
    assert not (tmp_path / "clicks.json.journal").exists()
    clicks = read_clicks(tmp_path / "clicks.json")
    assert [action.name for action in clicks.actions] == ["ground", WALL]
    scene = page.subject.scene
    session = Session(scene, make_cells(scene, None, size=0.1))
    session.replay(clicks, "clicks.json")
    assert scene.label is not None and (session.of_points()[0] == scene.label).mean() > 0.95
    floor = share(window, RED)
    row = window.locator("label", has_text="ground").first
    row.click()
    wait(lambda: share(window, RED) < 0.005)
    assert share(window, BLUE) > 0.04
    row.click()
    wait(lambda: share(window, RED) > 0.9 * floor)
    own = f"http://127.0.0.1:{page.server.get_port()}/"
    assert asked and all(url.startswith((own, "blob:", "data:")) for url in asked), "it asks nobody else for anything"
    window.context.close()


@pytest.mark.slow
def test_undo_lock_brush_and_the_least_sure(page: Page, windows: Callable[[], Any], tmp_path: Path) -> None:
    window = opened(page, windows())
    tab(window, "Label")
    press(window, "Start labelling")
    wait(lambda: window.get_by_text("nothing clicked yet").count() > 0)
    click_on(page, window, (1.0, 1.0, 0.0))
    wait(lambda: window.get_by_text("1 clicks, not saved yet").count() > 0)
    press(window, "Undo")
    wait(lambda: window.get_by_text("0 clicks").count() > 0)
    slider = field_of(window, "Brush (m)")
    slider.fill("0.3")
    slider.press("Enter")
    time.sleep(1)
    click_on(page, window, (1.0, 1.0, 0.0))
    wait(lambda: window.get_by_text("1 clicks, not saved yet").count() > 0)
    field_of(window, "New class").fill("side")
    press(window, "Add the class")
    time.sleep(1)
    click_on(page, window, (2.0, 4.0, 1.0))
    wait(lambda: window.get_by_text("2 clicks, not saved yet").count() > 0)
    press(window, "Lock the class")
    time.sleep(1)
    before = np.asarray(page.browsers.all()[0].client.camera.position)
    press(window, "Go to the least sure")
    wait(lambda: np.linalg.norm(np.asarray(page.browsers.all()[0].client.camera.position) - before) > 0.5)
    press(window, "Save the clicks")
    wait(lambda: (tmp_path / "clicks.json").exists())
    assert [action.gesture for action in read_clicks(tmp_path / "clicks.json").actions] == ["ball", "ball", "lock"]
    (tmp_path / "mine.bank").write_text("somebody else's")
    press(window, "Bank of classes")
    wait(lambda: (tmp_path / "mine-2.bank").exists() and window.get_by_text("mine-2.bank").count() > 0)
    (tmp_path / "labels").mkdir()
    for name, path in (
        ("Labels", "labels-2/labels.ply"),
        ("Capture for training", "capture/transforms.json"),
        ("Labels", "labels-2/labels.ply"),
    ):
        (tmp_path / path).unlink(missing_ok=True)
        press(window, name)
        wait(lambda path=path: (tmp_path / path).exists())
    assert (tmp_path / "mine.bank").read_text() == "somebody else's" and not list((tmp_path / "labels").iterdir())
    assert not (tmp_path / "labels-3").exists()
    assert read_bank(tmp_path / "mine-2.bank").classes == ("floor", "side")
    assert read_subject(tmp_path / "labels-2", ReadOptions(), tmp_path / "capture").class_names == ("floor", "side")
    window.context.close()


@pytest.mark.slow
def test_a_photograph_is_looked_through_and_clicked_in(page: Page, windows: Callable[[], Any]) -> None:
    window = opened(page, windows())
    view = page.subject.scene.views[0]
    tab(window, "Photographs")
    press(window, "Look through it")
    (browser,) = page.browsers.all()
    wait(lambda: browser.picture is not None)
    wait(lambda: np.allclose(browser.client.camera.position, view.center - page.origin, atol=1e-3))
    # The photograph is of one grey; the labels lie over it.
    expected = [(200 + 0.45 * (np.array(color) - 200)).astype(int) for color in (RED, BLUE)]
    wait(lambda: all(share(window, tuple(color)) > 0.05 for color in expected))
    box = canvas(window)
    found: list[int] = []
    page.on_point.insert(0, lambda _, point: bool(found.append(point)) or True)
    window.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    wait(lambda: len(found) > 0)
    pixel, _ = points_in(page.subject.scene, view, VisibilityRule())
    assert np.abs(pixel[found[0]] - [80, 60]).max() < 4
    press(window, "Back to the cloud")
    wait(lambda: share(window, RED) > 0.06 and share(window, BLUE) > 0.04)
    window.context.close()


@pytest.mark.slow
def test_a_line_drawn_in_a_photograph_labels_what_it_crosses(
    page: Page, windows: Callable[[], Any], tmp_path: Path
) -> None:
    window = opened(page, windows())
    tab(window, "Label")
    press(window, "Start labelling")
    wait(lambda: window.get_by_text("nothing clicked yet").count() > 0)
    tab(window, "Photographs")
    press(window, "Look through it")
    (browser,) = page.browsers.all()
    wait(lambda: browser.picture is not None)
    time.sleep(1)
    before = np.asarray(browser.client.camera.position)
    box = canvas(window)
    middle = box["x"] + box["width"] / 2, box["y"] + 0.8 * box["height"]
    window.mouse.move(middle[0] - 100, middle[1])
    window.mouse.down()
    for step in range(-100, 101, 20):
        window.mouse.move(middle[0] + step, middle[1])
        time.sleep(0.06)
    window.mouse.up()
    tab(window, "Label")
    wait(lambda: window.get_by_text("1 clicks, not saved yet").count() > 0)
    assert np.allclose(browser.client.camera.position, before), "who draws does not turn the camera"
    press(window, "Save the clicks")
    wait(lambda: (tmp_path / "clicks.json").exists())
    (action,) = read_clicks(tmp_path / "clicks.json").actions
    assert (action.name, action.gesture, action.view) == ("floor", "stroke", "front.png")
    u, v = np.array(action.pixels).T
    assert len(u) > 4 and u.min() < 70 and u.max() > 90 and np.ptp(v) < 2 and 80 < v.mean() < 120
    window.context.close()


@pytest.mark.slow
def test_two_browsers_show_the_same_and_one_may_vanish(page: Page, windows: Callable[[], Any]) -> None:
    first, second = opened(page, windows()), opened(page, windows())
    row = first.locator("label", has_text="floor").first
    row.click()
    wait(lambda: share(second, RED) < 0.005 and share(first, RED) < 0.005)
    row.click()
    second.context.close()
    wait(lambda: share(first, RED) > 0.06)
    wait(lambda: len(page.browsers.all()) == 1)
    tab(first, "Tools")
    first.get_by_label("Click two points").click()
    time.sleep(1)
    click_on(page, first, (1.0, 1.0, 0.0))
    time.sleep(1)
    click_on(page, first, (3.0, 1.0, 0.0))
    said = field_of(first, "Distance")
    wait(lambda: said.input_value().startswith(("1.9", "2.0")))
    first.context.close()


@pytest.mark.slow
def test_a_browser_may_vanish_as_it_clicks(page: Page, windows: Callable[[], Any]) -> None:
    first, second = opened(page, windows()), opened(page, windows())
    tab(first, "Label")
    press(first, "Start labelling")
    wait(lambda: first.get_by_text("nothing clicked yet").count() > 0)
    click_on(page, second, (1.0, 1.0, 0.0))
    second.context.close()
    wait(lambda: len(page.browsers.all()) == 1)
    click_on(page, first, (3.0, 1.0, 0.0))
    wait(lambda: first.get_by_text(re.compile("^[12] clicks, not saved yet")).count() > 0)
    wait(lambda: share(first, RED) > 0.1, 10)
    first.context.close()


@pytest.mark.slow
def test_a_scene_of_kilometres_is_seen(tmp_path: Path, windows: Callable[[], Any]) -> None:
    scene = two_walls()
    pages = served(replace(scene, coord=3_000 * scene.coord, views=()), tmp_path)
    page = next(pages)
    opened(page, windows()).context.close()
    next(pages, None)


@pytest.mark.slow
def test_a_room_looks_as_the_pictures_of_it_do(tmp_path: Path, windows: Callable[[], Any]) -> None:
    """A built-in room: in its first view the page has the classes where a picture by our own renderer has them."""
    rooms = pytest.importorskip("ditr.worlds.rooms.generate")
    pytest.importorskip("embreex", reason="rooms need embreex: pip install 'ditr[rooms]'")
    from ditr.worlds.rooms.config import RoomsConfig

    scene = rooms.make_room(RoomsConfig(), "test", 0)
    assert scene.label is not None
    pages = served(scene, tmp_path)
    page = next(pages)
    window = windows()
    window.goto(page.address)
    colors = page.legend.colors_of(page.layer_of("true label"))[:-1].astype(np.int64)
    wait(lambda: (picture(window).min(axis=2) < 200).mean() > 0.2)
    window.locator(".mantine-Notification-closeButton").first.click()
    if page.album is not None:
        tab(window, "Photographs")
        window.get_by_label("Show cameras").click()
    time.sleep(3)
    view = first_view(page, window)
    drawn = DrawnCloud.of(scene).from_viewpoint(replace(view, shown=page._camera.open))
    shown = picture(window)
    sight = drawn.index[:: drawn.supersampling, :: drawn.supersampling][: len(shown), : shown.shape[1]]
    shown = shown[: len(sight), : sight.shape[1]]
    known = (sight >= 0) & (scene.label[sight] >= 0) & (shown.max(axis=2) - shown.min(axis=2) > 20)
    nearest = np.abs(shown[known][:, None] - colors[None]).sum(axis=2).argmin(axis=1)
    assert known.mean() > 0.2
    assert (nearest == scene.label[sight[known]]).mean() > 0.85
    window.context.close()
    next(pages, None)


@pytest.mark.slow
def test_clicks_outlive_a_page_that_is_killed(windows: Callable[[], Any], tmp_path: Path) -> None:
    """A real process; the next one goes on, and one on another capture refuses."""
    write_capture(two_walls(), tmp_path / "scan")
    process, address = started(tmp_path, "scan")
    window = windows()
    window.goto(address)
    tab(window, "Label")
    press(window, "Start labelling")
    wait(lambda: window.get_by_text("nothing clicked yet").count() > 0, 120)
    box = canvas(window)
    for down in (0.55, 0.6, 0.65):
        window.mouse.click(box["x"] + box["width"] / 2, box["y"] + down * box["height"])
        time.sleep(1.5)
    wait(lambda: window.get_by_text("3 clicks, not saved yet").count() > 0)
    process.kill()
    process.wait()
    window.context.close()
    process, address = started(tmp_path, "scan")
    window = windows()
    window.goto(address)
    tab(window, "Label")
    press(window, "Start labelling")
    wait(lambda: window.get_by_text("3 clicks, not saved yet").count() > 0, 120)
    window.context.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    write_capture(replace(two_walls(), coord=two_walls().coord + 1, views=()), tmp_path / "other" / "scan")
    again = run_view(tmp_path, "other/scan", "--clicks", "scan-clicks.json")
    assert again.wait(60) == 2
    assert "unsaved clicks in another scene" in again.communicate()[1]
    write_clicks(tmp_path / "saved.json", Clicks(scene_identity(two_walls())))
    again = run_view(tmp_path, "other/scan", "--clicks", "saved.json")
    assert again.wait(60) == 2
    assert "they were made in another scene (two_walls) with the same number of points" in again.communicate()[1]


def run_view(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ditr", "view", *arguments, "--no-open", "--port", "0", "--encoder", "none"]
    return subprocess.Popen(
        [*command, "--cell", "0.1"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def started(folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    process = run_view(folder, *arguments)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("open "):
            return process, line.split()[1]
    raise AssertionError(process.communicate()[1])

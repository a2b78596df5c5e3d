"""Whole pictures: sheets, comparisons and features of a small scene with photographs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ditr.captures.capture import read_capture
from ditr.errors import InputError
from ditr.pictures.palette import GREY, class_colors, difference_colors
from ditr.pictures.panels import Panel, class_legend, difference_legend, save_picture, sheet
from ditr.pictures.pictures import (
    comparison_panels,
    features_panels,
    features_sheet,
    figure_9,
    input_colors,
    labels_panels,
    spread_views,
    telling_view,
)
from ditr.scene import Camera, Scene, View

CAPTURES = Path(__file__).parents[2] / "../shared/captures"
CAMERA = Camera(80, 60, 60.0, 60.0, 40.0, 30.0)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A wall at z = 3, left half class 0 and right half class 1, seen by two cameras side by side."""
    u, v = np.meshgrid(np.arange(-3, 3, 0.05), np.arange(-1.5, 1.5, 0.05))
    coord = np.column_stack([u.ravel(), v.ravel(), np.full(u.size, 3.0)])
    views = []
    for name, shift in (("left", 1.5), ("right", -1.5)):
        pose = np.eye(4)
        pose[0, 3] = shift
        photo = np.full((60, 80, 3), 200, dtype=np.uint8)
        views.append(View(name, CAMERA, pose, photo))
    label = (coord[:, 0] > 0).astype(np.int32)
    return Scene("wall", coord, tuple(views), label=label, class_names=("here", "there", "nowhere"))


def near(image: np.ndarray, color: tuple[int, ...] | np.ndarray) -> float:
    """The share of pixels whose colour is close to the given one."""
    return float((np.abs(image.astype(int) - np.asarray(color)).max(axis=2) < 40).mean())


def test_a_comparison_shows_truth_predictions_and_who_is_right(scene: Scene) -> None:
    assert scene.label is not None
    baseline, ditr = np.zeros(len(scene), np.int32), scene.label.copy()
    ditr[scene.coord[:, 0] < -2.0] = 2
    rows = comparison_panels(scene, scene.views[1], baseline, ditr, width=320)
    assert [len(row) for row in rows] == [2] * 5
    assert [row[0].caption.split(",")[0] for row in rows[1:]] == ["Ground truth", "DITR", "PTv3", "Difference"]
    truth, by_ditr, by_baseline, difference = (row[1].image for row in rows[1:])
    colors = class_colors(3)
    assert near(truth, colors[0]) > 0.05 and near(truth, colors[1]) > 0.05 and near(truth, colors[2]) == 0
    assert near(by_baseline, colors[1]) == 0 and near(by_ditr, colors[2]) > 0.01
    green, red, black = (
        difference_colors(np.zeros(1, int), *map(np.array, k))[0] for k in (([1], [0]), ([0], [1]), ([0], [0]))
    )
    assert near(difference, green) > near(difference, red) > 0.01
    assert near(difference, black) > 0.03
    right_photo = rows[4][0].image
    assert near(right_photo, green) > 0.3 and near(right_photo, red) == 0, "the right camera sees no point of the left"


def test_a_comparison_without_ground_truth_and_its_sheet(scene: Scene) -> None:
    bare = Scene(scene.name, scene.coord, scene.views, class_names=scene.class_names)
    labels = np.zeros(len(bare), np.int32)
    picture = figure_9(bare, bare.views[0], labels, labels, names=("before", "after"))
    assert picture.shape[1] == 1600 and picture.dtype == np.uint8 and near(picture, (255, 255, 255)) > 0.05


def test_features_are_shown_in_each_photograph_and_from_two_sides(scene: Scene) -> None:
    color = np.full((len(scene), 3), (250, 30, 30), dtype=np.uint8)
    rows = features_panels(scene, color, width=320)
    assert [row[0].caption for row in rows[:-1]] == ["Photograph left", "Photograph right"]
    assert all(near(row[1].image, (250, 30, 30)) > 0.3 for row in rows[:-1])
    assert all(near(panel.image, (250, 30, 30)) > 0.03 for panel in rows[-1])
    assert not np.array_equal(rows[-1][0].image, rows[-1][1].image)
    labelled = labels_panels(scene, np.full(len(scene), -1), ("a",), what="Labels", width=320)
    assert near(labelled[0][1].image, GREY) > 0.3
    chosen = labels_panels(scene, np.full(len(scene), -1), ("a",), scene.views[1:], what="Labels", width=320)
    assert [row[0].caption for row in chosen[:-1]] == ["Photograph right"]


def test_a_sheet_of_features_aims_at_those_and_says_what_grey_means(scene: Scene) -> None:
    seen = scene.coord[:, 0] > 2.5
    color = np.where(seen[:, None], (250, 30, 30), GREY).astype(np.uint8)
    aimed, usual = (
        near(features_panels(scene, color, seen=mask, width=320)[-1][0].image, (250, 30, 30)) for mask in (seen, None)
    )
    assert aimed > 2 * usual > 0
    some, every = (features_sheet(scene, color, seen=mask) for mask in (seen, np.ones(len(scene), bool)))
    assert some.shape[0] > every.shape[0], "a line more at the foot"
    square = (some[every.shape[0] - 50 :] == GREY).all(axis=2)
    assert 400 < np.count_nonzero(square) <= 25 * 25


def test_a_scene_without_views_is_still_shown(scene: Scene) -> None:
    bare = Scene("bare", scene.coord)
    assert len(features_panels(bare, input_colors(bare), width=160)) == 1
    assert telling_view(bare, np.ones(len(bare), bool)) is None


def test_the_telling_view_is_the_one_that_sees_the_points_in_question(scene: Scene) -> None:
    for name, side in (("left", -1), ("right", 1)):
        view = telling_view(scene, side * scene.coord[:, 0] > 2.0)
        assert view is not None and view.name == name


def test_views_are_spread_over_the_capture(scene: Scene) -> None:
    many = [scene.views[0]] * 5 + [scene.views[1]] * 5
    assert spread_views(many, 2) == [many[0], many[5]]
    assert len(spread_views(many, 30)) == 10


def test_the_same_scene_gives_the_same_bytes(scene: Scene, tmp_path: Path) -> None:
    color = np.zeros((len(scene), 3), np.uint8)
    for name in ("a.png", "b.png"):
        save_picture(tmp_path / name, features_sheet(scene, color, scene.views[:1]))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_a_sheet_takes_panels_of_any_shape_and_long_captions() -> None:
    wide, tall = np.zeros((50, 400, 3), np.uint8), np.zeros((300, 20, 3), np.uint8)
    short = sheet([[Panel(wide, "x"), Panel(tall, "y")]])
    long = sheet([[Panel(wide, "many words " * 40), Panel(tall, "y")]], title="A title " * 40)
    assert short.shape[1] == long.shape[1] == 1600 and long.shape[0] > short.shape[0] + 60
    legend = class_legend([f"class number {i}" for i in range(200)])
    assert sheet([[Panel(wide, "")]], legends=[legend]).shape[0] > 900
    with pytest.raises(InputError):
        sheet([[]])


def test_the_legend_names_what_is_there() -> None:
    names = ("wall", "floor", "door")
    assert [e.name for e in class_legend(names, np.array([0, 2]), np.array([2, -1]))] == ["wall", "door", "unlabelled"]
    assert len(class_legend(names)) == 3
    assert difference_legend("A", "B")[0].name == "only B is right"


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="needs the real captures")
def test_the_distorted_camera_of_a_real_sweep_shows_its_points() -> None:
    sweep = read_capture(CAPTURES / "rellis3d_000104")
    person = sweep.label == sweep.class_names.index("person")
    color = np.where(person[:, None], [255, 0, 0], [0, 0, 255]).astype(np.uint8)
    image = features_panels(sweep, color, width=640)[0][1].image
    ys, xs = np.nonzero((image[..., 0] > 150) & (image[..., 2] < 80))
    # The photograph shows the person at about a sixth of its width; the calibration is some 20 pixels off.
    assert len(xs) > 200 and 0.10 < np.median(xs) / image.shape[1] < 0.22
    assert 0.3 < np.median(ys) / image.shape[0] < 0.7


def test_pictures_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    save_picture(tmp_path / "deep" / "a.jpg", np.zeros((4, 4, 3), np.uint8))
    with Image.open(tmp_path / "deep" / "a.jpg") as image:
        assert image.size == (4, 4)
    with pytest.raises(ValueError, match="unknown file extension"):
        save_picture(tmp_path / "a.nothing", np.zeros((4, 4, 3), np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ["deep"]


STRIPS = """
import re
from pathlib import Path
import numpy as np
from ditr.pictures.pictures import features_sheet, figure_9, student_sheet
from ditr.scene import Camera, Scene, View

rng = np.random.default_rng(0)
coord = rng.uniform((-2, -2, 3), (2, 2, 4), (2000, 3))
color, labels = np.full((2000, 3), 90, np.uint8), np.zeros(2000, np.int32)
for width, height in ((6, 900), (900, 6), (1, 20000)):
    camera = Camera(width, height, 500.0, 500.0, width / 2, height / 2)
    view = View("strip", camera, np.eye(4), np.zeros((height, width, 3), np.uint8))
    scene = Scene("strip", coord, (view,), class_names=("a",))
    drawn = features_sheet(scene, color), student_sheet(scene, color, color), figure_9(scene, view, labels, labels)
    assert all(picture.shape[1] == 1600 and picture.shape[0] < 8000 for picture in drawn)
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell its peak")
def test_a_strip_takes_no_more_memory_than_a_picture() -> None:
    done = subprocess.run([sys.executable, "-c", STRIPS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1_000_000


def test_captions_of_strips_have_room_beside_each_other() -> None:
    strip, usual = np.zeros((900, 6, 3), np.uint8), np.zeros((60, 80, 3), np.uint8)

    def foot(row: list[Panel]) -> np.ndarray:
        """Columns of the sheet in which captions have ink."""
        return np.flatnonzero((sheet([row])[-60:] < 200).any(axis=(0, 2)))

    for row in ([strip, strip], [strip, usual], [np.zeros((6, 900, 3), np.uint8)] * 2):
        first = foot([Panel(row[0], "first"), Panel(row[1], "")])
        second = foot([Panel(row[0], ""), Panel(row[1], "second")])
        assert first.max() + 16 < second.min() and second.max() < 1600 - 28

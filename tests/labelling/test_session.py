"""Clicks come in, labels come out: the same ones again from their file, fewer after an undo, none where nothing is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from small_world import make_scene, tiny_encoding

from ditr.captures.capture import read_capture, write_capture
from ditr.data.preparation import profile_rule
from ditr.errors import InputError
from ditr.geometry.projection import see
from ditr.labelling.cells import Cells, make_cells
from ditr.labelling.classifier import Classifier, Examples, Kernel, KernelTable, likeness, smoothed
from ditr.labelling.clicks import Action, Clicks, Journal, read_clicks, scene_identity, write_clicks
from ditr.labelling.session import Session
from ditr.labelling.simulate import marks_up_to, mean_iou, simulate
from ditr.scene import Scene

RULE = profile_rule(make_scene())[1]


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Each class of a colour of its own."""
    made = make_scene(points=900, views=3)
    assert made.label is not None and made.color is not None
    palette = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], np.uint8)
    label = np.repeat([0, 1, 2], 300).astype(np.int32)
    return replace(made, label=label, color=palette[label])


@pytest.fixture(scope="module")
def cells(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Cells:
    return make_cells(scene, tiny_encoding(tmp_path_factory.mktemp("encoder"), cache=False), size=0.1)


def one_of_each(scene: Scene, turn: int = 0) -> list[Action]:
    assert scene.label is not None
    return [
        Action(name, "point", point=int(np.flatnonzero(scene.label == label)[turn]))
        for label, name in enumerate(scene.class_names)
    ]


def clicked(scene: Scene, cells: Cells, actions: list[Action]) -> Session:
    session = Session(scene, cells)
    for action in actions:
        session.do(action)
    return session


def test_cells_are_the_mean_of_their_points(scene: Scene, cells: Cells) -> None:
    assert len(cells.of_point) == len(scene) and cells.count.sum() == len(scene)
    for cell in (0, len(cells) // 2, len(cells) - 1):
        inside = cells.of_point == cell
        assert inside.sum() == cells.count[cell]
        np.testing.assert_allclose(cells.coord[cell], scene.coord[inside].mean(axis=0), atol=1e-9)
    seen = np.zeros(len(scene), bool)
    for view in scene.views:
        seen |= see(scene.coord, view, RULE).visible
    for cell in np.flatnonzero(cells.seen)[:50]:
        assert seen[cells.of_point == cell].any()
    assert (cells.image[~cells.seen] == 0).all() and (np.abs(cells.image[cells.seen]).sum(axis=1) > 0).all()
    # The nearest other cells, by brute force.
    away = np.linalg.norm(cells.coord[7] - cells.coord, axis=1)
    assert set(cells.near[7]) == set(np.argsort(away)[1 : cells.near.shape[1] + 1])
    assert np.asarray(cells.around.sum(axis=1)).ravel() == pytest.approx(1)


def test_few_clicks_reach_all_points_of_their_kind(scene: Scene, cells: Cells) -> None:
    session = clicked(scene, cells, one_of_each(scene))
    label, chance = session.of_points()
    # Photographs of noise do not help.
    assert (label == scene.label).mean() > 0.85
    assert chance.min() > 0 and chance.max() <= 1
    for action in session.actions:
        assert label[action.point] == session.classes.index(action.name) and chance[action.point] == 1


def test_without_photographs_shape_and_colour_remain(scene: Scene) -> None:
    alone = make_cells(replace(scene, views=()), None, size=0.1)
    assert alone.image.shape[1] == 0 and alone.encoder is None
    assert (clicked(scene, alone, one_of_each(scene)).of_points()[0] == scene.label).mean() > 0.9


def test_nothing_is_labelled_before_the_first_click(scene: Scene, cells: Cells) -> None:
    label, chance = Session(scene, cells).of_points()
    assert (label == -1).all() and (chance == 0).all()
    assert Session(scene, cells).undo() is None


def test_an_undo_gives_what_was_before(scene: Scene, cells: Cells) -> None:
    session = clicked(scene, cells, one_of_each(scene))
    before = session.labels()
    for action in (
        one_of_each(scene, 9)[0],
        Action("wall", "lock"),
        Action("box", "ball", center=(2, 1, 0), radius=0.5),
    ):
        session.do(action)
        session.labels()
        assert session.undo() == action
        np.testing.assert_array_equal(session.labels().probability, before.probability)
        np.testing.assert_array_equal(session.labels().label, before.label)


def test_clicks_of_a_file_give_the_same_bits(scene: Scene, cells: Cells, tmp_path: Path) -> None:
    view = scene.views[0]
    sight = see(scene.coord, view, RULE)
    u, v = sight.pixel[np.flatnonzero(sight.visible)[3]]
    actions = [
        *one_of_each(scene),
        Action("floor", "pixel", view=view.name, pixels=((float(u), float(v)),)),
        Action("wall", "stroke", view=view.name, pixels=((float(u), float(v)), (float(u) + 1, float(v)))),
        Action("floor", "lock"),
        Action("box", "ball", center=(2.0, 1.0, 0.0), radius=0.4),
    ]
    session = clicked(scene, cells, actions)
    write_clicks(tmp_path / "clicks.json", session.clicks())
    again = Session(scene, cells)
    again.replay(read_clicks(tmp_path / "clicks.json"), "clicks.json")
    assert again.actions == actions and again.classes == session.classes
    np.testing.assert_array_equal(again.of_points()[0], session.of_points()[0])
    np.testing.assert_array_equal(again.of_points()[1], session.of_points()[1])


def test_what_is_locked_stays(scene: Scene, cells: Cells) -> None:
    session = clicked(scene, cells, one_of_each(scene))
    floor = session.of_points()[0] == session.classes.index("floor")
    session.do(Action("floor", "lock"))
    for action in one_of_each(scene, 5)[1:] + one_of_each(scene, 6)[1:]:
        session.do(replace(action, name="wall"))
    label = session.of_points()[0]
    said = {action.point for action in session.actions}
    kept = floor & ~np.isin(cells.of_point, cells.of_point[list(said)])
    assert (label[kept] == session.classes.index("floor")).all()


def test_a_ball_paints_all_that_is_in_it(scene: Scene, cells: Cells) -> None:
    center = scene.coord[17]
    session = clicked(scene, cells, [*one_of_each(scene), Action("new", "ball", center=tuple(center), radius=0.6)])
    inside = np.linalg.norm(scene.coord - center, axis=1) <= 0.6
    assert (session.of_points()[0][inside] == session.classes.index("new")).all()


def test_the_next_click_is_where_it_is_least_sure(scene: Scene, cells: Cells) -> None:
    session = clicked(scene, cells, one_of_each(scene))
    point = session.least_sure()
    assert point is not None
    cell = cells.of_point[point]
    assert session.labels().sure[cell] < np.median(session.labels().sure)
    said = cells.coord[cells.of_point[[action.point for action in session.actions]]]
    assert np.linalg.norm(said - cells.coord[cell], axis=1).min() > 4 * cells.size
    assert session.least_sure(away=100.0) is None


@pytest.mark.parametrize(
    ("action", "fault"),
    [
        (Action("a", "point", point=10**6), "there is no point 1000000"),
        (Action("a", "pixel", view="photo_9", pixels=((1, 1),)), "no photograph 'photo_9'"),
        (Action("a", "pixel", view="photo_0", pixels=((-500, 3),)), "shows no point"),
        (Action("a", "ball", center=(99, 99, 99), radius=0.1), "no point in this ball"),
        (Action("a", "lock"), "no class 'a'"),
    ],
)
def test_actions_that_mean_nothing_are_refused(scene: Scene, cells: Cells, action: Action, fault: str) -> None:
    session = clicked(scene, cells, one_of_each(scene))
    with pytest.raises(InputError, match=fault):
        session.do(action)
    assert len(session.actions) == 3 and "a" not in session.classes


def test_clicks_of_another_scene_are_refused(scene: Scene, cells: Cells) -> None:
    other = replace(scene, coord=scene.coord + 0.5, name="other")
    fewer = make_scene(points=300)
    for stranger, fault in ((other, "another scene"), (fewer, "with 300 points")):
        clicks = Clicks(scene_identity(stranger), (), (Action("a", "point", point=1),))
        with pytest.raises(InputError, match=fault):
            Session(scene, cells).replay(clicks, "clicks.json")


def test_clicks_that_show_no_point_are_left_out_unless_all_are(scene: Scene, cells: Cells) -> None:
    away = Action("a", "ball", center=(99, 99, 99), radius=0.1)
    session = Session(scene, cells)
    clicks = Clicks({}, (), (Action("a", "point", point=1), away, Action("b", "point", point=400)))
    (missed,) = session.replay(clicks, "clicks.json")
    assert "click 1" in missed and len(session.actions) == 2
    with pytest.raises(InputError, match=r"click 0.*no point in this ball"):
        Session(scene, cells).replay(Clicks({}, (), (away,)), "clicks.json")


def test_a_file_by_hand_may_leave_the_scene_out_and_names_files_of_photographs(tmp_path: Path) -> None:
    write_capture(make_scene(), tmp_path / "scan", image_format="png")
    scene = read_capture(tmp_path / "scan")
    view = scene.views[0]
    assert isinstance(view.image, Path) and view.image.name != view.name
    path = tmp_path / "clicks.json"
    entry = {"class": "a", "view": view.image.name, "pixel": [3, 4]}
    path.write_text(json.dumps({"clicks": [entry, {"class": "b", "point": 1}]}))
    clicks = read_clicks(path).fitted(scene, "clicks.json")
    assert [action.view for action in clicks.actions] == [view.name, ""]
    path.write_text(json.dumps({"clicks": [{**entry, "view": f"images/{view.image.name}"}]}))
    assert read_clicks(path).fitted(scene, "clicks.json").actions[0].view == view.name
    for wrong, fault in (
        ({**entry, "view": view.image.name + "x"}, f"click 0.*no photograph.*[Dd]id you mean '{view.name}'"),
        ({"class": "a", "point": len(scene)}, "click 0.*no point"),
    ):
        path.write_text(json.dumps({"clicks": [wrong]}))
        with pytest.raises(InputError, match=fault):
            read_clicks(path).fitted(scene, "clicks.json")


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (3, "not an object"),
        ({"point": 3}, "names no class"),
        ({"class": " ", "point": 3}, "names no class"),
        ({"class": "a", "point": -1}, "not the number of a point"),
        ({"class": "a", "point": True}, "not the number of a point"),
        ({"class": "a"}, "names no point or pixel"),
        ({"class": "a", "view": "x"}, "names no point or pixel"),
        ({"class": "a", "view": "x", "pixel": [1]}, "not 2 numbers"),
        ({"class": "a", "view": "x", "pixel": [1, "2"]}, "not 2 numbers"),
        ({"class": "a", "view": "x", "stroke": []}, "names no point or pixel"),
        ({"class": "a", "center": [1, 2, 3], "radius": 0}, "radius is 0"),
        ({"class": "a", "center": [1, 2], "radius": 1}, "not 3 numbers"),
        ({"class": "a", "center": [1, 2, float("nan")], "radius": 1}, "not 3 numbers"),
    ],
)
def test_entries_that_cannot_be_understood_are_named(scene: Scene, tmp_path: Path, entry: object, fault: str) -> None:
    good = {"class": "a", "point": 0}
    path = tmp_path / "clicks.json"
    path.write_text(json.dumps({"schema": 1, "scene": scene_identity(scene), "clicks": [good, entry]}))
    with pytest.raises(InputError, match=f"clicks.json, click 1: .*{fault}"):
        read_clicks(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 2}', "[" * 5000, '{"schema": 1, "scene": {}}'])
def test_other_files_are_no_clicks(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=r"x\.json"):
        read_clicks(tmp_path / "x.json")


def test_where_no_clicks_are_the_error_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.json: there is no such file\. Click in `ditr view CAPTURE`"):
        read_clicks(tmp_path / "absent.json")


def test_a_journal_keeps_what_was_not_saved(scene: Scene, tmp_path: Path) -> None:
    identity = scene_identity(scene)
    path = tmp_path / "clicks.json"
    journal = Journal(path, identity)
    assert journal.unsaved() is None
    actions = [Action("a", "point", point=number) for number in range(4)]
    for count in (1, 2, 3, 2, 3, 4):  # an undo after the third
        journal.add(actions[:count])
    assert Journal(path, identity).unsaved() == tuple(actions)
    with open(journal.path, "a") as file:
        file.write('{"count": 5, "la')  # killed while it wrote
    assert Journal(path, identity).unsaved() == tuple(actions)
    with pytest.raises(InputError, match="unsaved clicks in another scene"):
        Journal(path, scene_identity(make_scene(points=50))).unsaved()
    # The next run goes on behind what it took up, and not behind half a line.
    after = Journal(path, identity)
    after.add(actions)
    after.add([*actions, actions[0]])
    assert Journal(path, identity).unsaved() == (*actions, actions[0])
    journal.clear()
    assert Journal(path, identity).unsaved() is None


def test_the_fit_is_at_its_minimum() -> None:
    rng = np.random.default_rng(3)
    image = rng.normal(size=(12, 5)).astype(np.float32)
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    examples = Examples(image, np.ones(12, bool), rng.normal(size=(12, 3)).astype(np.float32), None)
    label = np.array([0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2])
    kernel = Kernel()
    found = Classifier.fit(kernel, examples, label, 3)
    assert found.bias[1] == -np.inf
    likes = likeness(kernel, examples, examples).astype(np.float64)
    share = np.where(label == 0, 1 / 14, 1 / 10)

    def loss(values: np.ndarray) -> float:
        weight, bias = values[:24].reshape(12, 2), values[24:]
        scores = likes @ weight + bias
        entropy = np.logaddexp(scores[:, 0], scores[:, 1]) - scores[np.arange(12), label // 2]
        return float((share * entropy).sum() + kernel.penalty / 24 * np.einsum("nc,nm,mc->", weight, likes, weight))

    mine = loss(np.concatenate([found.weight[:, [0, 2]].ravel(), found.bias[[0, 2]]]).astype(np.float64))
    best = minimize(loss, np.zeros(26), method="L-BFGS-B", options={"maxiter": 3000, "maxfun": 200000}).fun
    assert mine == pytest.approx(best, abs=2e-4)


def test_many_clicks_at_the_same_places_can_be_fitted() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(40, 384)).astype(np.float32)
    image = np.repeat(image / np.linalg.norm(image, axis=1, keepdims=True), 10, axis=0)
    shape = np.repeat(rng.normal(size=(40, 6)).astype(np.float32), 10, axis=0)
    # Far from the first cell and close to each other: squares of distances are small differences of large numbers.
    place = (np.repeat(2000 + 20 * rng.normal(size=(40, 3)), 10, axis=0) + rng.normal(size=(400, 3))).astype(np.float32)
    label = np.arange(400) // 10 % 4
    for kernel in (Kernel(), Kernel(shape=0.0, place=0.0), Kernel(image=0.0, shape=0.0)):
        examples = Examples(image, np.ones(400, bool), shape, place)
        found = Classifier.fit(kernel, examples, label, 4)
        right = found.scores(likeness(kernel, examples, examples)).argmax(axis=1) == label
        assert right.mean() > (0.99 if kernel.image else 0.5)


def test_columns_are_computed_once(scene: Scene, cells: Cells) -> None:
    table = KernelTable(Kernel(), cells)
    rows = np.array([3, 40, 41, 80])
    whole = table.to(table.all.some(rows)).copy()
    step = KernelTable(Kernel(), cells)
    for count in (1, 3, 4):
        grown = step.to(step.all.some(rows[:count]))
        assert grown.shape == (len(cells), count)
    np.testing.assert_allclose(grown, whole, atol=1e-5)
    assert whole[rows, np.arange(4)] == pytest.approx(2.5, abs=1e-4) or not cells.seen[rows].all()


def test_smoothing_keeps_probabilities(cells: Cells) -> None:
    chance = np.random.default_rng(0).dirichlet(np.ones(3), len(cells)).astype(np.float32)
    smooth = smoothed(cells, chance)
    assert smooth.sum(axis=1) == pytest.approx(1, abs=1e-4)
    assert smooth.std() < chance.std() / 2


def test_simulated_clicks_count_as_they_should(scene: Scene, cells: Cells) -> None:
    session = Session(scene, cells)
    marks = simulate(session, (1, 3), seed=1)
    assert [(mark.clicks, mark.total) for mark in marks] == [(1, 3), (3, 9)] and len(session.actions) == 9
    label, _ = session.of_points()
    own = np.array([scene.class_names.index(name) for name in session.classes])[label]
    iou = [((own == c) & (scene.label == c)).sum() / ((own == c) | (scene.label == c)).sum() for c in range(3)]
    assert mean_iou(session) == pytest.approx(np.mean(iou)) == pytest.approx(marks[-1].miou)
    sure = simulate(Session(scene, cells), (1, 3), strategy="least-sure", seed=1)
    assert sure[0].miou == marks[0].miou and sure[1].total == 9
    # Places of which nobody knows the label are passed over.
    assert scene.label is not None
    partly = replace(scene, label=np.where(np.arange(900) % 3 == 0, scene.label, -1).astype(np.int32))
    assert simulate(Session(partly, cells), (1, 5), strategy="least-sure")[1].total == 15
    assert marks_up_to(10) == (1, 3, 10) and marks_up_to(5) == (1, 3, 5)
    with pytest.raises(InputError, match="no labels"):
        simulate(Session(replace(scene, label=None, class_names=()), cells), (1,))

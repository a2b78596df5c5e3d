"""The reports of all commands that write one, from real runs, opened from their files with the network off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, chromium
from small_world import CLASSES, make_scene, write_model, write_world
from tiny_encoder import write_tiny_encoder

from ditr.captures.capture import read_capture
from ditr.cli import execute
from ditr.cli.figures import say_apart, say_classes
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import Grade
from ditr.evaluation.counts import Counts
from ditr.evaluation.report import evaluation_report
from ditr.evaluation.scene_scores import SceneScores
from ditr.inference.assumptions import of_encoder
from ditr.inference.prediction import Prediction
from ditr.inference.provenance import Provenance
from ditr.labelling.clicks import Action, Clicks, scene_identity, write_clicks
from ditr.training.report import run_report

NASTY = "<script>alert('x')</script> & \"quoted\" `b` **c**"


def run(*arguments: object) -> None:
    execute([*map(str, arguments), "--quiet"])


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages by command; what lies beside them, too."""
    root = tmp_path_factory.mktemp("the reports")
    scenes = write_world(root / "scenes", 2)
    model = root / "model"
    write_model(model)
    common = ("--device", "cpu", "--force")
    run("segment", scenes[0], "--model", model, "--out", root / "one", *common)
    run("segment", root / "scenes", "--model", model, "--out", root / "many", "--workers", 0, *common)
    run("evaluate", model, "--data", root / "scenes", "--out", root / "figures.json", *common)
    steps = ("--steps", 3, "--set", "validate_every=1", "--set", "preparation.voxel_size=0.2", "--encoder", "none")
    validation = ("--validate", root / "scenes")
    run("train", "small", root / "run", "--data", root / "scenes", *validation, *steps, *common)
    write_clicks(root / "clicks.json", clicks(scenes[0]))
    run("label", scenes[0], "--clicks", root / "clicks.json", "--out", root / "label", "--encoder", "none", *common)
    return {
        "segment": root / "one" / "report.html",
        "many": root / "many" / "report.html",
        "evaluate": root / "figures.html",
        "train": root / "run" / "report.html",
        "label": root / "label" / "report.html",
    }


def clicks(capture: Path) -> Clicks:
    """One of each class, where it is."""
    scene = read_capture(capture)
    assert scene.label is not None
    actions = [Action(name, "point", int(np.flatnonzero(scene.label == i)[0])) for i, name in enumerate(CLASSES)]
    return Clicks(scene_identity(scene), CLASSES, tuple(actions))


def test_each_command_tells_what_it_found(reports: dict[str, Path]) -> None:
    pages = {name: path.read_text(encoding="utf-8") for name, path in reports.items()}
    for name, page in pages.items():
        assert "How it was made" in page and "ditr " in page and "torch" in page, name
        assert "Assumptions and warnings" in page and len(page) < 15e6
        assert "http:" not in page.split("</style>")[1] and "https:" not in page.split("</style>")[1]
    assert "Confidence below one half" in pages["segment"] and "labelled from 3 clicks" in pages["label"]
    assert "The least certain scenes" in pages["many"] and "scene_1" in pages["many"]
    for part in ("Worst scenes", "Calibration", "Confusion matrix", "Precision"):
        assert part in pages["evaluate"]
    for part in ("Norm of the gradient", "IoU of the best", "Best mIoU", "optimizer.lr"):
        assert part in pages["train"]


def test_browsers_show_them_without_a_network(reports: dict[str, Path]) -> None:
    pytest.importorskip("playwright", reason="needs playwright, of the extra dev")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    said: list[str] = []
    with chromium(500, 700) as new:
        window = new()
        window.context.set_offline(True)
        window.on("console", lambda message: said.append(message.text))
        window.on("pageerror", lambda error: said.append(str(error)))
        for name, path in reports.items():
            window.goto(path.as_uri())
            views = window.locator(".points")
            for number in range(views.count()):
                views.nth(number).scroll_into_view_if_needed()
                window.wait_for_function("n => document.querySelectorAll('.points.live').length > n", arg=number)
            assert views.count() == {"segment": 1, "label": 1, "many": 2, "evaluate": 2, "train": 0}[name]
            assert window.evaluate("document.documentElement.scrollWidth") == 500, name
    assert said == []


def test_names_from_outside_are_text_alone(tmp_path: Path) -> None:
    scene = make_scene(0)
    assert scene.label is not None
    names = (NASTY, "wall", "box")
    scene = type(scene)(NASTY, scene.coord, (), scene.color, label=scene.label, class_names=names)
    label = np.where(scene.label < 0, 0, (scene.label + 1) % 3).astype(np.int32)
    sure = np.full(len(scene), 0.5, np.float32)
    prediction = Prediction(scene, label, sure, None, names, 10, (0.0, 0.0, 1.0), 0)
    scores = SceneScores()
    scores.add(prediction)
    assert scores.worst_first[0].miou == 0 and len(scores.views) == 1
    counts = Counts.empty(3)
    counts.update(scene, label)
    page = evaluation_report(NASTY, names, counts, {"scenes": 1, NASTY: NASTY}, Provenance(NASTY), scenes=scores).html()
    assert "<script>alert" not in page and "<code>b</code>" not in page and "<strong>c</strong>" not in page


def test_a_run_of_which_little_is_there_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"recipe": {"steps": 9}, "scenes": {}}')
    (tmp_path / "run.json").write_text("{}")
    page = run_report(tmp_path, Provenance()).html()
    assert "0 of 9 steps" in page and "Without validation scenes" in page


def test_reports_tell_what_was_taken_for_granted(reports: dict[str, Path]) -> None:
    """No report says that nothing was, since up and the unit were."""
    for name in ("segment", "label", "train", "evaluate"):
        page = reports[name].read_text(encoding="utf-8")
        found = page.split("Assumptions and warnings")[1].split("How it was made")[0]
        assert "no photographs are used" in found, name
        assert (
            "coordinates are taken for metres" in found
            and "1 scenes" not in page
            and "<td>up</td>" in found.replace(" ", "")
        ), name


def test_settings_have_words_and_no_names_of_files(reports: dict[str, Path]) -> None:
    for name, words in (
        ("segment", ("random seed", "matrix products by")),
        ("evaluate", ("photographs swapped between scenes", "labels smoothed")),
        ("train", ("matrix products by", "recipe")),
        ("label", ("labels from", "edge of the cubes")),
    ):
        page = reports[name].read_text(encoding="utf-8")
        made = page.split("How it was made")[1]
        assert all(f"<dt>{word}" in page for word in words), name
        for raw in ("swap_images", "made.by", "share_of_points_seen", "<dt>products", "1 threads", "linear_algebra"):
            assert raw not in made, (name, raw)


def test_the_terminal_and_the_page_show_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """Of visible and invisible points, and a dash for a class that no point has."""
    counts = Counts.empty(4, visible=True)
    scene = make_scene(0)
    assert scene.label is not None
    half = np.arange(len(scene)) % 2 == 0
    counts.update(scene, np.where(half, scene.label, 0).astype(np.int32), visible=half)
    names = (*scene.class_names, "nowhere")
    figures = {"scenes": 1, **counts.figures(names)}
    page = evaluation_report("one", names, counts, figures, Provenance()).html()
    say_classes(figures)
    say_apart(figures)
    said = capsys.readouterr().out
    assert f"  {'nowhere':28} {'–':>6} {'–':>6}\n" in said
    apart = page.split("seen by some photograph")[1].split("</table>")[0]
    for part in ("visible", "invisible"):
        for name in ("miou", "miou_present"):
            value = f"{figures[part][name]:.1f}"
            assert value in said and value in apart, (part, name)
    assert "points of 1 scene, each" in page


def test_an_encoder_that_took_the_place_of_another_is_a_warning(tmp_path: Path) -> None:
    """The one that was asked for, the reason and the one that was used."""
    write_tiny_encoder(tmp_path / "encoder")
    encoding = CachedEncoding(str(tmp_path / "encoder"))
    noted = of_encoder(encoding)
    assert noted.grade is Grade.NOTED and "encoded by encoder (folder encoder)" in noted.text
    encoding.encoder.replaces = "facebook/big was not available: no connection"
    warned = of_encoder(encoding)
    assert warned.grade is Grade.WARNED and "since facebook/big was not available: no connection" in warned.text

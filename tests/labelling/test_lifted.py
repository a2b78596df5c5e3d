"""Labels of photographs reach the points that these show, whatever the size of the images and however they lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from annotation_files import Labels, write_all, write_pngs
from numpy.typing import NDArray
from PIL import Image
from small_world import make_scene

from ditr.captures.capture import read_capture, write_capture
from ditr.cli import execute
from ditr.data.scene_views import points_in
from ditr.errors import Grade, InputError
from ditr.labelling.annotations.label_image import NOTHING, VOID, Annotations, LabelImage
from ditr.labelling.annotations.sources import read_annotations
from ditr.labelling.lifted import label_rule, lift_labels
from ditr.pictures.label_images import label_image
from ditr.pictures.render import DrawnCloud
from ditr.scene import Scene

NAMES = ("floor", "wall", "box")


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(points=900, views=3)


@pytest.fixture(scope="module")
def drawn(scene: Scene) -> Labels:
    """What the views show of the scene's own labels."""
    assert scene.label is not None
    cloud = DrawnCloud.of(scene)
    return {view.name: label_image(cloud, scene.label, view).astype(np.int16) for view in scene.views}


def annotations(images: Labels, names: tuple[str, ...] = NAMES, *, upright: bool = False) -> Annotations:
    found = [
        LabelImage(name, (image.shape[1], image.shape[0]), lambda image=image: image, name)  # type: ignore[misc]
        for name, image in images.items()
    ]
    return Annotations("drawn", names, tuple(found), upright)


def test_points_get_the_label_of_most_of_the_views_that_show_them(scene: Scene) -> None:
    rng = np.random.default_rng(0)
    size = (scene.views[0].camera.height, scene.views[0].camera.width)
    images = {view.name: rng.integers(-2, 3, size).astype(np.int16) for view in scene.views}
    found = lift_labels(scene, annotations(images), "here")
    votes = np.zeros((len(scene), 3), int)
    nearest = np.full((len(scene), 3), np.inf)
    for view in scene.views:
        pixel, visible = points_in(scene, view, label_rule(scene))
        for point in np.flatnonzero(visible):
            label = images[view.name][int(pixel[point, 1]), int(pixel[point, 0])]
            if label >= 0:
                votes[point, label] += 1
                nearest[point, label] = min(nearest[point, label], np.linalg.norm(scene.coord[point] - view.center))
    some = votes.sum(axis=1) > 0
    np.testing.assert_array_equal(found.label >= 0, some)
    tied = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) > 1
    expected = np.where(tied, nearest.argmin(axis=1), votes.argmax(axis=1))
    # Of two ways that are tied, the nearest camera may show a third; none of three views can.
    np.testing.assert_array_equal(found.label[some], expected[some])
    np.testing.assert_allclose(found.confidence[some], (votes.max(axis=1) / np.maximum(votes.sum(axis=1), 1))[some])
    several, differ = votes.sum(axis=1) > 1, (votes > 0).sum(axis=1) > 1
    assert found.figures["by_several_views"] == several.sum() and found.figures["disagree"] == differ.sum() > 20
    assert found.figures["ties"] == (tied & some).sum()
    # Labels at random agree by chance alone.
    assert [finding.grade for finding in found.findings] == [Grade.WARNED] and "by chance" in found.findings[0].text


def test_true_labels_come_back_at_any_size(scene: Scene, drawn: Labels) -> None:
    assert scene.label is not None
    found = lift_labels(scene, annotations(drawn), "here")
    got = (found.label >= 0) & (scene.label >= 0)
    assert (found.label == scene.label)[got].mean() > 0.92 and got.sum() > 300
    assert found.findings[0].grade is Grade.NOTED and "get different labels" in found.findings[0].text
    for factor in (3, 0.5):
        side = [int(factor * length) for length in (56, 42)]
        scaled = {
            name: np.array(Image.fromarray(image.astype(np.int32)).resize((side[0], side[1]), Image.Resampling.NEAREST))
            for name, image in drawn.items()
        }
        other = lift_labels(
            scene, annotations({name: image.astype(np.int16) for name, image in scaled.items()}), "here"
        )
        assert (other.label == found.label).mean() > (0.999 if factor == 3 else 0.85)
        assert any("differ in size" in finding.text for finding in other.findings)
    with pytest.raises(InputError, match="40 x 42 pixels, but the photograph 56 x 42"):
        lift_labels(scene, annotations({name: image[:, :40] for name, image in drawn.items()}), "here")


def test_what_nobody_painted_says_nothing_or_is_background(scene: Scene, drawn: Labels) -> None:
    only_box = {name: np.where(image == 2, np.int16(0), np.int16(NOTHING)) for name, image in drawn.items()}
    found = lift_labels(scene, annotations(only_box, ("box",)), "here")
    assert set(np.unique(found.label)) == {-1, 0}
    with_rest = lift_labels(scene, annotations(only_box, ("box",)), "here", background="rest")
    assert with_rest.class_names == ("box", "rest")
    assert (with_rest.label >= 0).sum() == with_rest.seen.sum() > (found.label >= 0).sum()
    ignored = {name: np.where(image == 2, np.int16(0), np.int16(VOID)) for name, image in drawn.items()}
    assert set(np.unique(lift_labels(scene, annotations(ignored, ("box",)), "here", background="rest").label)) == {
        -1,
        0,
    }


@pytest.mark.parametrize("orientation", range(1, 9))
def test_annotations_of_turned_photographs(scene: Scene, drawn: Labels, orientation: int, tmp_path: Path) -> None:
    views = []
    for view in scene.views:
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{view.name}.jpg"
        Image.fromarray(view.image).save(path, exif=exif)  # type: ignore[arg-type]
        views.append(replace(view, image=path))
    posed = replace(scene, views=tuple(views))
    straight = lift_labels(scene, annotations(drawn), "here").label
    # As viewers show them, which Pillow knows.
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
    shown = {
        name: image if orientation == 1 else np.array(
            Image.fromarray(image.astype(np.int32)).transpose(Image.Transpose(turn[orientation])), np.int16
        )
        for name, image in drawn.items()
    }  # fmt: skip
    by_tool = lift_labels(posed, annotations(shown, upright=True), "here")
    np.testing.assert_array_equal(by_tool.label, straight)
    # Where the sides tell it, no habit counts; where they do not, that is said, and an option decides.
    as_stored = lift_labels(posed, annotations(drawn, upright=True), "here", exif="stored")
    np.testing.assert_array_equal(as_stored.label, straight)
    guessed = any(finding.about == "exif" for finding in by_tool.findings)
    assert guessed == (orientation in (2, 3, 4))
    if orientation >= 5:
        by_size = lift_labels(posed, annotations(shown, upright=False), "here")
        np.testing.assert_array_equal(by_size.label, straight)


def test_views_that_were_turned_when_they_were_read(scene: Scene, drawn: Labels) -> None:
    from ditr.geometry.upright_views import turned

    straight = lift_labels(scene, annotations(drawn), "here").label
    sideways = replace(scene, views=tuple(turned(view, 1) for view in scene.views))
    found = lift_labels(sideways, annotations(drawn), "here").label
    # Pixels' borders belong to the other side then.
    assert (found == straight).mean() > 0.99


def test_annotations_of_other_photographs_are_noticed(scene: Scene, drawn: Labels) -> None:
    one, *others = drawn.values()
    images = {"photo_0": one, "elsewhere": others[0], "nowhere": others[1]}
    found = lift_labels(scene, annotations(images), "here")
    assert "2 of 3 annotated photographs are not in the capture: elsewhere, nowhere" in found.findings[0].text
    assert found.findings[0].grade is Grade.WARNED and found.figures["label_images"] == 1
    with pytest.raises(InputError, match="none of its 1 photographs are in the capture: elsewhere"):
        lift_labels(scene, annotations({"elsewhere": one}), "here")
    with pytest.raises(InputError, match="no photographs"):
        lift_labels(replace(scene, views=()), annotations(drawn), "here")


def test_every_tool_from_the_command(scene: Scene, drawn: Labels, tmp_path: Path) -> None:
    write_capture(replace(scene, label=None, class_names=()), tmp_path / "scan", image_format="png")
    files = write_all(tmp_path / "tools", drawn, NAMES) if (tmp_path / "tools").mkdir() is None else {}
    expected = lift_labels(scene, annotations(drawn), "here").label
    for number, name in enumerate(("png P", "cvat zip", "coco", "label studio")):
        out = tmp_path / f"out{number}"
        execute(
            ["label", str(tmp_path / "scan"), "--from-images", str(files[name]), "--out", str(out), "--no-pictures"]
        )
        label, classes = np.load(out / "label.npy"), read_annotations(files[name]).classes
        order = np.array([*(NAMES.index(one) for one in classes), -1])
        np.testing.assert_array_equal(order[label], expected, err_msg=name)


def spread_labels(folder: Path, source: Path, encoder: str, *more: str) -> NDArray[np.int32]:
    out = folder / "spread"
    common = ["--out", str(out), "--no-pictures", "--encoder", encoder, "--cell", "0.1", "--force", "--overwrite"]
    execute(["label", str(folder / "scan"), "--from-images", str(source), "--spread", *common, *more])
    found: NDArray[np.int32] = np.load(out / "label.npy")
    return found


def test_labels_spread_to_other_points_and_go_on_to_a_capture_and_a_bank(
    scene: Scene, drawn: Labels, tmp_path: Path
) -> None:
    assert scene.label is not None
    palette = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], np.uint8)
    colored = replace(scene, color=palette[np.maximum(scene.label, 0)], label=None, class_names=())
    write_capture(colored, tmp_path / "scan", image_format="png")
    source = write_pngs(tmp_path / "masks", {"photo_1": drawn["photo_1"]}, NAMES)
    more = ["--capture", str(tmp_path / "labelled"), "--bank", str(tmp_path / "mine.bank"), "--map", "box=thing"]
    label = spread_labels(tmp_path, source, "none", *more)
    assert (label >= 0).all()
    assert (label == scene.label)[scene.label >= 0].mean() > 0.85
    labelled = read_capture(tmp_path / "labelled")
    assert labelled.class_names == ("floor", "wall", "thing") and (tmp_path / "mine.bank").stat().st_size > 1000
    np.testing.assert_array_equal(labelled.label, label)
    lifted = lift_labels(scene, annotations({"photo_1": drawn["photo_1"]}), "here").label
    np.testing.assert_array_equal(label[lifted >= 0], lifted[lifted >= 0])
    with pytest.raises(InputError, match="2 options each name a source of labels"):
        spread_labels(tmp_path, source, "none", "--simulate", "3")

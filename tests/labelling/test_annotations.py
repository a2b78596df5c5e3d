"""Every annotation tool's file gives the same labels; what is damaged or does not fit is refused with a reason."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from annotation_files import COLORS, Labels, brush, class_table, write_all, write_coco, write_pngs
from mutants import mutated
from PIL import Image
from watched import Watched

from ditr.errors import InputError
from ditr.labelling.annotations.label_image import NOTHING, VOID, Annotations
from ditr.labelling.annotations.palette import palette_of_names, read_palette
from ditr.labelling.annotations.runs import coco_counts, from_label_studio
from ditr.labelling.annotations.shapes import Polygons, box, ellipse, painted, ring
from ditr.labelling.annotations.sources import read_annotations

NAMES = ("floor", "wall", "box")


@pytest.fixture(scope="module")
def labels() -> Labels:
    rng = np.random.default_rng(0)
    coarse = rng.integers(-1, 3, (2, 6, 8))
    return {f"photo_{i}": np.kron(coarse[i], np.ones((7, 7), int)).astype(np.int16) for i in range(2)}


@pytest.fixture(scope="module")
def files(labels: Labels, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_all(tmp_path_factory.mktemp("annotations"), labels, NAMES)


def shown(found: Annotations) -> Labels:
    """By the stem of the photograph."""
    return {Path(image.name).stem: np.array(image.paint()) for image in found.images}


def test_all_tools_say_the_same(files: dict[str, Path], labels: Labels) -> None:
    for name, path in files.items():
        found = read_annotations(path)
        assert sorted(found.classes) == sorted(NAMES), name
        order = np.array([*(NAMES.index(one) for one in found.classes), NOTHING, NOTHING])
        for photo, image in shown(found).items():
            np.testing.assert_array_equal(order[image], labels[photo], err_msg=name)
            assert found.images[0].size == (56, 42)


def test_runs_are_those_of_the_tools_themselves() -> None:
    # Three blocks of 4 x 5 pixels on a diagonal, as pycocotools and label-studio-sdk encode them.
    mask = np.kron(np.eye(3), np.ones((4, 5))) > 0
    counts = coco_counts("048000000040L000000040L0000000", "here")
    assert sum(counts) == mask.size and counts[:3] == [0, 4, 8]
    np.testing.assert_array_equal(np.repeat(np.arange(len(counts)) % 2, counts).reshape(15, 12).T, mask)
    stored = [
        0,
        0,
        2,
        208,
        57,
        27,
        254,
        19,
        255,
        196,
        224,
        24,
        79,
        255,
        19,
        128,
        97,
        63,
        252,
        78,
        1,
        132,
        255,
        241,
        216,
    ]
    stored += [6, 19, 255, 196, 224, 24, 79, 255, 19, 128, 97, 63, 252, 78, 1, 132, 255, 241, 216, 6, 19, 255, 196, 224]
    stored += [24, 79, 255, 19, 128, 97, 63, 252, 78, 1, 132, 255, 192]
    for data in (stored, brush(mask)):
        np.testing.assert_array_equal(from_label_studio(data, (15, 12), "here"), mask)


def test_polygons_cover_the_pixels_whose_centres_lie_inside() -> None:
    rng = np.random.default_rng(1)
    row, column = np.mgrid[:30, :40] + 0.5
    for corners in (3, 5, 9):
        points = rng.uniform((-10, -10), (50, 40), (corners, 2))  # partly outside, and crossing themselves
        (x, y), (x_after, y_after) = points.T, np.roll(points, -1, axis=0).T
        crossed = (y <= row[..., None]) != (y_after <= row[..., None])
        right = column[..., None] >= x + (row[..., None] - y) * (x_after - x) / (y_after - y)
        inside = (crossed & right).sum(axis=-1) % 2 == 1
        shape = Polygons([ring(points.ravel().tolist(), (40, 30), "here")], 4)
        np.testing.assert_array_equal(painted([shape], (40, 30)) == 4, inside)
    turned = Polygons([ring(box(10, 10, 20, 14, 90), (40, 30), "here")], 1)  # about its middle
    np.testing.assert_array_equal(np.argwhere(painted([turned], (40, 30)) == 1)[[0, -1]], [[7, 13], [16, 16]])
    round_one = painted([Polygons([ring(ellipse(20, 15, 10, 5), (40, 30), "here")], 1)], (40, 30)) == 1
    assert abs(round_one.sum() - np.pi * 50) < 4 and round_one[15, 10:30].all()
    outside = Polygons([ring([100, 100, 120, 100, 110, 130], (40, 30), "here")], 1)
    assert (painted([outside], (40, 30)) == NOTHING).all()


def test_shapes_of_cvat_lie_as_it_shows_them(tmp_path: Path) -> None:
    shapes = """<box label="wall" xtl="0" ytl="0" xbr="8" ybr="6" z_order="2"/>
      <polygon label="floor" points="0,0;8,0;8,6;0,6" z_order="1"/><mask label="box" rle="0,4" left="1" top="2"
      width="2" height="2" z_order="3"/><polyline label="floor" points="0,0;1,1"/><ignored/>"""
    text = f'<annotations><image id="0" name="a.jpg" width="8" height="6">{shapes}</image></annotations>'
    (tmp_path / "a.xml").write_text(text, encoding="utf-8")
    found = read_annotations(tmp_path / "a.xml")
    image = found.images[0].paint()
    names = np.array(found.classes)[image]
    assert (names == "box").sum() == 4 and (names[2:4, 1:3] == "box").all() and (names == "wall").sum() == 44
    assert "1 shapes are not areas" in found.findings[0].text


def test_small_objects_of_coco_lie_over_large_ones(tmp_path: Path) -> None:
    def entry(left: int, side: int, category: int) -> dict[str, object]:
        right = left + side
        square = [left, left, right, left, right, right, left, right]
        return {"image_id": 1, "category_id": category, "area": side**2, "segmentation": [square]}

    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}],
        "annotations": [entry(2, 3, 5), entry(0, 9, 2), {"image_id": 1, "category_id": 5, "bbox": [7, 7, 1, 2]}],
        "categories": [{"id": 2, "name": "large"}, {"id": 5, "name": "small"}],
    }
    (tmp_path / "c.json").write_text(json.dumps(content), encoding="utf-8")
    image = read_annotations(tmp_path / "c.json").images[0].paint()
    assert (image == 1).sum() == 11 and (image[2:5, 2:5] == 1).all() and (image[7:9, 7] == 1).all()


def test_regions_of_label_studio_are_percent(tmp_path: Path) -> None:
    def region(kind: str, value: dict[str, object], label: str) -> dict[str, object]:
        size = {"original_width": 200, "original_height": 100}
        return {"type": kind, **size, "value": {**value, kind: [label]}}

    corners = [[0, 0], [50, 0], [50, 50], [0, 50]]
    regions = [
        region("polygonlabels", {"points": corners}, "wall"),
        region("rectanglelabels", {"x": 50, "y": 50, "width": 25, "height": 10, "rotation": 90}, "box"),
        region("ellipselabels", {"x": 80, "y": 80, "radiusX": 5, "radiusY": 10}, "box"),
        {"type": "choices", "value": {"choices": ["good"]}},
    ]
    wrong = [region("polygonlabels", {"points": corners}, "floor")]
    given = [{"result": regions}, {"result": wrong, "was_cancelled": True}]
    address = "/data/local-files/?d=photos%2Fa%20b.jpg"
    (tmp_path / "s.json").write_text(json.dumps([{"data": {"img": address}, "annotations": given}]), encoding="utf-8")
    found = read_annotations(tmp_path / "s.json")
    assert found.classes == ("wall", "box") and found.images[0].name == "photos/a b.jpg"
    image = found.images[0].paint()
    assert (image[:50, :100] == 0).all() and (image == 0).sum() == 5000
    # A rectangle turns about its upper left corner: 50 x 10 pixels become 10 x 50 to the left of it.
    assert (image[50:100, 90:100] == 1).all()
    assert abs((image == 1).sum() - 500 - np.pi * 100) < 8


def test_a_palette_may_be_sorted_anew(tmp_path: Path) -> None:
    folder = write_pngs(tmp_path / "a", {"p": np.array([[0, 1], [2, -1]], np.int16)}, NAMES)
    image = Image.fromarray(np.array([[2, 1], [0, 3]], np.uint8))
    image.putpalette(bytes(value for color in (COLORS[2], COLORS[1], COLORS[0], (9, 9, 9)) for value in color))
    image.save(folder / "p.png")
    np.testing.assert_array_equal(read_annotations(folder).images[0].paint(), [[0, 1], [2, NOTHING]])
    image.putpalette(bytes((*COLORS[2], 1, 2, 3, *COLORS[0], 9, 9, 9)))
    image.save(folder / "p.png")
    with pytest.raises(InputError, match="palette does not match"):
        read_annotations(folder).images[0].paint()


def test_classes_may_be_named_by_an_option(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    Image.fromarray(np.array([[0, 1, 2, 255]], np.uint8)).save(folder / "a.png")
    with pytest.raises(InputError, match="nothing says what the numbers"):
        read_annotations(folder)
    found = read_annotations(folder, palette_of_names(["background", "wall", "floor"], "--classes"))
    assert found.classes == ("wall", "floor")
    np.testing.assert_array_equal(found.images[0].paint(), [[NOTHING, 0, 1, VOID]])
    (tmp_path / "names.txt").write_text("background\nwall\nfloor\n", encoding="utf-8")
    assert read_palette(str(tmp_path / "names.txt")).by_number == {0: NOTHING, 1: 0, 2: 1}
    with pytest.raises(InputError, match=r"numbers 2, which .* does not define"):
        read_annotations(folder, read_palette("wall,floor")).images[0].paint()


def test_smoothed_colours_are_refused(tmp_path: Path) -> None:
    folder = write_pngs(tmp_path / "a", {"p": np.zeros((4, 4), np.int16)}, NAMES, "RGB")
    pixels = np.full((4, 4, 3), COLORS[0], np.uint8)
    pixels[0, 0] = (115, 115, 30)
    Image.fromarray(pixels).save(folder / "p.png")
    with pytest.raises(InputError, match=r"6\.2% of its pixels have colours that .* does not define"):
        read_annotations(folder).images[0].paint()


def _coco(change: dict[str, object], annotation: dict[str, object]) -> str:
    shape = {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 1, 0, 1, 1]], **annotation}
    image = {"id": 1, "file_name": "a.jpg", "width": 4, "height": 4}
    content = {"images": [image], "annotations": [shape], "categories": [{"id": 1, "name": "wall"}], **change}
    return json.dumps(content)


def _cvat(inside: str, before: str = "", size: str = '"4" height="4"') -> str:
    return f'{before}<annotations><image id="0" name="a.jpg" width={size}>{inside}</image></annotations>'


def _studio(region: dict[str, object]) -> str:
    size = {"original_width": 4, "original_height": 4, "type": "brushlabels"}
    result = [{**size, "value": {"rle": [0, 0, 0, 64, 0], "brushlabels": ["wall"]}, **region}]
    return json.dumps([{"data": {"image": "a.jpg"}, "annotations": [{"result": result}]}])


FAULTS = {
    "nan": (_coco({}, {"segmentation": [[0, 0, float("nan"), 0, 1, 1]]}), "is not a number of JSON"),
    "far": (_coco({}, {"segmentation": [[0, 0, 1e300, 0, 1, 1]]}), "not pixels"),
    "short polygon": (_coco({}, {"segmentation": [[0, 0, 1, 1]]}), "4 numbers"),
    "runs too long": (_coco({}, {"segmentation": {"size": [4, 4], "counts": [2, 3000000000]}}), "are not lengths"),
    "runs too short": (_coco({}, {"segmentation": {"size": [4, 4], "counts": [2, 3]}}), "fill 5 pixels"),
    "runs of another size": (
        _coco({}, {"segmentation": {"size": [90000, 90000], "counts": "0"}}),
        "its mask has the size",
    ),
    "no runs": (_coco({}, {"segmentation": {"size": [4, 4], "counts": "\u00e9"}}), "cannot be read"),
    "category": (_coco({}, {"category_id": 9}), "there is no category 9"),
    "image": (_coco({}, {"image_id": 9}), "there is no image 9"),
    "panoptic": (_coco({}, {"segments_info": []}), "panoptic"),
    "twice": (_coco({"images": [{"id": i, "file_name": "a", "width": 4, "height": 4} for i in (1, 2)]}, {}), "once"),
    "huge": (_coco({"images": [{"id": 1, "file_name": "a", "width": 10**6, "height": 10**6}]}, {}), "more than any"),
    "results": (json.dumps([{"image_id": 1, "category_id": 1}]), "COCO's results"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "no json": ("{", "not JSON"),
    "other json": ('{"shapes": []}', "neither from COCO nor"),
    "min": (json.dumps([{"image": "a.jpg", "label": []}]), "JSON-MIN"),
    "brush": (_studio({}), "less than a header"),
    "turned": (_studio({"image_rotation": 90}), "turned by 90"),
    "no label": (_studio({"value": {"rle": []}}), "has no label"),
    "entities": (_cvat("", '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'), "document type"),
    "laughs": (_cvat("", '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]>'), "document type"),
    "video": ("<annotations><track/></annotations>", "annotation of a video"),
    "mask outside": (_cvat('<mask label="a" rle="0,4" left="3" top="0" width="2" height="2"/>'), "leaves the image"),
    "mask too long": (_cvat('<mask label="a" rle="0,99" left="0" top="0" width="2" height="2"/>'), "not lengths"),
    "points": (_cvat('<polygon label="a" points="0,0;x,1;2,2"/>'), "its point is 'x'"),
    "no size": (_cvat("", size='"0" height="4"'), "its size is 0 x 4"),
    "no xml": ("<annotations><image", "not valid XML"),
    "deep xml": ("<annotations>" + "<a>" * 100, "nested too deeply"),
    "picture": ("hello", "its format of annotations is not supported"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named(name: str, tmp_path: Path) -> None:
    content, fault = FAULTS[name]
    path = tmp_path / "given"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=fault) as told:
        shown(read_annotations(path))
    assert told.value.where.startswith(str(path)) and told.value.remedy


def test_archives_and_images_that_mean_harm_are_refused(tmp_path: Path, labels: Labels) -> None:
    folder = write_pngs(tmp_path / "bomb", {"p": np.zeros((2, 2), np.int16)}, NAMES)
    Image.new("1", (20_000, 20_000)).save(folder / "p.png")
    with pytest.raises(InputError, match=r"20000 x 20000 pixels|decompression bomb"):
        read_annotations(folder)
    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as archive:
        archive.writestr("classes.json", json.dumps(class_table(NAMES)))
        archive.writestr("../p.png", b"")
        archive.writestr("p.png", b"")
    with pytest.raises(InputError, match="leads out of the folder"):
        read_annotations(tmp_path / "slip.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="0 files that may be annotations"):
        read_annotations(tmp_path / "empty")
    with pytest.raises(InputError, match="already names its classes"):
        read_annotations(write_coco(tmp_path / "c.json", labels, NAMES), read_palette("wall,floor"))


def damaged(path: Path, count: int, seed: int) -> tuple[int, Watched]:
    """Read a file or folder with faults in it, as :func:`mutants.read_damaged` reads captures."""
    rng, read, worst = np.random.default_rng(seed), 0, Watched()
    inside = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    size = sum(one.stat().st_size for one in inside)
    for _ in range(count):
        one = inside[int(rng.integers(0, len(inside)))]
        whole = one.read_bytes()
        one.write_bytes(mutated(whole, rng))
        try:
            with worst.reading(size):
                for image in read_annotations(path).images:
                    image.paint()
            read += 1
        except InputError:
            pass
        finally:
            one.write_bytes(whole)
    return read, worst


def test_damaged_files_are_read_or_refused(files: dict[str, Path]) -> None:
    for seed, name in enumerate(("png P", "cvat masks", "cvat xml", "coco", "label studio")):
        read, worst = damaged(files[name], 50, seed)
        assert read < 50 and worst.beyond < 512 << 20, (name, str(worst))

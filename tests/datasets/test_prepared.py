"""Prepared datasets: what was written in a layout is read back, and what is missing is named before it is needed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from prepared_layouts import (
    make_sweep,
    waymo_sweep,
    write_nuscenes,
    write_s3dis,
    write_scannet,
    write_scannetpp,
    write_semantic_kitti,
    write_structured3d,
    write_waymo,
)
from small_world import NETWORK, PREPARATION, make_scene, tiny_encoding, write_world

from ditr.captures.capture import write_capture
from ditr.captures.folders import Captures
from ditr.captures.images import read_depth, read_image
from ditr.data.dataset import Item, TrainingSet
from ditr.data.preparation import Origin
from ditr.data.scene_views import points_in
from ditr.datasets import nuscenes, s3dis, scannet, semantic_kitti, structured3d, waymo
from ditr.datasets.benchmark import Benchmark
from ditr.datasets.table import BENCHMARKS, by_name, open_dataset
from ditr.errors import InputError
from ditr.geometry.projection import OUTDOOR, VisibilityRule
from ditr.scene import Scene, SceneSource, View

RULE = VisibilityRule(min_depth=1.0, max_depth=4.0)


@pytest.fixture(scope="module")
def room() -> Scene:
    """A room of the built-in world with its depth maps."""
    pytest.importorskip("embreex", reason="Rooms needs embreex")
    from ditr.worlds.rooms import RoomsConfig, make_room

    config = RoomsConfig(train=1, test=0, views=3, width=80, height=60, spacing=0.12)
    made = make_room(config, "train", 0)
    # Prepared folders hold float32.
    return replace(made, coord=made.coord.astype(np.float32).astype(np.float64), properties={})


def assert_points(read: Scene, written: Scene, classes: tuple[str, ...]) -> None:
    np.testing.assert_array_equal(read.coord, written.coord)
    for name in ("color", "normal", "label"):
        expected, found = getattr(written, name), getattr(read, name)
        assert (found is None) == (expected is None)
        if expected is not None:
            np.testing.assert_array_equal(found, expected)
    assert read.class_names == classes


def assert_views(read: Scene, written: Scene, rule: VisibilityRule, tolerance: float, exact: bool = False) -> None:
    """The same photographs, which show the same points at the same pixels."""
    assert len(read.views) == len(written.views) > 0
    seen = 0
    for found, expected in zip(read.views, written.views, strict=True):
        pixel, visible = points_in(read, found, rule)
        wanted, shown = points_in(written, expected, rule)
        np.testing.assert_array_equal(visible, shown)
        assert np.abs(pixel - wanted)[visible].max(initial=0) <= tolerance
        difference = np.abs(read_image(found).astype(int) - read_image(expected))
        assert difference.max() == 0 if exact else difference.mean() < 12  # what JPEG makes of noise
        seen += int(visible.sum())
    assert seen > 0


# ---- rooms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "classes"), [("ScanNet", scannet.CLASSES), ("scannet200", scannet.CLASSES_200)])
def test_scannet(tmp_path: Path, room: Scene, name: str, classes: tuple[str, ...]) -> None:
    root = write_scannet(tmp_path / "scannet", [replace(room, name="scene0001_00"), replace(room, name="scene0000_01")])
    write_scannet(root, [replace(room, name="scene0002_00", label=None)], "test")
    (root / "train" / ".thumbnails").mkdir()
    data = open_dataset(name, root, "train")
    assert (data.name.casefold(), len(data)) == (name.casefold(), 2)
    assert data.names() == ["scene0000_01", "scene0001_00"]
    scene = data.scene(1)
    assert scene.name == "scene0001_00" and [view.name for view in scene.views] == ["0", "10", "20"]
    assert_points(scene, room, classes)
    assert_views(scene, room, RULE, 1e-9)
    for found, expected in zip(scene.views, room.views, strict=True):
        mine, theirs = read_depth(found), read_depth(expected)
        assert mine is not None and theirs is not None and np.abs(mine - theirs).max() < 0.00051
    both = open_dataset(name, root, ["train", "test"], images=False)
    assert both.names()[2] == "scene0002_00" and both.scene(2).label is None and both.scene(2).views == ()


def test_a_frame_without_a_pose_shows_nothing_and_still_counts(tmp_path: Path, room: Scene) -> None:
    root = write_scannet(tmp_path / "scannet", [room])
    pose = tmp_path / "scannet_images" / room.name / "pose" / "10.txt"
    np.savetxt(pose, np.full((4, 4), -np.inf))
    scene = open_dataset("ScanNet", root, "train").scene(0)
    assert [view.is_posed for view in scene.views] == [True, False, True] and len(scene.posed_views) == 2
    assert not points_in(scene, scene.views[1], RULE)[1].any()
    assert read_image(scene.views[1]).shape == (60, 80, 3)
    with pytest.raises(InputError, match="view 10 is unknown"):
        write_capture(scene, tmp_path / "capture")
    write_capture(replace(scene, views=scene.posed_views), tmp_path / "capture")


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    many = make_scene(0, views=12, depth=True)
    scene = open_dataset("ScanNet", write_scannet(tmp_path / "scannet", [many]), "train").scene(0)
    assert [view.name for view in scene.views] == [str(10 * k) for k in range(12)]


def test_scannetpp(tmp_path: Path, room: Scene) -> None:
    root = write_scannetpp(tmp_path / "scannetpp", [room])
    classes = tuple(f"class {k}" for k in range(100))
    scene = open_dataset("ScanNet++", root, "nvs_sem_train").scene(0)
    assert_points(scene, room, classes)
    assert_views(scene, room, RULE, 1e-9)
    (tmp_path / "scannetpp_images").rename(tmp_path / "elsewhere")
    assert open_dataset("ScanNet++", root, "nvs_sem_train").scene(0).views == ()
    assert len(open_dataset("ScanNet++", root, "nvs_sem_train", images=tmp_path / "elsewhere").scene(0).views) == 3
    (root / "metadata" / "semantic_benchmark" / "top100.txt").unlink()
    with pytest.raises(InputError, match=r"top100.txt: there is no such file. The expected layout is scannetpp/SPLIT"):
        open_dataset("ScanNet++", root, "nvs_sem_train")


def test_s3dis(tmp_path: Path, room: Scene) -> None:
    assert room.label is not None
    room = replace(room, label=room.label % 13, class_names=s3dis.CLASSES)
    rule = VisibilityRule(depth_margin=0.2)
    root = write_s3dis(tmp_path / "s3dis", [room], 5, rule)
    for area in s3dis.TRAINING_AREAS:
        write_s3dis(root, [replace(room, name=f"room_{area}")], area, rule)
    data = open_dataset("S3DIS", root, "val")
    assert data.names() == [f"Area_5-{room.name}"]
    scene = data.scene(0)
    assert_points(scene, room, s3dis.CLASSES)
    for found, expected in zip(scene.views, room.views, strict=True):
        pixel, visible = points_in(scene, found, OUTDOOR)  # no rule changes what the data say
        wanted, shown = points_in(room, expected, rule)
        np.testing.assert_array_equal(visible, shown)
        assert shown.any() and np.abs(pixel - wanted)[shown].max() < 1e-4
        np.testing.assert_array_equal(read_image(found), read_image(expected))
    assert open_dataset("S3DIS", root, "train").names() == [f"Area_{k}-room_{k}" for k in s3dis.TRAINING_AREAS]
    assert open_dataset("S3DIS", root, ["Area_2"], images=False).names() == ["Area_2-room_2"]


def test_structured3d(tmp_path: Path, room: Scene) -> None:
    room = replace(room, class_names=structured3d.CLASSES)
    data = open_dataset("Structured3D", write_structured3d(tmp_path / "structured3d", [room]), "train")
    assert data.names() == ["scene_00000-room_7"]
    scene = data.scene(0)
    assert_points(scene, room, structured3d.CLASSES)
    assert_views(scene, room, RULE, 1e-6, exact=True)
    # The published way from the stored points into the camera, which passes through another frame.
    stored = np.load(tmp_path / "structured3d" / "train" / "scene_00000" / "room_7" / "coord.npy").astype(np.float64)
    shots = tmp_path / "structured3d_images" / "scene_00000" / "2D_rendering" / "7" / "perspective" / "full"
    turn = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    for number, view in enumerate(scene.views):
        numbers = np.loadtxt(shots / str(number) / "camera_pose.txt")
        front, up = numbers[3:6], numbers[6:9]
        rotation = turn @ np.stack([front, up, np.cross(front, up)], axis=1)
        inside = (stored[:, [0, 2, 1]] - turn @ numbers[:3] / 1000) @ rotation
        x, y, z = inside[:, 2], -inside[:, 1], inside[:, 0]
        pixel, visible = points_in(scene, view, RULE)
        width, height = view.camera.width, view.camera.height
        u = width / 2 + width / 2 / np.tan(numbers[9]) * x / z
        v = height / 2 + height / 2 / np.tan(numbers[10]) * y / z
        assert visible.any() and np.abs(np.stack([u, v], axis=1) - pixel)[visible].max() < 1e-6


# ---- streets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "data/nuscenes/raw/"])
def test_nuscenes(tmp_path: Path, prefix: str) -> None:
    sweeps = [make_sweep(seed, nuscenes.CAMERAS, nuscenes.CLASSES) for seed in (4, 2)]
    data = open_dataset("nuScenes", write_nuscenes(tmp_path / "nuscenes", sweeps, prefix=prefix), "train")
    assert data.names() == ["sweep4", "sweep2"]
    scene = data.scene(1)
    assert [view.name for view in scene.views] == list(nuscenes.CAMERAS)
    assert_points(scene, sweeps[1], nuscenes.CLASSES)
    assert_views(scene, sweeps[1], OUTDOOR, 1e-9)
    np.testing.assert_array_equal(scene.strength, sweeps[1].strength)


def test_a_list_without_cameras_is_read_without_images_only(tmp_path: Path) -> None:
    sweep = make_sweep(0, nuscenes.CAMERAS, nuscenes.CLASSES)
    root = write_nuscenes(tmp_path / "nuscenes", [sweep], cams=False)
    with pytest.raises(InputError, match=r"entry 0 has no cameras \(cams\).*camera flag"):
        open_dataset("nuScenes", root, "train")
    assert open_dataset("nuScenes", root, "train", images=False).scene(0).views == ()


def test_a_list_that_would_run_code_is_refused(tmp_path: Path) -> None:
    root = write_nuscenes(tmp_path / "nuscenes", [make_sweep(0, nuscenes.CAMERAS, nuscenes.CLASSES)])
    witness = tmp_path / "it_ran"
    code = f"cbuiltins\nopen\n(V{witness}\nVw\ntR.".encode()
    (root / "info" / "nuscenes_infos_10sweeps_train.pkl").write_bytes(code)
    with pytest.raises(InputError, match=r"infos_10sweeps_train.pkl"):
        open_dataset("nuScenes", root, "train")
    assert not witness.exists()


def test_a_list_cannot_name_files_outside(tmp_path: Path) -> None:
    root = write_nuscenes(
        tmp_path / "nuscenes", [make_sweep(0, nuscenes.CAMERAS, nuscenes.CLASSES)], prefix="samples/../../"
    )
    with pytest.raises(InputError, match="entry 0 is not a sweep"):
        open_dataset("nuScenes", root, "train")


def test_semantic_kitti(tmp_path: Path) -> None:
    sweeps = [make_sweep(seed, ("image_2",), semantic_kitti.CLASSES) for seed in range(2)]
    root = write_semantic_kitti(tmp_path / "semantic_kitti", sweeps, 8)
    write_semantic_kitti(root, [replace(sweeps[0], label=None)], 11)
    data = open_dataset("SemanticKITTI", root, "val")
    assert data.names() == ["08_000000", "08_000001"]
    scene = data.scene(1)
    assert_points(scene, sweeps[1], semantic_kitti.CLASSES)
    assert_views(scene, sweeps[1], OUTDOOR, 1e-9, exact=True)
    np.testing.assert_array_equal(scene.strength, sweeps[1].strength)
    assert open_dataset("SemanticKITTI", root, "11").scene(0).label is None
    assert open_dataset("SemanticKITTI", root / "dataset", "8", images=False).scene(0).views == ()


def test_waymo(tmp_path: Path) -> None:
    sweep = waymo_sweep(0)
    data = open_dataset("Waymo", write_waymo(tmp_path / "waymo", [sweep]), "train")
    assert data.names() == ["segment-1_with_camera_labels-sweep0"]
    scene = data.scene(0)
    assert_points(scene, sweep, waymo.CLASSES)
    assert sweep.strength is not None
    np.testing.assert_array_equal(scene.strength, np.tanh(sweep.strength))
    taken, lost = np.zeros(len(scene), dtype=bool), 0
    for found, expected in zip(scene.views, sweep.views, strict=True):
        cut = expected.camera.height - 886
        image = read_image(found)
        assert image.shape == (886, 96, 3)
        assert np.abs(image.astype(int) - read_image(expected)[cut:]).mean() < 12
        wanted, shown = points_in(sweep, expected, OUTDOOR)
        wanted, shown = np.floor(wanted), shown & ~taken
        taken |= shown
        pixel, visible = points_in(scene, found, OUTDOOR)
        np.testing.assert_array_equal(visible, shown & (wanted[:, 1] >= cut))
        np.testing.assert_array_equal(pixel[visible], wanted[visible] - (0, cut))
        lost += int((shown & ~visible).sum())
    assert taken.any() and lost > 0


@pytest.mark.parametrize(("camera", "cut"), [(0, 394), (4, 0)])
def test_waymo_keeps_points_from_the_first_row_below_the_cut_on(tmp_path: Path, camera: int, cut: int) -> None:
    root = write_waymo(tmp_path / "waymo", [waymo_sweep(0)])
    (folder,) = root.glob("training/*/*")
    pixel = np.load(folder / "image_coord.npy").astype(np.float32)
    shown = np.flatnonzero(np.load(folder / "image_mask.npy")[:, camera])[:5]
    pixel[shown, 1] = np.float32([cut - 1, cut - 0.001, cut, cut + 0.001, cut + 1])
    np.save(folder / "image_coord.npy", pixel)
    scene = open_dataset("Waymo", root, "train").scene(0)
    found, visible = points_in(scene, scene.views[camera], OUTDOOR)
    assert visible[shown].tolist() == [False, False, True, True, True]
    np.testing.assert_allclose(found[shown[2:], 1], [0, 0.001, 1], atol=1e-4)


# ---- what is missing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_every_benchmark_has_a_reader(tmp_path: Path, benchmark: Benchmark) -> None:
    with pytest.raises(InputError, match=f"there is no such folder. Name the folder of {re.escape(benchmark.name)}"):
        open_dataset(benchmark.name.upper(), tmp_path / "none", "train")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (
            "scannet/train/scene_0/normal.npy",
            "normal.npy: there is no such file. The expected layout is scannet/SPLIT/SCENE with coord.npy",
        ),
        ("scannet/train", "train: there is no such split .folders here: none.. The expected layout is scannet/"),
        (
            "scannet_images/scene_0",
            "scene_0: there is no such folder; it should hold the photographs of a scene. The expected layout",
        ),
        (
            "scannet_images",
            "scannet_images: there is no such folder; it should hold the photographs. The expected layout is",
        ),
        ("scannet", "scannet: there is no such folder. Name the folder of ScanNet"),
    ],
)
def test_missing_folders_and_arrays_are_found_at_once(tmp_path: Path, missing: str, message: str) -> None:
    write_scannet(tmp_path / "scannet", [make_scene(0, depth=True)])
    (tmp_path / missing).rename(tmp_path / "gone")
    with pytest.raises(InputError, match=message.replace("{", r"\{").replace("}", r"\}")):
        open_dataset("ScanNet", tmp_path / "scannet", "train")


@pytest.mark.parametrize("missing", ["depth/10.png", "pose/0.txt", "intrinsic/intrinsic_color.txt", "color"])
def test_missing_files_of_frames_are_named(tmp_path: Path, missing: str) -> None:
    root = write_scannet(tmp_path / "scannet", [make_scene(0, depth=True)])
    (tmp_path / "scannet_images" / "scene_0" / missing).rename(tmp_path / "gone")
    data = open_dataset("ScanNet", root, "train")
    with pytest.raises(InputError, match=missing):
        data.scene(0)


def _objects(folder: Path) -> None:
    np.save(folder / "coord.npy", np.array([{}], dtype=object))


def _short(folder: Path) -> None:
    np.save(folder / "color.npy", np.zeros((3, 3), np.uint8))


def _truncated(folder: Path) -> None:
    path = folder / "coord.npy"
    path.write_bytes(path.read_bytes()[:-8])


def _unknown_class(folder: Path) -> None:
    np.save(folder / "segment20.npy", np.full(400, 20))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_objects, "coord.npy: the array cannot be read"),
        (_short, r"color.npy: its shape is \(3, 3\), but \(400, 3\) is expected"),
        (_truncated, "coord.npy: the array cannot be read"),
        (_unknown_class, "label 20 is outside the 20 classes"),
    ],
)
def test_damaged_arrays_are_named(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    root = write_scannet(tmp_path / "scannet", [make_scene(0, depth=True)])
    damage(root / "train" / "scene_0")
    with pytest.raises(InputError, match=message):
        open_dataset("ScanNet", root, "train").scene(0)


def test_lists_of_pixels_that_do_not_fit_are_named(tmp_path: Path) -> None:
    scene = make_scene(0)
    write_s3dis(tmp_path / "s3dis", [scene], 1, OUTDOOR)
    folder = tmp_path / "s3dis_images" / "Area_1" / "scene_0" / "visibility"
    view = open_dataset("S3DIS", tmp_path / "s3dis", "Area_1").scene(0).views[0]
    rows, pixel = np.load(folder / "0_mask.npy"), np.load(folder / "0_points.npy")
    for name, array, message in (
        ("0_points", pixel[:-1], "0_points.npy: pixels of shape"),
        ("0_mask", rows + 400, "0_mask.npy: it names points"),
        ("0_points", pixel + 100, "0_points.npy: pixels lie outside"),
        ("0_mask", rows.astype(np.float32), "0_mask.npy: this is not an array"),
    ):
        np.save(folder / "0_mask.npy", rows)
        np.save(folder / "0_points.npy", pixel)
        np.save(folder / f"{name}.npy", array)
        with pytest.raises(InputError, match=message):
            points_in(scene, view, OUTDOOR)
    np.save(folder / "0_mask.npy", rows)
    pixel[0] = view.camera.width, 3  # what float32 makes of the last pixel's far end
    np.save(folder / "0_points.npy", pixel)
    assert points_in(scene, view, OUTDOOR)[1].sum() == len(rows) - 1


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    (tmp_path / "waymo" / "validation").mkdir(parents=True)
    with pytest.raises(
        InputError,
        match=r"validation: there is nothing here. The expected layout is waymo/SPLIT/SEGMENT/TIME with coord.npy",
    ):
        open_dataset("Waymo", tmp_path / "waymo", "val")


def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no dataset called 'KITTI'. Use one of ScanNet, .*SemanticKITTI"):
        open_dataset("KITTI", tmp_path, "train")
    write_scannet(tmp_path / "scannet", [make_scene(0, depth=True)])
    with pytest.raises(InputError, match=r"valid: there is no such split \(folders here: train\)"):
        open_dataset("ScanNet", tmp_path / "scannet", "valid")


# ---- limited data ---------------------------------------------------------------------------------------------------


def test_limited_reconstructions(tmp_path: Path) -> None:
    root = write_scannet(tmp_path / "scannet", [make_scene(k, depth=True) for k in range(3)])
    (tmp_path / "few.txt").write_text("scene_2\nscene_0\n")
    data = open_dataset("ScanNet", root, "train", scenes=tmp_path / "few.txt")
    assert data.names() == ["scene_0", "scene_2"] and data.scene(1).name == "scene_2" and data.name == "ScanNet"
    (tmp_path / "few.txt").write_text("scene_2\nscene_9\n")
    with pytest.raises(InputError, match="ScanNet has no scene scene_9 in this split"):
        open_dataset("ScanNet", root, "train", scenes=tmp_path / "few.txt")


def test_limited_annotations(tmp_path: Path) -> None:
    root = write_scannet(tmp_path / "scannet", [make_scene(k, depth=True) for k in range(3)])
    table = {"scene_0": [5, 300, 0], "scene_1": torch.tensor([7])}
    torch.save(table, tmp_path / "points")
    data = open_dataset("ScanNet", root, "train", annotations=tmp_path / "points")
    for index, rows in enumerate(([5, 300, 0], [7], [])):
        full, kept = make_scene(index).label, data.scene(index).label
        assert full is not None and kept is not None
        np.testing.assert_array_equal(kept[rows], full[rows])
        assert (np.delete(kept, rows) == -1).all()
    torch.save({"scene_0": [400]}, tmp_path / "points")
    with pytest.raises(InputError, match="scene_0: point 400 is annotated, but the scene has 400"):
        open_dataset("ScanNet", root, "train", annotations=tmp_path / "points").scene(0)


# ---- training -------------------------------------------------------------------------------------------------------


def test_captures_are_a_source(tmp_path: Path) -> None:
    folders = write_world(tmp_path / "data", 2)
    source: SceneSource = Captures(folders)
    assert source.name == str(tmp_path / "data") and source.names() == ["scene_0", "scene_1"] and len(source) == 2
    assert source.scene(1).name == "scene_1"


def _samples(data: TrainingSet) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    return [(sample.feature, sample.tokens) for sample in (data[Item(0, 0)], data[Item(1, 0)])]


@pytest.mark.parametrize("layout", ["S3DIS", "Waymo", "ScanNet"])
def test_training_takes_prepared_data(tmp_path: Path, layout: str) -> None:
    encoding = tiny_encoding(tmp_path)
    preparation = replace(PREPARATION, max_views=1)
    if layout == "Waymo":
        data = open_dataset("Waymo", write_waymo(tmp_path / "waymo", [waymo_sweep(0)]), "train")
        preparation = replace(by_name("Waymo").preparation(True), image_size=(28, 42), max_views=1)
    elif layout == "S3DIS":
        data = open_dataset("S3DIS", write_s3dis(tmp_path / "s3dis", [make_scene(0)], 1, OUTDOOR), "Area_1")
    else:
        data = open_dataset("ScanNet", write_scannet(tmp_path / "scannet", [make_scene(0, depth=True)]), "train")
    kept, drawn = (
        TrainingSet(data, preparation, NETWORK.pyramid, seed=0, encoding=encoding, keep=keep) for keep in (True, False)
    )
    assert kept.class_names == data.scene(0).class_names
    for (feature, tokens), (same, those) in zip(_samples(kept), _samples(drawn), strict=True):
        assert tokens is not None and those is not None
        assert torch.equal(feature, same) and torch.equal(tokens, those)
    assert kept[Item(0, 0)].lift is not None and int((kept[Item(0, 0)].lift.levels[0].token >= 0).sum()) > 0  # type: ignore[union-attr]


def test_scenes_without_labels_are_named(tmp_path: Path) -> None:
    root = write_scannet(tmp_path / "scannet", [replace(make_scene(0, depth=True), label=None)])
    data = TrainingSet(open_dataset("ScanNet", root, "train"), PREPARATION, NETWORK.pyramid, seed=0)
    with pytest.raises(InputError, match="ScanNet/scene_0: the points have no labels"):
        data.scene(0)


def test_views_without_a_pose_are_left_out_where_one_is_needed(tmp_path: Path) -> None:
    from ditr.data.normals import with_normals
    from ditr.geometry.orientation import estimate_up
    from ditr.pictures.pictures import labels_panels

    written = make_scene(0)
    scene = open_dataset("S3DIS", write_s3dis(tmp_path / "s3dis", [written], 1, OUTDOOR), "Area_1").scene(0)
    mixed = replace(scene, views=(*scene.views, *written.views))
    for some in (scene, mixed):
        np.testing.assert_array_equal(estimate_up(some), (0, 0, 1))
        some = replace(some, normal=None)
        estimated = with_normals(some, some.views, OUTDOOR, Origin.CENTER).normal
        expected = with_normals(some, some.posed_views, OUTDOOR, Origin.CENTER).normal
        assert estimated is not None and expected is not None
        np.testing.assert_array_equal(estimated, expected)
        assert scene.label is not None
        assert len(labels_panels(some, scene.label, scene.class_names, what="Labels")) == len(some.posed_views) + 1


def test_an_image_is_cut_at_its_upper_edge(tmp_path: Path) -> None:
    view: View = open_dataset("Waymo", write_waymo(tmp_path / "waymo", [waymo_sweep(0)]), "train").scene(0).views[0]
    with pytest.raises(InputError, match="96x1280, its camera 96x886"):
        read_image(replace(view, cut_top=0))

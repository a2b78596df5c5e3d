"""SemanticKITTI's download: read sweep by sweep, checked, and prepared; with the points and pixels of its world."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from pandaset_drives import PANDASET
from raw_semantic_kitti import DAMAGES, INSTANCES, moves, pandaset_sweeps, street_sweeps, write_raw

from ditr.captures.images import read_image
from ditr.cli import main
from ditr.data.scene_views import points_in
from ditr.datasets import semantic_kitti
from ditr.datasets.prepare import check, prepare, records
from ditr.datasets.raw import PrepareOptions, RawDataset
from ditr.datasets.semantic_kitti.calibration import read_calibration
from ditr.datasets.semantic_kitti.raw import RAW
from ditr.datasets.table import open_dataset
from ditr.errors import InputError
from ditr.geometry.projection import OUTDOOR
from ditr.io.pickle_reader import read_pickle_file
from ditr.scene import Scene

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
needs_samples = pytest.mark.skipif(not SAMPLES.exists(), reason="../shared is missing")
CALIBRATION = """P0: 7.188560000000e+02 0 6.071928000000e+02 0 0 7.188560000000e+02 1.852157000000e+02 0 0 0 1 0
P2: 718.856 0 607.1928 45.38225 0 718.856 185.2157 -0.1130887 0 0 1 0.003779761
Tr: 4.276802385584e-04 -9.999672484946e-01 -8.084491683471e-03 -1.198459927713e-02 -7.210626507497e-03 \
8.081198471645e-03 -9.999413164504e-01 -5.403984729748e-02 9.999738645903e-01 4.859485810390e-04 \
-7.206933692422e-03 -2.921968648686e-01

"""
"""Of sequence 00, as it is published, without P1 and P3 and with a blank line."""


@pytest.fixture(scope="module")
def sweeps() -> tuple[Scene, ...]:
    pytest.importorskip("embreex", reason="Streets need embreex")
    return street_sweeps(3)


@pytest.fixture
def raw(tmp_path: Path, sweeps: tuple[Scene, ...]) -> Path:
    return write_raw(tmp_path / "kitti", {8: sweeps, 0: sweeps[:1], 11: sweeps[:2]})


def opened(root: Path, *splits: str, copy: bool = False) -> tuple[RawDataset, PrepareOptions]:
    options = PrepareOptions(splits, copy=copy)
    return RAW.open(root, options), options


def prepared(root: Path, out: Path, *splits: str, copy: bool = False) -> Path:
    data, options = opened(root, *splits, copy=copy)
    done = prepare("semantic_kitti", data, out, options, workers=0)
    assert not done.failed
    return out


def tree(root: Path) -> dict[str, bytes]:
    """The files of a prepared dataset and of its photographs, except for the manifest."""
    return {
        f"{folder.name}/{path.relative_to(folder)}": path.read_bytes()
        for folder in (root, root.with_name(root.name + "_color"))
        for path in folder.rglob("*")
        if path.is_file() and "manifest" not in path.relative_to(folder).parts[0]
    }


def seen(scene: Scene, shift: float = 0.0) -> np.ndarray:
    """Which points the photograph shows, its principal point moved."""
    view = scene.views[0]
    camera = view.camera
    moved = type(camera)(
        camera.width, camera.height, camera.fx, camera.fy, camera.cx + shift, camera.cy + shift
    )  # fmt: skip
    return points_in(scene, type(view)(view.name, moved, view.world_to_camera, view.image), OUTDOOR)[1]


def assert_same(scene: Scene, world: Scene, *, labels: bool, moved: float, shift: float = 0.0) -> None:
    """Points, labels and photographs are exactly the world's, the camera's place to ``moved`` metres."""
    np.testing.assert_array_equal(scene.coord, world.coord)
    np.testing.assert_array_equal(scene.strength, world.strength)
    assert scene.class_names == world.class_names
    if labels:
        np.testing.assert_array_equal(scene.label, world.label)
    else:
        assert scene.label is None
    (view,), (expected,) = scene.views, world.views
    assert view.name == "image_2"
    np.testing.assert_array_equal(read_image(view), read_image(expected))
    np.testing.assert_allclose(view.world_to_camera, expected.world_to_camera, atol=moved)
    assert (seen(scene, shift) != seen(world)).mean() <= 0.001 and seen(world).mean() > 0.05


# ---- straight from the download ------------------------------------------------------------------------------------


def test_scenes_of_the_download_are_the_worlds(raw: Path, sweeps: tuple[Scene, ...]) -> None:
    source = opened(raw)[0].source(["val", "11"], images=True)
    assert source.name == "SemanticKITTI" and len(source) == 5
    assert source.names() == ["08_000000", "08_000001", "08_000002", "11_000000", "11_000001"]
    poses = moves(3)
    for index, (name, world) in enumerate(zip(source.names(), [*sweeps, *sweeps[:2]], strict=True)):
        scene = source.scene(index)
        assert scene.name == name and scene.as_published
        assert_same(scene, world, labels=index < 3, moved=1e-6)
        expected, camera = world.views[0].camera.intrinsics, scene.views[0].camera
        np.testing.assert_allclose(camera.intrinsics, expected, atol=1e-9)
        row = int(name[-6:])
        np.testing.assert_allclose(scene.properties["lidar_to_world"], np.linalg.inv(poses[0]) @ poses[row], atol=1e-6)
        assert scene.properties["time"] == pytest.approx(0.1037 * row)
        if index < 3:
            np.testing.assert_array_equal(scene.extra["instance"], np.arange(len(scene)) % INSTANCES)
    assert opened(raw)[0].source(["0"], images=False).scene(0).views == ()
    with pytest.raises(InputError, match=r"it has no velodyne laser data of sequence 01"):
        opened(raw)[0].source(["train"], images=False)
    with pytest.raises(IndexError):
        source.scene(5)


@pytest.mark.skipif(not PANDASET.exists(), reason="../shared is missing")
def test_real_sweeps_come_back(tmp_path: Path) -> None:
    worlds = pandaset_sweeps(2, semantic_kitti.CLASSES)
    # Their cameras have shutters of their own, so each frame has another calibration.
    raw = write_raw(tmp_path / "kitti", {8: worlds[:1], 0: worlds[1:]})
    source = opened(raw)[0].source(["val", "0"], images=True)
    out = open_dataset("SemanticKITTI", prepared(raw, tmp_path / "semantic_kitti"), ["val", "0"])
    for index, world in enumerate(worlds):
        assert_same(source.scene(index), world, labels=True, moved=1e-6)
        assert_same(out.scene(index), world, labels=True, moved=0.004, shift=0.5)


def test_the_published_calibration_differs_by_millimetres(tmp_path: Path) -> None:
    (tmp_path / "calib.txt").write_text(CALIBRATION, encoding="ascii")
    found = read_calibration(tmp_path / "calib.txt")
    assert found.lens == (718.856, 718.856, 607.1928, 185.2157)
    published = found.lidar[:3, 3] + (45.38225 / 718.856, -0.1130887 / 718.856, 0.003779761)
    np.testing.assert_allclose(found.published_pose[:3, 3], published, atol=1e-12)
    inner = np.array([[718.856, 0, 607.1928], [0, 718.856, 185.2157], [0, 0, 1]])
    offset = found.exact_pose[:3, 3] - found.lidar[:3, 3]
    np.testing.assert_allclose(inner @ offset, (45.38225, -0.1130887, 0.003779761), atol=1e-9)
    moved = found.published_pose[:3, 3] - found.exact_pose[:3, 3]
    np.testing.assert_allclose(
        moved, (607.1928 * 0.003779761 / 718.856, 185.2157 * 0.003779761 / 718.856, 0), atol=1e-9
    )
    assert 0.003 < np.linalg.norm(moved) < 0.0035


# ---- real files ------------------------------------------------------------------------------------------------------


@needs_samples
def test_real_labels(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "semantickitti_tiny" / "sequences", tmp_path / "raw" / "sequences")
    path = tmp_path / "raw" / "sequences" / "00" / "labels" / "000000.label"
    raw = np.frombuffer(path.read_bytes(), "<u4")
    assert sorted(set(raw.tolist())) == [0, 50, 52, 70, 71, 80]
    wanted = np.array([{0: -1, 50: 12, 52: -1, 70: 14, 71: 15, 80: 17}[number] for number in raw.tolist()])
    scene = opened(tmp_path / "raw")[0].source(["0"], images=False).scene(0)
    np.testing.assert_array_equal(scene.label, wanted)
    out = prepared(tmp_path / "raw", tmp_path / "out")
    again = open_dataset("SemanticKITTI", out, "0", images=False).scene(0)
    np.testing.assert_array_equal(again.label, wanted)
    np.testing.assert_array_equal(again.coord, scene.coord)
    kinds = [repair["kind"] for repair in records(out)["00"]["repairs"]]
    assert kinds == ["incomplete sequence", "sequence without photographs"]


@needs_samples
def test_a_real_frame_is_projected_as_its_info_says(tmp_path: Path) -> None:
    sample = SAMPLES / "kitti_object_000008"
    (info,) = read_pickle_file(sample / "000008.pkl")["data_list"]
    camera = {key: np.array(value) for key, value in info["images"]["CAM2"].items() if key != "img_path"}
    rectify, lidar = np.array(info["images"]["R0_rect"]), np.array(info["lidar_points"]["Tr_velo_to_cam"])
    folder = tmp_path / "raw" / "dataset" / "sequences" / "08"
    for name in ("velodyne/000008.bin", "image_2/000008.png"):
        (folder / name).parent.mkdir(parents=True)
        shutil.copy(sample / Path(name).name, folder / name)
    lines = {"P2": camera["cam2img"], "Tr": rectify @ lidar}
    text = "".join(f"{key}: {' '.join(repr(float(x)) for x in value[:3].ravel())}\n" for key, value in lines.items())
    (folder / "calib.txt").write_text(text, encoding="ascii")
    scene = opened(tmp_path / "raw")[0].source(["val"], images=True).scene(0)
    assert len(scene) == 17238 and (scene.views[0].camera.width, scene.views[0].camera.height) == (1242, 375)
    pixel, visible = points_in(scene, scene.views[0], OUTDOOR)
    there = np.column_stack([scene.coord, np.ones(len(scene))]) @ camera["lidar2img"].T
    wanted = there[:, :2] / there[:, 2:3] + 0.5
    assert visible.mean() > 0.99
    assert np.abs(pixel - wanted)[visible].max() < 2e-3
    # As published the camera is 3 mm off, and pixels are counted from their edges.
    out = open_dataset("SemanticKITTI", prepared(tmp_path / "raw", tmp_path / "out"), "8").scene(0)
    pixel, other = points_in(out, out.views[0], OUTDOOR)
    assert np.abs(pixel + 0.5 - wanted)[visible & other].max() < 1.0
    assert (visible != other).mean() < 0.005


# ---- prepared --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["together", "bare", "archives", "color"])
def test_every_layout_of_the_download_is_prepared_alike(
    tmp_path: Path, sweeps: tuple[Scene, ...], layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_raw(tmp_path / "kitti", {8: sweeps, 0: sweeps[:1], 11: sweeps[:2]}, layout)
    out = tmp_path / "data" / "semantic_kitti"
    main(["prepare", "semantickitti", str(root), str(out), "--workers", "1" if layout == "archives" else "0"])
    said = capsys.readouterr().out
    assert "3 sequences prepared" in said and "incomplete sequence 3" in said
    data = open_dataset("SemanticKITTI", out, "val")
    assert data.names() == ["08_000000", "08_000001", "08_000002"]
    for index, world in enumerate(sweeps):
        assert_same(data.scene(index), world, labels=True, moved=0.004, shift=0.5)
    assert open_dataset("SemanticKITTI", out, "11").scene(1).label is None
    files = tree(out)
    assert len(files) == 3 * 3 + 2 * 2 + 3 + 3 * 3  # sweeps, labels and photographs; three lists for each sequence
    calib = root / {"bare": "sequences", "archives": "data_odometry_calib/dataset/sequences"}.get(
        layout, "dataset/sequences"
    )
    assert files["semantic_kitti/dataset/sequences/08/calib.txt"] == (calib / "08" / "calib.txt").read_bytes()
    assert {"poses.txt", "times.txt"} <= {Path(name).name for name in files}
    with pytest.raises(InputError, match=r"sequences/01/velodyne: there is no such folder"):
        open_dataset("SemanticKITTI", out, "train")


def test_files_are_linked_or_copied(tmp_path: Path, raw: Path) -> None:
    original = raw / "dataset" / "sequences" / "08" / "velodyne" / "000000.bin"
    place = "dataset/sequences/08/velodyne/000000.bin"
    hard, copied = prepared(raw, tmp_path / "hard"), prepared(raw, tmp_path / "copied", copy=True)
    assert os.path.samefile(hard / place, original) and not (hard / place).is_symlink()
    assert not os.path.samefile(copied / place, original)
    assert {name.partition("/")[2]: content for name, content in tree(hard).items()} == {
        name.partition("/")[2]: content for name, content in tree(copied).items()
    }
    shutil.rmtree(raw)
    assert len(open_dataset("SemanticKITTI", hard, "val").scene(0)) > 1000


def test_on_another_disk_links_are_symbolic(tmp_path: Path, raw: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    folder = elsewhere / f"ditr_test_{os.getpid()}"
    try:
        out = prepared(raw, folder / "semantic_kitti")
        place = out / "dataset" / "sequences" / "08" / "velodyne" / "000000.bin"
        assert place.is_symlink() and place.resolve().is_relative_to(raw.resolve())
        assert len(open_dataset("SemanticKITTI", out, "val").scene(0).views) == 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_the_same_command_goes_on(tmp_path: Path, raw: Path) -> None:
    data, options = opened(raw)
    out = tmp_path / "out"
    first = prepare("semantic_kitti", data, out, options, workers=0)
    assert sorted(first.done) == ["00", "08", "11"] and first.kept == ()
    before = tree(out)
    again = prepare("semantic_kitti", *opened(raw)[:1], out, options, workers=0)
    assert again.done == () and sorted(again.kept) == ["00", "08", "11"]
    # Labels or sweeps that came later, or others of the same names, are taken up.
    label = raw / "dataset" / "sequences" / "00" / "labels" / "000000.label"
    content = label.read_bytes()
    label.unlink()
    label.write_bytes(content[:-2] + b"\x07\x00")
    third = prepare("semantic_kitti", *opened(raw)[:1], out, options, workers=0)
    assert third.done == ("00",)
    after = tree(out)
    assert {name for name in after if after[name] != before.get(name)} == {
        "out/dataset/sequences/00/labels/000000.label"
    }


# ---- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_costs_its_sequence_alone(tmp_path: Path, raw: Path, damage: str) -> None:
    spoil, said = DAMAGES[damage]
    spoil(raw / "dataset" / "sequences" / "08")
    data, options = opened(raw)
    found = check(data, workers=0)
    assert len(found.faults) >= 1
    with pytest.raises(InputError, match=said):
        raise found.faults[0]
    done = prepare("semantic_kitti", data, tmp_path / "out", options, workers=0)
    assert list(done.failed) == ["08"] and str(done.failed["08"]) == str(found.faults[0])
    assert sorted(done.done) == ["00", "11"]
    assert not (tmp_path / "out" / "dataset" / "sequences" / "08").exists()
    assert not (tmp_path / "out_color" / "dataset" / "sequences" / "08").exists()


def test_many_faults_of_a_kind_are_one_with_their_number(raw: Path) -> None:
    sequence = raw / "dataset" / "sequences" / "08"
    for name in ("000000", "000002"):
        (sequence / "velodyne" / f"{name}.bin").write_bytes(b"1234567")
        (sequence / "image_2" / f"{name}.png").unlink()
    faults = [str(fault) for fault in check(opened(raw)[0], workers=0).faults]
    assert len(faults) == 2
    assert "000000.bin: its 7 bytes are not points of 16 bytes, and 1 more files here have faults" in faults[0]
    assert "000000.png: it is not there, nor are 1 others of 3" in faults[1]


def test_what_is_not_all_there_is_said(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(raw / "dataset" / "sequences" / "00" / "labels")
    shutil.rmtree(raw / "dataset" / "sequences" / "11" / "image_2")
    main(["prepare", "SemanticKITTI", str(raw), "--check-only", "--workers", "0"])
    said = " ".join(capsys.readouterr().out.split())
    assert "test: 1 of 11 sequences" in said and "no problems found" in said
    assert "11/velodyne: there are 2 of 921 sweeps; the server rejects predictions for fewer" in said
    assert "sequence without photographs 1" in said and "sequence without labels 1" in said
    assert "CC BY-NC-SA" in said and "velodyne laser data 80 GB" in said


def test_a_sequence_without_sweeps_is_named(tmp_path: Path, raw: Path) -> None:
    shutil.rmtree(raw / "dataset" / "sequences" / "08" / "velodyne")
    (fault,) = check(opened(raw)[0], workers=0).faults
    assert "08/velodyne: there are no sweeps of this sequence. Unpack or download" in str(fault)


def test_options_that_mean_nothing_are_refused(raw: Path) -> None:
    with pytest.raises(InputError, match=r"--every: sequences of SemanticKITTI are prepared whole"):
        RAW.open(raw, PrepareOptions(every=2))
    with pytest.raises(InputError, match="there is no split 'valid'"):
        opened(raw, "valid")
    assert [piece.name for piece in opened(raw, "val", "11")[0].pieces] == ["08", "11"]


# ---- which folder is what --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["together", "bare", "archives"])
def test_a_download_where_a_prepared_folder_is_wanted_is_answered_with_the_command(
    tmp_path: Path, sweeps: tuple[Scene, ...], layout: str
) -> None:
    root = write_raw(tmp_path / "kitti", {8: sweeps[:1]}, layout)
    wanted = r"kitti: this is the download of SemanticKITTI.*ditr prepare semantickitti \S+kitti \S+semantic_kitti"
    with pytest.raises(InputError, match=wanted):
        open_dataset("SemanticKITTI", root, "val")


def test_prepared_folders_are_read_where_they_lie(tmp_path: Path, sweeps: tuple[Scene, ...]) -> None:
    # As the published code has it, with photographs in the folder beside.
    root = write_raw(tmp_path / "semantic_kitti", {8: sweeps[:1]}, "color")
    assert len(open_dataset("SemanticKITTI", root, "val").scene(0).views) == 1
    # As Pointcept has it: the download without photographs.
    alone = write_raw(tmp_path / "pointcept", {8: sweeps[:1]})
    shutil.rmtree(alone / "dataset" / "sequences" / "08" / "image_2")
    assert open_dataset("SemanticKITTI", alone, "val", images=False).scene(0).views == ()
    # The download itself, where no photographs are wanted, or their folder is named.
    whole = write_raw(tmp_path / "whole", {8: sweeps[:1]})
    assert open_dataset("SemanticKITTI", whole, "val", images=False).scene(0).views == ()
    assert len(open_dataset("SemanticKITTI", whole, "val", images=whole).scene(0).views) == 1
    out = prepared(whole, tmp_path / "ready")
    assert len(open_dataset("SemanticKITTI", out, "val").scene(0).views) == 1


def test_a_prepared_folder_in_the_download_is_no_part_of_it(tmp_path: Path, sweeps: tuple[Scene, ...]) -> None:
    raw = write_raw(tmp_path / "kitti", {8: sweeps[:2]}, "archives")
    out = prepared(raw, raw / "a_first_one")
    assert [files.folders["velodyne"] for files in opened(raw)[0].sequences] == [  # type: ignore[attr-defined]
        raw / "data_odometry_velodyne" / "dataset" / "sequences" / "08" / "velodyne"
    ]
    shutil.rmtree(raw / "data_odometry_color")
    assert prepared(raw, raw / "second") != out

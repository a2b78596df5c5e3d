"""nuScenes from its download: the tables, the vehicle's motion between two moments, the lists that are made of them."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import raw_nuscenes
from pandaset_drives import PANDASET, frames_of
from raw_nuscenes import NAMES, Drive, Turn, write_nuscenes_raw
from raw_nuscenes_damage import DAMAGES

from ditr.captures.capture import read_capture
from ditr.captures.images import read_image
from ditr.data.scene_views import points_in
from ditr.datasets import nuscenes
from ditr.datasets.nuscenes.raw import RawNuScenes, open_download
from ditr.datasets.prepare import check, prepare, records
from ditr.datasets.raw import PrepareOptions
from ditr.datasets.submission import count_points, faults
from ditr.datasets.table import open_dataset
from ditr.errors import InputError
from ditr.evaluation.counts import Counts
from ditr.evaluation.submit import score
from ditr.geometry.projection import OUTDOOR
from ditr.io.pickle_reader import read_pickle_file
from ditr.io.zip_archive import open_archive
from ditr.scene import Scene, SceneSource

SHARED = Path(__file__).parents[3] / "shared"
KEYFRAME, LYFT = SHARED / "samples" / "nuscenes_keyframe", SHARED / "samples" / "lyft_tables_nuscenes_schema"
MOTION = {"CAM_FRONT": 0.328, "CAM_FRONT_RIGHT": 0.255, "CAM_FRONT_LEFT": 0.399, "CAM_BACK": 0.096,
          "CAM_BACK_LEFT": 0.005, "CAM_BACK_RIGHT": 0.185}  # fmt: skip


@pytest.fixture(scope="module")
def drives() -> dict[str, Drive]:
    pytest.importorskip("embreex", reason="Streets needs embreex")
    return {split: raw_nuscenes.street_drive(name, k, between=k) for k, (split, name) in enumerate(NAMES.items())}


@pytest.fixture(scope="module")
def whole(drives: dict[str, Drive], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A download of two versions."""
    root = tmp_path_factory.mktemp("nuscenes") / "download"
    write_nuscenes_raw(root, [drives["val"], drives["train"]])
    return write_nuscenes_raw(root, [drives["test"]], "v1.0-test")


@pytest.fixture
def download(whole: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "download"))


def opened(root: Path, **options: Any) -> RawNuScenes:
    return open_download(root, PrepareOptions(**options))


def entries(out: Path, split: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((out / "info" / f"nuscenes_infos_10sweeps_{split}.json").read_text())
    return found


def assert_is_read(source: SceneSource, written: list[Scene], labelled: bool) -> None:
    assert len(source) == len(written) > 0
    for index, expected in enumerate(written):
        scene = source.scene(index)
        np.testing.assert_array_equal(scene.coord, expected.coord)
        assert scene.strength is not None and expected.strength is not None
        np.testing.assert_array_equal(scene.strength, expected.strength)
        np.testing.assert_array_equal(scene.extra["ring"], expected.extra["ring"])
        assert (scene.label is not None) == labelled
        if labelled:
            np.testing.assert_array_equal(scene.label, expected.label)  # type: ignore[arg-type]
        assert [view.name for view in scene.views] == list(nuscenes.CAMERAS)
        for found, view in zip(scene.views, expected.views, strict=True):
            np.testing.assert_allclose(found.world_to_camera, view.world_to_camera, rtol=0, atol=1e-9)
            assert found.camera == view.camera
            seen, wanted = (points_in(scene, one, OUTDOOR)[1] for one in (found, view))
            assert (seen != wanted).sum() <= 0.001 * wanted.sum() and wanted.any()
            assert read_image(found).shape == (view.camera.height, view.camera.width, 3)


@pytest.mark.parametrize("copy", [False, True])
def test_a_download_is_prepared_and_read(drives: dict[str, Drive], download: Path, tmp_path: Path, copy: bool) -> None:
    options = PrepareOptions(copy=copy)
    out, raw = tmp_path / "nuscenes", open_download(download, options)
    assert [(piece.name, piece.split) for piece in raw.pieces] == [
        (NAMES["train"], "train"),
        (NAMES["val"], "val"),
        (NAMES["test"], "test"),
    ]
    checked = check(raw, workers=0)
    assert (checked.faults, checked.repairs) == ((), ())
    done = prepare("nuScenes", raw, out, options, workers=0)
    assert len(done.done) == 3 and not done.failed and not done.repairs
    if copy:
        shutil.rmtree(download)
    else:
        assert (out / "raw").resolve() == download.resolve()
    for split, drive in drives.items():
        if not copy:
            assert_is_read(raw.source([split], True), drive.scenes, split != "test")
        source = open_dataset("nuScenes", out, split)
        assert_is_read(source, drive.scenes, split != "test")
        if split == "train":
            assert source.names() == [scene.name for scene in drive.scenes]
    assert open_dataset("nuScenes", out, "val", images=False).scene(0).views == ()
    assert len(open_dataset("nuScenes", out, ["train", "val"])) == 4


def test_earlier_turns_are_listed_with_their_way(tmp_path: Path) -> None:
    """Points of an earlier turn, moved by the listed matrix, lie where the vehicle was then."""
    rng = np.random.default_rng(0)
    path = [
        raw_nuscenes.rigid((0.02 * k, 0.01, 0.003 * k), (411 + 0.4 * k, 1180 + 0.05 * k * k, 0.1)) for k in range(13)
    ]
    mount = raw_nuscenes.rigid((-1.57, 0.01, 0.0), (0.94, 0.0, 1.84))
    coord = rng.uniform(-20, 20, (30, 3)).astype(np.float32).astype(np.float64)
    turns = []
    for number, vehicle in enumerate(path):
        scene = Scene("turn", coord, strength=np.ones(30), label=np.zeros(30, np.int32), class_names=("barrier",),
                      extra={"ring": np.zeros(30, np.uint8)})  # fmt: skip
        stamp = raw_nuscenes.START + 50_000 * number
        camera = nuscenes_camera()
        shots = tuple(
            raw_nuscenes.Shot(name, np.zeros((8, 16, 3), np.uint8), camera, stamp - 20_000, vehicle, np.eye(4))
            for name in nuscenes.CAMERAS
        )
        turns.append(Turn(scene, stamp, vehicle, shots if number in (3, 12) else ()))
    write_nuscenes_raw(tmp_path / "raw", [Drive("scene-0061", tuple(turns), mount)])
    first = sorted((tmp_path / "raw" / "sweeps" / "LIDAR_TOP").iterdir())
    first[1].write_bytes(b"cut")
    first[5].unlink()
    out = tmp_path / "out"
    done = prepare("nuScenes", opened(tmp_path / "raw"), out, PrepareOptions(), workers=0)
    assert [repair.kind for repair in done.repairs] == ["earlier sweeps missing"]
    assert done.repairs[0].what.startswith("2 of 11 sweeps") and records(out)["scene-0061"]["repairs"]
    listed = [[round(sweep["time_lag"], 6) for sweep in entry["sweeps"]] for entry in entries(out, "train")]
    assert listed == [[0.05, 0.15], [0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.4, 0.45]]
    to_here = np.linalg.inv(path[12] @ mount)
    for sweep in entries(out, "train")[1]["sweeps"]:
        then = path[12 - round(sweep["time_lag"] / 0.05)]
        np.testing.assert_allclose(sweep["transform_matrix"], to_here @ then @ mount, rtol=0, atol=1e-9)


def nuscenes_camera() -> Any:
    from ditr.scene import Camera

    return Camera(16, 8, 10.0, 10.0, 8.0, 4.0)


# ---- what is wrong with it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_named(download: Path, tmp_path: Path, kind: str) -> None:
    damage = DAMAGES[kind]
    damage.do(download)
    if damage.at_once:
        with pytest.raises(InputError, match=damage.said):
            opened(download)
        return
    raw = opened(download, splits=("train", "val"))
    said = [str(fault) for fault in check(raw, workers=0).faults]
    assert any(re.search(damage.said, line) for line in said), said
    done = prepare("nuScenes", raw, tmp_path / "out", PrepareOptions(), workers=0)
    if kind == "lost scene":  # its drive is not known at all
        assert len(raw.pieces) == 1
        return
    # The other drive is prepared.
    assert len(done.failed) == 1 and len(done.done) == 1
    (fault,) = done.failed.values()
    assert str(download) in str(fault)
    if "missing" not in kind and kind != "lost sample":  # of which the drive sees that a file is not there
        assert re.search(damage.said, str(fault)), fault


def test_a_perfect_prediction_gives_exactly_100(download: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "out", tmp_path / "sent.zip"
    prepare("nuScenes", opened(download, splits=("val",)), out, PrepareOptions(), workers=0)
    source, form = open_dataset("nuScenes", out, "val", images=False), nuscenes.NUSCENES.submission
    assert form is not None
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in form.others(source.names(), "val", images=False).items():
            archive.writestr(name, content)
        for index, name in enumerate(source.names()):
            label = source.scene(index).label
            assert label is not None
            archive.writestr(form.member(name, "val"), form.content(label.clip(min=0)))
    counts = Counts.empty(len(nuscenes.CLASSES), distance=True)
    with open_archive(path) as opened_archive:
        found = list(faults(opened_archive, form, count_points(source), "val"))
        assert [fault.kind for fault in found] == ["number of files"]  # of a whole validation split
        score(opened_archive, form, source, "val", counts)
    figures = counts.figures(nuscenes.CLASSES, nuscenes.NUSCENES.counting)
    assert figures["accuracy"] == 100.0 and figures["miou_present"] == 100.0


def test_points_that_are_not_finite_are_named_when_prepared(download: Path, tmp_path: Path) -> None:
    path = sorted((download / "samples" / "LIDAR_TOP").iterdir())[0]
    path.write_bytes(path.read_bytes()[:44] + b"\x00\x00\xc0\x7f" + path.read_bytes()[48:])
    done = prepare("nuScenes", opened(download), tmp_path / "out", PrepareOptions(), workers=0)
    assert [str(fault) for fault in done.failed.values()] == [
        f"{path}: point 2 (byte 40) is not finite. Unpack this file again."
    ]


def test_whole_versions_have_their_number_of_keyframes(download: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ditr.datasets.nuscenes import raw

    monkeypatch.setitem(raw.KEYFRAMES, "v1.0-test", (1, 6008))
    (fault,) = opened(download).check()
    assert "v1.0-test/sample.json: it has 2 keyframes, but v1.0-test should have 6,008" in str(fault)


def test_what_is_there_decides_what_is_read(download: Path, tmp_path: Path) -> None:
    assert [piece.split for piece in opened(download, splits=("test",)).pieces] == ["test"]
    (download / "v1.0-trainval" / "lidarseg.json").unlink()
    assert len(opened(download, splits=("test",)).pieces) == 1
    with pytest.raises(InputError, match=r"there is no split 'tset' here. Did you mean test"):
        opened(download, splits=("tset",))
    with pytest.raises(InputError, match=r"there is no split 'mini_val' here"):
        opened(download, splits=("mini_val",))
    with pytest.raises(InputError, match="--every: the keyframes of nuScenes are already chosen"):
        opened(download, every=5)
    with pytest.raises(
        InputError, match=f"there are no tables here .* Give {re.escape(str(download))}, which has some"
    ):
        opened(tmp_path)
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "v1.0-test_meta.tgz").touch()
    with pytest.raises(InputError, match=r"there are no tables here .* Unpack v1\.0-test_meta\.tgz here first"):
        opened(tmp_path / "packed")
    for folder in (download, tmp_path):
        recognised = nuscenes.NUSCENES.raw is not None and nuscenes.NUSCENES.raw.recognises(folder)
        assert recognised == (folder == download)
    with pytest.raises(InputError, match=r"this is the download of nuScenes, .* Run ditr prepare nuscenes "):
        open_dataset("nuScenes", download, "train")


def test_versions_lie_side_by_side(drives: dict[str, Drive], download: Path, tmp_path: Path) -> None:
    """A drive of v1.0-mini is one of v1.0-trainval too."""
    write_nuscenes_raw(download, [drives["train"], drives["val"]], "v1.0-mini")
    raw = opened(download)
    assert {piece.name: piece.split for piece in raw.pieces} == {
        "scene-0061": "train",
        "scene-0103": "val",
        "scene-0077": "test",
        "mini-scene-0061": "mini_train",
        "mini-scene-0103": "mini_val",
    }
    out = tmp_path / "out"
    assert not prepare("nuScenes", raw, out, PrepareOptions(), workers=0).failed
    assert_is_read(open_dataset("nuScenes", out, "mini_val"), drives["val"].scenes, True)


def test_the_link_is_not_turned_away_from_lists_that_need_it(download: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare("nuScenes", opened(download), out, PrepareOptions(), workers=0)
    with pytest.raises(InputError, match=r"need, and not to files. Prepare all splits with the same options"):
        prepare("nuScenes", opened(download, splits=("val",), copy=True), out, PrepareOptions(copy=True), workers=0)
    assert len(open_dataset("nuScenes", out, "val").scene(0).views) == 6
    moved = download.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"it links to the download .*, which does not exist"):
        open_dataset("nuScenes", out, "val")
    prepare("nuScenes", opened(moved), out, PrepareOptions(), workers=0)
    assert len(open_dataset("nuScenes", out, "val").scene(0).views) == 6


def test_a_download_that_lies_where_the_published_layout_wants_it_stays(download: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    download.rename(out / "raw")
    assert not prepare("nuScenes", opened(out / "raw"), out, PrepareOptions(), workers=0).failed
    assert not (out / "raw").is_symlink()
    assert len(open_dataset("nuScenes", out, "test")) == 2
    shutil.rmtree(out / "raw" / "samples")
    with pytest.raises(InputError, match="there is no such file"):
        open_dataset("nuScenes", out, "val").scene(0)


def test_labels_are_all_there_or_none(download: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare("nuScenes", opened(download), out, PrepareOptions(), workers=0)
    (download / "lidarseg").rename(tmp_path / "away")
    assert open_dataset("nuScenes", out, "val").scene(0).label is None
    (download / "lidarseg" / "v1.0-trainval").mkdir(parents=True)
    with pytest.raises(InputError, match=r"_lidarseg\.bin: there is no such file"):
        open_dataset("nuScenes", out, "val").scene(0)


def test_a_list_that_was_cut_off_is_named(download: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare("nuScenes", opened(download), out, PrepareOptions(), workers=0)
    path = out / "info" / "nuscenes_infos_10sweeps_val.json"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match=r"_val.json: at byte \d+ row 1 cannot be read, or is cut off"):
        open_dataset("nuScenes", out, "val")
    first, second = entries(out, "train")
    del second["gt_segment_path"]
    path.write_text(json.dumps([first, second]))
    with pytest.raises(InputError, match=r"entry 1 has no labels \(gt_segment_path\), but earlier entries have some"):
        open_dataset("nuScenes", out, "val")
    path.write_text("[]")
    with pytest.raises(InputError, match="this list of sweeps is empty"):
        open_dataset("nuScenes", out, "val")


# ---- real bytes -----------------------------------------------------------------------------------------------------


def rebuilt(root: Path) -> dict[str, Any]:
    """The official tables of the keyframe of the sample, from what its information file says of it; that file."""
    info: dict[str, Any] = read_pickle_file(KEYFRAME / "n015-2018-07-24-11-22-45+0800.pkl")["data_list"][0]  # type: ignore
    lidar = info["lidar_points"]
    points = np.fromfile(KEYFRAME / lidar["lidar_path"], "<f4").reshape(-1, 5)
    scene = Scene("keyframe", points[:, :3].astype(np.float64), strength=points[:, 3], extra={"ring": points[:, 4]},
                  label=np.full(len(points), -1, np.int32))  # fmt: skip
    vehicle, mount = np.array(info["ego2global"]), np.array(lidar["lidar2ego"])
    shots = []
    for name in nuscenes.CAMERAS:
        image = info["images"][name]
        on_vehicle = np.array(image["cam2ego"])
        then = vehicle @ mount @ np.linalg.inv(image["lidar2cam"]) @ np.linalg.inv(on_vehicle)
        camera = camera_of(np.array(image["cam2img"]))
        stamp = round(image["timestamp"] * 1e6)
        shots.append(raw_nuscenes.Shot(name, KEYFRAME / image["img_path"], camera, stamp, then, on_vehicle))
    turn = Turn(scene, round(info["timestamp"] * 1e6), vehicle, tuple(shots))
    write_nuscenes_raw(root, [Drive("scene-0061", (turn,), mount)], "v1.0-mini")
    return info


def camera_of(matrix: np.ndarray) -> Any:
    from ditr.scene import Camera

    return Camera(1600, 900, matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])


@pytest.mark.skipif(not KEYFRAME.is_dir(), reason="needs the sample keyframe of nuScenes")
def test_a_real_keyframe(tmp_path: Path) -> None:
    info = rebuilt(tmp_path / "raw")
    raw = opened(tmp_path / "raw")
    assert not check(raw, workers=0).faults
    out = tmp_path / "out"
    assert not prepare("nuScenes", raw, out, PrepareOptions(), workers=0).failed
    (entry,) = entries(out, "mini_train")
    for name, expected in MOTION.items():
        moved = np.array(entry["car_from_global"]) @ [*entry["cams"][name]["ego2global_translation"], 1]
        assert float(np.linalg.norm(moved[:3])) == pytest.approx(expected, abs=6e-4)
    scene = open_dataset("nuScenes", out, "mini_train").scene(0)
    for view in scene.views:
        np.testing.assert_allclose(view.world_to_camera, info["images"][view.name]["lidar2cam"], rtol=0, atol=2e-6)
    # The same keyframe as a capture, whose principal points are half a pixel further.
    generic = read_capture(SHARED / "captures" / "nuscenes_sample")
    np.testing.assert_array_equal(np.float32(generic.coord), np.float32(scene.coord))
    assert_same_patches(scene, generic)


def assert_same_patches(scene: Scene, generic: Scene) -> None:
    from dataclasses import replace

    views = {view.name.removeprefix("images/").removesuffix(".jpg"): view for view in generic.views}
    differ = total = 0
    for view in scene.views:
        camera = replace(view.camera, cx=view.camera.cx + 0.5, cy=view.camera.cy + 0.5)
        (pixel, seen), (other, shown) = (
            points_in(scene, one, OUTDOOR) for one in (replace(view, camera=camera), views[view.name])
        )
        patch, same = (np.floor(at / (1600 / 48, 900 / 27)) for at in (pixel, other))
        both = seen & shown
        differ += int((seen != shown).sum()) + int((patch != same)[both].any(axis=1).sum())
        total += int(shown.sum())
    print(f"{differ} of {total} visible points differ in visibility or patch")
    assert total > 10_000 and differ == 0


@pytest.mark.skipif(not LYFT.is_dir(), reason="needs the sample tables of Lyft")
def test_tables_of_another_dataset_with_the_same_schema_are_refused(tmp_path: Path) -> None:
    tables = LYFT / "v1.01-train" / "v1.01-train"
    with pytest.raises(InputError, match=r"there are no tables here \(v1.0-trainval"):
        opened(tables.parent)
    shutil.copytree(tables, tmp_path / "v1.0-trainval")
    with pytest.raises(
        InputError, match=r"category.json: its categories have no index, so it is the table from before lidarseg"
    ):
        opened(tmp_path)


@pytest.mark.skipif(not PANDASET.is_dir(), reason="needs the sample sweeps of PandaSet")
def test_real_sweeps_of_a_moving_car(tmp_path: Path) -> None:
    frames = frames_of(3)
    drive = raw_nuscenes.pandaset_drive(NAMES["train"], frames, lambda view: Path(str(view.image)))
    write_nuscenes_raw(tmp_path / "raw", [drive])
    out = tmp_path / "out"
    assert not prepare("nuScenes", opened(tmp_path / "raw"), out, PrepareOptions(), workers=0).failed
    assert_is_read(open_dataset("nuScenes", out, "train"), drive.scenes, True)
    assert [len(entry["sweeps"]) for entry in entries(out, "train")] == [0, 2]

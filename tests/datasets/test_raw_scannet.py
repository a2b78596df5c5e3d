"""ScanNet's download: what is made of a scene is what was written, and damage is repaired and counted, or named."""

from __future__ import annotations

import json
import re
import shutil
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import raw_scannet
from PIL import Image
from raw_scannet import TABLE, Shot, Written, patch, places, write_download, write_json, write_mesh, write_sens
from small_world import make_scene

from ditr.captures.images import read_depth, read_image
from ditr.cli.prepare import Prepare, run
from ditr.data.scene_views import points_in
from ditr.datasets.prepare import check, prepare
from ditr.datasets.raw import PrepareOptions, RawDataset
from ditr.datasets.scannet import LABELS_200, RULE
from ditr.datasets.scannet.classes import LABELS
from ditr.datasets.scannet.labels import read_table
from ditr.datasets.scannet.splits import COUNTS, scenes_of, split_of
from ditr.datasets.table import by_name, open_dataset
from ditr.errors import InputError
from ditr.scene import Scene

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "scannet_frames"
SHARED = Path(__file__).parents[3] / "shared" / "reference" / "raw_formats_lists"
IDS_200 = LABELS_200.to_raw


def small(seed: int, views: int = 2) -> Scene:
    return make_scene(seed, views=views, points=150, depth=True)


def opened(root: Path, name: str = "ScanNet", **options: object) -> RawDataset:
    form = by_name(name).raw
    assert form is not None and form.recognises(root)
    return form.open(root, PrepareOptions(**options))  # type: ignore[arg-type]


def prepared(root: Path, out: Path, **options: object) -> Counter[str]:
    """Repairs by kind of a download of which every scene can be prepared."""
    done = prepare("ScanNet", opened(root, **options), out, PrepareOptions(**options), workers=0)  # type: ignore[arg-type]
    assert not done.failed
    return Counter(repair.kind for repair in done.repairs if not repair.kind.startswith("photographs of"))


@pytest.fixture
def download(tmp_path: Path) -> tuple[Path, Written]:
    """A scene of training and one of the test, of a few frames."""
    root = tmp_path / "raw"
    written = write_download(root, {"train": [small(0)], "test": [small(1)]}, IDS_200, between=1)
    return root, written[0]


# ---- sound ----------------------------------------------------------------------------------------------------------


def test_a_room_comes_out_as_it_went_in(tmp_path: Path) -> None:
    pytest.importorskip("embreex", reason="Rooms needs embreex")
    from ditr.worlds.rooms import RoomsConfig, make_room

    room = make_room(RoomsConfig(train=1, test=0, views=3, width=280, height=210, spacing=0.1), "train", 0)
    room = replace(room, coord=room.coord.astype(np.float32).astype(np.float64), properties={})
    splits = {"train": [room], "val": [room], "test": [replace(room, label=None)]}
    written = write_download(tmp_path / "raw", splits, IDS_200)
    looked = check(opened(tmp_path / "raw"), workers=0)
    assert looked.found == {"train": 1, "val": 1, "test": 1} and not looked.faults and looked.size > 0
    assert {repair.kind for repair in looked.repairs} == {"photographs of 280x210"}
    assert prepared(tmp_path / "raw", tmp_path / "scannet") == {}
    for name, labels in (("ScanNet", "segment20"), ("ScanNet200", "segment200")):
        raw = opened(tmp_path / "raw", name)
        for one in written:
            data = open_dataset(name, tmp_path / "scannet", one.split)
            straight = raw.source([one.split], True)
            assert data.names() == straight.names() == [one.name] and straight.name == name
            found = data.scene(0)
            assert_same(found, straight.scene(0))
            np.testing.assert_array_equal(found.coord, room.coord)
            np.testing.assert_array_equal(found.color, room.color)
            assert (found.label is None) == (one.split == "test")
            if found.label is not None:
                np.testing.assert_array_equal(found.label, getattr(one, labels))
                assert len(np.unique(found.label)) > 5
            assert_views(found, room)
    instance = np.load(tmp_path / "scannet" / "val" / written[1].name / "instance.npy", allow_pickle=False)
    np.testing.assert_array_equal(instance, written[1].instance)


def assert_same(found: Scene, straight: Scene) -> None:
    """From the prepared folder and straight from the download."""
    for name in ("coord", "color", "normal", "label"):
        one, other = getattr(found, name), getattr(straight, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    assert found.class_names == straight.class_names
    for view, other in zip(found.views, straight.views, strict=True):
        assert (view.name, view.camera, view.is_posed) == (other.name, other.camera, other.is_posed)
        np.testing.assert_array_equal(view.world_to_camera, other.world_to_camera)
        np.testing.assert_array_equal(read_image(view), read_image(other))
        if view.is_posed:
            np.testing.assert_array_equal(read_depth(view), read_depth(other))


def assert_views(found: Scene, room: Scene) -> None:
    """The photographs are those of the world, twice as large, and show the same points."""
    assert [view.name for view in found.views] == ["0", "10", "20"]
    seen = differing = 0
    for view, expected in zip(found.views, room.views, strict=True):
        assert np.abs(view.world_to_camera - expected.world_to_camera).max() < 1e-6
        pixel, visible = points_in(found, view, RULE)
        wanted, shown = points_in(room, expected, RULE)
        seen, differing = seen + int(shown.sum()), differing + int((visible != shown).sum())
        both = visible & shown
        assert np.abs(pixel[both] - 2 * wanted[both]).max() < 1e-3
        large = np.repeat(np.repeat(np.asarray(expected.image), 2, 0), 2, 1).astype(int)
        assert np.abs(read_image(view) - large).mean() < 3
    assert seen > 500 and differing <= 0.001 * seen


def test_normals_are_those_of_the_faces(tmp_path: Path, download: tuple[Path, Written]) -> None:
    root, written = download
    scene = small(0)
    faces = raw_scannet.triangles(scene.coord, None)[:90]
    write_mesh(written.folder / f"{written.name}_vh_clean_2.ply", scene, faces)
    coord = scene.coord.astype(np.float32).astype(np.float64)
    sums = np.zeros((len(scene), 3))
    for face in faces:
        for corner in face:
            sums[corner] += np.cross(coord[face[1]] - coord[face[0]], coord[face[2]] - coord[face[0]])
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    found = opened(root).source(["train"], False).scene(0).normal
    assert found is not None and (lengths == 0).any()
    np.testing.assert_allclose(found, np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), 0), atol=1e-6)


def test_reducing_takes_the_published_pixels(tmp_path: Path) -> None:
    """New pixel x is the old one floor(x * W / 560), without smoothing, and likewise for depth."""
    root, scene = tmp_path / "raw", small(0, views=1)
    camera = replace(scene.views[0].camera, width=1296, height=968, fx=1170.0, fy=1170.0, cx=647.0, cy=483.0)
    across, down = np.meshgrid(np.arange(1296), np.arange(968))
    color = np.stack([across % 256, down % 256, across // 256 * 16 + down // 256], axis=2).astype(np.uint8)
    depth = (np.arange(640 * 480).reshape(480, 640) % 60_000) / 1000
    scene = replace(scene, views=(replace(scene.views[0], camera=camera, image=color, depth=depth),))
    write_download(root, {"train": [scene]}, IDS_200, color_codec=1)
    view = opened(root).source(["train"], True).scene(0).views[0]
    columns, rows = np.arange(560) * 1296 // 560, np.arange(420) * 968 // 420
    # Red, green and blue tell which pixel it was, except for what JPEG makes of them, which is most where they jump.
    wanted = color[rows][:, columns].astype(int)
    assert np.median(np.abs(read_image(view) - wanted)) <= 4
    found = read_depth(view)
    assert found is not None
    np.testing.assert_allclose(found, depth[np.arange(420) * 480 // 420][:, np.arange(560) * 640 // 560], atol=1e-6)
    assert (view.camera.fx, view.camera.cy) == (1170 * 560 / 1296, 483 * 420 / 968)
    assert check(opened(root), workers=0).repairs == ()


@pytest.mark.parametrize(("color", "depth", "version"), [(0, 0, 3), (1, 1, 4), (2, 0, 4)])
def test_all_ways_to_store_frames(tmp_path: Path, color: int, depth: int, version: int) -> None:
    kind = {"color_codec": color, "depth_codec": depth, "version": version, "imu": None}
    write_download(tmp_path / "raw", {"val": [small(2)]}, IDS_200, **kind)
    found = opened(tmp_path / "raw", every=5).source(["val"], True).scene(0)
    assert [view.name for view in found.views] == ["0", "5", "10"]


def test_depth_in_another_unit(tmp_path: Path) -> None:
    write_download(tmp_path / "raw", {"train": [small(2)]}, IDS_200, shift=5000.0)
    found = read_depth(opened(tmp_path / "raw").source(["train"], True).scene(0).views[0])
    wanted = np.repeat(np.repeat(np.asarray(small(2).views[0].depth), 20, 0), 20, 1)
    assert found is not None and np.abs(found - wanted).max() < 0.00051


# ---- splits and parts of a download ---------------------------------------------------------------------------------


def test_splits_are_those_of_the_benchmark() -> None:
    assert {split: len(scenes_of(split)) for split in COUNTS} == COUNTS
    assert split_of("scene0000_00") == "train" and split_of("scene0011_01") == "val"
    if not SHARED.is_dir():
        pytest.skip("the lists of the benchmark are not here")
    for split in COUNTS:
        names = (SHARED / f"scannetv2_{split}.txt").read_text().split()
        assert sorted(names) == list(scenes_of(split))


def test_lists_of_the_download_come_first(download: tuple[Path, Written]) -> None:
    root, written = download
    (root / "scannetv2_val.txt").write_text(f"{written.name}\n")
    raw = opened(root)
    assert {piece.name: piece.split for piece in raw.pieces} == {written.name: "val", "scene0707_00": "test"}
    (root / "scannetv2_train.txt").write_text(f"{written.name}\nroom\n")
    told = [fault.told() for fault in check(opened(root), workers=0).faults]
    assert "scene0000_00 is also in the list of train" in told[1] and "'room' is not a scene name" in told[0]
    with pytest.raises(InputError, match="it has no scenes of the split 'val'"):
        opened(root, splits=("train",)).source(["val"], False)
    with pytest.raises(InputError, match=r"there is no split 'trian'\. Splits are train, val, test"):
        opened(root, splits=("trian",))
    with pytest.raises(InputError, match=r"the scenes are directly in this folder\. Name the folder above it"):
        opened(root / "scans")


def test_scenes_that_nearly_all_are_there(tmp_path: Path) -> None:
    for scene in scenes_of("test")[3:]:
        (tmp_path / "raw" / "scans_test" / scene).mkdir(parents=True)
    form = by_name("ScanNet").raw
    assert form is not None
    told = [fault.told() for fault in form.open(tmp_path / "raw", PrepareOptions()).check()]
    assert told == [
        f"{tmp_path / 'raw'}: 3 scenes of the split test are missing: scene0707_00, scene0708_00, scene0709_00. "
        "Download these scenes."
    ]


def test_meshes_alone(download: tuple[Path, Written], tmp_path: Path) -> None:
    root, written = download
    for path in root.rglob("*.sens"):
        path.unlink()
    assert prepared(root, tmp_path / "scannet") == {} and not (tmp_path / "scannet_images").exists()
    found = open_dataset("ScanNet", tmp_path / "scannet", "train", images=False).scene(0)
    np.testing.assert_array_equal(found.label, written.segment20)


def test_scenes_of_the_test_need_no_table(download: tuple[Path, Written], tmp_path: Path) -> None:
    root, written = download
    (root / TABLE).unlink()
    with pytest.raises(InputError, match=f"{TABLE}: there is no such file"):
        opened(root)
    shutil.rmtree(written.folder)
    assert prepared(root, tmp_path / "scannet") == {}


def test_the_command(download: tuple[Path, Written], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, written = download
    raw_scannet.lose_pose(written.sens, 0)
    run(Prepare("scannet200", root, check_only=True, workers=0))
    said = capsys.readouterr().out
    assert "train: 1 of 1201 scenes\n" in said and "test: 1 of 100 scenes\n" in said
    assert "lost pose 1" in said and "no problems found" in said and "terms of use" in said
    run(Prepare("scannet", root, tmp_path / "scannet", workers=0))
    assert "2 scenes prepared" in capsys.readouterr().out
    run(Prepare("scannet200", root, tmp_path / "scannet", workers=0))
    assert "0 scenes prepared, 2 were already prepared" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "scannet" / "manifest.json").read_text())
    assert manifest["pieces"] == {"test": 1, "train": 1} and manifest["repairs"]["lost pose"] == 1
    with pytest.raises(InputError, match=f"this is the download of ScanNet.*Run ditr prepare scannet {root}"):
        open_dataset("ScanNet", root, "train")


# ---- damage that is repaired ----------------------------------------------------------------------------------------


def test_damage_is_repaired_and_counted(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    (written,) = write_download(root, {"train": [small(4, views=9)]}, IDS_200, between=9, promised=1)
    raw_scannet.break_lengths(written.sens, 80)
    raw_scannet.replace_depth(written.sens, 30, zlib.compress(bytes(2 * 28 * 21)))
    raw_scannet.lose_pose(written.sens, 10)
    raw_scannet.lose_pose(written.sens, 20, np.nan)
    raw_scannet.break_color(written.sens, 40)
    raw_scannet.break_depth(written.sens, 50)
    raw_scannet.break_color(written.sens, 51)  # which nobody wants
    bent = np.diag([1, 1, 2.0, 1]).astype("<f4")
    patch(written.sens, places(written.sens)[60][0], bent.tobytes())
    raw_scannet.break_lengths(written.sens, 65)
    counted = Counter(repair.kind for repair in check(opened(root), workers=0).repairs)
    assert counted == {"lost pose": 2, "broken frame": 2, "number of frames one too high": 1, "photographs of 56x42": 1}
    assert prepared(root, tmp_path / "scannet") == {
        "lost pose": 2,
        "invalid pose": 1,
        "empty depth map": 1,
        "broken frame": 4,
        "number of frames one too high": 1,
    }
    found = open_dataset("ScanNet", tmp_path / "scannet", "train").scene(0)
    assert [view.name for view in found.views if not view.is_posed] == ["10", "20", "60"]
    assert [view.name for view in found.views] == ["0", "10", "20", "30", "60", "70"]
    assert_same(found, opened(root).source(["train"], True).scene(0))
    np.testing.assert_array_equal(found.label, written.segment20)
    record = json.loads((tmp_path / "scannet" / "manifest" / "scene0000_00.json").read_text())
    told = [repair["where"] for repair in record["repairs"] if repair["kind"] == "broken frame"]
    assert all("scene0000_00.sens, frame " in where and " at byte " in where for where in told)
    assert "frame 40 at byte" in told[2] and "frame 80 at byte" in told[1]


def test_a_stream_without_its_last_frames(download: tuple[Path, Written], tmp_path: Path) -> None:
    root, written = download
    shots = [Shot(np.zeros((42, 56, 3), np.uint8), np.ones((21, 28)), np.eye(4))] * 40
    write_sens(written.sens, small(0), shots)
    raw_scannet.cut_in_frame(written.sens, 37)
    assert prepared(root, tmp_path / "scannet")["stream cut off"] == 1
    write_sens(written.sens, small(0), shots)
    raw_scannet.cut_in_frame(written.sens, 20)
    with pytest.raises(InputError, match=r"20 of its 40 frames are missing; at byte \d+, the file ends inside it"):
        opened(root).source(["train"], True).scene(0)


def test_names_that_the_table_lacks_and_segments_that_the_mesh_lacks(
    download: tuple[Path, Written], tmp_path: Path
) -> None:
    root, written = download
    path = written.folder / f"{written.name}.aggregation.json"
    content = json.loads(path.read_text())
    group = content["segGroups"][-1]
    rows = written.instance == group["id"]
    group["label"], group["segments"] = "gizmo", [*group["segments"], 10**6]
    write_json(path, content)
    kinds = prepared(root, tmp_path / "scannet")
    assert kinds == {"label that the table lacks": 1, "segment without vertices": 1}
    found = open_dataset("ScanNet", tmp_path / "scannet", "train").scene(0)
    # It overwrites the wall that was there.
    np.testing.assert_array_equal(found.label, np.where(rows, -1, written.segment20))


# ---- damage that is named -------------------------------------------------------------------------------------------


def edited(ending: str, change: Callable[[dict[str, object]], object]) -> Callable[[Written], None]:
    def edit(written: Written) -> None:
        path = written.folder / f"{written.name}{ending}"
        content = json.loads(path.read_text())
        change(content)
        write_json(path, content)

    return edit


def bytes_of(ending: str, change: Callable[[bytes], bytes]) -> Callable[[Written], None]:
    def edit(written: Written) -> None:
        path = written.folder / f"{written.name}{ending}"
        path.write_bytes(change(path.read_bytes()))

    return edit


def first_vertex(data: bytes) -> bytes:
    at = data.index(b"end_header") + 11
    return data[:at] + b"\xff" * 4 + data[at + 4 :]


OTHER, FINE = "scannet.scene0001_00", "scannet.scene0000_00_vh_clean.segs.json"
PLY, SEGS, GROUPS = "_vh_clean_2.ply", "_vh_clean_2.0.010000.segs.json", ".aggregation.json"
NAMED: dict[str, tuple[Callable[[Written], object], str]] = {
    "no mesh": (lambda w: (w.folder / f"{w.name}{PLY}").unlink(), f"{PLY}: there is no such file"),
    "no stream": (lambda w: w.sens.unlink(), r"\.sens: there is no such file"),
    "no segments": (lambda w: (w.folder / f"{w.name}{SEGS}").unlink(), "segs.json: there is no such file"),
    "occi": (lambda w: patch(w.sens, 12 + 15 + 4 * 64 + 4, struct.pack("<i", 2)), "compressed as 'occi'"),
    "mesh cut": (bytes_of(PLY, lambda b: b[:-20]), r"the header declares \d+ faces"),
    "mesh cut short": (bytes_of(PLY, lambda b: b[:900]), "the header declares 150 vertices"),
    "mesh in ascii": (bytes_of(PLY, lambda b: b.replace(b"binary_little_endian", b"ascii")), "it is not a binary mesh"),
    "no colours": (bytes_of(PLY, lambda b: b.replace(b"uchar red", b"uchar rot")), "its vertices have no 'red'"),
    "no triangle": (bytes_of(PLY, lambda b: b[:-13] + b"\x04" + b[-12:]), r"face \d+ has 4 corners"),
    "no vertex": (bytes_of(PLY, lambda b: b[:-4] + b"\xff\xff\xff\x7f"), "there are 150"),
    "no faces": (bytes_of(PLY, lambda b: re.sub(rb"face \d+", b"face 0", b)), "150 vertices and 0 faces"),
    "not finite": (bytes_of(PLY, first_vertex), "its vertex 0 is not finite"),
    "fewer segments": (edited(SEGS, lambda c: c["segIndices"].pop()), "it has 149 vertices, but the mesh has 150"),  # type: ignore[attr-defined]
    "segment of text": (edited(SEGS, lambda c: c.update(segIndices=["1"] * 150)), "no list 'segIndices' of whole"),
    "segment below 0": (edited(SEGS, lambda c: c.update(segIndices=[-1] * 150)), "no list 'segIndices' of whole"),
    "other segments": (edited(SEGS, lambda c: c.update(segIndices=[9**9] * 150)), "they belong to different meshes"),
    "scene of segments": (edited(SEGS, lambda c: c.update(sceneId=OTHER[8:])), "says that it belongs to scene0001_00"),
    "scene of groups": (edited(GROUPS, lambda c: c.update(sceneId=OTHER)), "says that it belongs to scene0001_00"),
    "groups of the fine mesh": (edited(GROUPS, lambda c: c.update(segmentsFile=FINE)),
                                "it belongs to another mesh.*_vh_clean.aggregation.json"),
    "no groups": (edited(GROUPS, lambda c: c.update(segGroups=[])), "no list 'segGroups', or an empty one"),
    "group without label": (edited(GROUPS, lambda c: c["segGroups"][1].pop("label")), "entry 1 of 'segGroups'"),  # type: ignore[index]
    "no JSON": (bytes_of(GROUPS, lambda b: b[:-3]), "it is not JSON"),
    "deep JSON": (bytes_of(GROUPS, lambda b: b"[" * 100_000), "it is not JSON"),
    "endless segments": (bytes_of(SEGS, lambda b: b + b" " * 70_000), r"more than \d+ bytes"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMED)
def test_damage_is_named_and_costs_its_scene_alone(download: tuple[Path, Written], tmp_path: Path, kind: str) -> None:
    root, written = download
    change, message = NAMED[kind]
    change(written)
    raw = opened(root)
    done = prepare("ScanNet", raw, tmp_path / "scannet", PrepareOptions(), workers=0)
    assert done.done == ("scene0707_00",) and set(done.failed) == {"scene0000_00"}
    with pytest.raises(InputError, match=message):
        raise done.failed["scene0000_00"]
    assert not list(tmp_path.glob("scannet*/**/scene0000_00*"))
    found = check(raw, workers=0).faults
    assert [fault.told() for fault in found] == [done.failed["scene0000_00"].told()]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [row for row in raw_scannet.ROWS if row[1] != 1163],
            r"an old version of the table.*no line has the id 1163\). Download",
        ),
        ([*raw_scannet.ROWS, ("chair", 3, 5)], "line 28 gives 'chair' other ids than a line before"),
        ([*raw_scannet.ROWS, ("a", -1, 5)], "line 28 is not 17 cells with whole numbers in nyu40id and id"),
        ([*raw_scannet.ROWS, ("a\tb", 1, 5)], "line 28 is not 17 cells"),
    ],
)
def test_a_table_that_is_none(download: tuple[Path, Written], rows: list[tuple[str, int, int]], message: str) -> None:
    root, _ = download
    raw_scannet.write_table(root / TABLE, rows)
    for name in ("ScanNet", "ScanNet200"):
        with pytest.raises(InputError, match=f"{TABLE}: .*{message}"):
            opened(root, name)
    (root / TABLE).write_text("a\tb\n")
    with pytest.raises(InputError, match="it has no column 'raw_category'"):
        opened(root)


# ---- what is really ScanNet's ---------------------------------------------------------------------------------------

REAL = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample of ScanNet is not here")


@REAL
def test_the_real_table() -> None:
    path = SAMPLES / TABLE
    assert path.read_bytes().count(b"\r\r\n") == 607
    table = read_table(path)
    assert len(table) == 606 and len({raw for _, raw in table.values()}) == 549
    assert table["chair"] == table["stack of chairs"] == (5, 2) and table["object"] == (40, 1163)
    assert {raw for _, raw in table.values()} >= set(IDS_200)
    assert {nyu40 for nyu40, _ in table.values()} >= set(LABELS.to_raw)
    assert {name: table[name] for name, _, _ in raw_scannet.ROWS if name != "object"} == {
        name: (nyu40, raw) for name, raw, nyu40 in raw_scannet.ROWS if name != "object"
    }


@REAL
def test_real_frames(tmp_path: Path) -> None:
    """Poses, intrinsics and photographs of a scene, in a stream, come out as its exporter wrote them."""
    names = sorted(path.stem for path in (SAMPLES / "pose").iterdir())
    poses = [np.loadtxt(SAMPLES / "pose" / f"{name}.txt") for name in names]
    intrinsic = np.loadtxt(SAMPLES / "intrinsic" / "intrinsic_depth.txt")
    shots = []
    for name, pose in zip(names, poses, strict=True):
        with Image.open(SAMPLES / "color" / f"{name}.png") as image:
            color = np.asarray(image.convert("RGB"))
        shots.append(Shot(color, np.full((480, 640), 1.5), pose))
    (written,) = write_download(tmp_path / "raw", {"train": [small(0)]}, IDS_200)
    height, width = shots[0].color.shape[:2]
    camera = replace(small(0).views[0].camera, width=width, height=height, fx=intrinsic[0, 0], fy=intrinsic[1, 1],
                     cx=intrinsic[0, 2], cy=intrinsic[1, 2])  # fmt: skip
    scene = small(0)
    scene = replace(scene, views=(replace(scene.views[0], camera=camera),))
    write_sens(written.sens, scene, shots, color_codec=1)
    prepared(tmp_path / "raw", tmp_path / "scannet", every=1)
    folder = tmp_path / "scannet_images" / written.name
    for number, pose in enumerate(poses):
        text = (folder / "pose" / f"{number}.txt").read_text()
        numbers = np.array(text.split(), dtype=np.float64).reshape(4, 4)
        assert [f"{value:f}" for value in numbers.ravel()] == [f"{value:f}" for value in pose.ravel()]
    matrix = np.loadtxt(folder / "intrinsic" / "intrinsic_color.txt")
    np.testing.assert_allclose(matrix, np.diag([560 / width, 420 / height, 1, 1]) @ intrinsic, rtol=1e-6)
    found = open_dataset("ScanNet", tmp_path / "scannet", "train").scene(0)
    picture = shots[0].color[np.arange(420) * height // 420][:, np.arange(560) * width // 560].astype(int)
    assert np.abs(read_image(found.views[0]) - picture).mean() < 2

"""Clouds of other formats, written by the libraries that others write them with, become the same points."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cloud_files
import numpy as np
import pytest
from small_world import make_scene

from ditr.captures import apart
from ditr.captures.capture import read_capture, write_capture
from ditr.captures.las_classes import STANDARD_CLASSES, standard_numbers
from ditr.captures.las_labels import las_name, write_las_labels
from ditr.errors import InputError
from ditr.scene import Scene

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
needs_samples = pytest.mark.skipif(not SAMPLES.exists(), reason="../shared is missing")


@pytest.fixture(scope="module")
def room() -> Scene:
    return make_scene(3, views=0, points=900)


def said(scene: Scene) -> str:
    return "\n".join(map(str, scene.findings))


def refusal(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_capture(path)
    assert str(path) in str(caught.value)
    return caught.value


# ---- others' writers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cloud.las", "cloud.laz"])
def test_las(room: Scene, tmp_path: Path, name: str) -> None:
    cloud_files.write_las(room, tmp_path / name)
    scene = read_capture(tmp_path / name)
    np.testing.assert_allclose(scene.coord, room.coord, rtol=0, atol=0.51e-4)
    np.testing.assert_array_equal(scene.color, room.color)
    np.testing.assert_array_equal(scene.strength, np.arange(900) % 5000)
    names = np.array([*scene.class_names, ""])
    assert scene.class_names == tuple(STANDARD_CLASSES.values())
    np.testing.assert_array_equal(
        names[scene.label], np.array(["ground", "low vegetation", "medium vegetation", ""])[room.label]
    )
    np.testing.assert_array_equal(scene.extra["classification"], (room.label + 2).clip(1))
    assert scene.up is not None and scene.up.tolist() == [0, 0, 1]
    assert scene.properties["las"]["point_format"] == 7


@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
def test_pcd(room: Scene, tmp_path: Path, encoding: str) -> None:
    cloud_files.write_pcd(room, tmp_path / "cloud.pcd", encoding)
    (tmp_path / "labels.json").write_text('{"classes": ["floor", "wall", "box"]}', encoding="utf-8")
    scene = read_capture(tmp_path / "cloud.pcd")
    np.testing.assert_allclose(scene.coord, room.coord, atol=1e-9 if encoding == "ascii" else 0)
    np.testing.assert_allclose(scene.normal, room.normal, atol=1e-6)
    np.testing.assert_array_equal(scene.label, room.label)
    if encoding != "ascii":  # pypcd4 writes packed colours as 0 there
        np.testing.assert_array_equal(scene.color, room.color)


def test_points_that_a_depth_camera_did_not_measure_are_left_out(tmp_path: Path) -> None:
    header = "VERSION .7\nFIELDS x y z _\nSIZE 4 4 4 1\nTYPE F F F U\nCOUNT 1 1 1 4\nWIDTH 2\nHEIGHT 3\n"
    rows = np.zeros(6, dtype=[("p", "<f4", 3), ("pad", "u1", 4)])
    rows["p"] = np.arange(18).reshape(6, 3)
    rows["p"][2] = np.nan
    path = tmp_path / "depth.pcd"
    path.write_bytes((header + "VIEWPOINT 1 0 0 1 0 0 0\nPOINTS 6\nDATA binary\n").encode() + rows.tobytes())
    scene = read_capture(path)
    assert scene.coord[:, 0].tolist() == [0, 3, 9, 12, 15] and not scene.extra
    assert "1 of 6 are not measured" in said(scene) and "VIEWPOINT" in said(scene)
    assert scene.properties["organised"] == [2, 3]


def test_scans_of_e57_are_joined_by_their_poses(room: Scene, tmp_path: Path) -> None:
    cloud_files.write_e57(room, tmp_path / "cloud.e57", scans=3)
    scene = read_capture(tmp_path / "cloud.e57")
    np.testing.assert_allclose(scene.coord, room.coord, atol=1e-6)
    np.testing.assert_array_equal(scene.color, room.color)
    assert scene.strength is not None and scene.strength.max() == 1
    assert np.bincount(scene.extra["scan"]).tolist() == [300, 300, 300]
    assert "3 scans are joined" in said(scene)


@pytest.mark.parametrize(
    ("name", "header", "delimiter"),
    [
        ("a.csv", "x,y,z,r,g,b,nx,ny,nz,label", ","),
        ("a.txt", "//X Y Z R G B Nx Ny Nz scalar_label", " "),
        ("a.asc", "x;y;z;red;green;blue;nx;ny;nz;label", ";"),
        ("a.xyz", "# x\ty\tz\tred\tgreen\tblue\tnx\tny\tnz\tlabel", "\t"),
    ],
)
def test_text_with_names(room: Scene, tmp_path: Path, name: str, header: str, delimiter: str) -> None:
    cloud_files.write_text(room, tmp_path / name, header, delimiter)
    scene = read_capture(tmp_path / name)
    np.testing.assert_allclose(scene.coord, room.coord, rtol=1e-8)
    np.testing.assert_array_equal(scene.color, room.color)
    np.testing.assert_array_equal(scene.normal, room.normal)
    np.testing.assert_array_equal(scene.label, room.label)


@pytest.mark.parametrize("ending", ["txt", "npy"])
@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ("coord", ""),
        ("coord strength", "strength"),
        ("coord color", "color"),
        ("coord normal", "normal"),
        ("coord bright color", "strength color"),
        ("coord color bright", "strength color"),
        ("coord color normal", "color normal"),
    ],
)
def test_columns_without_names(room: Scene, tmp_path: Path, ending: str, columns: str, found: str) -> None:
    parts = {
        "coord": room.coord, "color": room.color, "normal": room.normal,
        "strength": np.linspace(0, 1, 900), "bright": np.linspace(-2000, 2000, 900),
    }  # fmt: skip
    values = np.column_stack([parts[name] for name in columns.split()])
    path = tmp_path / f"cloud.{ending}"
    np.save(path, values, allow_pickle=False) if ending == "npy" else np.savetxt(path, values)
    scene = read_capture(path)
    np.testing.assert_allclose(scene.coord, room.coord)
    has = [name for name in ("strength", "color", "normal") if getattr(scene, name) is not None]
    assert has == found.split()
    assert "have no names, and are read as x y z" in said(scene)


def test_columns_that_may_mean_several_things_are_refused(room: Scene, tmp_path: Path) -> None:
    path = tmp_path / "cloud.txt"
    np.savetxt(path, np.column_stack([room.coord, room.color, room.label.clip(0)]))
    assert "both the 4th to 6th and the 5th to 7th could be colours" in refusal(path).fault
    np.savetxt(path, np.column_stack([room.coord, room.coord]))
    assert "6 columns without names" in refusal(path).fault
    np.savetxt(path, np.column_stack([room.coord, room.coord, room.coord, room.coord]))
    assert "12 columns without names" in refusal(path).fault and "first line" in refusal(path).remedy


def test_a_count_before_the_points_has_to_be_right(tmp_path: Path) -> None:
    path = tmp_path / "scan.pts"
    path.write_text("2\n0 0 0 -5 1 2 3\n1 1 1 7 4 5 6\n", encoding="utf-8")
    scene = read_capture(path)
    assert scene.strength is not None and scene.strength.tolist() == [-5, 7]
    path.write_text("3\n0 0 0 -5 1 2 3\n1 1 1 7 4 5 6\n", encoding="utf-8")
    assert "declares 3 points, but 2 follow" in refusal(path).fault


def test_fields_of_an_array(room: Scene, tmp_path: Path) -> None:
    cloud_files.write_array(room, tmp_path / "cloud.npy")
    scene = read_capture(tmp_path / "cloud.npy")
    for name in ("coord", "color", "normal", "label"):
        np.testing.assert_array_equal(getattr(scene, name), getattr(room, name))


def test_arrays_of_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "cloud.npy", np.array([{"a": 1}, None, 3], dtype=object), allow_pickle=True)
    assert "not a capture, but a NumPy array" in refusal(tmp_path / "cloud.npy").fault


def test_a_sweep_of_kitti_with_its_labels(room: Scene, tmp_path: Path) -> None:
    cloud_files.write_sweep(room, tmp_path / "000000.bin")
    scene = read_capture(tmp_path / "000000.bin")
    np.testing.assert_array_equal(scene.coord, room.coord.astype(np.float32))
    names = np.array([*scene.class_names, ""])
    np.testing.assert_array_equal(names[scene.label], np.array(["car", "road", "building", ""])[room.label])
    (tmp_path / "000000.label").write_bytes(b"\0" * 12)
    with pytest.raises(InputError, match="12 bytes are not 4 for each of the 900 points"):
        read_capture(tmp_path / "000000.bin")


@pytest.mark.parametrize("values", [np.zeros((9, 4)), np.full((9, 4), np.nan), np.arange(40.0) * 1e4, -np.ones((9, 4))])
def test_other_files_of_numbers_are_no_sweeps(tmp_path: Path, values: np.ndarray) -> None:
    values.astype("<f4").tofile(tmp_path / "weights.bin")
    assert "not a capture, but a file" in refusal(tmp_path / "weights.bin").fault


@pytest.mark.parametrize("ending", ["ply", "obj", "glb", "stl"])
def test_meshes_are_sampled_where_their_vertices_lie_far_apart(tmp_path: Path, ending: str) -> None:
    coarse, fine = tmp_path / f"coarse.{ending}", tmp_path / f"fine.{ending}"
    cloud_files.write_mesh(coarse, 2)
    scene = read_capture(coarse)
    assert len(scene) == 200_000 and "points are sampled on its surface" in said(scene)
    radius = np.linalg.norm(scene.coord, axis=1)
    assert radius.min() > 0.95 and radius.max() <= 1 + 1e-6
    assert scene.normal is not None and (scene.normal * scene.coord).sum(axis=1).min() > 0.9
    if ending != "stl":
        assert scene.color is not None
        assert np.abs(scene.color - (scene.coord + 1) * 127).max() < 5
    cloud_files.write_mesh(fine, 6)
    scene = read_capture(fine)
    assert len(scene) in (40962, 81920 * 3)
    np.testing.assert_allclose(np.linalg.norm(scene.coord, axis=1), 1, atol=1e-6)


def test_vertices_of_a_ply_stay_where_they_have_labels_or_no_sound_faces(tmp_path: Path) -> None:
    header = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n{}"
    header += "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    corners = ["0 0 0", "1 0 0", "1 1 0", "0 1 0"]
    path = tmp_path / "square.ply"
    plain = header.format("") + "\n".join(corners) + "\n"
    path.write_text(plain + "3 0 1 2\n3 0 2 3\n", encoding="utf-8")
    assert len(read_capture(path)) == 200_000
    path.write_text(plain + "3 0 1 9\n3 0 2 3\n", encoding="utf-8")
    scene = read_capture(path)
    assert len(scene) == 4 and "the faces cannot be read" in said(scene)
    labelled = header.format("property int label\n") + "".join(f"{corner} 1\n" for corner in corners)
    path.write_text(labelled + "3 0 1 2\n3 0 2 3\n", encoding="utf-8")
    scene = read_capture(path)
    assert len(scene) == 4 and scene.label is not None and scene.label.tolist() == [1, 1, 1, 1]


# ---- every reader ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", cloud_files.WRITERS)
def test_what_is_read_can_be_written_as_a_capture(room: Scene, tmp_path: Path, name: str) -> None:
    cloud_files.WRITERS[name](room, tmp_path / name)
    scene = read_capture(tmp_path / name)
    assert scene.name == name.partition(".")[0] and scene.views == ()
    assert said(scene).startswith("format: read as ")
    write_capture(scene, tmp_path / "capture")
    again = read_capture(tmp_path / "capture")
    np.testing.assert_array_equal(again.coord, scene.coord)
    for attribute in ("color", "normal", "strength", "label"):
        np.testing.assert_array_equal(getattr(again, attribute), getattr(scene, attribute))
    kept = {name: value for name, value in again.properties.items() if name != "labels.json"}
    assert kept == dict(scene.properties) and again.extra.keys() == scene.extra.keys()
    assert again.class_names == scene.class_names


@pytest.mark.parametrize(
    ("name", "library", "command"),
    [
        ("cloud.las", "laspy", "ditr[las]"),
        ("cloud.laz", "lazrs", "ditr[las]"),
        ("compressed.pcd", "lzf", "ditr[pcd]"),
        ("cloud.e57", "pye57", "ditr[e57]"),
        ("mesh.obj", "trimesh", "ditr[mesh]"),
    ],
)
def test_a_missing_library_is_one_command(room: Scene, tmp_path: Path, name: str, library: str, command: str) -> None:
    cloud_files.WRITERS[name](room, tmp_path / name)
    program = (
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, package=None: None if name == {library!r} else found(name, package)\n"
        "from ditr.captures.capture import read_capture\n"
        f"read_capture({str(tmp_path / name)!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        f"{library}, which is needed to read it, is not installed. Install it with `pip install '{command}'`."
        in done.stderr
    )


def test_a_reader_that_crashes_is_an_error_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crashing.py").write_text(
        "import os, resource, signal\nLIBRARIES = ()\n"
        "def memory_of(path):\n    return 0\n"
        "def cloud_of(path):\n"
        "    kind = path.read_text()\n"
        "    if kind == 'memory':\n        bytes(1 << 40)\n"
        "    os.kill(os.getpid(), signal.SIGSEGV)\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    file = tmp_path / "cloud.e57"
    for kind, fault in (("crash", "stopped (signal SIGSEGV)"), ("memory", "more memory than any intact file")):
        file.write_text(kind, encoding="utf-8")
        program = (
            "import sys; from ditr.captures import apart; apart._READERS['e57'] = 'crashing'; apart.main(*sys.argv[1:])"
        )
        monkeypatch.setattr(apart, "_COMMAND", ("-c", program))
        with pytest.raises(InputError) as caught:
            apart.read_apart(file, "e57")
        assert fault in caught.value.fault and caught.value.where == str(file)


# ---- real files -----------------------------------------------------------------------------------------------------

READ = {
    "las/extrabytes.las": 1065,
    "las/simple1_1.las": 1065,
    "las/simple1_3.las": 999,
    "las/plane.laz": 28185,
    "las/1_4_w_evlr.laz": 1000,
    "las/unregistered_extra_bytes.las": 4,
    "pcd/ascii.pcd": 213,
    "pcd/ascii_multi_count.pcd": 8,
    "pcd/ascii_organized.pcd": 8,
    "pcd/binary.pcd": 213,
    "pcd/binary_compressed.pcd": 213,
    "e57/testWithNormals.e57": 2,
    "kitti_object_000008/000008.bin": 17238,
}


@needs_samples
@pytest.mark.parametrize("name", READ)
def test_real_files(name: str) -> None:
    assert len(read_capture(SAMPLES / name)) == READ[name]


@needs_samples
def test_what_real_files_say() -> None:
    feet = read_capture(SAMPLES / "las" / "1_4_w_evlr.laz")
    assert "0.3048" in said(feet) and "New Mexico" in feet.properties["crs"]["wkt"]
    np.testing.assert_allclose(
        feet.coord[0], np.array([1694510.38693468, 1816497.96626398, 5598.35961281]) * 1200 / 3937
    )
    same = [read_capture(SAMPLES / "pcd" / f"{kind}.pcd") for kind in ("ascii", "binary", "binary_compressed")]
    for scene in same[1:]:
        np.testing.assert_allclose(scene.coord, same[0].coord, atol=1e-5)
    assert "an empty file" in refusal(SAMPLES / "pcd" / "ascii_empty.pcd").fault


@needs_samples
def test_real_sweeps_of_semantic_kitti_and_nuscenes() -> None:
    sweeps = sorted(SAMPLES.glob("semantickitti_tiny/**/*.bin"))
    assert sweeps
    for path in sweeps:
        scene = read_capture(path)
        assert len(scene) == 50 and scene.label is not None and set(np.unique(scene.label)) > {-1}
    for path in sorted(SAMPLES.glob("nuscenes_keyframe/**/*.pcd.bin")):
        scene = read_capture(path)
        assert set(scene.extra) == {"ring"} and scene.strength is not None and scene.strength.max() > 1


# ---- labels in a copy of the LAS file -------------------------------------------------------------------------------


def test_classes_have_standard_numbers_where_there_are_such() -> None:
    names = ("building", "car", "driveable_surface", "rail-track", "Low Vegetation", "sofa")
    assert standard_numbers(names) == [6, 64, 11, 10, 3, 65]
    many = standard_numbers([f"thing {index}" for index in range(200)])
    assert many[:2] == [64, 65] and many[191] == 255 and set(many[192:]) == {1}


@pytest.mark.parametrize(("kind", "ending"), [(1, "las"), (3, "laz"), (7, "las")])
def test_labels_go_into_a_copy_of_the_file(tmp_path: Path, kind: int, ending: str) -> None:
    import laspy

    rng = np.random.default_rng(0)
    header = laspy.LasHeader(point_format=kind)
    header.scales, header.offsets = np.full(3, 1e-3), np.full(3, 4e5)
    las = laspy.LasData(header)
    las.x, las.y, las.z = 4e5 + rng.uniform(0, 50, (3, 300))
    las["intensity"], las["gps_time"] = rng.integers(0, 60000, 300), rng.uniform(0, 1, 300)
    las["classification"] = rng.integers(0, 10, 300)
    angle, unit = ("scan_angle", 0.006) if kind > 5 else ("scan_angle_rank", 1.0)
    las[angle] = rng.integers(-90, 91, 300)
    las.add_extra_dim(laspy.ExtraBytesParams("label", "f4"))
    source = tmp_path / f"in.{ending}"
    las.write(str(source))
    assert las_name(source) == f"labels.{ending}" and las_name(tmp_path) is None
    label, confidence = rng.integers(-1, 3, 300).astype(np.int32), rng.random(300).astype(np.float32)
    path = tmp_path / f"labels.{ending}"
    write_las_labels(source, path, label, confidence, ("building", "sofa", "terrain"))
    again = laspy.read(str(path))
    np.testing.assert_array_equal(again.classification, np.array([6, 64, 2, 1])[label])
    np.testing.assert_array_equal(again["original_classification"], las.classification)
    np.testing.assert_allclose(again["scan_angle"] * 0.006, las[angle] * unit, atol=0.0031)
    np.testing.assert_array_equal(again["ditr_label"], label)
    np.testing.assert_array_equal(again["confidence"], confidence)
    for name in ("X", "Y", "Z", "intensity", "gps_time", "label"):
        np.testing.assert_array_equal(again[name], las[name])
    scene = read_capture(path)
    assert scene.class_names[-1] == "sofa" and scene.label is not None
    np.testing.assert_array_equal(scene.label == len(scene.class_names) - 1, label == 1)
    with pytest.raises(InputError, match="300 points, but there are 9 labels"):
        write_las_labels(source, path, label[:9], confidence[:9], ("building", "sofa", "terrain"))


@pytest.mark.parametrize(
    "matrix",
    [np.eye(4), np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]), np.eye(4)[:3]],
    ids=["4x4", "3x3", "3x4"],
)
def test_the_matrix_of_a_pose_is_no_cloud(tmp_path: Path, matrix: np.ndarray) -> None:
    np.savetxt(tmp_path / "pose.txt", matrix)
    np.save(tmp_path / "pose.npy", matrix, allow_pickle=False)
    for name in ("pose.txt", "pose.npy"):
        with pytest.raises(InputError, match="matrix, such as a pose or intrinsics"):
            read_capture(tmp_path / name)

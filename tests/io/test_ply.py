from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ditr.errors import InputError
from ditr.io.ply import read_ply, read_ply_mesh, write_ply

TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8",
}  # fmt: skip
DTYPES = [np.dtype(code) for code in sorted(set(TYPES.values()))]


def ply(tmp_path: Path, header: str, data: bytes = b"", newline: str = "\n") -> Path:
    """A file with the lines of ``header`` (separated by ``|``) and the bytes of ``data``."""
    path = tmp_path / "cloud.ply"
    lines = ["ply", *header.split("|"), "end_header"]
    path.write_bytes("".join(line + newline for line in lines).encode() + data)
    return path


@st.composite
def columns(draw: st.DrawFn) -> dict[str, np.ndarray]:
    names = draw(st.lists(st.from_regex(r"[a-z_][a-z0-9_]{0,9}", fullmatch=True), min_size=1, max_size=5, unique=True))
    length = draw(st.integers(0, 20))
    return {name: draw(hnp.arrays(draw(st.sampled_from(DTYPES)), length)) for name in names}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@given(columns(), st.booleans())
def test_round_trip_keeps_values_types_and_order(
    tmp_path_factory: pytest.TempPathFactory, properties: dict[str, np.ndarray], binary: bool
) -> None:
    path = tmp_path_factory.mktemp("ply") / "cloud.ply"
    write_ply(path, properties, binary=binary, comments=["made by a test"])
    assert_same(read_ply(path), properties)


@pytest.mark.parametrize("binary", [True, False])
def test_many_rows_cross_the_writers_chunks(tmp_path: Path, binary: bool) -> None:
    rng = np.random.default_rng(0)
    properties = {"x": rng.normal(size=70000).astype(np.float32), "label": rng.integers(-1, 9, 70000).astype(np.int32)}
    write_ply(tmp_path / "cloud.ply", properties, binary=binary)
    assert_same(read_ply(tmp_path / "cloud.ply"), properties)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("order", ["little", "big"])
def test_every_type_name_in_both_byte_orders(tmp_path: Path, name: str, order: str) -> None:
    values = np.array([1, 2, 100], dtype=TYPES[name])
    data = values.astype((">" if order == "big" else "<") + TYPES[name]).tobytes()
    path = ply(tmp_path, f"format binary_{order}_endian 1.0|element vertex 3|property {name} value", data)
    assert_same(read_ply(path), {"value": values})


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_ascii_with_comments_faces_behind_and_either_line_end(tmp_path: Path, newline: str) -> None:
    header = (
        "comment of someone|format ascii 1.0|obj_info more|element vertex 2|property float x|property uchar red|"
        "element face 1|property list uchar int vertex_indices"
    )
    path = ply(tmp_path, header, newline.join(["0.5 255", "-1e-3 0", "3 0 1 0", ""]).encode(), newline)
    assert_same(read_ply(path), {"x": np.array([0.5, -1e-3], np.float32), "red": np.array([255, 0], np.uint8)})


def test_binary_faces_behind_are_skipped(tmp_path: Path) -> None:
    header = "format binary_little_endian 1.0|element vertex 1|property int x|element face 1|property list uchar int i"
    path = ply(tmp_path, header, np.int32(7).tobytes() + b"\x01" + np.int32(0).tobytes())
    assert read_ply(path)["x"].tolist() == [7]


def test_elements_of_fixed_size_before_the_vertices_are_skipped(tmp_path: Path) -> None:
    header = "format {} 1.0|element camera 2|property short a|property double b|element vertex 1|property int x"
    binary = ply(tmp_path, header.format("binary_little_endian"), bytes(2 * 10) + np.int32(7).tobytes())
    assert read_ply(binary)["x"].tolist() == [7]
    ascii_file = ply(tmp_path, header.format("ascii"), b"1 0.5\n2 0.5\n7")
    assert read_ply(ascii_file)["x"].tolist() == [7]


def test_ascii_faces_before_the_vertices_are_skipped(tmp_path: Path) -> None:
    header = "format ascii 1.0|element face 2|property list uchar int i|element vertex 1|property int x"
    assert read_ply(ply(tmp_path, header, b"3 0 0 0\n4 0 0 0 0\n7\n"))["x"].tolist() == [7]


def test_no_vertices(tmp_path: Path) -> None:
    for form in ("ascii", "binary_big_endian"):
        found = read_ply(ply(tmp_path, f"format {form} 1.0|element vertex 0|property double x"))
        assert_same(found, {"x": np.empty(0)})


XYZ = "element vertex 4|property float x|property float y|property float z"


@pytest.mark.parametrize(
    ("header", "data", "fault"),
    [
        ("format binary_little_endian 1.0|" + XYZ, bytes(47), "declares 4 vertices"),
        ("format binary_big_endian 1.0|" + XYZ, b"", "declares 4 vertices"),
        ("format ascii 1.0|" + XYZ, b"1 2 3\n", "declares 4 vertices"),
        ("format ascii 1.0|" + XYZ, b"1.0000000 2.000000 3.00000\n4.0 5.0 6.0\n", "the file holds 2"),
        ("format ascii 1.0|" + XYZ, b"1 2 3\n1 2 3\n1 2 3\n1 2\n    ", "cannot be read"),
        ("format ascii 1.0|" + XYZ, b"1 2 3\n1 2 3\n1 two 3\n1 2 3\n", "cannot be read"),
        ("format ascii 1.0|element vertex 1|property uchar x", b"300\n", "cannot be read"),
        ("format ascii 1.0|element vertex 1|property int x", b"0.5\n", "cannot be read"),
        ("format binary_middle_endian 1.0|" + XYZ, bytes(48), "line 2 of the header"),
        (XYZ, bytes(48), "does not state the format"),
        ("format ascii 1.0|element vertex -1|property float x", b"", "line 3"),
        ("format ascii 1.0|element vertex 1_0|property float x", b"", "line 3"),
        ("format ascii 1.0|element vertex 1|property half x", b"1", "line 4"),
        ("format ascii 1.0|property float x", b"", "line 3"),
        ("format ascii 1.0|element vertex 1|property float x|property int x", b"1 1", "declared twice"),
        ("format ascii 1.0|element vertex 1|property list uchar int x", b"1 1", "is a list"),
        ("format ascii 1.0|element vertex 1", b"1", "no properties"),
        ("format ascii 1.0|element face 0|property float x", b"", "0 elements 'vertex'"),
        (
            "format ascii 1.0|element vertex 0|property int x|element vertex 0|property int x",
            b"",
            "2 elements 'vertex'",
        ),
        (
            "format binary_little_endian 1.0|element face 1|property list uchar int i|element vertex 1|property int x",
            bytes(99),
            "stored before the vertices",
        ),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path: Path, header: str, data: bytes, fault: str) -> None:
    path = ply(tmp_path, header, data)
    with pytest.raises(InputError, match=fault) as caught:
        read_ply(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    "content", [b"", b"ply", b"ply\nformat ascii 1.0\nelement", b"OFF\n1 2 3\n", b"\x93NUMPY" * 99]
)
def test_what_is_no_ply_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cloud.ply"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cloud\.ply"):
        read_ply(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.ply", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_ply(path)


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian"])
def test_a_promise_of_exabytes_costs_no_memory(tmp_path: Path, form: str) -> None:
    path = ply(tmp_path, f"format {form} 1.0|element vertex {10**17}|property double x", bytes(64))
    limit = 1 << 30
    program = (
        "import resource, sys; from ditr.io.ply import read_ply\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n"
        "read_ply(sys.argv[1])"
    )
    run = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert "InputError" in run.stderr
    assert "MemoryError" not in run.stderr


@given(st.binary(max_size=200))
def test_garbage_after_the_magic_is_never_another_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("ply") / "cloud.ply"
    path.write_bytes(b"ply\nformat ascii 1.0\n" + data)
    with pytest.raises(InputError):
        read_ply(path)


@pytest.mark.parametrize(
    ("properties", "comments", "fault"),
    [
        ({}, (), "no properties"),
        ({"x": np.zeros((2, 3), np.float32)}, (), "shape"),
        ({"x": np.zeros(2), "y": np.zeros(3)}, (), "different lengths"),
        ({"a b": np.zeros(2)}, (), "name"),
        ({"x": np.zeros(2, np.int64)}, (), "int64"),
        ({"x": np.zeros(2, np.bool_)}, (), "bool"),
        ({"x": np.zeros(2)}, ("two\nlines",), "comment"),
    ],
)
def test_what_ply_cannot_hold_is_not_written(
    tmp_path: Path, properties: dict[str, np.ndarray], comments: tuple[str, ...], fault: str
) -> None:
    with pytest.raises(InputError, match=fault):
        write_ply(tmp_path / "cloud.ply", properties, comments=comments)
    assert list(tmp_path.iterdir()) == []


MESH = "element vertex 3|property float x|element face {}|property uchar flag|property list {} vertex_indices"


def mesh(tmp_path: Path, faces: list[list[int]], count: str = "uchar", item: str = "int", order: str = "<") -> Path:
    kind = np.dtype([("flag", "u1"), ("count", order + TYPES[count]), ("corners", order + TYPES[item], 3)])
    rows = np.array([(9, 3, face) for face in faces], dtype=kind)
    form = "binary_little_endian" if order == "<" else "binary_big_endian"
    data = np.arange(3, dtype=order + "f4").tobytes() + rows.tobytes()
    return ply(tmp_path, f"format {form} 1.0|" + MESH.format(len(faces), f"{count} {item}"), data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("count", "item"), [("uchar", "int"), ("int", "uint"), ("uint8", "uint16")])
def test_triangles_of_a_mesh(tmp_path: Path, order: str, count: str, item: str) -> None:
    properties, faces = read_ply_mesh(mesh(tmp_path, [[0, 1, 2], [2, 1, 0]], count, item, order))
    assert faces.tolist() == [[0, 1, 2], [2, 1, 0]] and properties["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ((b"vertex_indices", b"vertex_corners"), "its faces have the lists"),
        ((b"uchar int", b"uchar float"), "its faces have the lists"),
        ((b"face 1", b"face 9"), "declares 9 faces"),
        ((b"binary_little_endian", b"ascii"), "not a binary mesh"),
        ((b"element face", b"element edge"), "not a binary mesh"),
        ((b"\x09\x03", b"\x09\x05"), "face 0 has 5 corners"),
        ((b"\x02\0\0\0", b"\x03\0\0\0"), r"face 0 refers to the vertices \[0, 1, 3\], but there are 3"),
        ((b"\x02\0\0\0", b"\xff" * 4), "face 0 refers to the vertices"),
    ],
)
def test_meshes_that_are_none(tmp_path: Path, change: tuple[bytes, bytes], fault: str) -> None:
    path = mesh(tmp_path, [[0, 1, 2]])
    path.write_bytes(path.read_bytes().replace(*change))
    with pytest.raises(InputError, match=fault):
        read_ply_mesh(path)

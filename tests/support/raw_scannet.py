"""Scenes as ScanNet's download has them, byte for byte, and damage as it is known of it.

Written from the description of the files alone, with struct, json and numpy; nothing here is shared with the reader.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

from ditr.scene import Scene

TABLE = "scannetv2-labels.combined.tsv"
NAMES = {"train": "scene0000_{:02d}", "val": "scene0011_{:02d}", "test": "scene{:04d}_00"}

# raw_category, id, nyu40id. "stack of chairs" shares the id of "chair"; "object" is in the table twice.
ROWS = (
    ("wall", 1, 1), ("chair", 2, 5), ("floor", 3, 2), ("door", 5, 8), ("object", 1163, 40), ("window", 16, 9),
    ("table", 4, 7), ("trash can", 56, 39), ("cabinet", 7, 3), ("monitor", 19, 40), ("couch", 6, 6), ("bed", 11, 4),
    ("curtain", 21, 16), ("lamp", 28, 35), ("plant", 40, 40), ("bookshelf", 18, 10), ("picture", 15, 11),
    ("whiteboard", 52, 30), ("ceiling", 41, 22), ("radiator", 96, 39), ("bulletin board", 154, 38), ("box", 26, 29),
    ("stack of chairs", 2, 5), ("rug", 61, 40), ("object", 1163, 40), ("mattress", 1191, 4),
)  # fmt: skip
COLUMNS = (
    "id", "raw_category", "category", "count", "nyu40id", "eigen13id", "nyuClass", "nyu40class", "eigen13class",
    "ModelNet40", "ModelNet10", "ShapeNetCore55", "synsetoffset", "wnsynsetid", "wnsynsetkey", "mpcat40",
    "mpcat40index",
)  # fmt: skip
TEXTS = {"pinboard": "bulletin board", "sofa": "couch"}
"""What classes of the built-in worlds are called in the table; others as they are there."""
VALID_20 = (*range(1, 13), 14, 16, 24, 28, 33, 34, 36, 39)
IDS = {name: (raw, nyu40) for name, raw, nyu40 in ROWS}


@dataclass(frozen=True)
class Written:
    """A scene as it was written, and the labels that a reader has to find."""

    name: str
    split: str
    folder: Path
    segment20: np.ndarray
    segment200: np.ndarray
    instance: np.ndarray

    @property
    def sens(self) -> Path:
        return self.folder / f"{self.name}.sens"


def write_download(
    root: Path, splits: Mapping[str, Sequence[Scene]], valid_200: Sequence[int], **kind: object
) -> list[Written]:
    """A download with these scenes, whose views hold arrays.

    Args:
        root: of it.
        splits: scenes by split; they get names of scenes of those splits.
        valid_200: ids of the 200 classes in their order.
        kind: see :func:`write_scene`.
    """
    write_table(root / TABLE)
    found = []
    for split, scenes in splits.items():
        for number, scene in enumerate(scenes):
            name = NAMES[split].format(number + 707 if split == "test" else number)
            found.append(write_scene(root, scene, name, split, valid_200, **kind))  # type: ignore[arg-type]
    return found


def write_table(path: Path, rows: Iterable[tuple[str, int, int]] = ROWS) -> None:
    """The table of labels, whose lines end with CR CR LF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(COLUMNS)]
    for name, raw, nyu40 in rows:
        cells = dict.fromkeys(COLUMNS, "") | {"id": str(raw), "raw_category": name, "category": name, "count": "7"}
        lines.append("\t".join((cells | {"nyu40id": str(nyu40)}).values()))
    path.write_bytes("".join(line + "\r\r\n" for line in lines).encode())


def write_scene(
    root: Path,
    scene: Scene,
    name: str,
    split: str,
    valid_200: Sequence[int],
    *,
    between: int = 9,
    promised: int = 0,
    **stream: object,
) -> Written:
    """All files of a scene.

    Args:
        root: of the download.
        scene: its views hold arrays.
        name: that it gets.
        split: that it is of; without labels for "test".
        valid_200: ids of the 200 classes in their order.
        between: frames between those that hold the views.
        promised: how many frames more than there are the text says.
        stream: see :func:`write_sens`.
    """
    folder = root / ("scans_test" if split == "test" else "scans") / name
    folder.mkdir(parents=True)
    write_mesh(folder / f"{name}_vh_clean_2.ply", scene)
    frames = list(_with_between(scene, between))
    write_sens(folder / f"{name}.sens", scene, frames, **stream)  # type: ignore[arg-type]
    size, small = scene.views[0].camera, np.asarray(scene.views[0].depth).shape
    axes = "" if split == "test" else "axisAlignment = " + " ".join(["1 0 0 0.5 0 1 0 -2 0 0 1 0 0 0 0 1"]) + " \n"
    text = (
        f"{axes}colorHeight = {size.height}\ncolorToDepthExtrinsics = 1 0 0 -0.04 0 1 0 0 0 0 1 0 0 0 0 1 \n"
        f"colorWidth = {size.width}\ndepthHeight = {small[0]}\ndepthWidth = {small[1]}\nfx_color = {size.fx}\n"
        f"numColorFrames = {len(frames) + promised}\nnumDepthFrames = {len(frames)}\nnumIMUmeasurements = 3\n"
        "sceneType = Apartment   \n"
    )
    (folder / f"{name}.txt").write_text(text)
    label = np.full(len(scene), -1) if scene.label is None else scene.label
    segments, groups, labels = group_labels(scene, label, valid_200)
    if split != "test":
        write_json(folder / f"{name}_vh_clean_2.0.010000.segs.json",
                   {"params": {"kThresh": "0.01"}, "sceneId": f"{name}", "segIndices": segments.tolist()})  # fmt: skip
        write_json(folder / f"{name}.aggregation.json",
                   {"sceneId": f"scannet.{name}", "appId": "Aggregator.v2", "segGroups": groups,
                    "segmentsFile": f"scannet.{name}_vh_clean_2.0.010000.segs.json"})  # fmt: skip
        # What lies beside them in a download, and must not be used.
        write_json(folder / f"{name}_vh_clean.aggregation.json", {"sceneId": f"scannet.{name}", "segGroups": []})
        (folder / f"{name}_vh_clean_2.labels.ply").write_bytes(b"ply\n")
    return Written(name, split, folder, *labels)


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")))


# ---- mesh and labels ------------------------------------------------------------------------------------------------


def triangles(coord: np.ndarray, normal: np.ndarray | None) -> np.ndarray:
    """(M, 3) a triangle of each vertex and its two nearest neighbours, turned to the side of its normal."""
    _, near = cKDTree(coord).query(coord, k=3)
    corners = coord[near]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    if normal is not None:
        turned = (across * normal).sum(axis=1) < 0
        near[turned] = near[turned][:, [0, 2, 1]]
    return near[np.linalg.norm(across, axis=1) > 1e-12].astype(np.int32)


def write_mesh(path: Path, scene: Scene, faces: np.ndarray | None = None) -> None:
    """``_vh_clean_2.ply``: vertices with colours and an alpha, triangles with a count of one byte."""
    faces = triangles(scene.coord, scene.normal) if faces is None else faces
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment MLIB generated\n"
        f"element vertex {len(scene)}\nproperty float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar alpha\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    vertices = np.zeros(len(scene), dtype=[("coord", "<f4", 3), ("color", "u1", 3), ("alpha", "u1")])
    vertices["coord"], vertices["color"], vertices["alpha"] = scene.coord, scene.color, 255
    rows = np.zeros(len(faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    rows["count"], rows["corners"] = 3, faces
    path.write_bytes(header.encode() + vertices.tobytes() + rows.tobytes())


def group_labels(
    scene: Scene, label: np.ndarray, valid_200: Sequence[int]
) -> tuple[np.ndarray, list[dict[str, object]], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Segments, groups, and the labels that follow: of 20 classes, of 200, of objects.

    Each class has a segment in each cube of a metre, and is an object on each side of the room's middle. Every second
    object of chairs is a stack of them. A first group, which later ones overwrite, holds all segments.
    """
    cube = np.floor(scene.coord).astype(np.int64) + 50
    key = ((cube[:, 0] * 100 + cube[:, 1]) * 100 + cube[:, 2]) * 50 + label + 1
    _, dense = np.unique(key, return_inverse=True)
    segments = 7 * dense.ravel() + 3
    half = (scene.coord[:, 0] > scene.coord[:, 0].mean()).astype(int)
    groups: list[dict[str, object]] = []
    found = [np.full(len(scene), -1, dtype=np.int64) for _ in range(3)]
    if (label >= 0).any():
        groups.append(_group(0, "wall", segments[label >= 0]))
    for kind in np.unique(label[label >= 0]):
        for side in (0, 1):
            # A segment belongs to the side of most of its points.
            mine = [s for s in np.unique(segments[label == kind]) if round(half[segments == s].mean()) == side]
            if mine:
                text = TEXTS.get(scene.class_names[kind], scene.class_names[kind])
                text = "stack of chairs" if text == "chair" and side else text
                rows = np.isin(segments, mine)
                raw, nyu40 = IDS[text]
                found[0][rows] = VALID_20.index(nyu40) if nyu40 in VALID_20 else -1
                found[1][rows] = list(valid_200).index(raw) if raw in valid_200 else -1
                found[2][rows] = len(groups)
                groups.append(_group(len(groups), text, np.array(mine)))
    return segments, groups, (found[0], found[1], found[2])


def _group(number: int, label: str, segments: np.ndarray) -> dict[str, object]:
    return {"id": number, "objectId": number, "segments": np.unique(segments).tolist(), "label": label}


# ---- the stream -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shot:
    """A frame to be written: (h, w, 3) uint8, (h, w) float metres, (4, 4) camera to world."""

    color: np.ndarray
    depth: np.ndarray
    pose: np.ndarray


def _with_between(scene: Scene, between: int) -> Iterable[Shot]:
    for number, view in enumerate(scene.views):
        shot = Shot(np.asarray(view.image), np.asarray(view.depth), view.camera_to_world)
        yield shot
        if number + 1 < len(scene.views):
            yield from [Shot(shot.color[::-1], shot.depth[::-1], shot.pose)] * between


def jpeg(color: np.ndarray, quality: int = 95) -> bytes:
    return _image(color, "JPEG", quality=quality)


def _image(color: np.ndarray, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(color)).save(buffer, form, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def write_sens(
    path: Path,
    scene: Scene,
    shots: Sequence[Shot],
    *,
    color_codec: int = 2,
    depth_codec: int = 1,
    version: int = 4,
    imu: int | None = 3,
    shift: float = 1000.0,
) -> None:
    """A stream; ``imu`` is the number of readings of the inertial sensor, None to leave their count out, too."""
    camera = scene.views[0].camera
    color = np.eye(4)
    color[:3, :3] = camera.intrinsics
    height, width = shots[0].depth.shape
    depth = np.diag([width / camera.width, height / camera.height, 1, 1]) @ color
    name = b"StructureSensor"
    data = bytearray(struct.pack("<IQ", version, len(name)) + name)
    for matrix in (color, np.eye(4), depth, np.eye(4)):
        data += matrix.astype("<f4").tobytes()
    data += struct.pack("<ii", color_codec, depth_codec)
    data += struct.pack("<IIIIf", camera.width, camera.height, width, height, shift)
    data += struct.pack("<Q", len(shots))
    for number, shot in enumerate(shots):
        units = np.rint(shot.depth * shift).astype("<u2").tobytes()
        photo = {0: lambda c: c.tobytes(), 1: lambda c: _image(c, "PNG"), 2: jpeg}[color_codec](shot.color)
        packed = zlib.compress(units) if depth_codec == 1 else units
        data += shot.pose.astype("<f4").tobytes()
        data += struct.pack("<QQQQ", 33_000 * number, 33_000 * number, len(photo), len(packed)) + photo + packed
    if version == 4 and imu is not None:
        data += struct.pack("<Q", imu) + bytes(128 * imu)
    path.write_bytes(data)


# ---- damage ---------------------------------------------------------------------------------------------------------


def places(path: Path) -> list[tuple[int, int, int]]:
    """For each frame of a stream its first byte, and the lengths of colour and depth data."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data, 4)
    at = 12 + length + 4 * 64 + 8
    (count,) = struct.unpack_from("<Q", data, at + 20)
    at += 28
    found = []
    for _ in range(count):
        color, depth = struct.unpack_from("<QQ", data, at + 80)
        found.append((at, color, depth))
        at += 96 + color + depth
    return found


def patch(path: Path, at: int, content: bytes) -> None:
    """Other bytes in their place."""
    data = bytearray(path.read_bytes())
    data[at : at + len(content)] = content
    path.write_bytes(data)


def lose_pose(path: Path, frame: int, value: float = -np.inf) -> None:
    """A pose that the recorder had not found; its writer leaves -inf in all 16."""
    patch(path, places(path)[frame][0], np.full(16, value, "<f4").tobytes())


def break_color(path: Path, frame: int) -> None:
    at, color, _ = places(path)[frame]
    patch(path, at + 96, bytes(min(color, 40)))


def break_depth(path: Path, frame: int) -> None:
    """Inside, so that it ends with "invalid distance code" or the like."""
    at, color, depth = places(path)[frame]
    patch(path, at + 96 + color + depth // 2, b"\xff" * 16)


def break_lengths(path: Path, frame: int) -> None:
    patch(path, places(path)[frame][0] + 80, struct.pack("<QQ", 2**60, 2**63))


def replace_depth(path: Path, frame: int, packed: bytes) -> None:
    """Another depth map, such as an empty one or a bomb."""
    at, color, depth = places(path)[frame]
    data = path.read_bytes()
    head = data[:at] + data[at : at + 88] + struct.pack("<Q", len(packed))
    path.write_bytes(head + data[at + 96 : at + 96 + color] + packed + data[at + 96 + color + depth :])


def cut_in_frame(path: Path, frame: int) -> None:
    at, color, _ = places(path)[frame]
    path.write_bytes(path.read_bytes()[: at + 96 + color // 2])

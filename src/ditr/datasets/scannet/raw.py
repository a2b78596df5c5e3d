"""ScanNet as it is downloaded: ``scans/SCENE`` and ``scans_test/SCENE``, and what is made of a scene.

Of a scene's files are read ``SCENE.sens`` (photographs, depth maps and poses), ``SCENE_vh_clean_2.ply`` (the mesh whose
vertices are the points), and where they are not held back ``SCENE_vh_clean_2.0.010000.segs.json`` and
``SCENE.aggregation.json`` with the table of labels at the root. Colour and depth are registered already, and the mesh
is in the frame of the poses: neither the extrinsics of the stream nor the axis alignment of ``SCENE.txt`` is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.datasets.arrays import build_scene
from ditr.datasets.raw import Download, Place, PrepareOptions, RawFormat, RawPiece, Repair
from ditr.datasets.scannet.classes import CLASSES, CLASSES_200
from ditr.datasets.scannet.frames import (
    Frame,
    look_at_stream,
    lost_pose,
    matrix_text,
    png,
    promised_frames,
    ready_frames,
    scaled_intrinsic,
)
from ditr.datasets.scannet.labels import TABLE, SceneLabels, read_labels, read_table
from ditr.datasets.scannet.prepared import DEPTH_UNIT, IMAGE_SIZE
from ditr.datasets.scannet.splits import COUNTS, SPLITS, is_scene, listed, scenes_of, split_of
from ditr.errors import InputError, few
from ditr.geometry.normals import mesh_normals
from ditr.io.files import write_array
from ditr.io.ply import read_ply_mesh
from ditr.io.sens import SensIndex, SensReader
from ditr.scene import Camera, PointPixels, Scene, SceneSource, View

__all__ = ["RawScanNet", "RawScene", "raw_format"]

_EVERY = 10
_FOLDERS = ("scans", "scans_test")
_LAYOUT = f"a folder with scans/SCENE, scans_test/SCENE and {TABLE}"
_AGAIN = "Download the file again"
_FRAME_BYTES, _POINT_BYTES = 300_000, 51
"""Of a frame and of a point, once prepared; of frames as measured on pictures of rooms."""


@dataclass(frozen=True, eq=False)
class _Mesh:
    """Vertices of a mesh: (V, 3) float32 metres, (V, 3) uint8 colours, (V, 3) float32 normals."""

    coord: NDArray[np.float32]
    color: NDArray[np.uint8]
    normal: NDArray[np.float32]


@dataclass(frozen=True)
class RawScene:
    """A scene of the download; see :class:`~ditr.datasets.raw.RawPiece`.

    Attributes:
        name: such as ``scene0000_00``.
        split: train, val or test.
        folder: of its files.
        table: of labels; None where labels are held back.
        every: of the recording, each frame with a number divisible by this.
        images: whether it has a recording; there are downloads of meshes alone.
    """

    name: str
    split: str
    folder: Path
    table: Path | None
    every: int
    images: bool

    def file(self, ending: str) -> Path:
        """A file of the scene."""
        return self.folder / f"{self.name}{ending}"

    @property
    def needed(self) -> list[Path]:
        """Files without which it cannot be prepared."""
        found = [self.file("_vh_clean_2.ply")]
        if self.images:
            found.append(self.file(".sens"))
        if self.table is not None:
            found += [self.file("_vh_clean_2.0.010000.segs.json"), self.file(".aggregation.json"), self.table]
        return found

    @property
    def sources(self) -> Sequence[Path]:
        text = self.file(".txt")
        return [*self.needed, text] if text.is_file() else self.needed

    @property
    def places(self) -> Sequence[Place]:
        arrays = Place(f"{self.split}/{self.name}")
        return (Place(self.name, "_images"), arrays) if self.images else (arrays,)

    def size(self) -> int:
        try:
            points = self.file("_vh_clean_2.ply").stat().st_size // 42  # of a vertex and its two triangles
            if not self.images:
                return points * _POINT_BYTES
            with SensReader(self.file(".sens")) as reader:
                return points * _POINT_BYTES + -(-reader.header.frames // self.every) * _FRAME_BYTES
        except (OSError, InputError):
            return 0

    def write(self, parts: Sequence[Path]) -> Sequence[Repair]:
        for fault in self._missing():
            raise fault
        repairs: list[Repair] = []
        mesh = self.mesh()
        labels = self.labels(len(mesh.coord), repairs.append)
        if self.images:
            self._write_frames(parts[0], repairs.append)
        for name in ("coord", "color", "normal"):
            write_array(parts[-1] / f"{name}.npy", getattr(mesh, name))
        if labels is not None:
            for name in ("segment20", "segment200", "instance"):
                write_array(parts[-1] / f"{name}.npy", getattr(labels, name))
        return repairs

    def check(self) -> Iterator[InputError | Repair]:
        missing = list(self._missing())
        yield from missing
        gone = {fault.where for fault in missing}
        repairs: list[Repair] = []
        for look in (self._look_at_points, self._look_at_stream):
            try:
                look(repairs.append)
            except InputError as fault:
                if fault.where not in gone:
                    yield fault
        yield from repairs

    def mesh(self) -> _Mesh:
        """The points.

        Raises:
            InputError: a missing or damaged file.
        """
        path = self.file("_vh_clean_2.ply")
        properties, faces = read_ply_mesh(path)
        lacking = [name for name in ("x", "y", "z", "red", "green", "blue") if name not in properties]
        if lacking:
            raise InputError(path, f"its vertices have no {lacking[0]!r}", _AGAIN)
        coord = np.stack([properties[axis] for axis in "xyz"], axis=1).astype(np.float32)
        color = np.stack([properties[name] for name in ("red", "green", "blue")], axis=1)
        bad = np.flatnonzero(~np.isfinite(coord).all(axis=1))
        if not len(coord) or not len(faces):
            raise InputError(path, f"it has {len(coord)} vertices and {len(faces)} faces, so it is not a mesh", _AGAIN)
        if len(bad):
            raise InputError(path, f"its vertex {bad[0]} is not finite", _AGAIN)
        if color.dtype != np.uint8:
            raise InputError(path, f"its colours are {color.dtype}, not uchar", _AGAIN)
        return _Mesh(coord, color, mesh_normals(coord, faces))

    def labels(self, vertices: int, report: Callable[[Repair], None]) -> SceneLabels | None:
        """The labels of so many vertices, None where they are held back.

        Raises:
            InputError: a missing or damaged file.
        """
        if self.table is None:
            return None
        _, segments, groups, table = (path for path in self.needed if path.suffix != ".sens")
        labels, repairs = read_labels(segments, groups, table, scene=self.name, vertices=vertices)
        for repair in repairs:
            report(repair)
        return labels

    def frames(self, reader: SensReader, report: Callable[[Repair], None]) -> Iterator[Frame]:
        """The chosen frames of its recording, made ready; what is damaged is reported.

        Raises:
            InputError: damage that cannot be repaired.
        """
        yield from ready_frames(reader, self._looked_at(reader, report), self.every, report)

    def _looked_at(self, reader: SensReader, report: Callable[[Repair], None]) -> SensIndex:
        """Where the frames of its recording are; what is odd about it as a whole is reported.

        Raises:
            InputError: damage that cannot be repaired.
        """
        index = reader.index()
        for repair in look_at_stream(reader.path, reader.header, index):
            report(repair)
        said = promised_frames(self.file(".txt"), reader.header.frames)
        if said is not None:
            report(said)
        return index

    def _missing(self) -> Iterator[InputError]:
        for path in self.needed:
            if not path.is_file():
                yield InputError(path, "there is no such file", "Download it; the scene cannot be prepared without it")

    def _write_frames(self, folder: Path, report: Callable[[Repair], None]) -> None:
        for name in ("color", "depth", "pose", "intrinsic"):
            (folder / name).mkdir(parents=True)
        with SensReader(self.file(".sens")) as reader:
            text = matrix_text(scaled_intrinsic(reader.header))
            (folder / "intrinsic" / "intrinsic_color.txt").write_text(text, encoding="ascii")
            for frame in self.frames(reader, report):
                (folder / "color" / f"{frame.number}.jpg").write_bytes(frame.color)
                (folder / "depth" / f"{frame.number}.png").write_bytes(png(frame.depth))
                (folder / "pose" / f"{frame.number}.txt").write_text(matrix_text(frame.pose), encoding="ascii")

    def _look_at_points(self, report: Callable[[Repair], None]) -> None:
        self.labels(len(self.mesh().coord), report)

    def _look_at_stream(self, report: Callable[[Repair], None]) -> None:
        if not self.images:
            return
        with SensReader(self.file(".sens")) as reader:
            for frame in self._looked_at(reader, report).frames:
                if frame.number % self.every == 0 and not frame.has_pose:
                    report(lost_pose(reader.path, frame))


@dataclass(frozen=True)
class RawScanNet:
    """A download; see :class:`~ditr.datasets.raw.RawDataset`.

    Attributes:
        root: its folder.
        pieces: the scenes of the splits that are wanted.
        fine: whether its labels are to be the 200.
    """

    root: Path
    pieces: tuple[RawScene, ...]
    fine: bool

    def check(self) -> Iterator[InputError]:
        yield from listed(self.root)[1]
        there = {scene.name for scene in self.pieces}
        for split in {scene.split for scene in self.pieces}:
            missing = [name for name in scenes_of(split) if name not in there]
            # Whoever has less has not wanted all.
            if 0 < 2 * len(missing) < COUNTS[split]:
                fault = f"{len(missing)} scenes of the split {split} are missing: {few(missing, 5)}"
                yield InputError(self.root, fault, "Download these scenes")

    def finish(self, out: Path, pieces: Sequence[RawPiece]) -> None:
        """Nothing belongs to all scenes."""

    def source(self, splits: Sequence[str], images: bool) -> SceneSource:
        for split in splits:
            if split not in {scene.split for scene in self.pieces}:
                raise InputError(
                    self.root, f"it has no scenes of the split {split!r}", f"Splits are {', '.join(SPLITS)}"
                )
        return _Scenes(
            tuple(scene for split in splits for scene in self.pieces if scene.split == split), images, self.fine
        )


@dataclass(frozen=True)
class _Scenes:
    """Scenes straight from a download, as their prepared folders would give them."""

    scenes: tuple[RawScene, ...]
    images: bool
    fine: bool

    @property
    def name(self) -> str:
        return "ScanNet200" if self.fine else "ScanNet"

    def __len__(self) -> int:
        return len(self.scenes)

    def names(self) -> list[str]:
        return [scene.name for scene in self.scenes]

    def scene(self, index: int) -> Scene:
        raw = self.scenes[index]
        mesh = raw.mesh()
        labels = raw.labels(len(mesh.coord), _ignored)
        label = None if labels is None else labels.segment200 if self.fine else labels.segment20
        values = {"coord": mesh.coord, "color": mesh.color, "normal": mesh.normal, "label": label}
        classes = CLASSES_200 if self.fine else CLASSES
        views = _views(raw) if self.images else ()
        return build_scene(raw.folder, {"name": raw.name, "views": views, "class_names": classes, **values})


def _ignored(repair: Repair) -> None:
    """What is repaired is said when a download is checked or prepared."""


def _views(raw: RawScene) -> tuple[View, ...]:
    height, width = IMAGE_SIZE
    with SensReader(raw.file(".sens")) as reader:
        matrix = scaled_intrinsic(reader.header)
        camera = Camera(width, height, matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
        return tuple(_view(frame, camera) for frame in raw.frames(reader, _ignored))


def _view(frame: Frame, camera: Camera) -> View:
    name = str(frame.number)
    if not np.isfinite(frame.pose).all():
        return View.unposed(name, (camera.width, camera.height), frame.color, PointPixels.none())
    return View(
        name,
        camera,
        np.asarray(np.linalg.inv(frame.pose.astype(np.float64)), dtype=np.float64),
        frame.color,
        (frame.depth.astype(np.float64) * DEPTH_UNIT).astype(np.float32),
    )


# ---- the download ---------------------------------------------------------------------------------------------------


def raw_format(*, fine: bool) -> RawFormat:
    """How the download is read for the 20 classes, or for the 200 where ``fine``."""

    def opened(root: Path, options: PrepareOptions) -> RawScanNet:
        return _open(root, options, fine)

    return RawFormat(_recognises, opened, _DOWNLOAD, _LAYOUT)


def _recognises(root: Path) -> bool:
    return any(_looks_like_scans(folder) for folder in (*(root / name for name in _FOLDERS), root))


def _looks_like_scans(folder: Path) -> bool:
    scene = next(_scenes_in(folder), None)
    return scene is not None and any((scene / f"{scene.name}{end}").is_file() for end in (".sens", "_vh_clean_2.ply"))


def _scenes_in(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if is_scene(path.name) and path.is_dir())


def _open(root: Path, options: PrepareOptions, fine: bool) -> RawScanNet:
    """A download.

    Raises:
        InputError: no such split, or a table of labels that is missing, damaged or older.
    """
    unknown = [split for split in options.splits if split not in SPLITS]
    if unknown:
        raise InputError("--splits", f"there is no split {unknown[0]!r}", f"Splits are {', '.join(SPLITS)}")
    if not any((root / name).is_dir() for name in _FOLDERS) and _looks_like_scans(root):
        raise InputError(root, "the scenes are directly in this folder", f"Name the folder above it: {_LAYOUT}")
    splits, _ = listed(root)
    folders = {folder.name: folder for name in _FOLDERS for folder in _scenes_in(root / name)}
    found = {name: splits.get(name, split_of(name)) for name in folders}
    found |= {name: "test" for name, folder in folders.items() if folder.parent.name == _FOLDERS[1]}
    wanted = [name for name in sorted(found) if not options.splits or found[name] in options.splits]
    images = any((folders[name] / f"{name}.sens").is_file() for name in wanted)
    table = root / TABLE
    if any(found[name] != "test" for name in wanted):
        read_table(table)
    return RawScanNet(
        root,
        tuple(
            RawScene(name, found[name], folders[name], None if found[name] == "test" else table,
                     options.every or _EVERY, images)
            for name in wanted
        ),
        fine,
    )  # fmt: skip


_DOWNLOAD = Download(
    address="http://www.scan-net.org",
    terms=(
        "Sign ScanNet's terms of use and send them from an e-mail address of your institution; you will be sent a "
        "download "
        "script. ScanNet200 is the same data"
    ),
    gigabytes={"recordings, about": 1000, "meshes, segments and labels, about": 20},
    pieces=COUNTS,
    unit="scenes",
    seconds=6.0,
)

"""A dataset of its own layout, as whoever adds one writes it: its facts, its reader and its benchmark in one file.

``toy/{train,val}/SCENE/`` with ``points.npy`` (N, 7: x, y, z, red, green, blue, class) and, for each image,
``NAME.png`` with ``NAME.txt``: fx, fy, cx, cy and the 16 numbers of the pose from world to camera.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ditr.captures.images import image_size
from ditr.data.augment.variants import Variant
from ditr.data.preparation import Attribute, Preparation
from ditr.datasets.arrays import build_scene, load_array, read_numbers, split_folders, subfolders
from ditr.datasets.benchmark import Benchmark, Images
from ditr.datasets.submission import Archive, Fault
from ditr.geometry.projection import VisibilityRule
from ditr.scene import Camera, Scene, View

CLASSES = ("floor", "wall", "box")
LAYOUT = "toy/SPLIT/SCENE with points.npy, N.png and N.txt"
WITHOUT_IMAGES = Preparation(voxel_size=0.25, attributes=(Attribute.COLOR,), rule=VisibilityRule(min_depth=0.2))


@dataclass(frozen=True)
class ToyScenes:
    """Scenes of some splits; see :class:`~ditr.scene.SceneSource`."""

    folders: tuple[Path, ...]
    images: bool
    name: str = "Toy"

    def __len__(self) -> int:
        return len(self.folders)

    def names(self) -> list[str]:
        return [folder.name for folder in self.folders]

    def scene(self, index: int) -> Scene:
        folder = self.folders[index]
        points = load_array(folder / "points.npy", "f", 7)
        return build_scene(
            folder,
            {
                "name": folder.name,
                "coord": points[:, :3].astype(np.float64),
                "color": points[:, 3:6].astype(np.uint8),
                "label": points[:, 6].astype(np.int32),
                "views": tuple(map(_view, sorted(folder.glob("*.png")))) if self.images else (),
                "class_names": CLASSES,
            },
        )


def open_toy(root: Path, splits: Sequence[str], images: Images) -> ToyScenes:
    folders = split_folders(root, splits, LAYOUT)
    return ToyScenes(tuple(scene for folder in folders for scene in subfolders(folder, "*", LAYOUT)), bool(images))


def _view(image: Path) -> View:
    fx, fy, cx, cy, *pose = read_numbers(image.with_suffix(".txt"), 20)
    width, height = image_size(image)
    return View(image.stem, Camera(width, height, fx, fy, cx, cy), np.reshape(pose, (4, 4)), image)


class ToySubmission:
    """A server that takes ``toy/SPLIT/SCENE.bin`` of a byte per point, classes counted from 1, with folders."""

    scenes: Mapping[str, int] = {"test": 2, "val": 2}
    by_hand = ("Upload it to the server of toys.",)

    def resembles(self, archive: Archive) -> bool:
        return any("toy/" in name for name in archive.names)

    def member(self, scene: str, split: str) -> str:
        return f"toy/{split}/{scene}.bin"

    def content(self, label: NDArray[np.int32]) -> bytes:
        return (label + 1).astype(np.uint8).tobytes()

    def labels(self, member: str, content: bytes) -> NDArray[np.int32] | Fault:
        raw = np.frombuffer(content, np.uint8).astype(np.int32) - 1
        return np.where(raw < len(CLASSES), raw, -1)

    def others(self, scenes: Sequence[str], split: str, *, images: bool) -> Mapping[str, bytes]:
        return {"toy/": b"", f"toy/{split}/": b"", "toy/meta.json": b"images" if images else b"points"}

    def check(self, archive: Archive, points: Mapping[str, int] | None, split: str) -> Iterator[Fault]:
        files = [name for name in archive.names if name.endswith(".bin")]
        if len(files) != self.scenes[split]:
            yield Fault("number of files", "", f"there are {len(files)} for {self.scenes[split]} scenes", "Add them")
        for name in files:
            content = archive.read(name, 1 << 20)
            if isinstance(content, Fault):
                yield content
            elif points is not None and len(content) != points.get(Path(name).stem):
                yield Fault("number of points", name, f"it has {len(content)} labels", "Label the scene again")


TOY = Benchmark(
    name="Toy",
    classes=CLASSES,
    class_count=len(CLASSES),
    folder="toy",
    open=open_toy,
    without_images=WITHOUT_IMAGES,
    with_images=replace(WITHOUT_IMAGES, image_size=(42, 56), max_views=2),
    voting=(Variant(), Variant(90.0)),
    submission=ToySubmission(),
)


def write_toy(root: Path, scenes: list[Scene], split: str) -> Path:
    """Scenes in this layout; the dataset's root."""
    for scene in scenes:
        folder = root / split / scene.name
        folder.mkdir(parents=True)
        assert scene.color is not None and scene.label is not None
        np.save(folder / "points.npy", np.column_stack([scene.coord, scene.color, scene.label]))
        for view in scene.views:
            camera = view.camera
            Image.fromarray(np.asarray(view.image)).save(folder / f"{view.name}.png")
            numbers = [camera.fx, camera.fy, camera.cx, camera.cy, *view.world_to_camera.ravel()]
            np.savetxt(folder / f"{view.name}.txt", numbers, fmt="%.17g")
    return root

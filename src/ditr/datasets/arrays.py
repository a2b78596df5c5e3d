"""What the readers of prepared folders share: their files, checked before they are read, and the splits' folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.io.array_file import map_array
from ditr.scene import UNLABELLED, Scene, View

__all__ = [
    "NestedFolders",
    "build_scene",
    "frame_files",
    "indoor_scene",
    "load_array",
    "load_floats",
    "load_labels",
    "need",
    "need_arrays",
    "need_beside",
    "need_folder",
    "optional_labels",
    "read_numbers",
    "split_folders",
    "subfolders",
]


def need(paths: Iterable[Path], layout: str) -> None:
    """Raise an InputError that names the first file that is missing, and the layout in which it was expected."""
    for path in paths:
        if not path.is_file():
            raise InputError(path, "there is no such file", f"The expected layout is {layout}")


def need_beside(paths: Iterable[Path], where: tuple[Path, str], layout: str) -> None:
    """The same for files of the stems of ``paths`` in another folder, of another suffix; it is looked into once."""
    folder, suffix = where
    there = set(os.listdir(folder)) if folder.is_dir() else set()
    need((folder / name for path in paths if (name := path.stem + suffix) not in there), layout)


def need_folder(path: Path, what: str, layout: str) -> None:
    """The same for a folder and what it should hold."""
    if not path.is_dir():
        raise InputError(path, f"there is no such folder; it should hold {what}", f"The expected layout is {layout}")


def split_folders(root: Path, splits: Sequence[str], layout: str) -> list[Path]:
    """``root/split`` of every split.

    Raises:
        InputError: one is missing; the text says which there are.
    """
    need_folder(root, "the splits", layout)
    for split in splits:
        if not split or not (root / split).is_dir():
            there = ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir())) or "none"
            raise InputError(
                root / split, f"there is no such split (folders here: {there})", f"The expected layout is {layout}"
            )
    return [root / split for split in splits]


def subfolders(folder: Path, pattern: str, layout: str) -> list[Path]:
    """The folders that fit a pattern, sorted; hidden ones are not counted.

    Raises:
        InputError: there is none.
    """
    found = sorted(path for path in folder.glob(pattern) if path.is_dir() and not path.name.startswith("."))
    if not found:
        raise InputError(folder, "there is nothing here", f"The expected layout is {layout}")
    return found


@dataclass(frozen=True)
class NestedFolders:
    """The scenes of a source that lie two folders deep, and are called ``OUTER-INNER``.

    Attributes:
        folders: of the scenes.
    """

    folders: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.folders)

    def names(self) -> list[str]:
        """The scenes' names."""
        return [f"{folder.parent.name}-{folder.name}" for folder in self.folders]


def load_array(path: Path, kinds: str, width: int | None = None, count: int | None = None) -> NDArray[Any]:
    """A ``.npy`` array of numbers whose type and shape are known before it is read.

    Args:
        path: the file.
        kinds: NumPy's letters of the types it may have: "f", "iu", "b".
        width: of its rows; None for one number per row, where (N, 1) becomes (N,).
        count: of its rows, where it is known.

    Raises:
        InputError: a missing or damaged file, objects, or another type or shape.
    """
    array = map_array(path, "the array", "Prepare this scene again")
    if array.dtype.kind not in kinds:
        raise InputError(path, "this is not an array of numbers of the expected type", "Prepare this scene again")
    if width is None and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    expected = (len(array) if array.ndim else 0, *(() if width is None else (width,)))
    if array.shape != expected or (count is not None and len(array) != count):
        rows = "N" if count is None else str(count)
        wanted = f"({rows},)" if width is None else f"({rows}, {width})"
        raise InputError(path, f"its shape is {array.shape}, but {wanted} is expected", "Prepare this scene again")
    return np.array(array)


def load_labels(path: Path, count: int, column: int | None = None) -> NDArray[np.int32]:
    """(N,) int32 classes of a ``.npy``; every negative number is "not labelled".

    Args:
        path: (N,) or (N, 1) numbers, or (N, 3) with ``column``.
        count: of the points.
        column: which one counts.
    """
    labels = load_array(path, "iu", width=None if column is None else 3, count=count)
    if column is not None:
        labels = labels[:, column]
    return np.maximum(labels.astype(np.int64), UNLABELLED).astype(np.int32)


def optional_labels(path: Path, count: int, column: int | None = None) -> NDArray[np.int32] | None:
    """The same, or None where there is no such file, as in the splits for tests."""
    return load_labels(path, count, column) if path.exists() else None


def load_floats(path: Path, width: int) -> NDArray[np.float32]:
    """(N, ``width``) float32 of a LiDAR's ``.bin``.

    Raises:
        InputError: a missing file, or one whose length is not a whole number of points.
    """
    try:
        size = path.stat().st_size
        if size == 0 or size % (4 * width):
            raise InputError(path, f"its {size} bytes are not points of {width} floats", "Copy the file again")
        return np.fromfile(path, dtype="<f4").reshape(-1, width)
    except OSError as error:
        raise InputError(path, f"the file cannot be read ({error.strerror})", "Copy the file again") from None


def read_numbers(path: Path, count: int | None = None) -> NDArray[np.float64]:
    """The numbers of a small text file; ``inf`` and ``nan`` are numbers.

    Raises:
        InputError: a missing file, other text, or not ``count`` numbers.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(1 << 16)
        text = content.decode("ascii") if len(content) < 1 << 16 else "too long"
        numbers = np.array([float(word) for word in text.split()])
    except (OSError, ValueError) as error:
        raise InputError(path, f"these are not numbers ({error})", "Prepare the images of this scene again") from None
    if count is not None and len(numbers) != count:
        raise InputError(
            path, f"it holds {len(numbers)} numbers, but {count} are expected", "Prepare the images of this scene again"
        )
    return numbers


def frame_files(folder: Path, suffix: str, layout: str) -> dict[int, Path]:
    """The files ``{number}{suffix}`` of a folder in the order of their numbers; other files are not counted.

    Raises:
        InputError: no such folder, or no such file in it.
    """
    need_folder(folder, "a file for every frame", layout)
    numbers = (name.removesuffix(suffix) for name in os.listdir(folder) if name.endswith(suffix))
    found = {int(number): folder / f"{number}{suffix}" for number in numbers if number.isdecimal()}
    if not found:
        raise InputError(folder, f"there is no file NUMBER{suffix}", f"The expected layout is {layout}")
    return dict(sorted(found.items()))


def need_arrays(folder: Path, layout: str) -> None:
    """The arrays of an indoor scene must be there.

    Raises:
        InputError: one is missing.
    """
    need((folder / f"{name}.npy" for name in ("coord", "color", "normal")), layout)


def indoor_scene(
    folder: Path,
    name: str,
    views: tuple[View, ...],
    class_names: tuple[str, ...],
    *,
    labels: str = "segment.npy",
    column: int | None = None,
    axes: list[int] | slice = slice(None),
) -> Scene:
    """A room of its arrays.

    Args:
        folder: of the arrays.
        name: of the scene.
        views: its photographs.
        class_names: in the order of the labels.
        labels: file of the labels, which may be missing.
        column: of the labels, where there are three.
        axes: columns of the files that become x, y and z.

    Raises:
        InputError: a missing or damaged file.
    """
    coord = load_array(folder / "coord.npy", "f", 3)
    return build_scene(
        folder,
        {
            "name": name,
            "coord": coord[:, axes],
            "views": views,
            "color": load_array(folder / "color.npy", "fu", 3, len(coord)),
            "normal": load_array(folder / "normal.npy", "f", 3, len(coord))[:, axes],
            "label": optional_labels(folder / labels, len(coord), column),
            "class_names": class_names,
        },
    )


def build_scene(path: Path, scene: dict[str, Any]) -> Scene:
    """A scene of a benchmark of its fields, up being z; faults are reported for the file or folder ``path``."""
    try:
        return Scene(up=np.array([0.0, 0.0, 1.0]), as_published=True, **scene)
    except InputError as error:
        raise InputError(path, error.fault, error.remedy) from None

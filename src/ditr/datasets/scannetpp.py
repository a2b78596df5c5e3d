"""ScanNet++: how the published models take its scenes. Its 100 classes are a file of the dataset, not listed here."""

from __future__ import annotations

from pathlib import Path

from ditr.data.sample import Attribute, Preparation
from ditr.errors import InputError

__all__ = ["CLASSES_FILE", "CLASS_COUNT", "COLORS", "preparation", "read_classes"]

CLASSES_FILE = "metadata/semantic_benchmark/top100.txt"
"""In the dataset's folder: a class per line, in the order of the logits."""
CLASS_COUNT = 100
COLORS: tuple[tuple[int, int, int], ...] | None = None


def read_classes(folder: str | Path) -> tuple[str, ...]:
    """The names of the classes from the dataset's ``folder``, in the order of the logits.

    Raises:
        InputError: no such file, or not 100 distinct names in it.
    """
    path = Path(folder) / CLASSES_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(path, f"the class list cannot be read ({fault})", "Name the dataset's folder") from None
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(names) != CLASS_COUNT or len(set(names)) != CLASS_COUNT:
        raise InputError(path, f"it holds {len(set(names))} names, not {CLASS_COUNT}", "Restore the dataset's file")
    return names


def preparation(images: bool) -> Preparation:
    """How the published models take a scene, which are those without photographs.

    Raises:
        InputError: with photographs; nothing is published on how they were taken.
    """
    if images:
        raise InputError(
            "ScanNet++", "how its photographs are taken is not published", "Ask for the preparation without images"
        )
    return Preparation(voxel_size=0.02, attributes=(Attribute.COLOR, Attribute.NORMAL))

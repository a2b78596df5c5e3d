"""Folders of captures: found, and as a source of scenes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ditr.captures.formats import refuse_stranger
from ditr.errors import InputError
from ditr.scene import ReadOptions, Scene

__all__ = ["Captures", "find_captures"]


class Captures:
    """Captures as a source; ``options`` say how they are read, before what their own files say."""

    def __init__(self, folders: Sequence[str | Path], options: ReadOptions | None = None) -> None:
        self.folders = [Path(folder) for folder in folders]
        self.options = options
        parents = {str(folder.absolute().parent) for folder in self.folders}
        self._root = Path(os.path.commonpath(parents)) if parents else Path()

    @property
    def name(self) -> str:
        return str(self._root)

    def __len__(self) -> int:
        return len(self.folders)

    def names(self) -> list[str]:
        return [str(folder.absolute().relative_to(self._root)) for folder in self.folders]

    def scene(self, index: int) -> Scene:
        # Only here: prepared datasets, and so all that trains, do without the library that checks transforms.json.
        from ditr.captures.capture import read_capture

        return read_capture(self.folders[index], self.options)


def find_captures(folder: str | Path) -> list[Path]:
    """The captures in a folder (or the folder itself if it is one), sorted by name.

    Raises:
        InputError: there is none.
    """
    root = Path(folder)
    if (root / "transforms.json").exists():
        return [root]
    found = sorted(path.parent for path in root.glob("*/transforms.json"))
    if not found:
        if root.exists():
            refuse_stranger(root)
        raise InputError(root, "there is no capture here", "Name a folder of captures, each with its transforms.json")
    return found

"""Folders of captures: found, and as a source of scenes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from ditr.captures.formats import is_capture, refuse_stranger
from ditr.errors import InputError
from ditr.io.files import file_sha256
from ditr.scene import ReadOptions, Scene

__all__ = ["Captures", "find_captures", "fingerprint"]


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
    """The captures in a folder (or the folder itself if it is one), sorted by name; where there are none, the files and
    folders of other formats that lie there.

    Raises:
        InputError: there is none.
    """
    root = Path(folder)
    if is_capture(root):
        return [root]
    if found := sorted(path.parent for path in root.glob("*/transforms.json")):
        return found
    from ditr.captures.sources import is_source, readable  # see Captures.scene

    if is_source(root):
        return [root]
    if found := [path for path in sorted(root.iterdir()) if is_source(path)] if root.is_dir() else []:
        return found
    if root.exists():
        refuse_stranger(root, readable())
    remedy = f"Name a folder of captures, each with its transforms.json. {readable()}"
    raise InputError(root, "there is no capture here", remedy)


def fingerprint(path: Path) -> list[str]:
    """What tells a source from another: its name, and digests of what its cameras or points are."""
    if is_capture(path):
        own = ("transforms.json", "capture.json")
        return [path.name, *(file_sha256(path / name) for name in own if (path / name).exists())]
    if path.is_file():
        return [path.name, file_sha256(path)]
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listed = "\n".join(f"{file.relative_to(path).as_posix()} {file.stat().st_size}" for file in files)
    return [path.name, hashlib.sha256(listed.encode()).hexdigest()]

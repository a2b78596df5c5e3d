"""Folders of captures: found, and as a source of scenes."""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ditr.captures.formats import is_capture, refuse_stranger
from ditr.errors import InputError
from ditr.io.files import file_sha256
from ditr.scene import ReadOptions, Scene

__all__ = ["Captures", "find_captures", "find_sources", "fingerprint", "stamp"]

_END = 1 << 20
"""Bytes at the end of a bag, where its index is, that tell it from others."""
_ENDS = 1 << 16
"""Bytes at either end of a file that are looked at to see whether it has changed."""


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


def find_captures(folder: str | Path, options: ReadOptions | None = None) -> list[Path]:
    """The captures in a folder (or the folder itself if it is one), sorted by name; where there are none, the files and
    folders of other formats that lie there. Of drives these are the addresses of their scenes.

    Args:
        folder: of captures, or a source.
        options: how drives are read, and which of their scenes count.

    Raises:
        InputError: there is none, or a drive that cannot be opened.
    """
    root = Path(folder)
    if is_capture(root):
        return [root]
    if found := sorted(path.parent for path in root.glob("*/transforms.json")):
        return found
    from ditr.captures.drives import open_drive  # see Captures.scene
    from ditr.captures.sources import is_source, readable

    reading = options or ReadOptions()
    if (drive := open_drive(root, reading)) is not None:
        return drive.paths()
    if is_source(root):
        return [root]
    entries = sorted(root.iterdir()) if root.is_dir() else []
    found = []
    for entry in entries:
        inner = None if is_capture(entry) else open_drive(entry, reading)
        found += inner.paths() if inner is not None else [entry] if is_source(entry) else []
    if found:
        return found
    if root.exists():
        refuse_stranger(root, readable())
    remedy = f"Name a folder of captures, each with a transforms.json. {readable()}"
    raise InputError(root, "there is no capture here", remedy)


def find_sources(sources: Sequence[str | Path], options: ReadOptions | None = None) -> dict[str, Path]:
    """All scenes of some sources, by name, in order: captures, files and folders of other formats, folders of such,
    drives, and patterns as ``scans/*.laz``. A path is there once, whoever named it.

    Names are paths below the folder that all are in, those of files without their endings where these are not needed.

    Args:
        sources: what is given. One of several that cannot be read counts as a scene, so that the others are not held
            up.
        options: how drives are read, and which of their scenes count.

    Raises:
        InputError: a single source that is none.
    """
    paths: list[Path] = []
    for source in sources:
        matches = [] if os.path.lexists(source) else sorted(glob.glob(str(source), recursive=True))
        for path in [Path(match) for match in matches] or [Path(source)]:
            try:
                paths += find_captures(path, options)
            except InputError:
                if len(sources) == 1 and len(matches) < 2:
                    raise
                paths.append(path)
    unique = list({os.path.abspath(path): path for path in paths}.values())
    return dict(zip(_names(unique), unique, strict=True))


def _names(paths: Sequence[Path]) -> list[str]:
    whole = [Path(os.path.abspath(path)) for path in paths]
    root = os.path.commonpath([path.parent for path in whole]) if whole else ""
    full = [path.relative_to(root) for path in whole]
    short = [name.with_suffix("") if path.is_file() else name for name, path in zip(full, whole, strict=True)]
    counts = Counter(short)
    return [(a if counts[a] == 1 else b).as_posix() for a, b in zip(short, full, strict=True)]


def fingerprint(path: Path) -> list[str]:
    """What tells a source from another: its name, and digests of what its cameras or points are; for a scene of a drive
    its name and what tells the drive from another."""
    if not os.path.lexists(path):
        return [f"{path.parent.name}/{path.name}", *_drive_digest(path.parent, os.getpid())]
    if is_capture(path):
        own = ("transforms.json", "capture.json")
        return [path.name, *(file_sha256(path / name) for name in own if (path / name).exists())]
    if path.is_file():
        return [path.name, file_sha256(path)]
    return [path.name, _listing(path)]


def stamp(path: Path) -> str:
    """What tells at a glance that a source has changed: sizes of its files, and of the file that it is, or of its
    ``transforms.json``, both ends. A copy has the same one. Empty where it cannot be read."""
    try:
        if not os.path.lexists(path):
            parts = [path.name, *_drive_digest(path.parent, os.getpid())]
        elif path.is_file():
            parts = [_ends(path)]
        else:
            own = [path / name for name in ("transforms.json", "capture.json")]
            parts = [_listing(path), *(_ends(file) for file in own if file.exists())]
    except OSError:
        return ""
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


def _ends(path: Path) -> str:
    """The size of a file, and a digest of how it begins and ends."""
    with path.open("rb") as file:
        digest, size = hashlib.sha256(file.read(_ENDS)), file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _ENDS))
        digest.update(file.read())
    return f"{size} {digest.hexdigest()}"


@lru_cache(maxsize=64)
def _drive_digest(path: Path, _process: int) -> tuple[str, ...]:
    """Asked once in a process, since each scene of a drive asks."""
    if path.is_file():
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _END))
            return (f"{size} bytes", hashlib.sha256(file.read()).hexdigest())
    return (_listing(path),) if path.is_dir() else ()


def _listing(path: Path) -> str:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listed = "\n".join(f"{file.relative_to(path).as_posix()} {file.stat().st_size}" for file in files)
    return hashlib.sha256(listed.encode()).hexdigest()

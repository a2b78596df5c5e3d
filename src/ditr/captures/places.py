"""The files that a capture names, found also where the name is nearly theirs."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ditr.captures.notes import Notes
from ditr.errors import InputError, few

__all__ = ["IMAGE_ENDINGS", "located"]

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".heic", ".heif", ".avif")
"""Endings that a name without one may stand for."""


def located(root: Path, name: str, endings: tuple[str, ...], notes: Notes) -> str:
    """The name of a file relative to ``root``, as it lies there; the name itself where nothing is near it.

    Tried in turn: the name as it is, with slashes for backslashes, in another case or another form of its accents,
    without the folders of another machine, and with one of ``endings``. What helped is noted.

    Raises:
        InputError: several files that the name may mean.
    """
    if not name.strip() or (root / name).is_file():
        return name
    plain = (_path_of(name) if name.lower().startswith("file:") else name).replace("\\", "/")
    for tail in _tails(plain):
        for found in (_lying(root, tail, ()), _lying(root, tail, endings)):
            if len(found) > 1:
                raise InputError(
                    root / plain,
                    f"there is no file with exactly this name; it may be {few(found, 4)}",
                    "Write the name exactly as that of the file, with its extension",
                )
            if found:
                notes.say("files", f"file names were matched to existing files: {_how(name, found[0])}", name)
                return found[0]
    return name


def _path_of(uri: str) -> str:
    parts = urlsplit(uri)
    return unquote(parts.netloc + parts.path)


def _plain(name: str) -> str:
    """The same for all ways to write a name that some file systems take for one."""
    return unicodedata.normalize("NFC", name).lower()


def _how(name: str, found: str) -> str:
    if name.replace("\\", "/") == found:
        return "backslashes are read as slashes"
    if PurePosixPath(name.replace("\\", "/")).suffix.lower() != PurePosixPath(found).suffix.lower():
        return "names without an extension"
    return "upper and lower case differ, or the folders are those of another machine"


def _tails(name: str) -> list[str]:
    """The name, and where it is absolute, its last parts: the folders of another machine are not here."""
    parts = PurePosixPath(name).parts
    absolute = name.startswith("/") or name[1:2] == ":"
    return ["/".join(parts[first:]) for first in range(1, len(parts))] if absolute else [name]


def _lying(root: Path, name: str, endings: tuple[str, ...]) -> list[str]:
    """Files below ``root`` of that name whatever its case, with one of ``endings`` if there are any."""
    folders = [PurePosixPath()]
    *above, last = PurePosixPath(name).parts or ("",)
    for part in above:
        if part == "..":
            folders = [folder / part for folder in folders]
            continue
        folders = [
            folder / inner
            for folder in folders
            for inner in _inside(root / folder, part)
            if (root / folder / inner).is_dir()
        ]
    found = []
    for folder in folders:
        for inner in sorted(_entries(root / folder)):
            stem, _, ending = inner.rpartition(".")
            wanted = (
                _plain(stem) == _plain(last) and f".{ending.lower()}" in endings
                if endings
                else _plain(inner) == _plain(last)
            )
            if wanted and (root / folder / inner).is_file():
                found.append(str(folder / inner))
    return found


def _inside(folder: Path, name: str) -> list[str]:
    return [inner for inner in _entries(folder) if _plain(inner) == _plain(name)]


def _entries(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []

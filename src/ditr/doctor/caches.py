"""What the cache holds, and taking it away: of files in the cache's folders, those that this package wrote.

Other files, other names and what links lead to are passed over, and so is what this user cannot remove.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants

from ditr.encoders.feature_cache import ABANDONED_SECONDS, ENCODER, cached_files, is_abandoned
from ditr.io.caches import kept
from ditr.io.wheel import WHEEL
from ditr.weights.saved_model import FILES

__all__ = ["Cache", "Kept", "describe_caches", "kept_things", "of_no_use", "remove", "unused_since"]

FEATURES, REMAINS = "image features", "remains"
_LONGEST_HEADER = 1 << 16
_OCTREE = re.compile(r"[0-9a-f]{64}\.safetensors")
"""Named by the digest of its points."""


@dataclass(frozen=True)
class Cache:
    """What is kept on disk to be used again: folder, bytes, whether it can be written to, and whether it is ditr's."""

    what: str
    folder: str
    exists: bool
    size: int
    writable: bool
    ours: bool


@dataclass(frozen=True)
class Kept:
    """One thing in a cache, or the features of one encoder.

    Attributes:
        what: its kind: "image features", "encoder wheel", "converted model", "octree", or "remains" of a process that
            was killed.
        name: the encoder, the wheel or the model.
        files: with the size in bytes of each.
        used: when it was used last, in seconds since the epoch; of features each file.
    """

    what: str
    name: str
    files: tuple[tuple[Path, int], ...]
    used: tuple[float, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(size for _, size in self.files)

    @property
    def last_used(self) -> float:
        """Seconds since the epoch."""
        return max(self.used)

    def part(self, chosen: Sequence[bool]) -> Kept | None:
        """What is chosen, one of ``chosen`` for each of ``used``; None where nothing is."""
        if not any(chosen) or all(chosen):
            return self if any(chosen) else None
        files = tuple(file for file, here in zip(self.files, chosen, strict=True) if here)
        return Kept(self.what, self.name, files, tuple(w for w, here in zip(self.used, chosen, strict=True) if here))


def kept_things(features: Path | None = None) -> list[Kept]:
    """What is kept in the cache folder, or in ``features``, a folder of features alone."""
    found = _features(kept("features") if features is None else features)
    if features is None:
        found += [*_wheels(kept("wheels")), *_models(kept("models")), *_octrees(kept("octrees"))]
    return found


def of_no_use(things: Sequence[Kept], limit: int) -> list[Kept]:
    """What killed writers left, and the features used longest ago that are more than ``limit`` bytes."""
    features = [thing for thing in things if thing.what == FEATURES]
    by_age = sorted(
        (used, size, path) for thing in features for used, (path, size) in zip(thing.used, thing.files, strict=True)
    )
    size, gone = sum(size for _, size, _ in by_age), set()
    for _, one, path in by_age:
        if size <= limit:
            break
        gone.add(path)
        size -= one
    parts = [thing.part([path in gone for path, _ in thing.files]) for thing in features]
    return [*(part for part in parts if part is not None), *(thing for thing in things if thing.what == REMAINS)]


def unused_since(things: Sequence[Kept], when: float) -> list[Kept]:
    """What was used last before ``when``, in seconds since the epoch; a wheel or a model goes whole or not at all."""
    parts = [
        thing.part([used < when for used in thing.used] if thing.what == FEATURES else [thing.last_used < when])
        for thing in things
    ]
    return [part for part in parts if part is not None]


def remove(things: Sequence[Kept]) -> list[Path]:
    """Remove the files of ``things``, and their folders where these are empty then.

    Returns:
        The files that could not be removed.
    """
    files = [path for thing in things for path, _ in thing.files]
    left = []
    # A model without its config is none: nobody takes one that is half gone.
    for path in sorted(files, key=lambda path: path.name != FILES[0]):
        try:
            path.unlink(missing_ok=True)
        except OSError:
            left.append(path)
    for folder in {path.parent for path in files}:
        with suppress(OSError):
            if folder.name not in ("wheels", "octrees"):
                folder.rmdir()
    return left


def describe_caches() -> tuple[Cache, ...]:
    """The cache's folders, and that of the hub's library."""
    titles = {
        "features": "image features",
        "wheels": "encoder wheel",
        "models": "converted models",
        "octrees": "octrees of clouds",
    }
    caches = [_describe(what, kept(kind), ours=True) for kind, what in titles.items()]
    return (*caches, _describe("hub", Path(constants.HF_HUB_CACHE), ours=False))


def _describe(what: str, folder: Path, *, ours: bool) -> Cache:
    size = 0
    for path in folder.rglob("*"):
        try:
            # Links of the hub's cache lead to files that are counted where they lie.
            size += 0 if path.is_symlink() or not path.is_file() else path.stat().st_size
        except OSError:
            continue
    return Cache(what, str(folder), folder.is_dir(), size, _is_writable(folder), ours)


def _is_writable(folder: Path) -> bool:
    """A file is really made, since permissions do not tell of full disks and read-only mounts; nothing of it stays."""
    there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), None)
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"ditr")
    except OSError:
        return False
    return True


def _features(folder: Path) -> list[Kept]:
    """By encoder, in the order of their names; then remains."""
    by_encoder: dict[tuple[str, str], list[tuple[Path, os.stat_result]]] = {}
    for path, status in cached_files(folder):
        if not path.name.startswith("."):
            by_encoder.setdefault((FEATURES, _made_by(path)), []).append((path, status))
        elif is_abandoned(path, status):
            by_encoder.setdefault((REMAINS, FEATURES), []).append((path, status))
    return [
        Kept(what, name, tuple((p, s.st_size) for p, s in found), tuple(s.st_mtime for _, s in found))
        for (what, name), found in sorted(by_encoder.items(), key=lambda item: item[0])
    ]


def _made_by(path: Path) -> str:
    """The encoder that an entry names."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= _LONGEST_HEADER else {}
        named = header.get("__metadata__", {}).get(ENCODER)
        return str(named or f"not recorded, {header['cls']['shape'][0]} channels")
    except PermissionError:
        return "cannot be read by this user"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return "damaged"


def _wheels(folder: Path) -> list[Kept]:
    here = [_whole("encoder wheel", WHEEL, [folder / WHEEL])]
    rests = [_whole(REMAINS, rest.name, [rest / WHEEL]) for rest in _abandoned(folder, ".download-*")]
    return [thing for thing in (*here, *rests) if thing is not None]


def _models(folder: Path) -> list[Kept]:
    found = []
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if not path.name.startswith(".") and not path.is_symlink() and (path / FILES[0]).is_file():
                found.append(_whole("converted model", path.name, [path / name for name in FILES]))
    rests = [_whole(REMAINS, p.name, [p / name for name in FILES]) for p in _abandoned(folder, ".*.part")]
    return [thing for thing in (*found, *rests) if thing is not None]


def _octrees(folder: Path) -> list[Kept]:
    names = sorted(path.name for path in folder.glob("*.safetensors") if _OCTREE.fullmatch(path.name))
    found = [_whole("octree", name[:12], [folder / name]) for name in names]
    return [thing for thing in found if thing is not None]


def _abandoned(folder: Path, pattern: str) -> list[Path]:
    """Folders that a killed process left."""
    found = []
    with suppress(OSError):
        for path in sorted(folder.glob(pattern)):
            if path.is_dir() and not path.is_symlink() and time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                found.append(path)
    return found


def _whole(what: str, name: str, paths: Sequence[Path]) -> Kept | None:
    """Of the files that there are. What is read is not written, so that the time of reading counts as well."""
    files, used = [], 0.0
    for path in paths:
        with suppress(OSError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                files.append((path, status.st_size))
                used = max(used, status.st_mtime, status.st_atime)
    return Kept(what, name, tuple(files), (used,)) if files else None

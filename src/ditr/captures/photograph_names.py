"""Which photograph of a scene an annotation is of, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ditr.errors import InputError, few
from ditr.scene import View

__all__ = ["find_views"]

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".heic"})


def find_views(views: Sequence[View], names: Sequence[str], where: str) -> list[View | None]:
    """For each name the view that it is of; None where there is none.

    Endings of images and folders may differ: of views whose names end alike, the one counts whose folders do, too.

    Args:
        views: of the scene.
        names: of photographs, with or without folders and ending.
        where: what errors call the annotations.

    Raises:
        InputError: several views may be meant by a name, or several names mean one view.
    """
    by_stem: dict[str, list[tuple[View, tuple[str, ...]]]] = {}
    for view in views:
        for parts in _spellings(view):
            by_stem.setdefault(parts[-1], []).append((view, parts))
    found: list[View | None] = []
    for name in names:
        parts = _parts(name)
        known = by_stem.get(parts[-1], [])
        agree = [_common(parts, other) for _, other in known]
        best = {view.name: view for (view, _), count in zip(known, agree, strict=True) if count == max(agree)}
        if len(best) > 1:
            fault = f"{name!r} may be the photograph {few(best, 3)}"
            raise InputError(where, fault, "Keep the folders of the photographs in the annotation")
        found.append(next(iter(best.values()), None))
    taken: dict[str, str] = {}
    for name, one in zip(names, found, strict=True):
        if one is not None and (before := taken.setdefault(one.name, name)) is not name:
            fault = f"{before!r} and {name!r} are both of the photograph {one.name}"
            raise InputError(where, fault, "Keep one annotation per photograph")
    return found


def _spellings(view: View) -> list[tuple[str, ...]]:
    """Ways in which tools may call a view; label images of ours have their folders in one name."""
    paths = [view.name, view.name.replace("/", "_"), str(view.extra.get("file_path", ""))]
    if isinstance(view.image, Path):
        paths.append(str(view.image))
    return list(dict.fromkeys(_parts(path) for path in paths if path))


def _parts(name: str) -> tuple[str, ...]:
    """Folders and name in small letters, without the endings of images."""
    path = PurePosixPath(name.replace("\\", "/").lower())
    while path.suffix in _SUFFIXES and path.stem:
        path = path.with_suffix("")
    return path.parts or ("",)


def _common(one: tuple[str, ...], two: tuple[str, ...]) -> int:
    """How many parts are the same from the end."""
    pairs = zip(reversed(one), reversed(two), strict=False)
    count = 0
    for a, b in pairs:
        if a != b:
            break
        count += 1
    return count

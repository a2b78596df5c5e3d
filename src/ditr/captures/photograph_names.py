"""Which photograph of a scene is meant by a name: of an annotation, or of whoever clicks or measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ditr.errors import InputError, few
from ditr.scene import View

__all__ = ["find_views", "view_called"]

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".heic"})


class _Names:
    """The names of views, as tools and people may write them."""

    def __init__(self, views: Sequence[View]) -> None:
        self._by_stem: dict[str, list[tuple[View, tuple[str, ...]]]] = {}
        for view in views:
            for parts in _spellings(view):
                self._by_stem.setdefault(parts[-1], []).append((view, parts))

    def like(self, name: str) -> tuple[list[View], int]:
        """The views that are called so but for endings of images and for folders, without those that have fewer of the
        name's folders than another; and how many parts of the name they have."""
        parts = _parts(name)
        known = self._by_stem.get(parts[-1], [])
        agree = [_common(parts, other) for _, other in known]
        most = max(agree, default=0)
        best = {view.name: view for (view, _), count in zip(known, agree, strict=True) if count == most}
        return list(best.values()), most


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
    known = _Names(views)
    found: list[View | None] = []
    for name in names:
        best, _ = known.like(name)
        if len(best) > 1:
            fault = f"{name!r} may be the photograph {few([view.name for view in best], 3)}"
            raise InputError(where, fault, "Keep the folders of the photographs in the annotation")
        found.append(best[0] if best else None)
    taken: dict[str, str] = {}
    for name, one in zip(names, found, strict=True):
        if one is not None and (before := taken.setdefault(one.name, name)) is not name:
            fault = f"{before!r} and {name!r} both belong to the photograph {one.name}"
            raise InputError(where, fault, "Keep one annotation per photograph")
    return found


def view_called(views: Sequence[View], name: str) -> View | None:
    """The view of this name, or the one of that is called so but for the ending of its image and for folders that are
    left out; None where there is none or several are.

    Args:
        views: of the scene.
        name: of a photograph. Folders that it has have to be those of the photograph.
    """
    exact = next((view for view in views if view.name == name), None)
    if exact is not None:
        return exact
    best, agree = _Names(views).like(name)
    if agree < len(_parts(name)):
        return None
    files = [view for view in best if Path(_slashes(name)).name in (Path(_slashes(one)).name for one in _paths(view))]
    found = best if len(best) == 1 else files
    return found[0] if len(found) == 1 else None


def _paths(view: View) -> list[str]:
    """Ways in which tools may call a view; label images of ours have their folders in one name."""
    paths = [view.name, view.name.replace("/", "_"), str(view.extra.get("file_path", ""))]
    if isinstance(view.image, Path):
        paths.append(str(view.image))
    return [path for path in paths if path]


def _spellings(view: View) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(map(_parts, _paths(view))))


def _slashes(name: str) -> str:
    return name.replace(chr(92), "/")


def _parts(name: str) -> tuple[str, ...]:
    """Folders and name in small letters, without the endings of images."""
    path = PurePosixPath(_slashes(name).lower())
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

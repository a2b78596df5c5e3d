"""What several commands share: parsing of options, the encoder with its cache."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ditr.captures.capture import read_capture
from ditr.captures.drives import open_drive
from ditr.captures.formats import is_capture
from ditr.cli.output import remark
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import FeatureCache
from ditr.errors import Finding, Grade, InputError, counted
from ditr.geometry.upright_views import upright_views
from ditr.inference.scene_labels import judged as library_judged
from ditr.io.caches import kept
from ditr.io.files import require_room
from ditr.runtime import choose_device, progress_bar
from ditr.scene import ReadOptions, Scene

__all__ = [
    "each_sweep",
    "encode_captures",
    "folder_for",
    "judged",
    "make_cache",
    "make_encoding",
    "require_new",
    "say_finding",
]


def make_cache(folder: Path | None, *, use_cache: bool = True) -> FeatureCache | None:
    """The cache of image features in ``folder``, or in the user's cache folder."""
    return FeatureCache(folder or kept("features")) if use_cache else None


def make_encoding(
    spec: str, folder: Path | None, *, use_cache: bool, device: str, precision: str | None = None
) -> CachedEncoding:
    """An encoder with its cache."""
    return CachedEncoding(spec, make_cache(folder, use_cache=use_cache), choose_device(device), precision=precision)


def each_sweep(source: Path, out: Path | None, results: str, options: ReadOptions) -> list[tuple[Path, Path | None]]:
    """What is worked on in turn, with the folders of the results: each scene of a drive, or each capture in a folder of
    captures, in a folder of its name.

    Args:
        source: a capture, a folder of captures, or a drive.
        out: folder of the results that is asked for.
        results: what they are, for the name of a drive's folder.
        options: how the source is read.

    Raises:
        InputError: a drive that cannot be opened.
    """
    drive = None if is_capture(source) else open_drive(source, options)
    if drive is not None:
        name, paths = drive.name, drive.paths()
    elif not is_capture(source) and (inner := sorted(path.parent for path in source.glob("*/transforms.json"))):
        name, paths = source.resolve().name, inner
    else:
        return [(source, out)]
    folder = out or Path(f"{name}-{results}")
    return [(path, folder / path.name) for path in paths]


def folder_for(
    path: Path, names: Sequence[str] = (), *, overwrite: bool = True, needed: int = 0, option: str = "--out"
) -> Path:
    """``path``, where a folder of results can be written; asked before the work and not after it.

    Args:
        path: the folder, or where it will be.
        names: that results have.
        overwrite: whether earlier results may be replaced.
        needed: bytes that they take at least.
        option: that names another folder; "" where it is an argument.

    Raises:
        InputError: a file of that name, earlier results in it that may not be replaced, or too little room.
        OSError: it cannot be written.
    """
    if path.exists() and not path.is_dir():
        raise InputError(path, "it is a file", "Name a folder for the results")
    require_new([path / name for name in names], overwrite=overwrite, option=option)
    require_room(path, needed)
    return path


def require_new(paths: Iterable[Path], *, overwrite: bool, option: str = "") -> None:
    """Earlier results are replaced where that is wanted, and nowhere else; ``option`` names another place.

    Raises:
        InputError: there are some.
    """
    # Several kinds of results may have a file of the same name.
    there = [path for path in dict.fromkeys(paths) if path.exists()]
    if there and not overwrite:
        more = (
            ""
            if len(there) == 1
            else f", and so {'does' if len(there) == 2 else 'do'} {counted(len(there) - 1, 'other')}"
        )
        place = f"another place with {option}" if option else "another place"
        raise InputError(there[0], f"it already exists{more}", f"Name {place}, or replace it with --overwrite")


def say_finding(finding: Finding) -> None:
    """A note with the results, a warning on its own."""
    if finding.grade is Grade.NOTED:
        remark(f"note: {finding}")
    else:
        print(f"ditr: warning: {finding}", file=sys.stderr, flush=True)


def judged(
    scene: Scene,
    *,
    force: bool,
    photographs: bool = True,
    needs_unit: bool = True,
    said: set[str] | None = None,
) -> Scene:
    """The scene with what the judge found, after it has been said: notes with the results, warnings on their own.

    Args:
        scene: to be looked at.
        force: go on with what is implausible.
        photographs: whether they count.
        needs_unit: whether the work needs metres.
        said: texts of what was said of other scenes, and is not said again; what is said now is added.

    Raises:
        InputError: something is refused, and not forced; or photographs (where they count) or depth maps are damaged.
    """
    scene = library_judged(scene, force=force, photographs=photographs, needs_unit=needs_unit)
    for grade in (Grade.NOTED, Grade.WARNED, Grade.REFUSED):
        for finding in scene.findings:
            if finding.grade is grade and (said is None or str(finding) not in said):
                say_finding(finding)
    if said is not None:
        said.update(map(str, scene.findings))
    return scene


def encode_captures(encoding: CachedEncoding, captures: Sequence[Path], *, reading: ReadOptions) -> None:
    """Fill the cache with the photographs of captures, with progress."""
    if encoding.cache is None:
        return
    with progress_bar(f"encode with {encoding.encoder.name}") as report:
        for index, capture in enumerate(captures):
            scene = read_capture(capture, reading)
            encoding.encode(upright_views(scene, scene.views))
            report(index + 1, len(captures))

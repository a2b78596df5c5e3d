"""The official download of nuScenes: tables and files of keyframes, its check, and the lists that are made of it."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ditr.datasets.nuscenes.drive import COPIED, Drive
from ditr.datasets.nuscenes.facts import DOWNLOAD, KEYFRAMES, MINI_VAL, VAL, VERSIONS
from ditr.datasets.nuscenes.keyframes import Keyframe, Keyframes, keyframe
from ditr.datasets.nuscenes.prepared import list_name
from ditr.datasets.nuscenes.tables import Tables, check_categories, read_tables
from ditr.datasets.raw import PrepareOptions, RawFormat, RawPiece
from ditr.errors import InputError, few, nearest
from ditr.io.files import atomic_path, faults_of, read_bytes
from ditr.scene import SceneSource

__all__ = ["RAW", "RawNuScenes", "open_download"]

_LAYOUT = "a folder with v1.0-trainval (or v1.0-test, v1.0-mini), samples, sweeps and lidarseg"
_PARTS = {
    "v1.0-trainval": "v1.0-trainval01_blobs to v1.0-trainval10_blobs",
    "v1.0-test": "v1.0-test_blobs",
    "v1.0-mini": "v1.0-mini",
}


@dataclass(frozen=True)
class RawNuScenes:
    """See :class:`~ditr.datasets.raw.RawDataset`."""

    root: Path
    tables: tuple[Tables, ...]
    drives: tuple[Drive, ...]

    @property
    def pieces(self) -> Sequence[RawPiece]:
        return self.drives

    def check(self) -> Iterator[InputError]:
        """Rows of tables that lead nowhere, too few keyframes, and by folder the files that are missing."""
        for table in self.tables:
            yield from table.faults
            scenes, keyframes = KEYFRAMES[table.folder.name]
            if table.scenes == scenes and table.samples != keyframes:
                fault = f"it has {table.samples:,} keyframes, but {table.folder.name} should have {keyframes:,}"
                yield InputError(table.folder / "sample.json", fault, "Unpack the archive of metadata again")
        yield from self._missing()

    def _missing(self) -> Iterator[InputError]:
        there: dict[str, set[str]] = {}
        wanted: Counter[tuple[str, str]] = Counter()
        missing: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for drive in self.drives:
            for name in (name for frame in drive.frames for name in frame.files):
                folder, base = os.path.split(name)
                if folder not in there:
                    path = self.root / folder
                    there[folder] = set(os.listdir(path)) if path.is_dir() else set()
                wanted[folder, drive.version] += 1
                if base not in there[folder]:
                    missing.setdefault((folder, drive.version), []).append((base, drive.name))
        for (folder, version), files in sorted(missing.items()):
            count = f"{len(files):,} of {wanted[folder, version]:,} files of {version}"
            drives = few(dict.fromkeys(drive for _, drive in files), 5)
            part = "nuScenes-lidarseg" if PurePosixPath(folder).parts[0] == "lidarseg" else _PARTS[version]
            remedy = f"A part of the download ({part}) is probably not unpacked here; it affects {drives}"
            yield InputError(self.root / folder, f"{count} are missing, such as {files[0][0]}", remedy)

    def finish(self, out: Path, pieces: Sequence[RawPiece]) -> None:
        """Link ``raw`` to the download, or to the copies, and write the list of each split.

        Raises:
            InputError: ``raw`` is a folder of something else, or links to another download that other lists need.
        """
        wanted = {piece.name for piece in pieces}
        drives = [drive for drive in self.drives if drive.name in wanted]
        if not drives:
            return
        splits = list(dict.fromkeys(drive.split for drive in drives))
        _link(out, Path(COPIED) if drives[0].copy else self.root.resolve(), self.root, splits)
        for split in splits:
            parts = (read_bytes(drive.places[-1].below(out)) for drive in drives if drive.split == split)
            _join(parts, out / "info" / list_name(split))

    def source(self, splits: Sequence[str], images: bool) -> SceneSource:
        """The keyframes of some splits, straight from the download.

        Raises:
            InputError: there is no such split, or something is wrong with rows of a drive.
        """
        _require(splits, {drive.split for drive in self.drives}, self.root)
        drives = [drive for split in splits for drive in self.drives if drive.split == split]
        return Keyframes(tuple(frame for drive in drives for frame in self._keyframes(drive, images)))

    def _keyframes(self, drive: Drive, images: bool) -> Iterator[Keyframe]:
        for fault in drive.row_faults:
            raise fault
        for entry in drive.entries(None):
            try:
                yield keyframe(entry, self.root, self.root if images else None)
            except (ValueError, np.linalg.LinAlgError) as fault:
                remedy = "Unpack the archive of metadata again"
                raise InputError(self.root / drive.version, f"{drive.name} cannot be read ({fault})", remedy) from None


def recognises(root: Path) -> bool:
    """Whether a folder is the download, or a part of it."""
    tables = any((root / version / "sample_data.json").is_file() for version in VERSIONS)
    return tables or (root / "samples" / "LIDAR_TOP").is_dir()


def open_download(root: Path, options: PrepareOptions) -> RawNuScenes:
    """Read the tables of all versions that are there, or of those that have the wanted splits.

    Raises:
        InputError: no tables, damaged ones, those from before lidarseg, or no such split.
    """
    if options.every is not None:
        raise InputError("--every", "the keyframes of nuScenes are already chosen, two per second", "Leave it out")
    there = [version for version in VERSIONS if (root / version).is_dir()]
    if not there:
        raise InputError(root, f"there are no tables here ({', '.join(VERSIONS)})", _where_else(root))
    wanted = options.splits or tuple(split for version in there for split in VERSIONS[version])
    _require(wanted, {split for version in there for split in VERSIONS[version]}, root)
    versions = [version for version in there if set(VERSIONS[version]) & set(wanted)]
    for version in versions:
        if version != "v1.0-test":
            _require_labels(root, version)
    tables = [read_tables(root / name, _wanted(name, wanted), labels=name != "v1.0-test") for name in versions]
    drives = tuple(drive for table in tables for drive in _drives(root, table, options))
    return RawNuScenes(root, tuple(tables), drives)


def _where_else(root: Path) -> str:
    """What to do about a folder without tables."""
    inside = next((path.parent for version in VERSIONS for path in sorted(root.glob(f"*/{version}"))), None)
    if inside is not None:
        return f"Give {inside}, which has some"
    archives = sorted(path.name for path in root.glob("*.t*gz"))
    return f"Unpack {few(archives, 3)} here first" if archives else f"The expected layout is {_LAYOUT}"


def _drives(root: Path, tables: Tables, options: PrepareOptions) -> Iterator[Drive]:
    version = tables.folder.name
    for rows in tables.drives:
        name = f"mini-{rows.name}" if version == "v1.0-mini" else rows.name
        split = _split(version, rows.name)
        yield Drive(name, split, root, version, rows, labelled=version != "v1.0-test", copy=options.copy)


def _wanted(version: str, splits: Collection[str]) -> Callable[[str], bool]:
    return lambda scene: _split(version, scene) in splits


def _split(version: str, scene: str) -> str:
    """Of a scene: versions say it for the test split alone, and val is told apart by name."""
    first, last = VERSIONS[version][0], VERSIONS[version][-1]
    return last if scene in (MINI_VAL if version == "v1.0-mini" else VAL) else first


def _require(splits: Iterable[str], there: set[str], root: Path) -> None:
    for split in splits:
        if split not in there:
            near = nearest(split, there)
            hint = f"Did you mean {near}?" if near else f"This folder has {', '.join(sorted(there))}"
            raise InputError(root, f"there is no split {split!r} here", hint)


def _require_labels(root: Path, version: str) -> None:
    """See that nuScenes-lidarseg was unpacked here.

    Raises:
        InputError: it was not.
    """
    check_categories(root / version)
    path = root / version / "lidarseg.json"
    if not path.is_file():
        fault = "there is no such file; the labels of nuScenes-lidarseg are missing"
        raise InputError(path, fault, "Download nuScenes-lidarseg and unpack it here, or give --splits test")


def _join(parts: Iterable[bytes], path: Path) -> None:
    """One JSON list of several, a row a line."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        before = b"[\n"
        for part in parts:
            file.write(before + part.strip()[1:-1].strip())
            before = b",\n"
        file.write(b"\n]\n")


def _link(out: Path, target: Path, download: Path, splits: Collection[str]) -> None:
    """Let ``raw`` link to a folder, in place of what it linked to before.

    Raises:
        InputError: it is a folder, and not the download's own; or lists of other splits need what it links to.
    """
    link = out / "raw"
    if link.exists() and not link.is_symlink():
        if link.samefile(download):
            return
        raise InputError(link, "this folder already exists and is not the download", "Move it away or name another OUT")
    names = {list_name(split): split for version in VERSIONS for split in VERSIONS[version]}
    others = [split for name, split in names.items() if split not in splits and (out / "info" / name).exists()]
    if others and link.is_symlink() and link.readlink() != target:
        fault = f"it links to {link.readlink()}, which the lists of {', '.join(others)} need, and not to {target}"
        raise InputError(link, fault, "Prepare all splits with the same options and download, or name another OUT")
    temporary = link.with_name(f".raw-{secrets.token_hex(4)}")
    with faults_of(link, temporary):
        temporary.symlink_to(target, target_is_directory=True)
        os.replace(temporary, link)


RAW = RawFormat(recognises=recognises, open=open_download, download=DOWNLOAD, layout=_LAYOUT)

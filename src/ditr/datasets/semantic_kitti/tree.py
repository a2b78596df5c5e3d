"""Where the parts of a sequence lie in a download, which comes in several archives."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ditr.captures.kitti_calibration import calibration
from ditr.datasets.semantic_kitti.facts import CAMERAS, SCANS
from ditr.errors import InputError

__all__ = ["IMAGES", "LABELS", "SWEEPS", "SequenceFiles", "find_sequences", "sequence_folders"]

SWEEPS, LABELS, IMAGES = "velodyne", "labels", CAMERAS[0]
_SUFFIXES = {SWEEPS: ".bin", LABELS: ".label", IMAGES: ".png"}
_COLOR = "_color"
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class SequenceFiles:
    """The files of a sequence, which may come from several folders.

    Attributes:
        number: of the sequence.
        folders: ``velodyne``, ``labels`` and ``image_2``, as far as they hold such files.
        texts: ``calib.txt``, ``poses.txt`` and ``times.txt``, as far as they are there.
    """

    number: int
    folders: Mapping[str, Path] = field(default_factory=dict)
    texts: Mapping[str, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.number:02d}"

    def sizes(self, part: str) -> dict[str, int]:
        """Bytes of each file of a part, by the number in its name, sorted; empty where the part is not there.

        Raises:
            InputError: a name that is not a number of six digits.
        """
        found = {}
        folder = self.folders.get(part)
        for stem, entry in () if folder is None else _numbered(folder, _SUFFIXES[part]):
            if len(stem) != 6:
                raise InputError(entry.path, "the number in its name has not six digits", "Remove the file")
            try:
                found[stem] = entry.stat().st_size
            except OSError as error:
                fault = f"the file cannot be read ({error.strerror})"
                raise InputError(entry.path, fault, "Download it again") from None
        return dict(sorted(found.items()))

    def file(self, part: str, stem: str) -> Path:
        """The path of a file of a part that is there."""
        return self.folders[part] / f"{stem}{_SUFFIXES[part]}"


def find_sequences(root: Path) -> list[SequenceFiles]:
    """The sequences of a download, of which some parts may lack.

    Parts are looked for in the folder itself, in the folders in it (archives that were unpacked side by side) and in
    the one beside it that ends in ``_color``.
    """
    roots = _roots(root)
    found = []
    for number in SCANS:
        places = [place for root in roots if (place := root / f"{number:02d}").is_dir()]
        folders = {part: folder for part in _SUFFIXES if (folder := _first_with(places, part)) is not None}
        texts = {name: path for name in ("poses.txt", "times.txt") if (path := _first_text(places, name)) is not None}
        if (path := _calibration_of(places)) is not None:
            texts["calib.txt"] = path
        if folders:
            found.append(SequenceFiles(number, folders, dict(sorted(texts.items()))))
    return found


def sequence_folders(root: Path) -> list[Path]:
    """The folders ``SS`` that lie in a folder as the archives have them, without looking into folders in it."""
    sequences = _sequences(root)
    return [] if sequences is None else [path for number in SCANS if (path := sequences / f"{number:02d}").is_dir()]


def _roots(root: Path) -> list[Path]:
    """The folders of sequences, the one of the folder itself first."""
    beside = root.with_name(root.name + _COLOR)
    inside = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    inside = [path for path in inside if not _is_prepared(path)]
    found: list[Path] = []
    for base in (root, *inside, beside):
        sequences = _sequences(base)
        if sequences is not None and sequences not in found:
            found.append(sequences)
    return found


def _is_prepared(folder: Path) -> bool:
    """Whether it was written by ``ditr prepare``: such a folder is not a download, even if it lies in one."""
    return any(
        (folder.with_name(name) / _MANIFEST).exists() for name in (folder.name, folder.name.removesuffix(_COLOR))
    )


def _sequences(base: Path) -> Path | None:
    inner = [base / "dataset" / "sequences", base / "sequences"]
    candidates = [*inner, base] if base.name == "sequences" else inner
    return next((path for path in candidates if path.is_dir()), None)


def _first_with(places: list[Path], part: str) -> Path | None:
    """The first folder of a part that holds a file of it."""
    suffix = _SUFFIXES[part]
    folders = (place / part for place in places)
    return next((folder for folder in folders if next(_numbered(folder, suffix), None) is not None), None)


def _numbered(folder: Path, suffix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Files ``NUMBER{suffix}`` of a folder, unsorted; none where there is no folder."""
    if folder.is_dir():
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, ending = os.path.splitext(entry.name)
                if ending == suffix and stem.isascii() and stem.isdecimal():
                    yield stem, entry


def _first_text(places: list[Path], name: str) -> Path | None:
    """A list that lies in the sequence, or in ``poses`` beside the sequences, as KITTI's archive of poses has it."""
    paths = [place / name for place in places]
    if name == "poses.txt":
        paths += [place.parent.parent / "poses" / f"{place.name}.txt" for place in places]
    return next((path for path in paths if path.is_file()), None)


def _calibration_of(places: list[Path]) -> Path | None:
    """The first calibration that knows the LiDAR, or else the first one: that beside the photographs knows it not."""
    paths = [path for place in places if (path := place / "calib.txt").is_file()]
    whole = (path for path in paths if any(name.startswith("Tr") for name in calibration(path)))
    return next(whole, next(iter(paths), None)) if len(paths) > 1 else next(iter(paths), None)

"""nuScenes as it is prepared for training: lists of keyframes, and the unpacked dataset.

``nuscenes/info/nuscenes_infos_10sweeps_{train,val,test}`` is a list of dictionaries, and ``nuscenes/raw`` the dataset
with ``samples``, ``sweeps`` and ``lidarseg``. The list is JSON (``ditr prepare``) or a pickle (the published code's and
Pointcept's preparation), which is read as data. The cameras' poses account for the way between the two moments.

The pickle of the whole training split takes half a minute to read; only what is needed of a list is kept. The order is
the list's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ditr.datasets.arrays import need, need_folder
from ditr.datasets.benchmark import Images, images_beside
from ditr.datasets.nuscenes.keyframes import LAYOUT, Keyframe, Keyframes, keyframe
from ditr.errors import InputError
from ditr.io.json_rows import json_rows
from ditr.io.pickle_reader import read_pickle_file

__all__ = ["list_name", "open_nuscenes"]

_AGAIN = "Prepare it again, with ditr prepare or the published code"


def list_name(split: str) -> str:
    """The file of a split in ``info``; as published, but JSON."""
    return f"nuscenes_infos_10sweeps_{split}.json"


def open_nuscenes(root: Path, splits: Sequence[str], images: Images) -> Keyframes:
    """The keyframes of ``train``, ``val`` or ``test``; the images lie in ``raw`` with the points.

    Raises:
        InputError: a missing list, one that is not a list of keyframes, or one that was made without cameras.
    """
    raw = root / "raw"
    if raw.is_symlink() and not raw.exists():
        fault = f"it links to the download {raw.readlink()}, which does not exist"
        raise InputError(raw, fault, "Move it back, or run ditr prepare with its new path")
    need_folder(raw, "the unpacked dataset", LAYOUT)
    folder = raw if images is True else images_beside(root, images, "")
    lists = [_list(root / "info", split) for split in splits]
    return Keyframes(tuple(frame for path in lists for frame in _keyframes(path, raw, folder)))


def _list(info: Path, split: str) -> Path:
    """The list of a split; where there are both, the one that this package wrote."""
    path = info / list_name(split)
    published = path.with_suffix(".pkl")
    if not path.exists() and published.exists():
        return published
    need([path], LAYOUT)
    return path


def _keyframes(path: Path, raw: Path, images: Path | None) -> Iterator[Keyframe]:
    number, labels = -1, (raw / "lidarseg").is_dir()
    first: bool | None = None
    for number, entry in enumerate(_entries(path)):
        if images is not None and isinstance(entry, dict) and "cams" not in entry:
            fault = f"entry {number} has no cameras (cams), since the list was made without cameras"
            raise InputError(
                path,
                fault,
                "Prepare it again, with ditr prepare or with the camera flag of the published code, or read no images",
            )
        labelled = isinstance(entry, dict) and entry.get("gt_segment_path") is not None
        first = labelled if first is None else first
        if labelled != first:
            with_, others = ("labels", "none") if labelled else ("no labels (gt_segment_path)", "some")
            raise InputError(path, f"entry {number} has {with_}, but earlier entries have {others}", _AGAIN)
        try:
            yield keyframe(entry, raw, images, labels=labels)
        except (KeyError, TypeError, ValueError, AttributeError, np.linalg.LinAlgError) as fault:
            what = f"entry {number} is not a sweep with its cameras ({type(fault).__name__}: {fault})"
            raise InputError(path, what, _AGAIN) from None
    if number < 0:
        raise InputError(path, "this list of sweeps is empty", _AGAIN)


def _entries(path: Path) -> Iterator[Any]:
    if path.suffix == ".json":
        return (row.values for row in json_rows(path, _AGAIN))
    entries = read_pickle_file(path)
    if not isinstance(entries, list):
        raise InputError(path, "this is not a list of sweeps", _AGAIN)
    return iter(entries)

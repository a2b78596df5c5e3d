"""A submission to the server of a benchmark: every scene of its test split labelled, kept, packed and checked.

The labels of a scene are written as soon as it is labelled, so that work of days goes on where it was stopped.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.datasets.submission import Archive, Fault, SubmissionFormat
from ditr.errors import InputError
from ditr.evaluation.counts import Counts
from ditr.evaluation.kept import claim, label_scene, of_model, of_votes, read_scene
from ditr.evaluation.voting import Voting
from ditr.inference.segmenter import Segmenter
from ditr.io.array_file import map_array
from ditr.io.files import atomic_path, write_array
from ditr.io.locks import FolderLock
from ditr.runtime import release_memory
from ditr.scene import SceneSource

__all__ = ["Labelled", "label_split", "pack", "score"]

_OF = "predictions.json"
_BYTES = 16
"""A label takes at most so many bytes in any format."""
_DATE = (1980, 1, 1, 0, 0, 0)
"""Of all members: the same labels make the same archive."""


@dataclass(frozen=True)
class Labelled:
    """Labels of a split, in files.

    Attributes:
        folder: with ``SCENE.npy``, (N,) classes.
        points: how many each scene has, by name.
        kept: how many scenes had been labelled before.
    """

    folder: Path
    points: Mapping[str, int]
    kept: int

    def label(self, scene: str) -> NDArray[np.int32]:
        """(N,) classes of a scene."""
        stored = np.load(_file(self.folder, scene), allow_pickle=False)
        return np.asarray(stored, np.int32)


def label_split(
    segmenter: Segmenter,
    source: SceneSource,
    votes: Voting,
    folder: Path,
    *,
    weights: Path,
    settings: Mapping[str, Any],
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Labelled:
    """Label the scenes of ``source`` that ``folder`` has no labels of.

    Args:
        segmenter: the model.
        source: the scenes; they need no labels.
        votes: the procedure.
        folder: of the labels; ``predictions.json`` says whose they are.
        weights: the model's file, by whose digest labels are told apart.
        settings: what else tells them apart, in plain values.
        seed: of everything that is drawn.
        progress: called with the number of scenes done and their total.

    Raises:
        InputError: a folder with labels of something else or in which another process works, or scenes that do not fit
            the model.
    """
    points: dict[str, int] = {}
    kept = 0
    names = source.names()
    classes = len(segmenter.config.class_names)
    with FolderLock(folder):
        claim(folder / _OF, {**settings, **of_model(weights), **of_votes(votes), "seed": seed})
        for index, name in enumerate(names):
            path = _file(folder, name)
            count = _count(path, classes)
            # Counted in the scene itself: labels of one that has changed since are not taken for its own.
            if count is not None and count == len(source.scene(index)):
                kept += 1
            else:
                scene = read_scene(source, index, segmenter.config.class_names, labelled=False)
                label = label_scene(segmenter, scene, votes, seed)
                write_array(path, label.astype(np.min_scalar_type(classes - 1)))
                count = len(label)
                release_memory()
            points[name] = count
            if progress is not None:
                progress(index + 1, len(names))
    return Labelled(folder, points, kept)


def pack(
    labelled: Labelled,
    form: SubmissionFormat,
    split: str,
    out: Path,
    *,
    images: bool,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the archive that the server takes, whole or not at all; the same labels make the same bytes.

    Args:
        labelled: the labels.
        form: what the server takes.
        split: that they are of.
        out: the archive.
        images: whether the model takes photographs.
        progress: called with the number of scenes done and their total.

    Raises:
        OSError: it cannot be written; the error names it.
    """
    scenes = list(labelled.points)
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in form.others(scenes, split, images=images).items():
            archive.writestr(_entry(name), content)
        for done, scene in enumerate(scenes, start=1):
            archive.writestr(_entry(form.member(scene, split)), form.content(labelled.label(scene)))
            if progress is not None:
                progress(done, len(scenes))


def score(
    archive: Archive,
    form: SubmissionFormat,
    source: SceneSource,
    split: str,
    counts: Counts,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Compare anybody's archive with labels that are known, on every original point.

    Args:
        archive: opened.
        form: what the server takes.
        source: the scenes of the split, with labels.
        split: that the archive is of.
        counts: to which the points are added.
        progress: called with the number of scenes done and their total.

    Raises:
        InputError: a scene without labels or without a file in the archive, or a file that does not fit it.
    """
    for index, name in enumerate(source.names()):
        scene = source.scene(index)
        if scene.label is None:
            raise InputError(f"{source.name}/{name}", "its points have no labels", "Score on a split with labels: val")
        counts.update(scene, _given(archive, form, form.member(name, split), len(scene)), outside=True)
        if progress is not None:
            progress(index + 1, len(source))


def _given(archive: Archive, form: SubmissionFormat, member: str, points: int) -> NDArray[np.int32]:
    """(N,) the classes that an archive has for a scene."""
    if member not in archive.names:
        raise InputError(member, "it is not in the archive", "Label the scene, or name its split with --split")
    content = archive.read(member, _BYTES * points + 1024)
    label = content if isinstance(content, Fault) else form.labels(member, content)
    if isinstance(label, Fault):
        raise InputError(member, label.what, label.remedy)
    if len(label) != points:
        raise InputError(member, f"it has {len(label)} labels for {points} points", "Label the scene again")
    return label


def _file(folder: Path, scene: str) -> Path:
    """Of the labels of a scene, whose name comes from a list that anybody may have made."""
    if Path(scene).name != scene:
        raise InputError(scene, "this scene name cannot be a file name", "Prepare the dataset again")
    return folder / f"{scene}.npy"


def _count(path: Path, classes: int) -> int | None:
    """How many labels a file has that was kept; None where there is none, or something else."""
    try:
        label = np.array(map_array(path, "the labels", "Label the scene again"))
    except InputError:
        return None
    fits = label.ndim == 1 and label.dtype.kind == "u" and len(label) > 0 and label.max() < classes
    return len(label) if fits else None


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    if name.endswith("/"):
        entry.external_attr = (0o40755 << 16) | 0x10
    else:
        entry.external_attr = 0o100644 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
    return entry

"""Captures with the labels that scenes got, for training to go on from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ditr.captures.capture import write_capture
from ditr.errors import InputError, few
from ditr.inference.prediction import Prediction
from ditr.io.files import atomic_folder, write_json
from ditr.io.json_file import read_json
from ditr.scene import Scene

__all__ = ["LabelledCaptures", "labelled_scene"]

_MADE = "made.json"
"""Beside a capture's own files: with what its labels were made. A capture without it is somebody's own."""


def labelled_scene(prediction: Prediction) -> Scene:
    """The scene with the labels that it got, without views that a capture cannot hold, as their pose is unknown."""
    scene = prediction.scene
    views = tuple(view for view in scene.posed_views if not view.cut_top)
    return replace(scene, label=prediction.label, class_names=prediction.class_names, views=views)


@dataclass(frozen=True)
class LabelledCaptures:
    """A folder of captures, one for each scene that got labels; a scene of which no point has one has none.

    Attributes:
        folder: of the captures.
        overwrite: whether those whose labels were made otherwise may be replaced.
    """

    folder: Path
    overwrite: bool = False

    def path(self, name: str) -> Path:
        """Of the capture of a scene: directly in the folder, where `ditr train` looks for captures."""
        return self.folder / name.replace("/", "_")

    def require(self, names: Iterable[str]) -> None:
        """Refuse names of scenes that would be those of the same capture.

        Raises:
            InputError: there are such.
        """
        of = defaultdict(list)
        for name in names:
            of[self.path(name)].append(name)
        if twice := [names for names in of.values() if len(names) > 1]:
            fault = f"{few(twice[0], 3)} would be written as the same capture"
            raise InputError(self.folder, fault, "Rename one of them, or label them in two runs with different folders")

    def has(self, name: str, made: Mapping[str, Any]) -> bool:
        """Whether a scene's capture is there, with labels that were made so."""
        return bool(self._made(name) == made)

    def _made(self, name: str) -> Any:
        try:
            return read_json(self.path(name) / _MADE)
        except InputError:
            return None

    def write(self, name: str, prediction: Prediction, made: Mapping[str, Any]) -> None:
        """Write a scene's capture, whole or not at all.

        Raises:
            InputError: what captures cannot hold, or it holds another capture.
            OSError: it cannot be written.
        """
        path, before = self.path(name), self._made(name)
        if path.exists() and before != made and not (self.overwrite and before is not None):
            what = (
                "it holds another capture"
                if before is None
                else "its labels were made with another model or other options"
            )
            remedy = "Name another folder" if before is None else "Name another folder, or replace it with --overwrite"
            raise InputError(path, what, remedy)
        if not np.any(prediction.label >= 0):
            return
        with atomic_folder(path) as new:
            write_capture(labelled_scene(prediction), new)
            write_json(new / _MADE, dict(made))

"""What was decided about each capture of a run: which way is up, and which images are turned. It stands in the run's
folder, so that a run that goes on does so with the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ditr.captures.folders import Captures
from ditr.data.dataset import TrainingSet
from ditr.errors import InputError, few
from ditr.geometry.orientation import find_up
from ditr.geometry.upright_views import turned_degrees, upright_views
from ditr.io.files import write_json
from ditr.io.json_file import read_json_object

__all__ = ["note_decisions"]

_DECISIONS = "captures.json"


def _about(data: TrainingSet) -> dict[str, Any]:
    """Up and turned images by capture; nothing for data of a benchmark, which lie as published.

    Raises:
        InputError: a damaged capture.
    """
    if not isinstance(data.source, Captures):
        return {}
    decided = {}
    for index, name in enumerate(data.source.names()):
        scene = data.source.scene(index)
        turned = {} if data.encoding is None else turned_degrees(upright_views(scene, scene.views))
        decided[name] = {"up": find_up(scene).tolist(), **({"turned_images": turned} if turned else {})}
    return decided


def note_decisions(folder: Path, sets: dict[str, TrainingSet], *, resumes: bool) -> None:
    """Write what is decided for the sets of a run by their names; a run that resumes must come to the same.

    Raises:
        InputError: a damaged capture, or one that changed since the run began.
    """
    decided = {name: found for name, data in sets.items() if (found := _about(data))}
    path = folder / _DECISIONS
    if resumes and path.exists():
        before = read_json_object(path, "Delete it to continue anyway")
        changed = [
            f"{name}/{capture}"
            for name, found in decided.items()
            for capture, decision in found.items()
            if before.get(name, {}).get(capture) != decision
        ]
        if changed:
            fault = f"the up direction or the rotation of images has changed since the run began: {few(changed, 3)}"
            raise InputError(path, fault, "Restore these captures, or train again in another folder")
    elif decided:
        write_json(path, decided)

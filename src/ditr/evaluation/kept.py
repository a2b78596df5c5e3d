"""Results of long work that are kept scene by scene: whose they are is said beside them, and they serve nobody else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.evaluation.voting import Voting
from ditr.inference.segmenter import Segmenter
from ditr.io.files import file_sha256, write_json
from ditr.io.json_file import read_json
from ditr.scene import Scene, SceneSource

__all__ = ["claim", "label_scene", "of_model", "of_scenes", "of_votes", "read_scene"]


def of_model(weights: Path) -> dict[str, Any]:
    """What tells a model from others: digests of its weights and of the config beside them."""
    config = weights.with_name("config.json")
    return {"model": file_sha256(weights), "config": file_sha256(config) if config.exists() else None}


def of_votes(votes: Voting | None) -> dict[str, Any]:
    """What tells a test procedure from others."""
    variants = None if votes is None else [repr(variant) for variant in votes.variants]
    return {"votes": variants, "thin": None if votes is None else votes.thin}


def of_scenes(source: SceneSource, root: Path) -> dict[str, Any]:
    """What tells scenes from others, as far as can be told without reading them: their names, and the manifest of a
    dataset that was prepared by this package."""
    manifest = root / "manifest.json"
    names = hashlib.sha256("\n".join(source.names()).encode()).hexdigest()
    return {"scenes": names, "manifest": file_sha256(manifest) if manifest.is_file() else None}


def claim(path: Path, identity: Mapping[str, Any]) -> None:
    """Say in the file ``path`` whose results its folder will hold.

    Raises:
        InputError: those of something else are in it.
    """
    if path.exists():
        try:
            before = read_json(path)["of"]
            differs = sorted(key for key in {*identity, *before} if before.get(key) != identity.get(key))
        except (InputError, KeyError, TypeError, AttributeError):
            raise InputError(path, "it cannot be read", "Remove the folder, or name another one") from None
        if differs:
            remedy = "Name another folder with --out"
            raise InputError(
                path.parent, f"it holds results made with different settings: {', '.join(differs)}", remedy
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"of": dict(identity)})


def read_scene(source: SceneSource, index: int, classes: Sequence[str], *, labelled: bool) -> Scene:
    """A scene of a benchmark, for a model of ``classes``.

    Raises:
        InputError: it has others, or no labels where they are needed.
    """
    scene, place = source.scene(index), f"{source.name}/{source.names()[index]}"
    if labelled and scene.label is None:
        raise InputError(place, "its points have no labels", "Name a split with labels, such as val")
    if scene.class_names != tuple(classes):
        raise InputError(
            place,
            f"it has {len(scene.class_names)} classes ({scene.class_names[0]}, ...), but the model has "
            f"{len(classes)} ({classes[0]}, ...)",
            "Name the dataset that the model is for",
        )
    return scene


def label_scene(segmenter: Segmenter, scene: Scene, votes: Voting | None, seed: int) -> NDArray[np.int32]:
    """(N,) classes, as the published tester has them: z is up, and nothing is turned or estimated."""
    return segmenter(scene, seed=seed, votes=votes, estimate=False, shuffle_curves=True).label

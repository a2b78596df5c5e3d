"""What is shown: a capture, or one with labels or features that a command wrote."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.capture import read_capture
from ditr.captures.classes import with_numbered_classes
from ditr.errors import InputError
from ditr.inference.read_results import has_features, has_labels, read_features, read_labels, refuse_many
from ditr.scene import ReadOptions, Scene

__all__ = ["Subject", "read_subject"]


@dataclass(frozen=True, eq=False)
class Subject:
    """A scene, and what a command said of its points.

    Attributes:
        scene: with its own labels, where it has any.
        label: (N,) int32 of a result, -1 for none; None where there is no result.
        class_names: what they mean.
        class_colors: (C, 3) uint8 of a result's own; None for those of the palette.
        confidence: (N,) float32 of the labels; None where nothing says it.
        features: (N, 3) uint8, features as colours that a command wrote; None without.
    """

    scene: Scene
    label: NDArray[np.int32] | None = None
    class_names: tuple[str, ...] = ()
    class_colors: NDArray[np.uint8] | None = None
    confidence: NDArray[np.float32] | None = None
    features: NDArray[np.uint8] | None = None


def read_subject(path: Path, options: ReadOptions, capture: Path | None = None) -> Subject:
    """Read a capture, or the folder of a result.

    Args:
        path: of either.
        options: how the capture is read.
        capture: that the result was made of; None to do without its photographs.

    Raises:
        InputError: neither, or a result of another capture.
    """
    reading = options if capture is None else None
    if has_labels(path):
        written = read_labels(path, reading)
        subject = Subject(
            written.scene,
            label=written.label,
            class_names=written.class_names,
            class_colors=None if written.class_colors is None else np.array(written.class_colors, np.uint8),
            confidence=written.confidence,
        )
    elif has_features(path):
        features = read_features(path, reading)
        subject = Subject(features.scene, features=features.color)
    else:
        refuse_many(path)
        if capture is not None:
            raise InputError("--capture", f"{path} is a capture itself", "Leave it out, or name the folder of a result")
        return Subject(with_numbered_classes(read_capture(path, options)))
    if capture is None:
        return subject
    scene = with_numbered_classes(read_capture(capture, options))
    _require_same(scene, subject.scene, path, capture)
    if options.up is None and subject.scene.up is not None:
        scene = replace(scene, up=subject.scene.up)  # as when the results were made
    return replace(subject, scene=scene)


def _require_same(scene: Scene, points: Scene, path: Path, capture: Path) -> None:
    same = points.coord.shape == scene.coord.shape and np.allclose(points.coord, scene.coord, rtol=1e-6, atol=1e-3)
    if not same:
        fault = f"its {len(points)} points are not the {len(scene)} points of {capture}"
        raise InputError(
            path, fault, "Name the capture that this result was made from, with the same options for reading it"
        )

"""Labels for every point of a scene, and how they are written."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.class_table import CLASSES, ClassEntry, class_table
from ditr.captures.colors import COLOR
from ditr.captures.images import read_image
from ditr.captures.las_classes import UNCLASSIFIED, standard_numbers
from ditr.errors import InputError
from ditr.io.files import results_folder, write_array, write_json
from ditr.io.ply import write_ply
from ditr.nn.products import products
from ditr.pictures.label_images import unlabelled_index
from ditr.pictures.palette import GREY, Color, chosen_colors, label_colors
from ditr.pictures.panels import Panel, class_legend, save_picture, sheet
from ditr.pictures.pictures import labels_panels, spread_views
from ditr.scene import UNLABELLED, Scene, View

__all__ = ["LABELS_PLY", "LABEL_FILES", "SUMMARY", "Prediction"]

LABELS_PLY, SUMMARY = "labels.ply", "summary.json"
LABEL_FILES = (LABELS_PLY, "label.npy", "confidence.npy", CLASSES, SUMMARY)
"""What :meth:`Prediction.save` writes."""

_log = logging.getLogger(__name__)

_KNOWN = frozenset({"x", "y", "z", *COLOR, "nx", "ny", "nz", "intensity"})
"""Properties that CloudCompare loads by these names."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Labels for every point of a scene.

    Attributes:
        scene: the scene.
        label: (N,) int32 indices into ``class_names``; -1 where the confidence was too low.
        confidence: (N,) float32, the probability that the network gives to the label.
        seen_by: (N,) int64, how many of the used views show each point; None for networks without images.
        class_names: what the labels mean.
        voxels: how many voxels the network saw.
        up: (3,) the direction that was taken as up.
        seed: of the choice among views.
        calibrated: whether a temperature was fitted for the confidence.
        min_confidence: labels below it were taken back (-1); None where all stand.
        normals: how they were made, for a network that takes them and a scene that has none; None otherwise.
        turned: degrees counterclockwise by which images were turned upright, by view; the others lay as they should.
        occlusion: how it was found out which points are hidden in a view; None for networks without images.
        class_colors: of the classes, where their dataset has its own; None for those of :mod:`ditr.pictures.palette`.
        smoothed: whether labels are those of the voxels around a point, and not of its own alone.
        made: with which weights and options, plain values for ``summary.json``; empty where nobody asks.
    """

    scene: Scene
    label: NDArray[np.int32]
    confidence: NDArray[np.float32]
    seen_by: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    voxels: int
    up: tuple[float, float, float]
    seed: int
    normals: str | None = None
    calibrated: bool = False
    min_confidence: float | None = None
    turned: Mapping[str, int] = field(default_factory=dict)
    class_colors: Sequence[Color] | None = None
    made: Mapping[str, Any] = field(default_factory=dict)
    occlusion: str | None = None
    smoothed: bool = False
    object_of: NDArray[np.int32] | None = None

    def __repr__(self) -> str:
        count, used = len(self.class_names), len(np.unique(self.label[self.label >= 0]))
        images = "" if self.seen_by is None else f", {int(np.count_nonzero(self.seen_by))} of them seen in some view"
        return f"<Prediction {self.scene.name!r}: {len(self.label)} points{images}, {used} of {count} classes>"

    def at_least(self, confidence: float) -> Prediction:
        """The prediction without the labels of lower confidence; these points get -1.

        Raises:
            InputError: no probability.
        """
        if not 0 <= confidence <= 1:
            raise InputError("--min-confidence", f"it is {confidence}", "Give a probability, 0 to 1")
        label = np.where(self.confidence < confidence, np.int32(UNLABELLED), self.label)
        return replace(self, label=label, min_confidence=confidence)

    @property
    def unsure(self) -> int:
        """How many points have no label, since the confidence was too low."""
        return int(np.count_nonzero(self.label < 0))

    def summary(self) -> dict[str, Any]:
        """What there is, in numbers that fit on a page."""
        count = np.bincount(self.label[self.label >= 0], minlength=len(self.class_names))
        result: dict[str, Any] = {
            "scene": self.scene.name,
            "points": len(self.label),
            "voxels": self.voxels,
            "views": len(self.scene.views),
            "seed": self.seed,
            "products": products().value,
            "up": list(self.up),
            "mean_confidence": round(float(self.confidence.mean()), 4),
            "confidence": "calibrated on the validation scenes of its training" if self.calibrated else "uncalibrated",
            "points_per_class": {name: int(n) for name, n in zip(self.class_names, count, strict=True)},
        }
        if self.min_confidence is not None:
            result |= {"min_confidence": self.min_confidence, "points_below_min_confidence": self.unsure}
        if "crs" in self.scene.properties:
            result["crs"] = self.scene.properties["crs"]
        if self.scene.findings:
            result["findings"] = [finding.to_json() for finding in self.scene.findings]
        if self.smoothed:
            result["labels"] = "smoothed: logits of the eight voxels around each point"
        if self.normals is not None:
            result["normals"] = self.normals
        if self.seen_by is not None:
            result["turned_images"] = dict(self.turned)
            result["occlusion"] = self.occlusion
            result["share_of_points_seen"] = round(float((self.seen_by > 0).mean()), 4)
        if self.object_of is not None:
            result["objects"] = int(self.object_of.max(initial=-1)) + 1
        if self.made:
            result["made"] = dict(self.made)
        return result

    def colors(self) -> NDArray[np.uint8]:
        """(N, 3), of each point's class; grey where there is no label."""
        return label_colors(self.label, len(self.class_names), self.class_colors)

    def save(self, folder: str | Path, *, colored: bool = False, cloudcompare: bool = False) -> Path:
        """Write ``labels.ply``, ``label.npy``, ``confidence.npy``, ``classes.json`` and ``summary.json``, all or none.

        Earlier results of these names are replaced, and other files of the folder stay. The PLY keeps all properties of
        the scene's points; labels that the scene had already become ``true_label``, and another property that has the
        name of a new one gets ``original_`` before it. ``classes.json`` has ids, names and colours of the classes, and
        where ``true_label`` has names, those.

        Args:
            folder: made where there is none.
            colored: whether the points of the PLY get the colours of their classes; the scene's own become
                ``original_red`` and so on.
            cloudcompare: whether its further properties are called ``scalar_label`` and so on: without asking,
                CloudCompare loads none of another name (but ``intensity``).

        Returns:
            The PLY's path.

        Raises:
            OSError: they cannot be written; the folder is as it was then.
        """
        with results_folder(folder, LABEL_FILES) as new:
            columns = self.columns(colored=colored, cloudcompare=cloudcompare)
            write_ply(new / LABELS_PLY, columns, comments=self.comments())
            write_array(new / "label.npy", self.label)
            write_array(new / "confidence.npy", self.confidence)
            write_json(new / CLASSES, self.class_table())
            write_json(new / SUMMARY, self.summary())
        return Path(folder) / LABELS_PLY

    def draw(self, path: str | Path) -> list[list[Panel]]:
        """One sheet: the labels in up to four photographs, and in 3D from two sides.

        Photographs that cannot be read are left out with a warning, since the labels are there all the same.

        Returns:
            The panels of the sheet, row by row.

        Raises:
            OSError: it cannot be written.
        """
        scene, colors = self.scene, self.class_colors
        views = [view for view in spread_views(scene.posed_views, 4) if _can_be_read(view, Path(path))]
        panels = labels_panels(scene, self.label, self.class_names, views, what="Labels", colors=colors)
        legend = class_legend(self.class_names, self.label, colors=colors)
        save_picture(path, sheet(panels, title=scene.name, legends=[legend]))
        return panels

    def comments(self) -> tuple[str, ...]:
        """Lines of a PLY's header: the classes' numbers and names."""
        lists = [("label", self.class_names)]
        if self.scene.label is not None:
            lists.append(("true_label", self.scene.class_names))
        # A PLY header is ASCII.
        return tuple(
            f"{what} {index} {name.encode('unicode_escape').decode('ascii')}"
            for what, names in lists
            for index, name in enumerate(names)
        )

    def class_table(self) -> dict[str, Any]:
        """What stands in ``classes.json``."""
        names, own = self.class_names, self.scene.class_names if self.scene.label is not None else ()
        others = [name for name in own if name not in names]
        further = chosen_colors(len(names) + len(others), None)[len(names) :]
        listed = [*chosen_colors(len(names), self.class_colors).tolist(), *further.tolist()]
        color = {name: (red, green, blue) for name, (red, green, blue) in zip((*names, *others), listed, strict=True)}
        las = standard_numbers(names)
        return class_table(
            [ClassEntry(id=i, name=name, color=color[name], las=las[i]) for i, name in enumerate(names)],
            ClassEntry(UNLABELLED, "unlabelled", GREY, las=UNCLASSIFIED, image_id=unlabelled_index(len(names))),
            [ClassEntry(id=i, name=name, color=color[name]) for i, name in enumerate(own)],
        )

    def columns(self, *, colored: bool = False, cloudcompare: bool = False) -> dict[str, NDArray[Any]]:
        """The properties of the PLY's points by name, (N,) each, as for :meth:`save`."""
        scene = self.scene
        coord = scene.coord
        single = coord.astype(np.float32)
        stored = single if np.array_equal(single, coord) else coord
        columns: dict[str, NDArray[Any]] = {axis: stored[:, i] for i, axis in enumerate("xyz")}
        shown = self.colors() if colored else scene.color
        if shown is not None:
            columns |= {name: shown[:, i] for i, name in enumerate(COLOR)}
        if colored and scene.color is not None:
            columns |= {f"original_{name}": scene.color[:, i] for i, name in enumerate(COLOR)}
        if scene.normal is not None:
            columns |= {name: scene.normal[:, i] for i, name in enumerate(("nx", "ny", "nz"))}
        if scene.strength is not None:
            columns["intensity"] = scene.strength
        if scene.label is not None:
            columns["true_label"] = scene.label
        columns |= {"label": self.label, "confidence": self.confidence}
        if self.object_of is not None:
            columns["object"] = self.object_of
        for name, values in scene.extra.items():
            columns[f"original_{name}" if name in columns else name] = values
        return {f"scalar_{n}" if cloudcompare and n not in _KNOWN else n: v for n, v in columns.items()}


def _can_be_read(view: View, picture: Path) -> bool:
    try:
        read_image(view)
    except InputError as error:
        _log.warning("%s It is left out of %s.", error, picture.name)
        return False
    return True

"""All files that the labels of one scene are written to; whoever labels scenes, one or many, writes them here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ditr.captures.las_labels import LAS_FILES, las_name, write_las_labels
from ditr.inference.by_class import write_by_class
from ditr.inference.measure import measure, require_length
from ditr.inference.object_files import OBJECT_FILES, write_objects
from ditr.inference.object_rules import ObjectRules
from ditr.inference.objects import Objects, find_objects
from ditr.inference.prediction import LABEL_FILES, Prediction
from ditr.inference.provenance import Provenance
from ditr.inference.scene_report import write_scene_report
from ditr.pictures.label_images import label_image, write_label_image
from ditr.pictures.panels import Panel
from ditr.pictures.render import DrawnCloud
from ditr.runtime import progress_bar

__all__ = ["BY_CLASS", "REPORT", "RESULT_FILES", "Outputs", "write_results"]

_PICTURE, _TABLE, _MAP = "labels.png", "classes.csv", "classes.geojson"
_IMAGES, BY_CLASS = "label_images/", "by_class/"
REPORT = "report.html"
RESULT_FILES = (*LABEL_FILES, *LAS_FILES, _PICTURE, REPORT, _TABLE, _MAP, *OBJECT_FILES, _IMAGES, BY_CLASS)
"""Names that the results of a scene may have; those of folders end with a slash."""


@dataclass(frozen=True)
class Outputs:
    """What is written of a scene's labels.

    Attributes:
        pictures: whether they are drawn.
        class_colors: whether the points of the PLY get the colours of their classes.
        cloudcompare: whether its columns are named as CloudCompare loads them by itself.
        label_images: whether there is an image of labels for each photograph.
        measure: edge of the voxels, in metres, by which counts, areas and volumes of classes are measured; "auto" to
            choose it by the points, None for no measures.
        split_classes: whether there is a file for each class.
        objects: by which rules things are found and counted; None for none.
        report: whether there is a page that shows all of it.

    Raises:
        InputError: an edge that is not a length.
    """

    pictures: bool = True
    class_colors: bool = False
    cloudcompare: bool = False
    label_images: bool = False
    measure: float | Literal["auto"] | None = None
    split_classes: bool = False
    objects: ObjectRules | None = None
    report: bool = False

    def __post_init__(self) -> None:
        if self.measure is not None and self.measure != "auto":
            require_length(self.measure)

    def require_known(self, class_names: Sequence[str]) -> None:
        """Refuse rules for classes that there are not; asked before the work.

        Raises:
            InputError: there is such a rule.
        """
        if self.objects is not None:
            self.objects.require_known(class_names)


def write_results(
    prediction: Prediction,
    folder: Path,
    outputs: Outputs,
    source: Path | None = None,
    provenance: Provenance | None = None,
) -> Objects | None:
    """Write all results into a folder, which is best one of :func:`ditr.io.files.results_folder`.

    Args:
        prediction: the labels.
        folder: where the files go.
        outputs: which files.
        source: what the scene was read from: labels of a LAS file go into a copy of it.
        provenance: what the report says of how the labels were made.

    Returns:
        The scene's things, where they are asked for.

    Raises:
        InputError: voxels of which too many would lie along an axis, or rules for a class that there is not.
        OSError: they cannot be written.
    """
    objects = None
    if outputs.objects is not None:
        objects = find_objects(
            prediction.scene,
            prediction.label,
            prediction.class_names,
            confidence=prediction.confidence,
            up=prediction.up,
            rules=outputs.objects,
        )
        prediction = replace(prediction, object_of=objects.of_point)
        write_objects(objects, folder, len(prediction.class_names), prediction.class_colors)
    prediction.save(folder, colored=outputs.class_colors, cloudcompare=outputs.cloudcompare)
    if source is not None and (name := las_name(source)) is not None:
        names, object_of = prediction.class_names, prediction.object_of
        write_las_labels(source, folder / name, prediction.label, prediction.confidence, names, object_of)
    if outputs.split_classes:
        write_by_class(
            prediction, folder / BY_CLASS, source, colored=outputs.class_colors, cloudcompare=outputs.cloudcompare
        )
    measures, panels = None, list[list[Panel]]()
    if outputs.measure is not None:
        voxel = None if outputs.measure == "auto" else outputs.measure
        measures = measure(prediction, voxel)
        measures.write_csv(folder / _TABLE)
        measures.write_geojson(folder / _MAP)
    if outputs.label_images:
        _write_label_images(prediction, folder / _IMAGES)
    if outputs.pictures:
        panels = prediction.draw(folder / _PICTURE)
    if outputs.report:
        write_scene_report(folder / REPORT, prediction, panels, measures, provenance or Provenance(), objects)
    return objects


def _write_label_images(prediction: Prediction, folder: Path) -> None:
    """An indexed PNG for each photograph of which it is known from where it was taken, of its size and name."""
    scene = prediction.scene
    folder.mkdir()
    cloud = DrawnCloud.of(scene)
    with progress_bar("label images") as report:
        for number, view in enumerate(scene.posed_views):
            path = folder / f"{view.name.replace('/', '_')}.png"
            label = label_image(cloud, prediction.label, view)
            write_label_image(path, label, len(prediction.class_names), prediction.class_colors)
            report(number + 1, len(scene.posed_views))

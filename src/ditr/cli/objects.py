"""``ditr objects``: the things in a labelled scene, counted and measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ditr.cli.options import UNSET, Counting, Reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ditr.inference.read_results import WrittenLabels
    from ditr.scene import ReadOptions, Scene

__all__ = ["Objects", "run"]


@dataclass(frozen=True)
class Objects:
    """Count the objects in a labelled scene: 37 chairs, 212 m² of floor.

    $ ditr objects scan-labels/
    $ ditr objects scan-labels/ --object-gap chair=0.1 --overwrite

    SOURCE is a folder written by `ditr segment` or `ditr label`, or a labelled capture. Points of one class that are
    close together form one object (see docs/objects.md). Writes objects.csv, objects_by_class.csv, objects.geojson,
    boxes.ply and object.npy. `ditr segment --objects` writes the same files next to the labels, and an object column
    for the points; in the folder of such results, this command updates the column, too. The up direction is the one in
    summary.json of the results, unless you give --up.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """Folder with results, or a labelled capture."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder for the files. The default is the folder of the results; for a capture, its name with -objects."""
    overwrite: Annotated[bool, UNSET] = False
    """Replace earlier files; other files in the folder are kept."""
    counting: Counting = field(default_factory=Counting)
    reading: Reading = field(default_factory=Reading)


def run(args: Objects) -> None:
    """Read, count, write, and say what there is."""
    from ditr.cli.common import folder_for
    from ditr.cli.output import remark
    from ditr.inference.object_files import OBJECT_FILES, write_objects
    from ditr.inference.object_notes import object_notes
    from ditr.inference.objects import find_objects
    from ditr.inference.read_results import has_labels, read_labels
    from ditr.inference.renewed_column import renew_objects
    from ditr.inference.results import REPORT
    from ditr.io.files import results_folder
    from ditr.runtime import phase

    rules, reading = args.counting.rules(), args.reading.options()
    is_result = has_labels(args.source)
    with phase(f"read {args.source}"):
        given = read_labels(args.source, reading) if is_result else _capture(args.source, reading)
    out = args.out or (args.source if is_result else Path(f"{given.scene.name}-objects"))
    folder_for(out, OBJECT_FILES, overwrite=args.overwrite)
    up = _up_of(given.scene)
    with phase("find objects"):
        found = find_objects(
            given.scene, given.label, given.class_names, confidence=given.confidence, up=up, rules=rules
        )
    in_place = is_result and out.resolve() == args.source.resolve()
    with phase(f"write to {out}"), results_folder(out, OBJECT_FILES) as new:
        write_objects(found, new, len(given.class_names), given.class_colors)
        renewed = renew_objects(out, new, given, found.of_point) if in_place else []
    print("\n".join([*found.told(), *(f"note: {note}" for note in object_notes(found))]))
    if renewed:
        remark(f"note: object numbers are updated in {', '.join(renewed)}")
        if (out / REPORT).exists():
            remark(f"note: {out / REPORT} still shows what was counted when it was written")
    print(f"written to {out}")


def _up_of(scene: Scene) -> NDArray[np.float64]:
    """As it was told; where nothing tells it, what points and cameras show, which is said."""
    from ditr.cli.output import remark
    from ditr.geometry.orientation import find_up

    up = find_up(scene)
    if scene.up is None:
        shown = ", ".join(f"{value:.2f}" for value in up)
        remark(f"note: nothing says which direction is up; estimated from the points: ({shown}). If wrong, give --up.")
    return up


def _capture(source: Path, reading: ReadOptions) -> WrittenLabels:
    """The labels that a capture has of its own.

    Raises:
        InputError: it has none, or cannot be read.
    """
    from ditr.captures.capture import read_capture
    from ditr.captures.classes import with_numbered_classes
    from ditr.errors import InputError
    from ditr.inference.read_results import WrittenLabels, refuse_many

    refuse_many(source)
    scene = with_numbered_classes(read_capture(source, reading))
    if scene.label is None:
        raise InputError(source, "its points have no labels", "Label them first: ditr segment, or ditr label")
    return WrittenLabels(scene, scene.label, scene.class_names, None, None)

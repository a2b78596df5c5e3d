"""``ditr objects``: the things in a labelled scene, counted and measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ditr.cli.options import UNSET, Counting, Reading

__all__ = ["Objects", "run"]


@dataclass(frozen=True)
class Objects:
    """Count the objects in a labelled scene: 37 chairs, 212 m² of floor.

    $ ditr objects scan-labels/
    $ ditr objects scan-labels/ --object-gap chair=0.1

    SOURCE is a folder written by `ditr segment` or `ditr label`, or a labelled capture. Points of one class that are
    close together form one object (see docs/objects.md). Writes objects.csv, objects_by_class.csv, objects.geojson,
    boxes.ply and object.npy. `ditr segment --objects` writes the same files next to the labels, and an object column
    for the points.
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
    from ditr.errors import InputError
    from ditr.inference.object_files import OBJECT_FILES, write_objects
    from ditr.inference.objects import find_objects
    from ditr.io.files import results_folder
    from ditr.runtime import phase
    from ditr.viewer.subject import read_subject

    rules = args.counting.rules()
    with phase(f"read {args.source}"):
        subject = read_subject(args.source, args.reading.options())
    scene, label, names = subject.scene, subject.label, subject.class_names
    is_result = label is not None
    if label is None:
        label, names = scene.label, scene.class_names
    if label is None:
        raise InputError(args.source, "its points have no labels", "Label them first: ditr segment, or ditr label")
    out = args.out or (args.source if is_result else Path(f"{scene.name}-objects"))
    folder_for(out, OBJECT_FILES, overwrite=args.overwrite)
    up = args.reading.options().up
    with phase("find objects"):
        found = find_objects(scene, label, names, confidence=subject.confidence, up=up, rules=rules)
    table = subject.class_colors
    colors = None if table is None else [(int(red), int(green), int(blue)) for red, green, blue in table]
    with phase(f"write to {out}"), results_folder(out, OBJECT_FILES) as new:
        write_objects(found, new, len(names), colors)
    print("\n".join(found.told()))
    print(f"written to {out}")

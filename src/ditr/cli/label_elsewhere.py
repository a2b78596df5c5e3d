"""``ditr label --from-images`` and ``--from-cloud``: labels of other tools become those of a capture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ditr.errors import Finding, InputError

if TYPE_CHECKING:
    from ditr.cli.label_options import Label
    from ditr.labelling.given import GivenLabels
    from ditr.scene import Scene

__all__ = ["label_from_elsewhere"]


def label_from_elsewhere(args: Label, scene: Scene) -> None:
    """Read, lift or match, spread where that is asked for, write, and say what there is.

    Raises:
        InputError: labels that cannot be read or are none of this capture, or options that mean nothing with them.
    """
    from ditr.cli.common import say_finding
    from ditr.cli.label_results import account, encoded_cells, places, write
    from ditr.labelling.given import prediction_of_given, renamed, session_of
    from ditr.runtime import phase

    _refuse(args)
    out, wanted, banks = places(args, scene)
    given = _from_images(args, scene) if args.elsewhere.from_images is not None else _from_cloud(args, scene)
    given = renamed(given, args.reading.options().class_map)
    for finding in given.findings:
        say_finding(finding)
    session, found = None, list[Finding]()
    if args.elsewhere.spread or args.bank is not None:
        cells, found = encoded_cells(args, scene)
        with phase("learn from the labels"):
            session = session_of(scene, cells, given, seed=args.seed)
    with phase("combine the labels"):
        spread = session if args.elsewhere.spread else None
        prediction = prediction_of_given(scene, given, spread, args.min_confidence, seed=args.seed)
    objects = write(args, prediction, session, banks, out, found)
    count = int((given.label >= 0).sum())
    rest = ", which were spread to the others" if args.elsewhere.spread else ""
    account(prediction, objects, f"of which {count} ({count / len(scene):.1%}) have labels from {given.by}{rest}")
    print(f"written to {', '.join(map(str, [out, *wanted]))}")


def _refuse(args: Label) -> None:
    """Refuse what means nothing with these labels.

    Raises:
        InputError: such an option is there.
    """
    if args.elsewhere.from_images is not None and args.elsewhere.column is not None:
        raise InputError("--column", "label images have no columns", "Leave it out, or name a cloud with --from-cloud")
    if args.elsewhere.from_cloud is not None and args.elsewhere.exif != "auto":
        raise InputError("--exif", "a cloud is not a photograph", "Leave it out, or name images with --from-images")


def _from_images(args: Label, scene: Scene) -> GivenLabels:
    from ditr.labelling.annotations.palette import read_palette
    from ditr.labelling.annotations.sources import read_annotations
    from ditr.labelling.lifted import lift_labels
    from ditr.runtime import phase, progress_bar

    source, classes = args.elsewhere.from_images, args.elsewhere.classes
    assert source is not None
    with phase(f"read {source}"):
        annotations = read_annotations(source, None if classes is None else read_palette(classes))
    with progress_bar("label images") as report:
        return lift_labels(
            scene,
            annotations,
            str(source),
            background=args.reading.options().background,
            exif=args.elsewhere.exif,
            progress=report,
        )


def _from_cloud(args: Label, scene: Scene) -> GivenLabels:
    from ditr.labelling.annotations.palette import read_palette
    from ditr.labelling.painted import read_painted
    from ditr.runtime import phase

    source, classes = args.elsewhere.from_cloud, args.elsewhere.classes
    assert source is not None
    with phase(f"read {source}"):
        palette = None if classes is None else read_palette(classes)
        return read_painted(scene, source, palette, column=args.elsewhere.column, reading=args.reading.options())

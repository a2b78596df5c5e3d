"""``ditr label``: labels for every point of a capture from a few clicks, or from elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ditr.cli.label_options import Label

if TYPE_CHECKING:
    from ditr.labelling.clicks import Clicks
    from ditr.scene import Scene

__all__ = ["Label", "run"]


def run(args: Label) -> None:
    """Look, click, write, and say what there is."""
    from ditr.captures.capture import read_capture
    from ditr.captures.classes import with_numbered_classes
    from ditr.errors import InputError
    from ditr.labelling.clicks import read_clicks
    from ditr.runtime import phase

    _require_one_source(args)
    if not 0 <= args.min_confidence <= 1:
        raise InputError("--min-confidence", f"it is {args.min_confidence}", "Give a probability, 0 to 1")
    if args.add_to and args.bank is None:
        raise InputError(
            "--add-to", "it needs --bank, the new bank to write", "Name the file of the new bank with --bank"
        )
    clicks = None if args.clicks is None else read_clicks(args.clicks)
    with phase(f"read {args.capture}"):
        scene = with_numbered_classes(read_capture(args.capture, args.reading.options()))
    from ditr.cli.common import judged

    with phase("check the capture"):
        scene = judged(scene, force=args.reading.force, needs_unit=args.cell is None)
    if args.simulate is not None:
        _simulate(args, scene)
    elif clicks is not None:
        _label(args, scene, clicks)
    else:
        from ditr.cli.label_elsewhere import label_from_elsewhere

        label_from_elsewhere(args, scene)


def _require_one_source(args: Label) -> None:
    """Refuse two sources of labels, or none.

    Raises:
        InputError: so it is.
    """
    from ditr.errors import InputError

    given = {
        "--clicks": args.clicks,
        "--simulate": args.simulate,
        "--from-images": args.elsewhere.from_images,
        "--from-cloud": args.elsewhere.from_cloud,
    }
    there = [name for name, value in given.items() if value is not None]
    if len(there) == 1:
        return
    if there:
        raise InputError(", ".join(there), f"{len(there)} options each name a source of labels", "Give one of them")
    remedy = "Click in `ditr view CAPTURE` or give a file of clicks (docs/labelling.md), or labels of another tool"
    raise InputError(", ".join(given), "one of these is needed, and none was given", remedy)


def _label(args: Label, scene: Scene, clicks: Clicks) -> None:
    from ditr.cli.label_results import account, encoded_cells, places, write
    from ditr.errors import few
    from ditr.labelling.result import prediction_of
    from ditr.labelling.session import Session
    from ditr.runtime import phase

    fitted = clicks.fitted(scene, str(args.clicks))
    out, wanted, banks = places(args, scene)
    cells, found = encoded_cells(args, scene)
    session = Session(scene, cells)
    with phase("spread the clicks"):
        missed = session.take(fitted)
        prediction = prediction_of(session, args.min_confidence, seed=args.seed)
    if missed:
        count = len(fitted.actions)
        told = f"{len(missed)} of {count} clicks hit no point and are left out: {few(missed, 5)}"
        print(f"ditr: warning: {told}", file=sys.stderr, flush=True)
    objects = write(args, prediction, session, banks, out, found)
    account(prediction, objects, f"from {prediction.made['clicks']} clicks in {len(prediction.class_names)} classes")
    print(f"written to {', '.join(map(str, [out, *wanted]))}")


def _simulate(args: Label, scene: Scene) -> None:
    """Click, and print a line for each mark."""
    from ditr.cli.label_results import encoded_cells
    from ditr.labelling.session import Session
    from ditr.labelling.simulate import marks_up_to, simulate
    from ditr.runtime import progress_bar

    assert args.simulate is not None
    marks = marks_up_to(args.simulate)
    session = Session(scene, encoded_cells(args, scene)[0])
    with progress_bar("clicks") as report:
        found = simulate(session, marks, strategy=args.strategy, seed=args.seed, progress=report)
    print(f"{args.strategy} clicks, seed {args.seed}, {len(session.classes)} classes")
    print("clicks per class    clicks      mIoU")
    for mark in found:
        print(f"{mark.clicks:16d} {mark.total:9d} {100 * mark.miou:9.1f}")

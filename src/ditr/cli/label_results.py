"""What all ways of ``ditr label`` have in common: where results go, the cells of the scene, and what is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ditr.cli.label_options import Label
    from ditr.encoders.encoding import CachedEncoding
    from ditr.errors import Finding
    from ditr.inference.objects import Objects
    from ditr.inference.prediction import Prediction
    from ditr.inference.segmenter import Segmenter
    from ditr.labelling.bank import Bank
    from ditr.labelling.cells import Cells
    from ditr.labelling.session import Session
    from ditr.scene import Scene

__all__ = ["account", "encoded_cells", "places", "write"]


def places(args: Label, scene: Scene) -> tuple[Path, list[Path], list[Bank]]:
    """Where results go, where else, and the banks to join; asked before the work.

    Raises:
        InputError: earlier results are there and may not be replaced, or a bank cannot be read.
    """
    from ditr.cli.common import folder_for, require_new
    from ditr.inference.results import RESULT_FILES
    from ditr.labelling.bank import read_bank

    out = folder_for(args.out or Path(f"{scene.name}-labels"), RESULT_FILES, overwrite=args.overwrite)
    wanted = [path for path in (args.capture_out, args.bank) if path is not None]
    require_new(wanted, overwrite=args.overwrite)
    return out, wanted, [read_bank(path) for path in args.add_to]


def encoded_cells(args: Label, scene: Scene) -> tuple[Cells, list[Finding]]:
    """The cells of a scene, with the image features of the encoder, and what the network finds, that are asked for.

    And which encoder that was, for the report.

    Raises:
        InputError: missing or damaged photographs, or an encoder or network that is not there.
    """
    from ditr.inference.assumptions import of_encoder
    from ditr.labelling.bank_labeller import cells_of

    encoding = _encoding(args, scene)
    cells = cells_of(scene, encoding, _network(args, scene), size=args.cell, seed=args.seed)
    return cells, [of_encoder(encoding)]


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
        why = "no photographs" if not scene.views else "no image encoder"
        remark(f"{why}: points are distinguished by their shape, and by colour or strength where they have it")
        return None
    encoding = make_encoding(args.encoder, args.cache, use_cache=True, device=args.device)
    with phase("load the image encoder"):
        encoder = encoding.encoder
    remark(f"encoder: {encoder.weights if is_verbose() else encoder.origin}")
    return encoding


def write(
    args: Label,
    prediction: Prediction,
    session: Session | None,
    banks: list[Bank],
    out: Path,
    findings: Sequence[Finding],
) -> Objects | None:
    """Write results, and what else is asked for.

    Args:
        args: of the command.
        prediction: the labels.
        session: from which they come; a bank needs it.
        banks: to join with that of the session.
        out: folder of the results.
        findings: about the work and not about the scene.

    Returns:
        The objects, where these are asked for.

    Raises:
        OSError: they cannot be written.
    """
    from ditr.captures.capture import write_capture
    from ditr.cli.provenance import provenance
    from ditr.inference.labelled_captures import labelled_scene
    from ditr.inference.results import RESULT_FILES, write_results
    from ditr.io.files import results_folder
    from ditr.labelling.bank import Bank, join_banks
    from ditr.runtime import phase

    with phase(f"write to {out}"), results_folder(out, RESULT_FILES) as new:
        told = provenance(findings=findings)
        objects = write_results(prediction, new, args.writing.outputs(), args.capture, told)
    if args.capture_out is not None:
        with phase(f"write {args.capture_out}"):
            write_capture(labelled_scene(prediction), args.capture_out)
    if args.bank is not None and session is not None:
        join_banks([*banks, Bank.of(session)]).save(args.bank)
    return objects


def account(prediction: Prediction, objects: Objects | None, source: str) -> None:
    """How many points got which class, after a line that names the ``source`` of the labels; and the objects."""
    summary = prediction.summary()
    points, counts = summary["points"], summary["points_per_class"]
    print(f"{points} points {source}")
    for name, count in counts.items():
        print(f"  {name:20} {count:9d}  {count / points:6.1%}")
    if prediction.unsure:
        print(f"  {'no label':20} {prediction.unsure:9d}  {prediction.unsure / points:6.1%}")
    if objects is not None:
        from ditr.inference.object_notes import object_notes

        print("\n".join([*objects.told(), *(f"note: {note}" for note in object_notes(objects))]))

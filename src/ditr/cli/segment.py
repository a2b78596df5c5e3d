"""``ditr segment``: a label for every point of captures."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ditr.cli.segment_options import Segment, chosen_model

if TYPE_CHECKING:
    from ditr.inference.objects import Objects
    from ditr.inference.prediction import Prediction

__all__ = ["Segment", "run"]

_POINT_BYTES = 28
"""At least: its place, label and confidence in the PLY, and the latter in files of their own."""


def run(args: Segment) -> None:
    """Label, write, and say what was found."""
    from ditr.captures.folders import find_sources
    from ditr.errors import InputError

    if not args.sources:
        raise InputError("segment", "SOURCE is missing", "Name a capture, a folder of them, or several")
    try:
        found = find_sources(args.sources, args.reading.options())
    except InputError:  # of a single source, whose own reader tells it better
        found = {"": args.sources[0]}
    if args.bank is not None:
        from ditr.cli.segment_bank import refuse_networks_options

        refuse_networks_options(args)
    if args.min_confidence is not None and not 0 <= args.min_confidence <= 1:
        raise InputError("--min-confidence", f"it is {args.min_confidence}", "Give a probability, 0 to 1")
    if args.shard is None and args.ray is None and args.captures is None and list(found.values()) == [args.sources[0]]:
        if args.bank is None:
            _run_one(args, args.sources[0])
        else:
            _run_one_by_bank(args, args.sources[0], args.bank)
        return
    from ditr.cli.segment_many import run_many

    run_many(args, found)


def _run_one(args: Segment, source: Path) -> None:
    """Label a single capture, and print the summary."""
    from ditr.captures.capture import read_capture
    from ditr.runtime import phase

    with phase(f"read {source}"):
        scene = read_capture(source, args.reading.options())  # a mistyped path is told before torch has loaded
    from ditr.captures.read_options import stated_options
    from ditr.cli.captures import takes_photographs
    from ditr.cli.common import folder_for, judged, make_cache, say_finding
    from ditr.cli.output import remark
    from ditr.cli.provenance import provenance
    from ditr.inference.assumptions import of_encoder, of_visibility
    from ditr.inference.explain import used_views
    from ditr.inference.results import RESULT_FILES, write_results
    from ditr.inference.scene_labels import Labelling, require_inputs, rule_of, with_meaning
    from ditr.inference.segmenter import Segmenter
    from ditr.io.files import results_folder
    from ditr.runtime import progress_bars
    from ditr.weights.pretrained import known_config

    votes, outputs = args.votes.procedure(), args.writing.outputs()
    out = args.out or Path(f"{scene.name}-labels")
    folder_for(out, RESULT_FILES, overwrite=args.overwrite, needed=_POINT_BYTES * len(scene))
    if (said := stated_options([source])) is not None:
        remark(said)
    photographs = args.model is None or takes_photographs(args.model)
    with phase("check the capture"):
        scene = judged(scene, force=args.reading.force, photographs=photographs)
    model = args.model if args.model is not None else chosen_model(scene)
    if (known := known_config(model)) is not None:
        require_inputs(scene, known, model, force=args.reading.force)
    with phase(f"load {model}"):
        cache = make_cache(args.cache, use_cache=not args.no_cache)
        segmenter = Segmenter.from_pretrained(model, device=args.device, cache=cache, precision=args.precision)
    outputs.require_known(segmenter.config.class_names)
    require_inputs(scene, segmenter.config, model, force=args.reading.force)
    scene, before = with_meaning(scene, segmenter.config), scene
    for finding in scene.findings[len(before.findings) :]:
        say_finding(finding)
    how = Labelling(args.seed, votes, args.min_confidence, by_profile=args.reading.profile is not None)
    remark("\n".join(used_views(segmenter, scene, rule_of(scene, how), seed=args.seed)))
    titles = (*(() if segmenter.encoding is None else ("photographs",)), "votes")
    alone = segmenter.encoding is None and votes is None
    with phase("label the points") if alone else nullcontext(), progress_bars(*titles, quiet=alone) as reports:
        if segmenter.encoding is not None:
            segmenter.encoding.progress = reports[0]
        votes = args.votes.procedure(reports[-1])
        prediction = replace(how, votes=votes)(segmenter, scene)
    with phase(f"write to {out}"), results_folder(out, RESULT_FILES) as new:
        preparation = segmenter.config.preparation.of(scene)
        seen = of_visibility(rule_of(scene, how) or preparation.rule, scene.views if segmenter.encoding else ())
        told = provenance(("model", str(model)), findings=[of_encoder(segmenter.encoding), *seen])
        objects = write_results(prediction, new, outputs, source, told)
    _account(segmenter.config.preparation.voxel_size, prediction, objects)
    for finding in prediction.scene.findings[len(scene.findings) :]:
        print(f"ditr: warning: {finding}", file=sys.stderr)
    print(f"written to {out}")


def _run_one_by_bank(args: Segment, source: Path, bank: Path) -> None:
    """Label a single capture with a bank, and print the summary."""
    from ditr.captures.capture import read_capture
    from ditr.cli.common import folder_for, judged
    from ditr.cli.provenance import provenance
    from ditr.cli.segment_bank import bank_labeller
    from ditr.inference.assumptions import of_encoder
    from ditr.inference.results import RESULT_FILES, write_results
    from ditr.inference.scene_labels import Labelling
    from ditr.io.files import results_folder
    from ditr.runtime import phase, progress_bars

    with phase(f"read {source}"):
        scene = read_capture(source, args.reading.options())
    out = args.out or Path(f"{scene.name}-labels")
    folder_for(out, RESULT_FILES, overwrite=args.overwrite, needed=_POINT_BYTES * len(scene))
    outputs = args.writing.outputs()
    labeller = bank_labeller(args, bank)
    outputs.require_known(labeller.bank.classes)
    with phase("check the capture"):
        scene = judged(scene, force=args.reading.force, photographs=labeller.encoding is not None)
    with progress_bars("photographs", quiet=labeller.encoding is None) as reports:
        if labeller.encoding is not None:
            labeller.encoding.progress = reports[0]
        prediction = labeller.label(scene, Labelling(args.seed, None, args.min_confidence))
    prediction = replace(prediction, made={"by": "bank", **labeller.identity()})
    with phase(f"write to {out}"), results_folder(out, RESULT_FILES) as new:
        told = provenance(("bank", str(bank)), findings=[of_encoder(labeller.encoding)])
        objects = write_results(prediction, new, outputs, source, told)
    _account(labeller.bank.cell, prediction, objects)
    print(f"written to {out}")


def _account(voxel_size: float, prediction: Prediction, objects: Objects | None) -> None:
    """What was done, and what it gave."""
    from ditr.inference.explain import used_up

    print(used_up(prediction))
    if prediction.normals is not None:
        none = ", since the points have none" if prediction.scene.normal is None else ""
        print(f"normals: {prediction.normals}{none}")
    print(f"voxels: {prediction.voxels} of {voxel_size:g} m")
    summary = prediction.summary()
    share = "" if prediction.seen_by is None else f", {summary['share_of_points_seen']:.1%} of them seen in some view"
    kind = "calibrated" if prediction.calibrated else "uncalibrated"
    print(f"{summary['points']} points{share}; mean confidence {summary['mean_confidence']:.2f} ({kind})")
    if prediction.unsure:
        print(f"  {'no label':20} {prediction.unsure:9d}  {prediction.unsure / summary['points']:6.1%}")
    for name, count in sorted(summary["points_per_class"].items(), key=lambda item: -item[1]):
        if count:
            print(f"  {name:20} {count:9d}  {count / summary['points']:6.1%}")
    if objects is not None:
        from ditr.inference.object_notes import object_notes

        print("\n".join([*objects.told(), *(f"note: {note}" for note in object_notes(objects))]))

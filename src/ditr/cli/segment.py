"""``ditr segment``: a label for every point of a capture."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ditr.cli.options import Reading, Writing

if TYPE_CHECKING:
    from ditr.inference.prediction import Prediction
    from ditr.scene import Scene
    from ditr.weights.saved_model import ModelConfig

__all__ = ["Segment", "run"]

_POINT_BYTES = 28
"""At least: its place, label and confidence in the PLY, and the latter in files of their own."""


@dataclass(frozen=True)
class Segment:
    """Label every point of a capture with a trained model. No labels are needed.

    Without --model a published one is chosen by what the capture has, named, and downloaded when it is first used.

    Writes labels.ply (all properties of the points, with label and confidence), label.npy, confidence.npy, classes.json
    (ids, names and colours), summary.json and pictures; of a LAS or LAZ file a copy of it, too, with the labels as its
    classifications. What opens them is in docs/outputs.md. A model
    that takes images needs all photographs; for one that takes none, a photograph that cannot be read is only missing
    from the pictures.
    """

    capture: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CAPTURE")]
    """Folder with transforms.json, the photographs and a PLY, or a file or folder of another format."""
    model: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """Short name of a published model (`ditr weights`), hub repository, folder of a run or saved model, or checkpoint
    file; by default a published model that fits the capture."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder for the results; by default CAPTURE's name with -labels, in the current folder."""
    overwrite: bool = False
    """Replace earlier results in the folder; its other files stay."""
    reading: Reading = field(default_factory=Reading)
    seed: int = 0
    """Of the choice among the views that show a point."""
    vote: bool = False
    """Let every point vote, not one for each voxel: slower, and the published way to test."""
    variants: Literal["indoor", "s3dis", "nuscenes", "rotations", "none"] | None = None
    """Vote over turned, scaled and flipped variants of the scene too, in the published sets; implies --vote."""
    thin: float | None = None
    """With votes: first keep a random point of each voxel of this size in metres; the others take its label."""
    min_confidence: Annotated[float | None, tyro.conf.arg(metavar="P")] = None
    """Labels of lower confidence, 0 to 1, are taken back: these points get -1, as unlabelled ones. A confidence is a
    probability only where the model was trained with scenes to validate on; elsewhere it is uncalibrated."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] | None = None
    """Of the image encoder; by default as in the model's training, or where that is not known bf16 on a GPU and 32 bits
    on a CPU."""
    cache: Path | None = None
    """Folder in which features of photographs are kept; by default under the user's cache folder."""
    no_cache: bool = False
    """Encode photographs anew and do not round their features to 16 bits."""
    writing: Writing = field(default_factory=Writing)


def run(args: Segment) -> None:
    """Label, write, and print the summary."""
    from ditr.captures.capture import read_capture
    from ditr.runtime import phase

    with phase(f"read {args.capture}"):
        scene = read_capture(args.capture, args.reading.options())  # a mistyped path is told before torch has loaded
    from ditr.captures.read_options import stated_options
    from ditr.cli.captures import takes_photographs
    from ditr.cli.common import folder_for, judged, make_cache, say_finding, voting
    from ditr.cli.output import remark
    from ditr.inference.explain import used_views
    from ditr.inference.results import RESULT_FILES, write_results
    from ditr.inference.scene_labels import Labelling, require_inputs, rule_of, with_meaning
    from ditr.inference.segmenter import Segmenter
    from ditr.io.files import results_folder
    from ditr.runtime import progress_bars
    from ditr.weights.pretrained import known_config

    votes, outputs = voting(args.vote, args.variants, args.thin), args.writing.outputs()
    out = args.out or Path(f"{scene.name}-labels")
    folder_for(out, RESULT_FILES, overwrite=args.overwrite, needed=_POINT_BYTES * len(scene))
    if (said := stated_options([args.capture])) is not None:
        remark(said)
    photographs = args.model is None or takes_photographs(args.model)
    with phase("look at it"):
        scene = judged(scene, force=args.reading.force, photographs=photographs)
    model = args.model if args.model is not None else _chosen_model(scene)
    if (known := known_config(model)) is not None:
        require_inputs(scene, known, model, force=args.reading.force)
    with phase(f"load {model}"):
        cache = make_cache(args.cache, use_cache=not args.no_cache)
        segmenter = Segmenter.from_pretrained(model, device=args.device, cache=cache, precision=args.precision)
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
        votes = voting(args.vote, args.variants, args.thin, reports[-1])
        prediction = replace(how, votes=votes)(segmenter, scene)
    with phase(f"write to {out}"), results_folder(out, RESULT_FILES) as new:
        write_results(prediction, segmenter.config, new, outputs, args.capture)
    _account(segmenter.config, prediction)
    for finding in prediction.scene.findings[len(scene.findings) :]:
        print(f"ditr: warning: {finding}", file=sys.stderr)
    print(f"written to {out}")


def _chosen_model(scene: Scene) -> str:
    """The name of the published model that fits, after everything about it has been said."""
    from ditr.cli.output import remark
    from ditr.weights.announce import announce
    from ditr.weights.suggest import suggest_model

    chosen = suggest_model(scene)
    name = chosen.model.name
    remark(f"model: {name}, chosen since this is {chosen.reason}; --model names another, `ditr weights` lists them")
    for line in announce(chosen.model):
        remark(f"  {line}")
    return name


def _account(config: ModelConfig, prediction: Prediction) -> None:
    """What was done, and what it gave."""
    from ditr.inference.explain import used_up

    print(used_up(prediction))
    if prediction.normals is not None:
        none = ", since the points have none" if prediction.scene.normal is None else ""
        print(f"normals: {prediction.normals}{none}")
    print(f"voxels: {prediction.voxels} of {config.preparation.voxel_size:g} m")
    summary = prediction.summary()
    share = "" if prediction.seen_by is None else f", {summary['share_of_points_seen']:.1%} of them in some view"
    kind = "calibrated" if prediction.calibrated else "uncalibrated"
    print(f"{summary['points']} points{share}; mean confidence {summary['mean_confidence']:.2f} ({kind})")
    if prediction.min_confidence is not None:
        print(f"  {'no label':20} {prediction.unsure:9d}  {prediction.unsure / summary['points']:6.1%}")
    for name, count in sorted(summary["points_per_class"].items(), key=lambda item: -item[1]):
        if count:
            print(f"  {name:20} {count:9d}  {count / summary['points']:6.1%}")

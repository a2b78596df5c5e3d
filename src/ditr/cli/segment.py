"""``ditr segment``: a label for every point of a capture."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ditr.cli.options import Reading

if TYPE_CHECKING:
    from ditr.inference.prediction import Prediction
    from ditr.scene import Scene, View
    from ditr.weights.saved_model import ModelConfig

__all__ = ["Segment", "run"]

_PICTURE = "labels.png"
_POINT_BYTES = 28
"""At least: its place, label and confidence in the PLY, and the latter in files of their own."""


@dataclass(frozen=True)
class Segment:
    """Label every point of a capture with a trained model. No labels are needed.

    Without --model a published one is chosen by what the capture has, named, and downloaded when it is first used.

    Writes labels.ply (all properties of the points, with label and confidence), label.npy, confidence.npy,
    summary.json and pictures; of a LAS or LAZ file a copy of it, too, with the labels as its classifications. A model
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
    no_pictures: bool = False
    """Write no pictures."""
    class_colors: bool = False
    """Colour the points of labels.ply by their classes; their own colours stay, as original_red and so on."""


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
    from ditr.data.preparation import profile_rule
    from ditr.inference.explain import unlike_training, used_views
    from ditr.inference.segmenter import Segmenter
    from ditr.io.files import results_folder
    from ditr.runtime import progress_bars

    votes = voting(args.vote, args.variants, args.thin)
    names = _names()
    out = folder_for(
        args.out or Path(f"{scene.name}-labels"), names, overwrite=args.overwrite, needed=_POINT_BYTES * len(scene)
    )
    if (said := stated_options([args.capture])) is not None:
        remark(said)
    photographs = args.model is None or takes_photographs(args.model)
    with phase("look at it"):
        scene = judged(scene, force=args.reading.force, photographs=photographs)
    model = args.model if args.model is not None else _chosen_model(scene)
    _require_inputs(scene, model, force=args.reading.force)
    with phase(f"load {model}"):
        cache = make_cache(args.cache, use_cache=not args.no_cache)
        segmenter = Segmenter.from_pretrained(model, device=args.device, cache=cache, precision=args.precision)
    _require_photographs(scene, segmenter.config, model, force=args.reading.force)
    if segmenter.config.labels is not None and (meaning := segmenter.config.labels.meaning()) is not None:
        say_finding(meaning)
        scene = replace(scene, findings=(*scene.findings, meaning))
    rule = None if args.reading.profile is None else profile_rule(scene)[1]
    remark("\n".join(used_views(segmenter, scene, rule, seed=args.seed)))
    titles = (*(() if segmenter.encoding is None else ("photographs",)), "votes")
    alone = segmenter.encoding is None and votes is None
    with phase("label the points") if alone else nullcontext(), progress_bars(*titles, quiet=alone) as reports:
        if segmenter.encoding is not None:
            segmenter.encoding.progress = reports[0]
        prediction = segmenter(
            scene,
            seed=args.seed,
            rule=rule,
            votes=voting(args.vote, args.variants, args.thin, reports[-1]),
        )
    unlike = unlike_training(segmenter.config, prediction)
    if unlike is not None:
        prediction = replace(prediction, scene=replace(prediction.scene, findings=(*prediction.scene.findings, unlike)))
    if args.min_confidence is not None:
        prediction = prediction.at_least(args.min_confidence)
    with phase(f"write to {out}"), results_folder(out, names) as new:
        _write(args, prediction, segmenter.config, new)
    _account(segmenter.config, prediction)
    if unlike is not None:
        print(f"ditr: warning: {unlike}", file=sys.stderr)
    print(f"written to {out}")


def _require_inputs(scene: Scene, model: str, *, force: bool) -> None:
    """What the model takes, where this is known before it is loaded.

    Raises:
        InputError: naming all that the points lack.
    """
    from ditr.data.sample import require_attributes
    from ditr.weights.pretrained import known_config

    if (config := known_config(model)) is not None:
        require_attributes(scene, config.preparation, estimate=True)
        _require_photographs(scene, config, model, force=force)


def _require_photographs(scene: Scene, config: ModelConfig, model: str, *, force: bool) -> None:
    """Refuse a cloud without photographs for a model that takes them, unless that is wanted.

    Raises:
        InputError: naming a model that takes none.
    """
    from ditr.errors import InputError
    from ditr.weights.suggest import suggest_model

    if scene.views or not config.takes_images or force or scene.reading.max_views == 0:
        return
    try:
        other = f"Use {suggest_model(scene).model.name} (--model), which takes none; or train"
    except InputError:
        other = "Train"
    raise InputError(
        f"scene {scene.name}",
        f"it has no photographs, and {model} takes them as input",
        f"{other} a model without (`ditr train --encoder none`); --force labels it as if no photograph showed it",
    )


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


def _names() -> tuple[str, ...]:
    """All files that results may have."""
    from ditr.captures.las_labels import LAS_FILES
    from ditr.inference.prediction import LABEL_FILES

    return (*LABEL_FILES, *LAS_FILES, _PICTURE)


def _write(args: Segment, prediction: Prediction, config: ModelConfig, new: Path) -> None:
    """All results, or none."""
    from ditr.captures.las_labels import las_name, write_las_labels
    from ditr.pictures.palette import label_colors

    label, names = prediction.label, prediction.class_names
    prediction.save(new, colors=label_colors(label, len(names), config.class_colors) if args.class_colors else None)
    if (name := las_name(args.capture)) is not None:
        write_las_labels(args.capture, new / name, label, prediction.confidence, names)
    if not args.no_pictures:
        _draw(prediction, config, new / _PICTURE)


def _draw(prediction: Prediction, config: ModelConfig, path: Path) -> None:
    """The labels in some photographs and in 3D; those that cannot be read are named, since the labels are there."""
    from ditr.pictures.panels import class_legend, save_picture, sheet
    from ditr.pictures.pictures import labels_panels, spread_views

    scene, colors = prediction.scene, config.class_colors
    views = [view for view in spread_views(scene.posed_views, 4) if _can_be_read(view, path)]
    panels = labels_panels(scene, prediction.label, prediction.class_names, views, what="Labels", colors=colors)
    legend = class_legend(prediction.class_names, prediction.label, colors=colors)
    save_picture(path, sheet(panels, title=scene.name, legends=[legend]))


def _can_be_read(view: View, picture: Path) -> bool:
    from ditr.captures.images import read_image
    from ditr.errors import InputError

    try:
        read_image(view)
    except InputError as error:
        print(f"ditr: warning: {error} It is left out of {picture.name}.", file=sys.stderr)
        return False
    return True

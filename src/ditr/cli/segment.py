"""``ditr segment``: a label for every point of a capture."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from ditr.scene import View
    from ditr.segmenter import Prediction

__all__ = ["Segment", "run"]


@dataclass(frozen=True)
class Segment:
    """Label every point of a capture with a trained model. No labels are needed.

    Writes labels.ply (all properties of the points, with label and confidence), label.npy, confidence.npy,
    summary.json and pictures. A model that takes images needs all photographs; for one that takes none, a photograph
    that cannot be read is only missing from the pictures.
    """

    capture: Annotated[Path, tyro.conf.Positional]
    """Folder with transforms.json, the photographs and a PLY."""
    model: Path
    """Folder of a finished run."""
    out: Path | None = None
    """Folder for the results; by default CAPTURE's name with -labels, in the current folder."""
    profile: Literal["indoor", "outdoor"] | None = None
    """Which points a view shows; by default as in the model's training."""
    up: str | None = None
    """Direction against gravity, as 0,0,1; by default found from the cameras."""
    substitute: tuple[str, ...] = ()
    """ATTRIBUTE=VALUE for attributes that the points lack, as color=127.5."""
    strength_scale: float | None = None
    """The capture's intensities are divided by it (255 for nuScenes); by default as in the model's training."""
    seed: int = 0
    """Of the choice among the views that show a point."""
    vote: bool = False
    """Let every point vote, not one for each voxel: slower, and the published way to test."""
    variants: Literal["indoor", "s3dis", "nuscenes", "rotations", "none"] | None = None
    """Vote over turned, scaled and flipped variants of the scene too, in the published sets; implies --vote."""
    thin: float | None = None
    """With votes: first keep a random point of each voxel of this size in metres; the others take its label."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    cache: Path | None = None
    """Folder in which features of photographs are kept; by default under the user's cache folder."""
    no_cache: bool = False
    """Encode photographs anew and do not round their features to 16 bits."""
    no_pictures: bool = False
    """Write no pictures."""


def run(args: Segment) -> None:
    """Label, write, and print the summary."""
    from ditr.cli.common import folder_for, make_cache, parse_direction, parse_substitutes, progress_bars, voting
    from ditr.data.readers.capture import read_capture
    from ditr.data.scene_views import profile_rule
    from ditr.segmenter import Segmenter

    scene = read_capture(args.capture)
    out = folder_for(args.out or Path(f"{scene.name}-labels"))
    segmenter = Segmenter.load(
        args.model, device=args.device, cache=make_cache(args.cache, use_cache=not args.no_cache)
    )
    rule = None if args.profile is None else profile_rule(scene, args.profile)[1]
    print(f"visibility: {rule or segmenter.config.preparation.rule}")
    substitutes = {attribute.value: value for attribute, value in parse_substitutes(args.substitute)}
    titles = (*(() if segmenter.encoding is None else ("photographs",)), "votes")
    quiet = segmenter.encoding is None and voting(args.vote, args.variants, args.thin) is None
    with progress_bars(*titles, quiet=quiet) as reports:
        if segmenter.encoding is not None:
            segmenter.encoding.progress = reports[0]
        prediction = segmenter(
            scene,
            seed=args.seed,
            up=parse_direction(args.up),
            rule=rule,
            substitutes=substitutes,
            votes=voting(args.vote, args.variants, args.thin, reports[-1]),
        )
    if prediction.up != (0.0, 0.0, 1.0):
        x, y, z = prediction.up
        source = "found from the cameras" if args.up is None else "as told"
        print(f"up is ({x:.2f}, {y:.2f}, {z:.2f}), {source}; the scene was turned for the network")
    if prediction.normals is not None:
        print(f"normals: {prediction.normals}, since the points have none")
    prediction.save(out)
    if not args.no_pictures:
        _draw(prediction, out / "labels.png")
    summary = prediction.summary()
    share = "" if prediction.seen_by is None else f", {summary['share_of_points_seen']:.1%} of them in some view"
    print(f"{summary['points']} points{share}; mean confidence {summary['mean_confidence']:.2f}")
    for name, count in sorted(summary["points_per_class"].items(), key=lambda item: -item[1]):
        if count:
            print(f"  {name:20} {count:9d}  {count / summary['points']:6.1%}")
    print(f"written to {out}")


def _draw(prediction: Prediction, path: Path) -> None:
    """The labels in some photographs and in 3D; those that cannot be read are named, since the labels are there."""
    from ditr.viewing.panels import class_legend, save_picture, sheet
    from ditr.viewing.pictures import labels_panels, spread_views

    scene = prediction.scene
    views = [view for view in spread_views(scene.views, 4) if _can_be_read(view, path)]
    panels = labels_panels(scene, prediction.label, prediction.class_names, views, what="Labels")
    legend = class_legend(prediction.class_names, prediction.label)
    save_picture(path, sheet(panels, title=scene.name, legends=[legend]))


def _can_be_read(view: View, picture: Path) -> bool:
    from ditr.data.readers.images import read_image
    from ditr.files import InputError

    try:
        read_image(view)
    except InputError as error:
        print(f"ditr: warning: {error} It is left out of {picture.name}.", file=sys.stderr)
        return False
    return True

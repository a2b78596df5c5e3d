"""``ditr evaluate``: how well a model labels captures whose labels are known."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ditr.cli.evaluate_options import Evaluate
from ditr.cli.options import OfDataset

if TYPE_CHECKING:
    from ditr.captures.classes import LabelCounts
    from ditr.evaluation.evaluate import Evaluation
    from ditr.evaluation.scene_scores import SceneScores
    from ditr.inference.prediction import Prediction
    from ditr.inference.segmenter import Segmenter
    from ditr.plausibility.many import Look
    from ditr.scene import ReadOptions
    from ditr.weights.saved_model import ModelConfig

__all__ = ["Evaluate", "run"]


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
            raise InputError(
                f"--{one.name}",
                "it is only for prepared datasets",
                "Name the dataset in --data with --dataset, or leave it out",
            )


def _run(args: Evaluate) -> None:
    from ditr.captures.folders import find_captures

    reading = args.reading.options()
    captures = find_captures(args.data, reading)  # told before torch has loaded
    from ditr.captures.read_options import options_as_json, stated_options
    from ditr.cli.common import make_cache
    from ditr.cli.output import remark
    from ditr.evaluation.scene_scores import SceneScores
    from ditr.inference.segmenter import Segmenter
    from ditr.io.files import atomic_path, write_json
    from ditr.plausibility.many import plain
    from ditr.runtime import phase

    args.votes.procedure()  # which refuses options before anything is read
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
    scores = SceneScores()
    page = None if args.no_report else out.with_suffix(".html")
    with atomic_path(out) as file, _page(page) as report, _labels_folder(args.save_labels) as folder:
        evaluation = _evaluate(args, segmenter, captures, reading, folder, scores)
        figures = {
            **evaluation.to_json(),
            "seed": args.seed,
            "swap_images": args.swap_images,
            "vote": args.votes.by_votes,
            "variants": args.votes.variants,
            "thin": args.votes.thin,
            "smooth": args.votes.smooth,
            "reading": options_as_json(reading),
            "share_of_points_counted": round(labels.share, 4),
            "temperature": segmenter.config.temperature,
            **plain(looks, skipped),
            "encoder_weights": None if segmenter.config.encoder is None else segmenter.config.encoder.weights,
        }
        write_json(file, figures)
        if report is not None:
            _report(args, segmenter, evaluation, figures, scores, looks, report)
    _say(figures, labels, out)
    if page is not None:
        print(f"report in {page}")


def _out(args: Evaluate, captures: list[Path]) -> Path:
    """The file for the figures, where it and the labels can be written.

    Raises:
        InputError: a folder, or earlier results that may not be replaced.
        OSError: it cannot be written.
    """
    from ditr.cli.common import folder_for, require_new
    from ditr.errors import InputError
    from ditr.inference.prediction import LABEL_FILES
    from ditr.io.files import require_room

    out = args.out or (Path(args.model) if Path(args.model).is_dir() else Path()) / "evaluation.json"
    if out.is_dir():
        raise InputError(out, "it is a folder", "Name a JSON file for the figures")
    require_new(
        [out, *([] if args.no_report else [out.with_suffix(".html")])], overwrite=args.overwrite, option="--out"
    )
    require_room(out)
    if args.save_labels is not None:
        names = [f"{capture.name}/{name}" for capture in captures for name in LABEL_FILES]
        folder_for(args.save_labels, names, overwrite=args.overwrite, option="--save-labels")
    return out


def _page(path: Path | None) -> AbstractContextManager[Path | None]:
    """A temporary file for the report, which takes its place at the end; none if it is not wanted."""
    from ditr.io.files import atomic_path

    return nullcontext() if path is None else atomic_path(path)


def _report(
    args: Evaluate,
    segmenter: Segmenter,
    evaluation: Evaluation,
    figures: dict[str, Any],
    scores: SceneScores,
    looks: list[Look],
    path: Path,
) -> None:
    from ditr.cli.provenance import provenance
    from ditr.evaluation.report import evaluation_report
    from ditr.inference.assumptions import of_encoder, of_scenes
    from ditr.pictures.report import write_report

    scenes = [look.outline for look in looks if look.outline is not None]
    page = evaluation_report(
        f"{Path(args.model).name} on {Path(args.data).name}",
        evaluation.class_names,
        evaluation.counts,
        figures,
        provenance(
            ("model", args.model),
            ("data", str(args.data)),
            findings=[of_encoder(segmenter.encoding), *of_scenes(scenes, segmenter.config.preparation)],
        ),
        calibration=evaluation.calibration,
        scenes=scores,
        findings=[finding for look in looks for finding in look.findings],
    )
    write_report(path, page)


def _labels_folder(path: Path | None) -> AbstractContextManager[Path | None]:
    """A temporary folder for labels, which take their places in ``path`` at the end; none if they are not wanted."""
    from ditr.inference.prediction import LABEL_FILES
    from ditr.io.files import results_folder

    return nullcontext() if path is None else results_folder(path, LABEL_FILES)


def _evaluate(
    args: Evaluate,
    segmenter: Segmenter,
    captures: list[Path],
    reading: ReadOptions,
    folder: Path | None,
    scores: SceneScores,
) -> Evaluation:
    """Label all captures, keep their labels in ``folder``, and score each of them for the report."""
    from ditr.evaluation.evaluate import evaluate
    from ditr.runtime import progress_bar

    finished = 0

    def keep(index: int, prediction: Prediction) -> None:
        nonlocal finished
        finished = index + 1
        if not args.no_report:
            scores.add(prediction)
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
            votes=args.votes.procedure(within),
            keep=keep,
            progress=report,
        )


def _say(figures: dict[str, Any], labels: LabelCounts, out: Path) -> None:
    """The table."""
    from ditr.cli.figures import say_apart, say_classes
    from ditr.errors import counted

    print(
        f"mIoU {figures['miou']:.1f} over all {len(labels.per_class)} classes, {figures['miou_present']:.1f} over the "
        f"{len(labels.occurring)} that occur; {labels.share:.1%} of {labels.points} points counted, "
        f"in {counted(figures['scenes'], 'scene')}"
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

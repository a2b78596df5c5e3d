"""``ditr evaluate --dataset``: how well a model labels a split of a prepared dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ditr.cli.captures import takes_photographs
from ditr.cli.common import require_new
from ditr.cli.evaluate_options import Evaluate
from ditr.cli.figures import say_split
from ditr.cli.options import Reading
from ditr.cli.output import remark
from ditr.cli.tested import Split, load, open_split, progress_within
from ditr.data.preparation import Origin
from ditr.datasets.benchmark import Benchmark
from ditr.datasets.table import by_name
from ditr.errors import InputError
from ditr.evaluation.counts import Counts
from ditr.evaluation.split import count_split
from ditr.evaluation.verify import published_voting
from ditr.evaluation.voting import Voting
from ditr.io.files import require_room, write_json

__all__ = ["run"]


def run(args: Evaluate, dataset: str) -> None:
    """Evaluate, write the figures and print the table."""
    benchmark = by_name(dataset)
    _require(args, benchmark)
    opened = _open(args, benchmark)
    out = _out(args, benchmark)
    model = load(args.model, device=args.device, norms=args.of.norms, last=args.of.last)
    if model.segmenter.config.takes_images and not opened.images:
        raise InputError(
            args.data,
            "its photographs are missing, which the model needs",
            "Prepare the whole dataset, with its photographs",
        )
    classes = model.segmenter.config.class_names
    from_sensor = benchmark.without_images.origin is Origin.SENSOR
    counts = Counts.empty(len(classes), visible=opened.images, distance=from_sensor)
    path = out.with_suffix("") / "evaluation.json"
    total = len(opened.source)
    with progress_within(f"evaluate {model.name}", min(total, args.of.limit or total)) as (scenes, within):
        counted = count_split(
            model.segmenter,
            opened.source,
            _votes(args, benchmark, within),
            path,
            counts,
            weights=model.weights,
            settings={**opened.settings(model.segmenter, args.of.norms), "images": opened.images},
            limit=args.of.limit,
            seed=args.seed,
            again=args.overwrite,
            progress=scenes,
        )
    figures = {
        "of": dict(counted.identity),
        **counts.figures(classes, benchmark.counting),
        "scenes": counted.scenes,
        "scenes_of_split": total,
    }
    for file in (path, out):
        write_json(file, figures)
    if counted.kept:
        print(f"{counted.kept} of {counted.scenes} scenes were already counted, in {path.parent}")
    say_split(figures, benchmark.name)
    print(f"on {counted.scenes} of {total} scenes of {benchmark.name} {args.of.split}, {_procedure(args)}")
    print(f"written to {out}; what is kept of each scene is in {path.parent}")


def _require(args: Evaluate, benchmark: Benchmark) -> None:
    """Refuse what is for captures alone, before anything is read.

    Raises:
        InputError: naming the option.
    """
    for option, given in (
        ("--swap-images", args.swap_images),
        ("--skip-bad-scenes", args.skip_bad_scenes),
        ("--save-labels", args.save_labels is not None),
        ("--smooth", args.votes.smooth),
        ("--precision", args.precision is not None),
        ("--cache", args.cache is not None),
    ):
        if given:
            raise InputError(option, "it is for captures, not for datasets", "Leave it out")
    if args.reading != Reading():
        raise InputError(
            "--dataset", "a dataset is always read as published", "Leave out the options for reading captures"
        )
    if args.of.limit is not None and args.of.limit < 1:
        raise InputError("--limit", f"it is {args.of.limit}", "Give 1 or more")
    _votes(args, benchmark, None)


def _votes(args: Evaluate, benchmark: Benchmark, within: Callable[[float, float], None] | None) -> Voting | None:
    """The procedure: with --vote the published one, of which --variants and --thin change a part."""
    votes, chosen = args.votes, args.votes.procedure(within)
    if not isinstance(chosen, Voting):
        return None
    if not votes.vote:
        return chosen
    published = published_voting(benchmark, within)
    variants = published.variants if votes.variants is None else chosen.variants
    return Voting(variants, thin=published.thin if votes.thin is None else votes.thin, progress=within)


def _procedure(args: Evaluate) -> str:
    votes = args.votes
    if not votes.by_votes:
        return "a point for each voxel (--vote is the published test)"
    published = votes.variants is None and votes.thin is None
    return "by the votes of the published test" if published else "by votes"


def _open(args: Evaluate, benchmark: Benchmark) -> Split:
    """The scenes, with photographs where they are there: visible points are those that some photograph shows, for a
    model without them too.

    Raises:
        InputError: the dataset is not whole.
    """
    try:
        return open_split(benchmark.name, args.data, args.of.split, images=True)
    except InputError as fault:
        if takes_photographs(args.model):
            raise
        opened = open_split(benchmark.name, args.data, args.of.split, images=False)
        remark(f"note: without photographs, visible points are not counted separately: {fault.told()}")
        return opened


def _out(args: Evaluate, benchmark: Benchmark) -> Path:
    """The file for the figures.

    Raises:
        InputError: a name that cannot be, or earlier figures that may not be replaced.
        OSError: it cannot be written.
    """
    folder = Path(args.model) if Path(args.model).is_dir() else Path()
    out = args.out or folder / f"evaluation-{benchmark.name}-{args.of.split}.json"
    if out.is_dir() or not out.suffix:
        raise InputError(out, "this is not a file name", "Name a JSON file for the figures")
    require_new([out], overwrite=args.overwrite)
    require_room(out)
    return out

"""``ditr verify``: does a model reach its published figure on the validation set?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from ditr.evaluation.verify import Verification

__all__ = ["Verify", "run"]


@dataclass(frozen=True)
class Verify:
    """Test a model on a prepared dataset as the paper does, and compare with the published mIoU.

    Of a run, the checkpoint that was best in validation (RUN/best) is tested where there is one, as in the paper.
    Results are kept scene by scene: the same command goes on where it was stopped.
    """

    dataset: Annotated[str, tyro.conf.Positional]
    """One that the paper tests on, such as ScanNet, S3DIS or nuScenes."""
    model: Annotated[str, tyro.conf.arg(metavar="MODEL")]
    """Short name of a published model (`ditr weights`), hub repository, folder of a run or saved model, or checkpoint
    file."""
    data: Path
    """Folder with scannet, nuscenes, ..., prepared as for the published code, or the dataset's own."""
    last: bool = False
    """Of a run, test the last checkpoint and not the best one."""
    split: str = "val"
    """Of the dataset; it has to have labels."""
    limit: int | None = None
    """Only the first so many scenes; there is then no verdict."""
    published: float | None = None
    """mIoU in percent to compare with; by default that of the published model of this name."""
    out: Path | None = None
    """Folder of the results; by default verify-DATASET-SPLIT-MODEL here."""
    norms: str | None = None
    """Which norms to use, where a joint model has them per dataset; by default the model's own."""
    seed: int = 0
    """Seed of everything that is drawn."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""


def run(args: Verify) -> None:
    """Verify and print the table; exits with 1 where the figure is missed."""
    import sys

    from ditr.cli.captures import takes_photographs
    from ditr.cli.common import folder_for
    from ditr.cli.tested import load, open_split, progress_within
    from ditr.datasets.table import by_name
    from ditr.errors import InputError
    from ditr.evaluation.verify import published_voting, verify
    from ditr.weights.published import PUBLISHED

    benchmark = by_name(args.dataset)
    published_voting(benchmark)  # which refuses a dataset without tests before anything is loaded
    if args.limit is not None and args.limit < 1:
        raise InputError("--limit", f"it is {args.limit}", "Give 1 or more")
    known = {model.name: model.miou for model in PUBLISHED}
    expected = known.get(args.model) if args.published is None else args.published
    images = takes_photographs(args.model)
    opened = open_split(benchmark.name, args.data, args.split, images=images)
    model = load(args.model, device=args.device, norms=args.norms, last=args.last)
    out = folder_for(args.out or Path(f"verify-{benchmark.name}-{args.split}-{model.name}"))
    if model.segmenter.config.takes_images != images:  # a repository of the hub is known only now
        opened = open_split(benchmark.name, args.data, args.split, images=not images)
    wanted = min(len(opened.source), args.limit or len(opened.source))
    with progress_within(f"verify {model.name}", wanted) as (scenes, within):
        found = verify(
            model.segmenter,
            opened.source,
            published_voting(benchmark, within),
            out,
            weights=model.weights,
            settings=opened.settings(model.segmenter, args.norms),
            published=expected,
            limit=args.limit,
            seed=args.seed,
            progress=scenes,
        )
    _say(found, expected)
    print(f"written to {out}")
    if found.passed is not None:
        print("pass" if found.passed else "fail")
    elif expected is not None:
        print("no verdict: only the whole split has one")
    if found.passed is False:
        sys.exit(1)


def _say(found: Verification, expected: float | None) -> None:
    for name, iou in zip(found.class_names, found.matrix.iou, strict=True):
        print(f"  {name:28} {100 * iou:6.1f}")
    figure = "none known" if expected is None else f"{expected:.1f}"
    print(f"mIoU {found.miou:.1f}, published {figure}, on {found.scenes} of {found.total} scenes")

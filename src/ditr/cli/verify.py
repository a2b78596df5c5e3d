"""``ditr verify``: does a model reach its published figure on the validation set?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ditr.cli.options import UNSET

if TYPE_CHECKING:
    from ditr.evaluation.verify import Verification

__all__ = ["Verify", "run"]


@dataclass(frozen=True)
class Verify:
    """Test a model on a prepared dataset as the paper does, and compare with the published mIoU.

    $ ditr verify ScanNet200 --model ditr-scannet200-dinov2-l --data ROOT

    For a run, the best checkpoint in validation (RUN/best) is tested if there is one, as in the paper. Results are
    saved scene by scene, so the same command resumes after an interruption.
    """

    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Dataset that the paper tests on, such as ScanNet, S3DIS or nuScenes."""
    model: Annotated[str, tyro.conf.arg(metavar="MODEL")]
    """Short name of a published model (see `ditr weights`), hub repository, folder of a run or saved model, or
    checkpoint file."""
    data: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Folder with scannet, nuscenes, ..., prepared as for the published code, or the folder of the dataset itself."""
    last: Annotated[bool, UNSET] = False
    """For a run, test the last checkpoint instead of the best one."""
    split: Annotated[str, tyro.conf.arg(metavar="SPLIT")] = "val"
    """Split to test on; it must have labels."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """Test only the first N scenes; there is then no verdict."""
    published: Annotated[float | None, tyro.conf.arg(metavar="MIOU"), UNSET] = None
    """mIoU in percent to compare with; the default is that of the published model of this name."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder for the results; the default is verify-DATASET-SPLIT-MODEL in the current folder."""
    norms: Annotated[str | None, tyro.conf.arg(metavar="DATASET"), UNSET] = None
    """For a joint model with separate norms for each dataset, the dataset whose norms are used. The default is the
    model's own."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Random seed."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes a GPU if there is one."""


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
        print("no verdict, since not the whole split was tested")
    if found.passed is False:
        sys.exit(1)


def _say(found: Verification, expected: float | None) -> None:
    for name, iou in zip(found.class_names, found.matrix.iou, strict=True):
        print(f"  {name:28} {100 * iou:6.1f}")
    figure = "none known" if expected is None else f"{expected:.1f}"
    print(f"mIoU {found.miou:.1f}, published {figure}, on {found.scenes} of {found.total} scenes")

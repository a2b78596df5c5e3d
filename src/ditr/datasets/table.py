"""The datasets of the paper, a line each. A new dataset is one file or folder beside this file and one line here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ditr.datasets import nuscenes, s3dis, scannet, scannetpp, semantic_kitti, structured3d, waymo
from ditr.datasets.benchmark import Benchmark
from ditr.datasets.limited import Annotated, annotated_points, limited
from ditr.datasets.raw import RawFormat
from ditr.datasets.submission import Archive, SubmissionFormat
from ditr.errors import InputError, nearest
from ditr.scene import SceneSource

__all__ = ["BENCHMARKS", "by_name", "meant_for", "open_dataset", "raw_format", "refuse_raw", "submission_format"]

BENCHMARKS: tuple[Benchmark, ...] = (
    scannet.SCANNET,
    scannet.SCANNET200,
    s3dis.S3DIS,
    structured3d.STRUCTURED3D,
    nuscenes.NUSCENES,
    semantic_kitti.SEMANTIC_KITTI,
    waymo.WAYMO,
    scannetpp.SCANNETPP,
)


def by_name(name: str) -> Benchmark:
    """The benchmark of a name; capitals do not matter.

    Raises:
        InputError: there is none; the text says which one was probably meant.
    """
    known = {benchmark.name.casefold(): benchmark for benchmark in BENCHMARKS}
    if name.casefold() in known:
        return known[name.casefold()]
    near = nearest(name.casefold(), known)
    names = ", ".join(benchmark.name for benchmark in BENCHMARKS)
    hint = f"Did you mean {known[near].name!r}?" if near else f"Use one of {names}"
    raise InputError("dataset", f"there is no dataset called {name!r}", hint)


def open_dataset(
    benchmark: str,
    root: str | Path,
    split: str | Sequence[str],
    *,
    images: bool | str | Path = True,
    scenes: str | Path | None = None,
    annotations: str | Path | None = None,
) -> SceneSource:
    """A prepared dataset; the layouts are described in each dataset's file.

    Args:
        benchmark: one of ``BENCHMARKS``; capitals do not matter.
        root: its folder, such as ``data/scannet``.
        split: as the dataset calls it, or several, whose scenes follow one another: ``["train", "val"]``.
        images: with the photographs, from the folder in which the published code expects them (``data/scannet_images``
            for ``data/scannet``, ``_color`` for SemanticKITTI, inside the root for nuScenes and Waymo) or from the one
            that is named here; False without. ScanNet++, for which none are published, has them where
            there is such a folder.
        scenes: a text file of names of scenes, one per line; only these are kept (limited reconstructions).
        annotations: a file of torch.save with a dictionary from scenes to numbers of points; all other points become
            unlabelled (limited annotations). Scenes that it does not name lose all labels. The published training
            also keeps its augmentations from dropping these points, which is not done here.

    Raises:
        InputError: no such benchmark or split, or files that are missing; the text says which layout is expected.
    """
    dataset = by_name(benchmark)
    root, splits = Path(root), [split] if isinstance(split, str) else list(split)
    if not splits or len(set(splits)) < len(splits):
        raise InputError(root, "no split is named, or one is named twice", "Name each split once")
    if not root.is_dir():
        remedy = f"Name the folder of {dataset.name}, prepared for the published code"
        raise InputError(root, "there is no such folder", remedy)
    refuse_raw(dataset, root, images)
    source = dataset.open(root, splits, images if isinstance(images, bool) else Path(images))
    if scenes is not None:
        source = limited(source, Path(scenes))
    return source if annotations is None else Annotated(source, annotated_points(Path(annotations)))


def refuse_raw(dataset: Benchmark, root: Path, images: bool | str | Path = True) -> None:
    """Answer an official download, where a prepared one is wanted, with the command that prepares it.

    Args:
        dataset: the benchmark.
        root: the folder.
        images: as for :func:`open_dataset`.

    Raises:
        InputError: ``root`` is such a download.
    """
    if dataset.raw is None or (root / "manifest.json").exists() or not dataset.raw.recognises(root):
        return
    if dataset.raw.sweeps_in_place and images is not True:
        return
    name = dataset.name.lower()
    command = f"ditr prepare {name} {root} {root.absolute().with_name(dataset.folder)}"
    raise InputError(root, f"this is the download of {dataset.name}, which must be prepared first", f"Run {command}")


def raw_format(dataset: Benchmark) -> RawFormat:
    """How the download of a dataset is read.

    Raises:
        InputError: it is not.
    """
    if dataset.raw is None:
        known = ", ".join(benchmark.name for benchmark in BENCHMARKS if benchmark.raw is not None)
        raise InputError(dataset.name, "ditr prepare does not support it yet", f"Supported are {known}")
    return dataset.raw


def submission_format(dataset: Benchmark) -> SubmissionFormat:
    """What the server of a dataset takes.

    Raises:
        InputError: nothing is written for it.
    """
    if dataset.submission is None:
        known = ", ".join(benchmark.name for benchmark in BENCHMARKS if benchmark.submission is not None)
        raise InputError(dataset.name, "submissions to its server are not supported", f"Supported are those to {known}")
    return dataset.submission


def meant_for(archive: Archive) -> Benchmark | None:
    """The benchmark that an archive is clearly meant for; None where it could be for none or for several."""
    found = [one for one in BENCHMARKS if one.submission is not None and one.submission.resembles(archive)]
    return found[0] if len(found) == 1 else None

"""Where the datasets of a recipe lie on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ditr.datasets.table import by_name, open_dataset
from ditr.errors import InputError
from ditr.scene import SceneSource
from ditr.training.recipe import JointDataset, Recipe

__all__ = ["dataset_root", "is_prepared", "open_datasets"]


def is_prepared(recipe: Recipe) -> bool:
    """Whether the recipe's scenes are those of prepared datasets, and not captures."""
    return any(data.splits for data in recipe.datasets)


def dataset_root(name: str, root: Path) -> Path:
    """The folder of a dataset: the one of its name in ``root``, or ``root`` itself where there is none.

    Raises:
        InputError: no such dataset, or ``root`` is not a folder.
    """
    folder = by_name(name).folder
    if not root.is_dir():
        raise InputError(root, "there is no such folder", f"Name the folder with {folder}, prepared as published")
    inner = root / folder
    return inner if inner.is_dir() else root


def open_datasets(recipe: Recipe, root: Path) -> tuple[Mapping[str, SceneSource], SceneSource | None]:
    """The scenes that a recipe learns from, by dataset, and those on which it is tried out, if it is.

    Args:
        recipe: of prepared datasets.
        root: folder with ``scannet``, ``nuscenes``, and so on; for a single dataset also its own.

    Raises:
        InputError: a dataset is not there, or part of it.
    """
    images = recipe.encoder is not None
    sources = {data.name: _open(data, data.splits, root, images) for data in recipe.datasets}
    main = recipe.datasets[0]
    return sources, _open(main, main.held_out, root, images, limited=False) if main.held_out else None


def _open(
    data: JointDataset, splits: tuple[str, ...], root: Path, images: bool, *, limited: bool = True
) -> SceneSource:
    folder = dataset_root(data.name, root)
    scenes = folder / data.scenes if limited and data.scenes is not None else None
    return open_dataset(data.name, folder, splits, images=images, scenes=scenes)

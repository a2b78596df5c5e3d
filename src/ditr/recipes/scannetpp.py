"""ScanNet++. Its published files have no photographs: the recipe with them fills in what is not known from ScanNet."""

from __future__ import annotations

from dataclasses import replace

from ditr.datasets import scannet, scannetpp
from ditr.recipes.common import LARGE, indoor, with_images
from ditr.training.recipe import JointDataset, Recipe

__all__ = ["ditr", "ptv3"]

TILES = "grid1mm_chunk6x6_stride3x3"
"""Of 6 x 6 m, every 3 m; the published folders of them are called so though their voxels are of 10 mm."""


def ptv3() -> Recipe:
    """Points alone, 800 epochs as in the published configuration; the paper says 400."""
    main = JointDataset("ScanNet++", splits=(f"train_{TILES}",), held_out=("val",))
    return indoor(main, scannetpp.preparation(False), crop=204_800)


def ditr() -> Recipe:
    """With photographs, 400 epochs: the paper's number, for no configuration of this run is published. Size, number
    and visibility of the photographs are those of ScanNet, which is a guess."""
    recipe = with_images(ptv3(), scannet.preparation(True), LARGE)
    return replace(recipe, epochs=400, validate_epochs=4)

"""The one table of the paper's runs: names, what they are, and the figure that the paper has for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ditr.errors import InputError, nearest
from ditr.recipes import nuscenes, s3dis, scannet, scannetpp, semantic_kitti, waymo
from ditr.recipes.captures import SIZES
from ditr.training.recipe import Recipe

__all__ = ["RECIPES", "NamedRecipe", "find_recipe"]


@dataclass(frozen=True)
class NamedRecipe:
    """A run of the paper.

    Attributes:
        name: dataset and method.
        what: in a few words.
        make: gives the recipe.
        figure: mIoU in percent as the paper has it, on the validation set if nothing else is said; empty where it has
            none.
        start: name of the recipe whose student this run starts from; None for random weights.
    """

    name: str
    what: str
    make: Callable[[], Recipe]
    figure: str = ""
    start: str | None = None


_INDOOR = "scannet+structured3d/distill"
_OUTDOOR = "nuscenes+semantic_kitti+waymo/distill"
_SHORT = "at 10 %"
# Table 7, by percent of the scenes: from random weights, and distilled.
_LIMITED = {1: ("26.0", "34.1"), 5: ("47.8", "56.6"), 10: ("56.7", "65.2"), 20: ("62.9", "68.3"), 100: ("72.2", "76.2")}

RECIPES = (
    NamedRecipe("scannet/ptv3", "PTv3, points alone", scannet.ptv3, "76.8"),
    NamedRecipe("scannet/ditr", "DITR, 10 photographs", scannet.ditr, "80.5"),
    NamedRecipe("scannet/distill", "D-DITR, student of ScanNet alone", scannet.distill),
    NamedRecipe(_INDOOR, "D-DITR, student of both, norms per dataset", scannet.distill_jointly),
    NamedRecipe("scannet/d-ditr", f"D-DITR fine-tuned {_SHORT}", scannet.d_ditr, "79.2", _INDOOR),
    NamedRecipe("scannet/d-ditr-full", "D-DITR fine-tuned in full", scannet.fine_tune_fully, "", _INDOOR),
    NamedRecipe(
        "scannet/d-ditr-single", f"D-DITR fine-tuned {_SHORT}", scannet.fine_tune_single, "78.6", "scannet/distill"
    ),
    NamedRecipe("scannet200/ptv3", "PTv3, points alone", partial(scannet.ptv3, "ScanNet200"), "35.4"),
    NamedRecipe("scannet200/ditr", "DITR, 10 photographs", partial(scannet.ditr, "ScanNet200"), "41.2"),
    NamedRecipe(
        "scannet200/d-ditr",
        "D-DITR fine-tuned in full",
        partial(scannet.fine_tune_fully, "ScanNet200"),
        "37.7",
        _INDOOR,
    ),
    NamedRecipe(
        "scannet200/d-ditr-single",
        "D-DITR fine-tuned in full",
        partial(scannet.fine_tune_single, "ScanNet200"),
        "37.2",
        "scannet/distill",
    ),
    NamedRecipe("scannet/minkunet-distill", "D-DITR, MinkUNet student", scannet.minkunet_distill),
    *(
        NamedRecipe(
            f"scannet/minkunet-{percent}",
            f"MinkUNet, {percent} % of the scenes",
            partial(scannet.minkunet, percent),
            miou,
        )
        for percent, (miou, _) in _LIMITED.items()
    ),
    *(
        NamedRecipe(
            f"scannet/d-minkunet-{percent}",
            f"MinkUNet fine-tuned, {percent} % of the scenes",
            partial(scannet.d_minkunet, percent),
            miou,
            "scannet/minkunet-distill",
        )
        for percent, (_, miou) in _LIMITED.items()
    ),
    NamedRecipe("scannetpp/ptv3", "PTv3, points alone", scannetpp.ptv3, "48.8 test"),
    NamedRecipe("scannetpp/ditr", "DITR, photographs chosen as for ScanNet", scannetpp.ditr, "52.5 test"),
    NamedRecipe("s3dis/ptv3", "PTv3, points alone", s3dis.ptv3, "72.1"),
    NamedRecipe("s3dis/ptv3-rpe", "PTv3, patches of 128, positions", s3dis.ptv3_with_positions, "73.4"),
    NamedRecipe("s3dis/ditr", "DITR, 10 photographs", s3dis.ditr, "74.1"),
    NamedRecipe("s3dis/d-ditr", f"D-DITR fine-tuned {_SHORT}", s3dis.d_ditr, "75.0", _INDOOR),
    NamedRecipe("nuscenes/ptv3", "PTv3, points alone", nuscenes.ptv3, "79.9"),
    NamedRecipe("nuscenes/ditr", "DITR, 6 photographs", nuscenes.ditr, "84.2"),
    NamedRecipe("nuscenes/distill", "D-DITR, student of nuScenes alone", nuscenes.distill),
    NamedRecipe(_OUTDOOR, "D-DITR, student of all, norms per dataset", nuscenes.distill_jointly),
    NamedRecipe("nuscenes/d-ditr", "D-DITR fine-tuned in full", nuscenes.d_ditr, "80.9", "nuscenes/distill"),
    NamedRecipe("nuscenes/d-ditr-joint", "D-DITR fine-tuned in full", nuscenes.d_ditr_joint, "80.7", _OUTDOOR),
    NamedRecipe("semantic_kitti/ptv3", "PTv3, points alone", semantic_kitti.ptv3, "68.3"),
    NamedRecipe("semantic_kitti/ditr", "DITR, 1 photograph", semantic_kitti.ditr, "69.0"),
    NamedRecipe("semantic_kitti/d-ditr", f"D-DITR fine-tuned {_SHORT}", semantic_kitti.d_ditr, "69.8", _OUTDOOR),
    NamedRecipe("waymo/ptv3", "PTv3, points alone", waymo.ptv3, "71.5"),
    NamedRecipe("waymo/ditr", "DITR, 5 photographs", waymo.ditr, "73.3"),
    NamedRecipe("waymo/distill", "D-DITR, student of Waymo alone", waymo.distill),
    NamedRecipe("waymo/d-ditr", "D-DITR fine-tuned in full", waymo.d_ditr, "72.1", _OUTDOOR),
    NamedRecipe("waymo/d-ditr-single", "D-DITR fine-tuned in full", waymo.d_ditr_single, "71.6", "waymo/distill"),
)


def find_recipe(name: str) -> NamedRecipe:
    """The run of a name.

    Raises:
        InputError: there is none; the text says which one was probably meant.
    """
    known = {recipe.name: recipe for recipe in RECIPES}
    if name in known:
        return known[name]
    if name in SIZES:
        raise InputError(
            "recipe",
            f"the settings of {name} depend on your captures",
            f"Train it: ditr train {name} RUN --data CAPTURES",
        )
    near = nearest(name, [*known, *SIZES])
    hint = f"Did you mean {near!r}? " if near else ""
    raise InputError("recipe", f"there is no recipe called {name!r}", f"{hint}`ditr recipes` lists all recipes")

"""Tables 5 and 6 and the mapping of section 3.1: where image features join, whose they are, and how points get them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ditr.data.preparation import Lookup, ViewChoice
from ditr.models.injection import Injection
from ditr.recipes.captures import SMALL_NETWORK
from ditr.studies.reproduce.experiment import Cell, Missing, Ordering, PaperTable, Stage, Trial, World
from ditr.studies.reproduce.settings import Scale, indoor, outdoor
from ditr.training.recipe import Recipe

__all__ = ["mapping", "table5", "table6"]

_INDOOR, _OUTDOOR = "fine classes (ScanNet200)", "nuScenes style"


def table5(scale: Scale) -> PaperTable:
    """Injection variants."""
    rows = {
        "None (PTv3)": (Injection.NONE, 35.2, 79.9),
        "Before 3D encoder": (Injection.ENCODER, 40.1, 82.3),
        "Between two 3D encoder-decoders": (Injection.BETWEEN, 40.4, 82.2),
        "In 3D decoder, all blocks (DITR)": (Injection.DECODER, 41.2, 83.1),
        "In 3D decoder, last block only": (Injection.LAST, 40.1, 82.5),
        "After 3D decoder": (Injection.AFTER, 37.6, 82.5),
        "[cls] tokens in 3D decoder, all blocks": (Injection.CLS, 37.4, 79.4),
    }
    cells: list[Cell] = []
    for row, (injection, indoors, outdoors) in rows.items():
        for column, world, paper in _columns(scale, indoors, outdoors):
            stage = Stage(row, _injected(scale, column, injection), (world,))
            cells.append(Cell(row, column, Trial(stage, world), paper))
    none, ditr = "None (PTv3)", "In 3D decoder, all blocks (DITR)"
    orderings = [
        Ordering((ditr, column), (row, column)) for column in (_INDOOR, _OUTDOOR) for row in rows if row != ditr
    ]
    orderings += [
        Ordering((row, column), (none, column))
        for column in (_INDOOR, _OUTDOOR)
        for row, (injection, _, outdoors) in rows.items()
        if injection not in (Injection.NONE, Injection.DECODER) and (column == _INDOOR or outdoors > 79.9)
    ]
    return PaperTable(
        "table5",
        "Table 5: where image features join",
        "The same features in other places of the network. As many steps for each; the two encoder-decoders have twice "
        "the blocks. In training one in five cells goes without its features in all variants but that of [cls] tokens, "
        "which belong to no cell.",
        tuple(cells),
        tuple(orderings),
        picture=((none, _INDOOR), (ditr, _INDOOR)),
    )


def table6(scale: Scale) -> PaperTable:
    """Image encoders, as far as their weights are at hand."""
    none, small = "none (PTv3)", "DINOv2 ViT-S (derived weights)"
    rows: dict[str, tuple[str | None, float | None, float | None]] = {
        none: (None, 35.2, 80.4),
        "random weights ViT-S (control)": (scale.control, None, None),
        small: (scale.encoder, 38.2, 82.8),
    }
    rows |= {f"local: {Path(spec).name}": (spec, None, None) for spec in scale.local}
    cells: list[Cell] = []
    for row, (encoder, indoors, outdoors) in rows.items():
        for column, world, paper in _columns(scale, indoors, outdoors):
            recipe = indoor(scale, encoder) if column == _INDOOR else outdoor(scale, encoder)
            cells.append(Cell(row, column, Trial(Stage(row, recipe, (world,)), world), paper))
    absent = {
        "IN21k ViT-L": (38.2, 80.2),
        "AIMv2 ViT-L": (39.1, 82.8),
        "SigLIP 2 ViT-g": (38.1, 83.6),
        "DINOv2 ViT-B": (40.7, 83.0),
        "DINOv2 ViT-L": (41.2, 83.1),
        "DINOv2 ViT-g": (40.8, 84.2),
        "DINOv3 ViT-L": (42.3, 83.9),
    }
    reason = "not reported: its weights are not at hand; give their folder with --encoder"
    control = "random weights ViT-S (control)"
    return PaperTable(
        "table6",
        "Table 6: image encoders",
        "DITR with features of frozen encoders, same steps for each. The encoder of random weights has the same shape "
        "as DINOv2 ViT-S and is not a row of the paper.",
        tuple(cells),
        tuple(
            Ordering((small, column), (worse, column)) for column in (_INDOOR, _OUTDOOR) for worse in (none, control)
        ),
        tuple(Missing(row, reason, ((_INDOOR, a), (_OUTDOOR, b))) for row, (a, b) in absent.items()),
        picture=((control, _INDOOR), (small, _INDOOR)),
    )


def mapping(scale: Scale) -> PaperTable:
    """How a point gets its image feature (section 3.1)."""
    rows = {
        "random view, patch (DITR)": (ViewChoice.RANDOM, Lookup.PATCH),
        "random view, bilinear": (ViewChoice.RANDOM, Lookup.BILINEAR),
        "mean of all views": (ViewChoice.MEAN, Lookup.PATCH),
        "maximum of all views": (ViewChoice.MAX, Lookup.PATCH),
        "nearest view": (ViewChoice.NEAREST, Lookup.PATCH),
        "last view (published code)": (ViewChoice.LAST, Lookup.PATCH),
    }
    world, column = scale.room(), _INDOOR
    cells = []
    for row, (choice, lookup) in rows.items():
        recipe = indoor(scale, scale.encoder, view_choice=choice, lookup=lookup)
        cells.append(Cell(row, column, Trial(Stage(row, recipe, (world,)), world)))
    ditr = "random view, patch (DITR)"
    worse = ("random view, bilinear", "mean of all views", "maximum of all views")
    return PaperTable(
        "mapping",
        "Section 3.1: how a point gets its image feature",
        "The paper says without numbers that the patch a point falls into serves better than interpolating, and one "
        "random view better than aggregating several. Training and inference have the same mapping; same steps.",
        tuple(cells),
        tuple(Ordering((ditr, column), (row, column)) for row in worse),
        picture=(("mean of all views", column), (ditr, column)),
    )


def _columns(scale: Scale, indoors: float | None, outdoors: float | None) -> list[tuple[str, World, float | None]]:
    return [(_INDOOR, scale.room(), indoors), (_OUTDOOR, scale.street("nuscenes"), outdoors)]


def _injected(scale: Scale, column: str, injection: Injection) -> Recipe:
    encoder = None if injection is Injection.NONE else scale.encoder
    recipe = indoor(scale, encoder) if column == _INDOOR else outdoor(scale, encoder)
    if injection in (Injection.NONE, Injection.DECODER):
        return recipe  # equal to those of other tables, so that they are trained once
    drop = 0.0 if injection is Injection.CLS else SMALL_NETWORK.image_drop
    return replace(recipe, network=replace(SMALL_NETWORK, injection=injection, image_drop=drop))

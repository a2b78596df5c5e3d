"""Tables 8 and 9 and the study of missing images: what happens where no photograph looks."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from ditr.data.preparation import ViewDrop, ViewOrder
from ditr.recipes.captures import SMALL_NETWORK
from ditr.studies.reproduce.experiment import Cell, Figure, Ordering, PaperTable, Stage, Trial, Views
from ditr.studies.reproduce.settings import Scale, indoor, outdoor, sequence
from ditr.training.recipe import Recipe, SegmentTask

__all__ = ["missing", "table8", "table9"]

_TEN = Views(10)
_CAMERAS: tuple[tuple[str, ...], ...] = ((), ("CAM_FRONT",), ("CAM_FRONT", "CAM_BACK_LEFT", "CAM_BACK_RIGHT"))


def table8(scale: Scale) -> PaperTable:
    """Visible and invisible points."""
    rooms, streets = sequence(scale), scale.street("kitti")
    paper = {"PTv3": (35.2, 34.5, 68.5, 68.1), "DITR": (41.5, 39.7, 71.6, 68.3)}
    cells: list[Cell] = []
    for row, values in paper.items():
        encoder = scale.encoder if row == "DITR" else None
        inside = Stage(row, _of_views(scale, encoder), (rooms,))
        outside = Stage(row, outdoor(scale, encoder), (streets,))
        trials = {
            "fine classes (ScanNet200)": Trial(inside, rooms, _TEN),
            "SemanticKITTI style": Trial(outside, streets),
        }
        figures = [(column, figure) for column in trials for figure in (Figure.VISIBLE, Figure.INVISIBLE)]
        cells += [
            Cell(row, _titled(column, figure), trials[column], value, figure)
            for (column, figure), value in zip(figures, values, strict=True)
        ]
        cells += [Cell(row, _titled(column, Figure.SHARE), trials[column], None, Figure.SHARE) for column in trials]
    columns = [cell.column for cell in cells if cell.row == "DITR" and cell.figure is not Figure.SHARE]
    orderings = [Ordering(("DITR", column), ("PTv3", column)) for column in columns]
    orderings += [
        replace(visible, beyond=(invisible.better, invisible.worse))
        for visible, invisible in zip(orderings[::2], orderings[1::2], strict=True)
    ]
    return PaperTable(
        "table8",
        "Table 8: visible and invisible points",
        f"Rooms with {scale.frames} frames, of which ten at equal steps are used, and scans with one camera. "
        "A point is visible if one of the used views shows it, for both networks alike. In the paper 18.9 % of the "
        "labelled points of SemanticKITTI are visible.",
        tuple(cells),
        tuple(orderings),
        picture=(("PTv3", columns[0]), ("DITR", columns[0])),
    )


def table9(scale: Scale) -> PaperTable:
    """Number of images and how they are selected."""
    rooms, streets = sequence(scale), scale.street("nuscenes")
    by_views = {
        views: Stage(f"DITR, {views} views", _of_views(scale, scale.encoder, views), (rooms,)) for views in (6, 10)
    }
    outside = Stage("DITR", outdoor(scale, scale.encoder), (streets,))
    equal, drawn = ViewOrder.EQUIDISTANT, ViewOrder.RANDOM
    paper = {
        (0, equal): (32.8, 31.8, 0.0),
        (1, equal): (36.5, 35.7, 9.8),
        (3, equal): (38.2, 38.0, 24.6),
        (6, equal): (39.2, 40.1, 41.7),
        (10, equal): (39.9, 41.2, 56.7),
        (6, drawn): (38.6, 38.4, 37.0),
        (10, drawn): (39.2, 40.5, 49.5),
    }
    cells: list[Cell] = []
    for (count, order), (six, ten, seen) in paper.items():
        row, views = _row(count, order), Views(count, order)
        cells += [
            Cell(row, "rooms, mIoU6", Trial(by_views[6], rooms, views), six),
            Cell(row, "rooms, mIoU10", Trial(by_views[10], rooms, views), ten),
            Cell(row, "rooms, % vis.", Trial(by_views[10], rooms, views), seen, Figure.SHARE),
        ]
    cameras = {_row(len(names), equal): Views(cameras=names) for names in _CAMERAS} | {_row(6, equal): Views()}
    outdoors = ((37.5, 0.0), (50.9, 11.2), (72.7, 40.5), (83.1, 77.0))
    for (row, views), (miou, seen) in zip(cameras.items(), outdoors, strict=True):
        trial = Trial(outside, streets, views)
        cells += [
            Cell(row, "nuScenes style, mIoU", trial, miou),
            Cell(row, "nuScenes style, % vis.", trial, seen, Figure.SHARE),
        ]
    rising = [_row(count, equal) for count in (0, 1, 3, 6, 10)]
    orderings = [
        Ordering((more, column), (fewer, column))
        for column in ("rooms, mIoU6", "rooms, mIoU10")
        for fewer, more in pairwise(rising)
    ]
    orderings += [
        Ordering((more, "nuScenes style, mIoU"), (fewer, "nuScenes style, mIoU")) for fewer, more in pairwise(cameras)
    ]
    orderings += [
        Ordering((_row(count, equal), column), (_row(count, drawn), column))
        for column in ("rooms, mIoU6", "rooms, mIoU10", "rooms, % vis.")
        for count in (6, 10)
    ]
    orderings += [Ordering((row, "rooms, mIoU6"), (row, "rooms, mIoU10")) for row in rising[:3]]
    orderings += [Ordering((row, "rooms, mIoU10"), (row, "rooms, mIoU6")) for row in rising[3:]]
    return PaperTable(
        "table9",
        "Table 9: which images, and how many",
        f"The same trained networks with fewer images at inference: rooms with {scale.frames} frames in temporal "
        "order, of which training drew 6 or 10 at random, and scans with all six cameras in training (0: none; 1: "
        "front; 3: front, rear left, rear right; 6: all).",
        tuple(cells),
        tuple(orderings),
        picture=((rising[0], "rooms, mIoU10"), (rising[-1], "rooms, mIoU10")),
    )


def missing(scale: Scale) -> PaperTable:
    """Views dropped in training, so that a network does without them."""
    rooms = sequence(scale)
    stages = {
        "PTv3": Stage("PTv3", _of_views(scale, None), (rooms,)),
        "DITR": Stage("DITR", _of_views(scale, scale.encoder), (rooms,)),
        "DITR, views dropped in training": Stage(
            "DITR, views dropped", _of_views(scale, scale.encoder, drop=ViewDrop(0.3, 0.2)), (rooms,)
        ),
    }
    taught = _of_views(scale, scale.encoder)
    network = replace(SMALL_NETWORK, missing_embedding=True)
    stages["DITR, taught with and without views"] = Stage(
        "DITR, with and without", replace(taught, task=SegmentTask(without_images=0.25), network=network), (rooms,)
    )
    columns = {f"{count} views": Views(count) for count in (0, 1, 3, 10)}
    cells = [
        Cell(row, column, Trial(stage, rooms, views if row != "PTv3" else _TEN))
        for row, stage in stages.items()
        for column, views in columns.items()
    ]
    dropped, none, full = "DITR, views dropped in training", "0 views", "10 views"
    both = "DITR, taught with and without views"
    return PaperTable(
        "missing",
        "Missing images: views dropped in training",
        "Two ways to learn to do without. In one, a room loses all its views in training with probability 0.3, and "
        "otherwise each with probability 0.2. In the other, every step decodes its rooms twice, with all views and "
        "without, the latter with a quarter of the loss and a learned embedding where there is no view. The "
        "goal: without views at most 1 mIoU below PTv3, with all views at most 0.3 below the network trained without "
        "dropping. No table of the paper; its PaperTable 9 shows the loss that this is to avoid. PTv3 takes no views.",
        tuple(cells),
        (
            Ordering((dropped, none), ("PTv3", none), -1.0),
            Ordering((dropped, full), ("DITR", full), -0.3),
            Ordering((dropped, none), ("DITR", none)),
            Ordering((both, none), ("PTv3", none), -1.0),
            Ordering((both, full), ("DITR", full), -0.3),
            Ordering((both, none), ("DITR", none)),
        ),
        picture=(("DITR", none), (both, none)),
    )


def _of_views(scale: Scale, encoder: str | None, views: int = 10, drop: ViewDrop | None = None) -> Recipe:
    """The indoor recipe for sequences; views mean nothing to a network without images."""
    if encoder is None:
        return indoor(scale)
    recipe = indoor(scale, encoder, max_views=views)
    return replace(recipe, preparation=replace(recipe.preparation, view_drop=drop))


def _row(count: int, order: ViewOrder) -> str:
    return f"{count} {'equidistant' if order is ViewOrder.EQUIDISTANT else 'random'}"


def _titled(column: str, figure: Figure) -> str:
    return f"{column}, {({Figure.VISIBLE: 'visible', Figure.INVISIBLE: 'invisible', Figure.SHARE: '% vis.'})[figure]}"

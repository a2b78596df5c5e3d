"""Tables 1 and 2: PTv3 and DITR, indoors and outdoors."""

from __future__ import annotations

from ditr.studies.reproduce.experiment import Cell, Ordering, PaperTable, Stage, Trial
from ditr.studies.reproduce.settings import Scale, distilled, fine_tuned, indoor, outdoor
from ditr.worlds.streets import StyleName

__all__ = ["table1", "table2"]

_RANDOM = "control: encoder of random weights"
_SWAPPED = "control: photographs of another scene"


def table1(scale: Scale) -> PaperTable:
    """Indoor semantic segmentation: fine and coarse classes of the same rooms."""
    coarse, fine = "coarse classes (ScanNet)", "fine classes (ScanNet200)"
    paper = {("PTv3", coarse): 76.8, ("PTv3", fine): 35.4, ("DITR", coarse): 80.5, ("DITR", fine): 41.2}
    paper |= {("D-DITR", coarse): 78.6, ("D-DITR", fine): 37.2}
    student = distilled(scale, "student", indoor(scale), (scale.room(),))
    cells: list[Cell] = []
    for column in (coarse, fine):
        world = scale.room(coarse=column == coarse)
        ditr = Stage("DITR", indoor(scale, scale.encoder), (world,))
        trials = {
            "PTv3": Trial(Stage("PTv3", indoor(scale), (world,)), world),
            "DITR": Trial(ditr, world),
            "D-DITR": Trial(fine_tuned("D-DITR", indoor(scale), world, student), world),
            _RANDOM: Trial(Stage("DITR, random weights", indoor(scale, scale.control), (world,)), world),
            _SWAPPED: Trial(ditr, world, swap=True),
        }
        cells += [Cell(row, column, trial, paper.get((row, column))) for row, trial in trials.items()]
    orderings = [
        Ordering((better, column), (worse, column))
        for column in (coarse, fine)
        for better, worse in (
            ("DITR", "PTv3"),
            ("DITR", "D-DITR"),
            ("D-DITR", "PTv3"),
            ("DITR", _RANDOM),
            ("PTv3", _SWAPPED),
        )
    ]
    # The paper's gain is larger on the 200 classes of the same scenes.
    orderings.append(Ordering(("DITR", fine), ("PTv3", fine), beyond=(("DITR", coarse), ("PTv3", coarse))))
    return PaperTable(
        "table1",
        "Table 1: indoor semantic segmentation",
        "The same rooms with ten coarse and twenty fine classes. PTv3 sees points, DITR also image features; D-DITR "
        "sees points and starts from a student of the image encoder (the paper reports it in PaperTable 3; here it is "
        "distilled on the training rooms alone). The paper's PTv3 is the one that it reproduced. Every segmentation "
        "has the same steps and batches; the steps of the distillation come on top, as in the paper.",
        tuple(cells),
        tuple(orderings),
        picture=(("PTv3", fine), ("DITR", fine)),
    )


def table2(scale: Scale) -> PaperTable:
    """Outdoor semantic segmentation in three styles."""
    styles: dict[StyleName, tuple[str, float, float]] = {
        "nuscenes": ("nuScenes style", 79.9, 84.2),
        "kitti": ("SemanticKITTI style", 68.3, 69.0),
        "waymo": ("Waymo style", 71.5, 73.3),
    }
    cells: list[Cell] = []
    for style, (column, without, images) in styles.items():
        world = scale.street(style)
        ditr = Stage("DITR", outdoor(scale, scale.encoder), (world,))
        cells += [
            Cell("PTv3", column, Trial(Stage("PTv3", outdoor(scale), (world,)), world), without),
            Cell("DITR", column, Trial(ditr, world), images),
            Cell(_SWAPPED, column, Trial(ditr, world, swap=True)),
        ]
        if style == "nuscenes":
            random = Stage("DITR, random weights", outdoor(scale, scale.control), (world,))
            cells.append(Cell(_RANDOM, column, Trial(random, world)))
    columns = [name for name, _, _ in styles.values()]
    orderings = [Ordering(("DITR", column), ("PTv3", column)) for column in columns]
    orderings += [Ordering(("DITR", columns[0]), (_RANDOM, columns[0]))]
    orderings += [Ordering(("PTv3", column), (_SWAPPED, column)) for column in columns]
    cells.sort(key=lambda cell: ["PTv3", "DITR", _RANDOM, _SWAPPED].index(cell.row))
    return PaperTable(
        "table2",
        "Table 2: outdoor semantic segmentation",
        "LiDAR scans of three styles: six cameras all around, one to the front, five to the front and the sides. "
        "The paper's PTv3 is the one that it reproduced. Same steps and batches for both.",
        tuple(cells),
        tuple(orderings),
        picture=(("PTv3", columns[0]), ("DITR", columns[0])),
    )

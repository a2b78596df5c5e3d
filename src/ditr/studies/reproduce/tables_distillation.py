"""Tables 3, 4 and 7: what distillation is worth, from one dataset or several, and with few labels."""

from __future__ import annotations

from dataclasses import replace

from ditr.models.minkunet import MinkUNetConfig
from ditr.studies.reproduce.experiment import Cell, Missing, Ordering, PaperTable, RoomsWorld, Stage, Trial
from ditr.studies.reproduce.settings import HALL, STUDIO, Scale, distilled, fine_tuned, indoor, outdoor, with_norms
from ditr.worlds.streets import StyleName

__all__ = ["SMALL_MINKUNET", "table3", "table4", "table7"]

SMALL_MINKUNET = MinkUNetConfig(
    stem_channels=32,
    encoder_depths=(1, 1, 1),
    encoder_channels=(32, 64, 96),
    decoder_depths=(1, 1, 1),
    decoder_channels=(64, 64, 96),
)
"""As deep as the small PTv3 and about as costly."""

_SINGLE, _JOINT = "D-DITR", "D-DITR (multi-dataset)"
_CONTROL = "control: student of an encoder of random weights"
_LONGER = 5
_LONG = f"D-DITR, distilled {_LONGER} times as long"
_WHITE = 64
_WHITENED = f"D-DITR, teacher whitened ({_WHITE} directions)"
_LONG_WHITENED = f"D-DITR, teacher whitened, distilled {_LONGER} times as long"
_LONG_CONTROL = f"control: random weights whitened, distilled {_LONGER} times as long"
_ROWS = ("PTv3", _SINGLE, _LONG, _WHITENED, _LONG_WHITENED, _JOINT, _CONTROL, _LONG_CONTROL)
_WHY = (
    " The control has a student too, but of an encoder that has learned nothing: trainings are short here, and more "
    "steps alone and the running averages of BatchNorm that a student brings along are worth something."
)


def table3(scale: Scale) -> PaperTable:
    """Indoor distillation: none, from the same rooms, from two kinds of rooms."""
    flat, studio, hall = scale.room(), scale.room(STUDIO), scale.room(HALL)
    plain, both = indoor(scale), ("flat", "studio")
    single = distilled(scale, "student of one dataset", plain, (flat,))
    joint = distilled(scale, "student of two datasets", with_norms(plain, both), (flat, studio))
    columns = {
        "coarse classes (ScanNet)": (scale.room(coarse=True), "flat", (76.8, 78.6, 79.2)),
        "fine classes (ScanNet200)": (flat, "flat", (35.4, 37.2, 37.7)),
        "other rooms (S3DIS)": (hall, "hall", (72.1, None, 75.0)),
    }
    cells: list[Cell] = []
    for column, (world, name, paper) in columns.items():
        cells.append(Cell("PTv3", column, Trial(Stage("PTv3", plain, (world,)), world), paper[0]))
        if paper[1] is not None:
            cells.append(Cell(_SINGLE, column, Trial(fine_tuned(_SINGLE, plain, world, single), world), paper[1]))
        own = with_norms(plain, (name,), both)
        cells.append(Cell(_JOINT, column, Trial(fine_tuned(_JOINT, own, world, joint), world), paper[2]))
    control = distilled(scale, "student of random weights", plain, (flat,), teacher=scale.control)
    fine = "fine classes (ScanNet200)"
    cells.append(Cell(_CONTROL, fine, Trial(fine_tuned(_CONTROL, plain, flat, control), flat)))
    students = {
        _LONG: distilled(scale, "student, long", plain, (flat,), times=_LONGER),
        _WHITENED: distilled(scale, "student, whitened", plain, (flat,), whiten=_WHITE),
        _LONG_WHITENED: distilled(scale, "student, whitened, long", plain, (flat,), whiten=_WHITE, times=_LONGER),
        _LONG_CONTROL: distilled(
            scale, "control, whitened, long", plain, (flat,), teacher=scale.control, whiten=_WHITE, times=_LONGER
        ),
    }
    for row, student in students.items():
        cells.append(Cell(row, fine, Trial(fine_tuned(row, plain, flat, student), flat)))
    return PaperTable(
        "table3",
        "Table 3: indoor distillation",
        "PTv3 from random weights, from a student of the image encoder on the same rooms, and from a student on these "
        "and larger rooms jointly, with norms per dataset. The third column's rooms are in no distillation. All "
        "students but the longer ones have the same number of steps, all fine-tunings the same default schedule (the "
        "paper's for ScanNet and S3DIS is a tenth of it, which would be a few steps here). Rows more than in the "
        "paper say what a longer distillation is worth, and one whose teacher is whitened: of its features, without "
        "their mean, the first directions are brought to the same variance." + _WHY,
        _by_row(cells, _ROWS),
        (
            *_gains(cells),
            Ordering((_SINGLE, fine), (_CONTROL, fine)),
            Ordering((_LONG, fine), ("PTv3", fine)),
            Ordering((_LONG, fine), (_SINGLE, fine)),
            Ordering((_WHITENED, fine), (_SINGLE, fine)),
            Ordering((_WHITENED, fine), ("PTv3", fine)),
            Ordering((_LONG_WHITENED, fine), (_LONG, fine)),
            Ordering((_LONG_WHITENED, fine), ("PTv3", fine)),
            Ordering((_LONG_WHITENED, fine), (_LONG_CONTROL, fine)),
        ),
        picture=(("PTv3", fine), (_JOINT, fine)),
    )


def table4(scale: Scale) -> PaperTable:
    """Outdoor distillation: none, from the same scans, from three styles."""
    styles: dict[StyleName, tuple[str, tuple[float, float | None, float]]] = {
        "nuscenes": ("nuScenes style", (79.9, 80.9, 80.7)),
        "kitti": ("SemanticKITTI style", (68.3, None, 69.8)),
        "waymo": ("Waymo style", (71.5, 71.6, 72.1)),
    }
    plain, names = outdoor(scale), tuple(styles)
    joint = distilled(
        scale, "student of three styles", with_norms(plain, names), tuple(scale.street(style) for style in styles)
    )
    cells: list[Cell] = []
    for style, (column, paper) in styles.items():
        world = scale.street(style)
        cells.append(Cell("PTv3", column, Trial(Stage("PTv3", plain, (world,)), world), paper[0]))
        if paper[1] is not None:
            single = distilled(scale, f"student of {style}", plain, (world,))
            cells.append(Cell(_SINGLE, column, Trial(fine_tuned(_SINGLE, plain, world, single), world), paper[1]))
        own = with_norms(plain, (style,), names)
        cells.append(Cell(_JOINT, column, Trial(fine_tuned(_JOINT, own, world, joint), world), paper[2]))
    nuscenes, world = "nuScenes style", scale.street("nuscenes")
    control = distilled(scale, "student of random weights", plain, (world,), teacher=scale.control)
    cells.append(Cell(_CONTROL, nuscenes, Trial(fine_tuned(_CONTROL, plain, world, control), world)))
    return PaperTable(
        "table4",
        "Table 4: outdoor distillation",
        "PTv3 from random weights, from a student on scans of the same style, and from a student on all three styles "
        "with norms per style. SemanticKITTI's style has no student of its own, as in the paper: one camera shows too "
        "little. Same steps for all students and for all fine-tunings." + _WHY,
        _by_row(cells, _ROWS),
        (*_gains(cells), Ordering((_SINGLE, nuscenes), (_CONTROL, nuscenes))),
        picture=(("PTv3", nuscenes), (_JOINT, nuscenes)),
    )


def table7(scale: Scale) -> PaperTable:
    """Limited reconstructions: MinkUNet with labels of a part of the rooms."""
    world = RoomsWorld(scale.limited, scale.rooms[1], views=scale.views)
    recipe = replace(indoor(scale), network=SMALL_MINKUNET)
    student = distilled(scale, "student, MinkUNet", recipe, (world,))
    white = distilled(scale, "student, MinkUNet, whitened", recipe, (world,), whiten=_WHITE, times=_LONGER)
    column = f"D-DITR, teacher whitened, {_LONGER} times as long"
    paper = {1: (26.0, 34.1), 5: (47.8, 56.6), 10: (56.7, 65.2), 20: (62.9, 68.3), 100: (72.2, 76.2)}
    cells: list[Cell] = []
    for percent, (scratch, images) in paper.items():
        share = percent / 100
        row = f"{percent} %"
        cells += [
            Cell(row, "Scratch", Trial(Stage(f"scratch, {row}", recipe, (world,), share=share), world), scratch),
            Cell(row, "D-DITR", Trial(fine_tuned(f"D-DITR, {row}", recipe, world, student, share), world), images),
            Cell(row, column, Trial(fine_tuned(f"{column}, {row}", recipe, world, white, share), world)),
        ]
    gains = [_few_labels(f"{percent} %", student) for student in ("D-DITR", column) for percent in paper]
    reason = "it is another pretraining method, which this package does not have"
    others = {
        "CSC": (28.9, 49.8, 59.4, 64.6, 73.8),
        "MSC": (29.2, 50.7, 61.0, 64.9, 75.3),
        "PPT": (31.3, 52.2, 62.8, 66.4, 75.8),
    }
    return PaperTable(
        "table7",
        "Table 7: limited reconstructions",
        f"MinkUNet with the labels of a part of {scale.limited} training rooms, the smaller parts within the larger "
        "ones, from random weights and from a student that was distilled on all rooms without labels. Same steps for "
        f"every part, so a small part is seen more often. The last column is not the paper's: the first {_WHITE} "
        "directions of the teacher's features are whitened.",
        tuple(cells),
        (*(gain for gain, _ in gains), *(more for _, more in gains if more is not None)),
        missing=tuple(
            Missing(name, reason, tuple((f"{percent} %", value) for percent, value in zip(paper, values, strict=True)))
            for name, values in others.items()
        ),
        picture=(("10 %", "Scratch"), ("10 %", "D-DITR")),
    )


def _few_labels(row: str, student: str, every: str = "100 %") -> tuple[Ordering, Ordering | None]:
    """A student above scratch, and by more than with all labels."""
    gain = Ordering((row, student), (row, "Scratch"))
    return gain, None if row == every else replace(gain, beyond=((every, student), (every, "Scratch")))


def _by_row(cells: list[Cell], rows: tuple[str, ...]) -> tuple[Cell, ...]:
    return tuple(sorted(cells, key=lambda cell: rows.index(cell.row)))


def _gains(cells: list[Cell]) -> tuple[Ordering, ...]:
    """Every student above PTv3, and the joint one above or below the single one, as in the paper."""
    by_place = {cell.place: cell for cell in cells}
    orderings = [Ordering(cell.place, ("PTv3", cell.column)) for cell in cells if cell.row in (_SINGLE, _JOINT)]
    for cell in cells:
        single = by_place.get((_SINGLE, cell.column))
        if cell.row == _JOINT and single is not None and (cell.paper or 0) > (single.paper or 0):
            orderings.append(Ordering(cell.place, single.place))
    return tuple(orderings)

"""ScanNet200: its classes in three groups by how often they occur, and those without a point in the validation split.

The benchmark gives a mean over each group beside that over all.
"""

from __future__ import annotations

from collections.abc import Sequence

from ditr.datasets.counting import Absent, Counting

__all__ = ["counting"]

_GROUPS = {
    "head": """
wall, chair, floor, table, door, couch, cabinet, shelf, desk, office chair, bed, pillow, sink, picture, window,
toilet, bookshelf, monitor, curtain, book, armchair, coffee table, box, refrigerator, lamp, kitchen cabinet, towel,
clothes, tv, nightstand, counter, dresser, stool, plant, ceiling, bathtub, backpack, tv stand, whiteboard, shower
curtain, trash can, closet, stairs, stove, board, washing machine, mirror, copier, sofa chair, file cabinet, shower,
blinds, blackboard, radiator, recycling bin, wardrobe, clothes dryer, bathroom stall, shower wall, kitchen counter,
doorframe, mailbox, object, bathroom vanity, closet wall, stair rail
""",
    "common": """
cushion, end table, dining table, keyboard, bag, toilet paper, printer, blanket, microwave, shoe, computer tower,
bottle, bin, ottoman, bench, basket, fan, laptop, person, paper towel dispenser, oven, rack, piano, suitcase, rail,
container, telephone, stand, light, laundry basket, pipe, seat, column, bicycle, ladder, jacket, storage bin, coffee
maker, dishwasher, machine, mat, windowsill, bulletin board, fireplace, mini fridge, water cooler, shower door,
pillar, ledge, furniture, cart, decoration, closet door, vacuum cleaner, dish rack, range hood, projector screen,
divider, bathroom counter, laundry hamper, bathroom stall door, ceiling light, trash bin, bathroom cabinet,
structure, storage organizer, potted plant, mattress
""",
    "tail": """
paper, plate, soap dispenser, bucket, clock, guitar, toilet paper holder, speaker, cup, paper towel roll, bar,
toaster, ironing board, soap dish, toilet paper dispenser, fire extinguisher, ball, hat, shower curtain rod, paper
cutter, tray, toaster oven, mouse, toilet seat cover dispenser, storage container, scale, tissue box, light switch,
crate, power outlet, sign, projector, candle, plunger, stuffed animal, headphones, broom, guitar case, dustpan, hair
dryer, water bottle, handicap bar, purse, vent, shower floor, water pitcher, bowl, paper bag, alarm clock, music
stand, laundry detergent, dumbbell, tube, cd case, closet rod, coffee kettle, shower head, keyboard piano, case of
water bottles, coat rack, folded chair, fire alarm, power strip, calendar, poster, luggage
""",
}
_UNSEEN = """
bicycle, storage container, candle, guitar case, purse, alarm clock, music stand, cd case, structure, storage
organizer, luggage
"""


def counting(classes: Sequence[str]) -> Counting:
    """How ScanNet200 counts.

    Args:
        classes: all 200, in the order of the logits.
    """
    groups = {name: _indices(text, classes) for name, text in _GROUPS.items()}
    return Counting(Absent.LEFT_OUT, groups, _indices(_UNSEEN, classes))


def _indices(text: str, classes: Sequence[str]) -> tuple[int, ...]:
    return tuple(classes.index(name) for name in " ".join(text.split()).split(", "))

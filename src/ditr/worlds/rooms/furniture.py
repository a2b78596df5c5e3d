"""Things that stand in the room; built as in ``fittings``: draw a size, ask the plan, build."""

from __future__ import annotations

import math

import numpy as np

from ditr.worlds.common.mesh import Frame, Material
from ditr.worlds.rooms import fronts, materials, pictures
from ditr.worlds.rooms.config import Label
from ditr.worlds.rooms.fittings import FRAMES, METALS, PLASTICS, SCREENS
from ditr.worlds.rooms.workshop import Painters, RoomPlan, Workshop

WOODS: Painters = ((materials.wood, materials.lacquer), ())
CLOTHS: Painters = ((materials.weave,), (materials.leather, materials.plaid))
BLANKETS: Painters = ((materials.bedspread,), (materials.quilt,))
PILLOWS: Painters = ((materials.pillow,), ())
BOOKS: Painters = ((fronts.shelf_books,), (fronts.shelf_binders,))
LEAVES: Painters = ((materials.leaf,), ())
POTS: Painters = ((materials.terracotta,), ())
SHADES: Painters = ((materials.lamp_shade,), ())
RUGS: Painters = ((pictures.rug_bordered, pictures.rug_stripes), (pictures.rug_dots,))
PARCELS: Painters = ((materials.cardboard,), ())


# --- tables and what stands on them -------------------------------------------------------------------------------


def _table_legs(shop: Workshop, width: float, depth: float, height: float, top: Material) -> None:
    legs = shop.surface(((materials.wood, materials.metal), ()))
    shop.mesh.box((-width / 2, 0, height - 0.035), (width / 2, depth, height), top)
    for x in (-width / 2 + 0.02, width / 2 - 0.07):
        for y in (0.02, depth - 0.07):
            shop.mesh.box((x, y, 0), (x + 0.05, y + 0.05, height - 0.035), legs)


def _table_sides(shop: Workshop, width: float, depth: float, height: float, top: Material) -> None:
    shop.mesh.box((-width / 2, 0, height - 0.04), (width / 2, depth, height), top)
    for x in (-width / 2, width / 2 - 0.03):
        shop.mesh.box((x, 0, 0), (x + 0.03, depth, height - 0.04), top)
    shop.mesh.box((-width / 2 + 0.03, 0.03, 0.35), (width / 2 - 0.03, 0.05, height - 0.04), top)


def _table_trestle(shop: Workshop, width: float, depth: float, height: float, top: Material) -> None:
    legs = shop.surface(METALS)
    shop.mesh.box((-width / 2, 0, height - 0.03), (width / 2, depth, height), top)
    for x in (-0.35 * width, 0.35 * width):
        shop.mesh.box((x - 0.04, depth / 2 - 0.04, 0.03), (x + 0.04, depth / 2 + 0.04, height - 0.03), legs)
        shop.mesh.box((x - 0.05, 0.05, 0), (x + 0.05, depth - 0.05, 0.03), legs)


def _table_round(shop: Workshop, width: float, depth: float, height: float, top: Material) -> None:
    radius = min(width, depth) / 2
    shop.mesh.prism((0, depth / 2, 0), (radius, radius), (height - 0.03, height), top, sides=16)
    shop.mesh.prism((0, depth / 2, 0), (0.25, 0.04, 0.04), (0.0, 0.04, height - 0.03), shop.surface(METALS), sides=8)


_TABLES = (_table_legs, _table_sides)
_NEW_TABLES = (_table_trestle,)


def _screen(shop: Workshop, frame: Frame) -> None:
    shop.begin(Label.MONITOR, frame)
    case = shop.surface(PLASTICS)
    width = shop.uniform(0.48, 0.68)
    tall, low = 0.6 * width, shop.uniform(0.08, 0.14)
    shop.mesh.box((-0.12, -0.08, 0), (0.12, 0.1, 0.015), case)
    shop.mesh.box((-0.03, -0.04, 0.015), (0.03, -0.01, low + 0.1), case)
    shop.mesh.box((-width / 2, -0.02, low), (width / 2, 0.03, low + tall), case)
    front = shop.picture(SCREENS, width - 0.03, tall - 0.03, glow=0.7, glossy=True)
    shop.mesh.box((-width / 2 + 0.015, 0.02, low + 0.015), (width / 2 - 0.015, 0.034, low + tall - 0.015), case, front)


def desk(shop: Workshop, plan: RoomPlan) -> bool:
    """A desk at the wall with one or two monitors and a chair."""
    width, depth, height = shop.uniform(1.1, 1.5), shop.uniform(0.6, 0.75), shop.uniform(0.71, 0.76)
    frame = plan.on_wall(width, depth + 0.5, 0.0, height + 0.1)
    if frame is None:
        return False
    shop.begin(Label.TABLE, frame.moved(y=0.03))
    shop.pick(_TABLES, _NEW_TABLES)(shop, width, depth, height, shop.surface(WOODS))
    places = (-0.27 * width, 0.27 * width) if width > 1.3 and shop.chance(0.4) else (shop.uniform(-0.15, 0.15),)
    for x in places:
        _screen(shop, frame.moved(x, 0.24, height, shop.uniform(-0.15, 0.15)))
    shop.begin(None, frame.moved(shop.uniform(-0.1, 0.1), 0.45, height))
    shop.mesh.box((-0.22, 0, 0), (0.22, 0.13, 0.02), shop.surface(PLASTICS))
    _chair(
        shop,
        frame.moved(shop.uniform(-0.15, 0.15), depth + shop.uniform(0.12, 0.3), 0, math.pi + shop.uniform(-0.5, 0.5)),
    )
    return True


def dining(shop: Workshop, plan: RoomPlan) -> bool:
    """A table away from the walls with two to four chairs."""
    width, depth, height = shop.uniform(0.8, 1.2), shop.uniform(0.7, 0.85), shop.uniform(0.71, 0.76)
    frame = plan.on_floor(width + 0.2, depth + 0.9, 1.0)
    if frame is None:
        return False
    shop.begin(Label.TABLE, frame.moved(y=-depth / 2))
    shop.pick((*_TABLES, _table_round), _NEW_TABLES)(shop, width, depth, height, shop.surface(WOODS))
    for side in (-1, 1):
        for x in (-0.25, 0.25) if width > 1.05 else (0.0,):
            turn = 0.0 if side < 0 else math.pi
            _chair(
                shop,
                frame.moved(
                    x * width, side * (depth / 2 + shop.uniform(0.05, 0.25)), 0, turn + shop.uniform(-0.3, 0.3)
                ),
            )
    return True


# --- seats and beds -----------------------------------------------------------------------------------------------


def _chair_wood(shop: Workshop) -> None:
    timber, high = shop.surface(WOODS), shop.uniform(0.82, 0.95)
    seat = shop.surface(CLOTHS) if shop.chance(0.4) else timber
    shop.mesh.box((-0.21, -0.21, 0.42), (0.21, 0.21, 0.46), seat)
    for x in (-0.21, 0.17):
        shop.mesh.box((x, 0.17, 0), (x + 0.04, 0.21, 0.42), timber)
        shop.mesh.box((x, -0.21, 0), (x + 0.04, -0.17, high), timber)
    for z in np.linspace(0.6, high - 0.08, shop.pick((2, 3))):
        shop.mesh.box((-0.17, -0.2, z), (0.17, -0.18, z + 0.07), timber)


def _chair_padded(shop: Workshop) -> None:
    cloth, legs = shop.surface(CLOTHS), shop.surface(METALS)
    shop.mesh.box((-0.23, -0.23, 0.4), (0.23, 0.23, 0.48), cloth)
    shop.mesh.box((-0.22, -0.25, 0.5), (0.22, -0.18, shop.uniform(0.8, 0.92)), cloth)
    shop.mesh.box((-0.02, -0.22, 0.4), (0.02, -0.19, 0.6), legs)
    for x in (-0.21, 0.18):
        for y in (-0.21, 0.18):
            shop.mesh.box((x, y, 0), (x + 0.03, y + 0.03, 0.4), legs)


def _chair_swivel(shop: Workshop) -> None:
    cloth, base, at = shop.surface(CLOTHS), shop.surface(PLASTICS), shop.mesh.frame
    shop.mesh.prism((0, 0, 0), (0.24, 0.24), (0.43, 0.5), cloth)
    shop.mesh.box((-0.21, -0.26, 0.55), (0.21, -0.2, 1.0), cloth)
    shop.mesh.box((-0.03, -0.24, 0.42), (0.03, -0.21, 0.6), base)
    shop.mesh.prism((0, 0, 0), (0.03, 0.03), (0.06, 0.43), base, sides=6)
    for spoke in range(5):
        shop.mesh.frame = at.moved(turn=spoke * 2 * math.pi / 5)
        shop.mesh.box((0, -0.02, 0.03), (0.28, 0.02, 0.07), base)


def _chair(shop: Workshop, frame: Frame) -> None:
    shop.begin(Label.CHAIR, frame)
    shop.pick((_chair_wood, _chair_padded), (_chair_swivel,))(shop)


def chair(shop: Workshop, plan: RoomPlan) -> bool:
    """A chair by itself."""
    frame = plan.on_floor(0.5, 0.5, 0.95, turned=True)
    if frame is None:
        return False
    _chair(shop, frame)
    return True


def sofa(shop: Workshop, plan: RoomPlan) -> bool:
    """A sofa or armchair with its back to a wall."""
    width, depth, back = shop.uniform(0.85, 1.8), shop.uniform(0.75, 0.85), shop.uniform(0.72, 0.85)
    frame = plan.on_wall(width, depth + 0.2, 0.0, back + 0.02)
    if frame is None:
        return False
    shop.begin(Label.SOFA, frame.moved(y=0.02))
    cloth, half, arm = shop.surface(CLOTHS), width / 2, shop.uniform(0.1, 0.18)
    shop.mesh.box((-half, 0, 0.05), (half, depth, 0.26), cloth)
    shop.mesh.box((-half, 0, 0.26), (half, 0.2, back), cloth)
    for x in (-half, half - arm):
        shop.mesh.box((x, 0.2, 0.26), (x + arm, depth, shop.uniform(0.5, 0.6)), cloth)
    seats = max(1, round((width - 2 * arm) / 0.65))
    step = (width - 2 * arm) / seats
    for k in range(seats):
        x = -half + arm + k * step
        shop.mesh.box((x + 0.01, 0.22, 0.26), (x + step - 0.01, depth + 0.01, 0.42), cloth)
        if shop.chance(0.5):
            cushion = shop.surface(CLOTHS)
            shop.mesh.box((x + 0.1, 0.24, 0.42), (x + min(step, 0.55) - 0.08, 0.34, 0.75), cushion)
    return True


def bed(shop: Workshop, plan: RoomPlan) -> bool:
    """A bed with its head at the wall."""
    width, depth, high = shop.uniform(0.9, 1.3), shop.uniform(1.85, 2.0), shop.uniform(0.42, 0.55)
    frame = plan.on_wall(width, depth, 0.0, 0.95)
    if frame is None:
        return False
    shop.begin(Label.BED, frame.moved(y=0.02))
    timber, half = shop.surface(FRAMES), width / 2
    shop.mesh.box((-half, 0, 0), (half, 0.05, shop.uniform(0.75, 0.95)), timber)
    shop.mesh.box((-half, 0.05, 0.1), (half, depth, 0.28), timber)
    shop.mesh.box((-half + 0.02, 0.06, 0.28), (half - 0.02, depth - 0.02, high - 0.06), shop.surface(PILLOWS))
    shop.mesh.box((-half + 0.0, 0.55, high - 0.16), (half, depth, high), shop.surface(BLANKETS, (1.0, 1.0)))
    white = shop.surface(PILLOWS)
    for x in (-0.25 * width, 0.25 * width) if width > 1.1 else (0.0,):
        shop.mesh.box((x - 0.26, 0.08, high - 0.06), (x + 0.26, 0.46, high + 0.06), white)
    return True


# --- storage ------------------------------------------------------------------------------------------------------


def bookshelf(shop: Workshop, plan: RoomPlan) -> bool:
    """Open shelves with rows of books, some of them half empty."""
    width, depth, high = shop.uniform(0.7, 1.1), shop.uniform(0.24, 0.32), shop.uniform(1.3, 2.0)
    frame = plan.on_wall(width, depth + 0.25, 0.0, high)
    if frame is None:
        return False
    shop.begin(Label.BOOKSHELF, frame)
    timber, half = shop.surface(WOODS), width / 2
    shop.mesh.box((-half, 0, 0), (half, 0.015, high), timber)
    for x in (-half, half - 0.02):
        shop.mesh.box((x, 0.015, 0), (x + 0.02, depth, high), timber)
    rows = max(3, round(high / shop.uniform(0.3, 0.38)))
    step = (high - 0.05) / rows
    for row in range(rows + 1):
        z = 0.03 + row * step
        shop.mesh.box((-half + 0.02, 0.015, z - 0.02), (half - 0.02, depth, z), timber)
        if row < rows and shop.chance(0.88):
            reach = (width - 0.04) * (1.0 if shop.chance(0.6) else shop.uniform(0.4, 0.9))
            tall = step - shop.uniform(0.03, 0.08)
            spines = shop.picture(BOOKS, reach, tall)
            left = -half + 0.02
            shop.mesh.box((left, 0.02, z), (left + reach, depth - shop.uniform(0.02, 0.08), z + tall), timber, spines)
    return True


# --- small things -------------------------------------------------------------------------------------------------


def _foliage_bush(shop: Workshop, leaf: Material, low: float, high: float) -> None:
    count, at = int(shop.rng.integers(45, 70)), shop.mesh.frame
    for _ in range(count):
        reach, turn = shop.uniform(0.05, 0.22), shop.uniform(0, 2 * math.pi)
        z = low + (high - low) * math.sqrt(shop.rng.random())
        shop.mesh.frame = at.moved(reach * math.cos(turn), reach * math.sin(turn), z, turn)
        droop, long = shop.uniform(-0.08, 0.08), shop.uniform(0.1, 0.17)
        _leaf(shop, leaf, long, 0.5 * long, droop)


def _leaf(shop: Workshop, leaf: Material, long: float, wide: float, rise: float) -> None:
    shop.mesh.sheet((0, wide / 2, 0), (0, -wide, 0), (long, 0, rise), leaf)
    shop.mesh.sheet((0, -wide / 2, -0.004), (0, wide, 0), (long, 0, rise), leaf)


def _foliage_palm(shop: Workshop, leaf: Material, low: float, high: float) -> None:
    shop.mesh.prism((0, 0, 0), (0.025, 0.02), (low, high - 0.25), shop.surface(((materials.wood,), ())), sides=6)
    at = shop.mesh.frame
    for _ in range(int(shop.rng.integers(12, 18))):
        frond = at.moved(0, 0, high - shop.uniform(0.2, 0.4), shop.uniform(0, 2 * math.pi))
        rise = shop.uniform(-0.05, 0.2)
        for part in range(3):
            shop.mesh.frame = frond.moved(0.02 + 0.14 * part, 0, (rise * part) - 0.05 * part * part)
            _leaf(shop, leaf, 0.15, 0.09 - 0.02 * part, rise - 0.05 * (2 * part + 1))


def _foliage_cactus(shop: Workshop, leaf: Material, low: float, high: float) -> None:
    shop.mesh.prism((0, 0, 0), (0.06, 0.09, 0.08, 0.03), (low, low + 0.2, high - 0.1, high), leaf, sides=8)
    for x in (-0.14, 0.14):
        middle = shop.uniform(low + 0.15, high - 0.2)
        shop.mesh.box((min(0, x), -0.03, middle), (max(0, x), 0.03, middle + 0.06), leaf)
        shop.mesh.prism((x, 0, 0), (0.045, 0.03), (middle, middle + 0.2), leaf, sides=6)


def plant(shop: Workshop, plan: RoomPlan) -> bool:
    """A plant in a pot on the floor, near a wall."""
    high = shop.uniform(0.7, 1.4)
    frame = plan.on_wall(0.45, 0.5, 0.0, high)
    if frame is None:
        return False
    shop.begin(Label.PLANT, frame.moved(y=0.26))
    pot = shop.uniform(0.25, 0.35)
    shop.mesh.prism((0, 0, 0), (0.1, 0.15), (0.0, pot), shop.surface(POTS), sides=12)
    foliage = shop.pick((_foliage_bush, _foliage_palm), (_foliage_cactus,))
    foliage(shop, shop.surface(LEAVES, (0.15, 0.15)), pot, high)
    return True


def _lamp_shade(shop: Workshop, z: float) -> None:
    shop.mesh.prism((0, 0, 0), (0.2, 0.13), (z - 0.28, z), shop.surface(SHADES, glow=0.6), sides=14)


def _lamp_bowl(shop: Workshop, z: float) -> None:
    shop.mesh.prism((0, 0, 0), (0.06, 0.22), (z - 0.14, z), shop.surface(SHADES, glow=0.5), sides=14)


def _lamp_globe(shop: Workshop, z: float) -> None:
    radii = [0.15 * math.sin(a) for a in (0.5, 1.1, 1.6, 2.1, 2.7)]
    shop.mesh.prism((0, 0, 0), radii, [z - 0.15 - 0.15 * math.cos(a) for a in (0.5, 1.1, 1.6, 2.1, 2.7)],
                    shop.surface(SHADES, glow=0.7), sides=12)  # fmt: skip


def lamp(shop: Workshop, plan: RoomPlan) -> bool:
    """A floor lamp."""
    frame = plan.on_wall(0.42, 0.45, 0.0, 1.7)
    if frame is None:
        return False
    shop.begin(Label.LAMP, frame.moved(y=0.23))
    metal, high = shop.surface(METALS), shop.uniform(1.35, 1.65)
    shop.mesh.prism((0, 0, 0), (0.14, 0.14), (0.0, 0.025), metal, sides=12)
    shop.mesh.prism((0, 0, 0), (0.015, 0.015), (0.025, high - 0.1), metal, sides=6)
    shop.pick((_lamp_shade, _lamp_bowl), (_lamp_globe,))(shop, high)
    return True


def pendant(shop: Workshop, plan: RoomPlan) -> bool:
    """A lamp that hangs from the ceiling."""
    length, width, height = plan.size
    at = Frame(length * shop.uniform(0.4, 0.6), width * shop.uniform(0.4, 0.6))
    shop.begin(Label.LAMP, at)
    low = height - shop.uniform(0.35, 0.55)
    shop.mesh.prism((0, 0, 0), (0.008, 0.008), (low, height), shop.surface(METALS), sides=4)
    shop.pick((_lamp_shade, _lamp_bowl), (_lamp_globe,))(shop, low)
    return True


def rug(shop: Workshop, plan: RoomPlan) -> bool:
    """A rug on the floor; furniture may stand on it."""
    long, wide = shop.uniform(1.1, 1.8), shop.uniform(0.8, 1.3)
    x, y = shop.uniform(0.3, 0.7) * plan.size[0], shop.uniform(0.3, 0.7) * plan.size[1]
    shop.begin(Label.RUG, Frame(x, y, 0.0, shop.uniform(-0.3, 0.3)))
    front = shop.picture(RUGS, long, wide)
    low, high = np.array([-long / 2, -wide / 2, 0.0]), np.array([long / 2, wide / 2, shop.uniform(0.008, 0.02)])
    room = np.array([plan.size[0], plan.size[1], 1.0]) - 0.1
    corners = shop.mesh.frame.to_world(
        np.array([[sx * long / 2, sy * wide / 2, 0] for sx in (-1, 1) for sy in (-1, 1)])
    )
    if not ((corners[:, :2] > 0.1).all() and (corners[:, :2] < room[:2]).all()):
        return False
    shop.mesh.box(low, high, front)
    return True


def parcel(shop: Workshop, plan: RoomPlan) -> bool:
    """A cardboard box: clutter, not labelled."""
    width, depth, high = (shop.uniform(0.25, 0.5) for _ in range(3))
    frame = plan.on_floor(width, depth, high, turned=True)
    if frame is None:
        return False
    shop.begin(None, frame)
    shop.mesh.box((-width / 2, -depth / 2, 0), (width / 2, depth / 2, high), shop.picture(PARCELS, width, high))
    return True

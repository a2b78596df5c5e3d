"""Things on and in the walls. Each function draws a size, asks the plan for a place, and builds there if it is free."""

from __future__ import annotations

import numpy as np

from ditr.worlds.common.mesh import Frame, Material
from ditr.worlds.rooms import fronts, materials, pictures
from ditr.worlds.rooms.config import Label
from ditr.worlds.rooms.workshop import Painters, RoomPlan, Workshop

WALLS: Painters = (
    (materials.wall_paint, materials.wall_plaster, materials.wall_stripes),
    (materials.wall_brick, materials.wall_floral),
)
FLOORS: Painters = (
    (materials.floor_planks, materials.floor_carpet, materials.floor_tiles),
    (materials.floor_chevron, materials.floor_terrazzo),
)
CEILINGS: Painters = ((materials.ceiling_paint, materials.ceiling_panels), ())
DOORS: Painters = ((fronts.door_panels, fronts.door_plain), (fronts.door_glazed, fronts.door_planks))
VIEWS: Painters = (
    (pictures.view_trees, pictures.view_hills, pictures.view_houses),
    (pictures.view_city, pictures.view_sea),
)
CURTAINS: Painters = ((fronts.curtain_plain, fronts.curtain_striped), (fronts.curtain_leaves,))
WHITEBOARDS: Painters = ((pictures.whiteboard_notes, pictures.whiteboard_plan), (pictures.whiteboard_stickers,))
PAINTINGS: Painters = (
    (pictures.painting_landscape, pictures.painting_abstract, pictures.painting_still),
    (pictures.painting_portrait, pictures.painting_geometric),
)
PINBOARDS: Painters = ((pictures.pinboard_cork,), (pictures.pinboard_felt,))
FRONTS: Painters = ((fronts.cabinet_doors, fronts.cabinet_frames), (fronts.cabinet_lockers,))
FRAMES: Painters = ((materials.wood, materials.lacquer), (materials.colored_lacquer,))
METALS: Painters = ((materials.metal,), ())
ENAMELS: Painters = ((materials.enamel,), ())
PLASTICS: Painters = ((materials.black_plastic,), ())
SCREENS: Painters = ((pictures.screen_desktop, pictures.screen_code), (pictures.screen_sheet,))


def shell(shop: Workshop, plan: RoomPlan) -> None:
    """Walls with a skirting board, floor and ceiling."""
    length, width, height = plan.size
    paint = shop.surface(WALLS, (1.0, 1.0))
    accent = shop.surface(WALLS, (1.0, 1.0)) if shop.chance(0.35) else paint
    skirting = shop.surface(FRAMES)
    has_skirting = shop.chance(0.7)
    for index in range(4):
        long = plan.wall_length(index)
        shop.begin(Label.WALL, plan.wall(index, 0.0))
        shop.mesh.sheet((long, 0, height), (-long, 0, 0), (0, 0, -height), accent if index == 0 else paint)
        if has_skirting:
            shop.mesh.box((0, 0, 0), (long, 0.012, 0.07), skirting)
    shop.begin(Label.FLOOR, Frame(0.0, 0.0))
    shop.mesh.sheet((0, width, 0), (length, 0, 0), (0, -width, 0), shop.surface(FLOORS, (1.2, 1.2)))
    shop.begin(Label.CEILING, Frame(0.0, 0.0))
    shop.mesh.sheet((0, 0, height), (length, 0, 0), (0, width, 0), shop.surface(CEILINGS, (0.6, 0.6)))


def _border(
    shop: Workshop, width: float, low: float, high: float, rim: float, depth: float, material: Material
) -> None:
    """Four bars around an opening of the given outer size."""
    half = width / 2
    shop.mesh.box((-half, 0, low), (-half + rim, depth, high), material)
    shop.mesh.box((half - rim, 0, low), (half, depth, high), material)
    shop.mesh.box((-half + rim, 0, high - rim), (half - rim, depth, high), material)
    if low > 0:
        shop.mesh.box((-half + rim, 0, low), (half - rim, depth, low + rim), material)


def _panel(
    shop: Workshop, width: float, low: float, high: float, depth: float, edge: Material, front: Material
) -> None:
    shop.mesh.box((-width / 2, 0, low), (width / 2, depth, high), edge, front)


def door(shop: Workshop, plan: RoomPlan) -> bool:
    """A closed door leaf in a frame that stands a few centimetres out of the wall."""
    width, height = shop.uniform(0.82, 0.98), shop.uniform(1.98, 2.08)
    frame = plan.on_wall(width, 0.6, 0.0, height)
    if frame is None:
        return False
    shop.begin(Label.DOOR, frame)
    rim = shop.uniform(0.05, 0.08)
    trim = shop.surface(FRAMES)
    _border(shop, width, 0.0, height, rim, shop.uniform(0.04, 0.06), trim)
    leaf = shop.picture(DOORS, width - 2 * rim, height - rim)
    _panel(shop, width - 2 * rim, 0.0, height - rim, shop.uniform(0.01, 0.025), trim, leaf)
    grip = width / 2 - rim - 0.07  # where the painters put the lock
    shop.mesh.box((grip - 0.11, 0.05, 1.0), (grip, 0.07, 1.025), shop.surface(METALS))
    return True


def window(shop: Workshop, plan: RoomPlan) -> bool:
    """A window with its view, a sill, often a radiator below and curtains beside it."""
    width, low, tall = shop.uniform(0.9, 1.5), shop.uniform(0.8, 0.95), shop.uniform(1.0, 1.3)
    high = min(low + tall, plan.size[2] - 0.12)
    frame = plan.on_wall(width + 0.3, 0.2, 0.05, high + 0.1)
    if frame is None:
        return False
    shop.begin(Label.WINDOW, frame)
    trim = shop.surface(((materials.enamel, materials.wood), ()))
    _border(shop, width, low, high, 0.06, 0.05, trim)
    pane = shop.picture(VIEWS, width - 0.12, high - low - 0.12, glow=0.85, glossy=True)
    _panel(shop, width - 0.12, low + 0.06, high - 0.06, 0.008, trim, pane)
    for bar in range(1, shop.pick((1, 2, 3))):
        x = -width / 2 + bar * width / shop.pick((2, 3))
        shop.mesh.box((x - 0.02, 0.01, low + 0.06), (x + 0.02, 0.045, high - 0.06), trim)
    shop.mesh.box((-width / 2 - 0.04, 0, low - 0.03), (width / 2 + 0.04, shop.uniform(0.1, 0.16), low), trim)
    if shop.chance(0.65):
        _radiator(shop, frame, min(width, shop.uniform(0.7, 1.2)), low - 0.12)
    if shop.chance(0.75):
        for side in (-1, 1):
            _curtain(shop, frame.moved(x=side * (width / 2 + 0.02)), shop.uniform(0.28, 0.42), high + 0.08)
    return True


def _curtain(shop: Workshop, frame: Frame, width: float, high: float) -> None:
    shop.begin(Label.CURTAIN, frame)
    low = shop.uniform(0.03, 0.5)
    x = np.linspace(width / 2, -width / 2, 25)
    y = 0.1 + 0.025 * np.sin(x * shop.uniform(45, 75))
    top = np.stack([x, y, np.full_like(x, high)], axis=1)
    bottom = np.stack([x, y, np.full_like(x, low)], axis=1)
    cloth = shop.surface(CURTAINS, (0.5, high - low))
    forward = np.array([0.0, 0.012, 0.0])
    for shift, order in ((forward, 1), (0 * forward, -1)):  # a front and a back, so that the cloth has a thickness
        upper, lower = (top + shift)[::order], (bottom + shift)[::order]
        shop.mesh.patches(np.stack([upper[:-1], upper[1:], lower[1:], lower[:-1]], axis=1), cloth, chained=True)
    shop.mesh.box((-width / 2 - 0.1, 0.095, high), (width / 2 + 0.1, 0.12, high + 0.025), shop.surface(METALS))


def curtain(shop: Workshop, plan: RoomPlan) -> bool:
    """A curtain in front of a wall (a wardrobe, an alcove)."""
    width = shop.uniform(0.7, 1.1)
    high = min(shop.uniform(1.9, 2.2), plan.size[2] - 0.1)
    frame = plan.on_wall(width + 0.15, 0.25, 0.0, high + 0.05)
    if frame is None:
        return False
    _curtain(shop, frame, width, high)
    return True


def _radiator(shop: Workshop, frame: Frame, width: float, high: float) -> None:
    shop.begin(Label.RADIATOR, frame)
    coat = shop.surface(ENAMELS)
    fins, low = max(4, round(width / shop.uniform(0.06, 0.09))), 0.12
    step = width / fins
    for k in range(fins):
        x = -width / 2 + k * step
        shop.mesh.box((x, 0.05, low), (x + 0.6 * step, 0.12, high), coat)
    shop.mesh.box((-width / 2, 0.07, low + 0.04), (width / 2, 0.1, low + 0.08), coat)
    shop.mesh.box((-width / 2, 0.07, high - 0.08), (width / 2, 0.1, high - 0.04), coat)
    shop.mesh.box((-width / 2, 0.0, low), (width / 2, 0.055, high), coat)


def radiator(shop: Workshop, plan: RoomPlan) -> bool:
    """A radiator away from the windows."""
    width, high = shop.uniform(0.5, 0.9), shop.uniform(0.55, 1.2)
    frame = plan.on_wall(width, 0.3, 0.05, high)
    if frame is None:
        return False
    _radiator(shop, frame, width, high)
    return True


def whiteboard(shop: Workshop, plan: RoomPlan) -> bool:
    """A whiteboard in a metal frame with a tray."""
    width, low, tall = shop.uniform(1.0, 1.6), shop.uniform(0.92, 1.05), shop.uniform(0.8, 1.05)
    frame = plan.on_wall(width, 0.1, low - 0.05, low + tall)
    if frame is None:
        return False
    shop.begin(Label.WHITEBOARD, frame)
    metal = shop.surface(METALS)
    _border(shop, width, low, low + tall, 0.025, 0.03, metal)
    board = shop.picture(WHITEBOARDS, width - 0.05, tall - 0.05)
    _panel(shop, width - 0.05, low + 0.025, low + tall - 0.025, 0.018, metal, board)
    shop.mesh.box((-0.4 * width, 0, low - 0.02), (0.4 * width, 0.07, low), metal)
    return True


def pinboard(shop: Workshop, plan: RoomPlan) -> bool:
    """A board with papers in a wooden frame."""
    width, low, tall = shop.uniform(0.75, 1.25), shop.uniform(0.95, 1.2), shop.uniform(0.55, 0.9)
    frame = plan.on_wall(width, 0.1, low, low + tall)
    if frame is None:
        return False
    shop.begin(Label.PINBOARD, frame)
    trim = shop.surface(FRAMES)
    _border(shop, width, low, low + tall, 0.03, 0.025, trim)
    board = shop.picture(PINBOARDS, width - 0.06, tall - 0.06)
    _panel(shop, width - 0.06, low + 0.03, low + tall - 0.03, 0.015, trim, board)
    return True


def painting(shop: Workshop, plan: RoomPlan) -> bool:
    """A framed picture."""
    width, tall, middle = shop.uniform(0.4, 1.0), shop.uniform(0.35, 0.75), shop.uniform(1.4, 1.65)
    low, high = middle - tall / 2, middle + tall / 2
    frame = plan.on_wall(width, 0.1, low, high)
    if frame is None:
        return False
    shop.begin(Label.PICTURE, frame)
    trim = shop.surface(FRAMES)
    rim = shop.uniform(0.02, 0.05)
    _border(shop, width, low, high, rim, shop.uniform(0.02, 0.035), trim)
    motif = shop.picture(PAINTINGS, width - 2 * rim, tall - 2 * rim)
    _panel(shop, width - 2 * rim, low + rim, high - rim, 0.012, trim, motif)
    return True


def cabinet(shop: Workshop, plan: RoomPlan) -> bool:
    """A cupboard, mostly built into the wall with its doors a few centimetres in front, else standing before it."""
    width = shop.uniform(0.8, 1.5)
    tall = shop.pick((shop.uniform(1.9, 2.1), shop.uniform(0.8, 1.2)))
    depth = shop.uniform(0.02, 0.05) if shop.chance(0.65) else shop.uniform(0.3, 0.42)
    frame = plan.on_wall(width, depth + 0.25, 0.0, tall)
    if frame is None:
        return False
    shop.begin(Label.CABINET, frame)
    carcass = shop.surface(FRAMES)
    _panel(shop, width, 0.0, tall, depth, carcass, shop.picture(FRONTS, width, tall))
    return True


def wall_screen(shop: Workshop, plan: RoomPlan) -> bool:
    """A flat screen on the wall."""
    width = shop.uniform(0.8, 1.15)
    tall, low = 0.58 * width, shop.uniform(1.0, 1.2)
    frame = plan.on_wall(width, 0.12, low, low + tall)
    if frame is None:
        return False
    shop.begin(Label.MONITOR, frame)
    case = shop.surface(PLASTICS)
    shop.mesh.box((-width / 2, 0.0, low), (width / 2, 0.06, low + tall), case)
    screen = shop.picture(SCREENS, width - 0.04, tall - 0.04, glow=0.7, glossy=True)
    shop.mesh.box((-width / 2 + 0.02, 0.05, low + 0.02), (width / 2 - 0.02, 0.064, low + tall - 0.02), case, screen)
    return True

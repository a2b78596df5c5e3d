"""Pedestrians, two-wheelers and those who ride them."""

from __future__ import annotations

from ditr.worlds.common.mesh import Frame, Material
from ditr.worlds.streets import grounds
from ditr.worlds.streets.config import Kind
from ditr.worlds.streets.site import Site

__all__ = ["bicycle", "bicyclist", "motorcycle", "motorcyclist", "pedestrian"]

_SKINS = ((236, 198, 170), (205, 160, 125), (150, 105, 75), (95, 66, 48))


def _clothes(site: Site) -> tuple[Material, Material, Material, Material]:
    """Skin, hair, upper and lower clothes."""
    upper = site.tint((0, 1), (0.1, 0.85), (0.25, 0.95), 0.35)
    if site.chance(0.12):
        upper = site.plain((235, 240, 40), 0.9)  # a safety vest
    lower = site.tint((0.5, 0.75), (0.05, 0.55), (0.12, 0.5), 0.3)
    return site.plain(site.pick(_SKINS), 0.4), site.tint((0.03, 0.1), (0.1, 0.6), (0.08, 0.5)), upper, lower


def pedestrian(site: Site, frame: Frame) -> None:
    """A person who walks or stands, some with a bag."""
    skin, hair, upper, lower = _clothes(site)
    size = site.uniform(0.9, 1.06) * (1.0 if site.chance(0.88) else 0.65)
    stride = site.uniform(0.0, 0.3)
    site.start(Kind.PEDESTRIAN, frame)

    def bar(points: list[tuple[float, float, float]], radii: list[float], material: Material, sides: int = 6) -> None:
        site.tube([(x * size, y * size, z * size) for x, y, z in points], [r * size for r in radii], material, sides)

    for side in (-1, 1):
        foot, hand, out = side * stride, -side * 0.6 * stride + 0.1, side * 0.11
        bar([(side * 0.1, 0, 0.86), (out, 0.6 * foot + 0.03, 0.46), (out, foot, 0.03)], [0.1, 0.075, 0.055], lower)
        arm = [(side * 0.21, 0, 1.4), (side * 0.27, -side * 0.5 * stride, 1.12), (side * 0.25, hand, 0.88)]
        bar(arm, [0.065, 0.05, 0.04], upper, 5)
        site.ellipsoid((out * size, (foot + 0.06) * size, 0.04), (0.05, 0.13, 0.05), hair, 6, 3)
    bar([(0, 0, 0.8), (0, 0, 1.0), (0, 0, 1.3), (0, 0, 1.46), (0, 0.0, 1.5)], [0.15, 0.16, 0.2, 0.17, 0.06], upper, 8)
    site.ellipsoid((0, 0.01 * size, 1.63 * size), (0.085 * size, 0.1 * size, 0.125 * size), skin, 8, 5)
    site.ellipsoid((0, -0.025 * size, 1.67 * size), (0.095 * size, 0.1 * size, 0.11 * size), hair, 8, 5)
    if site.chance(0.4):
        bag = site.tint((0, 1), (0.1, 0.7), (0.1, 0.6))
        site.mesh.box((-0.17 * size, -0.3 * size, 0.98 * size), (0.17 * size, -0.12 * size, 1.4 * size), bag)


def _rider(site: Site, seat: float, forward: float, helmet: bool) -> None:
    """A person in the saddle, hands at the handlebar."""
    skin, hair, upper, lower = _clothes(site)
    hip, chest = (0.0, -0.15, seat + 0.06), (0.0, 0.16, seat + 0.52)
    site.tube([hip, ((hip[0] + chest[0]) / 2, 0.02, seat + 0.3), chest], [0.16, 0.18, 0.14], upper, 8)
    for side in (-1, 1):
        leg = [(side * 0.1, -0.12, seat + 0.02), (side * 0.13, 0.28, seat - 0.1), (side * 0.12, 0.08, seat - 0.55)]
        site.tube(leg, [0.09, 0.075, 0.055], lower)
        arm = [(side * 0.2, 0.13, seat + 0.46), (side * 0.27, 0.28, seat + 0.26), (side * 0.24, forward, seat + 0.22)]
        site.tube(arm, [0.06, 0.05, 0.04], upper, 5)
    site.ellipsoid((0, 0.24, seat + 0.74), (0.085, 0.1, 0.12), skin, 8, 5)
    cover = site.tint((0, 1), (0.1, 0.9), (0.2, 0.95)) if helmet else hair
    size = 0.15 if helmet else 0.11
    site.ellipsoid((0, 0.22, seat + 0.79), (0.85 * size, size, 0.8 * size), cover, 8, 5)


def _bicycle(site: Site) -> None:
    rubber = site.shared(grounds.rust, (0.4, 0.4), 0.12)
    steel = site.shared(grounds.steel, (0.4, 0.4), 0.5)
    paint = site.tint((0, 1), (0.4, 0.9), (0.3, 0.9), 0.4)
    for y in (-0.52, 0.52):
        site.tyre((0, y, 0.34), 0.34, 0.045, rubber)
        for z in (0.0, 0.22):
            site.tube([(0, y - 0.3 + z, 0.34 - z), (0, y + 0.3 - z, 0.34 + z)], 0.008, steel, 3)
    crank, saddle, head = (0.0, -0.08, 0.3), (0.0, -0.26, 0.86), (0.0, 0.36, 0.84)
    for a, b in ((crank, saddle), (crank, head), ((0, -0.23, 0.76), head), ((0, -0.52, 0.34), crank),
                 ((0, -0.52, 0.34), (0, -0.22, 0.72)), ((0, 0.52, 0.34), (0, 0.33, 0.96))):  # fmt: skip
        site.tube([a, b], 0.022, paint, 5)
    site.tube([(-0.28, 0.32, 0.98), (0.28, 0.32, 0.98)], 0.018, steel, 5)
    site.mesh.box((-0.07, -0.4, 0.86), (0.07, -0.14, 0.91), rubber)
    site.tube([(-0.12, -0.02, 0.22), (0.12, -0.14, 0.38)], 0.02, steel, 4)
    if site.chance(0.35):
        site.mesh.box((-0.16, 0.45, 0.78), (0.16, 0.75, 0.98), site.shared(grounds.wooden_boards, (0.6, 0.6)))


def _motorcycle(site: Site) -> None:
    rubber = site.shared(grounds.rust, (0.4, 0.4), 0.12)
    steel = site.shared(grounds.steel, (0.4, 0.4), 0.5)
    paint = site.tint((0, 1), (0.2, 0.95), (0.15, 0.8), 0.4)
    for y in (-0.68, 0.68):
        site.wheel((0, y, 0.31), 0.31, 0.14, rubber, steel)
    if site.chance(0.4):  # a scooter: a floor to stand on and a shield before the knees
        site.mesh.box((-0.2, -0.4, 0.25), (0.2, 0.42, 0.36), paint)
        site.mesh.box((-0.22, 0.42, 0.3), (0.22, 0.52, 0.98), paint)
        site.ellipsoid((0, -0.52, 0.6), (0.2, 0.42, 0.2), paint)
    else:
        site.ellipsoid((0, -0.02, 0.45), (0.19, 0.36, 0.22), steel)
        site.ellipsoid((0, 0.14, 0.78), (0.17, 0.32, 0.16), paint)
        site.tube([(0.17, -0.9, 0.36), (0.17, 0.1, 0.3)], 0.055, steel)
    site.tube([(0, -0.85, 0.82), (0, -0.5, 0.78), (0, -0.1, 0.76)], [0.08, 0.14, 0.12], rubber)
    for x in (-0.09, 0.09):
        site.tube([(x, 0.7, 0.31), (x, 0.45, 1.0)], 0.028, steel, 5)
    site.tube([(-0.36, 0.42, 1.04), (0.36, 0.42, 1.04)], 0.022, rubber, 5)
    site.ellipsoid((0, 0.56, 0.9), (0.1, 0.09, 0.1), site.plain((240, 240, 225), 0.8))
    site.mesh.box((-0.07, -1.0, 0.66), (0.07, -0.93, 0.74), site.plain((200, 20, 25), 1.2))


def bicycle(site: Site, frame: Frame) -> None:
    """A parked bicycle."""
    site.start(Kind.BICYCLE, frame)
    _bicycle(site)


def motorcycle(site: Site, frame: Frame) -> None:
    """A parked motorcycle or scooter."""
    site.start(Kind.MOTORCYCLE, frame)
    _motorcycle(site)


def bicyclist(site: Site, frame: Frame) -> None:
    """A bicycle with its rider; the vehicle is a part of them, as in the datasets."""
    site.start(Kind.BICYCLIST, frame)
    _bicycle(site)
    _rider(site, 0.92, 0.3, site.chance(0.5))


def motorcyclist(site: Site, frame: Frame) -> None:
    """A motorcycle with its rider."""
    site.start(Kind.MOTORCYCLIST, frame)
    _motorcycle(site)
    _rider(site, 0.84, 0.4, True)

"""Houses and towers; local x runs along the street, local y to it, the origin is the middle of the front's foot."""

from __future__ import annotations

import numpy as np

from ditr.worlds.common.mesh import Frame, Material
from ditr.worlds.common.paint import Painter
from ditr.worlds.streets import fronts, grounds
from ditr.worlds.streets.config import Kind
from ditr.worlds.streets.site import Site

__all__ = ["bungalow", "tower", "town_house", "villa"]

_BAY, _FLOOR = 3.0, 3.1  # metres of one window and of one floor, two of each on a tile


def _walls(site: Site, painter: Painter, half: float, deep: float, low: float, high: float) -> None:
    skin = site.surface(((painter,), ()), (2 * _BAY, 2 * _FLOOR), reflectance=site.uniform(0.2, 0.6))
    site.mesh.box((-half, -deep, low), (half, 0, high), skin)


def _gable(site: Site, half: float, deep: float, eaves: float, rise: float, roof: Material, wall: Material) -> None:
    """A roof whose ridge runs along the street, with overhanging eaves."""
    over, ridge = 0.45, eaves + rise
    drop = rise * over / (deep / 2)
    for y, down in ((-deep / 2, deep / 2 + over), (-deep / 2, -deep / 2 - over)):
        x = half + 0.3 if down > 0 else -half - 0.3
        site.mesh.sheet((x, y, ridge + 0.08), (-2 * x, 0, 0), (0, down, -rise - drop), roof)
    for x in (-half, half):
        gable = np.array([[[x, 0.0, eaves], [x, -deep / 2, ridge], [x, -deep, eaves]]])
        site.mesh.triangles(gable, np.array([[[0.0, 0.9], [0.5, 0.0], [1.0, 0.9]]]), wall)


def _balconies(site: Site, half: float, floors: int) -> None:
    rail = site.pick((site.shared(grounds.steel, (0.5, 0.5)), site.shared(grounds.concrete, (2.0, 2.0))))
    for floor in range(1, floors):
        for x in np.arange(-half + _BAY / 2, half - 0.5, 2 * _BAY):
            z = floor * _FLOOR + 0.15
            site.mesh.box((x - 1.1, 0, z), (x + 1.1, 1.0, z + 0.12), rail)
            site.mesh.box((x - 1.1, 0.95, z + 0.12), (x + 1.1, 1.0, z + 1.0), rail)


def tower(site: Site, frame: Frame, width: float) -> None:
    """Offices or flats of many floors over shops."""
    site.start(Kind.BUILDING, frame)
    floors, half, deep = int(site.rng.integers(4, 10)), width / 2, site.uniform(10, 16)
    painter = site.pick((fronts.glass_tower, fronts.office_bands, fronts.concrete_block, fronts.brick_house))
    high = 3.6 + floors * _FLOOR
    _walls(site, painter, half, deep, 3.6, high)
    shop = site.image(fronts.shop_front, min(width, 14.0), 3.6, 0.3)
    plinth = site.shared(grounds.concrete, (3.0, 3.0), 0.4)
    site.mesh.box((-half, -deep, -0.2), (half, 0.12, 3.6), plinth, shop)
    site.mesh.box((-half - 0.15, -deep, high), (half + 0.15, 0.2, high + 0.6), plinth)
    if site.chance(0.4):
        site.mesh.box(
            (-half + 1, 0.1, 3.1), (half - 1, site.uniform(1.0, 1.8), 3.3), site.tint((0, 1), (0.3, 0.8), (0.3, 0.8))
        )
    if painter is fronts.concrete_block or painter is fronts.brick_house:
        site.mesh.frame = frame.moved(z=3.6 - _FLOOR)
        _balconies(site, half, min(floors, 6))


def town_house(site: Site, frame: Frame, width: float) -> None:
    """Plaster or brick, two to four floors, a tiled roof."""
    site.start(Kind.BUILDING, frame)
    floors, half, deep = int(site.rng.integers(2, 5)), width / 2, site.uniform(8, 11)
    painter = site.pick((fronts.plaster_house, fronts.plaster_house, fronts.brick_house))
    eaves = floors * _FLOOR + 0.3
    wall = site.surface(((painter,), ()), (2 * _BAY, 2 * _FLOOR), reflectance=site.uniform(0.25, 0.6))
    site.mesh.box((-half, -deep, 0.3), (half, 0, eaves), wall)
    site.mesh.box((-half - 0.03, -deep, -0.3), (half + 0.03, 0.04, 0.5), site.shared(grounds.stone_wall, (2.0, 2.0)))
    plaster = site.tint((0.05, 0.15), (0.05, 0.25), (0.7, 0.9))
    roof = site.shared(fronts.roof_tiles, (2.4, 2.4), 0.25)
    _gable(site, half, deep, eaves, site.uniform(2.2, 3.6), roof, plaster)
    x = site.uniform(-half + 1, half - 1)
    site.mesh.box((x - 0.6, 0, -0.1), (x + 0.6, 0.06, 2.3), plaster, site.image(fronts.entrance, 1.2, 2.3))
    site.mesh.box((x - 0.9, 0, 2.4), (x + 0.9, 0.8, 2.5), roof)
    if site.chance(0.35):
        _balconies(site, half, floors)


def bungalow(site: Site, frame: Frame, width: float) -> None:
    """A wooden house of one or two floors with a garage."""
    site.start(Kind.BUILDING, frame)
    floors, half, deep = int(site.rng.integers(1, 3)), width / 2, site.uniform(8, 11)
    eaves = floors * _FLOOR + 0.1
    _walls(site, site.pick((fronts.wooden_house, fronts.wooden_house, fronts.plaster_house)), half, deep, -0.2, eaves)
    side = site.shared(grounds.clipboard, (2.0, 2.0), 0.5)
    roof = site.shared(fronts.roof_shingles, (2.4, 2.4), 0.2)
    _gable(site, half, deep, eaves, site.uniform(1.4, 2.4), roof, side)
    x = site.pick((-1, 1)) * (half - 2.2)
    site.mesh.box((x - 1.9, -0.1, -0.1), (x + 1.9, 1.6, 2.7), side, site.image(fronts.garage_door, 3.8, 2.8, 0.5))
    site.mesh.box((x - 2.1, -0.1, 2.7), (x + 2.1, 1.9, 2.85), roof)
    door = site.image(fronts.entrance, 1.2, 2.2)
    site.mesh.box((-0.6 - x / 4, 0, -0.1), (0.6 - x / 4, 0.06, 2.2), side, door)


def villa(site: Site, frame: Frame, width: float) -> None:
    """A low commercial building with a flat roof and a shop front."""
    site.start(Kind.BUILDING, frame)
    half, deep, high = width / 2, site.uniform(9, 13), site.uniform(3.8, 5.0)
    coat = site.pick((grounds.concrete, grounds.clipboard, grounds.stone_wall))
    wall = site.surface(((coat,), ()), (2.0, 2.0), reflectance=site.uniform(0.2, 0.5))
    site.mesh.box((-half, -deep, -0.2), (half, 0, high), wall)
    site.mesh.box(
        (-half + 0.5, -0.1, 0), (half - 0.5, 0.1, 3.4), wall, site.image(fronts.shop_front, min(width - 1, 12), 3.4)
    )
    site.mesh.box((-half - 0.3, -deep, high), (half + 0.3, 0.5, high + 0.35), site.shared(grounds.steel, (0.5, 0.5)))

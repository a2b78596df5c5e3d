"""The road with its markings, kerbs, sidewalks, verges and lots of one street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ditr.worlds.common.mesh import Frame, Material
from ditr.worlds.streets import grounds
from ditr.worlds.streets.config import Kind
from ditr.worlds.streets.plan import END, CityBlock, StreetPlan
from ditr.worlds.streets.site import Site
from ditr.worlds.streets.styles import Town

__all__ = ["Strips", "pave", "roadway"]

_DEEP = 75.0  # metres from the street's middle to where the ground ends
_PAINT = 0.008  # metres by which road paint lies above the road


@dataclass(frozen=True)
class Strips:
    """Where things may stand beside the road.

    Attributes:
        level: height of the sidewalk in metres.
        walk: distance of the sidewalk's borders from the street's middle.
        return_width: how much of a block's end the sidewalk of a crossing street takes.
    """

    level: float
    walk: tuple[float, float]
    return_width: float


def _flat(site: Site, x: tuple[float, float], y: tuple[float, float], z: float, material: Material) -> None:
    """A level rectangle that is seen from above."""
    (x0, x1), (y0, y1) = x, sorted(y)
    if x1 > x0 and y1 > y0:
        site.mesh.sheet((x0, y1, z), (x1 - x0, 0, 0), (0, y0 - y1, 0), material)


def _lawn(
    site: Site, x: tuple[float, float], y: tuple[float, float], z: float, bump: float, material: Material
) -> None:
    """Uneven ground over a rectangle, its borders at ``z``."""
    (x0, x1), (y0, y1) = x, sorted(y)
    if x1 - x0 < 0.5 or y1 - y0 < 0.3:
        return
    step = 1.6 if y1 - y0 < 12 else 5.0
    across, along = max(2, round((y1 - y0) / step) + 1), max(2, round((x1 - x0) / step) + 1)
    grid = np.zeros((across, along, 3))
    grid[..., 0] = np.linspace(x0, x1, along)
    grid[..., 1] = np.linspace(y1, y0, across)[:, None]
    grid[..., 2] = z
    grid[1:-1, 1:-1, 2] += site.rng.uniform(0, bump, (across - 2, along - 2))
    if across == 2:
        grid[:, 1:-1, 2] += site.rng.uniform(0, 0.5 * bump, (2, along - 2))
    tile = material.tile
    assert tile is not None
    uv = np.stack([grid[..., 0] / tile[0], -grid[..., 1] / tile[1]], axis=2)

    def quads(values: NDArray[np.float64]) -> NDArray[np.float64]:
        corners = [values[:-1, :-1], values[:-1, 1:], values[1:, 1:], values[1:, :-1]]
        return np.stack(corners, axis=2).reshape(-1, 4, values.shape[2])

    corner, place = quads(grid), quads(uv)
    for half in ([0, 1, 3], [2, 3, 1]):
        site.mesh.triangles(corner[:, half], place[:, half], material)


def roadway(site: Site, town: Town, plan: StreetPlan) -> None:
    """Asphalt, the crossing street, the island in the middle, and all paint."""
    site.start(Kind.ROAD, Frame(0.0, 0.0))
    asphalt = site.shared(grounds.asphalt, (6.0, 6.0), site.uniform(0.1, 0.22))
    _flat(site, (-END, END), (-plan.road, plan.road), 0.0, asphalt)
    if plan.crossing is not None:
        for side in (-1, 1):
            _flat(site, plan.crossing, (side * plan.road, side * _DEEP), 0.0, asphalt)
    if plan.median:
        site.start(Kind.OTHER_GROUND, Frame(0.0, 0.0))
        top = site.surface(((site.pick(town.other_ground),), ()), (1.5, 1.5), reflectance=site.uniform(0.2, 0.4))
        ends = [(-END, END)] if plan.crossing is None else [(-END, plan.crossing[0] - 5), (plan.crossing[1] + 5, END)]
        for x0, x1 in ends:
            site.mesh.box((x0, -plan.median + 0.15, -0.1), (x1, plan.median - 0.15, 0.12), top)
    site.start(Kind.MARKING, Frame(0.0, 0.0))
    _paint(site, town, plan)


def _paint(site: Site, town: Town, plan: StreetPlan) -> None:
    white = site.shared(grounds.white_line, (2.0, 2.0), site.uniform(0.5, 0.9))
    yellow = site.tint((0.11, 0.14), (0.6, 0.8), (0.75, 0.9), 0.6)
    gap = (END, END) if plan.crossing is None else (plan.crossing[0] - 5.5, plan.crossing[1] + 5.5)
    stretches = [(-END, gap[0]), (gap[1], END)]

    def line(y: float, wide: float, material: Material, dash: float | None) -> None:
        for x0, x1 in stretches:
            if x1 - x0 < 1:
                continue
            starts = np.array([x0]) if dash is None else np.arange(x0, x1 - dash, 2.5 * dash)
            ends = np.array([x1]) if dash is None else starts + dash
            across = np.array([y + wide / 2, y + wide / 2, y - wide / 2, y - wide / 2])
            quad = np.zeros((len(starts), 4, 3))
            quad[..., 0] = np.stack([starts, ends, ends, starts], axis=1)
            quad[..., 1], quad[..., 2] = across, _PAINT
            site.mesh.patches(quad, material)

    if not plan.median:
        if town.yellow_line:
            line(0.13, 0.13, yellow, None)
            line(-0.13, 0.13, yellow, None)
        else:
            line(0.0, 0.14, white, site.pick((None, 3.0)))
    for side in (-1, 1):
        for k in range(1, plan.lanes):
            line(side * (plan.median + k * plan.lane), 0.14, white, 3.0)
        if plan.lanes > 1 or site.chance(0.5):
            line(side * (plan.median + plan.lanes * plan.lane), 0.13, white, None)
    if plan.crossing is not None:
        for x0 in (plan.crossing[0] - 4.0, plan.crossing[1] + 1.0):
            starts = np.arange(-plan.road + 0.5, plan.road - 0.6, 1.0)
            for y in starts:  # the zebra crossing
                site.mesh.sheet((x0, y + 0.5, _PAINT), (3.0, 0, 0), (0, -0.5, 0), white)
        for x0, side in ((plan.crossing[0] - 5.0, -1), (plan.crossing[1] + 4.6, 1)):
            site.mesh.sheet((x0, max(0.0, side * plan.road), _PAINT), (0.4, 0, 0), (0, -plan.road, 0), white)


def pave(site: Site, town: Town, plan: StreetPlan, block: CityBlock) -> Strips:
    """Kerb, verge, sidewalk and lot of one block, and the parking strip before it; says where things may stand."""
    if block.side < 0 and block.start == -END:
        roadway(site, town, plan)
    side, kerb = block.side, town.kerb
    verge = site.uniform(*town.verge) if site.chance(town.verge_share) else 0.0
    inner = plan.road + 0.2 + verge
    outer = inner + max(site.uniform(*town.sidewalk), 1.5 if verge else 2.2)
    _parking(site, town, plan, block)
    returned = 2.2
    x = (block.start, block.end)
    site.start(Kind.KERB, Frame(0.0, 0.0))
    stone = site.shared(grounds.concrete, (2.0, 2.0), 0.35)
    low, high = sorted((side * plan.road, side * (plan.road + 0.2)))
    site.mesh.box((x[0], low, -0.1), (x[1], high, kerb + 0.004), stone)
    for at, is_open, inward in ((x[0], block.open_start, 1), (x[1], block.open_end, -1)):
        if is_open:
            a, b = sorted((at, at + 0.2 * inward))
            c, d = sorted((side * plan.road, side * _DEEP))
            site.mesh.box((a, c, -0.1), (b, d, kerb + 0.004), stone)
    site.start(Kind.SIDEWALK, Frame(0.0, 0.0))
    tile = (2.0, 2.0)
    paving = site.surface(((site.pick(town.paving),), ()), tile, reflectance=site.uniform(0.2, 0.45))
    _flat(site, x, (side * plan.road, side * _DEEP), kerb, paving)
    site.start(Kind.TERRAIN, Frame(0.0, 0.0))
    lawn = site.surface(((site.pick(town.lawn),), ()), (4.0, 4.0), reflectance=site.uniform(0.25, 0.5))
    inside = (x[0] + (returned if block.open_start else 0), x[1] - (returned if block.open_end else 0))
    if verge:
        _lawn(site, inside, (side * (plan.road + 0.2), side * inner), kerb + 0.01, 0.06, lawn)
    _lawn(site, inside, (side * outer, side * (outer + 11)), kerb + 0.01, site.uniform(0.05, 0.35), lawn)
    _lawn(site, inside, (side * (outer + 11), side * _DEEP), kerb + 0.01, 0.3, lawn)
    _other(site, town, plan, block, (inner, outer), inside)
    return Strips(kerb, (inner, outer), returned)


def _parking(site: Site, town: Town, plan: StreetPlan, block: CityBlock) -> None:
    """A strip of its own surface where the style has one, and the lines between places."""
    if not plan.parking:
        return
    edge = plan.road - 0.2 - plan.parking
    ends = (block.start + (6 if block.open_start else 0), block.end - (6 if block.open_end else 0))
    if town.parking is not None:
        site.start(Kind.PARKING, Frame(0.0, 0.0))
        ground = site.surface(((site.pick((town.parking, grounds.setts, grounds.concrete)),), ()), (2.0, 2.0),
                              reflectance=site.uniform(0.15, 0.4))  # fmt: skip
        _flat(site, ends, (block.side * edge, block.side * plan.road), 0.004, ground)
    if site.chance(0.7):
        site.start(Kind.MARKING if town.parking is None else Kind.PARKING, Frame(0.0, 0.0))
        white = site.shared(grounds.white_line, (2.0, 2.0), 0.6)
        for x in np.arange(ends[0] + 2, ends[1], 5.6):
            _flat(site, (x, x + 0.12), (block.side * edge, block.side * (plan.road - 0.15)), 0.012, white)


def _other(
    site: Site, town: Town, plan: StreetPlan, block: CityBlock, walk: tuple[float, float], x: tuple[float, float]
) -> None:
    """Drives to the houses and patches of another surface: level with the sidewalk, none of its kind."""
    ground = site.surface(((site.pick(town.other_ground),), ()), (1.6, 1.6), reflectance=site.uniform(0.2, 0.45))
    at = x[0] + site.uniform(2, 14)
    while at < x[1] - 4:
        wide, deep = site.uniform(2.8, 5.0), site.uniform(4, 9)
        site.start(Kind.OTHER_GROUND, Frame(0.0, 0.0))
        z = town.kerb + 0.016
        height = 0.06 + site.uniform(0.0, 0.02)
        low, high = sorted((block.side * walk[1], block.side * (walk[1] + deep)))
        if site.chance(0.6):
            site.mesh.box((at, low, town.kerb - 0.1), (at + wide, high, town.kerb + height), ground)
        else:
            _flat(site, (at, at + wide), (block.side * (plan.road + 0.2), block.side * walk[1]), z, ground)
        at += wide + site.uniform(7, 26)

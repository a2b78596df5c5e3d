"""How a street is built: the ground, then what stands on it from the kerb outward, then the traffic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ditr.worlds.common.atlas import Atlas
from ditr.worlds.common.mesh import Frame, Mesh
from ditr.worlds.streets import furniture, greenery, people, vehicles
from ditr.worlds.streets.config import StreetsConfig
from ditr.worlds.streets.ground import Strips, pave
from ditr.worlds.streets.plan import END, CityBlock, StreetPlan, draw_plan, stations
from ditr.worlds.streets.site import HEADING_BACK, HEADING_ON, Site, Thing
from ditr.worlds.streets.styles import Style, Town, style_of

__all__ = ["Street", "build_street", "generator"]

T = TypeVar("T")
_FAR = 42.0  # metres ahead and behind beyond which small things are not worth their triangles
_ROW = 66.0  # and vehicles


@dataclass(frozen=True, eq=False)
class Street:
    """A finished street: triangles whose labels are kinds, their textures, and the plan of it."""

    mesh: Mesh
    atlas: Atlas
    plan: StreetPlan
    style: Style


def generator(config: StreetsConfig, index: int, purpose: int) -> np.random.Generator:
    """The random numbers for one purpose in one street; no other street or purpose shares them."""
    number = ("nuscenes", "waymo", "kitti").index(config.style)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(config.seed, spawn_key=(number, index, purpose))))


def build_street(config: StreetsConfig, index: int) -> Street:
    """The street ``index``; depends on the configuration's seed and style only."""
    style = style_of(config.style)
    site = Site(generator(config, index, 0), generator(config, index, 1))
    town = style.town
    plan = draw_plan(site, town)
    for side in (-1, 1):
        for block in plan.blocks(side):
            strips = pave(site, town, plan, block)
            _kerbside(site, town, plan, block, strips)
            _walkers(site, town, block, strips)
            _properties(site, town, block, strips)
    _parked(site, town, plan)
    works = _works(site, plan) if site.chance(town.works_share) else None
    _traffic(site, town, plan, works)
    if plan.crossing is not None:
        _crossing(site, plan)
    return Street(site.mesh.build(), site.atlas, plan, style)


def _weighted(site: Site, choices: Sequence[tuple[T, float]]) -> T:
    weights = np.array([weight for _, weight in choices])
    return choices[int(site.rng.choice(len(choices), p=weights / weights.sum()))][0]


_VARIETY: dict[Thing, int] = {vehicles.car: 9, people.pedestrian: 10, furniture.sign: 7}


def _put(site: Site, thing: Thing, frame: Frame) -> None:
    """Put a thing up; of what a street has many, it has more different ones."""
    site.place(thing, frame, _VARIETY.get(thing, 4))


def _facing(side: int) -> float:
    """The yaw of a thing at a side of the street that looks at it."""
    return math.pi if side > 0 else 0.0


def _kerbside(site: Site, town: Town, plan: StreetPlan, block: CityBlock, strips: Strips) -> None:
    """Trees, posts, signs and parked two-wheelers in a row behind the kerb."""
    tree = tuple((thing, town.tree_weight / len(town.trees)) for thing in town.trees)
    choices: tuple[tuple[Thing, float], ...] = (*town.kerbside, *tree)
    y = block.side * (plan.road + 0.75)
    two_wheelers = (people.bicycle, people.motorcycle)
    for x in stations(
        site, max(block.start + 5, -_FAR), min(block.end - 5, _FAR), (2.4 / town.density, 6.5 / town.density)
    ):
        thing = _weighted(site, choices)
        if thing in (furniture.sign, furniture.sign_gantry, furniture.board):
            # Signs on the right are read by those who drive on, those on the left by those who come.
            turn = (HEADING_BACK if block.side < 0 else HEADING_ON) + float(site.rng.normal(0, 0.2))
            if site.chance(0.25):
                turn += math.pi
            shift = 0.7 if thing is not furniture.sign else 0.0
            _put(site, thing, Frame(x, y + block.side * shift, strips.level, turn))
        elif thing in two_wheelers:
            row = site.pick((1, 2, 3))
            for k in range(row):
                turn = _facing(block.side) + (site.pick((0.0, math.pi)) if row > 1 else math.pi / 2)
                _put(
                    site,
                    thing,
                    Frame(x + 0.65 * k, y + 0.5 * block.side, strips.level, turn + float(site.rng.normal(0, 0.12))),
                )
        else:
            _put(site, thing, Frame(x, y, strips.level, _facing(block.side)))


def _walkers(site: Site, town: Town, block: CityBlock, strips: Strips) -> None:
    low, high = strips.walk
    for x in stations(
        site, max(block.start + 2, -_FAR), min(block.end - 2, _FAR), (3.0 / town.density, 16.0 / town.density)
    ):
        for _ in range(site.pick((1, 1, 2, 3))):
            y = block.side * site.uniform(low + 0.5, max(low + 0.6, high - 0.4))
            heading = site.pick((HEADING_ON, HEADING_BACK)) + float(site.rng.normal(0, 0.4))
            _put(site, people.pedestrian, Frame(x + site.uniform(-0.9, 0.9), y, strips.level, heading))


def _properties(site: Site, town: Town, block: CityBlock, strips: Strips) -> None:
    """Fences and hedges at the sidewalk, houses behind, trees and bushes in gardens and gaps."""
    side, level = block.side, strips.level
    start, end = block.start + (strips.return_width if block.open_start else 0), block.end
    end -= strips.return_width if block.open_end else 0
    x = start + site.uniform(0, 4)
    while x < end - town.house_width[0]:
        width = min(site.uniform(*town.house_width), end - x)
        gap, setback = site.uniform(*town.gap), site.uniform(*town.setback)
        front = strips.walk[1] + setback + 0.3
        house = site.pick(town.houses)
        house(site, Frame(x + width / 2, side * front, level, _facing(side)), width)
        if setback > 1.2 and site.chance(town.fence_share):
            edge = Frame(x + width / 2 - 0.6, side * (strips.walk[1] + 0.35), level, _facing(side))
            if site.chance(town.hedge_share):
                greenery.hedge(site, edge, width - 1.4, site.uniform(0.8, 1.7))
            else:
                furniture.fence(site, edge, width - 1.4)
        for at in stations(site, x + 1, x + width + gap, (1.5, 5.5)):
            inside = at < x + width + 0.8
            room = setback - 2.2 if inside else 6.0
            if abs(at) < _FAR and room > 0.8:
                thing = greenery.bush if room < 2.5 or site.chance(0.5) else site.pick(town.trees)
                _put(site, thing, Frame(at, side * (strips.walk[1] + 1.2 + site.uniform(0, room)), level))
        x += width + gap


def _heading(direction: int) -> float:
    return HEADING_ON if direction > 0 else HEADING_BACK


_PARKED: tuple[tuple[Thing, float, float], ...] = (
    (vehicles.car, 8.0, 4.9),
    (vehicles.lorry, 0.5, 8.5),
    (vehicles.trailer, 1.0, 8.2),
    (people.motorcycle, 0.8, 1.6),
)

_DRIVING: tuple[tuple[Thing, float, float], ...] = (
    (vehicles.car, 5.0, 4.9),
    (vehicles.lorry, 1.3, 8.0),
    (vehicles.bus, 0.9, 12.0),
    (people.motorcyclist, 1.2, 2.4),
    (people.bicyclist, 1.3, 2.2),
)


def _near_crossing(plan: StreetPlan, x: float, half: float) -> bool:
    return plan.crossing is not None and plan.crossing[0] - 7 - half < x < plan.crossing[1] + 7 + half


def _parked(site: Site, town: Town, plan: StreetPlan) -> None:
    """A row of vehicles along each kerb, with free places."""
    if not plan.parking:
        return
    choices = [((thing, long), weight) for thing, weight, long in _PARKED]
    for side in (-1, 1):
        y, x = side * (plan.road - 0.2 - plan.parking / 2), -END + site.uniform(0, 6)
        while x < END:
            thing, long = _weighted(site, choices)
            if abs(x) < _ROW and site.chance(town.parked) and not _near_crossing(plan, x, long / 2):
                direction = -side if site.chance(0.95) else side
                turn = _heading(direction) + float(site.rng.normal(0, 0.02))
                _put(site, thing, Frame(x, y + float(site.rng.normal(0, 0.06)), 0.0, turn))
            x += long + site.uniform(0.7, 2.2)


def _traffic(site: Site, town: Town, plan: StreetPlan, works: tuple[float, float, float] | None) -> None:
    """Vehicles on the lanes; the own place and road works stay free."""
    choices = [((thing, long), weight) for thing, weight, long in _DRIVING]
    for number, (y, direction) in enumerate(plan.lane_centers()):
        x = -END + site.uniform(0, 20)
        while x < END:
            thing, long = _weighted(site, choices)
            own = number == 0 and -9 - long / 2 < x < 9 + long / 2
            closed = works is not None and abs(y - works[0]) < 2.2 and works[1] - 7 < x < works[2] + 7
            beside = plan.ego[1] - 5 < y < plan.ego[1] + 5 and abs(x) < 5 + long / 2 and long > 5
            if not own and not closed and not beside and abs(x) < _ROW:
                shift = site.uniform(-0.25, 0.25)
                if thing is people.bicyclist:
                    shift = -direction * (plan.lane / 2 - 0.7)
                turn = _heading(direction) + float(site.rng.normal(0, 0.02))
                _put(site, thing, Frame(x, y + shift, 0.0, turn))
            x += long + site.uniform(4.0, 22.0) / town.density


def _works(site: Site, plan: StreetPlan) -> tuple[float, float, float]:
    """Road works on an outer lane: barriers and cones around a digger and workers. Returns y, x from and x to."""
    lanes = plan.lane_centers()
    y, _ = max(lanes[1:], key=lambda lane: abs(lane[0]) + (5.0 if lane[1] < 0 and site.chance(0.5) else 0.0))
    low = site.pick((-1, 1)) * site.uniform(9, 24)
    if abs(y - plan.ego[1]) < plan.lane / 2:
        low = site.uniform(13, 24)
    high = low + site.uniform(9, 15)
    out, inner = (1 if y > 0 else -1), abs(y) - 0.5 * plan.lane + 0.2
    for x in np.arange(low, high, 2.4):
        barred = site.chance(0.65)
        place = Frame(float(x), out * inner, 0.0, _facing(out))
        _put(site, furniture.barrier, place) if barred else _put(site, furniture.cone, place)
    for end, shift in ((low - 1.0, -1.5), (high + 0.5, 1.5)):
        for k in range(4):
            _put(site, furniture.cone, Frame(end + shift * (3 - k) / 3, out * (inner + 0.75 * k), 0.0))
    if site.chance(0.75):
        _put(site, vehicles.digger, Frame((low + high) / 2, y, 0.0, site.uniform(0, 6.28)))
    for _ in range(site.pick((1, 2))):
        _put(
            site,
            people.pedestrian,
            Frame(site.uniform(low + 0.5, high - 0.5), y - 0.9 * out, 0.0, site.uniform(0, 6.28)),
        )
    return y, low, high


def _crossing(site: Site, plan: StreetPlan) -> None:
    """Traffic lights at the corners, people on the zebra crossing, vehicles on the other street."""
    assert plan.crossing is not None
    low, high = plan.crossing
    level = 0.12
    if site.chance(0.75):
        for side in (-1, 1):
            # Local x reaches over the road, local y looks at those who come.
            near, far = (
                Frame(low - 0.7, side * (plan.road + 0.5), level),
                Frame(high + 0.7, side * (plan.road + 0.5), level),
            )
            _light(site, near if side > 0 else far, -side)
            if site.chance(0.6):
                _light(site, far if side > 0 else near, -side)
    for _ in range(site.pick((0, 2, 4))):
        x = site.pick((low - 2.5, high + 2.5)) + site.uniform(-0.7, 0.7)
        _put(site, people.pedestrian, Frame(x, site.uniform(-plan.road, plan.road), 0.0, site.pick((0.0, math.pi))))
    things: tuple[Thing, ...] = (vehicles.car, vehicles.car, vehicles.lorry, people.bicyclist)
    for side in (-1, 1):
        x = (low + high) / 2 + side * 0.25 * (high - low)
        for y in stations(site, plan.road + 7, 45.0, (9.0, 30.0)):
            _put(site, site.pick(things), Frame(x, side * y, 0.0, site.pick((0.0, math.pi)) if side else 0.0))


def _light(site: Site, frame: Frame, toward: int) -> None:
    """A traffic light whose arm reaches in direction ``toward`` of y; those who stand before it see its lamps."""
    turn = toward * math.pi / 2
    _put(site, furniture.traffic_light, Frame(frame.x, frame.y, frame.z, turn))

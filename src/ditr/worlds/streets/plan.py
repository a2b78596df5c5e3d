"""The cross-section of a street and where along it things stand; x runs along the street, y to its left."""

from __future__ import annotations

from dataclasses import dataclass

from ditr.worlds.streets.site import Site
from ditr.worlds.streets.styles import Town

__all__ = ["END", "CityBlock", "StreetPlan", "draw_plan", "stations"]

END = 85.0
"""Half the length of a street in metres, beyond every LiDAR's range."""


@dataclass(frozen=True)
class StreetPlan:
    """Widths and places in metres.

    Attributes:
        lane: width of a lane.
        lanes: lanes in each direction.
        median: half the width of the island between the directions, 0 for none.
        parking: width of the parking strips, 0 for none.
        road: half the width from kerb to kerb.
        crossing: where a street crosses, from x to x, or None.
        ego: the vehicle's (x, y) in the street.
        yaw: how far it is turned to the left, in radians.
    """

    lane: float
    lanes: int
    median: float
    parking: float
    road: float
    crossing: tuple[float, float] | None
    ego: tuple[float, float]
    yaw: float

    def blocks(self, side: int) -> list[CityBlock]:
        """The stretches of one side (1 is left, -1 right) between crossing streets."""
        if self.crossing is None:
            return [CityBlock(side, -END, END, False, False)]
        low, high = self.crossing
        return [CityBlock(side, -END, low, False, True), CityBlock(side, high, END, True, False)]

    def lane_centers(self) -> list[tuple[float, int]]:
        """(y, direction of travel) of all lanes, the own one first; one drives on the right."""
        inner = self.median
        own = [(-(inner + (k + 0.5) * self.lane), 1) for k in range(self.lanes)]
        own.sort(key=lambda lane: abs(lane[0] - self.ego[1]))
        return own + [(inner + (k + 0.5) * self.lane, -1) for k in range(self.lanes)]


@dataclass(frozen=True)
class CityBlock:
    """One side of the street from x to x, and which of its ends are at a crossing street."""

    side: int
    start: float
    end: float
    open_start: bool
    open_end: bool


def draw_plan(site: Site, town: Town) -> StreetPlan:
    """Choose the widths, whether a street crosses, and where the vehicle is."""
    lane, lanes = site.uniform(*town.lane_width), site.pick(town.lanes)
    median = site.uniform(0.6, 1.4) if lanes > 1 and site.chance(town.median_share) else 0.0
    parking = site.uniform(2.1, 2.5) if site.chance(town.parking_share) else 0.0
    crossing = None
    if site.chance(town.crossing_share):
        middle, half = site.pick((-1, 1, 1)) * site.uniform(14, 32), site.uniform(3.2, 5.5)
        crossing = (middle - half, middle + half)
    own = site.pick(tuple(range(lanes)))
    y = -(median + (own + 0.5) * lane) + site.uniform(-0.3, 0.3)
    road = median + lanes * lane + parking + 0.2
    return StreetPlan(lane, lanes, median, parking, road, crossing, (0.0, y), float(site.rng.normal(0, 0.03)))


def stations(site: Site, start: float, end: float, step: tuple[float, float]) -> list[float]:
    """Places between two ends with random steps between them."""
    found, at = [], start + site.uniform(0, step[1])
    while at < end:
        found.append(at)
        at += site.uniform(*step)
    return found

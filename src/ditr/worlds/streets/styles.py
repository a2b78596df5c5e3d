"""Three styles of street: whose LiDAR and cameras, which classes, and what kind of place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ditr.datasets import nuscenes, semantic_kitti, waymo
from ditr.worlds.common.mesh import Frame
from ditr.worlds.common.paint import Painter
from ditr.worlds.streets import buildings, furniture, greenery, grounds, people
from ditr.worlds.streets.config import Kind, StyleName
from ditr.worlds.streets.site import Site, Thing

__all__ = ["KITTI", "NUSCENES", "WAYMO", "CameraSpec", "LidarSpec", "Style", "Town", "style_of"]

Range = tuple[float, float]
House = Callable[[Site, Frame, float], None]


@dataclass(frozen=True)
class LidarSpec:
    """A spinning LiDAR.

    Attributes:
        elevations: degrees above the horizon of the beams, ring 0 lowest.
        steps: firings per turn at scale 1.
        height: metres above the road.
        max_range: metres.
        noise: standard deviation of ranges in metres.
        dropout: share of returns that are lost whatever they fall on.
        gain: of the strength, which ends at 1.
    """

    elevations: tuple[float, ...]
    steps: int
    height: float
    max_range: float
    noise: float
    dropout: float
    gain: float


@dataclass(frozen=True)
class CameraSpec:
    """A camera: its place from the LiDAR (metres), where it looks (degrees to the left), and its size at scale 1."""

    name: str
    place: tuple[float, float, float]
    yaw: float
    width: int
    height: int
    focal: float


@dataclass(frozen=True)
class Town:
    """What a place looks like: widths in metres, shares from 0 to 1, things with weights.

    ``verge`` is a strip of lawn behind the kerb, ``setback`` the distance from the sidewalk to the houses.
    """

    lanes: tuple[int, ...]
    lane_width: Range
    parking: Painter | None
    parking_share: float
    parked: float
    median_share: float
    verge: Range
    verge_share: float
    sidewalk: Range
    setback: Range
    crossing_share: float
    works_share: float
    fence_share: float
    hedge_share: float
    density: float
    kerb: float
    houses: tuple[House, ...]
    house_width: Range
    gap: Range
    trees: tuple[Thing, ...]
    tree_weight: float
    kerbside: tuple[tuple[Thing, float], ...]
    paving: tuple[Painter, ...]
    lawn: tuple[Painter, ...]
    other_ground: tuple[Painter, ...]
    yellow_line: bool


@dataclass(frozen=True)
class Style:
    """A style with its classes; ``class_of`` has one entry per kind, None for what carries no label."""

    name: StyleName
    class_names: tuple[str, ...]
    class_of: tuple[str | None, ...]
    lidar: LidarSpec
    cameras: tuple[CameraSpec, ...]
    town: Town

    def labels(self) -> list[int]:
        """The class of each kind as an index into ``class_names``, -1 for none."""
        return [-1 if name is None else self.class_names.index(name) for name in self.class_of]


def _classes(kinds: dict[str, tuple[Kind, ...]]) -> tuple[str | None, ...]:
    """The class of each kind; None for a kind that no class takes in."""
    names = {kind: name for name, each in kinds.items() for kind in each}
    return tuple(names.get(kind) for kind in Kind)


def _even(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(low + (high - low) * k / (count - 1) for k in range(count))


NUSCENES = Style(
    name="nuscenes",
    class_names=nuscenes.CLASSES,
    class_of=_classes(
        {
            "driveable_surface": (Kind.ROAD, Kind.MARKING, Kind.PARKING),
            "sidewalk": (Kind.KERB, Kind.SIDEWALK),
            "terrain": (Kind.TERRAIN,),
            "other_flat": (Kind.OTHER_GROUND,),
            "manmade": (Kind.BUILDING, Kind.FENCE, Kind.BOARD, Kind.POLE, Kind.SIGN, Kind.LIGHT),
            "vegetation": (Kind.VEGETATION, Kind.TRUNK),
            "car": (Kind.CAR,),
            "truck": (Kind.TRUCK,),
            "bus": (Kind.BUS,),
            "trailer": (Kind.TRAILER,),
            "construction_vehicle": (Kind.DIGGER,),
            "bicycle": (Kind.BICYCLE, Kind.BICYCLIST),
            "motorcycle": (Kind.MOTORCYCLE, Kind.MOTORCYCLIST),
            "pedestrian": (Kind.PEDESTRIAN,),
            "barrier": (Kind.BARRIER,),
            "traffic_cone": (Kind.CONE,),
        }
    ),
    lidar=LidarSpec(_even(-30.67, 10.67, 32), 840, 1.84, 60.0, 0.02, 0.08, 0.8),
    cameras=(
        CameraSpec("CAM_FRONT", (0.76, 0.0, -0.33), 0.0, 320, 180, 253.0),
        CameraSpec("CAM_FRONT_RIGHT", (0.6, -0.49, -0.34), -55.0, 320, 180, 253.0),
        CameraSpec("CAM_FRONT_LEFT", (0.58, 0.49, -0.33), 55.0, 320, 180, 253.0),
        CameraSpec("CAM_BACK", (-0.9, 0.0, -0.26), 180.0, 320, 180, 162.0),
        CameraSpec("CAM_BACK_LEFT", (0.1, 0.48, -0.28), 110.0, 320, 180, 253.0),
        CameraSpec("CAM_BACK_RIGHT", (0.07, -0.48, -0.28), -110.0, 320, 180, 253.0),
    ),
    town=Town(
        lanes=(1, 2, 2),
        lane_width=(3.1, 3.6),
        parking=None,
        parking_share=0.7,
        parked=0.6,
        median_share=0.45,
        verge=(1.2, 2.6),
        verge_share=0.6,
        sidewalk=(2.5, 4.5),
        setback=(0.0, 3.0),
        crossing_share=0.6,
        works_share=0.75,
        fence_share=0.2,
        hedge_share=0.4,
        density=1.3,
        kerb=0.14,
        houses=(buildings.tower, buildings.tower, buildings.tower, buildings.villa),
        house_width=(12.0, 24.0),
        gap=(0.0, 7.0),
        trees=(greenery.broadleaf, greenery.broadleaf, greenery.bush),
        tree_weight=2.4,
        kerbside=(
            (furniture.lamp_post, 1.0),
            (furniture.sign, 1.2),
            (furniture.sign_gantry, 0.4),
            (furniture.board, 0.7),
            (furniture.bollard, 1.0),
            (furniture.litter_bin, 0.6),
            (people.bicycle, 1.0),
            (people.motorcycle, 1.0),
        ),
        paving=(grounds.slabs, grounds.flagstones, grounds.concrete),
        lawn=(grounds.grass,),
        other_ground=(grounds.red_pavers, grounds.setts, grounds.gravel),
        yellow_line=False,
    ),
)
"""Offices and flats at wide roads: 32 beams, six cameras around."""


WAYMO = Style(
    name="waymo",
    class_names=waymo.CLASSES,
    class_of=_classes(
        {
            "Road": (Kind.ROAD, Kind.PARKING),
            "Lane Marker": (Kind.MARKING,),
            "Curb": (Kind.KERB,),
            "Sidewalk": (Kind.SIDEWALK,),
            "Walkable": (Kind.TERRAIN,),
            "Other Ground": (Kind.OTHER_GROUND,),
            "Building": (Kind.BUILDING, Kind.FENCE, Kind.BOARD),
            "Vegetation": (Kind.VEGETATION,),
            "Tree Trunk": (Kind.TRUNK,),
            "Pole": (Kind.POLE,),
            "Sign": (Kind.SIGN,),
            "Traffic Light": (Kind.LIGHT,),
            "Car": (Kind.CAR,),
            "Truck": (Kind.TRUCK,),
            "Bus": (Kind.BUS,),
            "Other Vehicle": (Kind.TRAILER, Kind.DIGGER),
            "Bicycle": (Kind.BICYCLE,),
            "Motorcycle": (Kind.MOTORCYCLE,),
            "Pedestrian": (Kind.PEDESTRIAN,),
            "Bicyclist": (Kind.BICYCLIST,),
            "Motorcyclist": (Kind.MOTORCYCLIST,),
            "Construction Cone": (Kind.CONE,),
        }
    ),
    lidar=LidarSpec(
        # Denser toward the horizon, as the vehicle's roof sensor is.
        tuple(2.4 - 20.0 * (k / 63) ** 1.5 for k in range(63, -1, -1)),
        380,
        2.18,
        72.0,
        0.01,
        0.05,
        1.0,
    ),
    cameras=(
        CameraSpec("FRONT", (0.11, 0.0, -0.07), 0.0, 320, 210, 340.0),
        CameraSpec("FRONT_LEFT", (0.06, 0.09, -0.07), 45.0, 320, 210, 340.0),
        CameraSpec("FRONT_RIGHT", (0.06, -0.09, -0.07), -45.0, 320, 210, 340.0),
        CameraSpec("SIDE_LEFT", (0.0, 0.11, -0.07), 90.0, 320, 146, 340.0),
        CameraSpec("SIDE_RIGHT", (0.0, -0.11, -0.07), -90.0, 320, 146, 340.0),
    ),
    town=Town(
        lanes=(1, 2),
        lane_width=(3.4, 3.8),
        parking=None,
        parking_share=0.8,
        parked=0.5,
        median_share=0.2,
        verge=(1.0, 2.2),
        verge_share=0.7,
        sidewalk=(1.6, 2.2),
        setback=(5.0, 9.0),
        crossing_share=0.75,
        works_share=0.5,
        fence_share=0.55,
        hedge_share=0.6,
        density=1.1,
        kerb=0.15,
        houses=(buildings.bungalow, buildings.bungalow, buildings.bungalow, buildings.villa),
        house_width=(11.0, 17.0),
        gap=(2.0, 6.0),
        trees=(greenery.palm, greenery.broadleaf, greenery.bush, greenery.bush),
        tree_weight=2.4,
        kerbside=(
            (furniture.utility_pole, 0.8),
            (furniture.lamp_post, 0.6),
            (furniture.sign, 1.4),
            (furniture.sign_gantry, 0.4),
            (furniture.board, 0.6),
            (furniture.bollard, 0.4),
            (furniture.litter_bin, 0.8),
            (people.bicycle, 0.9),
            (people.motorcycle, 0.5),
        ),
        paving=(grounds.concrete, grounds.slabs),
        lawn=(grounds.dry_grass, grounds.grass),
        other_ground=(grounds.gravel, grounds.red_pavers, grounds.setts),
        yellow_line=True,
    ),
)
"""Wooden houses behind lawns and palms: 64 beams, five cameras, none of which looks back."""


KITTI = Style(
    name="kitti",
    class_names=semantic_kitti.CLASSES,
    class_of=_classes(
        {
            "road": (Kind.ROAD, Kind.MARKING),
            "parking": (Kind.PARKING,),
            "sidewalk": (Kind.KERB, Kind.SIDEWALK),
            "terrain": (Kind.TERRAIN,),
            "other-ground": (Kind.OTHER_GROUND,),
            "building": (Kind.BUILDING,),
            "fence": (Kind.FENCE,),
            "vegetation": (Kind.VEGETATION,),
            "trunk": (Kind.TRUNK,),
            "pole": (Kind.POLE,),
            "traffic-sign": (Kind.SIGN,),
            "car": (Kind.CAR,),
            "truck": (Kind.TRUCK,),
            "other-vehicle": (Kind.BUS, Kind.TRAILER, Kind.DIGGER),
            "bicycle": (Kind.BICYCLE,),
            "motorcycle": (Kind.MOTORCYCLE,),
            "person": (Kind.PEDESTRIAN,),
            "bicyclist": (Kind.BICYCLIST,),
            "motorcyclist": (Kind.MOTORCYCLIST,),
        }
    ),
    lidar=LidarSpec(
        # Two blocks of 32: half a degree apart below, a third above.
        (*(-24.8 + 0.5 * k for k in range(32)), *(-8.8 + 0.355 * k for k in range(32))),
        380,
        1.73,
        60.0,
        0.015,
        0.06,
        0.9,
    ),
    cameras=(CameraSpec("image_2", (0.27, 0.06, -0.08), 0.0, 496, 150, 288.0),),
    town=Town(
        lanes=(1,),
        lane_width=(2.8, 3.3),
        parking=grounds.pavers,
        parking_share=0.75,
        parked=0.65,
        median_share=0.0,
        verge=(1.0, 2.0),
        verge_share=0.45,
        sidewalk=(1.5, 2.3),
        setback=(1.5, 5.0),
        crossing_share=0.4,
        works_share=0.15,
        fence_share=0.85,
        hedge_share=0.55,
        density=0.9,
        kerb=0.1,
        houses=(buildings.town_house,),
        house_width=(9.0, 15.0),
        gap=(1.0, 7.0),
        trees=(greenery.broadleaf, greenery.broadleaf, greenery.fir, greenery.bush),
        tree_weight=2.2,
        kerbside=(
            (furniture.lamp_post, 1.0),
            (furniture.sign, 1.5),
            (furniture.sign_gantry, 0.3),
            (furniture.board, 0.3),
            (furniture.bollard, 0.8),
            (furniture.litter_bin, 0.6),
            (people.bicycle, 1.2),
            (people.motorcycle, 0.8),
        ),
        paving=(grounds.pavers, grounds.slabs, grounds.red_pavers),
        lawn=(grounds.grass,),
        other_ground=(grounds.gravel, grounds.setts),
        yellow_line=False,
    ),
)
"""Narrow streets of plaster houses behind hedges and fences: 64 beams, one camera that looks ahead."""


def style_of(name: StyleName) -> Style:
    """The style of a name."""
    return {"nuscenes": NUSCENES, "waymo": WAYMO, "kitti": KITTI}[name]

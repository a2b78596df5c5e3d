"""Cars, lorries, buses, trailers and diggers; local y is forward, the origin is on the ground in the middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ditr.worlds.common.mesh import Frame, Material
from ditr.worlds.common.paint import Painter, Pixels
from ditr.worlds.streets import emblems, grounds
from ditr.worlds.streets.config import Kind
from ditr.worlds.streets.site import Site, section

__all__ = ["bus", "car", "digger", "lorry", "trailer"]


@dataclass(frozen=True)
class _Shape:
    """Half length and width, heights of bonnet, belt and roof in metres, and where the cabin begins and ends.

    ``cabin`` has the y of the rear window's foot and head and of the windscreen's head and foot, in half lengths.
    """

    half_length: float
    half_width: float
    bonnet: float
    belt: float
    roof: float
    cabin: tuple[float, float, float, float]


_SALOON = _Shape(2.25, 0.88, 0.78, 0.92, 1.44, (-0.72, -0.42, 0.1, 0.42))
_HATCH = _Shape(2.0, 0.86, 0.84, 0.95, 1.5, (-0.96, -0.78, 0.12, 0.46))
_SUV = _Shape(2.3, 0.94, 1.0, 1.1, 1.72, (-0.97, -0.84, 0.14, 0.44))
_VAN = _Shape(2.45, 0.98, 1.12, 1.2, 2.0, (-0.98, -0.93, 0.38, 0.68))
_COATS = (
    ((0.0, 1.0), (0.0, 0.06), (0.1, 0.95)),
    ((0.55, 0.68), (0.3, 0.8), (0.2, 0.6)),
    ((0.97, 1.03), (0.6, 0.9), (0.4, 0.75)),
    ((0.08, 0.5), (0.2, 0.6), (0.25, 0.7)),
)
"""Hue, saturation and value of white, grey and black, of blue, red, and all else."""


def _rubber(site: Site) -> Material:
    return site.shared(grounds.rust, (0.4, 0.4), 0.1)


def _glass(site: Site) -> Material:
    return site.shared(_window, (1.6, 0.6), 0.08)


def _window(rng: np.random.Generator, width: float, height: float) -> Pixels:
    """Dark glass, lighter above."""
    rows, columns = 16, 24
    fall = np.linspace(95, 38, rows)[:, None, None] + np.zeros((rows, columns, 1))
    pixels: Pixels = (fall * np.array([0.85, 0.95, 1.05])).astype(np.uint8)
    return pixels


def _wheels(site: Site, stations: tuple[float, ...], half: float, radius: float) -> None:
    rim = site.shared(grounds.steel, (0.5, 0.5), 0.5)
    for y in stations:
        for side in (-1, 1):
            site.wheel((side * (half - 0.1), y, radius), radius, 0.22, _rubber(site), rim)


def _lights(site: Site, half_length: float, half_width: float, z: float) -> None:
    front, rear = site.plain((246, 246, 235), 0.9, 0.3), site.plain((190, 16, 22), 1.2, 0.2)
    plate = site.image(emblems.plate_number, 0.5, 0.12, 1.6)
    for side in (-1, 1):
        x = side * 0.74 * half_width
        site.mesh.box((x - 0.17, half_length - 0.08, z - 0.06), (x + 0.17, half_length + 0.015, z + 0.08), front)
        site.mesh.box((x - 0.15, -half_length - 0.015, z - 0.04), (x + 0.15, -half_length + 0.08, z + 0.14), rear)
    site.mesh.box((-0.26, half_length, z - 0.28), (0.26, half_length + 0.025, z - 0.16), plate, plate)
    site.mesh.sheet((-0.26, -half_length - 0.025, z - 0.1), (0.52, 0, 0), (0, 0, -0.12), plate)


def car(site: Site, frame: Frame) -> None:
    """A saloon, hatchback, off-roader or van."""
    shape = site.pick((_SALOON, _SALOON, _HATCH, _HATCH, _SUV, _SUV, _VAN))
    site.start(Kind.CAR, frame)
    coat = site.tint(*site.pick((_COATS[0], *_COATS)), reflectance=site.uniform(0.12, 0.6))
    long, wide = shape.half_length * site.uniform(0.95, 1.05), shape.half_width
    rear, rear_top, front_top, front = (share * long for share in shape.cabin)
    body = [
        section(-long, 0.42, shape.belt - 0.16, 0.9 * wide, 0.82 * wide),
        section(-long + 0.12, 0.26, shape.belt - 0.02, 0.98 * wide, 0.9 * wide),
        section(rear, 0.22, shape.belt, wide, 0.92 * wide),
        section(front, 0.22, shape.belt, wide, 0.92 * wide),
        section(long - 0.3, 0.24, shape.bonnet, 0.97 * wide, 0.86 * wide),
        section(long, 0.34, shape.bonnet - 0.14, 0.85 * wide, 0.75 * wide),
    ]
    site.hull(body, coat)
    lower, upper = 0.9 * wide, 0.74 * wide
    glass = np.array([
        [(-lower, rear, shape.belt - 0.02), (lower, rear, shape.belt - 0.02), (lower, front, shape.belt - 0.02),
         (-lower, front, shape.belt - 0.02)],
        [(-upper, rear_top, shape.roof - 0.05), (upper, rear_top, shape.roof - 0.05),
         (upper, front_top, shape.roof - 0.05), (-upper, front_top, shape.roof - 0.05)],
    ])  # fmt: skip
    site.hull(glass, _glass(site), caps=False)
    lid = np.stack([glass[1], glass[1] + [0, 0, 0.05]])
    lid[1] *= [0.9, 1.0, 1.0]
    site.hull(lid, coat)
    for side in (-1, 1):  # pillars
        for foot, head in (
            (rear, rear_top),
            (0.3 * rear + 0.3 * front, 0.4 * rear_top + 0.4 * front_top),
            (front, front_top),
        ):
            site.tube([(side * lower, foot, shape.belt), (side * upper, head, shape.roof - 0.03)], 0.045, coat, 4)
    site.mesh.box((-wide - 0.14, front - 0.25, shape.belt), (-wide + 0.05, front - 0.13, shape.belt + 0.12), coat)
    site.mesh.box((wide - 0.05, front - 0.25, shape.belt), (wide + 0.14, front - 0.13, shape.belt + 0.12), coat)
    site.mesh.box((-0.6 * wide, long - 0.1, 0.36), (0.6 * wide, long + 0.005, shape.bonnet - 0.3), _rubber(site))
    _lights(site, long, wide, shape.bonnet - 0.2)
    _wheels(site, (-0.6 * long, 0.62 * long), wide, 0.32)


def _cargo(site: Site, painter: Painter, half: float, y: tuple[float, float], z: tuple[float, float]) -> None:
    """A body with the same picture on both sides."""
    long, tall = y[1] - y[0], z[1] - z[0]
    side = site.image(painter, long, tall, site.uniform(0.2, 0.7))
    end = site.image(painter, 2 * half, tall, 0.4)
    site.mesh.box((-half, y[0], z[0]), (half, y[1], z[1]), end)
    site.mesh.sheet((half + 0.005, y[0], z[1]), (0, long, 0), (0, 0, -tall), side)
    site.mesh.sheet((-half - 0.005, y[1], z[1]), (0, -long, 0), (0, 0, -tall), side)


def _cab(site: Site, coat: Material, half: float, y: tuple[float, float], tall: float) -> None:
    """A lorry's cab with its windows."""
    site.mesh.box((-half, y[0], 0.5), (half, y[1], tall), coat)
    site.mesh.box((-half + 0.1, y[1] - 0.02, 0.56 * tall), (half - 0.1, y[1] + 0.03, 0.88 * tall), _glass(site))
    for side in (-1, 1):
        x = side * half
        site.mesh.box((x - 0.02, y[0] + 0.35, 0.58 * tall), (x + 0.02, y[1] - 0.15, 0.86 * tall), _glass(site))
        site.mesh.box(
            (x + side * 0.12 - 0.08, y[1], 0.6 * tall),
            (x + side * 0.12 + 0.08, y[1] + 0.12, 0.82 * tall),
            _rubber(site),
        )
    site.mesh.box((-0.7 * half, y[1], 0.55), (0.7 * half, y[1] + 0.02, 0.45 * tall), _rubber(site))
    site.mesh.box((-half, y[1] - 0.1, 0.32), (half, y[1] + 0.12, 0.6), site.shared(grounds.steel, (0.5, 0.5)))


def lorry(site: Site, frame: Frame) -> None:
    """A box lorry, a tipper or a tanker."""
    half, rear, front = site.uniform(1.08, 1.24), -site.uniform(2.9, 3.9), 3.3
    tall, deck = site.uniform(2.3, 2.8), 0.95
    site.start(Kind.TRUCK, frame)
    coat = site.tint((0, 1), (0.0, 0.8), (0.3, 0.95), 0.4)
    _cab(site, coat, half - 0.06, (front - 1.8, front), tall)
    kind = site.pick(("box", "box", "tipper", "tank"))
    if kind == "box":
        _cargo(site, emblems.lorry_side, half, (rear, front - 2.0), (deck, site.uniform(2.9, 3.5)))
    elif kind == "tipper":
        tub = site.tint((0.03, 0.6), (0.3, 0.8), (0.3, 0.75))
        site.hull([section(rear, deck, 2.0, half, half), section(front - 2.0, deck, 2.2, half, half)], tub)
        site.ellipsoid((0, (rear + front - 2) / 2, 2.0), (0.85 * half, 0.4 * (front - 2 - rear), 0.5),
                       site.shared(grounds.gravel, (1.0, 1.0)), rough=0.15)  # fmt: skip
    else:
        steel = site.shared(grounds.steel, (0.5, 0.5), 0.6)
        site.tube([(0, rear, 1.9), (0, front - 2.0, 1.9)], 0.98, steel, 12)
    site.mesh.box((-0.5, rear, 0.6), (0.5, front - 0.3, deck), _rubber(site))
    _wheels(site, (0.62 * rear, 0.62 * rear + 1.1, front - 1.0), half, 0.48)
    _lights(site, -rear, 0.9 * half, 0.85)


def bus(site: Site, frame: Frame) -> None:
    """A city bus."""
    half, end = 1.27, site.uniform(4.8, 5.9)
    site.start(Kind.BUS, frame)
    _cargo(site, emblems.bus_side, half, (-end, end), (0.32, site.uniform(2.95, 3.2)))
    site.mesh.box((-half + 0.08, end - 0.02, 1.15), (half - 0.08, end + 0.03, 2.5), _glass(site))
    board = site.plain((20, 20, 22))
    site.mesh.box((-0.9, end, 2.6), (0.9, end + 0.04, 2.85), board, site.image(emblems.plate_number, 1.8, 0.25))
    site.mesh.box((-half + 0.15, -end - 0.03, 1.5), (half - 0.15, -end + 0.02, 2.4), _glass(site))
    _wheels(site, (-0.55 * end, 0.6 * end), half, 0.46)
    _lights(site, end, half, 0.75)


def trailer(site: Site, frame: Frame) -> None:
    """A trailer without what draws it: a box, or a flat bed with boards."""
    half, end = site.uniform(0.95, 1.22), site.uniform(1.8, 3.4)
    site.start(Kind.TRAILER, frame)
    if site.chance(0.6):
        _cargo(site, emblems.lorry_side, half, (-end, end), (0.75, site.uniform(2.2, 3.1)))
    else:
        boards = site.shared(grounds.wooden_boards, (1.0, 1.0))
        site.mesh.box((-half, -end, 0.7), (half, end, 0.85), boards)
        for x in (-half, half - 0.05):
            site.mesh.box((x, -end, 0.85), (x + 0.05, end, 1.3), boards)
        site.ellipsoid((0, 0, 0.9), (0.8 * half, 0.7 * end, 0.5), site.shared(grounds.gravel, (1.0, 1.0)), rough=0.2)
    steel = site.shared(grounds.steel, (0.5, 0.5), 0.5)
    site.tube([(-0.5, end, 0.6), (0, end + 1.1, 0.5)], 0.05, steel, 5)
    site.tube([(0.5, end, 0.6), (0, end + 1.1, 0.5)], 0.05, steel, 5)
    site.mesh.box((-0.4, -end, 0.5), (0.4, end, 0.7), _rubber(site))
    _wheels(site, (-0.25 * end, 0.15 * end), half, 0.36)


def digger(site: Site, frame: Frame) -> None:
    """An excavator or a wheel loader, yellow or orange."""
    site.start(Kind.DIGGER, frame)
    coat = site.tint((0.08, 0.13), (0.8, 0.95), (0.8, 0.95), 0.45)
    dark = _rubber(site)
    for side in (-1, 1):
        x = side * 0.95
        track = [np.array([(x - 0.25, y, z), (x + 0.25, y, z), (x + 0.25, y, z + h), (x - 0.25, y, z + h)])
                 for y, z, h in ((-1.7, 0.25, 0.4), (-1.4, 0.0, 0.85), (1.4, 0.0, 0.85), (1.7, 0.25, 0.4))]  # fmt: skip
        site.hull(track, dark)
    turn = site.uniform(-0.5, 0.5)
    site.mesh.frame = frame.moved(turn=turn)
    site.mesh.box((-1.15, -1.7, 0.95), (1.15, 1.0, 1.75), coat)
    site.mesh.box((-1.1, -0.3, 1.75), (-0.05, 1.15, 2.9), coat)
    site.mesh.box((-1.12, -0.1, 2.0), (-0.03, 1.18, 2.75), _glass(site))
    reach, lift = site.uniform(2.4, 3.4), site.uniform(2.8, 4.0)
    site.tube([(0.3, 0.9, 1.5), (0.3, 0.6 * reach, lift), (0.3, reach + 0.6, lift - 0.6)], [0.24, 0.2, 0.17], coat, 4)
    site.tube([(0.3, reach + 0.6, lift - 0.6), (0.3, reach + 0.2, 1.0)], [0.17, 0.14], coat, 4)
    site.hull([section(reach - 0.3, 0.4, 1.1, 0.5), section(reach + 0.4, 0.25, 1.0, 0.5)], dark)

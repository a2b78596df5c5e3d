"""What stands at the roadside: lamp posts, signs, lights, boards, bollards, fences, barriers and cones."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from ditr.worlds.common.mesh import Frame, Material
from ditr.worlds.streets import emblems, grounds
from ditr.worlds.streets.config import Kind
from ditr.worlds.streets.site import Site

__all__ = [
    "barrier",
    "board",
    "bollard",
    "cone",
    "fence",
    "lamp_post",
    "litter_bin",
    "sign",
    "sign_gantry",
    "traffic_light",
    "utility_pole",
]


def _steel(site: Site) -> Material:
    return site.shared(grounds.steel, (0.5, 0.5), 0.5)


def lamp_post(site: Site, frame: Frame) -> None:
    """A street lamp whose arm reaches over the road (local y)."""
    site.start(Kind.POLE, frame)
    tall, reach = site.uniform(5.5, 8.5), site.uniform(1.0, 2.2)
    metal = site.pick((_steel(site), site.shared(grounds.rust, (0.5, 0.5), 0.2)))
    site.tube([(0, 0, -0.1), (0, 0, 1.0), (0, 0, tall)], [0.12, 0.09, 0.06], metal, 8)
    site.tube([(0, 0, tall - 0.1), (0, reach, tall + 0.25)], 0.05, metal)
    site.mesh.box(
        (-0.13, reach - 0.1, tall + 0.18), (0.13, reach + 0.5, tall + 0.32), site.plain((225, 225, 215), 0.4, 0.2)
    )


def utility_pole(site: Site, frame: Frame) -> None:
    """A wooden pole with a cross-arm, as thick as a young tree's trunk."""
    site.start(Kind.POLE, frame)
    tall = site.uniform(7.0, 9.5)
    wood = site.shared(grounds.bark, (0.7, 0.7), 0.35)
    site.tube([(0, 0, -0.1), (0, 0, tall)], [0.15, 0.11], wood, 8)
    site.mesh.box((-1.1, -0.06, tall - 0.8), (1.1, 0.06, tall - 0.66), wood)
    site.ellipsoid((0.3, 0, tall - 1.6), (0.25, 0.25, 0.45), _steel(site))


def bollard(site: Site, frame: Frame) -> None:
    """A post of a child's height, or an advertising pillar of a man's."""
    site.start(Kind.POLE, frame)
    if site.chance(0.7):
        tall = site.uniform(0.8, 1.1)
        site.tube([(0, 0, -0.1), (0, 0, tall)], site.uniform(0.06, 0.1), site.shared(grounds.rust, (0.5, 0.5), 0.2), 8)
        site.tube([(0, 0, 0.7 * tall), (0, 0, 0.82 * tall)], 0.105, site.plain((235, 235, 230), 1.2), 8)
    else:
        tall = site.uniform(1.5, 1.85)
        site.tube(
            [(0, 0, -0.1), (0, 0, 0.7 * tall), (0, 0, tall)],
            [0.2, 0.22, 0.16],
            site.tint((0, 1), (0.1, 0.5), (0.2, 0.6)),
            8,
        )


def sign(site: Site, frame: Frame) -> None:
    """A traffic sign; the pole is a thing of its own."""
    site.start(Kind.POLE, frame)
    high = site.uniform(2.1, 2.6)
    metal = _steel(site)
    site.tube([(0, -0.05, -0.1), (0, -0.05, high + 0.3)], 0.035, metal)
    site.part(Kind.SIGN)
    shine = site.uniform(0.9, 1.6)
    turn = 0.0
    count = 2 if site.chance(0.3) else 1
    for row in range(count):
        radius, z = site.uniform(0.34, 0.46), high - 0.82 * row
        painter, sides = site.pick(((emblems.disc_sign, 16), (emblems.disc_sign, 16), (emblems.stop_sign, 8),
                                    (emblems.triangle_sign, 3), (emblems.warning_diamond, 4)))  # fmt: skip
        turn = math.pi / 4 if sides == 4 else 0.0
        grown = 1.2 if sides <= 4 else 1.0
        face = site.image(painter, 2 * radius, 2 * radius, shine)
        site.plate((0, 0.01, z), grown * radius, sides, face, metal, turn)


def sign_gantry(site: Site, frame: Frame) -> None:
    """A direction sign on two poles, as large as a board of advertising."""
    site.start(Kind.POLE, frame)
    wide, tall, low = site.uniform(1.6, 2.6), site.uniform(1.0, 1.5), site.uniform(1.3, 2.2)
    metal = _steel(site)
    for x in (-0.35 * wide, 0.35 * wide):
        site.tube([(x, -0.06, -0.1), (x, -0.06, low + tall)], 0.05, metal)
    site.part(Kind.SIGN)
    face = site.image(emblems.direction_sign, wide, tall, site.uniform(0.6, 1.4))
    site.mesh.box((-wide / 2, 0, low), (wide / 2, 0.04, low + tall), metal, face)


def board(site: Site, frame: Frame) -> None:
    """An advertisement on two poles, the same on both sides."""
    site.start(Kind.POLE, frame)
    wide, tall, low = site.uniform(1.3, 2.6), site.uniform(1.0, 1.7), site.uniform(0.5, 2.2)
    metal = _steel(site)
    for x in (-0.35 * wide, 0.35 * wide):
        site.tube([(x, -0.06, -0.1), (x, -0.06, low + tall)], 0.05, metal)
    site.part(Kind.BOARD)
    face = site.image(emblems.advert, wide, tall, site.uniform(0.3, 1.1))
    site.mesh.box((-wide / 2, 0, low), (wide / 2, 0.04, low + tall), metal, face)
    site.mesh.sheet((-wide / 2, -0.005, low + tall), (wide, 0, 0), (0, 0, -tall), face)


def traffic_light(site: Site, frame: Frame) -> None:
    """Lamps on a pole, often a second set on an arm over the road (local x); they face local y."""
    site.start(Kind.POLE, frame)
    metal = site.pick((_steel(site), site.shared(grounds.rust, (0.5, 0.5), 0.2)))
    arm = site.uniform(3.0, 5.0) if site.chance(0.6) else 0.0
    tall = 5.6 if arm else 3.3
    site.tube([(0, 0, -0.1), (0, 0, tall)], [0.1, 0.07], metal, 8)
    if arm:
        site.tube([(0, 0, tall - 0.1), (arm, 0, tall)], 0.06, metal)
    site.part(Kind.LIGHT)
    case = site.plain((24, 26, 28), 0.15)
    for x, z in ((0.0, 2.4), (arm, tall - 0.6)) if arm else ((0.0, 2.4),):
        face = site.picture(((emblems.lamps,), ()), 0.36, 0.95, glow=0.45, reflectance=0.3)
        site.mesh.box((x - 0.18, 0.08, z), (x + 0.18, 0.34, z + 0.95), case, face)


def litter_bin(site: Site, frame: Frame) -> None:
    """Clutter without a class: a bin, a cabinet or a hydrant."""
    site.start(Kind.CLUTTER, frame)
    if site.chance(0.5):
        coat = site.tint((0, 1), (0.2, 0.7), (0.2, 0.6))
        site.mesh.prism((0, 0, 0), (0.24, 0.29, 0.29, 0.2), (0, 0.9, 1.0, 1.1), coat, sides=8)
    else:
        half, tall = site.uniform(0.3, 0.6), site.uniform(0.9, 1.4)
        site.mesh.box((-half, -0.2, 0), (half, 0.2, tall), site.tint((0.2, 0.5), (0.0, 0.3), (0.4, 0.7)))


def fence(site: Site, frame: Frame, long: float) -> None:
    """Boards, pickets, rails or a wall along local x."""
    site.start(Kind.FENCE, frame)
    half, tall = long / 2, site.uniform(0.9, 1.8)
    kind = site.pick(("boards", "pickets", "wall", "rails"))
    if kind == "wall":
        stone = site.shared(grounds.stone_wall, (2.0, 2.0), 0.4)
        site.mesh.box((-half, -0.15, -0.1), (half, 0.15, tall), stone)
        return
    wood = site.shared(grounds.wooden_boards, (1.2, 1.8), 0.4)
    if kind == "boards":
        site.mesh.box((-half, -0.03, 0), (half, 0.03, tall), wood)
        return
    bars = wood if kind == "pickets" else site.shared(grounds.rust, (0.5, 0.5), 0.25)
    for z in (0.25 * tall, 0.85 * tall):
        site.mesh.box((-half, -0.04, z), (half, 0.0, z + 0.08), bars)
    step, wide = (0.2, 0.055) if kind == "pickets" else (0.3, 0.02)
    x = np.arange(-half, half, step)
    corners = np.array([[-wide, 0.01, tall], [wide, 0.01, tall], [wide, 0.01, 0.0], [-wide, 0.01, 0.0]])
    site.mesh.patches(corners[None] + np.stack([x, 0 * x, 0 * x], axis=1)[:, None], bars)


def barrier(site: Site, frame: Frame, long: float = 2.0) -> None:
    """A concrete or plastic barrier, or a striped board on feet, along local x."""
    site.start(Kind.BARRIER, frame)
    half = long / 2
    if site.chance(0.5):
        coat = site.pick(
            (site.shared(grounds.concrete, (2.0, 2.0), 0.4), site.tint((0.0, 0.06), (0.8, 0.95), (0.75, 0.95)))
        )
        ring = [np.array([(x, -0.3, 0), (x, -0.12, 0.4), (x, -0.1, 0.85), (x, 0.1, 0.85), (x, 0.12, 0.4), (x, 0.3, 0)])
                for x in (-half, half)]  # fmt: skip
        site.hull(ring, coat)
    else:
        stripes = site.image(emblems.striped, long, 0.35, 0.9)
        for z in (0.35, 0.8):
            site.mesh.box((-half, -0.03, z), (half, 0.03, z + 0.3), stripes, stripes)
        for x in (-half + 0.2, half - 0.2):
            site.mesh.box((x - 0.05, -0.3, 0), (x + 0.05, 0.3, 0.1), _steel(site))
            site.mesh.box((x - 0.03, -0.04, 0), (x + 0.03, 0.04, 1.1), _steel(site))


def cone(site: Site, frame: Frame) -> None:
    """A traffic cone or a striped drum."""
    site.start(Kind.CONE, frame)
    orange, white = site.plain((246, 96, 20), 0.5), site.plain((240, 240, 236), 1.2)
    if site.chance(0.7):
        tall = site.uniform(0.6, 0.95)
        site.mesh.box((-0.2, -0.2, 0), (0.2, 0.2, 0.05), site.plain((35, 35, 38)))
        edges = ((0.05, 0.16), (0.4, 0.11), (0.62, 0.08), (1.0, 0.025))
    else:
        tall, edges = 1.05, ((0.0, 0.28), (0.4, 0.25), (0.7, 0.23), (1.0, 0.2))
    for k, ((z0, r0), (z1, r1)) in enumerate(pairwise(edges)):
        site.tube([(0, 0, z0 * tall), (0, 0, z1 * tall)], [r0, r1], white if k == 1 else orange, 8)

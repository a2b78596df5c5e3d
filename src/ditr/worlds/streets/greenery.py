"""Trees, palms, bushes and hedges."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ditr.worlds.common.mesh import Frame, Material
from ditr.worlds.streets import grounds
from ditr.worlds.streets.config import Kind
from ditr.worlds.streets.site import Site

__all__ = ["broadleaf", "bush", "fir", "hedge", "palm"]


def _leaves(site: Site) -> Material:
    """One of three leaf textures of the street."""
    tile = site.pick(((0.9, 0.9), (1.0, 1.0), (1.1, 1.1)))
    return site.shared(grounds.leaves, tile, 0.45)


def _shell(site: Site, center: NDArray[np.float64], radii: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Places (count, 3) near the surface of an ellipsoid."""
    unit = site.rng.normal(size=(count, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return center + unit * radii * site.rng.uniform(0.8, 1.08, (count, 1))


def _crown(site: Site, center: tuple[float, float, float], radius: float, tall: float, leaf: Material) -> None:
    middle = np.array(center)
    for _ in range(site.pick((3, 4, 5))):
        shift = site.rng.normal(0, 0.3, 3) * [radius, radius, tall]
        radii = np.array([radius, radius, tall]) * site.uniform(0.5, 0.75)
        site.ellipsoid(middle + shift, 0.88 * radii, leaf, sides=8, rings=4, rough=0.18)
        site.cards(_shell(site, middle + shift, radii, 26), 0.3 * radius + 0.1, leaf)


def broadleaf(site: Site, frame: Frame) -> None:
    """A tree with a round crown, one to four metres of bare trunk."""
    tall = site.uniform(5.0, 10.0)
    bare, radius = site.uniform(0.16, 0.36) * tall, site.uniform(0.2, 0.3) * tall
    thick = site.uniform(0.11, 0.22)
    site.start(Kind.TRUNK, frame)
    lean = site.rng.normal(0, 0.12, 4)
    bark = site.shared(grounds.bark, (0.8, 0.8), 0.35)
    top = (float(lean[0]), float(lean[1]), bare + 0.25 * tall)
    site.tube([(0, 0, -0.1), (0.5 * top[0], 0.5 * top[1], 0.6 * bare), top], [thick, 0.8 * thick, 0.4 * thick], bark, 8)
    for k in range(2):
        out = 0.5 * radius * (1 - 2 * k)
        site.tube([(0.5 * top[0], 0.5 * top[1], 0.85 * bare), (out, float(lean[2]), bare + 0.2 * tall)],
                  [0.5 * thick, 0.25 * thick], bark, 5)  # fmt: skip
    site.part(Kind.VEGETATION)
    _crown(site, (top[0], top[1], bare + 0.5 * (tall - bare)), radius, 0.42 * (tall - bare), _leaves(site))


def fir(site: Site, frame: Frame) -> None:
    """A conifer."""
    tall, radius = site.uniform(4.5, 9.0), site.uniform(1.1, 1.8)
    site.start(Kind.TRUNK, frame)
    low = site.uniform(0.6, 1.6)
    site.tube(
        [(0, 0, -0.1), (0, 0, low + 0.4)], site.uniform(0.12, 0.2), site.shared(grounds.bark, (0.8, 0.8), 0.35), 8
    )
    site.part(Kind.VEGETATION)
    needles = site.shared(grounds.conifer, (0.9, 0.9), 0.35)
    for k in range(4):
        z, wide = low + (tall - low) * k / 4, radius * (1 - 0.22 * k)
        site.mesh.prism((0, 0, 0), (wide, 0.35 * wide, 0.02), (z, z + 0.2 * (tall - low), z + 0.36 * (tall - low)),
                        needles, sides=9)  # fmt: skip
    height = site.rng.uniform(0, 0.9, 70)
    around = site.rng.uniform(0, 2 * math.pi, 70)
    reach = radius * (1 - 0.85 * height)
    spots = np.stack([reach * np.cos(around), reach * np.sin(around), low + 0.1 + height * (tall - low)], axis=1)
    site.cards(spots, 0.5, needles)


def palm(site: Site, frame: Frame) -> None:
    """A tall bare trunk under fronds."""
    tall = site.uniform(5.0, 9.5)
    bend = site.rng.normal(0, 0.3, 2)
    thick = site.uniform(0.14, 0.22)
    site.start(Kind.TRUNK, frame)
    path = [(0.0, 0.0, -0.1), (0.4 * float(bend[0]), 0.4 * float(bend[1]), 0.5 * tall), (*map(float, bend), tall)]
    site.tube(path, [1.2 * thick, thick, 0.9 * thick], site.shared(grounds.bark, (0.8, 0.8), 0.35), 8)  # type: ignore[arg-type]
    site.part(Kind.VEGETATION)
    leaf = site.shared(grounds.palm_leaf, (0.8, 0.8), 0.45)
    top = np.array([*bend, tall])
    site.ellipsoid(top - [0, 0, 0.3], (0.45, 0.45, 0.5), leaf)
    for angle in np.arange(13) * (2 * math.pi / 13) + site.rng.normal(0, 0.15, 13):
        out, side = np.array([np.cos(angle), np.sin(angle), 0]), np.array([-np.sin(angle), np.cos(angle), 0])
        long, rise = site.uniform(1.4, 2.1), site.uniform(0.1, 0.7)
        steps = np.array([0.0, 0.35, 0.7, 1.0])[:, None]
        spine = top + out * steps * long + np.array([0, 0, 1]) * (rise * steps - 1.5 * steps**2)
        half = side * np.array([0.1, 0.34, 0.3, 0.05])[:, None]
        droop = np.array([0, 0, 0.16])
        for wing in (spine - half - droop, spine + half - droop):
            site.mesh.patches(np.stack([spine[:-1], spine[1:], wing[1:], wing[:-1]], axis=1), leaf)


def bush(site: Site, frame: Frame) -> None:
    """A round shrub."""
    radius = site.uniform(0.45, 0.95)
    tall = radius * site.uniform(0.7, 1.2)
    site.start(Kind.VEGETATION, frame)
    leaf = _leaves(site)
    site.ellipsoid((0, 0, 0.6 * tall), (0.9 * radius, 0.9 * radius, 0.8 * tall), leaf, sides=9, rings=4, rough=0.15)
    spots = _shell(site, np.array([0, 0, 0.6 * tall]), np.array([radius, radius, 0.85 * tall]), 40)
    site.cards(spots[spots[:, 2] > 0.1], 0.3, leaf)


def hedge(site: Site, frame: Frame, long: float, tall: float) -> None:
    """A clipped hedge along local x, as straight as a wall."""
    site.start(Kind.VEGETATION, frame)
    leaf = site.shared(grounds.hedge, (1.2, 1.2), 0.45)
    half = site.uniform(0.25, 0.4)
    x = np.linspace(-long / 2, long / 2, max(3, round(long / 0.7)))
    profile = np.array(
        [[-half, 0.0], [-half, 0.8 * tall], [-0.7 * half, tall], [0.7 * half, tall], [half, 0.8 * tall], [half, 0]]
    )
    rings = np.zeros((len(x), 6, 3))
    rings[:, :, 0] = x[:, None]
    rings[:, :, 1:] = profile + site.rng.uniform(-0.06, 0.06, (len(x), 6, 2)) * [1.0, 0.8]
    site.hull(rings, leaf)

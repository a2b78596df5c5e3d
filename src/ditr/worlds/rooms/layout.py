"""How a room is furnished: the shell first, what needs most space next, then the rest while there is place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ditr.worlds.common.atlas import Atlas
from ditr.worlds.common.mesh import Mesh
from ditr.worlds.rooms import fittings, furniture
from ditr.worlds.rooms.config import RoomsConfig, Split
from ditr.worlds.rooms.workshop import RoomPlan, Workshop

__all__ = ["Room", "build_room", "generator"]

Furnish = Callable[[Workshop, RoomPlan], bool]
"""Builds one object and returns True, or returns False where there is no place for the size that it drew."""

_SIZES_TRIED = 4

_OPENINGS: tuple[tuple[Furnish, float], ...] = (
    (fittings.door, 1.0),
    (fittings.window, 1.0),
    (fittings.window, 0.35),
)
_OFFICE: tuple[tuple[Furnish, float], ...] = (
    (furniture.desk, 1.0),
    (fittings.whiteboard, 1.0),
    (fittings.cabinet, 0.9),
    (furniture.bookshelf, 0.8),
    (fittings.pinboard, 0.8),
    (furniture.desk, 0.5),
    (furniture.sofa, 0.4),
    (fittings.painting, 0.5),
)
_LIVING: tuple[tuple[Furnish, float], ...] = (
    (furniture.sofa, 1.0),
    (fittings.wall_screen, 0.6),
    (furniture.dining, 0.8),
    (fittings.painting, 0.9),
    (fittings.cabinet, 0.8),
    (furniture.bookshelf, 0.8),
    (fittings.whiteboard, 0.3),
    (fittings.pinboard, 0.4),
    (fittings.painting, 0.6),
)
_BEDROOM: tuple[tuple[Furnish, float], ...] = (
    (furniture.bed, 1.0),
    (furniture.desk, 0.7),
    (fittings.whiteboard, 0.5),
    (fittings.cabinet, 0.9),
    (fittings.pinboard, 0.6),
    (fittings.painting, 0.8),
    (furniture.bookshelf, 0.5),
    (fittings.curtain, 0.3),
)
_ANYWHERE: tuple[tuple[Furnish, float], ...] = (
    (furniture.rug, 0.7),
    (furniture.plant, 0.85),
    (furniture.lamp, 0.6),
    (furniture.pendant, 0.6),
    (fittings.cabinet, 0.3),
    (fittings.radiator, 0.3),
    (fittings.door, 0.3),
    (fittings.painting, 0.3),
    (furniture.chair, 0.5),
    (furniture.plant, 0.3),
    (furniture.parcel, 0.4),
    (furniture.parcel, 0.2),
)
_KINDS = (_OFFICE, _LIVING, _BEDROOM)


@dataclass(frozen=True, eq=False)
class Room:
    """A finished room: its triangles, their textures, and the plan of what stands where."""

    mesh: Mesh
    atlas: Atlas
    plan: RoomPlan


def generator(config: RoomsConfig, split: Split, index: int, purpose: int) -> np.random.Generator:
    """The random numbers for one purpose in one room; no other room or purpose shares them."""
    key = (0 if split == "train" else 1, index, purpose)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(config.seed, spawn_key=key)))


def build_room(config: RoomsConfig, split: Split, index: int) -> Room:
    """The room ``index`` of a split; depends on the configuration's seed, style and share of new families only."""
    shop = Workshop(
        generator(config, split, index, 0),
        generator(config, split, index, 1),
        config.new_share if split == "test" else 0.0,
    )
    style = config.style
    size = (shop.uniform(*style.length), shop.uniform(*style.width), shop.uniform(*style.height))
    plan = RoomPlan(shop.rng, size)
    fittings.shell(shop, plan)
    for furnish, probability in (*_OPENINGS, *_KINDS[index % len(_KINDS)], *_ANYWHERE):
        if shop.chance(probability):
            any(furnish(shop, plan) for _ in range(_SIZES_TRIED))
    return Room(shop.mesh.build(), shop.atlas, plan)

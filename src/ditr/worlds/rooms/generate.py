"""From a configuration to a scene in memory."""

from __future__ import annotations

from dataclasses import asdict

from ditr.errors import InputError
from ditr.scene import Scene, View
from ditr.worlds.common.rays import RayCaster
from ditr.worlds.rooms.camera_path import choose_camera, choose_poses
from ditr.worlds.rooms.cloud import scan
from ditr.worlds.rooms.config import RoomsConfig, Split
from ditr.worlds.rooms.layout import build_room, generator
from ditr.worlds.rooms.sensor import Sensor

__all__ = ["make_room", "room_name"]


def room_name(index: int) -> str:
    """What room ``index`` is called inside its split."""
    return f"room_{index:04d}"


def make_room(config: RoomsConfig, split: Split, index: int) -> Scene:
    """One room as a scene whose views hold arrays.

    World z is up, the origin is a corner of the floor, and coordinates are metres.

    Raises:
        InputError: no such room, or embreex is not installed.
    """
    if not 0 <= index < config.count(split):
        raise InputError("rooms", f"no {split} room {index}", f"There are {config.count(split)}, counted from 0")
    room = build_room(config, split, index)
    caster = RayCaster(room.mesh)
    sensor = Sensor(room, caster)
    cloud = scan(room, caster, sensor, config.spacing, generator(config, split, index, 2))
    path = generator(config, split, index, 3)
    camera = choose_camera(path, config)
    noise = generator(config, split, index, 4)
    views = []
    for number, pose in enumerate(choose_poses(path, room.plan, config.views)):
        shot = sensor.render(camera, pose, noise)
        views.append(View(f"frame_{number:03d}", camera, pose, shot.color, shot.depth))
    return Scene(
        name=f"{split}_{room_name(index)}",
        coord=cloud.coord,
        views=tuple(views),
        color=cloud.color,
        normal=cloud.normal,
        label=cloud.label,
        class_names=config.style.class_names,
        properties={"world": "rooms", "split": split, "index": index, "config": asdict(config)},
    )

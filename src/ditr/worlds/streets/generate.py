"""From a configuration to a scene in memory."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.scene import Scene, View
from ditr.worlds.common.rays import RayCaster
from ditr.worlds.streets.camera import Daylight, Photographer, camera_of, sensor_to_camera
from ditr.worlds.streets.config import StreetsConfig
from ditr.worlds.streets.layout import Street, build_street, generator
from ditr.worlds.streets.lidar import sweep

__all__ = ["make_scan", "scan_name", "sensor_to_street"]


def scan_name(index: int) -> str:
    """What scan ``index`` is called."""
    return f"scan_{index:04d}"


def sensor_to_street(street: Street) -> NDArray[np.float64]:
    """The LiDAR's pose (4, 4) in the street."""
    plan = street.plan
    cos, sin = math.cos(plan.yaw), math.sin(plan.yaw)
    pose = np.eye(4)
    pose[:2, :2] = [[cos, -sin], [sin, cos]]
    pose[:3, 3] = [*plan.ego, street.style.lidar.height]
    return pose


def make_scan(config: StreetsConfig, index: int) -> Scene:
    """One scan as a scene whose views hold arrays, in the LiDAR's frame: x forward, y left, z up, metres.

    ``extra["ring"]`` is the number of each point's beam, counted from the lowest.

    Raises:
        InputError: no such scan, or embreex is not installed.
    """
    if not 0 <= index < config.count:
        raise InputError("streets", f"no scan {index}", f"There are {config.count}, counted from 0")
    street = build_street(config, index)
    style, caster = street.style, RayCaster(street.mesh)
    pose = sensor_to_street(street)
    steps = max(16, round(style.lidar.steps * config.scale))
    found = sweep(caster, pose, style.lidar, steps, generator(config, index, 2))
    photographer = Photographer(street, caster, Daylight(generator(config, index, 3)))
    grain = generator(config, index, 4)
    views = []
    for spec in style.cameras:
        camera, from_sensor = camera_of(spec, config.scale), sensor_to_camera(spec)
        shot = photographer.shoot(camera, from_sensor @ np.linalg.inv(pose), grain)
        views.append(View(spec.name, camera, from_sensor, shot.color))
    labels = np.array(style.labels(), dtype=np.int32)
    return Scene(
        name=f"{style.name}_{scan_name(index)}",
        coord=found.coord,
        views=tuple(views),
        strength=found.strength,
        label=labels[street.mesh.label[found.triangle]],
        class_names=style.class_names,
        extra={"ring": found.ring},
        properties={"world": "streets", "index": index, "config": asdict(config)},
    )

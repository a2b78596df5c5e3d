"""Streets: a procedural outdoor world with LiDAR and cameras in three styles, so that everything can be tried."""

from ditr.worlds.streets.config import Kind, StreetsConfig, StyleName
from ditr.worlds.streets.generate import make_scan, sensor_to_street
from ditr.worlds.streets.layout import Street, build_street
from ditr.worlds.streets.styles import KITTI, NUSCENES, WAYMO, Style, style_of
from ditr.worlds.streets.write import write_streets

__all__ = [
    "KITTI",
    "NUSCENES",
    "WAYMO",
    "Kind",
    "Street",
    "StreetsConfig",
    "Style",
    "StyleName",
    "build_street",
    "make_scan",
    "sensor_to_street",
    "style_of",
    "write_streets",
]

"""Rooms: a procedural indoor RGB-D world, so that everything can be tried without a download."""

from ditr.worlds.rooms.config import CLASS_NAMES, FLAT, Label, RoomsConfig, RoomsStyle, Split
from ditr.worlds.rooms.generate import make_room
from ditr.worlds.rooms.layout import Room, build_room
from ditr.worlds.rooms.sensor import Rendering
from ditr.worlds.rooms.write import write_rooms

__all__ = [
    "CLASS_NAMES",
    "FLAT",
    "Label",
    "Rendering",
    "Room",
    "RoomsConfig",
    "RoomsStyle",
    "Split",
    "build_room",
    "make_room",
    "write_rooms",
]

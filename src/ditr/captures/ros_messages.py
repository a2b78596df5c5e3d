"""Messages of ROS as values, by the definitions that its distributions share; those that a bag brings are not used."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from ditr.captures.bag import Message
from ditr.errors import InputError

__all__ = ["CAMERA_INFO", "COMPRESSED", "IMAGE", "ODOMETRY", "POINT_CLOUD", "TF_KINDS", "decoded"]

POINT_CLOUD = "sensor_msgs/msg/PointCloud2"
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
ODOMETRY = "nav_msgs/msg/Odometry"
_TF = "tf2_msgs/msg/TFMessage"
TF_KINDS = (_TF, "tf/msg/tfMessage")
"""Of transforms; the second is what ROS called it first."""
_AGAIN = "The bag is damaged, or holds messages of another definition"


@cache
def _store(encoding: str) -> Any:
    """The types of messages in one of the two encodings."""
    types = import_module("rosbags.typesys")
    if encoding != "ros1":
        return types.get_typestore(types.Stores.ROS2_HUMBLE)
    store = types.get_typestore(types.Stores.ROS1_NOETIC)
    store.register(types.get_types_from_msg("geometry_msgs/TransformStamped[] transforms", _TF))
    return store


def decoded(where: str, message: Message, kind: str, encoding: str) -> Any:
    """A message with the fields of its definition; arrays are numpy's, and read-only.

    Raises:
        InputError: the bytes are no such message; ``where`` names it.
    """
    store = _store(encoding)
    read = store.deserialize_ros1 if encoding == "ros1" else store.deserialize_cdr
    try:
        return read(message.data, _TF if kind in TF_KINDS else kind)
    except Exception as error:  # what its generated code raises on damaged bytes is not documented
        fault = f"a message of {message.topic} is not a valid {kind} ({type(error).__name__}: {error})"
        raise InputError(where, fault, _AGAIN) from None

"""Bags of ROS, opened where this is called: their topics, and the bytes of their messages. By rosbags."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ditr.errors import InputError

__all__ = ["LIBRARIES", "Bag", "Header", "Message", "Topic", "header_of"]

LIBRARIES = ("rosbags.rosbag1", "rosbags.rosbag2")
_ROS1, _ROS2 = "ros1", "cdr"
_LARGEST_METADATA = 1 << 22
"""Bytes of metadata.yaml at most."""
_LONGEST_NAME = 4096


@dataclass(frozen=True)
class Topic:
    """A topic with messages of one type.

    Attributes:
        name: of it.
        type: of its messages, in the spelling of ROS 2: ``sensor_msgs/msg/Image``.
        encoding: of the bytes, ``ros1`` or ``cdr``.
        count: how many messages there are, by the bag's own account.
    """

    name: str
    type: str
    encoding: str
    count: int


@dataclass(frozen=True)
class Message:
    """One of a topic's messages, with the time at which it was written into the bag, in nanoseconds."""

    topic: str
    time: int
    data: bytes


@dataclass(frozen=True)
class Header:
    """What most messages begin with: the time that they are of, in nanoseconds, and their frame."""

    stamp: int
    frame: str


def header_of(data: bytes, encoding: str) -> Header | None:
    """The header that a message begins with; None where the bytes end too early or it has no text for a frame."""
    try:
        if encoding == _ROS1:
            _, seconds, nanoseconds, length = struct.unpack_from("<4I", data)
            start = 16
        else:
            order = "<" if data[1] & 1 else ">"
            seconds, nanoseconds, length = struct.unpack_from(f"{order}iII", data, 4)
            start, length = 16, length - 1  # its last byte is 0
        if not 0 <= length <= min(_LONGEST_NAME, len(data) - start):
            return None
        frame = data[start : start + length].decode()
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    return Header(seconds * 10**9 + nanoseconds, frame.lstrip("/"))


class Bag:
    """An open bag.

    Args:
        path: a ``.bag``, ``.mcap`` or ``.db3``, or a folder with ``metadata.yaml``.

    Raises:
        InputError: what is known to be wrong with it.
        Exception: whatever rosbags raises on damaged files, here and in the methods.
    """

    def __init__(self, path: Path) -> None:
        self._is_first = path.is_file() and path.suffix == ".bag"
        metadata = path / "metadata.yaml"
        if path.is_dir() and metadata.stat().st_size > _LARGEST_METADATA:
            raise InputError(metadata, f"it has more than {_LARGEST_METADATA >> 20} MB", "Copy or record it again")
        self._reader = import_module(LIBRARIES[0 if self._is_first else 1]).Reader(path)

        self._open = ExitStack()
        self._open.enter_context(self._reader)
        self._connections: list[Any] = list(self._reader.connections)

    def close(self) -> None:
        """Close it."""
        self._open.close()

    def topics(self) -> list[Topic]:
        """All of them; those of several writers of one type come once."""
        found: dict[tuple[str, str, str], int] = {}
        for connection in self._connections:
            encoding = _ROS1 if self._is_first else str(connection.ext.serialization_format)
            key = (str(connection.topic), str(connection.msgtype), encoding)
            found[key] = found.get(key, 0) + int(connection.msgcount)
        return [Topic(*key, count) for key, count in found.items()]

    def messages(self, names: Sequence[str], start: int | None = None, stop: int | None = None) -> Iterator[Message]:
        """Messages of some topics in the order in which they were written, between two times of writing."""
        wanted = [connection for connection in self._connections if connection.topic in names]
        if wanted:
            for connection, time, data in self._reader.messages(wanted, start=start, stop=stop):
                yield Message(str(connection.topic), int(time), bytes(data))

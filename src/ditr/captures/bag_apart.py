"""A bag that is open in a process of its own, with limits of memory and time: it is asked for messages as they are
needed, and where a damaged file crashes it, that is an error which names the file.

Requests are lines of JSON on its input. An answer is a line of JSON with the lengths of the pieces of bytes that
follow.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ditr.captures.apart import command_of, environment, guarded, how_it_ended, limit_files, limit_memory
from ditr.captures.bag import LIBRARIES, Bag, Header, Message, Topic, header_of
from ditr.errors import InputError

__all__ = ["BagAsked", "Found", "OpenBag", "Place", "RemoteBag"]

_COMMAND = ("-m", "ditr.captures.bag_apart")
_MEMORY, _TIMES = 256 << 20, 4
"""Bytes that the process may take, and how many more for each byte of the bag."""
_TIMES_UNPACKED = 20
"""How much larger a bag may be that is unpacked to be read, as one that is packed as a whole is."""
_SECONDS, _PER_MEGABYTE = 60, 2
"""That an answer may take, and how many more for each megabyte of the bag."""
_TIME = 12
"""Bytes that a header's time ends at, in either encoding."""
_REMEDY = "The bag is damaged, or does not follow its format; repair it (`rosbag reindex`, `ros2 bag reindex`)"


@dataclass(frozen=True)
class Place:
    """Where a message is: its topic, the time at which it was written, and which of those with this time it is."""

    topic: str
    time: int
    among: int


@dataclass(frozen=True)
class Found:
    """What is known of a topic's messages (n,) after a look through the bag.

    Attributes:
        time: at which they were written, in nanoseconds.
        stamp: that they are of, by their headers; the time of writing where a header has none.
        among: which of those with the same time they are.
        frames: of their headers, the most frequent one first.
        size: bytes of all.
        unstamped: how many have no time in their headers.
    """

    time: NDArray[np.int64]
    stamp: NDArray[np.int64]
    among: NDArray[np.int64]
    frames: tuple[str, ...]
    size: int
    unstamped: int


class BagAsked(Protocol):
    """What can be asked of an open bag."""

    topics: list[Topic]

    def look_through(
        self, headers: Sequence[str], whole: Sequence[str], once: Sequence[str]
    ) -> tuple[dict[str, Found], list[Message]]:
        """Read the bag once.

        Args:
            headers: topics of which the headers are looked at.
            whole: topics whose messages are kept.
            once: the same of those which the last one kept equals except for the time of its header.
        """
        ...

    def fetch(self, places: Sequence[Place]) -> list[bytes]:
        """The bytes of some messages.

        Raises:
            InputError: one is not there.
        """
        ...


class OpenBag:
    """A bag that is open in this process; see :class:`BagAsked`.

    Raises:
        Exception: whatever rosbags raises.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bag = Bag(path)
        self.topics = self._bag.topics()
        self._encodings = {topic.name: topic.encoding for topic in self.topics}

    def look_through(
        self, headers: Sequence[str], whole: Sequence[str], once: Sequence[str]
    ) -> tuple[dict[str, Found], list[Message]]:
        last: dict[str, bytes] = {}
        rows: dict[str, list[tuple[int, int, int]]] = {name: [] for name in headers}
        frames: dict[str, Counter[str]] = {name: Counter() for name in headers}
        sizes, unstamped, same_time = Counter[str](), Counter[str](), Counter[tuple[str, int]]()
        kept = []
        for message in self._bag.messages([*headers, *whole, *once]):
            name, time = message.topic, message.time
            if name not in rows:
                if name in whole or last.get(name) != message.data[_TIME:]:
                    kept.append(message)
                last[name] = message.data[_TIME:] if name in once else b""
                continue
            header = header_of(message.data, self._encodings[name]) or Header(0, "")
            unstamped[name] += header.stamp == 0
            rows[name].append((time, header.stamp or time, same_time[name, time]))
            same_time[name, time] += 1
            frames[name][header.frame] += 1
            sizes[name] += len(message.data)
        found = {}
        for name, listed in rows.items():
            columns = np.array(listed, dtype=np.int64).reshape(-1, 3).T
            ordered = tuple(frame for frame, _ in frames[name].most_common())
            found[name] = Found(columns[0], columns[1], columns[2], ordered, sizes[name], unstamped[name])
        return found, kept

    def fetch(self, places: Sequence[Place]) -> list[bytes]:
        wanted = {place: row for row, place in enumerate(places)}
        result: list[bytes | None] = [None] * len(places)
        for part in _near(places):
            times = [place.time for place in part]
            seen = Counter[tuple[str, int]]()
            for message in self._bag.messages([p.topic for p in part], min(times), max(times) + 1):
                key = (message.topic, message.time)
                row = wanted.get(Place(*key, seen[key]))
                seen[key] += 1
                if row is not None:
                    result[row] = message.data
        if any(data is None for data in result):
            raise InputError(self.path, "it changed while it was read, or its index is damaged", _REMEDY)
        return [data for data in result if data is not None]

    def close(self) -> None:
        """Close it."""
        self._bag.close()


def _near(places: Sequence[Place]) -> Iterator[list[Place]]:
    """Places that lie together in time, and so in the bag: what is between them is read with them."""
    part: list[Place] = []
    for place in sorted(places, key=lambda place: place.time):
        if part and place.time - part[-1].time > 50_000_000:
            yield part
            part = []
        part.append(place)
    if part:
        yield part


class RemoteBag:
    """A bag that is open in a process of its own, which ends with this object; see :class:`BagAsked`.

    Raises:
        InputError: a damaged bag, here and in the methods; or that its reader crashed, or took more memory or time than
            any sound bag needs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process = subprocess.Popen(
            command_of(*_COMMAND, str(path.resolve())),
            env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._end = weakref.finalize(self, _end, self._process)
        self._patience = _SECONDS + _PER_MEGABYTE * (_size(path) >> 20)
        self._lock = threading.Lock()
        told, _ = self._answer()
        self.topics = [Topic(**topic) for topic in told["topics"]]

    def close(self) -> None:
        """End the process."""
        self._end()

    def look_through(
        self, headers: Sequence[str], whole: Sequence[str], once: Sequence[str]
    ) -> tuple[dict[str, Found], list[Message]]:
        told, pieces = self._ask({"headers": list(headers), "whole": list(whole), "once": list(once)})
        rest = iter(pieces)

        def column() -> NDArray[np.int64]:
            return np.frombuffer(next(rest), np.int64)

        found = {
            name: Found(column(), column(), column(), tuple(frames), size, unstamped)
            for name, frames, size, unstamped in told["found"]
        }
        return found, [Message(topic, time, next(rest)) for topic, time in told["kept"]]

    def fetch(self, places: Sequence[Place]) -> list[bytes]:
        return self._ask({"places": [[place.topic, place.time, place.among] for place in places]})[1]

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        with self._lock:
            assert self._process.stdin is not None
            with suppress(OSError):  # it ended; what it said is read below
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                self._process.stdin.flush()
            return self._answer()

    def _answer(self) -> tuple[dict[str, Any], list[bytes]]:
        waiting = threading.Timer(self._patience, self._process.kill)
        waiting.daemon = True
        waiting.start()
        try:
            answer = _received(self._process.stdout)
        finally:
            waiting.cancel()
        if answer is None:
            _, said = self._process.communicate()
            how = how_it_ended(self._process.returncode, said)
            raise InputError(self.path, f"its reader stopped ({how})", _REMEDY)
        told, pieces = answer
        if "fault" in told:
            raise InputError(told["where"] or self.path, told["fault"], told["remedy"])
        return told, pieces


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that waits for requests."""
    for stream in (process.stdin, process.stdout, process.stderr):
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.close()
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _size(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _received(stream: IO[bytes] | None) -> tuple[dict[str, Any], list[bytes]] | None:
    """An answer; None where there is none any more."""
    assert stream is not None
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    told = json.loads(line)
    pieces = [stream.read(length) for length in told.pop("pieces")]
    return told, pieces


def _send(stream: IO[bytes], told: dict[str, Any], pieces: Sequence[bytes]) -> None:
    stream.write(json.dumps(told | {"pieces": [len(piece) for piece in pieces]}).encode() + b"\n")
    for piece in pieces:
        stream.write(piece)
    stream.flush()


def _answered(bag: OpenBag, request: dict[str, Any], _path: Path) -> tuple[dict[str, Any], list[bytes]]:
    if "places" in request:
        return {}, bag.fetch([Place(*place) for place in request["places"]])
    found, kept = bag.look_through(request["headers"], request["whole"], request["once"])
    pieces = [column.tobytes() for f in found.values() for column in (f.time, f.stamp, f.among)]
    told = {
        "found": [[name, f.frames, f.size, f.unstamped] for name, f in found.items()],
        "kept": [[message.topic, message.time] for message in kept],
    }
    return told, [*pieces, *(message.data for message in kept)]


def main(file: str) -> None:
    """What the process does: open the bag, and answer until its input ends."""
    path, out = Path(file), sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints is not an answer
    for library in LIBRARIES:
        import_module(library)
    limit_memory(_MEMORY + _TIMES * _size(path))
    limit_files(_MEMORY + _TIMES_UNPACKED * _size(path))
    try:
        bag = guarded(path, OpenBag)
    except InputError as error:
        _send(out, _told(path, error), [])
        return
    try:
        _send(out, {"topics": [asdict(topic) for topic in bag.topics]}, [])
        for line in sys.stdin.buffer:
            try:
                _send(out, *guarded(path, partial(_answered, bag, json.loads(line))))
            except InputError as error:
                _send(out, _told(path, error), [])
    finally:
        bag.close()


def _told(path: Path, error: InputError) -> dict[str, Any]:
    where = "" if error.where == str(path) else error.where
    return {"where": where, "fault": error.fault, "remedy": error.remedy}


if __name__ == "__main__":
    main(*sys.argv[1:])

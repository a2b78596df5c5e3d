"""The directory of a zip archive whose entries are stored as they are, which is the only kind that torch.save writes.

It is read strictly: what the archive says twice has to agree, and no byte belongs to two entries. So an archive
cannot show one content to this reader and another one to the next. (The standard library's ``zipfile`` is as fast, but
takes archives whose end, counts or headers contradict each other, and directories of any size.)
"""

from __future__ import annotations

import itertools
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from ditr.io.pickle_names import HOSTILE, RESAVE, Fault

__all__ = ["Entry", "checksum", "content", "read_directory"]

MAX_DIRECTORY = 16 << 20
BLOCK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """The bytes of one entry of the archive: they begin at ``start`` of the file and are not compressed."""

    name: str
    start: int
    size: int
    crc: int


def read_directory(file: BinaryIO, size: int) -> dict[str, Entry]:
    """All entries by name; they are stored as they are, in turn, and none overlaps another.

    Raises:
        Fault: anything that torch.save does not write.
    """
    begin, length, count = _find_directory(file, size)
    directory = _read(file, begin, length)
    entries: dict[str, Entry] = {}
    starts: list[tuple[int, int]] = []
    position = 0
    for _ in range(count):
        if length - position < 46:
            raise Fault("the archive's directory ends early")
        fields = struct.unpack_from("<4s6H3L5H2L", directory, position)
        names, extras, comment = fields[10:13]
        name_end = position + 46 + names
        if fields[0] != b"PK\x01\x02" or comment or fields[13] or name_end + extras > length:
            raise Fault("the archive's directory is damaged")
        name = _entry_name(directory[position + 46 : name_end])
        if name in entries:
            raise Fault(f"the archive has two entries {name!r}", HOSTILE)
        if fields[3] & 0x2041:
            raise Fault(f"the entry {name!r} is encrypted", "Save it without encryption")
        stored, full, header = _wide(fields[8], fields[9], fields[16], directory[name_end : name_end + extras])
        if fields[4] or stored != full:
            raise Fault(f"the entry {name!r} is compressed, which torch.save never does", RESAVE)
        start = _start(file, header, name, directory[position + 46 : name_end], begin)
        if full > begin - start:
            raise Fault(f"the entry {name!r} reaches beyond the archive's data")
        entries[name] = Entry(name, start, full, fields[7])
        starts.append((header, start + full))
        position = name_end + extras
    starts.sort()
    if position != length or not starts or starts[0][0] != 0:
        raise Fault("the archive's directory is damaged")
    if any(end > following for (_, end), (following, _) in itertools.pairwise(starts)):
        raise Fault("entries of the archive overlap", HOSTILE)
    return entries


def _find_directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Where the directory begins, how many bytes it has, and how many entries."""
    if size < 22:
        raise Fault("the archive is cut off")
    end = size - 22
    mark, disk, first_disk, here, count, length, begin, comment = struct.unpack("<4s4H2LH", _read(file, end, 22))
    if mark != b"PK\x05\x06" or comment:
        raise Fault("the archive's end record is missing, so the file is cut off, or bytes were added to it")
    narrow = (here, count, length, begin)
    if end >= 76:
        mark, _, place, _ = struct.unpack("<4sLQL", _read(file, end - 20, 20))
        if mark == b"PK\x06\x07":
            end -= 76
            if place != end:
                raise Fault("the archive's end record is damaged")
            wide = struct.unpack("<4sQ2H2L4Q", _read(file, end, 56))
            if wide[0] != b"PK\x06\x06" or wide[1] != 44 or wide[4] or wide[5]:
                raise Fault("the archive's end record is damaged")
            here, count, length, begin = wide[6:]
            limits = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
            if narrow != tuple(min(value, limit) for value, limit in zip(wide[6:], limits, strict=True)):
                raise Fault("the archive's end record contradicts itself", HOSTILE)
    if disk or first_disk or here != count or begin + length != end or count * 46 > length:
        raise Fault("the archive's end record is damaged")
    if length > MAX_DIRECTORY:
        raise Fault(f"the archive's directory has {length} bytes, more than {MAX_DIRECTORY}", HOSTILE)
    return begin, length, count


def _entry_name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Fault("an entry's name is not text") from None
    if "\\" in name or ":" in name or not name.isprintable() or {"", ".", ".."} & set(name.split("/")):
        raise Fault(f"the archive has an entry {name[:80]!r}, which is not a name inside a folder", HOSTILE)
    return name


def _wide(stored: int, full: int, header: int, extra: bytes) -> tuple[int, int, int]:
    """The sizes and the place of an entry; those beyond 32 bits are in its extra fields (zip64)."""
    values = [full, stored, header]
    missing = [index for index, value in enumerate(values) if value == 0xFFFFFFFF]
    position = 0
    while missing and position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == 1 and length >= 8 * len(missing) and position + 4 + length <= len(extra):
            wide = struct.unpack_from(f"<{len(missing)}Q", extra, position + 4)
            for index, value in zip(missing, wide, strict=True):
                values[index] = value
            missing = []
        position += 4 + length
    if missing:
        raise Fault("an entry's size is missing")
    return values[1], values[0], values[2]


def _start(file: BinaryIO, header: int, name: str, raw_name: bytes, end: int) -> int:
    """Where the bytes of an entry begin, from its own header, which has to agree with the directory."""
    if header + 30 + len(raw_name) > end:
        raise Fault(f"the entry {name!r} is beyond the archive's data")
    block = _read(file, header, 30 + len(raw_name))
    mark, _, flags, method, *_, names, extras = struct.unpack_from("<4s5H3L2H", block)
    if mark != b"PK\x03\x04" or flags & 0x2041 or method or names != len(raw_name) or block[30:] != raw_name:
        raise Fault(f"the header of the entry {name!r} contradicts the archive's directory")
    start = header + 30 + len(raw_name) + int(extras)
    if start > end:
        raise Fault(f"the entry {name!r} is beyond the archive's data")
    return start


def _read(file: BinaryIO, begin: int, size: int) -> bytes:
    file.seek(begin)
    data = file.read(size)
    if len(data) != size:
        raise Fault("the archive is cut off")
    return data


def checksum(file: BinaryIO, entry: Entry) -> int:
    """Of a whole entry, without holding it."""
    crc, left = 0, entry.size
    file.seek(entry.start)
    while left:
        block = file.read(min(left, BLOCK))
        if not block:
            break
        crc, left = zlib.crc32(block, crc), left - len(block)
    return crc


def content(file: BinaryIO, entry: Entry) -> bytes:
    data = _read(file, entry.start, entry.size)
    if zlib.crc32(data) != entry.crc:
        raise Fault(f"{entry.name}: the checksum does not match")
    return data

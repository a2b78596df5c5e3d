"""Anybody's zip archive, looked at member by member. It is not unpacked, and no member is held beyond a limit."""

from __future__ import annotations

import io
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType

from ditr.errors import Grade, InputError
from ditr.io.files import read_bytes

__all__ = ["Archive", "Fault", "open_archive"]

_BLOCK = 1 << 20
_DIRECTORY = 8 << 20
"""Bytes of an archive's list of members at most: twice that of the largest submission, of 20,000 files."""
_KINDS = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x1f\x8b", "a gzip file, such as a .tar.gz"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"<", "a page of HTML or XML, as servers send instead of a file"),
)
_LITTER = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"})
_UNPACKED = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_METHODS = {9: "Deflate64, as Windows does with large files", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz"}
_ENCRYPTED = 0x2041


@dataclass(frozen=True)
class Fault:
    """Something for which a server rejects an archive, or counts points as wrong.

    Attributes:
        kind: in a few words, the same for all faults of a kind; only the first few of a kind are shown.
        member: of the archive; empty for the archive itself.
        what: is wrong, in a sentence.
        remedy: what to do about it.
        grade: refused where the server rejects it, or where nobody can mean it; warned where the server takes it and
            counts these points as wrong.
    """

    kind: str
    member: str
    what: str
    remedy: str
    grade: Grade = Grade.REFUSED


class Archive:
    """An open archive; a context that closes it.

    Args:
        path: of it.
        file: its bytes.
        progress: called with the number of files that were read and that of all.

    Attributes:
        names: of the members that can be looked at, in their order; those of folders end with a slash.
        faults: what is wrong with the archive and with other members, whatever it is for.
    """

    def __init__(self, path: Path, file: io.BufferedReader, progress: Callable[[int, int], None] | None = None) -> None:
        self._file = file
        self._progress = progress
        self._looked_at: set[str] = set()
        self._zip = zipfile.ZipFile(file)
        entries = self._zip.infolist()
        found = [fault for fault in (_suffix(path), _overlap(entries)) if fault is not None]
        counts = Counter(entry.filename for entry in entries)
        self._members: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            fault = _entry_fault(entry)
            if fault is not None:
                found.append(fault)
            elif entry.filename not in self._members:
                self._members[entry.filename] = entry
                if counts[entry.filename] > 1:
                    found.append(_twice(entry.filename, counts[entry.filename]))
        self.names: Sequence[str] = tuple(self._members)
        self.faults: Sequence[Fault] = tuple(found)
        self._files = sum(1 for name in self.names if not name.endswith("/"))

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()
        self._file.close()

    def size(self, name: str) -> int:
        """Bytes of a member, unpacked, as the archive has it."""
        return self._members[name].file_size

    def read(self, name: str, most: int) -> bytes | Fault:
        """A member; a fault where it is damaged, or larger than ``most`` bytes, of which none is read then."""
        entry = self._members[name]
        self._looked_at.add(name)
        if self._progress is not None:
            self._progress(len(self._looked_at), self._files)
        if entry.file_size > most:
            return Fault(
                "a file too large",
                name,
                f"it has {entry.file_size} bytes; the largest size is {most}",
                "Write it again",
            )
        try:
            return b"".join(self._blocks(entry))
        except Exception as error:  # what zipfile and its decompressors raise on damaged files is not documented
            return Fault(
                "a damaged file", name, f"it cannot be unpacked ({error or type(error).__name__})", "Pack it again"
            )

    def _blocks(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        # A stream that goes on beyond the size that the archive states is cut there, and its checksum is wrong then.
        with self._zip.open(entry) as stream:
            while block := stream.read(_BLOCK):
                yield block


def open_archive(path: Path, progress: Callable[[int, int], None] | None = None) -> Archive:
    """A zip archive.

    Args:
        path: of the file.
        progress: called with the number of its files that were read and that of all.

    Raises:
        InputError: no such file, none of a zip archive, a damaged one, or one of more members than any server takes.
    """
    first = read_bytes(path, 512)
    try:
        return Archive(path, _Bounded(io.FileIO(path)), progress)
    except _TooLargeError:
        raise InputError(
            path, f"its list of members takes more than {_DIRECTORY >> 20} MB", "Pack only the files of the submission"
        ) from None
    except Exception as error:  # as above
        kind = _kind(first)
        if kind is None:
            fault, remedy = f"the zip archive is damaged or cut off ({error})", "Pack or copy it again"
        else:
            fault, remedy = f"it is {kind}", "Pack the files as .zip, which every server takes"
        raise InputError(path, fault, remedy) from None


class _TooLargeError(Exception):
    pass


class _Bounded(io.BufferedReader):
    """A file of which the list of members is read in one piece, so that one of any size would fill the memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _DIRECTORY:
            raise _TooLargeError
        return super().read(size)


def _kind(first: bytes) -> str | None:
    """What a file is that is not a zip archive; None for one that begins as such."""
    if first.startswith(b"PK\x03\x04"):
        return None
    if first[257:262] == b"ustar":
        return "a tar archive"
    known = next((kind for start, kind in _KINDS if first.lstrip().startswith(start)), None)
    return known or ("not a zip archive" if first else "an empty file")


def _suffix(path: Path) -> Fault | None:
    if path.suffix == ".zip":
        return None
    return Fault("the archive's name", "", f"{path.name!r} does not end with .zip", "Rename it")


def _overlap(entries: Sequence[zipfile.ZipInfo]) -> Fault | None:
    """Members that share bytes, by which a small archive unpacks to a huge one."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            what = "it shares bytes with another member, which only malicious archives do"
            return Fault("members that overlap", entry.filename, what, "Pack the files again")
        end = entry.header_offset + 30 + entry.compress_size
    return None


def _twice(name: str, count: int) -> Fault:
    return Fault(
        "a duplicate name", name, f"there are {count} members with this name", "Pack the files again, each once"
    )


def _entry_fault(entry: zipfile.ZipInfo) -> Fault | None:
    """What is wrong with a member by what the list of members says."""
    name, again = entry.orig_filename, "Pack the files again"
    parts = re.split(r"[/\\]", name)
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name):
        return Fault("a path that leads out", name, "the path leads out of the folder that it is unpacked to", again)
    if "\\" in name:
        what = "its folders are separated by backslashes, which only Windows understands as folders"
        return Fault("backslashes", name, what, "Pack the files with another program")
    if not name.isprintable() or not name:
        return Fault("an invalid name", repr(name), "the name has characters that cannot be printed", again)
    if not _LITTER.isdisjoint(PurePosixPath(name).parts) or parts[-1].startswith("._"):
        return Fault(
            "hidden files of the system",
            name,
            "it is a hidden file of the operating system",
            "Pack without hidden files",
        )
    if stat.S_ISLNK(entry.external_attr >> 16):
        return Fault("a link", name, "it is a link, not a file", "Pack the file itself")
    if entry.flag_bits & _ENCRYPTED:
        return Fault("a password", name, "it has a password", "Pack the files without one")
    if entry.compress_type not in _UNPACKED:
        method = _METHODS.get(entry.compress_type, f"method {entry.compress_type}")
        return Fault(
            "a rare compression", name, f"it is packed with {method}", "Pack it with deflate, the usual method"
        )
    return None

"""Locks of folders: one process works in a folder, who comes second is told of the first, and the dead hold nothing.

A lock is a file in the folder that says who holds it. It appears by a hard link, which is atomic over NFS too. Its
holder touches it again and again. A process of the same machine that is no more is told by its id and start time at
once, one of another machine by the age of the last touch. Ages are differences between two times of the same file
system, so clocks of machines need not agree.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from ditr.errors import InputError

__all__ = ["HEARTBEAT", "SILENCE", "FolderLock", "require_unlocked"]

HEARTBEAT = 20.0
"""Seconds between touches."""
SILENCE = 180.0
"""Seconds without a touch after which a holder that cannot be asked counts as dead; NFS shows a touch a minute late."""

_NAME = ".lock.json"
_CLAIM_SECONDS = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Holder:
    """Who holds a lock; what the file says.

    Attributes:
        host, pid: the process.
        started: its start, in a unit of the system; tells it from a later process with the same id.
        space: within which ids of processes are unique: a machine since its start, and a container.
        since: when it took the lock, for people.
        token: of this lock, other for every one.
    """

    host: str
    pid: int
    started: int | None
    space: str
    since: str
    token: str

    @property
    def name(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_near(self) -> bool:
        """Whether this process can tell if that one lives."""
        return os.name == "posix" and self.space == _space()

    @property
    def lives(self) -> bool:
        """Of a near one."""
        started = _started(self.pid)
        return started is not None and started == self.started


def _space() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip() + os.readlink(
            "/proc/self/ns/pid"
        )
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> int | None:
    """When a process began; None where there is none, or one that has ended and waits to be collected."""
    if Path("/proc/self/stat").exists():
        try:
            # The name before the last parenthesis may have any characters.
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else int(fields[19])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return 0


def _read(path: Path) -> _Holder | None:
    """What a lock says; None where there is none, or one that a crash of the machine left without its content."""
    try:
        return _Holder(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _touched(path: Path) -> float:
    """Of a file that may be gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


class FolderLock:
    """Within ``with``, the folder belongs to this process; it is made where there is none.

    Raises:
        InputError: another process works there; the text says which and since when.
        OSError: the lock cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / _NAME
        host, pid, since = socket.gethostname(), os.getpid(), time.strftime("%F %T")
        self.me = _Holder(host, pid, _started(pid), _space(), since, secrets.token_hex(8))
        self._end = threading.Event()
        self._made = False

    def __enter__(self) -> FolderLock:
        self._made = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._acquire()
        except BaseException:
            self._tidy()
            raise
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if self._is_ours():
            self.path.unlink(missing_ok=True)
        self._tidy()

    def require(self) -> None:
        """To be called before something is written that another process might write too.

        Raises:
            InputError: the lock has gone to another process, as after a long sleep of this machine.
        """
        if not self._is_ours():
            now = _read(self.path)
            whose = "is gone" if now is None else f"was taken over by {now.name}"
            raise InputError(
                self.folder,
                f"this process's lock {whose}",
                "Find out which process uses the folder, and end one of the two; nothing was written",
            )

    def _is_ours(self) -> bool:
        return _read(self.path) == self.me

    def _tidy(self) -> None:
        """A folder that nothing was written to goes again."""
        if self._made:
            try:
                self.folder.rmdir()
            except OSError:
                return

    def _beat(self) -> None:
        while not self._end.wait(HEARTBEAT):
            try:
                if self._is_ours():
                    os.utime(self.path)
            except OSError as error:
                _log.debug("%s: %s", self.path, error)

    def _acquire(self) -> None:
        for _ in range(200):
            mine = self.folder / f".lock.{self.me.token}.part.json"
            try:
                mine.write_text(json.dumps(asdict(self.me)) + "\n", encoding="utf-8")
                if _linked(mine, self.path) or self._taken_over(mine):
                    return
            except FileNotFoundError:
                pass  # the holder before tidied the folder up, or removed it
            finally:
                mine.unlink(missing_ok=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            time.sleep(0.05)
        raise InputError(
            self.folder, "several processes tried to lock it at the same time", "Try again, or choose another folder"
        )

    def _taken_over(self, mine: Path) -> bool:
        """Whether the lock was a dead process's and is ours now; False to try again.

        Raises:
            InputError: its holder lives.
        """
        found, age = _read(self.path), _touched(mine) - _touched(self.path)
        if found is None:
            if not self.path.exists():
                return False
            # It was given back, and another process has it since; one that a crash left unreadable stays so.
            found = _read(self.path)
        _refuse_living(self.folder, found, age)
        claim = self.folder / f".lock.{found.token if found else 'unreadable'}.claim.part"
        try:
            os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            if _touched(mine) - _touched(claim) > _CLAIM_SECONDS:
                claim.unlink(missing_ok=True)  # of a process that died at it
            return False
        try:
            # Who has the claim is the only one that may replace this lock, if it is still the one that was looked at.
            if _read(self.path) != found or not self.path.exists():
                return False
            os.replace(mine, self.path)
        finally:
            claim.unlink(missing_ok=True)
        whose = f"{found.name}, at work since {found.since}," if found else "an unknown process"
        _log.warning("%s: %s ended without releasing its lock; the lock is taken over", self.folder, whose)
        return True


def _linked(source: Path, target: Path) -> bool:
    """Whether ``target`` is now another name of ``source``; False where there was one already."""
    try:
        os.link(source, target)
        return True
    except FileExistsError:
        return source.stat().st_nlink == 2  # over NFS the answer may be lost, and asked for again
    except OSError:  # a file system without links
        try:
            handle = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "wb") as file:
            file.write(source.read_bytes())
        return True


def require_unlocked(folder: Path) -> None:
    """Ask before long preparations whether a folder's lock could be had, as far as that is known without writing.

    Raises:
        InputError: another process of this machine works there.
    """
    if (found := _read(folder / _NAME)) is not None and found.is_near:
        _refuse_living(folder, found, age=0.0)


def _refuse_living(folder: Path, holder: _Holder | None, age: float) -> None:
    """``age`` are the seconds since the lock was touched."""
    if holder is not None and holder.is_near:
        if holder.lives:
            remedy = f"Wait for it, end it with kill {holder.pid}, or choose another folder"
            raise InputError(folder, f"{holder.name} has been working in this folder since {holder.since}", remedy)
    elif age < SILENCE:
        who = (
            f"{holder.name} has been working in this folder since {holder.since}"
            if holder
            else "a process is working in it"
        )
        remedy = f"Wait for it, end it, or choose another folder; if it has ended, try again in {SILENCE - age:.0f} s"
        raise InputError(folder, f"{who} and was last active {max(0.0, age):.0f} s ago", remedy)

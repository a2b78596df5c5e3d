"""Files and folders that lie elsewhere, at any URL that fsspec knows (s3://, gs://, https://, sftp://, zip://, ...):
brought here before the work, and put there after it.

Credentials are those that fsspec's library for the protocol finds, in the environment say; none are asked for or kept.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from ditr.errors import InputError
from ditr.io.files import require_room

__all__ = ["Listing", "Target", "listing", "matches", "name_of", "place_of", "shown"]

_SCHEME = r"[a-z][a-z0-9+.-]+"
_URL = re.compile(rf"(?:{_SCHEME}://?[^:]*::|{_SCHEME}::)*{_SCHEME}:/")
_LOCAL = re.compile(r"(?:file|local):/+")
_MOST = 200_000
"""Files in a folder at most."""
_AT_ONCE = 8
_CONNECT, _SILENT = 20, 60
"""Seconds that a web server may take to answer, and until its next bytes come; a whole file may take any time."""
_BY_HAND = "Correct the address, its credentials or the network, or download it by hand"
_FULL = "Free some space, or set TMPDIR to a folder on a larger disk"


class Report(Protocol):
    """Told what is done of how much, and in which unit."""

    def __call__(self, done: float, total: float, note: str = "") -> object: ...


def place_of(path: str | os.PathLike[str]) -> Path | str:
    """What a text or a path means: a path on this machine, also written as ``file://``, or a URL of a place elsewhere.

    A :class:`~pathlib.Path` has lost one of the two slashes of a URL, which is put back.
    """
    text = os.fspath(path)
    if _LOCAL.match(text):
        return Path("/" + _LOCAL.sub("", text, count=1))
    if _URL.match(text) is None or Path(text).exists():
        return Path(text)
    return text if "://" in text else re.sub(rf"({_SCHEME}):/+", r"\1://", text)


def name_of(url: str) -> str:
    """What a copy is called: the last part of the path, without what follows a question mark."""
    for split in (urlsplit(part) for part in url.split("::") if "://" in part):
        if name := PurePosixPath(unquote(split.netloc + split.path)).name:
            return re.sub(r"[^\w.+-]", "_", name)
    return "source"


def shown(url: str) -> str:
    """The URL without what nobody else may see: passwords and signatures."""
    parts = [urlsplit(part) for part in url.split("::")]
    plain = (split._replace(netloc=split.netloc.rpartition("@")[2], query="", fragment="") for split in parts)
    return "::".join(urlunsplit(split) if split.netloc or split.path else f"{split.scheme}://" for split in plain)


@dataclass(frozen=True, eq=False)
class Listing:
    """What lies at a URL.

    Attributes:
        url: of a file or folder.
        is_folder: which of them.
        files: the places of files by their names relative to the folder, with "/" between; of a file itself by "".
        sizes: their bytes, where they are known.
    """

    url: str
    is_folder: bool
    files: dict[str, str]
    sizes: dict[str, int]
    _system: Any

    @property
    def total(self) -> int:
        """Bytes of all files whose size is known."""
        return sum(self.sizes.values())

    def fetch(self, folder: Path, report: Report) -> Path:
        """Copy all into a folder of this machine.

        Args:
            folder: which exists.
            report: told what came.

        Returns:
            The copy, a file or folder in it.

        Raises:
            InputError: a disk that has not the room, or a network, server or address that fails.
        """
        try:
            require_room(folder, self.total)
        except InputError as error:
            raise InputError(shown(self.url), error.fault.replace("there", "for a copy of it"), _FULL) from None
        target = folder / name_of(self.url)
        callback = _counting(report, len(self.files), self.total if len(self.sizes) == len(self.files) else None)

        def get(name: str) -> None:
            path = target / name if self.is_folder else target
            path.parent.mkdir(parents=True, exist_ok=True)
            with callback() as counting:
                self._system.get_file(self.files[name], str(path), callback=counting)

        if self.is_folder:
            target.mkdir()
        with _told(self.url, "fetched"):
            _side_by_side(get, list(self.files), _AT_ONCE if self._system.async_impl else 1)
        return target


def listing(url: str) -> Listing:
    """Look at what lies at a URL.

    Over http(s) a folder is what the server lists on a page of HTML.

    Raises:
        InputError: nothing there, a library that is not installed, names that lead out of the folder, too many files,
            or a network, server or address that fails.
    """
    with _told(url, "fetched"):
        system, root = _opened(url)
        about = system.info(root)
        if about["type"] != "directory" and about.get("mimetype") != "text/html":
            sizes = {} if about.get("size") is None else {"": int(about["size"])}
            return Listing(url, False, {"": root}, sizes, system)
        web = url.startswith(("http://", "https://"))
        top = system._strip_protocol(root).rstrip("/")
        found = system.find(top + "/" if web else top, detail=True)
    files, sizes = {}, {}
    for place, entry in found.items():
        name = place[len(top) :].lstrip("/")
        name = unquote(name) if web else name
        if not name or name.startswith("?"):  # the page itself, in another order
            continue
        if PurePosixPath(name).is_absolute() or ".." in re.split(r"[/\\]", name) or "\0" in name:
            raise InputError(
                shown(url),
                f"its file {name!r} would be unpacked outside the archive's folder",
                "If you trust it, download it by hand",
            )
        files[name] = place
        if entry.get("size") is not None:
            sizes[name] = int(entry["size"])
    if not files:
        raise InputError(shown(url), "the server lists no files there", "Name a file, or a folder that can be listed")
    if len(files) > _MOST:
        raise InputError(shown(url), f"there are {len(files)} files", "Name a smaller part of it")
    return Listing(url, True, files, sizes, system)


def matches(url: str) -> list[str]:
    """The URLs that one with ``*`` or ``?`` in its path stands for, sorted.

    Raises:
        InputError: there is none, or a library, network, server or address that fails.
    """
    with _told(url, "fetched"):
        system, root = _opened(url)
        found = sorted(system.unstrip_protocol(path) for path in system.glob(root))
    if not found:
        raise InputError(shown(url), "nothing matches this pattern", "Correct the pattern")
    return found


class Target:
    """A place elsewhere for results.

    Files appear one by one, each whole where the storage is one of objects. The one that was written last, which says
    that the others are there, comes last; one of its name that was there before goes first. So where it is, all is.

    Raises:
        InputError: a library that is not installed, or an address that fails.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        with _told(url, "written"):
            self._system, root = _opened(url)
            self._root = self._system._strip_protocol(root).rstrip("/")

    def is_there(self) -> bool:
        """Whether there is such a file, or a folder with something in it.

        Raises:
            InputError: a network, server or address that fails.
        """
        with _told(self.url, "written"):
            try:
                return self._system.isfile(self._root) or bool(self._system.ls(self._root, detail=False))
            except FileNotFoundError:
                return False

    def require_writable(self) -> None:
        """Ask before the work, by a file that is taken away again.

        Raises:
            InputError: nothing can be written there.
        """
        probe = f"{self._root}/.ditr-{os.getpid()}"
        with _told(self.url, "written"):
            self._made(probe)
            self._system.pipe_file(probe, b"ditr")
        with suppress(Exception):  # who may write and not delete
            self._system.rm_file(probe)

    def put(self, path: Path, report: Report) -> None:
        """Copy a file or folder of this machine there.

        Where that fails, new files of it are taken away again; those that replaced others stay.

        Args:
            path: what becomes the target.
            report: told what went.

        Raises:
            InputError: a network, server or address that fails.
        """
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        files.sort(key=lambda file: (file.stat().st_mtime_ns, str(file)))
        places = [self._root if file == path else f"{self._root}/{file.relative_to(path).as_posix()}" for file in files]
        callback, new = _counting(report, len(files), sum(file.stat().st_size for file in files)), []
        try:
            with _told(self.url, "written"):
                there = {place for place in places if self._system.exists(place)}
                if places and places[-1] in there:
                    self._system.rm_file(places[-1])
                for file, place in zip(files, places, strict=True):
                    if place not in there:
                        new.append(place)
                    self._made(place)
                    with callback() as counting:
                        self._system.put_file(str(file), place, callback=counting)
        except BaseException:
            for place in new:
                with suppress(Exception):
                    self._system.rm_file(place)
            raise

    def _made(self, place: str) -> None:
        """Make the folder of a file, where the storage has such; those of objects would make a bucket."""
        if not self._system.async_impl:
            self._system.makedirs(place.rpartition("/")[0], exist_ok=True)


def _opened(url: str) -> tuple[Any, str]:
    """The file system, and the path in it."""
    from fsspec.core import url_to_fs

    options: dict[str, Any] = {}
    if "http://" in url or "https://" in url:
        from aiohttp import ClientTimeout

        wait = ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_SILENT)
        options = {name: {"client_kwargs": {"timeout": wait}} for name in ("http", "https") if f"{name}://" in url}
    system, path = url_to_fs(url, **options)
    return system, path


def _side_by_side(work: Callable[[str], None], names: Sequence[str], at_once: int) -> None:
    """Call ``work`` with each name, in threads that nobody waits for when one fails or the process is asked to end: a
    server may be silent for long.

    Raises:
        BaseException: what ``work`` raises first.
    """
    done: SimpleQueue[BaseException | None] = SimpleQueue()
    rest, over = SimpleQueue[str](), Event()
    for name in names:
        rest.put(name)

    def go_on() -> None:
        with suppress(Empty):
            while not over.is_set():
                name = rest.get_nowait()
                try:
                    work(name)
                except BaseException as error:
                    done.put(error)
                else:
                    done.put(None)

    for _ in range(min(at_once, len(names))):
        Thread(target=go_on, daemon=True).start()
    try:
        for _ in names:
            if (error := done.get()) is not None:
                raise error
    finally:
        over.set()


def _counting(report: Report, files: int, size: int | None) -> Any:
    """A class of fsspec's, of which there is an object for each file: all of them together count bytes, or files where
    ``size``, the bytes of all, is not known."""
    from fsspec.callbacks import Callback

    lock, done = Lock(), 0
    unit, name = (1, "files") if size is None else (10**6, "MB") if size >= 10**7 else (1000, "kB")
    total = files if size is None else size

    def count(more: int) -> None:
        nonlocal done
        with lock:
            done += more
            report(min(done, total) / unit, total / unit, name)

    class Counting(Callback):  # type: ignore[misc]
        def relative_update(self, inc: int = 1) -> None:
            if size is not None:
                count(inc)

        def close(self) -> None:
            if size is None:
                count(1)

    return Counting


@contextmanager
def _told(url: str, what: str) -> Iterator[None]:
    """Whatever libraries of fsspec raise becomes an error that names the place; it can be of any kind."""
    where, fault = shown(url), f"it cannot be {what}"
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        package, install = _missing(url, error)
        remedy = f"Install it with `pip install {install}`"
        raise InputError(where, f"{package}, which is needed for such addresses, is not installed", remedy) from None
    except NotImplementedError:
        raise InputError(where, f"{fault}: such addresses are read only", "Name another place") from None
    except Exception as error:
        # A web server that does not answer is also a FileNotFoundError, with the reason behind it.
        cause = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ is not None else error
        if isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) in (404, 410):
            raise InputError(where, "there is no such file or folder", "Correct the address") from None
        text = " ".join(str(cause).split())[:200] or type(cause).__name__
        if text.startswith("Protocol not known"):
            remedy = "Use a path of this machine, s3://, gs://, az://, https://, sftp:// or another that fsspec knows"
            raise InputError(where, "such addresses are not supported", remedy) from None
        full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        raise InputError(where, f"{fault} ({text})", _FULL if full else _BY_HAND) from error


def _missing(url: str, error: ImportError) -> tuple[str, str]:
    """The library that a URL needs and this machine lacks, and what installs it."""
    if find_spec("fsspec") is None:
        return "fsspec", "'ditr[remote]'"
    from fsspec.registry import known_implementations

    for part in url.split("::"):
        package = known_implementations.get(part.partition(":")[0], {}).get("class", "fsspec").partition(".")[0]
        if package != "fsspec" and find_spec(package) is None:
            return package, package
    name = getattr(error.__cause__, "name", None) or error.name or "aiohttp"
    return name, "'ditr[remote]'" if name == "aiohttp" else name

"""Files: read within limits, and written whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from ditr.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

__all__ = ["atomic_folder", "atomic_path", "defined", "faults_of", "file_sha256", "read_bytes", "remove_rests"]
__all__ += [
    "nearest_folder",
    "require_room",
    "results_folder",
    "scratch_folder",
    "write_array",
    "write_image",
    "write_json",
    "write_tensors",
]


_HOST = re.sub(r"[^\w-]", "_", socket.gethostname())
_REST = re.compile(rf"\..+\.{re.escape(_HOST)}-(\d+)-[0-9a-f]{{8}}\.part(?:\..+)?")
_PROBE = bytes(4096)


def _temporary(folder: Path, path: Path) -> Path:
    """A new name in ``folder`` for what becomes ``path``; it says who writes."""
    # The suffix stays, since writers choose their format by it.
    return folder / f".{path.stem}.{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}"


def remove_rests(folder: Path) -> None:
    """Remove what processes of this machine that no longer run left half-written in ``folder``."""
    with suppress(OSError):  # no such folder, or one that cannot be listed
        for entry in folder.iterdir():
            match = _REST.fullmatch(entry.name)
            if match and not _is_running(int(match[1])):
                shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name == "nt":
        return True  # there os.kill ends the process instead of asking
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A killed worker whose parent is gone stays a zombie where, as in many containers, nobody collects it.
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True  # no /proc on this system
    return state not in "ZX"


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Yield a new folder among the temporary files (``TMPDIR``) that nobody else may read; it goes at the end.

    What killed processes left there is removed.

    Raises:
        OSError: it cannot be made.
    """
    place = Path(tempfile.gettempdir())
    remove_rests(place)
    folder = _temporary(place, place / name)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def faults_of(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Faults of the disk name ``path``, in place of ``temporary`` or of nothing, also those that safetensors has.

    Raises:
        OSError: with the number, the text and the file's name.
    """
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
    except OSError as error:
        name = None if error.filename is None else str(error.filename)
        inside = name is not None and temporary is not None and name.startswith(str(temporary))
        if error.errno is None or isinstance(error, ConnectionError) or (name is not None and not inside):
            raise
        named = str(path) if name is None else str(path) + name.removeprefix(str(temporary))
        raise OSError(error.errno, error.strerror, named) from None


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it takes ``path``'s name, on any error it is removed.

    Raises:
        OSError: it cannot be written; the error names ``path``.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(target.parent, target)
    with faults_of(target, temporary):
        try:
            yield temporary
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new temporary folder beside ``path``; on success it becomes ``path`` (which is replaced if it exists).

    A link is followed: what it points to is replaced, and it stays. What killed processes left beside it is removed.

    Raises:
        OSError: it cannot be written; the error names ``path`` or what is in it.
    """
    target = Path(path).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_rests(target.parent)
    temporary = _temporary(target.parent, target)
    with faults_of(Path(path), temporary):
        temporary.mkdir()
        try:
            yield temporary
            if target.exists():
                old = _temporary(target.parent, target)
                os.replace(target, old)
                os.replace(temporary, target)
                shutil.rmtree(old)
            else:
                os.replace(temporary, target)
        finally:
            if temporary.exists():
                shutil.rmtree(temporary)


@contextmanager
def results_folder(path: str | os.PathLike[str], names: Collection[str]) -> Iterator[Path]:
    """Yield a temporary folder for results; once all of them are written there, they take their places in ``path``.

    A ``path`` that is not there appears whole. One that exists keeps its other files: the new ones replace those of
    their names, and earlier results that the new ones lack go.

    Args:
        path: of the results.
        names: that results may have, in ``path`` and in its folders. A name that ends with a slash is that of a folder
            in ``path`` that holds nothing but results, and is replaced as a whole.

    Raises:
        OSError: they cannot be written; ``path`` is as it was then, and the error names it or what is in it.
    """
    target = Path(path).resolve()
    if not target.exists():
        with atomic_folder(path) as temporary:
            yield temporary
        return
    remove_rests(target)
    temporary = _temporary(target, target)
    with faults_of(Path(path), temporary):
        temporary.mkdir()
        try:
            yield temporary
            _take_places(temporary, target, names)
        finally:
            shutil.rmtree(temporary)


def _take_places(new: Path, target: Path, names: Collection[str]) -> None:
    """Move the files of ``new`` into ``target`` and its folders; of ``names``, what ``new`` lacks goes.

    What was written last, which may say that the others are there, comes last.
    """
    entries = sorted(new.iterdir(), key=lambda entry: (entry.stat().st_mtime_ns, entry.name))
    lacking = set(names) - {f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries}
    gone = new / f".gone-{secrets.token_hex(4)}"
    for entry in entries:
        if entry.is_dir() and (target / entry.name).is_dir():
            if f"{entry.name}/" not in names:
                _take_places(entry, target / entry.name, [name for name in names if not name.endswith("/")])
                continue
            os.replace(target / entry.name, gone)
            os.replace(entry, target / entry.name)
            shutil.rmtree(gone)
        else:
            os.replace(entry, target / entry.name)
    for name in lacking:
        if not name.endswith("/"):
            (target / name).unlink(missing_ok=True)
        elif (target / name).is_dir():
            os.replace(target / name, gone)
            shutil.rmtree(gone)


def nearest_folder(path: Path) -> Path:
    """The folder ``path`` itself, or the nearest one above it that is there."""
    place = path if path.is_dir() else path.parent
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def require_room(path: Path, needed: int = 0) -> None:
    """Ask before the work whether ``path``, a file or folder that may not be there yet, can be written.

    Args:
        path: where results will be.
        needed: bytes that they take at least.

    Raises:
        InputError: there is less room.
        OSError: something cannot be written there; the error names it.
    """
    place = nearest_folder(path)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(_PROBE)
            file.flush()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    free = shutil.disk_usage(place).free
    if free < needed:
        raise InputError(
            path,
            f"it needs at least {_size(needed)}, but {_size(free)} are free there",
            "Free some space, or name another folder",
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def write_array(path: str | os.PathLike[str], array: NDArray[Any]) -> None:
    """Write a file of NumPy's, whole or not at all.

    Raises:
        OSError: it cannot be written; the error names it.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(_Stream(file.write), array, allow_pickle=False)


class _Stream:
    """A file of which NumPy does not know that it is one: into such it writes by itself, and hides why it could not."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write


def write_tensors(
    path: str | os.PathLike[str], tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file, whole or not at all.

    Raises:
        OSError: it cannot be written; the error names it.
    """
    from safetensors.torch import save_file

    with atomic_path(path) as temporary:
        temporary.touch()
        mode = stat.S_IMODE(temporary.stat().st_mode)
        save_file(tensors, temporary, metadata=metadata)
        if stat.S_IMODE(temporary.stat().st_mode) != mode:
            temporary.chmod(mode)  # safetensors made a file of its own, which only its owner could read


def write_image(path: Path, image: Image, **options: Any) -> None:
    """Write an image of PIL's as the format that the suffix names.

    PIL by itself takes no notice when a disk takes a part of a file only: its JPEGs end somewhere then.
    """
    content = io.BytesIO()
    content.name = path.name
    image.save(content, **options)
    path.write_bytes(content.getbuffer())


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write plain values for people and programs to read; the file appears whole or not at all.

    Numbers that are not finite, for which JSON has no word, become null.

    Raises:
        OSError: it cannot be written; the error names it.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(defined(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def defined(content: Any) -> Any:
    """Plain values with None for numbers that are not finite."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: defined(value) for key, value in content.items()}
    return [defined(value) for value in content] if isinstance(content, list | tuple) else content


def file_sha256(path: Path) -> str:
    """Of a file's content, which is read piece by piece.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """A file's first ``most`` bytes, or all.

    Raises:
        InputError: no such file, a folder, a device, or no permission.
    """
    try:
        if not path.is_file():
            fault = "this is not a file" if path.exists() else "there is no such file"
            raise InputError(path, fault, "Give the path of a file")
        with path.open("rb") as file:
            return file.read() if most is None else file.read(most)
    except OSError as error:
        raise InputError(
            path, f"the file cannot be read ({error.strerror})", "Correct its path or permissions"
        ) from None

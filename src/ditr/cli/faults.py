"""Whatever ends a command becomes one line and an exit status."""

from __future__ import annotations

import errno
import io
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TextIO

from ditr.errors import InputError, causes
from ditr.stopping import STATUS, Stopped

__all__ = ["is_first_process", "reported"]

_WAY_ON = "continue with: "
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def reported(arguments: Sequence[str] = (), *, verbose: bool = False) -> Iterator[None]:
    """Faults that a user can correct become one line on the error output and an exit status; texts fit any code page.

    Work that was stopped says with which command, of these ``arguments``, it goes on. ``verbose`` shows where faults of
    the input were found, too.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except InputError as error:
        if verbose:
            _show_causes(error)
        _leave(2, error.told())
    except Stopped as stopped:
        _leave(STATUS[stopped.name], _way_on(arguments) if is_first_process() else None)
    except BrokenPipeError:
        # Whoever read the output has closed it (`ditr weights | head`).
        _leave(141)
    except OSError as error:
        told = _told(error)
        if told is None:
            raise
        _leave(2, " ".join(told.split()))
    except MemoryError as error:
        _leave(2, _short_of_memory(error))
    except ImportError as error:
        told = _not_installed(error)
        if told is None:
            raise
        _leave(2, told)
    except BrokenExecutor:
        _leave(2, "workers: a process ended before its work, probably because memory ran out. Use fewer --workers.")
    except RuntimeError as error:
        # torch has no class for what happens on a CPU.
        if type(error).__name__ != "OutOfMemoryError" and "can't allocate memory" not in str(error):
            raise
        _leave(2, _short_of_memory(error))
    except KeyboardInterrupt:
        _leave(130, "interrupted")


def is_first_process() -> bool:
    """Of those that torchrun or srun started."""
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def _way_on(arguments: Sequence[str]) -> str:
    program = ("python", "-m", "ditr") if Path(sys.argv[0]).name == "__main__.py" else ("ditr",)
    return f"{_WAY_ON}{shlex.join([*program, *arguments])}"


def _leave(status: int, line: str | None = None) -> NoReturn:
    """Exit; an output that cannot be written, as on a full disk, must not turn this into a traceback."""
    _empty(sys.stdout)
    if line is not None:
        with suppress(OSError):
            print("ditr:", line, file=sys.stderr)
    _empty(sys.stderr)
    sys.exit(status)


def _empty(stream: TextIO) -> None:
    """Flush; what cannot be written is dropped, so that the interpreter does not try again at its end."""
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _told(error: OSError) -> str | None:
    """The place, the fault and the remedy; None for what is no matter of files."""
    where = error.filename
    if where is None and error.errno in (*_NO_ROOM, errno.EFBIG, errno.EIO):
        where = "standard output"  # whatever writes files names them
    if where is None or error.strerror is None:
        return None
    if error.errno in _NO_ROOM:
        return f"{where}: the disk is full ({error.strerror}). Free some space, or name a folder on another disk."
    if error.errno in _FORBIDDEN:
        return (
            f"{where}: it cannot be written or read ({error.strerror}). Change its permissions, or name another place."
        )
    if error.errno == errno.EFBIG:
        return f"{where}: the file would be larger than is allowed ({error.strerror}). Raise the limit (ulimit -f)."
    return f"{where}: {error.strerror}. Name another place."


def _not_installed(error: ImportError) -> str | None:
    """Which package is missing and what brings it; None for a module of no package that ditr knows."""
    from ditr.doctor.packages import ESSENTIAL, PARTS

    package = (error.name or "").partition(".")[0]
    commands = {module: f"pip install {name}" for name, module in ESSENTIAL.items()}
    commands |= {part.module: part.install for part in PARTS}
    if package not in commands:
        return None
    return f"{package}: it is not installed, and this needs it. Install it: {commands[package]}."


def _short_of_memory(error: BaseException) -> str:
    told = str(error).partition("\n")[0][:200]
    cause = f" ({told})" if told else ""
    return f"memory: there is too little{cause}. Use fewer views or points, or a machine with more memory."


def _show_causes(error: BaseException) -> None:
    """The traceback of an error and of all that led to it, hidden ones (``from None``) too."""
    import traceback

    for each in reversed(causes(error)):
        print("".join(traceback.format_exception(each, chain=False)), end="", file=sys.stderr)

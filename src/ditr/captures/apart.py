"""Readers of compiled libraries run in a process of their own, with limits of memory and time: where a damaged file
crashes one, that is an error which names the file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ditr.captures.clouds import Cloud
from ditr.captures.read_options import options_as_json, options_from_json
from ditr.errors import Grade, InputError

__all__ = ["command_of", "environment", "guarded", "how_it_ended", "limit_files", "limit_memory"]
__all__ += ["read_apart"]

T = TypeVar("T")

_READERS = {
    "laz": "ditr.captures.las",
    "e57": "ditr.captures.e57",
    "mesh": "ditr.captures.mesh",
}
"""Modules by name; each has ``cloud_of``, which reads a file where it is called, ``memory_of``, the bytes that a sound
file may take by what its header says and its size allows, and the ``LIBRARIES`` that both need."""
_MEMORY, _TIMES = 64 << 20, 4
"""Bytes that a reader may take, and how many more for each byte of its file; or what ``memory_of`` says, if that is
more."""
_SECONDS, _PER_MEGABYTE = 60, 2
"""Of processor time, and how many more for each megabyte of the file."""
_COMMAND = ("-m", "ditr.captures.apart")
_RESULT = "cloud.json"
_REMEDY = "The file is damaged, or does not follow its format; write it again"


def read_apart(path: Path, reader: str) -> Cloud:
    """What one of the readers finds in a file.

    Raises:
        InputError: what the reader raises, or that it crashed, or took more memory or time than any sound file of this
            size needs.
    """
    with tempfile.TemporaryDirectory(prefix="ditr-") as folder:
        command = command_of(*_COMMAND, reader, str(path.resolve()), folder)
        done = subprocess.run(command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, check=False)
        result = Path(folder) / _RESULT
        if done.returncode == 0 and result.exists():
            return _loaded(path, Path(folder), json.loads(result.read_bytes()))
        raise InputError(path, f"its reader stopped ({how_it_ended(done.returncode, done.stderr)})", _REMEDY)


def command_of(*arguments: str) -> list[str]:
    """The command that starts a process with this package."""
    return [sys.executable, "-P", *arguments]


def environment() -> dict[str, str]:
    """Of such a process: the package is found, and nothing counts as memory that is none: threads of linear algebra,
    and what the C library keeps for threads."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    return {**os.environ, **alone, "PYTHONPATH": paths}


def how_it_ended(status: int, said: bytes) -> str:
    """What a process' exit status and last words say."""
    if status < 0:
        known = -status in set(signal.Signals)
        return f"signal {signal.Signals(-status).name}" if known else f"signal {-status}"
    last = said.decode(errors="replace").strip().splitlines()[-1:] or ["without a message"]
    return f"exit status {status}: {last[0][:200]}"


def _loaded(path: Path, folder: Path, told: dict[str, Any]) -> Cloud:
    if "fault" in told:
        raise InputError(path, told["fault"], told["remedy"])
    columns: dict[str, NDArray[Any]] = {
        name: np.load(folder / f"{index}.npy", allow_pickle=False) for index, name in enumerate(told["columns"])
    }
    return Cloud(
        columns,
        told["class_column"],
        {int(number): name for number, name in told["class_names"]},
        told["properties"],
        options_from_json(told["reading"], str(path)),
        [(Grade(grade), about, text) for grade, about, text in told["said"]],
    )


def _save(cloud: Cloud, folder: Path) -> None:
    for index, values in enumerate(cloud.columns.values()):
        np.save(folder / f"{index}.npy", values, allow_pickle=False)
    told = {
        "columns": list(cloud.columns),
        "class_column": cloud.class_column,
        "class_names": list(cloud.class_names.items()),
        "properties": cloud.properties,
        "reading": options_as_json(cloud.reading),
        "said": [(grade.value, about, text) for grade, about, text in cloud.said],
    }
    (folder / _RESULT).write_text(json.dumps(told), encoding="utf-8")


def guarded(path: Path, read: Callable[[Path], T]) -> T:
    """What a reader of another library gives, whose errors can be of any kind.

    Raises:
        InputError: its errors.
        OSError: those of the machine.
    """
    try:
        return read(path)
    except InputError:
        raise
    except MemoryError:
        raise InputError(path, "reading it needs more memory than any intact file of its size would", _REMEDY) from None
    except BaseException as error:  # a panic of Rust is not a Exception
        if isinstance(error, KeyboardInterrupt | SystemExit) or getattr(error, "errno", None) is not None:
            raise
        text = " ".join(str(error).split())[:200]
        raise InputError(path, f"its reader refuses it ({type(error).__name__}: {text})", _REMEDY) from None


def limit_memory(most: int) -> None:
    """Let this process, which has imported what it needs, take so many bytes more."""
    if sys.platform == "win32":
        return
    import resource

    statm = Path("/proc/self/statm")
    if statm.exists():
        used = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + most, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_files(most: int) -> None:
    """Let files that this process writes have so many bytes at most."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (most,) * 2)


def _limit_time(most: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (most,) * 2)


def main(reader: str, file: str, folder: str) -> None:
    """What the process does: read, and leave the columns, or the fault, in a folder."""
    module = import_module(_READERS[reader])
    path = Path(file)
    try:
        for library in module.LIBRARIES:
            import_module(library)
        size = path.stat().st_size
        limit_memory(_MEMORY + _TIMES * size)
        _limit_time(_SECONDS + _PER_MEGABYTE * (size >> 20))
        needed: int = guarded(path, module.memory_of)
        limit_memory(_MEMORY + max(_TIMES * size, needed))
        _save(guarded(path, module.cloud_of), Path(folder))
    except InputError as error:
        told = {"fault": error.fault, "remedy": error.remedy}
        (Path(folder) / _RESULT).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

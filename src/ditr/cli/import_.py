"""``ditr import``: anything that can be read, as a capture in our own format."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ditr.cli.options import UNSET, Reading

if TYPE_CHECKING:
    from ditr.scene import ReadOptions

__all__ = ["Import", "run"]


@dataclass(frozen=True)
class Import:
    """Convert one capture or many, from any supported format, to ditr's own format.

    $ ditr import scan.zip MINE     a phone scan as a capture
    $ ditr import drive.bag DRIVE --every 10

    Other commands read these formats directly too. Import a source to share it, to correct it by hand, or because you
    read it often.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """File or folder to import, or a folder of many; may be a URL. Each sweep of a drive (a KITTI sequence, a ROS bag)
    becomes a capture; --every and --first choose among them."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder to write, with transforms.json, points.ply and images. With many sources, each gets its own folder inside
    it."""
    overwrite: Annotated[bool, UNSET] = False
    """Replace existing captures, as whole folders. A folder that is not a capture is never replaced."""
    reading: Reading = field(default_factory=Reading)


def run(args: Import) -> None:
    """Read, judge, write, and say what it is."""
    from ditr.captures.folders import find_captures

    options = args.reading.options()
    found = find_captures(args.source, options)
    if found == [args.source]:
        _import(args, args.source, args.out, options)
        return
    said: set[str] = set()
    for source in found:
        inner = source.relative_to(args.source)
        _import(args, source, args.out / inner.with_name(inner.name.partition(".")[0]), options, said)


def _import(args: Import, source: Path, out: Path, options: ReadOptions, said: set[str] | None = None) -> None:
    from ditr.captures.capture import read_capture, write_capture
    from ditr.captures.formats import is_capture
    from ditr.cli.common import judged, require_new
    from ditr.errors import InputError
    from ditr.runtime import phase

    require_new([out], overwrite=args.overwrite)
    if out.exists() and not is_capture(out):
        raise InputError(out, "it already exists and is not a capture", "Name another place")
    with phase(f"read {source}"):
        scene = read_capture(source, options)
    with phase("check the capture"):
        scene = judged(scene, force=args.reading.force, needs_unit=False, said=said)
    with phase(f"write to {out}"):
        write_capture(scene, out)
    has = [name for name in ("color", "normal", "strength", "label") if getattr(scene, name) is not None]
    attributes = f" with {', '.join(has)}" if has else ""
    print(f"{scene.name}: {len(scene)} points{attributes}, {len(scene.views)} views")
    print(f"written to {out}")

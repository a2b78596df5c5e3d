"""``ditr check``: is this capture what it claims to be?"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from ditr.cli.options import UNSET, Reading

__all__ = ["Check", "run"]


@dataclass(frozen=True)
class Check:
    """Check a capture before computing anything with it, and print all that is known about it.

    $ ditr check CAPTURE
    $ ditr check CAPTURES     each capture in a folder

    Prints the points, views, scale, up direction, and how well cameras and points fit together, followed by the
    findings: refused, warned or noted. Writes check.json, and check.png with the points drawn into the images, coloured
    by whether the two agree. Exits with 1 if anything is refused or warned about.
    """

    capture: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CAPTURE")]
    """Folder with transforms.json, the photographs and a PLY file; a file or folder in another supported format; or a
    folder of captures. It may be a URL. A drive is processed sweep by sweep: all of them, those chosen with --every and
    --first, or one by its address, such as drive.bag/000012."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder for check.png and check.json; the default is the capture's name with -check, in the current folder."""
    overwrite: Annotated[bool, UNSET] = False
    """Replace earlier results in the folder; its other files are kept."""
    no_pictures: Annotated[bool, UNSET] = False
    """Do not write pictures."""
    reading: Reading = field(default_factory=Reading)


def run(args: Check) -> None:
    """Look, write, and print; of a drive at each sweep, of a folder of captures at each of them."""
    from ditr.cli.common import each_sweep

    places = each_sweep(args.capture, args.out, "check", args.reading.options())
    said: set[str] = set()
    sound = [_is_sound(replace(args, capture=capture, out=out), said) for capture, out in places]
    if len(sound) > 1:
        print(f"{len(sound)} scenes: {sum(sound)} without problems, {len(sound) - sum(sound)} with problems")
    if not all(sound):
        sys.exit(1)


def _is_sound(args: Check, said: set[str]) -> bool:
    """Look at one scene; notes in ``said`` are not said again."""
    from ditr.captures.capture import read_capture
    from ditr.captures.read_options import stated_options
    from ditr.cli.common import folder_for
    from ditr.cli.output import remark
    from ditr.errors import Grade
    from ditr.inference.check import check_capture
    from ditr.io.files import results_folder, write_json
    from ditr.runtime import phase

    with phase(f"read {args.capture}"):
        scene = read_capture(args.capture, args.reading.options())
    names = ("check.json", "check.png")
    out = folder_for(args.out or Path(f"{scene.name}-check"), names, overwrite=args.overwrite)
    if (stated := stated_options([args.capture])) is not None:
        remark(stated)
    with phase("check the capture"):
        found = check_capture(scene)
    print(scene.name)
    for name, text in found.facts().items():
        print(f"  {name + ':':22}{text}")
    for grade in (Grade.REFUSED, Grade.WARNED, Grade.NOTED):
        for finding in found.judgement.of(grade):
            if grade is not Grade.NOTED or str(finding) not in said:
                print(f"{grade.value}: {finding}")
            said.add(str(finding))
    with results_folder(out, names) as new:
        write_json(new / "check.json", found.to_json())
        if scene.posed_views and not args.no_pictures:
            with phase("draw pictures"):
                found.draw(new / "check.png")
    print("no problems found" if found.is_sound else "problems found: see what is refused or warned about above")
    print(f"written to {out}")
    return found.is_sound

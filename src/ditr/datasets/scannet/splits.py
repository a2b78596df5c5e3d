"""Which scene of ScanNet belongs to which split, where the download has no lists of them.

A scene is ``sceneSSSS_RR``: scan RR of space SSSS. All scans of a space are in one split.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ditr.errors import InputError
from ditr.io.files import read_bytes

__all__ = ["COUNTS", "SPLITS", "is_scene", "listed", "scenes_of", "split_of"]

SPLITS = ("train", "val", "test")
COUNTS = {"train": 1201, "val": 312, "test": 100}
_FIRST_TEST = 707
_VAL = """
11 15 19 25 30 46 50 63 64 77 81 84 86 88 95 100 131 139 144 146 149 153 164 169 187 193 196 203 207 208 217 221 222
231 246 249 251 256 257 277 278 300 304 307 314 316 328 329 334 338 342 343 351 353 354 355 356 357 377 378 382 389
406 412 414 423 426 427 430 432 435 441 458 461 462 474 488 490 494 496 500 518 527 535 549 550 552 553 558 559 565
568 574 575 578 580 583 591 593 595 598 599 606 607 608 609 616 618 621 629 633 643 644 645 647 648 651 652 653 655
658 660 663 664 665 670 671 678 684 685 686 689 690 693 695 696 697 699 700 701 702 704
"""
_VAL_SPACES = frozenset(map(int, _VAL.split()))
_SCANS = """
32231231132233113312212133131333213221322232323121343113222322312313211134311232331232334311531231223622133112333233
31312323213211133131331123232132113232131231531243313232232113111431112211133213131133133333132431321121322311211313
32112223133121123131112331123422332133322231232331311141321322322312232312231231331112114112221113123133233132112223
32323312323213412312233212133331332313132111332332222112313222232113513333133241212121341212311122233316321123221112
12213323326332232221211223112211113123311511333211232311211323212311222131133313131332112321233312111112323232333133
23333234432322113333321232323432233221112122123233731212111131411332221312234112113332331222262223322111233111225324
34213332231
"""
"""How many scans each space has, from space 0 on, a digit each."""
_NAME = re.compile(r"scene(\d{4})_(\d{2})")
_LISTS = ("scannetv2_{}.txt", "Tasks/Benchmark/scannetv2_{}.txt")


def is_scene(name: str) -> bool:
    """Whether a scene can be called so."""
    return _NAME.fullmatch(name) is not None


def split_of(scene: str) -> str:
    """The split of a scene by its name."""
    match = _NAME.fullmatch(scene)
    space = int(match[1]) if match else 0
    return "test" if space >= _FIRST_TEST else "val" if space in _VAL_SPACES else "train"


def scenes_of(split: str) -> tuple[str, ...]:
    """The names of all scenes of a split, sorted."""
    scans = "".join(_SCANS.split()) + "1" * COUNTS["test"]
    names = (f"scene{space:04d}_{scan:02d}" for space, count in enumerate(scans) for scan in range(int(count)))
    return tuple(name for name in names if split_of(name) == split)


def listed(root: Path) -> tuple[dict[str, str], list[InputError]]:
    """The splits of scenes by the lists that a download has, and what is wrong with those.

    Args:
        root: of the download, in which ``scannetv2_train.txt`` and so on may lie.
    """
    found: dict[str, str] = {}
    faults = []
    for split in SPLITS:
        path = next((path for name in _LISTS if (path := root / name.format(split)).is_file()), None)
        for scene in () if path is None else _names(read_bytes(path, 1 << 20)):
            if not is_scene(scene):
                faults.append(InputError(path or root, f"{scene!r} is not a scene name", "Download the list again"))
            elif found.setdefault(scene, split) != split:
                fault = f"{scene} is also in the list of {found[scene]}"
                faults.append(InputError(path or root, fault, "Download the lists again"))
    return found, faults


def _names(content: bytes) -> Sequence[str]:
    return content.decode("latin-1").split()

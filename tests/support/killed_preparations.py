"""Prepare a download, then kill the same preparation again and again until it is through, and compare what both leave.

A program of its own (``python killed_preparations.py FOLDER KILLS SEED DATASET...``): every attempt is a fork of it. A
SIGKILL hits it, or one of its workers, at a random moment after it has begun to write, or SIGTERM asks it to stop.
After each attempt all pieces that can be seen have to be whole, and no process may be left. Prints a line of JSON for
each data set. With fewer than 20 kills there are no workers, which take seconds to start.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import raw_nuscenes
import raw_scannet
import raw_semantic_kitti
from prepared_layouts import make_sweep
from small_world import make_scene

from ditr.cli import main as ditr
from ditr.datasets.raw import PrepareOptions
from ditr.datasets.table import by_name, raw_format
from ditr.scene import Scene

Tree = dict[str, bytes]
_FEW = 20


def write_kitti(root: Path) -> Path:
    """Ten sequences, of some sweeps."""

    def sweep(seed: int) -> Scene:
        scene = make_scene(seed, views=1, points=3000)
        view = replace(scene.views[0], name="image_2", world_to_camera=make_scene(0, views=1).views[0].world_to_camera)
        return Scene(
            scene.name, scene.coord, (view,), strength=scene.color[:, 0] / 255, label=scene.label,
            class_names=scene.class_names,
        )  # fmt: skip

    sweeps = [sweep(seed) for seed in range(5)]
    return raw_semantic_kitti.write_raw(root, {number: sweeps[: 2 + number % 4] for number in range(4, 14)})


def write_scannet(root: Path) -> Path:
    """Five rooms, one of which has no labels."""
    ids = by_name("ScanNet200").labels
    assert ids is not None
    rooms = [make_scene(seed, points=3000, depth=True) for seed in range(5)]
    raw_scannet.write_download(root, {"train": rooms[:3], "val": rooms[3:4], "test": rooms[4:]}, ids.to_raw)
    return root


def write_nuscenes(root: Path) -> Path:
    """Two drives of keyframes and turns between them."""
    drives = []
    for row, split in enumerate(("train", "val")):
        turns = []
        for number in range(6):
            sweep = make_sweep(number, raw_nuscenes.CAMERAS, by_name("nuScenes").classes)
            sweep = replace(sweep, extra={"ring": np.zeros(len(sweep), np.uint8)})
            stamp, vehicle = 1_000_000 * (row + 1) + 50_000 * number, np.eye(4)
            shots = [
                raw_nuscenes.Shot(
                    view.name, np.asarray(view.image), view.camera, stamp - 9_000, vehicle, view.camera_to_world
                )
                for view in sweep.views
            ]
            turns.append(raw_nuscenes.Turn(sweep, stamp, vehicle, tuple(shots) if number % 2 else ()))
        drives.append(raw_nuscenes.Drive(raw_nuscenes.NAMES[split], tuple(turns), np.eye(4)))
    return raw_nuscenes.write_nuscenes_raw(root, drives)


WRITERS: dict[str, Callable[[Path], Path]] = {
    "SemanticKITTI": write_kitti,
    "ScanNet": write_scannet,
    "nuScenes": write_nuscenes,
}
"""Writers of small downloads of several pieces, which give the folder to prepare."""


def tree(out: Path) -> Tree:
    """All that is in a prepared folder and in those beside it: contents, and where links lead."""
    found: Tree = {}
    for root in sorted(out.parent.glob(f"{out.name}*")):
        for path in root.rglob("*"):
            if path.is_symlink():
                found[str(path.relative_to(out.parent))] = os.readlink(path).encode()
            elif path.is_file():
                found[str(path.relative_to(out.parent))] = path.read_bytes()
    return found


def session(leader: int) -> list[int]:
    """The living processes of an attempt, itself first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader and fields[0] not in "ZX":
                found.append(int(entry.name))
    return sorted(found, key=lambda process: process != leader)


def attempt(dataset: str, raw: Path, out: Path, workers: int) -> int:
    """The id of a process that prepares, in a session of its own."""
    process = os.fork()
    if process:
        return process
    try:
        os.setsid()
        with (out.parent / "output.txt").open("w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        ditr(["prepare", dataset, str(raw), str(out), "--copy", "--workers", str(workers)])
        sys.stdout.flush()
        os._exit(0)
    except SystemExit as end:
        os._exit(int(end.code or 0))
    except BaseException as error:
        sys.stderr.write(f"Traceback {error!r}")
        sys.stderr.flush()
        os._exit(99)


def ended(process: int) -> bool:
    """Whether an attempt is over, which is still to be waited for."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def runs(out: Path) -> set[str]:
    """The folders in which attempts write what is not whole."""
    found: set[str] = set()
    for root in list(out.parent.glob(f"{out.name}*")):
        with suppress(OSError):  # it comes and goes
            found.update(os.listdir(root / ".preparing"))
    return found


def visible_pieces_are_whole(dataset: str, raw: Path, out: Path, reference: Tree) -> int:
    """All pieces whose last place can be seen are as in the reference, all parts of them; how many they are."""
    now, seen = tree(out), 0
    for piece in raw_format(by_name(dataset)).open(raw, PrepareOptions(copy=True)).pieces:
        places = [str(place.below(out).relative_to(out.parent)) for place in piece.places]
        if os.path.lexists(out.parent / places[-1]):
            seen += 1
            for place in places:
                wanted = {name: data for name, data in reference.items() if f"{name}/".startswith(f"{place}/")}
                there = {name: data for name, data in now.items() if f"{name}/".startswith(f"{place}/")}
                if there != wanted:
                    raise SystemExit(f"{dataset} {piece.name}: {place} is not whole: {set(wanted) ^ set(there)}")
    return seen


def one_kill(process: int, out: Path, workers: int, seconds: float, chance: random.Random) -> str:
    """Wait for a random moment and end a process; what came of it."""
    before = runs(out)
    while not runs(out) - before:
        if ended(process):
            break
        time.sleep(0.0005)
    time.sleep(chance.uniform(0, seconds))
    kind = chance.choice(["main"] * 5 + ["stop"] + ["worker"] * 3 * (workers > 0))
    living = session(process)
    if kind == "worker" and len(living) > 1:
        os.kill(chance.choice(living[1:]), signal.SIGKILL)
        if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
            raise SystemExit(f"it does not get over a worker's end: {(out.parent / 'output.txt').read_text()}")
        return "worker"
    elif living:
        os.kill(process, signal.SIGTERM if kind == "stop" else signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status == 0:
        return "through"
    if status not in ((143, -signal.SIGTERM) if kind == "stop" else (-signal.SIGKILL,)):
        raise SystemExit(f"{kind}: {status}: {(out.parent / 'output.txt').read_text()}")
    end = time.monotonic() + 20
    while session(process):
        if time.monotonic() > end:
            raise SystemExit(f"processes are left: {session(process)}")
        time.sleep(0.01)
    return kind


def run(dataset: str, folder: Path, kills: int, chance: random.Random) -> dict[str, object]:
    """Kill preparations of a data set until there were so many kills; trees begin again when one is through."""
    raw = WRITERS[dataset](folder / "raw")
    reference_out = folder / "reference" / "out"
    reference_out.parent.mkdir(parents=True)
    process = attempt(dataset, raw, reference_out, 0)
    while not runs(reference_out) and not ended(process):
        time.sleep(0.0005)
    begin = time.monotonic()
    os.waitpid(process, 0)
    seconds, trees = 0.5 * (time.monotonic() - begin), 0  # of which some are done earlier
    said = (reference_out.parent / "output.txt").read_text()
    reference = tree(reference_out)
    if not reference or "Traceback" in said:
        raise SystemExit(f"{dataset} cannot be prepared: {said}")
    hits: Counter[str] = Counter()
    seen: set[int] = set()
    while sum(count for kind, count in hits.items() if kind != "through") < kills:
        out = folder / f"killed_{trees}" / "out"
        out.parent.mkdir(exist_ok=True)
        workers = 0 if kills < _FEW else chance.choice([0, 0, 0, 2])
        kind = one_kill(attempt(dataset, raw, out, workers), out, workers, seconds, chance)
        hits[kind] += 1
        seen.add(visible_pieces_are_whole(dataset, raw, out, reference))
        if kind in ("through", "worker"):
            compare(out, reference, dataset)
            trees += 1
    out = folder / f"killed_{trees}" / "out"
    out.parent.mkdir(exist_ok=True)
    status = os.waitstatus_to_exitcode(os.waitpid(attempt(dataset, raw, out, 0), 0)[1])
    if status:
        raise SystemExit(f"it does not go on: {status}: {(out.parent / 'output.txt').read_text()}")
    compare(out, reference, dataset)
    return {"dataset": dataset, "files": len(reference), "trees": trees + 1, **hits, "pieces seen": sorted(seen)}


def compare(out: Path, reference: Tree, dataset: str) -> None:
    """The tree, its manifest and records are those of an undisturbed run, in every byte."""
    now = tree(out)
    others = [name for name in {*now, *reference} if now.get(name) != reference.get(name)]
    if others:
        raise SystemExit(f"{dataset}: {others[:5]} differ after kills, of {len(now)} and {len(reference)} files")


if __name__ == "__main__":
    for name in sys.argv[4:] or list(WRITERS):
        place = Path(sys.argv[1]).resolve() / name
        print(json.dumps(run(name, place, int(sys.argv[2]), random.Random(int(sys.argv[3])))), flush=True)

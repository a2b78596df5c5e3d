"""Run commands on a disk that becomes full after a random number of bytes, and tell what they leave.

A program of its own (``unshare -rm python full_disk.py FOLDER COUNT SEED [COMMAND ...]``): it mounts a small file
system, which nobody else sees. Every other time the disk is full before the command begins; the other times it
becomes so while the command writes. The last try of each command finds it read-only. A line of JSON tells of each.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from killed_preparations import write_kitti
from published_checkpoints import Layout, Sizes, published_shapes, published_values, write_checkpoint
from small_world import tiny_encoding, tiny_recipe, write_model, write_world

from ditr.cli import main
from ditr.io.settings_json import to_json_values

SIZE = 64 << 20


@dataclass(frozen=True)
class Command:
    """A command to try.

    Attributes:
        arguments: for a folder to write to.
        goes_on: whether it goes on where it was, so that whole parts may stay.
        repeats: whether what it leaves is the same each time, in every byte of these files (all, if there are none).
        overwrite: whether earlier results are replaced with ``--overwrite``.
    """

    arguments: Callable[[Path], list[object]]
    goes_on: bool = False
    repeats: tuple[str, ...] = ()
    overwrite: bool = True


def commands(world: Path) -> dict[str, Command]:
    """By name; inputs are made in ``world``."""
    write_world(world / "data", 2, points=300)
    encoding = tiny_encoding(world)
    write_model(world / "model", encoding)
    recipe = tiny_recipe(encoding, steps=4, validate_every=2)
    (world / "recipe.json").write_text(json.dumps({"recipe": to_json_values(recipe)}), encoding="utf-8")
    shapes = published_shapes(Layout("", 4, 19), Sizes((16, 32), (1, 1), (32,), (1,)))
    write_checkpoint(world / "model.pth", published_values(shapes))
    capture, cache = world / "data" / "scene_0", ("--cache", world / "features", "--device", "cpu")
    train = ("train", world / "recipe.json")
    data = ("--data", world / "data", "--validate", world / "data", "--checkpoint-every", 1, "--quiet")
    raw = write_kitti(world / "kitti")
    prepared = [path.relative_to(raw) for path in raw.rglob("*") if path.is_file()]
    rooms = ("--train", 2, "--test", 1, "--views", 2, "--width", 64, "--height", 48, "--spacing", 0.1, "--workers", 1)
    return {
        "features": Command(lambda out: ["features", capture, "--out", out, "--encoder", world / "encoder", *cache]),
        "segment": Command(lambda out: ["segment", capture, "--out", out, "--model", world / "model", *cache]),
        "evaluate": Command(
            lambda out: [
                *("evaluate", world / "model", "--data", world / "data", *cache),
                *("--out", out / "evaluation.json", "--save-labels", out / "labels"),
            ]
        ),
        "convert": Command(lambda out: ["convert", world / "model.pth", out, "--dataset", "SemanticKITTI"]),
        "train": Command(
            lambda out: [*train, out, *data, *cache],
            goes_on=True,
            repeats=("model.safetensors", "best/model.safetensors", "config.json", "metrics.json"),
            overwrite=False,
        ),
        "rooms": Command(lambda out: ["rooms", out, *rooms], goes_on=True, overwrite=False),
        "prepare": Command(
            lambda out: ["prepare", "SemanticKITTI", raw, out / "ready", "--copy", "--workers", 0],
            goes_on=True,
            repeats=(
                "ready/manifest.json",
                *(f"ready{'_color' * ('image_2' in path.parts)}/{path}" for path in prepared),
            ),
            overwrite=False,
        ),
    }


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def free(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


def fill(disk: Path, leave: int) -> None:
    """Take the room of the disk but for ``leave`` bytes."""
    size = free(disk) - leave
    if size > 0:
        with (disk / "filler").open("wb") as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, size)


@contextlib.contextmanager
def filling(disk: Path, budget: int) -> Iterator[None]:
    """Fill the disk, in another process, once ``budget`` bytes more are taken."""
    limit = free(disk) - budget
    watcher = os.fork()
    if not watcher:
        while free(disk) > limit:
            pass
        fill(disk, 0)
        os._exit(0)
    try:
        yield
    finally:
        os.kill(watcher, signal.SIGKILL)
        os.waitpid(watcher, 0)


def call(arguments: list[object]) -> tuple[int, str]:
    """The program's exit status and its error output."""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            main([str(part) for part in arguments])
        except SystemExit as end:
            return int(end.code or 0), said.getvalue()
        except BaseException as error:
            return 1, said.getvalue() + f"Traceback {error!r}"
    return 0, said.getvalue()


def attempt(command: Command, disk: Path, reference: dict[str, bytes], chance: random.Random, turn: int) -> dict:
    """One try; what is wrong with what it leaves."""
    out, whole = disk / "out", sum(map(len, reference.values()))
    # As many tries in the small files as in the large ones.
    budget = chance.randrange(whole) if chance.random() < 0.5 else int(whole ** chance.random())
    earlier: dict[str, bytes] = {}
    more: list[object] = []
    if command.overwrite and turn % 4 in (1, 2):
        for name, content in (reference | {"notes.txt": b"mine"}).items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content)
        (out / "notes.txt").unlink(missing_ok=command.arguments(out)[0] != "convert")
        earlier, more = files(out), ["--overwrite"]
    if turn % 2:
        with filling(disk, budget):
            status, said = call([*command.arguments(out), *more])
    else:
        fill(disk, budget)
        status, said = call([*command.arguments(out), *more])
    (disk / "filler").unlink(missing_ok=True)
    lines = [line for line in said.splitlines() if line.startswith("ditr: ") and "warning" not in line]
    left, wrong = files(out) if out.exists() else {}, []
    if "Traceback" in said or status not in (0, 2) or len(lines) != (status == 2):
        wrong.append(f"it ended with {status} and said {said}")
    if status == 2 and str(disk) not in lines[0]:
        wrong.append(f"no word of the disk: {lines[0]}")
    if any(".part" in path.name for path in disk.rglob("*")):
        wrong.append("rests")
    if not command.goes_on and (left != earlier if status else left.keys() != (earlier | reference).keys()):
        wrong.append(f"it left {sorted(left)} of {sorted(earlier)}")
    if command.goes_on:
        again, words = call(command.arguments(out))
        after = files(out)
        if again or any(after.get(name) != reference[name] for name in command.repeats or reference):
            wrong.append(f"it did not go on: {words}")
        if not command.repeats and any(reference[name] != content for name, content in left.items()):
            wrong.append("a part is not whole")
    shutil.rmtree(out, ignore_errors=True)
    return {"status": status, "said": lines, "wrong": wrong}


def read_only(command: Command, disk: Path) -> dict:
    """A try on a disk that cannot be written at all."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    status, said = call(command.arguments(disk / "out"))
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    sound = (
        status == 2 and "Read-only file system" in said and len(said.splitlines()) == 1 and str(disk / "out") in said
    )
    return {"status": status, "said": said.splitlines(), "wrong": [] if sound else ["not said in one line"]}


def run(folder: Path, count: int, seed: int, names: list[str]) -> None:
    disk, world = folder / "disk", folder / "world"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "ditr", str(disk)], check=True)
    chance = random.Random(seed)
    for name, command in commands(world).items():
        if names and name not in names:
            continue
        status, said = call(command.arguments(disk / "out"))
        if status:
            raise SystemExit(f"{name} fails on an empty disk: {said}")
        reference = files(disk / "out")
        shutil.rmtree(disk / "out")
        for turn in range(count + 1):
            last = turn == count
            found = read_only(command, disk) if last else attempt(command, disk, reference, chance, turn)
            print(json.dumps({"command": name, "turn": turn, **found}), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])

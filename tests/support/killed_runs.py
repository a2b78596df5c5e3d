"""Run a training, then kill the same training again and again until it is through, and compare what both leave.

A program of its own (``python killed_runs.py FOLDER KILLS STOPS SEED``): torch is loaded once, and every attempt is a
fork. A SIGKILL ends it at a random moment, or while a file is being written, or a signal asks it to stop (SIGTERM, now
and then SIGINT or SIGUSR1). After that nothing but the step in hand may be lost. Prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from small_world import NETWORK, replace, tiny_encoding, tiny_recipe, write_world

from ditr.nn.norms import DatasetNorms
from ditr.stopping import STATUS, Stopped
from ditr.training.loop import TrainingRun, train
from ditr.training.recipe import Augmentation, DistillTask, JointDataset, Recipe

STEPS = 6


def recipes(folder: Path, every: int) -> dict[str, Callable[[Path], None]]:
    """Trainings by name; each runs in the folder that it is given, with checkpoints after ``every`` steps."""
    captures = write_world(folder / "data", 4, points=150)
    encoding = tiny_encoding(folder)

    _ = encoding.encoder

    def run(recipe: Recipe, into: Path, **how: object) -> None:
        settings: dict[str, object] = {"captures": captures[:3], "validation": captures[3:], **how}
        train(
            recipe,
            TrainingRun(into, device="cpu", quiet=True, checkpoint_every=every, encoding=encoding, **settings),  # type: ignore[arg-type]
        )

    ditr = tiny_recipe(
        encoding,
        steps=STEPS,
        augmentation=Augmentation("light", images=True, mix3d=0.5),
        validate_every=2,
        accumulate=2,
    )
    joint = tiny_recipe(
        encoding,
        network=replace(NETWORK, norms=DatasetNorms(("a", "b"))),
        task=DistillTask(),
        steps=STEPS,
        datasets=(JointDataset("a"), JointDataset("b", 2)),
        validate_every=3,
    )
    return {
        "ditr": lambda into: run(ditr, into),
        "joint": lambda into: run(joint, into, captures={"a": captures[:2], "b": captures[2:3]}),
    }


def attempt(job: Callable[[Path], None], folder: Path) -> int:
    """The id of a process that trains."""
    process = os.fork()
    if process:
        return process
    try:
        with (folder.parent / "output.txt").open("w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        job(folder)
        os._exit(0)
    except Stopped as stopped:
        os._exit(int(str(stopped.code)))
    except BaseException as error:
        sys.stderr.write(repr(error))
        sys.stderr.flush()
        os._exit(1)


def being_written(folder: Path) -> str | None:
    """The subfolder of a run in which a file is half-written."""
    for place in ("checkpoints", "best", "."):
        if any((folder / place).glob(".*.part*")):
            return place
    return None


def steps_kept(folder: Path) -> tuple[int, int]:
    """Steps that the log has, and those that the newest checkpoint has."""
    log, kept = folder / "log.jsonl", sorted((folder / "checkpoints").glob("step-*"))
    return len(log.read_text().splitlines()) if log.exists() else 0, int(kept[-1].stem[5:]) if kept else 0


def stop(process: int, folder: Path, name: str, before: tuple[int, int]) -> str:
    """Ask an attempt to stop; whether it heard that in time to do so."""
    os.kill(process, signal.Signals[name])
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status == STATUS[name]:
        done, kept = steps_kept(folder)
        if done != kept or kept < before[1]:  # none more, where it stopped in a validation
            raise SystemExit(f"{name}: {done} steps done and {kept} kept, {before[1]} before")
        return "stopped"
    if status == 0:
        return "through"
    if status not in (-signal.Signals[name], 1) or steps_kept(folder) != before:
        raise SystemExit(f"{name}: {status}, {before} became {steps_kept(folder)}: {output_of(folder)}")
    return "before the first step"


def output_of(folder: Path) -> str:
    return (folder.parent / "output.txt").read_text()


def kill_until_done(
    job: Callable[[Path], None], folder: Path, seconds: float, chance: random.Random, share: float
) -> list[str]:
    """Where each kill hit, and what came of each wish to stop; ``share`` of the signals are such."""
    hits = []
    while True:
        before = steps_kept(folder)
        process = attempt(job, folder)
        stops = chance.random() < share
        while_writing = not stops and chance.random() < 0.4
        end = time.perf_counter() + chance.uniform(0.02, 0.9) * seconds
        while True:
            done, status = os.waitpid(process, os.WNOHANG)
            if done:
                if status:
                    raise SystemExit(f"it failed: {output_of(folder)}")
                return hits
            if time.perf_counter() > end and (not while_writing or being_written(folder) is not None):
                break
            time.sleep(0.0002 if while_writing else 0.002)
        if stops:
            hits.append(stop(process, folder, chance.choice(["SIGTERM"] * 4 + ["SIGINT", "SIGUSR1"]), before))
            if hits[-1] == "through":
                return hits[:-1]
            continue
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        hits.append(being_written(folder) or "elsewhere")


def left_by(folder: Path) -> dict[str, object]:
    """All that must not depend on kills."""

    def lines(name: str) -> list[dict[str, object]]:
        rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]

    return {
        "weights": (folder / "model.safetensors").read_bytes(),
        "best": (folder / "best" / "model.safetensors").read_bytes(),
        "log": lines("log.jsonl"),
        "validation": lines("validation.jsonl"),
        "metrics": json.loads((folder / "metrics.json").read_text()),
        "rests": [path.name for path in folder.rglob(".*.part*")],
    }


SOFT = ("stopped", "before the first step")


def main(folder: Path, kills: int, stops: int, seed: int) -> None:
    torch.set_num_threads(1)
    chance, hits, different, runs = random.Random(seed), [], [], 0
    whole = {}
    jobs = recipes(folder, 4 if stops else 1)
    for name, job in jobs.items():
        (folder / name).mkdir()
        began = time.perf_counter()
        process = attempt(job, folder / name / "run")
        if os.waitpid(process, 0)[1]:
            raise SystemExit((folder / name / "output.txt").read_text())
        whole[name] = left_by(folder / name / "run"), time.perf_counter() - began
    while sum(hit not in SOFT for hit in hits) < kills or hits.count("stopped") < stops:
        name = list(jobs)[runs % len(jobs)]
        runs += 1
        expected, seconds = whole[name]
        broken = folder / f"{name}-{runs}" / "run"
        broken.parent.mkdir()
        began = time.perf_counter()
        hit = kill_until_done(jobs[name], broken, seconds, chance, stops / (kills + stops))
        hits += hit
        if not hit:  # the machine has more time for it now, or less
            whole[name] = expected, time.perf_counter() - began
        found = left_by(broken)
        different += [f"{broken.parent.name}: {what}" for what in expected if expected[what] != found[what]]
    places = {place: hits.count(place) for place in sorted(set(hits))}
    killed = sum(hit not in SOFT for hit in hits)
    print(
        json.dumps(
            {"kills": killed, "stops": hits.count("stopped"), "runs": runs, "places": places, "different": different}
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))

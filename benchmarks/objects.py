"""Are things counted right? Rooms whose things are known, and the sweeps of a street.

    python benchmarks/objects.py rooms [--seeds 0 1 2] [--rooms 8] [--clicks 10]
    python benchmarks/objects.py sweeps CAPTURE...
    python benchmarks/objects.py speed

Of a room each thing counts of which the scan has 30 points or more. Labels are the true ones, and those of simulated
clicks (`ditr label`; the encoder is dinov2-small-derived), so many per class. The count error is the sum of all
differences between found and true numbers, room by room and class by class, as a share of the true number. A thing is
hit where its points and those of one found thing have an IoU of 0.5, whatever the found one's class. Intervals of 95 %
are a bootstrap over rooms. Thresholds were chosen on rooms of seeds 10 and 11. Rooms need `ditr[rooms]`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ditr.captures.capture import read_capture
from ditr.encoders.encoding import CachedEncoding
from ditr.inference import objects as method
from ditr.inference.object_rules import EVERY, ObjectRules
from ditr.inference.objects import find_objects
from ditr.labelling.cells import make_cells
from ditr.labelling.session import Session
from ditr.labelling.simulate import mean_iou, simulate
from ditr.scene import Scene
from ditr.worlds.common.rays import RayCaster
from ditr.worlds.rooms import CLASS_NAMES, RoomsConfig, build_room, make_room
from ditr.worlds.rooms.cloud import scan
from ditr.worlds.rooms.layout import generator
from ditr.worlds.rooms.sensor import Sensor

FEWEST, UP = 30, (0.0, 0.0, 1.0)
FIXED = ObjectRules(gap={EVERY: 0.1}, min_size={EVERY: 0.0})
KINDS: dict[str, tuple[ObjectRules, float]] = {
    "as it is": (ObjectRules(), 3.0),
    "gap upwards as sideways": (ObjectRules(), 1.0),
    "fragments kept": (ObjectRules(min_size={EVERY: 0.0}), 3.0),
    "0.1 m, fragments kept": (FIXED, 1.0),
}
"""Rules, and how much wider a gap may be upwards."""


@dataclass(frozen=True)
class Tally:
    """(C,) true and found numbers of a room, and things that were hit."""

    true: np.ndarray
    found: np.ndarray
    hit: np.ndarray


def items_of(config: RoomsConfig, index: int) -> np.ndarray:
    """(N,) the thing that each point of a room is of."""
    room = build_room(config, "test", index)
    caster = RayCaster(room.mesh)
    cloud = scan(room, caster, Sensor(room, caster), config.spacing, generator(config, "test", index, 2))
    return cloud.item


def tally(room: Scene, item: np.ndarray, label: np.ndarray, kind: str) -> Tally:
    """Count with one kind of rules."""
    rules, method._UPWARDS = KINDS[kind]
    found = find_objects(room, label, CLASS_NAMES, up=UP, rules=rules)
    assert room.label is not None
    counted = [rules.is_counted(name) for name in CLASS_NAMES]
    true, hit, number = (np.zeros(len(CLASS_NAMES), int) for _ in range(3))
    for each in found.objects:
        number[each.label] += 1
    for one in np.unique(item[room.label >= 0]):
        own = item == one
        of_class = int(room.label[own][0])
        if own.sum() < FEWEST or not counted[of_class]:
            continue
        true[of_class] += 1
        inside, held = np.unique(found.of_point[own & (found.of_point >= 0)], return_counts=True)
        union = own.sum() + np.bincount(found.of_point[found.of_point >= 0])[inside] - held if len(inside) else 1
        hit[of_class] += bool((held / union >= 0.5).any()) if len(inside) else 0
    return Tally(true, number, hit)


def labels_of(room: Scene, clicks: int, seed: int, encoding: CachedEncoding) -> tuple[np.ndarray, float]:
    """What so many random clicks per class give, in the numbers of the classes of rooms, and their mIoU."""
    session = Session(room, make_cells(room, encoding))
    simulate(session, (clicks,), seed=seed)
    own = np.array([*(CLASS_NAMES.index(name) for name in session.classes), -1])
    return own[session.of_points()[0]], mean_iou(session)


def rooms(seeds: list[int], count: int, clicks: int) -> None:
    """Tables of all kinds of rules, and of the classes."""
    encoding = CachedEncoding("dinov2-small-derived")
    tallies: dict[tuple[str, str], list[Tally]] = {}
    miou = []
    for seed in seeds:
        config = RoomsConfig(train=0, test=count, seed=seed)
        for index in range(count):
            room, item = make_room(config, "test", index), items_of(config, index)
            clicked, reached = labels_of(room, clicks, seed, encoding)
            miou.append(reached)
            for name, label in (("true labels", room.label), (f"{clicks} clicks", clicked)):
                assert label is not None
                for kind in KINDS:
                    tallies.setdefault((name, kind), []).append(tally(room, item, label, kind))
    print(f"{len(miou)} rooms; mIoU of {clicks} clicks per class {100 * np.mean(miou):.1f}\n")
    print("| labels | rules | true | found | count error | things hit | found that hit |")
    print("|---|---|---|---|---|---|---|")
    for (name, kind), of_rooms in tallies.items():
        print(f"| {name} | {kind} | {' | '.join(_figures(of_rooms))} |")
    print("\n| class | true | found, true labels | off | hit | found, clicks | off | hit |")
    print("|---|---|---|---|---|---|---|---|")
    first, second = (tallies[name, "as it is"] for name in ("true labels", f"{clicks} clicks"))
    for number, name in enumerate(CLASS_NAMES):
        columns = [f"{c.found} | {c.off} | {c.hit}" for c in (_of_class(each, number) for each in (first, second))]
        if true := sum(each.true[number] for each in first):
            print(f"| {name} | {true} | {columns[0]} | {columns[1]} |")


@dataclass(frozen=True)
class _OfClass:
    found: int
    off: int
    hit: int


def _of_class(tallies: list[Tally], number: int) -> _OfClass:
    return _OfClass(
        sum(each.found[number] for each in tallies),
        sum(abs(each.found[number] - each.true[number]) for each in tallies),
        sum(each.hit[number] for each in tallies),
    )


def _figures(tallies: list[Tally]) -> Iterator[str]:
    sums = np.array([(t.true.sum(), t.found.sum(), np.abs(t.found - t.true).sum(), t.hit.sum()) for t in tallies])
    drawn = np.random.default_rng(0).integers(0, len(sums), (2000, len(sums)))
    many = sums[drawn].sum(axis=1)
    true, found, off, hit = sums.sum(axis=0)
    yield f"{true}"
    yield f"{found}"
    for top, below in ((2, 0), (3, 0), (3, 1)):
        low, high = np.percentile(many[:, top] / many[:, below], (2.5, 97.5))
        yield f"{(0, 0, off, hit)[top] / (true, found)[below]:.1%} ({low:.1%} to {high:.1%})"


def sweeps(paths: list[Path]) -> None:
    """What is found in each sweep with its own labels."""
    for path in paths:
        scene = read_capture(path)
        assert scene.label is not None
        began = time.perf_counter()
        found = find_objects(scene, scene.label, scene.class_names, up=UP)
        print(f"{path.name}, {time.perf_counter() - began:.1f} s: {'; '.join(found.told())}")


def speed() -> None:
    """A street of 10 million points with 4,000 boxes; and its parts."""
    rng = np.random.default_rng(0)
    for count in (1_000_000, 10_000_000):
        side = np.sqrt(count / 1000)
        coord = np.column_stack([rng.uniform(0, side, (count, 2)), rng.normal(0, 0.005, count)])
        label = np.zeros(count, np.int32)
        chosen = np.flatnonzero((coord[:, 0] % 2 < 0.8) & (coord[:, 1] % 2 < 0.8))
        coord[chosen, 2] += rng.uniform(0.5, 1.5, len(chosen))
        label[chosen] = 1
        scene = Scene(name="street", coord=coord, views=())
        began = time.perf_counter()
        found = find_objects(scene, label, ("road", "box"), up=UP)
        print(f"{count} points, {found.told()[0]}: {time.perf_counter() - began:.1f} s")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    of_rooms = kinds.add_parser("rooms")
    of_rooms.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    of_rooms.add_argument("--rooms", type=int, default=8)
    of_rooms.add_argument("--clicks", type=int, default=10)
    kinds.add_parser("sweeps").add_argument("captures", nargs="+", type=Path)
    kinds.add_parser("speed")
    args = parser.parse_args()
    if args.kind == "rooms":
        rooms(args.seeds, args.rooms, args.clicks)
    elif args.kind == "sweeps":
        sweeps(args.captures)
    else:
        speed()


if __name__ == "__main__":
    main()

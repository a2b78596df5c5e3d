"""Many scenes: labelled as each alone, passed over when done, and none lost whatever happens."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import make_scene, tiny_config, tiny_encoding, write_world

from ditr.captures.capture import read_capture
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.evaluation.voting import Voting
from ditr.inference.helped import _Desk
from ditr.inference.ledger import Outcome
from ditr.inference.many import Many, Shard, find_items, items_of, segment_many
from ditr.inference.parcel import Parcel
from ditr.inference.processes import Died, Helpers
from ditr.inference.scene_labels import Labelling
from ditr.inference.scene_work import Failed, Item
from ditr.inference.scene_worker import Prepare
from ditr.inference.segmenter import Segmenter
from ditr.io.ply import write_ply
from ditr.scene import ReadOptions


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "scenes", 4)
    return folder


@pytest.fixture(scope="module")
def segmenter(world: Path) -> Segmenter:
    return with_images(tiny_encoding(world))


@pytest.fixture(scope="module")
def helpers() -> Iterator[Helpers]:
    with Helpers(2) as started:
        yield started


def with_images(encoding: CachedEncoding | None) -> Segmenter:
    torch.manual_seed(0)
    config = tiny_config(encoding)
    return Segmenter(config, config.build(), encoding=encoding, device="cpu")


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def status(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.scene: outcome.status for outcome in outcomes}


@pytest.mark.parametrize("cached", [True, False])
def test_every_label_is_what_the_scene_alone_gets(world: Path, tmp_path: Path, helpers: Helpers, cached: bool) -> None:
    encoding = tiny_encoding(world, cache=cached)
    segmenter = with_images(encoding)
    torch.set_num_threads(1)
    items = find_items([world / "scenes"])
    found = list(segment_many(segmenter, items, tmp_path / "out", helpers=helpers))
    assert status(found) == {f"scene_{number}": "labelled" for number in range(4)}
    again = list(segment_many(segmenter, items, tmp_path / "here", helpers=0))
    for item in items:
        assert isinstance(item.source, Path)
        alone = segmenter(read_capture(item.source))
        alone.save(tmp_path / "alone")
        for name in ("label.npy", "confidence.npy", "labels.ply"):
            content = (tmp_path / "alone" / name).read_bytes()
            assert (tmp_path / "out" / item.name / name).read_bytes() == content, name
            assert (tmp_path / "here" / item.name / name).read_bytes() == content, name
    assert len(again) == 4
    told = lines(tmp_path / "out" / "results.jsonl")
    assert {line["status"] for line in told} == {"labelled"} and {line["scene"] for line in told} == status(
        found
    ).keys()
    assert {*told[0]["seconds"]} == {"read", "prepare", "encode", "network", "write"}  # type: ignore[misc]
    assert sum(told[0]["points_per_class"].values()) == told[0]["points"] == 400  # type: ignore[attr-defined]


def test_what_is_done_is_not_done_again(world: Path, segmenter: Segmenter, tmp_path: Path) -> None:
    items = find_items([world / "scenes"])
    first = list(segment_many(segmenter, items[:2], tmp_path, helpers=0))
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*")}
    found = list(segment_many(segmenter, items, tmp_path, helpers=0))
    assert status(found) == {"scene_0": "done", "scene_1": "done", "scene_2": "labelled", "scene_3": "labelled"}
    assert found[0].summary["points"] == first[0].summary["points"]
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    assert Counter(line["scene"] for line in lines(tmp_path / "results.jsonl")).most_common(1)[0][1] == 1

    # Another option, another model, or another source: asked for, and only what differs is done again.
    other = Many(how=Labelling(min_confidence=0.2))
    with pytest.raises(
        InputError, match=r"4 of 4 scenes have results that were made in another way \(min_confidence\)"
    ):
        list(segment_many(segmenter, items, tmp_path, other, helpers=0))
    again = list(segment_many(segmenter, items[:1], tmp_path, replace(other, overwrite=True), helpers=0))
    assert status(again) == {"scene_0": "labelled"} and again[0].summary["min_confidence"] == 0.2
    found = list(segment_many(segmenter, items, tmp_path, replace(other, overwrite=True), helpers=0))
    assert Counter(status(found).values()) == {"done": 1, "labelled": 3}
    with torch.no_grad():
        next(iter(segmenter.model.parameters())).add_(1e-3)
    try:
        with pytest.raises(InputError, match=r"made in another way \(model\)"):
            list(segment_many(segmenter, items, tmp_path, other, helpers=0))
    finally:
        with torch.no_grad():
            next(iter(segmenter.model.parameters())).sub_(1e-3)


def test_a_source_that_changed_is_noticed_and_a_copy_is_not(segmenter: Segmenter, tmp_path: Path) -> None:
    for name in ("a", "b"):
        coord = make_scene(len(name)).coord
        color = dict.fromkeys(("red", "green", "blue"), np.full(len(coord), 90, np.uint8))
        write_ply(tmp_path / f"{name}.ply", {axis: coord[:, i] for i, axis in enumerate("xyz")} | color)
    points = with_images(None)
    how = Many(reading=ReadOptions(profile="indoor"))
    list(segment_many(points, find_items([tmp_path / "*.ply"]), tmp_path / "out", how, helpers=0))
    content = (tmp_path / "a.ply").read_bytes()
    (tmp_path / "a.ply").unlink()
    (tmp_path / "a.ply").write_bytes(content)
    found = list(segment_many(points, find_items([tmp_path / "*.ply"]), tmp_path / "out", how, helpers=0))
    assert status(found) == {"a": "done", "b": "done"}
    (tmp_path / "a.ply").write_bytes(content[:-5] + bytes(5))
    with pytest.raises(InputError, match=r"1 of 2 scenes have results that were made in another way \(source\)"):
        list(segment_many(points, find_items([tmp_path / "*.ply"]), tmp_path / "out", how, helpers=0))


def test_a_bad_scene_does_not_stop_the_others(
    world: Path, segmenter: Segmenter, helpers: Helpers, tmp_path: Path
) -> None:
    (tmp_path / "bad.ply").write_bytes(b"ply\nformat ascii 1.0\nend_header\n")
    items = find_items([tmp_path / "bad.ply", world / "scenes", tmp_path / "nothing.laz"])
    found = {
        outcome.scene.rpartition("/")[2]: outcome
        for outcome in segment_many(segmenter, items, tmp_path / "out", helpers=helpers)
    }
    assert {name for name, outcome in found.items() if outcome.error is not None} == {"bad", "nothing.laz"}
    assert found["nothing.laz"].error is not None and found["nothing.laz"].error.fault.startswith("there is no such")
    last = {str(line["scene"]).rpartition("/")[2]: line for line in lines(tmp_path / "out" / "results.jsonl")}
    assert last["bad"]["status"] == "failed" and "bad.ply" in str(last["bad"]["where"]) and last["bad"]["remedy"]
    assert not list((tmp_path / "out").rglob("*.part*")) and len(list((tmp_path / "out").rglob("label.npy"))) == 4


def test_a_helper_that_dies_takes_no_scene_with_it(
    world: Path, segmenter: Segmenter, helpers: Helpers, tmp_path: Path
) -> None:
    items = find_items([world / "scenes"])
    work = segment_many(segmenter, items, tmp_path, helpers=helpers)
    found = [next(work)]
    for helper in helpers._helpers:
        assert helper.process.pid is not None
        os.kill(helper.process.pid, signal.SIGKILL)
    found += work
    assert sorted(status(found)) == sorted(item.name for item in items)
    assert [outcome.error for outcome in found] == [None] * 4


def test_a_scene_with_which_two_processes_died_has_failed() -> None:
    with Helpers(0) as none:
        desk = _Desk(none, items_of([make_scene(0), make_scene(1)]))
    messages = [Prepare(number, Parcel.of(Item(f"scene_{number}", Path("x")))) for number in range(2)]
    for death in range(2):
        desk.waiting.clear()
        desk.holder.update({0: 0, 1: 0})
        found = list(desk.take(Died(0, messages, messages[0], "ended by signal 9")))
        assert list(desk.waiting) == ([0, 1] if not death else [1]) and not desk.holder
    ((item, result),) = found
    assert item.name == "scene_0" and isinstance(result, Failed)
    assert "the process that worked on it ended by signal 9, 2 times" in str(result.error)


def test_shards_share_out_all_scenes(world: Path, segmenter: Segmenter, tmp_path: Path) -> None:
    items = find_items([world / "scenes"])
    for number in (2, 3, 1):
        options = Many(shard=Shard(number, 3))
        found = list(segment_many(segmenter, items, tmp_path, options, helpers=0))
        assert {line["scene"] for line in lines(tmp_path / f"results-{number}-of-3.jsonl")} == set(status(found))
    names = [line["scene"] for path in tmp_path.glob("results-*.jsonl") for line in lines(path)]
    assert sorted(map(str, names)) == [item.name for item in items]
    for text in ("0/3", "4/3", "1", "a/b", "1/0"):
        with pytest.raises(InputError, match="1/8 to 8/8"):
            Shard.parse(text)


def test_a_line_that_a_kill_left_half_is_written_again(world: Path, segmenter: Segmenter, tmp_path: Path) -> None:
    items = find_items([world / "scenes"])[:2]
    list(segment_many(segmenter, items, tmp_path, helpers=0))
    path = tmp_path / "results.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[:-30])  # the results of the second are there, and half of its line
    assert status(list(segment_many(segmenter, items, tmp_path, helpers=0))) == {"scene_0": "done", "scene_1": "done"}
    assert [line["scene"] for line in lines(path)] == ["scene_0", "scene_1"]
    assert lines(path)[1]["points"] == 400


def test_scenes_in_memory_and_votes(segmenter: Segmenter, helpers: Helpers, tmp_path: Path) -> None:
    scenes = [make_scene(seed, name=f"scan {seed}") for seed in range(2)]
    found = list(segment_many(segmenter, items_of(scenes), tmp_path / "a", helpers=helpers))
    assert status(found) == {"scan 0": "labelled", "scan 1": "labelled"}
    assert np.array_equal(np.load(tmp_path / "a" / "scan 1" / "label.npy"), segmenter(scenes[1]).label)
    voting = Many(how=Labelling(votes=Voting()))
    found = list(segment_many(segmenter, items_of(scenes), tmp_path / "b", voting))
    assert np.array_equal(np.load(tmp_path / "b" / "scan 0" / "label.npy"), segmenter(scenes[0], votes=Voting()).label)
    with pytest.raises(InputError, match="1 names each occur more than once: scan 0"):
        list(segment_many(segmenter, items_of([scenes[0], scenes[0]]), tmp_path / "c"))
    with pytest.raises(InputError, match="cannot name a folder"):
        list(segment_many(segmenter, items_of([replace(scenes[0], name="../x")]), tmp_path / "c"))


def test_it_stops_where_it_can_go_on(segmenter: Segmenter, helpers: Helpers, tmp_path: Path) -> None:
    items, found = items_of(make_scene(seed, views=1) for seed in range(8)), list[Outcome]()
    for outcome in segment_many(segmenter, items, tmp_path, helpers=helpers, stop=lambda: bool(found)):
        found.append(outcome)
    assert 1 <= len(found) < 8
    found = list(segment_many(segmenter, items, tmp_path, helpers=0))
    assert len(found) == 8 and {"done", "labelled"} == set(status(found).values())


def test_helpers_serve_again_after_work_that_nobody_waited_for(
    segmenter: Segmenter, helpers: Helpers, tmp_path: Path
) -> None:
    items = items_of(make_scene(seed, views=1) for seed in range(8))
    for _ in segment_many(segmenter, items, tmp_path / "a", helpers=helpers):
        break
    found = list(segment_many(segmenter, items[4:], tmp_path / "b", helpers=helpers))
    assert status(found) == {f"scene_{seed}": "labelled" for seed in range(4, 8)}


def test_names_tell_sources_apart(tmp_path: Path) -> None:
    for name in ("one/a.ply", "one/a.xyz", "one/b.ply", "two/b.ply"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        coord = np.random.default_rng(0).random((5, 3))
        if name.endswith("ply"):
            write_ply(tmp_path / name, {axis: coord[:, i] for i, axis in enumerate("xyz")})
        else:
            np.savetxt(tmp_path / name, coord)
    found = find_items([tmp_path / "one", tmp_path / "two" / "b.ply", tmp_path / "*" / "b.ply"])
    assert [item.name for item in found] == ["one/a.ply", "one/a.xyz", "one/b", "two/b"]
    assert [item.name for item in find_items([tmp_path / "one"])] == ["a.ply", "a.xyz", "b"]
    with pytest.raises(InputError, match="there is no capture here"):
        find_items([tmp_path / "three"])

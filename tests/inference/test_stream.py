"""A stream of scans: labelled as each alone, in order, with what fails told and no more than wanted ahead."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import make_scene, tiny_config, tiny_encoding, without

from ditr.errors import InputError
from ditr.inference.segmenter import Segmenter
from ditr.inference.stream import StreamSettings
from ditr.scene import Scene


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    torch.set_num_threads(1)
    encoding = tiny_encoding(tmp_path_factory.mktemp("encoder"), cache=False)
    torch.manual_seed(0)
    config = tiny_config(encoding)
    return Segmenter(config, config.build(), encoding=encoding, device="cpu")


@pytest.mark.parametrize("workers", [0, 1])
def test_labels_are_those_of_each_scan_alone_and_in_order(segmenter: Segmenter, workers: int) -> None:
    scans = [make_scene(seed, views=1 + seed % 3, points=300 + 100 * seed) for seed in range(5)]
    with segmenter.stream(scans, StreamSettings(seed=3, workers=workers)) as stream:
        found = list(stream)
        latencies = stream.latencies()
    assert [prediction.scene for prediction in found] == scans
    for scan, prediction in zip(scans, found, strict=True):
        alone = segmenter(scan, seed=3)
        assert np.array_equal(prediction.label, alone.label)
        assert np.array_equal(prediction.confidence, alone.confidence)
        assert prediction.summary() == alone.summary()
    assert list(latencies) == ["prepare", "encode", "network", "total"]
    assert all(0 < latency.median <= latency.p90 for latency in latencies.values())
    assert latencies["total"].median >= latencies["network"].median


def test_a_model_without_images(segmenter: Segmenter) -> None:
    config = tiny_config()
    points = Segmenter(config, config.build(), device="cpu")
    with points.stream([make_scene(0)], StreamSettings(workers=0)) as stream:
        assert np.array_equal(next(stream).label, points(make_scene(0)).label)
        assert "encode" not in stream.latencies()
        with pytest.raises(StopIteration):
            next(stream)


def test_a_bad_scan_is_told_and_the_stream_goes_on(segmenter: Segmenter, caplog: pytest.LogCaptureFixture) -> None:
    good = make_scene(0)
    unread = replace(good, name="unread", views=(replace(good.views[0], image=Path("nothing.png")),))
    scans = [without(make_scene(1, name="bare"), "color"), good, unread, replace(good, name="last")]
    told: list[tuple[str, str]] = []

    def note(scene: Scene | None, error: InputError) -> None:
        assert scene is not None
        told.append((scene.name, error.fault))

    with segmenter.stream(scans, StreamSettings(workers=0, on_error=note)) as stream:
        assert [prediction.scene.name for prediction in stream] == ["scene_0", "last"]
        assert stream.failed == 2
    assert [name for name, _ in told] == ["bare", "unread"] and "no color" in told[0][1]
    caplog.set_level(logging.WARNING, "ditr")
    with segmenter.stream(scans[:2], StreamSettings(workers=0)) as stream:
        assert len(list(stream)) == 1
    assert "the points have no color" in caplog.text


class Source:
    """Scans of which one cannot be read and, at the end, something breaks."""

    def __init__(self) -> None:
        self.count = 0

    def __iter__(self) -> Iterator[Scene]:
        return self

    def __next__(self) -> Scene:
        self.count += 1
        if self.count == 2:
            raise InputError("drive/2", "it is damaged", "Leave it out")
        if self.count == 4:
            raise ConnectionError("the sensor is gone")
        return make_scene(self.count)


def test_a_source_that_cannot_read_one_scan_goes_on_and_one_that_breaks_does_not(segmenter: Segmenter) -> None:
    told: list[tuple[Scene | None, str]] = []
    settings = StreamSettings(workers=0, on_error=lambda scene, error: told.append((scene, error.where)))
    stream = segmenter.stream(Source(), settings)
    assert [next(stream).scene.name for _ in range(2)] == ["scene_1", "scene_3"]
    with pytest.raises(ConnectionError, match="the sensor is gone"):
        next(stream)
    assert told == [(None, "drive/2")]


def test_no_more_scans_are_taken_than_are_wanted_ahead(segmenter: Segmenter) -> None:
    taken: list[int] = []

    def scans() -> Iterator[Scene]:
        for seed in range(100):
            taken.append(seed)
            yield make_scene(seed)

    with segmenter.stream(scans(), StreamSettings(workers=0, ahead=2)) as stream:
        next(stream)
        time.sleep(0.5)
        assert len(taken) <= 3
    time.sleep(0.5)
    assert len(taken) <= 4
    for bad in ({"ahead": 0}, {"workers": -1}):
        with pytest.raises(InputError, match="or more"):
            StreamSettings(**bad)


def test_a_process_that_dies_is_replaced(segmenter: Segmenter) -> None:
    go_on = threading.Event()

    def scans() -> Iterator[Scene]:
        yield make_scene(0)
        go_on.wait(60)
        yield make_scene(1)
        yield make_scene(2)

    with segmenter.stream(scans(), StreamSettings(ahead=1)) as stream:
        assert next(stream).scene.name == "scene_0"
        for process in stream._work._preparers._processes:  # type: ignore[attr-defined]
            os.kill(process, signal.SIGKILL)
        go_on.set()
        assert np.array_equal(next(stream).label, segmenter(make_scene(1)).label)
        assert next(stream).scene.name == "scene_2" and stream.failed == 0

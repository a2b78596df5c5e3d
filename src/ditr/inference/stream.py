"""Scans one after the other, as a sensor gives them: one is prepared and encoded while the network is at another.

A thread takes scans from their source. Of each, another process (or thread) makes the geometry that the network needs,
and a thread of this one encodes the images; whoever asks for the next prediction runs the network. At most ``ahead``
scans are on their way, so a source that is faster waits.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol

import numpy as np
import torch

from ditr.data.sample import Sample
from ditr.data.scene_views import inference_rows
from ditr.encoders.encoding import CachedEncoding, ImageGrid
from ditr.encoders.feature_cache import EncodedView, Unencoded
from ditr.errors import InputError
from ditr.geometry.projection import VisibilityRule
from ditr.geometry.upright_views import upright_views
from ditr.inference.faults import as_fault
from ditr.inference.parcel import Parcel
from ditr.inference.prediction import Prediction
from ditr.inference.ready import Told, VoxelLabels, make_ready
from ditr.runtime import worker_pool
from ditr.scene import Scene
from ditr.threads import one_thread_per_worker
from ditr.weights.saved_model import ModelConfig

__all__ = ["Latency", "Stream", "StreamSettings"]

_log = logging.getLogger(__name__)
_KEPT = 1000
"""Scans over which latencies are counted: the last ones."""
_NO_PIXELS = np.zeros((1, 1, 3), dtype=np.uint8)
STAGES = ("prepare", "encode", "network", "total")


@dataclass(frozen=True)
class Latency:
    """Seconds that a part of the work took: the median of the last 1,000 scans, and what nine in ten did not exceed."""

    median: float
    p90: float


@dataclass(frozen=True)
class StreamSettings:
    """How the scans of a stream are labelled.

    Attributes:
        seed, rule: as for :meth:`ditr.inference.segmenter.Segmenter.__call__`.
        ahead: scans on their way at most: more keep all parts busy where scans differ, fewer are newer.
        workers: processes that prepare; 0 to do it in a thread, which has to share Python with the others.
        on_error: called with a scan that cannot be labelled (None for one that its source could not read) and the
            reason; by default a warning says it. The stream goes on.

    Raises:
        InputError: numbers that cannot be meant.
    """

    seed: int = 0
    rule: VisibilityRule | None = None
    ahead: int = 3
    workers: int = 1
    on_error: Callable[[Scene | None, InputError], None] | None = None

    def __post_init__(self) -> None:
        if self.ahead < 1:
            raise InputError("ahead", f"it is {self.ahead}", "Give 1 or more scans")
        if self.workers < 0:
            raise InputError("workers", f"it is {self.workers}", "Give 0 or more processes")


@dataclass(frozen=True, eq=False)
class _Made:
    """What comes back of a scan that was prepared, with the seconds that it took."""

    sample: Sample
    told: Told
    seconds: float


@dataclass(frozen=True, eq=False)
class _Scan:
    """A scan on its way."""

    scene: Scene
    taken: float
    prepared: Future[Parcel[_Made]]
    encoded: Future[tuple[list[EncodedView], float]] | None


class Labeller(Protocol):
    """What a stream asks of a segmenter."""

    config: ModelConfig
    encoding: CachedEncoding | None

    def encoded(self, sample: Sample, found: Sequence[EncodedView | Unencoded]) -> Sample: ...

    def label(self, sample: Sample) -> VoxelLabels: ...


class Stream:
    """Predictions of scans, in their order; an iterator, to be closed (by ``with``, or when it has ended).

    Attributes:
        failed: how many scans got no labels.
    """

    def __init__(self, segmenter: Labeller, scans: Iterable[Scene], settings: StreamSettings) -> None:
        self.failed = 0
        self._segmenter, self._settings = segmenter, settings
        self._seconds: dict[str, deque[float]] = {stage: deque(maxlen=_KEPT) for stage in STAGES}
        self._work = _Work(segmenter, settings)
        self._thread = threading.Thread(target=self._work.take, args=(iter(scans),), daemon=True)
        self._thread.start()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Prediction:
        while True:
            scan = self._work.ready.get()
            if not isinstance(scan, _Scan | InputError):
                self.close()
                raise StopIteration if scan is None else scan
            try:
                if isinstance(scan, InputError):
                    raise scan
                return self._labelled(scan)
            except Exception as error:
                self._tell(scan, error)
            finally:
                self._work.places.release()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_work"):
            self.close()

    def close(self) -> None:
        """Take no more scans, and end what works on them."""
        self._work.close()

    def latencies(self) -> dict[str, Latency]:
        """Of each part, and from when a scan was taken from its source to when its prediction was there ("total").

        Preparing, encoding and the network of different scans overlap: a scan comes out each as often as the slowest of
        these takes, and its total is the sum of waiting and working.
        """
        known = {stage: np.array(seconds) for stage, seconds in self._seconds.items() if seconds}
        return {
            stage: Latency(float(np.median(values)), float(np.quantile(values, 0.9))) for stage, values in known.items()
        }

    def _labelled(self, scan: _Scan) -> Prediction:
        made = self._work.made(scan).unpack()
        seconds, sample = {"prepare": made.seconds}, made.sample
        if scan.encoded is not None:
            encoded, seconds["encode"] = scan.encoded.result()
            sample = self._segmenter.encoded(sample, encoded)
        began = time.perf_counter()
        found = self._segmenter.label(sample).of_points(sample.inverse.numpy(), sample.name)
        prediction = made.told.prediction(scan.scene, found, self._segmenter.config)
        seconds |= {"network": time.perf_counter() - began, "total": time.perf_counter() - scan.taken}
        for stage, value in seconds.items():
            self._seconds[stage].append(value)
        return prediction

    def _tell(self, scan: _Scan | InputError, error: Exception) -> None:
        self.failed += 1
        scene = scan.scene if isinstance(scan, _Scan) else None
        fault = as_fault(error, "of a stream" if scene is None else scene.name)
        told = fault if isinstance(fault, InputError) else InputError("stream", str(fault), "Free some memory")
        if self._settings.on_error is None:
            _log.warning("%s", told)
        else:
            self._settings.on_error(scene, told)


class _Work:
    """What goes on beside whoever reads the stream; it knows nothing of the :class:`Stream`, which may be dropped.

    Attributes:
        places: for scans on their way.
        ready: scans in order, each begun; an ``InputError`` in the stead of one that could not be read; at the end
            None, or what else the source raised.
    """

    def __init__(self, segmenter: Labeller, settings: StreamSettings) -> None:
        self.places = threading.Semaphore(settings.ahead)
        self.ready: queue.SimpleQueue[_Scan | BaseException | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._settings, self._config = settings, segmenter.config
        encoding = segmenter.encoding
        # A sensor's images come once: a cache would only fill.
        self._encoding = None if encoding is None else replace(encoding, cache=None, progress=None)
        self._grid = None if encoding is None else encoding.grid
        self._encoder = ThreadPoolExecutor(1)
        self._lock = threading.Lock()
        self._preparers = self._pool()

    def take(self, scans: Iterator[Scene]) -> None:
        """Take scans as long as there are any, and begin with each."""
        while True:
            while not self.places.acquire(timeout=0.2):
                if self._closed.is_set():
                    return
            try:
                scene = next(scans)
            except StopIteration:
                self.ready.put(None)
                return
            except InputError as error:
                self.ready.put(error)
                continue
            except BaseException as error:
                self.ready.put(error)
                return
            if self._closed.is_set():
                return
            taken, encoded = time.perf_counter(), None
            if self._encoding is not None:
                encoded = self._encoder.submit(_encode, scene, self._encoding, self._config, self._settings.seed)
            self.ready.put(_Scan(scene, taken, self._begin(scene), encoded))

    def made(self, scan: _Scan) -> Parcel[_Made]:
        """What was made of a scan; where the process died that was at it, it is begun once more.

        Raises:
            InputError: the scan cannot be prepared, or another process died of it.
        """
        try:
            return scan.prepared.result()
        except BrokenExecutor:
            pass
        try:
            return self._begin(scan.scene).result()
        except BrokenExecutor:
            fault = "the processes that prepared it died, probably because memory ran out"
            raise InputError(f"scene {scan.scene.name}", fault, "Check this scan") from None

    def _begin(self, scene: Scene) -> Future[Parcel[_Made]]:
        # Images are encoded here, and what goes through untouched stays here: a sensor's own header, say.
        views = tuple(replace(view, image=_NO_PIXELS, extra={}) for view in scene.views)
        seen = replace(scene, views=views, properties={})
        arguments = (Parcel.of(seen), self._config, self._grid, self._settings.seed, self._settings.rule)
        with self._lock:
            try:
                return self._preparers.submit(_prepare, *arguments)
            except BrokenExecutor:
                self._preparers = self._pool()
                return self._preparers.submit(_prepare, *arguments)

    def _pool(self) -> Executor:
        if not self._settings.workers:
            return ThreadPoolExecutor(1)
        pool = worker_pool(self._settings.workers, torch.set_num_threads, (1,))
        with one_thread_per_worker():
            pool.submit(int)  # which starts the processes
        return pool

    def close(self) -> None:
        """Take no more, and end."""
        self._closed.set()
        for executor in (self._preparers, self._encoder):
            executor.shutdown(wait=False, cancel_futures=True)


def _prepare(
    parcel: Parcel[Scene], config: ModelConfig, grid: ImageGrid | None, seed: int, rule: VisibilityRule | None
) -> Parcel[_Made]:
    began = time.perf_counter()
    ready = make_ready(parcel.unpack(), config, grid, seed=seed, rule=rule)
    sample = ready.sample(config)
    return Parcel.of(_Made(sample, ready.told, time.perf_counter() - began))


def _encode(scene: Scene, encoding: CachedEncoding, config: ModelConfig, seed: int) -> tuple[list[EncodedView], float]:
    began = time.perf_counter()
    rows = inference_rows(scene, config.preparation.of(scene), seed)
    encoded = encoding.encode(upright_views(scene, [scene.views[row] for row in rows]))
    return encoded, time.perf_counter() - began

"""Jobs that depend on one another, run in a few processes of one thread each, with one progress display.

One thread per process: two networks side by side on two cores are faster than one after the other on both, and
results do not depend on the number of cores.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from ditr.io.files import faults_of
from ditr.runtime import START, progress_bars, worker_pool
from ditr.stopping import Stopped, StopSignals
from ditr.threads import one_thread_per_worker

__all__ = ["Job", "run_jobs"]


@dataclass(frozen=True)
class Job:
    """A function of the arguments and of a report (done, total), to be called once the jobs ``after`` are done.

    Attributes:
        name: unique.
        group: jobs of one group share a line of the display.
        work: importable function.
        arguments: its arguments; the report is added as the last one.
        after: names of jobs.
        cost: how long it is expected to take, in any unit that all jobs of a run share.
    """

    name: str
    group: str
    work: Callable[..., Any]
    arguments: tuple[Any, ...]
    after: tuple[str, ...] = field(default=())
    cost: float = 1.0


def run_jobs(
    jobs: Sequence[Job], workers: int, log: Path, *, finished: Callable[[Job], None] | None = None
) -> tuple[dict[str, Any], dict[str, float]]:
    """Run jobs, earlier ones of the list first, as soon as what they need is there.

    ``log`` is a text file that gets a line whenever a job begins or ends, with the time that the rest will take.
    ``finished`` is called in this process after each job.

    Returns:
        results by name, and the seconds that each took.

    Raises:
        Exception: what a job raised; no further jobs are started then.
        Stopped: a signal asked for it. Trainings have finished their step and written a checkpoint; other jobs have
            ended at once.
    """
    results: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    waiting, running = list(jobs), dict[Future[tuple[Any, float]], Job]()
    began, total, spent = time.perf_counter(), sum(job.cost for job in jobs), 0.0
    queue = START.Queue()
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        StopSignals() as stop,
        one_thread_per_worker(),
        _Display(jobs) as display,
        worker_pool(workers, _report_to, (queue,)) as pool,
    ):
        while waiting or running:
            if stop.asked is not None:
                _end()
                text = (
                    f"stopped by {stop.asked} with {len(results)} of {len(jobs)} jobs done; finished trainings are kept"
                )
                _say(log, text)
                print(f"ditr: {text}", file=sys.stderr, flush=True)
                raise Stopped(stop.asked, text)
            ready = [job for job in waiting if all(name in results for name in job.after)]
            for job in ready[: workers - len(running)]:
                waiting.remove(job)
                running[pool.submit(_work, job)] = job
                _say(log, f"begin  {job.name}")
            done, _ = wait(running, timeout=0.3, return_when=FIRST_COMPLETED)
            display.drain(queue)
            for future in done:
                job = running.pop(future)
                try:
                    results[job.name], seconds[job.name] = future.result()
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
                display.finish(job)
                if finished is not None:
                    finished(job)
                left, spent = len(waiting) + len(running), spent + job.cost
                rest = (time.perf_counter() - began) * (total / spent - 1) / 60 if spent else 0.0
                text = f"{left} of {len(jobs)} jobs and about {rest:.0f} min left"
                _say(log, f"end    {job.name}  {seconds[job.name]:.1f} s; {text}")
    return results, seconds


def _end() -> None:
    """Pass the wish to stop on until all processes have ended; a SIGINT meanwhile ends them at once.

    A training notes the first SIGTERM and ends its job. Without a job, and in all other jobs, the next one ends the
    process, even where it waits for a lock of a queue with which another one died.
    """
    try:
        while children := multiprocessing.active_children():
            for child in children:
                child.terminate()
            time.sleep(0.5)
    except KeyboardInterrupt:
        for child in multiprocessing.active_children():
            child.kill()
        raise


def _say(log: Path, line: str) -> None:
    with faults_of(log), log.open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%F %T')}  {line}\n")


_reports: Any = None
"""In a worker: the queue of what its jobs report, which a process can only be given when it starts."""


def _report_to(queue: Any) -> None:
    global _reports
    _reports = queue


def _work(job: Job) -> tuple[Any, float]:
    import torch

    torch.set_num_threads(1)
    began = time.perf_counter()
    result = job.work(*job.arguments, lambda done, total: _reports.put((job.name, done, total)))
    return result, time.perf_counter() - began


class _Display:
    """One bar per group."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.group = {job.name: job.group for job in jobs}
        self.state: dict[str, tuple[int, int]] = {}
        groups = list(dict.fromkeys(self.group.values()))
        self.bars = progress_bars(*(f"{group:26}" for group in groups))
        self.groups = groups

    def __enter__(self) -> _Display:
        self.report = dict(zip(self.groups, self.bars.__enter__(), strict=True))
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.__exit__(None, None, None)

    def drain(self, queue: Any) -> None:
        while True:
            try:
                name, done, total = queue.get_nowait()
            except Empty:
                return
            self.state[name] = (done, total)
            self._draw(self.group[name])

    def finish(self, job: Job) -> None:
        total = self.state.get(job.name, (1, 1))[1]
        self.state[job.name] = (total, total)
        self._draw(job.group)

    def _draw(self, group: str) -> None:
        parts = [value for name, value in self.state.items() if self.group[name] == group]
        self.report[group](sum(done for done, _ in parts), sum(total for _, total in parts))
